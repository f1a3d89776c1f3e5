//! Sweeps as the files of other tools: TensorBoard's event files, MLflow's file store, W&B's offline
//! runs. Plain data in, files out; nothing here knows the store, and the same data give the same
//! bytes.
//!
//! What these tools call a run is a trial here. A trial that has not begun is none of theirs yet.

mod flat;
mod folder;
pub mod mlflow;
mod sweep;
pub mod tensorboard;
pub mod wandb;

#[cfg(test)]
mod testing;

pub use folder::{File, FolderError, component, replace};
pub use sweep::{Curve, Point, State, Sweep, Trial, UnixSeconds};
