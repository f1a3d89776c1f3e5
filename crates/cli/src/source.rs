//! Whether a sweep's data can give what the sweep asks for, before anything is trained.

use anyhow::{Context, bail};
use data::{Source, Split};
use spec::{DataSpec, SweepSpec, TrialSpec};

use crate::exit::bad_input;
use crate::progress::say;

/// Opens the data of every trial and compares sizes, classes and augmentation.
///
/// # Errors
/// Data that cannot be read, or that the sweep asks too much of.
pub fn check(sweep: &SweepSpec) -> anyhow::Result<()> {
    let mut opened: Option<(&DataSpec, Box<dyn Source>)> = None;
    for trial in &sweep.trials {
        let spec = &trial.recipe.data;
        let source = match opened.take() {
            Some((known, source)) if known == spec => source,
            _ => data::open(spec).context("the sweep's data").map_err(bad_input)?,
        };
        check_trial(trial, source.as_ref()).map_err(bad_input)?;
        opened = Some((spec, source));
    }
    Ok(())
}

fn check_trial(trial: &TrialSpec, source: &dyn Source) -> anyhow::Result<()> {
    let recipe = &trial.recipe;
    if source.classes() != recipe.model.classes() {
        bail!("data.classes = {} but the data has {}", recipe.model.classes(), source.classes());
    }
    if let Some(len) = source.len(Split::Train)
        && recipe.unique_examples > len
    {
        bail!(
            "axes.unique_examples: {} asked for, the training data has {len}",
            recipe.unique_examples
        );
    }
    if let Some(len) = source.len(Split::Validation)
        && recipe.eval.examples > len
    {
        bail!("eval.examples: {} asked for, the validation data has {len}", recipe.eval.examples);
    }
    if recipe.train.augmentation.flip && !source.flips() {
        bail!("train.augmentation.flip: a mirrored image of this source may be of another class");
    }
    Ok(())
}

/// As [`check`], but data that is not there is a note: a sweep can be costed without its data.
pub fn check_if_present(sweep: &SweepSpec) -> anyhow::Result<()> {
    let is_missing = |trial: &TrialSpec| match &trial.recipe.data {
        DataSpec::Procedural(_) => false,
        DataSpec::ImageFolder(folder) => !folder.path.exists(),
    };
    if sweep.trials.iter().any(is_missing) {
        say("the sweep's data is not on this machine; sizes are not checked against it");
        return Ok(());
    }
    check(sweep)
}
