//! From trials to finished segments.
//!
//! [`Plan`] turns trials into a forest of segments; [`SegmentState`] says where each one stands;
//! [`Schedule`] decides what starts next and what an event means for the rest. All three are pure.
//! [`drive()`] is the only place where they meet the world: an [`Engine`] that executes segments and a
//! [`Journal`] that stores every event before it is acted on.

mod bundle;
mod drive;
mod engine;
mod lanes;
mod local;
mod past;
mod plan;
mod policy;
mod schedule;
mod simulate;
mod slurm;
mod state;
mod trunk;
mod workload;

pub use bundle::Bundles;
pub use drive::{DriveError, End, Ended, Journal, Launch, Stop, drive};
pub use engine::{Engine, EngineError, EngineEvent, Exit, Place, Said};
pub use lanes::{Lane, Lanes};
pub use local::{LocalEngine, Slot};
pub use past::Past;
pub use plan::{FLOPS_PER_S, Plan, PlannedSegment, PlannedTrial, STEP_OVERHEAD_S, guessed_s};
pub use policy::{Budget, Charge, Policy};
pub use schedule::{Consequence, Schedule};
pub use simulate::{Simulation, simulate};
pub use slurm::{LeftBehind, SlurmEngine, SlurmPrograms, SlurmSetting};
pub use state::{InvalidChange, SegmentChange, SegmentState, States};
pub use trunk::StoredTrunks;
