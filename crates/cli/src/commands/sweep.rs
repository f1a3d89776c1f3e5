//! `isoflop sweep`: train what a sweep file asks for, and show what came out.

use std::process::ExitCode;

use crate::conduct::{Options, Part, conduct};
use crate::sweep_file::SweepFileArgs;

/// Train every trial of a sweep, store, fit and draw; run again to continue
///
/// Finished segments are not trained again as long as their checkpoints are kept where something new
/// starts from them (`[checkpoints] keep`). Ctrl-C lets the trainers write checkpoints first; a second
/// Ctrl-C does not wait. Either way the same command continues.
#[derive(clap::Args)]
pub struct SweepArgs {
    #[command(flatten)]
    sweep: SweepFileArgs,

    #[command(flatten)]
    options: Options,
}

pub async fn sweep(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    conduct(&args.sweep.read()?, &args.options, Part::All).await
}
