//! What a list of suggestions is worth: the compute it takes to an interval as narrow as an even grid's,
//! after its trials are really measured and the law fitted again, on known laws and on published runs.
//!
//! `cargo test --release -p analysis --test suggest -- --ignored --nocapture` prints the tables.

use std::collections::BTreeMap;
use std::path::Path;

use analysis::law::{self, At, Law, Xs};
use analysis::suggest::{Candidate, SuggestError, Suggestion, optimal_split, suggest};
use analysis::{Fit, FitOptions, Labels, Point, fit, frontier, point::x as at, seed_means};

/// What is measured, what could be, and what is asked.
struct Case {
    law: &'static dyn Law,
    measured: Vec<Point>,
    /// In order of compute, with the y that each would measure.
    pool: Vec<(Candidate, f64)>,
    target: Xs,
    /// y there.
    answer: f64,
}

impl Case {
    fn fit(&self, chosen: &[usize]) -> Fit {
        self.fit_with(200, chosen)
    }

    fn fit_with(&self, n_resamples: usize, chosen: &[usize]) -> Fit {
        let point = |&i: &usize| {
            let (Candidate { x, trunk, .. }, y) = self.pool[i];
            Point { x, y, configuration: 1 << 32 | i as u64, cluster: trunk }
        };
        let points: Vec<_> =
            self.measured.iter().copied().chain(chosen.iter().map(point)).collect();
        let axes = self.law.axes().iter().map(|axis| axis.name().to_string()).collect();
        let labels = Labels { axes, y: "y".into(), cluster: "trunk".into() };
        let options = FitOptions { n_starts: 32, n_resamples, level: 0.9, ..FitOptions::default() };
        fit(self.law, &points, &labels, &options).unwrap()
    }

    /// Width of the target's interval, and the error there, both of ln y.
    fn judge(&self, fit: &Fit) -> (f64, f64) {
        let band = fit.predict(self.target);
        ((band.high / band.low).ln(), (band.value / self.answer).ln().abs())
    }

    fn candidates(&self) -> Vec<Candidate> {
        self.pool.iter().map(|(candidate, _)| *candidate).collect()
    }

    fn cost(&self, chosen: &[usize]) -> f64 {
        let mut trunks = BTreeMap::<u64, f64>::new();
        let mut own = 0.0;
        for &i in chosen {
            let candidate = &self.pool[i].0;
            let paid = trunks.entry(candidate.trunk).or_default();
            *paid = paid.max(candidate.trunk_flops);
            own += candidate.own_flops;
        }
        own + trunks.values().sum::<f64>()
    }

    /// `n` candidates evenly over the pool, the cheapest and the dearest among them.
    fn even(&self, n: usize) -> Vec<usize> {
        (0..n).map(|k| k * (self.pool.len() - 1) / (n - 1)).collect()
    }

    fn suggest(&self, now: &Fit, budget: f64) -> Result<Suggestion, SuggestError> {
        let now = std::slice::from_ref(now);
        suggest(now, &self.measured, self.target, &self.candidates(), budget)
    }
}

/// Shares of the even grid's compute that are tried.
const SHARES: [f64; 7] = [1.0 / 32.0, 1.0 / 16.0, 0.125, 0.25, 0.5, 1.0, 2.0];

/// Of one case, widths and errors over those of the even grid.
struct Comparison {
    /// By share: width over the grid's, and expected width over the real one; `None` where nothing is
    /// so cheap.
    widths: Vec<Option<(f64, f64)>>,
    /// By share.
    errors: Vec<f64>,
    grid_error: f64,
}

fn compare(case: &Case, n: usize, shares: &[f64]) -> Comparison {
    let grid = case.even(n);
    let (grid_width, grid_error) = case.judge(&case.fit(&grid));
    let now = case.fit(&[]);
    let outcome = |share: &f64| {
        let list = case.suggest(&now, share * case.cost(&grid)).ok()?;
        let chosen: Vec<_> = list.picks.iter().map(|pick| pick.index).collect();
        let (width, error) = case.judge(&case.fit(&chosen));
        Some((width / grid_width, list.width_after / width, error))
    };
    let outcomes: Vec<_> = shares.iter().map(outcome).collect();
    Comparison {
        widths: outcomes.iter().map(|o| o.map(|(width, expected, _)| (width, expected))).collect(),
        errors: outcomes
            .iter()
            .map(|o| o.map_or(case.judge(&now).1, |(.., error)| error))
            .collect(),
        grid_error,
    }
}

