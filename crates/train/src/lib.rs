//! Trains one segment at a time: [`Learner`] is a model and its optimiser, `segment` the loop
//! around it, [`serve()`] the protocol of isoflop-trainer, [`serve_queue()`] the same for a queue. Plans nothing, retries nothing, and opens no
//! database: an order comes in, events go out, checkpoints stay.

mod attempt_log;
mod calibrate;
mod checkpoint;
mod command;
mod device;
mod evaluate;
mod examples;
mod failure;
mod feed;
mod fence;
mod flat;
mod gradient;
mod learner;
mod memory;
mod objective;
mod optimiser;
mod patches;
mod pauses;
mod queue;
mod record;
mod segment;
mod serve;
mod stop;
mod tensors;
mod transfer;
mod weights;
mod window;

pub use calibrate::{CalibrateError, Calibration, calibrate};
pub use command::{CommandError, Files, forward, train_step};
pub use device::{DeviceError, Setting, prepare};
pub use feed::Batch;
pub use learner::{Learner, Measured};
pub use queue::{Ended, OrdersError, read_orders, serve_queue};
pub use serve::{ServeError, serve};
pub use stop::{Inputs, Stop, listen, listen_to_queue};
pub use weights::WeightsError;
