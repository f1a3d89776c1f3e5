//! What a reader wants to know first.

use analysis::law::Role;
use report::{Block, Headline};
use store::TrialState;

use super::Record;
use super::fits::formula;
use crate::analyse::{X, short};
use crate::axis_label;
use crate::summary;

/// How far beyond the largest compute the first answer reaches.
const BEYOND: f64 = 10.0;

pub fn blocks(record: &Record) -> Vec<Block> {
    let headlines = [Some(trials(record)), best(record), exponent(record), ahead(record)];
    let spent = (!record.is_import()).then(|| spent(record));
    let headlines = headlines.into_iter().flatten().chain(spent);
    let mut blocks = vec![Block::Headlines(headlines.collect())];
    if record.findings.main.results.is_empty() {
        let text = "No trial has finished yet: figures, fits and results follow when one has.";
        blocks.push(Block::Text(text.to_owned()));
    }
    blocks
}

fn trials(record: &Record) -> Headline {
    let of = |state| record.trials.of(state);
    let states =
        [TrialState::Diverged, TrialState::Failed, TrialState::Running, TrialState::Pending];
    let others = states.into_iter().filter(|state| of(*state) > 0);
    let others: Vec<_> = others.map(|state| format!("{} {}", of(state), state.word())).collect();
    Headline {
        label: "Trials finished".to_owned(),
        value: format!("{} of {}", of(TrialState::Finished), record.n_trials()),
        detail: others.join(", "),
    }
}

fn best(record: &Record) -> Option<Headline> {
    let analysis = &record.findings.main;
    let (trial, value, n_seeds) = summary::best_of_all(analysis)?;
    let seeds =
        if n_seeds == 1 { "one seed".to_owned() } else { format!("mean of {n_seeds} seeds") };
    Some(Headline {
        label: format!("Smallest {}", axis_label::with_unit(analysis.y())),
        value: report::error(value),
        detail: format!(
            "{} at {} FLOPs, {seeds}",
            trial.shape,
            report::power_of_ten(trial.train_flops, 2)
        ),
    })
}

/// Of the law that extrapolates best.
fn exponent(record: &Record) -> Option<Headline> {
    let fit = record.fits.first()?;
    let at = fit.law.params().iter().position(|param| param.role == Role::Exponent)?;
    let param = &fit.params[at];
    let interval = param.interval.map_or_else(String::new, |(low, high)| {
        format!(", {:.0}% interval {} to {}", 100.0 * fit.level, short(low), short(high))
    });
    Some(Headline {
        label: "Exponent of compute".to_owned(),
        value: format!("{} = {}", param.name, short(param.value)),
        detail: format!("in {}{interval}", formula(fit)),
    })
}

fn ahead(record: &Record) -> Option<Headline> {
    let forecast = record.forecast.as_ref()?;
    let x = BEYOND * forecast.ranges[X].1;
    let said = forecast.predict(x);
    Some(Headline {
        label: format!(
            "Predicted {}, ten times further",
            axis_label::short(record.findings.main.y())
        ),
        value: report::error(said.value),
        detail: format!(
            "{:.0}% interval {} to {} at {} FLOPs",
            100.0 * forecast.level,
            report::error(said.low),
            report::error(said.high),
            report::power_of_ten(x, 2)
        ),
    })
}

fn spent(record: &Record) -> Headline {
    Headline {
        label: "Device time".to_owned(),
        value: report::duration(record.spent.charged_s),
        detail: format!("{} FLOPs trained", report::power_of_ten(record.spent.train_flops, 2)),
    }
}
