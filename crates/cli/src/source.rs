//! Whether a sweep's data can give what the sweep asks for, before anything is trained.

use anyhow::{Context, bail};
use data::{Source, Split};
use spec::{DataSpec, Objective, SweepSpec, TransferMethod, TransferSpec, TrialSpec};

use crate::exit::bad_input;
use crate::progress::say;

/// Opens the data of every trial and evaluation and compares sizes, classes and augmentation.
///
/// # Errors
/// Data that cannot be read, or that the sweep asks too much of.
pub fn check(sweep: &SweepSpec) -> anyhow::Result<()> {
    let mut sources = Sources::default();
    for trial in &sweep.trials {
        let source = sources.open(&trial.recipe.data).context("the sweep's data");
        check_trial(trial, source.map_err(bad_input)?).map_err(bad_input)?;
    }
    for (position, transfer) in sweep.transfers.iter().enumerate() {
        let table = || format!("transfer[{position}]");
        let source = sources.open(&transfer.data).with_context(table).map_err(bad_input)?;
        check_transfer(transfer, source).with_context(table).map_err(bad_input)?;
    }
    Ok(())
}

/// Each source once: to open a folder is to list it.
#[derive(Default)]
struct Sources<'a> {
    opened: Vec<(&'a DataSpec, Box<dyn Source>)>,
}

impl<'a> Sources<'a> {
    fn open(&mut self, spec: &'a DataSpec) -> anyhow::Result<&dyn Source> {
        let at = match self.opened.iter().position(|(known, _)| *known == spec) {
            Some(at) => at,
            None => {
                self.opened.push((spec, data::open(spec)?));
                self.opened.len() - 1
            }
        };
        Ok(self.opened[at].1.as_ref())
    }
}

fn check_trial(trial: &TrialSpec, source: &dyn Source) -> anyhow::Result<()> {
    let recipe = &trial.recipe;
    let has_labels = match recipe.train.objective {
        Objective::Softmax { .. } | Objective::Sigmoid { .. } => true,
        // It predicts colours: whatever the data's classes are, they are not read.
        Objective::MaskedPatch { .. } => false,
    };
    if has_labels && source.classes() != recipe.model.classes() {
        bail!("data.classes = {} but the data has {}", recipe.model.classes(), source.classes());
    }
    check_len(source, Split::Train, "axes.unique_examples", recipe.unique_examples)?;
    check_len(source, Split::Validation, "eval.examples", recipe.eval.examples)?;
    if has_labels && recipe.train.augmentation.flip && !source.flips() {
        bail!("train.augmentation.flip: a mirrored image of this source may be of another class");
    }
    Ok(())
}

fn check_transfer(transfer: &TransferSpec, source: &dyn Source) -> anyhow::Result<()> {
    if source.classes() != transfer.classes {
        bail!("data.classes = {} but the data has {}", transfer.classes, source.classes());
    }
    let (key, examples) = match &transfer.method {
        TransferMethod::FewShot(few) => ("pool", few.pool),
        TransferMethod::LinearProbe(probe) => ("unique_examples", probe.unique_examples),
        TransferMethod::FineTune(tune) => ("unique_examples", tune.unique_examples),
    };
    check_len(source, Split::Train, key, examples)?;
    check_len(source, Split::Validation, "examples", transfer.examples)?;
    if let TransferMethod::FewShot(few) = &transfer.method {
        let most = few.shots.iter().copied().max().unwrap_or(0);
        let wanted = u64::from(most) * u64::from(transfer.classes);
        if few.pool < wanted {
            bail!(
                "pool: {most} shots of {} classes are {wanted} examples, more than the pool of {}",
                transfer.classes,
                few.pool
            );
        }
    }
    Ok(())
}

fn check_len(source: &dyn Source, split: Split, key: &str, examples: u64) -> anyhow::Result<()> {
    let name = match split {
        Split::Train => "training",
        Split::Validation => "validation",
        Split::Test => "test",
    };
    match source.len(split) {
        Some(len) if examples > len => {
            bail!("{key}: {examples} asked for, the {name} data has {len}")
        }
        Some(_) | None => Ok(()),
    }
}

/// As [`check`], but data that is not there is a note: a sweep can be costed without its data.
pub fn check_if_present(sweep: &SweepSpec) -> anyhow::Result<()> {
    let is_missing = |data: &DataSpec| match data {
        DataSpec::Procedural(_) => false,
        DataSpec::ImageFolder(folder) => !folder.path.exists(),
    };
    let of_trials = sweep.trials.iter().map(|trial| &trial.recipe.data);
    if of_trials.chain(sweep.transfers.iter().map(|transfer| &transfer.data)).any(is_missing) {
        say("the sweep's data is not on this machine; sizes are not checked against it");
        return Ok(());
    }
    check(sweep)
}
