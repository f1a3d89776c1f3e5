//! `isoflop retry`: go on with a stored sweep, without its file.

use std::process::ExitCode;

use store::Store;

use crate::conduct::{Options, Part, conduct};
use crate::exit::bad_input;
use crate::stored::stored_sweep;

/// Go on with a stored sweep, without its file; what failed is tried again
///
/// As `isoflop sweep` of the same file and overrides.
#[derive(clap::Args)]
pub struct RetryArgs {
    /// Name of the sweep
    #[arg(value_name = "SWEEP")]
    name: String,

    /// Only segments that failed, and what waits for them
    #[arg(long)]
    failed: bool,

    #[command(flatten)]
    options: Options,
}

pub async fn retry(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_read_only(&args.options.db).await.map_err(bad_input)?;
    let sweep = stored_sweep(&store, &args.options.db, &args.name).await?;
    store.close().await;
    let part = if args.failed { Part::Failed } else { Part::All };
    conduct(&sweep, &args.options, part).await
}