impl Comparison {
    /// The smallest share from which on the interval stays as narrow as the grid's; infinite of none.
    fn share_needed(&self, shares: &[f64]) -> f64 {
        let pairs = shares.iter().zip(&self.widths).rev();
        let narrow = pairs.take_while(|(_, width)| width.is_some_and(|(ratio, _)| ratio <= 1.0));
        narrow.last().map_or(f64::INFINITY, |(share, _)| *share)
    }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn geometric(from: f64, to: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| from * (to / from).powf(i as f64 / (n - 1) as f64)).collect()
}

/// Approximately normal: the sum of twelve uniform draws of a 64-bit congruential generator.
fn normal(seed: u64, sd: f64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    move || sd * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)
}

const M2: [f64; 3] = [300.0, 0.25, 0.1];
const ZHAI: [f64; 4] = [4000.0, 0.35, 0.09, 5e13];
const CHINCHILLA: [f64; 5] = [482.01, 2085.43, 1.8169, 0.3478, 0.3659];

/// Three decades of compute measured, two more to be had with two seeds each, asked two beyond these.
fn of_compute(law: &'static dyn Law, params: &[f64], seed: u64) -> Case {
    let mut noise = normal(seed, 0.02);
    let y = |c: f64| law.evaluate(&At::x(c), params, &mut [0.0; 9]);
    let mut noisy = |c: f64| y(c) * noise().exp();
    let measured = geometric(1e12, 1e15, 13).into_iter().zip(0..);
    let measured = measured.map(|(c, i)| Point::independent(1000 + i, at(c), noisy(c))).collect();
    let pool = geometric(1e13, 1e17, 33).into_iter().flat_map(|c| [c, c]).enumerate();
    let pool = pool.map(|(i, c)| (Candidate::alone(i, at(c), c), noisy(c))).collect();
    Case { law, measured, pool, target: at(1e19), answer: y(1e19) }
}

/// Four sizes and five lengths measured; nine and nine to be had, each size one trunk with cooldowns of
/// a fifth; asked at ten times the compute of the dearest, at the split that is best there.
fn of_size_and_data(seed: u64) -> Case {
    let law: &'static dyn Law = &law::Chinchilla;
    let mut noise = normal(seed, 0.01);
    let y = |n: f64, d: f64| law.evaluate(&At::new([n, d, 1.0]), &CHINCHILLA, &mut [0.0; 9]);
    let mut noisy = |n: f64, d: f64| y(n, d) * noise().exp();
    let grid = |n: Vec<f64>, d: Vec<f64>| -> Vec<(f64, f64)> {
        n.iter().flat_map(|&n| d.iter().map(move |&d| (n, d))).collect()
    };
    let measured = grid(geometric(1e7, 1e8, 4), geometric(1e8, 3e9, 5)).into_iter().zip(0..);
    let measured =
        measured.map(|((n, d), i)| Point::independent(1000 + i, [n, d, 1.0], noisy(n, d)));
    let measured = measured.collect();
    let mut places = grid(geometric(2e7, 2e9, 9), geometric(3e8, 1e11, 9));
    places.sort_by(|a, b| (a.0 * a.1).total_cmp(&(b.0 * b.1)));
    let candidate = |(index, (n, d)): (usize, (f64, f64))| {
        let flops = 6.0 * n * d;
        let x = [n, d, 1.0];
        let trunk = n.to_bits();
        let (trunk_flops, own_flops) = (0.8 * flops, 0.2 * flops);
        (Candidate { x, trunk, trunk_flops, own_flops, index }, noisy(n, d))
    };
    let pool = places.into_iter().enumerate().map(candidate).collect();
    // G (C / 6)^(beta / (alpha + beta)), arXiv 2203.15556, equation 4.
    let [a, b, _, alpha, beta] = CHINCHILLA;
    let (split, product) = (alpha + beta, 1e22 / 6.0);
    let n = (alpha * a / (beta * b)).powf(1.0 / split) * f64::powf(product, beta / split);
    Case { law, measured, pool, target: [n, product / n, 1.0], answer: y(n, product / n) }
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test says so by name, and a table is to be read"
)]
fn say(line: &str) {
    eprintln!("{line}");
}

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
    let ln_ratio = |(n, case): (usize, Case)| compare(&case, n, &[0.5]).widths[0].unwrap().0.ln();
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

