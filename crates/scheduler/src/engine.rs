//! What executes segments. An engine has slots; a slot executes one attempt at a time.

use std::future::Future;
use std::path::PathBuf;

use spec::{Order, Ready, SegmentId, TrainerEvent};

/// Everything that a coordinator asks of the machines that train.
pub trait Engine {
    fn n_slots(&self) -> usize;

    /// Makes sure that a slot has a trainer, and returns its process id.
    ///
    /// # Errors
    /// The trainer cannot be started at all; that it dies later is an event.
    fn wake(&mut self, slot: usize) -> Result<u32, EngineError>;

    /// Gives an order to the trainer of an idle slot that is awake.
    fn order(&mut self, slot: usize, order: &Order) -> impl Future<Output = ()>;

    /// The next thing that happens on any slot. Waits for ever when no trainer is alive.
    fn next(&mut self) -> impl Future<Output = EngineEvent>;

    /// Asks every trainer to write a checkpoint and end. Returns at once.
    fn stop(&mut self);

    /// Ends every trainer now. Returns at once.
    fn kill(&mut self);

    /// Slots whose trainer has not ended yet, idle or not.
    fn n_alive(&self) -> usize;
}

#[derive(Clone, Debug, PartialEq)]
pub enum EngineEvent {
    /// A slot's trainer has started.
    Ready { slot: usize, ready: Ready },
    /// A trainer said something about its attempt.
    Said { segment_id: SegmentId, attempt: u32, event: TrainerEvent },
    /// A slot's trainer has ended; `how` completes the sentence "the trainer ended ...".
    Exited { slot: usize, how: String },
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot start the trainer `{}`; `make build` makes it", program.display())]
    Spawn { program: PathBuf, source: std::io::Error },
    #[error("cannot write the trainer's log `{}`", path.display())]
    Log { path: PathBuf, source: std::io::Error },
}
