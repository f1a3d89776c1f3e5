//! What crosses the process boundary: an [`Order`] per line to a trainer's standard input, a
//! [`TrainerLine`] per line from its standard output and in its attempt's `events.jsonl`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::FORMAT;
use crate::id::SegmentId;
use crate::segment::SegmentSpec;

/// Train this segment. A warm trainer takes the next order when it has ended the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub format: u32,
    pub segment_id: SegmentId,
    /// Fence number of this execution, from 1; a larger one has replaced it when they meet.
    pub attempt: u32,
    pub segment: SegmentSpec,
    /// Folder of the parent's checkpoints; None when the segment starts from initialisation.
    pub parent_checkpoints: Option<PathBuf>,
    /// Folder that this segment's checkpoints go into. One of step `segment.end` is its result, an
    /// earlier one is where an interrupted attempt is continued.
    pub checkpoints: PathBuf,
    /// Folder of this attempt's `events.jsonl` and `exit.json`.
    pub attempt_dir: PathBuf,
    /// Folder for decoded or rendered examples, shared by all trainers.
    pub cache: PathBuf,
    /// Examples in one forward and backward pass, where memory ran out with what the recipe says. The
    /// batch stays, so the numbers do, but for rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
}

/// One line of a trainer's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum TrainerLine {
    /// Once, before the first order is read.
    Ready(Ready),
    Event {
        format: u32,
        segment_id: SegmentId,
        attempt: u32,
        event: TrainerEvent,
    },
}

/// What the trainer is and runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub format: u32,
    pub trainer_version: String,
    pub libtorch_version: String,
    /// `cpu` or `cuda:0`; the device's own name follows.
    pub device: String,
    pub device_name: String,
    pub threads: u32,
}

/// What happened in a segment, in the order it happened. Losses are means over examples, in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum TrainerEvent {
    /// Training begins after `step` finished steps: the segment's start, or where an interrupted attempt stood.
    Started { step: u64 },
    /// Means over the steps since the last progress event.
    Progress {
        step: u64,
        train_loss: f64,
        gradient_norm: f64,
        learning_rate: f64,
        examples_per_s: f64,
    },
    /// Metrics by their stored names: `val_loss`, `val_error`.
    Evaluated { step: u64, metrics: BTreeMap<String, f64> },
    /// A checkpoint is whole on disk; `digest` is the blake3 hash of its tensors.
    Checkpointed { step: u64, digest: String, bytes: u64 },
    /// The segment's last step is done, evaluated and checkpointed.
    Finished { step: u64, spent: Spent },
    /// The loss became non-finite. A result, not a failure.
    Diverged { step: u64, spent: Spent },
    /// Stopped on request, with a checkpoint at `step`.
    Interrupted { step: u64, spent: Spent },
    /// A checkpoint is written at `step`, and the same attempt goes on from it when its job is given
    /// time again: no last event.
    Paused { step: u64, spent: Spent },
    /// The trainer could not go on, and says why.
    Failed {
        reason: String,
        #[serde(default)]
        failure: Failure,
    },
}

/// What kind of failure it was, and so what may help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The device's memory: smaller passes need less.
    OutOfMemory,
    /// Nothing can be written until somebody makes room.
    DiskFull,
    /// The parent's checkpoint is not there or damaged: the parent is to be trained again.
    ParentCheckpoint,
    /// The device is lost or broken, and with it the process that used it: another may do better.
    Device,
    /// A newer attempt at the segment has begun; this one must not write any more.
    Replaced,
    /// It would happen again: what was asked for cannot be done.
    #[default]
    Other,
}

/// What one attempt used, or one stretch of an attempt that was paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Optimiser steps that this attempt executed.
    pub steps: u64,
    /// Seconds on the device: training, evaluation and checkpoints.
    pub device_s: f64,
    /// Of these, seconds spent waiting for examples.
    pub data_s: f64,
    /// Most memory that was held at once, on the device (a CPU's: of the process); None if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

/// A line that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("not a line of this protocol: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error(
        "format {found} where this version reads format {FORMAT}; build isoflop and isoflop-trainer from the same source"
    )]
    Format { found: u32 },
}

/// Exit code of a trainer that was paused: its job is to be queued again. The kernel's "should be restarted".
pub const PAUSED_EXIT_CODE: u8 = 85;

/// Name of a checkpoint's folder inside [`Order::checkpoints`].
pub fn checkpoint_name(step: u64) -> String {
    format!("step-{step:08}")
}

impl Order {
    /// # Errors
    /// Text that is no order, or one of another format version.
    pub fn parse(line: &str) -> Result<Self, LineError> {
        let order: Self = serde_json::from_str(line)?;
        check_format(order.format)?;
        Ok(order)
    }
}

impl TrainerLine {
    /// # Errors
    /// Text that is no trainer line, or one of another format version.
    pub fn parse(line: &str) -> Result<Self, LineError> {
        let line: Self = serde_json::from_str(line)?;
        let format = match &line {
            Self::Ready(ready) => ready.format,
            Self::Event { format, .. } => *format,
        };
        check_format(format)?;
        Ok(line)
    }
}

impl TrainerEvent {
    /// Whether the attempt is over with this event.
    pub const fn is_last(&self) -> bool {
        match self {
            Self::Finished { .. }
            | Self::Diverged { .. }
            | Self::Interrupted { .. }
            | Self::Failed { .. } => true,
            Self::Started { .. }
            | Self::Progress { .. }
            | Self::Evaluated { .. }
            | Self::Checkpointed { .. }
            | Self::Paused { .. } => false,
        }
    }
}

const fn check_format(found: u32) -> Result<(), LineError> {
    if found == FORMAT { Ok(()) } else { Err(LineError::Format { found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let event = TrainerEvent::Evaluated {
            step: 3,
            metrics: BTreeMap::from([("val_loss".into(), 0.1 + 0.2)]),
        };
        let line = TrainerLine::Event {
            format: FORMAT,
            segment_id: SegmentId(Id::of(&1)),
            attempt: 2,
            event,
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(TrainerLine::parse(&text).unwrap(), line);
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let ready = Ready {
            format: FORMAT + 1,
            trainer_version: String::new(),
            libtorch_version: String::new(),
            device: "cpu".into(),
            device_name: String::new(),
            threads: 1,
        };
        let text = serde_json::to_string(&TrainerLine::Ready(ready)).unwrap();
        assert!(
            matches!(TrainerLine::parse(&text), Err(LineError::Format { found }) if found == FORMAT + 1)
        );
    }
}
