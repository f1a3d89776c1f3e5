use spec::{Order, Ready, SegmentId, TrainerEvent};
use std::future::Future;
use std::path::PathBuf;
pub trait Engine {
    fn n_slots(&self) -> usize;
    fn wake(&mut self, slot: usize) -> Result<Place, EngineError>;
    fn launch(
        &mut self,
        slot: usize,
        orders: &[Order],
        after: Option<usize>,
    ) -> impl Future<Output = Result<(), EngineError>>;
    fn next(&mut self) -> impl Future<Output = EngineEvent>;
    fn try_next(&mut self) -> Option<EngineEvent>;
    fn end(&mut self, slot: usize);
    fn stop(&mut self);
    fn kill(&mut self);
    fn n_alive(&self) -> usize;
}
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub pid: Option<u32>,
    pub job: Option<String>,
}
#[derive(Clone, Debug, PartialEq)]
pub enum EngineEvent {
    Ready { slot: usize, ready: Ready },
    Said(Said),
    Exited { slot: usize, exit: Exit },
}
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub segment_id: SegmentId,
    pub attempt: u32,
    pub event: TrainerEvent,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    pub how: String,
    pub out_of_memory: bool,
    pub ran: bool,
}
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot write `{}`", path.display())]
    Files { path: PathBuf, source: std::io::Error },
    #[error("sbatch refused a job: {message}")]
    Refused { message: String },
    #[error("squeue: {message}")]
    Queue { message: String },
}
