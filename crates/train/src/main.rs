//! isoflop-trainer: orders in on standard input, events out on standard output, logs on standard
//! error. `isoflop` starts it; nobody else needs to.

use std::io;
use std::process::ExitCode;

use clap::Parser;

/// Train segments: one order (JSON) a line on standard input, one event a line on standard output
#[derive(Parser)]
#[command(name = "isoflop-trainer", version)]
struct Arguments {
    /// Where to train: cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Threads of one operation on the CPU
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: u32,
}

const EXIT_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // First of all: libtorch remembers for good whether CUDA was there when it was first asked.
    let outcome =
        train::prepare(&arguments.device, arguments.threads).map_err(|error| error.to_string());
    let served = outcome.and_then(|setting| {
        let inputs =
            train::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
        train::serve(&setting, &inputs, &mut io::stdout(), &mut log)
            .map_err(|error| error.to_string())
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log(&message);
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

#[expect(clippy::print_stderr, reason = "standard error is where the protocol puts logs")]
fn log(message: &str) {
    eprintln!("isoflop-trainer: {message}");
}