fn print_table(name: &str, cases: &[Case], n: usize) {
    let comparisons: Vec<_> = cases.iter().map(|case| compare(case, n, &SHARES)).collect();
    let needed: Vec<_> = comparisons.iter().map(|one| one.share_needed(&SHARES)).collect();
    let grid_error = median(comparisons.iter().map(|one| one.grid_error));
    let n_cases = cases.len();
    let n_helped = needed.iter().filter(|share| **share < 1.0).count();
    let n_hurt = needed.iter().filter(|share| **share > 1.0).count();
    say(&format!(
        "{name}, grid of {n}, {n_cases} cases: median share needed {:.3}; cheaper {n_helped}, dearer {n_hurt}; grid's error {grid_error:.4}",
        median(needed)
    ));
    for (k, share) in SHARES.iter().enumerate() {
        let widths = || comparisons.iter().filter_map(|one| one.widths[k]);
        let error = median(comparisons.iter().map(|one| one.errors[k]));
        say(&format!(
            "| {share:.3} | {:.2} | {:.2} | {error:.4} | {} |",
            median(widths().map(|w| w.0)),
            median(widths().map(|w| w.1)),
            widths().count()
        ));
    }
}

#[test]
#[ignore = "minutes; prints the tables of docs/design/2026-11-21-suggest.md"]
fn savings_on_known_laws() {
    for n in [5, 9] {
        let m2: Vec<_> = (0..20).map(|seed| of_compute(&law::M2, &M2, seed)).collect();
        print_table("m2", &m2, n);
        let zhai: Vec<_> = (0..20).map(|seed| of_compute(&law::Zhai, &ZHAI, seed)).collect();
        print_table("zhai", &zhai, n);
    }
    for n in [9, 20] {
        print_table("chinchilla", &(0..20).map(of_size_and_data).collect::<Vec<_>>(), n);
    }
}

type Table = Vec<BTreeMap<String, String>>;

/// `None`, said aloud, where the file is absent.
fn table(name: &str) -> Option<Table> {
    let path = format!("../shared/data/fits/{name}");
    let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&path);
    let Ok(text) = std::fs::read_to_string(from_root) else {
        say(&format!("skipped: {path} is absent"));
        return None;
    };
    let mut rows = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let header = rows.next()?;
    Some(rows.map(|row| header.iter().cloned().zip(row).collect()).collect())
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// A trial that was run: where, what it cost, and the trunk it shares.
#[derive(Clone, Copy)]
struct Trial {
    x: Xs,
    y: f64,
    flops: f64,
    trunk: Option<u64>,
}

/// Trials up to `measured` FLOPs are known, further ones up to `pool` can be had, and each of the
/// `n_targets` dearest is asked.
fn replay(
    law: &'static dyn Law,
    trials: &[Trial],
    measured: f64,
    pool: f64,
    n_targets: usize,
) -> Vec<Case> {
    let mut trials = trials.to_vec();
    trials.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let (first, rest) = trials.split_at(trials.partition_point(|trial| trial.flops <= measured));
    let open = &rest[..rest.partition_point(|trial| trial.flops <= pool)];
    let known = || {
        first
            .iter()
            .zip(0..)
            .map(|(trial, i)| Point {
                x: trial.x,
                y: trial.y,
                configuration: i,
                cluster: trial.trunk.unwrap_or(1000 + i),
            })
            .collect()
    };
    // A trunk is trained as far as it is measured; further on, a checkpoint costs its trunk and no more.
    let done = |trunk: u64| {
        let of_it = first.iter().filter(|trial| trial.trunk == Some(trunk));
        of_it.map(|trial| trial.flops).fold(0.0, f64::max)
    };
    let candidate = |(index, trial): (usize, &Trial)| match trial.trunk {
        None => (
            Candidate {
                trunk: 1 << 20 | index as u64,
                ..Candidate::alone(index, trial.x, trial.flops)
            },
            trial.y,
        ),
        Some(trunk) => {
            let trunk_flops = trial.flops - done(trunk);
            (Candidate { x: trial.x, trunk, trunk_flops, own_flops: 0.0, index }, trial.y)
        }
    };
    let targets = trials.iter().rev().take(n_targets);
    targets
        .map(|target| Case {
            law,
            measured: known(),
            pool: open.iter().enumerate().map(candidate).collect(),
            target: target.x,
            answer: target.y,
        })
        .collect()
}

