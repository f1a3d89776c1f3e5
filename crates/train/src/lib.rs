//! Trains one segment at a time: [`Learner`] is a model and its optimiser, [`train_segment`] the loop
//! around it, [`serve()`] the protocol of isoflop-trainer. Plans nothing, retries nothing, and opens no
//! database: an order comes in, events go out, checkpoints stay.

mod checkpoint;
mod device;
mod evaluate;
mod examples;
mod feed;
mod flat;
mod learner;
mod optimiser;
mod record;
mod segment;
mod serve;
mod stop;
mod window;

pub use checkpoint::CheckpointError;
pub use device::{DeviceError, Setting, prepare};
pub use examples::Examples;
pub use feed::{Batch, Feed, images};
pub use learner::{Learner, Measured};
pub use record::{Record, RecordError};
pub use segment::{SegmentError, train_segment};
pub use serve::{ServeError, serve};
pub use stop::{Input, Inputs, Stop, listen};
