//! After a coordinator that did not end by itself: what its trainers wrote down is read before
//! anything is started again.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use spec::TrainerLine;
use store::{RunningAttempt, Store};

use crate::journal::now;
use crate::paths::Workplace;
use crate::progress::say;

/// How long an orphaned trainer may take to write its checkpoint and end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Brings the store up to date with every attempt that it believes to be running, and gives up
/// those that did not end.
pub async fn recover(store: &Store, workplace: &Workplace) -> anyhow::Result<()> {
    let attempts = store.running_attempts().await?;
    let deadline = Instant::now() + PATIENCE;
    for attempt in &attempts {
        wait_for_end(attempt, deadline).await?;
        replay(store, workplace, attempt).await?;
    }
    if !attempts.is_empty() {
        store.lose_attempts("its coordinator ended", now()).await?;
    }
    Ok(())
}

/// A trainer whose input has closed writes a checkpoint and ends; two may not write one segment. One
/// that takes too long is killed: its checkpoints are whole or not there.
async fn wait_for_end(attempt: &RunningAttempt, deadline: Instant) -> anyhow::Result<()> {
    let mut is_told = false;
    while is_trainer(attempt.pid) {
        if !is_told {
            say(&format!(
                "waiting for the trainer of an earlier sweep to end (process {})",
                attempt.pid
            ));
            is_told = true;
        }
        if Instant::now() > deadline {
            Command::new("kill")
                .args(["-9", &attempt.pid.to_string()])
                .status()
                .context("cannot start `kill`")?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether the process is alive and a trainer: numbers are used again.
fn is_trainer(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains("-trainer\0--device")
}

/// Stores the events that the attempt wrote down but its coordinator did not live to store.
async fn replay(
    store: &Store,
    workplace: &Workplace,
    attempt: &RunningAttempt,
) -> anyhow::Result<()> {
    let path = workplace.attempt(attempt.segment_id, attempt.attempt).join("events.jsonl");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    for line in text.lines() {
        // The last line may be cut where the trainer was killed.
        let Ok(TrainerLine::Event { segment_id, attempt, event, .. }) = TrainerLine::parse(line)
        else {
            break;
        };
        store.record(segment_id, attempt, &event, now()).await?;
    }
    Ok(())
}
