//! isoflop-trainer: orders in on standard input, events out on standard output, logs on standard
//! error. `isoflop` starts it; nobody else needs to.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use spec::Resample;
use tch::Kind;
use train::{Files, Setting};

/// Train segments: one order (JSON) a line on standard input, one event a line on standard output
///
/// TERM, or the end of the input: write a checkpoint and end.
#[derive(Parser)]
#[command(name = "isoflop-trainer", version)]
struct Arguments {
    /// Where to train: cpu or cuda:N
    #[arg(long, default_value = "cpu", global = true)]
    device: String,
    /// Threads of one operation on the CPU
    #[arg(long, value_name = "N", default_value_t = 1, global = true)]
    threads: u32,
    /// Take the orders of this file and leave standard input alone
    ///
    /// For a queue's job. TERM: write a checkpoint and end. USR1: write a checkpoint and exit with 85;
    /// started again with the same file, the attempt goes on. Exit 1: an order failed or was interrupted.
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run weights forward on a batch of images
    ///
    /// Weights carry timm's names. Docs: docs/models.md.
    Forward(ForwardArgs),
    /// Apply optimiser steps to weights, all on one batch, and write the weights back
    ///
    /// Prints a JSON line for each step: its number, loss and gradient norm. Docs: docs/models.md.
    TrainStep(TrainStepArgs),
    /// Measure what a step of a segment takes, on random images
    ///
    /// Reads a segment (JSON) on standard input and prints seconds of a step and of evaluating an example,
    /// and the most memory held, as a JSON line; memory that runs out is an answer, too.
    Calibrate(CalibrateArgs),
}

#[derive(Args)]
struct FileArgs {
    /// The table `[model]` of a sweep file as JSON, with shape, resolution and classes
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Parameters under timm's names
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Tensor `x [batch, 3, height, width]` in `[-1, 1]`; to train also labels `y [batch]`
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the result goes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Kind of all numbers
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
}

#[derive(Args)]
struct ForwardArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Write what the classifier reads, too
    #[arg(long)]
    features: bool,
    /// Bring position embeddings of another grid to the spec's: bilinear is big_vision's, bicubic timm's
    #[arg(long, value_enum)]
    resample_positions: Option<ResampleArg>,
}

#[derive(Args)]
struct TrainStepArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The table `[train]` of a sweep file as JSON, with one learning rate
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Optimiser steps
    #[arg(long, value_name = "N", default_value_t = 1)]
    steps: u64,
}

#[derive(Args)]
struct CalibrateArgs {
    /// Seconds to take steps for, unless twenty take less
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    F64,
}

#[derive(Clone, Copy, ValueEnum)]
enum ResampleArg {
    Bilinear,
    Bicubic,
}

const EXIT_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match act(&arguments) {
        Ok(code) => code,
        Err(message) => {
            log(&message);
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

fn act(arguments: &Arguments) -> Result<ExitCode, String> {
    let Some(command) = &arguments.command else {
        return match &arguments.orders {
            None => serve(&prepare(arguments)?),
            Some(path) => serve_queue(path, arguments),
        };
    };
    let setting = prepare(arguments)?;
    match command {
        Command::Forward(args) => forward(args, &setting)?,
        Command::TrainStep(args) => train_step(args, &setting)?,
        Command::Calibrate(args) => calibrate(args, &setting)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// To be called before anything else of libtorch: it remembers for good whether CUDA was there when it
/// was first asked.
fn prepare(arguments: &Arguments) -> Result<Setting, String> {
    train::prepare(&arguments.device, arguments.threads).map_err(|error| error.to_string())
}

fn serve(setting: &Setting) -> Result<ExitCode, String> {
    let inputs = train::listen().map_err(no_signals)?;
    train::serve(setting, &inputs, &mut io::stdout(), &mut log)
        .map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn serve_queue(path: &Path, arguments: &Arguments) -> Result<ExitCode, String> {
    // Before libtorch is loaded: a queue may send its signals at any time.
    let stop = train::listen_to_queue().map_err(no_signals)?;
    let orders = train::read_orders(path).map_err(|error| error.to_string())?;
    let setting = prepare(arguments)?;
    let ended = train::serve_queue(&setting, &orders, &stop, &mut io::stdout(), &mut log);
    Ok(ExitCode::from(ended.exit_code()))
}

fn no_signals(error: io::Error) -> String {
    format!("cannot listen to signals: {error}")
}

fn calibrate(args: &CalibrateArgs, setting: &Setting) -> Result<(), String> {
    let time = Duration::try_from_secs_f64(args.seconds)
        .map_err(|_| "`--seconds` must be a number of seconds, 0 or more".to_owned())?;
    let segment = serde_json::from_reader(io::stdin().lock())
        .map_err(|error| format!("standard input is no segment: {error}"))?;
    let found =
        train::calibrate(&segment, setting, time).map_err(|error| format!("calibrate: {error}"))?;
    let line = serde_json::to_string(&found).map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{line}").map_err(|error| format!("cannot answer: {error}"))
}

fn forward(args: &ForwardArgs, setting: &Setting) -> Result<(), String> {
    let resample = args.resample_positions.map(|how| match how {
        ResampleArg::Bilinear => Resample::Bilinear,
        ResampleArg::Bicubic => Resample::Bicubic,
    });
    train::forward(
        &args.files.paths(),
        args.files.dtype.kind(),
        args.features,
        resample,
        setting.device,
    )
    .map_err(|error| error.to_string())
}

fn train_step(args: &TrainStepArgs, setting: &Setting) -> Result<(), String> {
    let mut out = io::stdout();
    let mut tell = |step: u64, loss: f64, norm: f64| {
        let line = serde_json::json!({ "step": step, "loss": loss, "gradient_norm": norm });
        // A reader that is gone misses lines; the weights are written all the same.
        let _ = writeln!(out, "{line}");
    };
    let (files, kind) = (args.files.paths(), args.files.dtype.kind());
    train::train_step(&files, &args.train, args.steps, kind, setting.device, &mut tell)
        .map_err(|error| error.to_string())
}

impl FileArgs {
    fn paths(&self) -> Files<'_> {
        let Self { spec, weights, input, output, .. } = self;
        Files { spec, weights, input, output }
    }
}

impl Dtype {
    const fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::F64 => Kind::Double,
        }
    }
}

/// Standard error is where the protocol puts logs. It may be a file on a disk that is full: what cannot be
/// written there is no reason to stop.
fn log(message: &str) {
    let _ = writeln!(io::stderr(), "isoflop-trainer: {message}");
}
