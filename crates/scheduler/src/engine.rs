//! What executes segments. An engine has slots; a slot executes one launch at a time.

use std::future::Future;
use std::path::PathBuf;

use spec::{Order, Ready, SegmentId, TrainerEvent};

/// Everything that a coordinator asks of the machines that train.
pub trait Engine {
    fn n_slots(&self) -> usize;

    /// Makes sure that a slot has something to execute on, and says what it is.
    ///
    /// # Errors
    /// A trainer cannot be started at all; that it dies later is an event.
    fn wake(&mut self, slot: usize) -> Result<Place, EngineError>;

    /// Hands orders to an idle slot that is awake, to be executed one after the other, and none before
    /// its parent, wherever that is executed.
    ///
    /// # Errors
    /// They cannot be handed over at all.
    fn launch(
        &mut self,
        slot: usize,
        orders: &[Order],
    ) -> impl Future<Output = Result<(), EngineError>>;

    /// The next thing that happens on any slot. Waits for ever where nothing can happen any more.
    fn next(&mut self) -> impl Future<Output = EngineEvent>;

    /// What has happened already and was not yet told.
    fn try_next(&mut self) -> Option<EngineEvent>;

    /// Ends what a slot executes, which does not answer: asks first, and does not wait for long. That
    /// it has ended is an event.
    fn end(&mut self, slot: usize);

    /// Asks every trainer to write a checkpoint and end, or lets go of those that go on by themselves.
    /// Returns at once.
    fn stop(&mut self);

    /// Ends every trainer now. Returns at once.
    fn kill(&mut self);

    /// Slots whose trainer has not ended yet, idle or not.
    fn n_alive(&self) -> usize;
}

/// What a slot executes on, as it is stored with an attempt before that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of a trainer on this machine.
    pub pid: Option<u32>,
    /// A name of our own for a queued job.
    pub job: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EngineEvent {
    /// A slot's trainer has started.
    Ready {
        slot: usize,
        ready: Ready,
    },
    Said(Said),
    /// What a slot was executing has ended, and so has its trainer.
    Exited {
        slot: usize,
        exit: Exit,
    },
}

/// What a trainer said about its attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub segment_id: SegmentId,
    pub attempt: u32,
    pub event: TrainerEvent,
}

/// How a trainer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Completes the sentence "the trainer ended ...".
    pub how: String,
    /// The operating system ended it for want of memory.
    pub out_of_memory: bool,
    /// Whether it had begun to execute; a job may be cancelled in its queue.
    pub ran: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot start the trainer `{}`; `make build` makes it", program.display())]
    Spawn { program: PathBuf, source: std::io::Error },
    #[error("cannot write the trainer's log `{}`", path.display())]
    Log { path: PathBuf, source: std::io::Error },
    #[error(
        "the trainer `{}` ended {how} before it was ready, {n} times in a row; `{}` may say why",
        program.display(), log.display()
    )]
    NeverReady { program: PathBuf, log: PathBuf, how: String, n: u32 },
    #[error("cannot write what a job needs into `{}`", path.display())]
    Job { path: PathBuf, source: std::io::Error },
    #[error("sbatch refuses a job: {message}")]
    Refused { message: String },
    #[error(
        "squeue does not answer, so it is not known which jobs of earlier sweeps go on, and nothing is started: {message}"
    )]
    Queue { message: String },
}
