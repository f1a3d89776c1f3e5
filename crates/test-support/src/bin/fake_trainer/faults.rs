//! What goes wrong because the environment says so.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use spec::{Failure, Order, SegmentSpec, TrainerEvent, TransferMethod};

use crate::stop::Stop;

/// Dies or hangs, or returns the failure that the attempt meets at its beginning.
pub fn meet(order: &Order, stop: &Stop) -> io::Result<Option<TrainerEvent>> {
    if is_first(order, "FAKE_TRAINER_DIE", 0)? {
        std::process::abort();
    }
    if is_first(order, "FAKE_TRAINER_HANG", 1)? {
        stop.hang()?;
    }
    if std::env::var("FAKE_TRAINER_FAIL").is_ok_and(|what| is_refused(&order.segment, &what)) {
        return Ok(Some(failed("it failed as it was told", Failure::Other)));
    }
    if runs_out_of_memory(&order.segment, order.micro_batch) {
        return Ok(Some(failed("out of memory, as it was told", Failure::OutOfMemory)));
    }
    if std::env::var_os("FAKE_TRAINER_DISK_FULL").is_some_and(|file| Path::new(&file).exists()) {
        return Ok(Some(failed("no space left, as it was told", Failure::DiskFull)));
    }
    Ok(None)
}

pub fn failed(reason: &str, failure: Failure) -> TrainerEvent {
    TrainerEvent::Failed { reason: reason.to_owned(), failure }
}

pub fn number(variable: &str) -> Option<f64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Whether this is a segment whose id is even (0) or odd (1), and this did not happen to it before; leaves
/// a mark in the folder that `variable` names.
fn is_first(order: &Order, variable: &str, parity: u32) -> io::Result<bool> {
    let Some(folder): Option<OsString> = std::env::var_os(variable) else { return Ok(false) };
    let id = order.segment_id.to_string();
    let mark = Path::new(&folder).join(&id);
    let digit = id.chars().last().and_then(|digit| digit.to_digit(16));
    if digit.is_none_or(|digit| digit % 2 != parity) || mark.exists() {
        return Ok(false);
    }
    fs::write(mark, "")?;
    Ok(true)
}

fn is_refused(segment: &SegmentSpec, what: &str) -> bool {
    match &segment.transfer {
        Some(_) => what == "transfer",
        None => what == segment.recipe.model.shape_name(),
    }
}

/// Whether a pass of this segment is larger than `FAKE_TRAINER_OOM`.
pub fn runs_out_of_memory(segment: &SegmentSpec, limit: Option<u32>) -> bool {
    let train = &segment.recipe.train;
    let batch = match segment.transfer.as_ref().map(|task| &task.method) {
        Some(TransferMethod::FineTune(tune)) => tune.batch,
        Some(TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_)) | None => train.batch,
    };
    let pass = [Some(batch), train.micro_batch, limit].into_iter().flatten().min();
    number("FAKE_TRAINER_OOM").zip(pass).is_some_and(|(most, pass)| f64::from(pass) > most)
}
