//! `isoflop data`: look at what a model would be trained on.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use data::Split;

use crate::exit::{ALL_DONE, bad_input};
use crate::sweep_file::SweepFileArgs;

/// Look at a sweep's data
#[derive(clap::Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(clap::Subcommand)]
enum DataCommand {
    Preview(PreviewArgs),
}

/// Write a contact sheet: a row per class, a few examples of each
#[derive(clap::Args)]
struct PreviewArgs {
    #[command(flatten)]
    sweep: SweepFileArgs,

    /// The stream to show
    #[arg(long, value_enum, default_value_t = SplitArg::Train)]
    split: SplitArg,

    /// Classes to show, the first ones
    #[arg(long, value_name = "N", default_value_t = 16)]
    classes: u32,

    /// Examples of each class
    #[arg(long, value_name = "N", default_value_t = 12)]
    per_class: u32,

    /// The PNG file to write
    #[arg(long, short, value_name = "FILE", default_value = "preview.png")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SplitArg {
    Train,
    Validation,
    Test,
}

impl From<SplitArg> for Split {
    fn from(arg: SplitArg) -> Self {
        match arg {
            SplitArg::Train => Self::Train,
            SplitArg::Validation => Self::Validation,
            SplitArg::Test => Self::Test,
        }
    }
}

pub fn data(args: &DataArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        DataCommand::Preview(args) => preview(args),
    }
}

fn preview(args: &PreviewArgs) -> anyhow::Result<ExitCode> {
    let sweep = args.sweep.read()?;
    let trial = sweep.trials.first().context("a valid sweep has a trial")?;
    let source = data::open(&trial.recipe.data).map_err(bad_input)?;
    let png = data::contact_sheet(source.as_ref(), args.split.into(), args.classes, args.per_class)
        .map_err(bad_input)?;
    std::fs::write(&args.out, png)
        .with_context(|| format!("cannot write `{}`", args.out.display()))
        .map_err(bad_input)?;
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{}", args.out.display())?;
    Ok(ExitCode::from(ALL_DONE))
}
