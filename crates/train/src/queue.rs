//! Orders out of a file, for a queue that executes a job of many, may end it at any time and start it
//! again: what has a last event is not executed again, and the attempt that was paused, or was ended
//! without a word, goes on as the same attempt.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use spec::{LineError, Order, TrainerEvent, TrainerLine};

use crate::device::Setting;
use crate::failure::is_end_of_process;
use crate::serve::{follow, say_ready};
use crate::stop::{Request, Stop};

#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    #[error("cannot read orders `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("`{path}`, line {line}: bad order: {error}")]
    Line { path: PathBuf, line: usize, error: LineError },
}

/// How a file of orders was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every order that could be executed has finished or diverged.
    Done,
    /// Some failed or were interrupted, or the end was asked for before they were begun.
    NotDone,
    /// To be started again with the same file.
    Paused,
}

impl Ended {
    /// The trainer's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotDone => 1,
            Self::Paused => spec::PAUSED_EXIT_CODE,
        }
    }
}

/// The orders of a file, one a line.
///
/// # Errors
/// A file that cannot be read, a line that is no order.
pub fn read_orders(path: &Path) -> Result<Vec<Order>, OrdersError> {
    let text = fs::read_to_string(path)
        .map_err(|error| OrdersError::Read { path: path.to_owned(), error })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            Order::parse(line).map_err(|error| OrdersError::Line {
                path: path.to_owned(),
                line: at + 1,
                error,
            })
        })
        .collect()
}

/// Executes orders one after the other until a stop is requested; `log` takes what is no event. An order
/// whose parent is one of them and did not finish is passed over without a word: it was never begun.
pub fn serve_queue(
    setting: &Setting,
    orders: &[Order],
    stop: &Stop,
    out: &mut dyn Write,
    log: &mut dyn FnMut(&str),
) -> Ended {
    say_ready(setting, out);
    let (mut kept, mut is_finished) = (None, BTreeMap::new());
    let mut ended = Ended::Done;
    for order in orders {
        let parent = order.segment.parent.and_then(|parent| is_finished.get(&parent));
        if parent == Some(&false) {
            is_finished.insert(order.segment_id, false);
            continue;
        }
        let last = match (last_event(order), stop.requested()) {
            (Some(last), _) => last,
            (None, Some(Request::Pause)) => return Ended::Paused,
            (None, Some(Request::End)) => return Ended::NotDone,
            (None, None) => follow(order, &mut kept, setting, stop, out, log),
        };
        is_finished.insert(order.segment_id, matches!(last, TrainerEvent::Finished { .. }));
        if is_end_of_process(&last) {
            return Ended::NotDone;
        }
        match last {
            TrainerEvent::Finished { .. } | TrainerEvent::Diverged { .. } => {}
            TrainerEvent::Paused { .. } => return Ended::Paused,
            TrainerEvent::Interrupted { .. }
            | TrainerEvent::Failed { .. }
            | TrainerEvent::Started { .. }
            | TrainerEvent::Progress { .. }
            | TrainerEvent::Evaluated { .. }
            | TrainerEvent::Checkpointed { .. } => ended = Ended::NotDone,
        }
    }
    ended
}

/// What the attempt ended with when the file was executed before.
fn last_event(order: &Order) -> Option<TrainerEvent> {
    let text = fs::read_to_string(order.attempt_dir.join("exit.json")).ok()?;
    match TrainerLine::parse(&text).ok()? {
        TrainerLine::Event { event, .. } => Some(event),
        TrainerLine::Ready(_) => None,
    }
}
