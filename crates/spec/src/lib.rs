//! The vocabulary of isoflop. Every type that is stored in the database or piped between
//! processes lives here, with a format version; so do the pure rules that give those types their
//! meaning (grid expansion, ids, schedules, closed-form parameter and FLOP counts).
//!
//! Nothing here reads a file, a clock or the environment.

mod data;
mod event;
mod id;
mod keep;
mod model;
mod optimiser;
mod schedule;
mod segment;
mod shape;
mod shared;
mod slurm;
mod sweep;
mod train;
mod transfer;
mod trial;

pub use data::{DataSpec, ImageFolderSpec, OnCorrupt, ProceduralSpec};
pub use event::{
    Failure, LineError, Order, PAUSED_EXIT_CODE, Ready, Spent, TrainerEvent, TrainerLine,
    checkpoint_name,
};
pub use id::{Id, IdError, SegmentId, TrialId, canonical_json};
pub use keep::Keep;
pub use model::{
    BitShape, BitSpec, Block, Gelu, HybridSpec, MixerShape, MixerSpec, ModelError, ModelSpec, Mup,
    Norm, Pool, Positions, Stages, StagesError, Unit, VitSpec,
};
pub use optimiser::{Adafactor, AdamW, Moment, Optimiser, Sgd};
pub use schedule::{Cooldown, Decay, Schedule, ScheduleError};
pub use segment::{SegmentKind, SegmentSpec};
pub use shape::{NamedShape, Shape, ShapeError};
pub use slurm::SlurmSpec;
pub use sweep::{SpecError, SweepSpec, check_name, model_from_json, train_from_json};
pub use train::{Augmentation, Convention, EvalSpec, Objective, Precision, TrainSpec, WeightDecay};
pub use transfer::{FewShot, FineTune, LinearProbe, Resample, TransferMethod, TransferSpec};
pub use trial::{Recipe, TrialSpec};

/// Version of every type of this crate that is stored or piped. Raised by any change that would
/// make an older reader misunderstand; it is part of every hashed spec, so ids change with it.
pub const FORMAT: u32 = 2;
