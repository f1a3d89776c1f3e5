//! The trainer's step on command, for bench/step.py: a line `{"spec": .., "train": .., "batch": n}` makes
//! a model (docs/models.md has both tables), a line `n` takes n steps with it and answers with their
//! seconds and the last loss; a line `memory` answers with the most bytes that the process has had in
//! memory so far.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use data::Draw;
use serde_json::Value;
use tch::{Kind, Tensor};
use train::{Batch, Learner, Setting};

struct State {
    learner: Learner,
    batch: Batch,
    learning_rate: f64,
    done: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: bench_step THREADS [DEVICE]")?.parse()?;
    let device = std::env::args().nth(2).unwrap_or_else(|| "cpu".to_owned());
    let setting = train::prepare(&device, threads)?;
    let mut state: Option<State> = None;
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "memory" {
            writeln!(out, "{}", peak_bytes()?)?;
            out.flush()?;
            continue;
        }
        match (line.trim().parse::<u64>(), &mut state) {
            (Ok(steps), Some(state)) => {
                let (seconds, loss) = take(state, steps)?;
                writeln!(out, "{seconds} {loss}")?;
            }
            _ => {
                state = Some(start(&serde_json::from_str(&line)?, &setting)?);
                writeln!(out, "ready")?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn start(what: &Value, setting: &Setting) -> Result<State, Box<dyn std::error::Error>> {
    let batch = u32::try_from(what["batch"].as_u64().ok_or("`batch` is missing")?)?;
    let spec = spec::model_from_json("spec", &what["spec"].to_string())?;
    let train = spec::train_from_json("train", &what["train"].to_string(), batch)?;
    let learning_rate = train.learning_rate;
    let side = i64::from(spec.resolution());
    let options = (Kind::Float, setting.device);
    let images = Tensor::rand([batch.into(), 3, side, side], options) * 2.0 - 1.0;
    let classes = i64::from(spec.classes());
    let labels = Tensor::randint(classes, [i64::from(batch)], (Kind::Int64, setting.device));
    let draws = (0..batch.into()).map(|index| Draw { index, epoch: 0 }).collect();
    let learner = Learner::of(&spec, &train, 0, &models::initial(&spec, 0), setting.device)?;
    Ok(State { learner, batch: Batch { images, labels, draws }, learning_rate, done: 0 })
}

/// Linux's high-water mark of resident memory.
fn peak_bytes() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(1024 * kib)
}

/// Seconds of `steps` steps, and the last one's loss; reading it waits for the device.
fn take(state: &mut State, steps: u64) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut loss = f64::NAN;
    for step in 0..steps {
        let measured = state.learner.step(&state.batch, state.done, state.learning_rate)?;
        state.done += 1;
        if step + 1 == steps {
            loss = measured.loss.double_value(&[]);
        }
    }
    Ok((start.elapsed().as_secs_f64(), loss))
}
