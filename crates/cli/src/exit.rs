//! Exit codes, and which error means which. README.md lists them; tests assert them.

use std::process::ExitCode;

pub const ALL_DONE: u8 = 0;
pub const UNEXPECTED: u8 = 1;
/// The user's input or usage; clap uses the same code.
pub const BAD_INPUT: u8 = 2;
pub const SOME_TRIALS_FAILED: u8 = 10;
pub const TOO_FEW_POINTS: u8 = 11;
/// Of `--budget-flops` or `--budget-hours`: what is left was not started.
pub const BUDGET_REACHED: u8 = 12;
pub const INTERRUPTED: u8 = 130;

/// An error that ends the program with a code of its own.
#[derive(Debug)]
struct Coded {
    code: u8,
    error: anyhow::Error,
}

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Coded {}

/// What the user gave cannot be worked with.
pub fn bad_input(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Coded { code: BAD_INPUT, error: error.into() }.into()
}

/// There are not enough points for what was asked.
pub fn too_few_points(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Coded { code: TOO_FEW_POINTS, error: error.into() }.into()
}

/// Prints an error, if there is one, and gives the code to exit with.
#[expect(clippy::print_stderr, reason = "the one place where errors meet people")]
pub fn code_of(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::from(ALL_DONE),
        Err(error) => {
            eprintln!("isoflop: {error:#}");
            ExitCode::from(error.downcast_ref::<Coded>().map_or(UNEXPECTED, |coded| coded.code))
        }
    }
}

/// A reader that has seen enough, as in `isoflop query .. | head`, is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
