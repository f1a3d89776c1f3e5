//! After a coordinator that did not end by itself: what its trainers wrote down is read before
//! anything is started again.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::Context;
use spec::{TrainerEvent, TrainerLine};
use store::{RunningAttempt, Store, UnixSeconds};

use crate::journal::now;
use crate::paths::Workplace;
use crate::progress::say;

/// How long an orphaned trainer may take to write its checkpoint and end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Brings the store up to date with every attempt on this machine that it believes to be running, and
/// gives up those that did not end. Returns those that are in a queue, which may go on.
pub async fn recover(store: &Store, workplace: &Workplace) -> anyhow::Result<Vec<RunningAttempt>> {
    let attempts = store.running_attempts().await?;
    let (queued, local): (Vec<_>, Vec<_>) =
        attempts.into_iter().partition(|attempt| attempt.job.is_some());
    let deadline = Instant::now() + PATIENCE;
    for attempt in &local {
        wait_for_end(attempt, deadline).await?;
        replay(store, workplace, attempt).await?;
    }
    store.lose_attempts(&local, "its coordinator ended", now()).await?;
    Ok(queued)
}

/// A trainer whose input has closed writes a checkpoint and ends; two may not write one segment. One
/// that takes too long is killed: its checkpoints are whole or not there.
async fn wait_for_end(attempt: &RunningAttempt, deadline: Instant) -> anyhow::Result<()> {
    let Some(pid) = attempt.pid else { return Ok(()) };
    let mut is_told = false;
    while is_trainer(pid) {
        if !is_told {
            say(&format!("waiting for the trainer of an earlier sweep to end (process {pid})"));
            is_told = true;
        }
        if Instant::now() > deadline {
            Command::new("kill")
                .args(["-9", &pid.to_string()])
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
pub async fn replay(
    store: &Store,
    workplace: &Workplace,
    attempt: &RunningAttempt,
) -> anyhow::Result<()> {
    let path = workplace.attempt(attempt.segment_id, attempt.attempt).join("events.jsonl");
    if let Some((events, at)) = events(&path)? {
        store.catch_up(attempt.segment_id, attempt.attempt, &events, at).await?;
    }
    Ok(())
}

/// What a file of events says, and when it was last written; None where there is no file.
fn events(path: &Path) -> anyhow::Result<Option<(Vec<TrainerEvent>, UnixSeconds)>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    let written = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let since = written.ok().and_then(|written| written.duration_since(UNIX_EPOCH).ok());
    let at = since.map_or_else(now, |since| since.as_secs_f64());
    // The last line may be cut where the trainer was killed.
    let event = |line: &str| match TrainerLine::parse(line) {
        Ok(TrainerLine::Event { event, .. }) => Some(event),
        Ok(TrainerLine::Ready(_)) | Err(_) => None,
    };
    Ok(Some((text.lines().map_while(event).collect(), at)))
}
