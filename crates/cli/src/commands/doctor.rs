//! `isoflop doctor`: what works on this machine, and what to do about what does not.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, anyhow};
use spec::TrainerLine;
use store::Store;

use crate::devices::{cpu_name, gpu_names, n_cores};
use crate::exit::{ALL_DONE, UNEXPECTED};
use crate::paths::trainer_program;

/// Check this machine: trainer and libtorch, devices, Slurm, database
#[derive(clap::Args)]
pub struct DoctorArgs {
    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,
}

pub async fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let checks = [
        ("program", Ok(format!("isoflop {}", env!("CARGO_PKG_VERSION")))),
        ("cpu", Ok(format!("{}, {} cores", cpu_name(), n_cores()))),
        ("gpus", Ok(gpus())),
        ("trainer", trainer()),
        ("slurm", Ok(slurm())),
        ("database", database(&args.db).await),
    ];
    let mut out = std::io::stdout().lock();
    let mut code = ALL_DONE;
    for (name, result) in checks {
        match result {
            Ok(text) => writeln!(out, "ok    {name:<9} {text}")?,
            Err(error) => {
                code = UNEXPECTED;
                writeln!(out, "BAD   {name:<9} {error:#}")?;
            }
        }
    }
    Ok(ExitCode::from(code))
}

fn gpus() -> String {
    let names = gpu_names();
    if names.is_empty() {
        "none that nvidia-smi shows; trainers use the CPU".to_owned()
    } else {
        names.join(", ")
    }
}

/// Whether `--engine slurm` would find a cluster; nothing else needs one.
fn slurm() -> String {
    let ask = |program: &str, args: &[&str]| Command::new(program).args(args).output();
    let Ok(version) = ask("sbatch", &["--version"]) else {
        return "no sbatch here; only `--engine slurm` would need it".to_owned();
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let version = text(&version.stdout);
    let name = if version.is_empty() { "sbatch" } else { version.as_str() };
    match ask("squeue", &["--me", "--noheader", "--array"]) {
        Ok(queue) if queue.status.success() => {
            format!("{name}; squeue answers, your jobs: {}", text(&queue.stdout).lines().count())
        }
        Ok(queue) => {
            let complaint = text(&queue.stderr);
            let last = complaint.lines().last().unwrap_or_default();
            format!("{name} is installed, but no cluster answers: {last}")
        }
        Err(error) => format!("{name} is installed, but squeue cannot be started: {error}"),
    }
}

/// Starts a trainer and hears what it is.
fn trainer() -> anyhow::Result<String> {
    let program = trainer_program()?;
    let mut child = Command::new(&program)
        .args(["--device", "cpu", "--threads", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", program.display()))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match TrainerLine::parse(&line) {
        Ok(TrainerLine::Ready(ready)) => Ok(format!(
            "isoflop-trainer {}, libtorch {}, {} ({})",
            ready.trainer_version, ready.libtorch_version, ready.device, ready.device_name
        )),
        _ => Err(anyhow!(
            "`{}` did not start; `make setup build` repairs it: {}",
            program.display(),
            complaint.trim()
        )),
    }
}

async fn database(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        return Ok(format!("`{}` is not there yet; `isoflop sweep` makes it", path.display()));
    }
    let store = Store::open_read_only(path).await?;
    let n = store.sweeps().await?.len();
    Ok(format!("`{}` holds {n} sweep{}", path.display(), if n == 1 { "" } else { "s" }))
}
