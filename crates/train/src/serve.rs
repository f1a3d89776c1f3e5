//! The protocol of isoflop-trainer: ready, then one order after the other until the input ends.

use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spec::{FORMAT, Failure, LineError, Order, Ready, TrainerEvent, TrainerLine};

use crate::device::Setting;
use crate::examples::Examples;
use crate::record::{Record, RecordError, write_without_files};
use crate::segment::{SegmentError, train_segment};
use crate::stop::{Input, Inputs, Stop};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("bad order: {0}")]
    BadOrder(#[from] LineError),
}

/// Serves until the input ends or a stop is requested; `log` takes what is no event.
///
/// # Errors
/// A line that is no order.
pub fn serve(
    setting: &Setting,
    inputs: &Inputs,
    out: &mut dyn Write,
    log: &mut dyn FnMut(&str),
) -> Result<(), ServeError> {
    let ready = Ready {
        format: FORMAT,
        trainer_version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch_version: torch_ext::libtorch_version().to_owned(),
        device: setting.label.clone(),
        device_name: setting.name.clone(),
        threads: setting.threads,
    };
    let text = serde_json::to_string(&TrainerLine::Ready(ready)).expect("plain data");
    // A reader that is gone has closed our input, too.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    let mut kept = None;
    for input in &inputs.received {
        match input {
            Input::Order(order) => follow(&order, &mut kept, setting, &inputs.stop, out, log),
            Input::Bad(error) => return Err(error.into()),
            Input::End => break,
        }
    }
    Ok(())
}

/// Follows one order to its last event, whatever happens inside.
fn follow(
    order: &Order,
    kept: &mut Option<Examples>,
    setting: &Setting,
    stop: &Stop,
    out: &mut dyn Write,
    log: &mut dyn FnMut(&str),
) {
    let written = Record::open(order, out).and_then(|mut record| {
        let attempt = || train_segment(order, kept, setting.device, stop, &mut record, log);
        let last = match catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(Ok(last)) => last,
            Ok(Err(SegmentError::Record(error))) => return Err(error),
            Ok(Err(error)) => failed(error.to_string()),
            Err(panic) => {
                *kept = None;
                failed(first_line(&*panic))
            }
        };
        record.write(last)
    });
    if let Err(error @ RecordError::Write { .. }) = written {
        write_without_files(order, out, failed(error.to_string()));
    }
    torch_ext::return_freed_memory();
}

const fn failed(reason: String) -> TrainerEvent {
    TrainerEvent::Failed { reason, failure: Failure::Other }
}

/// libtorch's messages go on with a C++ stack.
fn first_line(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    // tch unwraps errors whose text is quoted, line breaks and all.
    let first = text.unwrap_or("panic without a message").split(['\n']).next().unwrap_or_default();
    first.split("\\n").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn the_reason_of_a_libtorch_panic_is_one_line() {
        let ones = |size: [i64; 2]| Tensor::ones(size, (Kind::Float, Device::Cpu));
        let panic = catch_unwind(|| ones([2, 3]).matmul(&ones([2, 3]))).unwrap_err();
        let reason = first_line(&*panic);
        assert!(reason.contains("mat1 and mat2 shapes cannot be multiplied"), "{reason}");
        assert!(!reason.contains("frame #0"), "{reason}");
    }
}
