//! Speaks the trainer's protocol and trains nothing: results come from a known law, at once.
//!
//! Environment: `FAKE_TRAINER_DIE` names a folder; the first attempt at every second segment leaves
//! a mark there and dies as if by a crash. `FAKE_TRAINER_FAIL` names a shape that it refuses to train.
//! `FAKE_TRAINER_DELAY_MS` is how long a segment takes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use spec::{FORMAT, Order, Ready, Spent, TrainerEvent, TrainerLine};

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
    if std::env::var("FAKE_TRAINER_FAIL")
        .is_ok_and(|shape| shape == order.segment.recipe.model.shape().name)
    {
        return tell(order, TrainerEvent::Failed { reason: "it failed as it was told".into() });
    }
    if let Some(delay) =
        std::env::var("FAKE_TRAINER_DELAY_MS").ok().and_then(|text| text.parse().ok())
    {
        std::thread::sleep(Duration::from_millis(delay));
    }
    let flops = order.segment.end as f64 * order.segment.recipe.step_flops();
    let error = test_support::known_error(flops, order.segment.recipe.seed);
    let metrics =
        BTreeMap::from([("val_error".to_owned(), error), ("val_loss".to_owned(), 2.0 * error)]);
    let step = order.segment.end;
    tell(order, TrainerEvent::Evaluated { step, metrics })?;
    // Empty, but there: a coordinator trains a parent again whose checkpoint is gone.
    fs::create_dir_all(order.checkpoints.join(spec::checkpoint_name(step)))?;
    let spent = Spent { steps: order.segment.steps(), device_s: 0.001, data_s: 0.0 };
    tell(order, TrainerEvent::Finished { step, spent })
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
