//! Speaks the trainer's protocol and trains nothing: results come from a known law, at once. Orders come on
//! standard input or with `--orders FILE`; `calibrate` answers for a device of 1e10 FLOP/s. Exit codes,
//! files, fences and signals are those of isoflop-trainer.
//!
//! Environment:
//!
//! - `FAKE_TRAINER_DELAY_MS` is how long a segment takes. It then takes ten slices, says its progress after
//!   each and writes an empty checkpoint after every second one; TERM, USR1 (with `--orders`) and the end of
//!   its input are seen, and a later attempt goes on from the newest checkpoint. Without a delay a segment
//!   takes no time, and nothing interrupts it.
//! - `FAKE_TRAINER_DIE` names a folder: the first attempt at each segment with an even id leaves a mark there
//!   and dies as if by a crash.
//! - `FAKE_TRAINER_HANG` names a folder: the first attempt at each segment with an odd id leaves a mark there
//!   and says nothing for ever; only a signal ends it.
//! - `FAKE_TRAINER_FAIL` names a shape that it refuses to train, `transfer` all evaluations on other tasks.
//! - `FAKE_TRAINER_OOM` is the number of examples in one pass above which memory runs out.
//! - `FAKE_TRAINER_DISK_FULL` names a file: the disk is full while it exists.
//! - `FAKE_TRAINER_DIVERGE` is the learning rate from which on trials diverge half-way.

mod attempt;
mod calibrate;
mod faults;
mod law;
mod orders;
mod record;
mod stop;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use spec::{FORMAT, Ready, TrainerLine};

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "calibrate") {
        calibrate::answer()?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = arguments.iter().position(|argument| argument == "--orders");
    match file.and_then(|at| arguments.get(at + 1)) {
        Some(file) => orders::of_file(&PathBuf::from(file)),
        None => orders::of_standard_input(),
    }
}

fn say_ready() -> io::Result<()> {
    record::say(&TrainerLine::Ready(Ready {
        format: FORMAT,
        trainer_version: "fake".into(),
        libtorch_version: "none".into(),
        device: "cpu".into(),
        device_name: "imaginary".into(),
        threads: 1,
    }))
}
