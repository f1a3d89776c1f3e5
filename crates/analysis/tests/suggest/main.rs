//! What a list of suggestions is worth: the compute it takes to an interval as narrow as an even grid's,
//! after its trials are really measured and the law fitted again, on known laws. The tables of
//! docs/design/2026-11-21-suggest.md are printed by `cargo run --release -p analysis --example suggest`.

mod simulation;

use analysis::Fit;
use analysis::law;
use analysis::suggest::{Candidate, SuggestError, optimal_split, suggest};

use simulation::*;

fn some_case() -> (Case, Fit, f64) {
    let case = of_size_and_data(3);
    let (now, budget) = (case.fit(&[]), case.cost(&case.even(9)));
    (case, now, budget)
}

#[test]
fn half_an_even_grids_compute_gives_a_narrower_interval_on_average() {
    let cases = |n, case: fn(u64) -> Case| (0..3).map(move |seed| (n, case(seed)));
    let m2 = |seed| of_compute(&law::M2, &M2, seed);
    let zhai = |seed| of_compute(&law::Zhai, &ZHAI, seed);
    let one_axis = cases(5, m2).chain(cases(9, m2)).chain(cases(5, zhai)).chain(cases(9, zhai));
    let all = one_axis.chain(cases(9, of_size_and_data)).chain(cases(20, of_size_and_data));
    let ln_ratio = |(n, case): (usize, Case)| {
        let Comparison { widths, errors, grid_error } = compare(&case, n, &[0.5]);
        assert!(errors[0].is_finite() && grid_error.is_finite());
        widths[0].unwrap().0.ln()
    };
    let ln_ratios: Vec<_> = all.map(ln_ratio).collect();
    let mean = ln_ratios.iter().sum::<f64>() / ln_ratios.len() as f64;
    assert!(mean.exp() < 0.9, "{} times the grid's width", mean.exp());
}

#[test]
fn a_list_adds_up_and_stays_within_its_budget() {
    let (case, now, budget) = some_case();
    let list = case.suggest(&now, budget).unwrap();
    let chosen: Vec<_> = list.picks.iter().map(|pick| pick.index).collect();
    assert!(list.flops <= budget && (case.cost(&chosen) / list.flops - 1.0).abs() < 1e-9);
    let sum: f64 = list.picks.iter().map(|pick| pick.flops).sum();
    assert!((sum / list.flops - 1.0).abs() < 1e-12);
    assert!((list.width_before / case.judge(&now).0 - 1.0).abs() < 1e-9);
    let mut width = list.width_before;
    for pick in &list.picks {
        assert!(pick.width_before == width && pick.width_after < width, "{pick:?}");
        width = pick.width_after;
    }
    assert_eq!((list.width_after, list.level), (width, 0.9));
    let json = serde_json::to_value(&list).unwrap();
    assert_eq!(json["picks"][0]["index"], chosen[0]);
}

#[test]
fn a_larger_budget_narrows_more() {
    let (case, now, budget) = some_case();
    let after = |share: f64| case.suggest(&now, share * budget).unwrap().width_after;
    assert!(after(1.0) < after(0.1) && after(0.1) < after(0.01));
}

#[test]
fn the_order_of_candidates_does_not_matter_and_the_same_call_gives_the_same_bits() {
    let (case, now, budget) = some_case();
    let list = case.suggest(&now, budget).unwrap();
    assert_eq!(case.suggest(&now, budget).unwrap(), list);
    let backwards = case.candidates().into_iter().rev().collect::<Vec<_>>();
    let fits = std::slice::from_ref(&now);
    assert_eq!(suggest(fits, &case.measured, case.target, &backwards, budget).unwrap(), list);
}

#[test]
fn a_shorter_length_of_a_trunk_that_is_paid_for_costs_its_cooldown() {
    let (case, now, budget) = some_case();
    let long = Candidate { trunk: 7, trunk_flops: 8e20, own_flops: 2e20, ..case.pool[80].0 };
    let short = Candidate { trunk: 7, trunk_flops: 4e20, own_flops: 1e20, ..case.pool[70].0 };
    let candidates = [long, short];
    let fits = std::slice::from_ref(&now);
    let list = suggest(fits, &case.measured, case.target, &candidates, budget.max(2e21)).unwrap();
    assert_eq!((list.picks.len(), list.flops), (2, 1.1e21));
}

#[test]
fn laws_of_size_and_data_are_asked_at_the_best_split() {
    let (case, now, _) = some_case();
    let [n, d, _] = optimal_split(&now, 1e22, 6.0).unwrap();
    assert!((6.0 * n * d / 1e22 - 1.0).abs() < 1e-9);
    let here = now.predict([n, d, 1.0]).value;
    assert!(here <= now.predict(case.target).value);
}

#[test]
fn several_laws_give_one_list() {
    let case = of_compute(&law::M2, &M2, 0);
    let zhai = Case { law: &law::Zhai, ..of_compute(&law::M2, &M2, 0) };
    let fits = [case.fit(&[]), zhai.fit(&[])];
    let list = suggest(&fits, &case.measured, case.target, &case.candidates(), 1e17).unwrap();
    let [a, b] = [&fits[0], &fits[1]].map(|fit| case.judge(fit).0);
    assert!((list.width_before / (a * b).sqrt() - 1.0).abs() < 1e-9 && !list.picks.is_empty());
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let (case, now, _) = some_case();
    let fits = std::slice::from_ref(&now);
    let one = case.pool[0].0;
    let ask = |fits: &[Fit], target, candidates: &[Candidate], budget| {
        suggest(fits, &case.measured, target, candidates, budget).unwrap_err()
    };
    assert_eq!(ask(&[], case.target, &[one], 1e20), SuggestError::NoFit);
    assert_eq!(ask(fits, case.target, &[], 1e20), SuggestError::NoCandidate);
    assert_eq!(ask(fits, case.target, &[one], 0.0), SuggestError::Budget(0.0));
    assert!(matches!(ask(fits, case.target, &[one], 1.0), SuggestError::TooLittle { .. }));
    let nowhere = Candidate { x: [1e8, -1.0, 1.0], ..one };
    let error = ask(fits, case.target, &[nowhere], 1e20);
    assert_eq!(error, SuggestError::Candidate { axis: "d", index: 0, value: -1.0 });
    let error = ask(fits, [0.0, 1.0, 1.0], &[one], 1e20);
    assert_eq!(error, SuggestError::Target { axis: "n", value: 0.0 });
    let free = Candidate { trunk_flops: 0.0, own_flops: 0.0, ..one };
    let error = ask(fits, case.target, &[free], 1e20);
    assert_eq!(error, SuggestError::Cost { index: 0, flops: 0.0 });
    let error = ask(fits, [1e8, 1e-323, 1.0], &[one], 1e20);
    assert_eq!(error, SuggestError::NotFinite { law: "chinchilla" });
    let bare = case.fit_with(0, &[]);
    assert_eq!(
        ask(&[bare], case.target, &[one], 1e20),
        SuggestError::NoEnsemble { law: "chinchilla" }
    );
    let other = of_compute(&law::M2, &M2, 0).fit(&[]);
    let error = ask(&[now.clone(), other], case.target, &[one], 1e20);
    assert_eq!(error, SuggestError::Axes { first: "chinchilla", second: "m2" });
}
