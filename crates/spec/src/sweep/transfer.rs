//! From `[[transfer]]` tables to evaluations.

use super::Problem;
use super::expand::{self, MAX_STEPS, classes, data};
use super::file::{DataTable, MethodName, SourceName, SweepFile, TransferTable};
use crate::schedule::{Decay, Schedule};
use crate::transfer::{FewShot, FineTune, LinearProbe, TransferMethod, TransferSpec};
use crate::trial::TrialSpec;

/// What a closed-form fit weighs its solution's norm by: big_vision's `fewshot_lsr`.
const L2: f64 = 1024.0;

/// Every evaluation that the file asks for of its `trials`; names tell them apart where methods do not.
pub(super) fn transfers(
    file: &SweepFile,
    trials: &[TrialSpec],
) -> Result<Vec<TransferSpec>, Problem> {
    let mut all: Vec<TransferSpec> = Vec::with_capacity(file.transfer.len());
    for (position, table) in file.transfer.iter().enumerate() {
        let table_name = format!("transfer[{position}]");
        let transfer = transfer(file, table).map_err(|problem| problem.within(&table_name))?;
        for trial in trials {
            transfer
                .check(&trial.recipe.model)
                .map_err(|error| Problem::new(format!("{table_name}.data.resolution"), error))?;
        }
        let measures = |other: &TransferSpec| {
            let same_method =
                std::mem::discriminant(&other.method) == std::mem::discriminant(&transfer.method);
            same_method && other.metric("") == transfer.metric("")
        };
        if all.iter().any(measures) {
            let message = "another evaluation measures by the same names: give this one a `name` that differs in more than `-` and `_`";
            return Err(Problem::new(table_name, message));
        }
        all.push(transfer);
    }
    Ok(all)
}

fn transfer(file: &SweepFile, table: &TransferTable) -> Result<TransferSpec, Problem> {
    check_name(table)?;
    if let Some(key) = unread(table) {
        return Err(Problem::new(key, "this method has no such setting"));
    }
    let held_out = held_out(&file.data);
    let source = match (&table.data, &held_out) {
        (Some(data), _) | (None, Some(data)) => data,
        (None, None) => {
            let message = "only source \"procedural\" has classes to hold out: say which data";
            return Err(Problem::new("data", message));
        }
    };
    Ok(TransferSpec {
        name: table.name.clone(),
        data: data(source).map_err(|problem| problem.within("data"))?,
        classes: classes(source).map_err(|problem| problem.within("data"))?,
        examples: positive("examples", Some(table.examples))?,
        method: method(table)?,
    })
}

fn check_name(table: &TransferTable) -> Result<(), Problem> {
    let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match &table.name {
        Some(text) if text.is_empty() || !text.chars().all(sound) => {
            let message = format!("a name has letters, digits, `-` or `_`, not `{text}`");
            Err(Problem::new("name", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// As many classes as are trained on, behind them.
fn held_out(data: &DataTable) -> Option<DataTable> {
    match data.source {
        SourceName::Procedural => {
            let behind = data.first_class.unwrap_or(0).saturating_add(data.classes.unwrap_or(64));
            Some(DataTable { first_class: Some(behind), ..data.clone() })
        }
        SourceName::ImageFolder => None,
    }
}

fn method(table: &TransferTable) -> Result<TransferMethod, Problem> {
    let rate = || match table.learning_rate {
        Some(rate) => {
            expand::positive(rate).map_err(|message| Problem::new("learning_rate", message))
        }
        None => Err(Problem::new("", "`learning_rate` is missing")),
    };
    let steps = || match positive("steps", table.steps)? {
        steps @ ..=MAX_STEPS => Ok(steps),
        steps => {
            let message = format!("an evaluation has at most {MAX_STEPS}, not {steps}");
            Err(Problem::new("steps", message))
        }
    };
    let batch = || positive("batch", Some(table.batch.unwrap_or(64)));
    Ok(match table.method {
        MethodName::FewShot => TransferMethod::FewShot(FewShot {
            shots: shots(table)?,
            draws: positive("draws", Some(table.draws.unwrap_or(3)))?,
            l2: expand::positive(table.l2.unwrap_or(L2))
                .map_err(|message| Problem::new("l2", message))?,
            pool: positive("pool", Some(table.pool.unwrap_or(8192)))?,
        }),
        MethodName::LinearProbe => TransferMethod::LinearProbe(LinearProbe {
            unique_examples: positive("unique_examples", table.unique_examples)?,
            steps: steps()?,
            batch: batch()?,
            learning_rate: rate()?,
        }),
        MethodName::FineTune => TransferMethod::FineTune(FineTune {
            unique_examples: positive("unique_examples", table.unique_examples)?,
            steps: steps()?,
            batch: batch()?,
            learning_rate: rate()?,
            warmup: warmup(table)?,
            resample: table.resample.unwrap_or_default(),
        }),
    })
}

/// Steps before the cosine, which has to have some left.
fn warmup(table: &TransferTable) -> Result<u64, Problem> {
    let warmup = table.warmup.unwrap_or(0);
    let schedule = Schedule { decay: Decay::Cosine, warmup };
    match schedule.check(table.steps.unwrap_or(0)) {
        Ok(()) => Ok(warmup),
        Err(error) => Err(Problem::new("warmup", error)),
    }
}

fn shots(table: &TransferTable) -> Result<Vec<u32>, Problem> {
    let shots = table.shots.clone().unwrap_or_else(|| vec![1, 5, 10, 25]);
    match !shots.is_empty() && shots.iter().all(|&count| count > 0) {
        true => Ok(shots),
        false => Err(Problem::new("shots", "a list of numbers of at least 1")),
    }
}

fn positive<N: Default + PartialEq>(key: &str, value: Option<N>) -> Result<N, Problem> {
    match value {
        Some(value) if value == N::default() => Err(Problem::new(key, "must be at least 1")),
        Some(value) => Ok(value),
        None => Err(Problem::new("", format!("`{key}` is missing"))),
    }
}

/// The first key that is given though the method does not read it.
fn unread(table: &TransferTable) -> Option<&'static str> {
    use MethodName::{FewShot, FineTune, LinearProbe};
    let trained: &[MethodName] = &[LinearProbe, FineTune];
    let keys: [(&str, bool, &[MethodName]); 10] = [
        ("shots", table.shots.is_some(), &[FewShot]),
        ("draws", table.draws.is_some(), &[FewShot]),
        ("l2", table.l2.is_some(), &[FewShot]),
        ("pool", table.pool.is_some(), &[FewShot]),
        ("unique_examples", table.unique_examples.is_some(), trained),
        ("steps", table.steps.is_some(), trained),
        ("batch", table.batch.is_some(), trained),
        ("learning_rate", table.learning_rate.is_some(), trained),
        ("warmup", table.warmup.is_some(), &[FineTune]),
        ("resample", table.resample.is_some(), &[FineTune]),
    ];
    super::unread(&keys, table.method)
}
