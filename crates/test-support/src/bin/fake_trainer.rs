//! Speaks the trainer's protocol and trains nothing: results come from a known law, at once.
//!
//! Environment: `FAKE_TRAINER_DIE` names a folder; the first attempt at every second segment leaves
//! a mark there and dies as if by a crash. `FAKE_TRAINER_FAIL` names a shape that it refuses to train,
//! `transfer` all evaluations on other tasks. `FAKE_TRAINER_DIVERGE` is the learning rate from which on
//! trials diverge half-way. `FAKE_TRAINER_DELAY_MS` is how long a segment takes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use spec::{
    FORMAT, Order, Ready, SegmentSpec, Spent, TrainerEvent, TrainerLine, TransferMethod,
    TransferSpec,
};

fn main() -> io::Result<()> {
    say(&TrainerLine::Ready(Ready {
        format: FORMAT,
        trainer_version: "fake".into(),
        libtorch_version: "none".into(),
        device: "cpu".into(),
        device_name: "imaginary".into(),
        threads: 1,
    }))?;
    for line in io::stdin().lock().lines() {
        let order = Order::parse(&line?).map_err(io::Error::other)?;
        attempt(&order)?;
    }
    Ok(())
}

fn attempt(order: &Order) -> io::Result<()> {
    fs::create_dir_all(&order.attempt_dir)?;
    tell(order, TrainerEvent::Started { step: order.segment.start })?;
    if dies(order)? {
        std::process::abort();
    }
    if std::env::var("FAKE_TRAINER_FAIL").is_ok_and(|what| is_refused(&order.segment, &what)) {
        return tell(
            order,
            TrainerEvent::Failed {
                reason: "it failed as it was told".into(),
                failure: spec::Failure::Other,
            },
        );
    }
    if let Some(delay) = number("FAKE_TRAINER_DELAY_MS") {
        std::thread::sleep(Duration::from_secs_f64(1e-3 * delay));
    }
    if number("FAKE_TRAINER_DIVERGE").is_some_and(|rate| diverges(&order.segment, rate)) {
        let steps = order.segment.steps() / 2;
        let spent = Spent { steps, device_s: 0.001, data_s: 0.0, peak_bytes: None };
        let step = order.segment.start + steps;
        return tell(order, TrainerEvent::Diverged { step, spent });
    }
    let step = order.segment.end;
    tell(order, TrainerEvent::Evaluated { step, metrics: metrics(&order.segment) })?;
    // Empty, but there: a coordinator trains a parent again whose checkpoint is gone.
    fs::create_dir_all(order.checkpoints.join(spec::checkpoint_name(step)))?;
    let spent =
        Spent { steps: steps(&order.segment), device_s: 0.001, data_s: 0.0, peak_bytes: None };
    tell(order, TrainerEvent::Finished { step, spent })
}

fn number(variable: &str) -> Option<f64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn is_refused(segment: &SegmentSpec, what: &str) -> bool {
    match &segment.transfer {
        Some(_) => what == "transfer",
        None => what == segment.recipe.model.shape_name(),
    }
}

/// Steps that are executed: none where features are enough.
fn steps(segment: &SegmentSpec) -> u64 {
    match segment.transfer.as_ref().map(|task| &task.method) {
        Some(TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_)) => 0,
        Some(TransferMethod::FineTune(_)) | None => segment.steps(),
    }
}

fn diverges(segment: &SegmentSpec, rate: f64) -> bool {
    segment.transfer.is_none() && segment.recipe.train.learning_rate >= rate
}

/// What a segment measures at its end: the known law, on every task a little worse.
fn metrics(segment: &SegmentSpec) -> BTreeMap<String, f64> {
    let steps = if segment.transfer.is_some() { segment.start } else { segment.end };
    let flops = steps as f64 * segment.recipe.step_flops();
    let error = test_support::known_error(flops, segment.recipe.seed);
    let of_trial = || {
        let mut metrics =
            vec![("val_error".to_owned(), error), ("val_loss".to_owned(), 2.0 * error)];
        if segment.recipe.eval.attention {
            metrics.push(("attention_logit_max".to_owned(), 3.0 + 1.0 / error));
            metrics.push(("attention_entropy".to_owned(), 2.0 * error));
        }
        metrics
    };
    let all = segment.transfer.as_ref().map_or_else(of_trial, |task| of_task(task, error));
    all.into_iter().collect()
}

fn of_task(task: &TransferSpec, error: f64) -> Vec<(String, f64)> {
    let error_and_loss = |name: &str| {
        vec![
            (task.metric(&format!("{name}_error")), 1.1 * error),
            (task.metric(&format!("{name}_loss")), 2.2 * error),
        ]
    };
    match &task.method {
        TransferMethod::FewShot(few) => {
            let of = |shots: &u32| {
                let worse = 1.1 + 1.0 / f64::from(*shots);
                (task.metric(&format!("few_shot_{shots}_error")), worse * error)
            };
            few.shots.iter().map(of).collect()
        }
        TransferMethod::LinearProbe(_) => error_and_loss("linear_probe"),
        TransferMethod::FineTune(_) => error_and_loss("fine_tune"),
    }
}

/// Whether this is a segment with an even id that has not died yet; marks it as dead.
fn dies(order: &Order) -> io::Result<bool> {
    let Some(folder) = std::env::var_os("FAKE_TRAINER_DIE") else { return Ok(false) };
    let id = order.segment_id.to_string();
    let mark = std::path::Path::new(&folder).join(&id);
    let is_even = id.as_bytes().last().is_some_and(|digit| digit % 2 == 0);
    if !is_even || mark.exists() {
        return Ok(false);
    }
    fs::write(mark, "")?;
    Ok(true)
}

/// One line to the coordinator and to the attempt's own files, as a real trainer does.
fn tell(order: &Order, event: TrainerEvent) -> io::Result<()> {
    let is_last = event.is_last();
    let line = TrainerLine::Event {
        format: FORMAT,
        segment_id: order.segment_id,
        attempt: order.attempt,
        event,
    };
    let text = serde_json::to_string(&line)?;
    let mut events = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(order.attempt_dir.join("events.jsonl"))?;
    writeln!(events, "{text}")?;
    if is_last {
        let temporary = order.attempt_dir.join("exit.json.tmp");
        fs::write(&temporary, &text)?;
        fs::rename(temporary, order.attempt_dir.join("exit.json"))?;
    }
    say(&line)
}

fn say(line: &TrainerLine) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(line)?)?;
    stdout.flush()
}