#[test]
#[ignore = "minutes; prints a table of docs/design/2026-11-21-suggest.md"]
fn savings_on_the_runs_behind_chinchilla() {
    let Some(rows) = table("epoch_chinchilla_svg.csv") else { return };
    let trials: Vec<_> = rows
        .iter()
        .map(|row| {
            let (n, flops) = (number(row, "Model Size"), number(row, "Training FLOP"));
            Trial { x: [n, flops / (6.0 * n), 1.0], y: number(row, "loss"), flops, trunk: None }
        })
        .collect();
    for n in [9, 20] {
        print_table("epoch_chinchilla_svg", &replay(&law::Chinchilla, &trials, 3e19, 1e21, 10), n);
    }
}

#[test]
#[ignore = "minutes; prints a table of docs/design/2026-11-21-suggest.md"]
fn savings_on_gemstones_checkpoints() {
    let Some(rows) = table("gemstone_hot.csv") else { return };
    let runs = analysis::labels(rows.iter().map(|row| row["run_name"].clone()));
    let trials: Vec<_> = rows
        .iter()
        .zip(runs)
        .map(|(row, run)| {
            let (n, d) = (number(row, "params_active_precise"), number(row, "tokens"));
            Trial {
                x: [n, d, 1.0],
                y: number(row, "final_loss"),
                flops: 6.0 * n * d,
                trunk: Some(run),
            }
        })
        .collect();
    for n in [9, 20] {
        print_table("gemstone_hot", &replay(&law::Chinchilla, &trials, 1e20, 6e20, 10), n);
    }
}

#[test]
#[ignore = "minutes; prints a table of docs/design/2026-11-21-suggest.md"]
fn savings_on_the_frontier_of_scaling_vit() {
    let Some(rows) = table("zhai2021_vit_tables.csv") else { return };
    let columns = ["inet5_top1", "inet10_top1", "finetune_inet_top1"];
    let cases: Vec<_> = columns
        .iter()
        .flat_map(|column| {
            let points: Vec<_> = rows
                .iter()
                .zip(0..)
                .filter_map(|(row, i)| {
                    let top1: f64 = row[*column].parse().ok()?;
                    Some(Point::independent(
                        i,
                        at(number(row, "train_compute_exaflops")),
                        1.0 - top1 / 100.0,
                    ))
                })
                .collect();
            let trials: Vec<_> = frontier(&seed_means(&points))
                .iter()
                .map(|mean| Trial { x: at(mean.x), y: mean.y, flops: mean.x, trunk: None })
                .collect();
            replay(&law::Zhai, &trials, 20.0, 3000.0, 4)
        })
        .collect();
    print_table("zhai2021_vit_tables, frontier", &cases, 5);
}

#[test]
#[ignore = "minutes; prints a table of docs/design/2026-11-21-suggest.md"]
fn savings_on_learning_curves() {
    let Some(rows) = table("revisiting_vision_train_only.csv") else { return };
    let mut tasks = BTreeMap::<_, BTreeMap<u64, Trial>>::new();
    for row in &rows {
        let (seen, y) = (number(row, "Seen Examples"), number(row, "Loss"));
        let trial = Trial { x: at(seen), y, flops: seen, trunk: None };
        tasks.entry((&row["Model"], &row["Task"])).or_default().insert(seen.to_bits(), trial);
    }
    let cases: Vec<_> = tasks
        .values()
        .flat_map(|task| {
            let trials: Vec<_> = task.values().copied().collect();
            let largest = trials.iter().map(|trial| trial.flops).fold(0.0, f64::max);
            replay(&law::Zhai, &trials, largest / 16.0, largest / 2.0, 1)
        })
        .filter(|case| case.measured.len() >= 8 && case.pool.len() >= 10)
        .collect();
    print_table("revisiting_vision_train_only", &cases, 5);
}
