//! The protocol of isoflop-trainer: ready, then one order after the other until the input ends.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spec::{FORMAT, LineError, Order, Ready, TrainerEvent, TrainerLine};

use crate::attempt_log::AttemptLog;
use crate::device::Setting;
use crate::examples::Examples;
use crate::failure::{failed, is_end_of_process, panicked, unrecorded};
use crate::memory;
use crate::pauses;
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
    say_ready(setting, out);
    let mut kept = None;
    for input in &inputs.received {
        match input {
            Input::Order(order) => {
                let last = follow(&order, &mut kept, setting, &inputs.stop, out, log);
                if is_end_of_process(&last) {
                    break;
                }
            }
            Input::Bad(error) => return Err(error.into()),
            Input::End => break,
        }
    }
    Ok(())
}

pub(crate) fn say_ready(setting: &Setting, out: &mut dyn Write) {
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
}

/// Follows one order to its last event or a pause, whatever happens inside, and returns that.
pub(crate) fn follow(
    order: &Order,
    kept: &mut Option<Examples>,
    setting: &Setting,
    stop: &Stop,
    out: &mut dyn Write,
    log: &mut dyn FnMut(&str),
) -> TrainerEvent {
    let last = attempt(order, kept, setting, stop, out, log).unwrap_or_else(|error| {
        let last = unrecorded(&error);
        write_without_files(order, out, last.clone());
        last
    });
    memory::give_back(setting.device);
    last
}

fn attempt(
    order: &Order,
    kept: &mut Option<Examples>,
    setting: &Setting,
    stop: &Stop,
    out: &mut dyn Write,
    log: &mut dyn FnMut(&str),
) -> Result<TrainerEvent, RecordError> {
    let mut record = Record::open(order, out)?;
    let _log = AttemptLog::begin(order)?;
    log(&heading(order, setting));
    let segment = || {
        pauses::check(order)?;
        train_segment(order, kept, setting.device, stop, &mut record, log)
    };
    let last = match catch_unwind(AssertUnwindSafe(segment)) {
        Ok(Ok(last)) => last,
        Ok(Err(SegmentError::Record(error))) => return Err(error),
        Ok(Err(error)) => failed(&error),
        Err(panic) => {
            *kept = None;
            panicked(&*panic)
        }
    };
    if let TrainerEvent::Failed { reason, .. } = &last {
        log(reason);
    }
    record.write(last.clone())?;
    Ok(last)
}

/// Who executes what, and where.
fn heading(order: &Order, setting: &Setting) -> String {
    let Setting { label, name, threads, .. } = setting;
    let micro = order.micro_batch.map(|micro| format!(", at most {micro} examples a pass"));
    format!(
        "segment {}, attempt {}: version {}, libtorch {}, {label} ({name}), threads: {threads}{}",
        order.segment_id,
        order.attempt,
        env!("CARGO_PKG_VERSION"),
        torch_ext::libtorch_version(),
        micro.unwrap_or_default(),
    )
}
