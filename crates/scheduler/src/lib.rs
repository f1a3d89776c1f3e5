//! From trials to finished segments.
//!
//! [`Plan`] turns trials into a forest of segments; [`SegmentState`] says where each one stands;
//! [`next_launch`] decides what starts next. All three are pure. [`drive()`] is the only place where
//! they meet the world: an [`Engine`] that executes segments and a [`Journal`] that stores every
//! event before it is acted on.

mod drive;
mod engine;
mod launch;
mod local;
mod plan;
mod slurm;
mod state;

pub use drive::{DriveError, Ended, Journal, Stop, drive};
pub use engine::{Engine, EngineError, EngineEvent};
pub use launch::next_launch;
pub use local::{LocalEngine, Slot};
pub use plan::{Plan, PlannedSegment, PlannedTrial};
pub use slurm::{Bundle, LeftBehind, SlurmEngine, SlurmPrograms, SlurmSetting, bundles};
pub use state::{InvalidChange, SegmentChange, SegmentState, States};
