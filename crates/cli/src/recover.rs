//! After a coordinator that did not end by itself: what its trainers wrote down is read before
//! anything is started again.

use std::collections::HashMap;
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

/// An attempt in a queue, which may go on.
#[derive(Clone, Debug)]
pub struct Queued {
    pub attempt: RunningAttempt,
    /// Everything that it has said, which is stored.
    pub events: Vec<TrainerEvent>,
    /// Bytes of those.
    pub known_bytes: u64,
}

/// Brings the store up to date with every attempt that it believes to be running, and gives up those
/// on this machine that did not end. Returns those in a queue that did not.
pub async fn recover(store: &Store, workplace: &Workplace) -> anyhow::Result<Vec<Queued>> {
    let attempts = store.running_attempts().await?;
    let (queued, local): (Vec<_>, Vec<_>) =
        attempts.into_iter().partition(|attempt| attempt.job.is_some());
    let deadline = Instant::now() + PATIENCE;
    for attempt in &local {
        wait_for_end(attempt, deadline).await?;
        replay(store, workplace, attempt).await?;
    }
    store.lose_attempts(&local, "its coordinator ended", now()).await?;
    let mut written = HashMap::new();
    for attempt in queued {
        let events = replay(store, workplace, &attempt).await?;
        written.insert((attempt.segment_id, attempt.attempt), events);
    }
    let going_on = |attempt: RunningAttempt| {
        let Written { events, bytes, .. } =
            written.remove(&(attempt.segment_id, attempt.attempt)).unwrap_or_default();
        Queued { attempt, events, known_bytes: bytes }
    };
    Ok(store.running_attempts().await?.into_iter().map(going_on).collect())
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

/// What an attempt has written down: complete lines.
#[derive(Debug, Default)]
struct Written {
    events: Vec<TrainerEvent>,
    bytes: u64,
    /// When it wrote last.
    at: UnixSeconds,
}

/// Stores the events that the attempt wrote down but its coordinator did not live to store.
async fn replay(
    store: &Store,
    workplace: &Workplace,
    attempt: &RunningAttempt,
) -> anyhow::Result<Written> {
    let path = workplace.attempt(attempt.segment_id, attempt.attempt).join("events.jsonl");
    let written = read(&path)?;
    if !written.events.is_empty() {
        store.catch_up(attempt.segment_id, attempt.attempt, &written.events, written.at).await?;
    }
    Ok(written)
}

/// What a file of events says; nothing where there is no file.
fn read(path: &Path) -> anyhow::Result<Written> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Written::default()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let since = modified.ok().and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    let at = since.map_or_else(now, |since| since.as_secs_f64());
    let mut written = Written { at, ..Written::default() };
    // The last line may be cut where the trainer was killed, or is writing.
    for line in text.split_inclusive('\n').take_while(|line| line.ends_with('\n')) {
        let Ok(TrainerLine::Event { event, .. }) = TrainerLine::parse(line) else { break };
        written.events.push(event);
        written.bytes += line.len() as u64;
    }
    Ok(written)
}
