//! Reading a sweep file, as `plan` and `sweep` both do.

use std::path::PathBuf;

use anyhow::Context;
use spec::SweepSpec;

use crate::exit::bad_input;

#[derive(clap::Args)]
pub struct SweepFileArgs {
    /// The sweep file, as experiments/small.toml
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Override a key of the sweep file, as train.batch=64; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SweepFileArgs {
    pub fn read(&self) -> anyhow::Result<SweepSpec> {
        let name = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read the sweep file `{name}`"))
            .map_err(bad_input)?;
        SweepSpec::parse(&name, &text, &self.set).map_err(bad_input)
    }
}
