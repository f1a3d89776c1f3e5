//! `isoflop logs`: what the attempts at a trial's segments logged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use spec::{SegmentId, SegmentKind, TrialId};
use store::{PastAttempt, Store, TrialState};

use crate::exit::{ALL_DONE, bad_input};
use crate::journal::now;
use crate::paths::Workplace;
use crate::progress::say;
use crate::when::utc;

/// Show what every attempt at a trial's segments logged
///
/// Segments come in the order of the trial, the attempts at each in theirs, each under a heading: what
/// it was, where, how it ended, when and how long. `isoflop query "select trial_id, shape, state from
/// trial_result"` lists trials.
#[derive(clap::Args)]
pub struct LogsArgs {
    /// Id of the trial, or its beginning
    #[arg(value_name = "TRIAL")]
    trial: String,

    /// Only this segment: its id, or its beginning
    #[arg(long, value_name = "ID")]
    segment: Option<String>,

    /// Only the attempt of this number
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,

    /// Go on with what is logged until the trial has ended
    #[arg(long)]
    follow: bool,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,
}

/// Between two looks at logs that grow.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Of trials that an ambiguous beginning may mean.
const MAX_LISTED: usize = 20;

pub async fn logs(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_read_only(&args.db).await.map_err(bad_input)?;
    let trial = args.trial(&store).await?;
    let mut shown = Shown::new(Workplace::of(&args.db));
    loop {
        // Asked for first: what is logged between the two questions is then not missed.
        let states = store.trial_states(trial).await?;
        let attempts = store.attempts_of(trial).await?;
        let has_ended = states.into_iter().all(is_over)
            && attempts.iter().all(|attempt| attempt.ended_at.is_some());
        let attempts: Vec<_> = attempts.iter().filter(|attempt| args.is_wanted(attempt)).collect();
        for attempt in &attempts {
            shown.show(attempt)?;
        }
        if !args.follow || has_ended {
            if attempts.is_empty() {
                say(&format!("no such attempt at trial {trial} yet"));
            }
            return Ok(ExitCode::from(ALL_DONE));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl LogsArgs {
    async fn trial(&self, store: &Store) -> anyhow::Result<TrialId> {
        let digits = &self.trial;
        match store.trials_beginning_with(digits).await?.as_slice() {
            [trial] => Ok(*trial),
            [] => Err(bad_input(anyhow!(
                "no trial's id begins with `{digits}`; `isoflop query \"select trial_id from trial\"` lists them"
            ))),
            trials => {
                let some = trials.iter().take(MAX_LISTED).map(TrialId::to_string);
                let listed = some.collect::<Vec<_>>().join("\n");
                let more = if trials.len() > MAX_LISTED { "\n.." } else { "" };
                Err(bad_input(anyhow!(
                    "`{digits}` is the beginning of {} trials; give more of one:\n{listed}{more}",
                    trials.len()
                )))
            }
        }
    }

    fn is_wanted(&self, attempt: &PastAttempt) -> bool {
        let id = attempt.segment_id.to_string();
        let is_segment = |digits: &String| id.starts_with(&digits.to_ascii_lowercase());
        self.segment.as_ref().is_none_or(is_segment)
            && self.attempt.is_none_or(|number| number == attempt.attempt)
    }
}

/// Whether nothing more happens to a trial by itself.
const fn is_over(state: TrialState) -> bool {
    match state {
        TrialState::Finished | TrialState::Diverged | TrialState::Failed => true,
        TrialState::Pending | TrialState::Running => false,
    }
}

/// What of which attempt was shown already.
struct Shown {
    workplace: Workplace,
    attempts: HashMap<(SegmentId, u32), Part>,
}

struct Part {
    /// Bytes of its log.
    bytes: u64,
    is_over: bool,
}

impl Shown {
    fn new(workplace: Workplace) -> Self {
        Self { workplace, attempts: HashMap::new() }
    }

    /// What is new of an attempt, with a heading at the first time.
    fn show(&mut self, attempt: &PastAttempt) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let log = self.workplace.log(attempt.segment_id, attempt.attempt);
        let key = (attempt.segment_id, attempt.attempt);
        let is_over = attempt.ended_at.is_some();
        match self.attempts.get_mut(&key) {
            None => {
                writeln!(out, "== {}", heading(attempt))?;
                let bytes = copy(&log, 0, is_over, &mut out)?;
                if is_over && bytes == 0 {
                    writeln!(out, "(nothing was logged in `{}`)", log.display())?;
                }
                self.attempts.insert(key, Part { bytes, is_over });
            }
            Some(part) => {
                part.bytes += copy(&log, part.bytes, is_over, &mut out)?;
                if is_over && !part.is_over {
                    part.is_over = true;
                    writeln!(out, "== {}", ending(attempt))?;
                }
            }
        }
        Ok(out.flush()?)
    }
}

/// `trunk 0..80, attempt 1 on cpu, 2026-11-27 09:32:56Z: finished after 12s, segment 5b..`.
fn heading(attempt: &PastAttempt) -> String {
    let job = attempt.job.as_ref().map_or_else(String::new, |job| format!(" in job {job}"));
    format!(
        "{} {}..{}, attempt {} on {}{job}, {}: {}, segment {}",
        word(attempt.kind),
        attempt.start_step,
        attempt.end_step,
        attempt.attempt,
        attempt.device,
        utc(attempt.started_at),
        ending(attempt),
        attempt.segment_id
    )
}

/// `lost after 12s (by signal 9)`.
fn ending(attempt: &PastAttempt) -> String {
    let end = attempt.ended_at.unwrap_or_else(now);
    let after = if attempt.ended_at.is_some() { "after" } else { "since" };
    let reason = attempt.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{} {after} {}{reason}", attempt.outcome, report::duration(end - attempt.started_at))
}

/// What people call it.
pub const fn word(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Trunk => "trunk",
        SegmentKind::Cooldown => "cooldown",
        SegmentKind::Whole => "whole",
        SegmentKind::Transfer => "evaluation",
    }
}

/// Copies a file from `start` on, and ends its last line if it is over; how many bytes there were. One
/// that is not there has none.
fn copy(path: &Path, start: u64, is_over: bool, out: &mut impl Write) -> anyhow::Result<u64> {
    let context = || format!("cannot read `{}`", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).with_context(context),
    };
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(start)).with_context(context)?;
    file.read_to_end(&mut text).with_context(context)?;
    out.write_all(&text)?;
    if is_over && text.last().is_some_and(|last| *last != b'\n') {
        writeln!(out)?;
    }
    Ok(text.len() as u64)
}
