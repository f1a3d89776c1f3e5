//! What kind of failure an error is, and so what may help: smaller passes, room on a disk, a parent that is
//! trained again. Everything else would happen again.

use std::any::Any;
use std::io::{self, ErrorKind};

use data::DataError;
use spec::{Failure, TrainerEvent};

use crate::checkpoint::CheckpointError;
use crate::evaluate::EvaluateError;
use crate::fence::FenceError;
use crate::record::RecordError;
use crate::segment::SegmentError;
use crate::transfer::TransferError;

/// What libtorch says when memory runs out, or another library in its name.
const OUT_OF_MEMORY: [&str; 6] = [
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
];

/// What CUDA says from then on to a process whose context is broken, or whose GPU is gone.
const LOST_DEVICE: [&str; 3] =
    ["CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_EXECUTION_FAILED"];

/// The last event of an attempt that ended with `error`.
pub(crate) fn failed(error: &SegmentError) -> TrainerEvent {
    TrainerEvent::Failed { reason: error.to_string(), failure: of_segment(error) }
}

/// The last event of an attempt whose own files cannot be written.
pub(crate) fn unrecorded(error: &RecordError) -> TrainerEvent {
    TrainerEvent::Failed { reason: error.to_string(), failure: of_record(error) }
}

/// The last event of an attempt that panicked, as tch does with libtorch's errors.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> TrainerEvent {
    let reason = first_line(panic);
    TrainerEvent::Failed { failure: of_message(&reason), reason }
}

fn of_segment(error: &SegmentError) -> Failure {
    match error {
        SegmentError::Data(error) => of_data(error),
        SegmentError::Checkpoint(error) => of_checkpoint(error),
        SegmentError::Fence(error) => of_fence(error),
        SegmentError::Record(error) => of_record(error),
        SegmentError::Transfer(error) => of_transfer(error),
        SegmentError::Torch(error) | SegmentError::Evaluate(EvaluateError::Torch(error)) => {
            of_message(&error.to_string())
        }
        SegmentError::Bind(_)
        | SegmentError::Evaluate(EvaluateError::Bind(_))
        | SegmentError::NoParent
        | SegmentError::Stalled(_) => Failure::Other,
    }
}

fn of_checkpoint(error: &CheckpointError) -> Failure {
    match error {
        CheckpointError::Parent { .. } | CheckpointError::NoParent { .. } => {
            Failure::ParentCheckpoint
        }
        CheckpointError::Fence(error) => of_fence(error),
        CheckpointError::Write { error, .. } | CheckpointError::Read { error, .. } => of_io(error),
        CheckpointError::Manifest { .. }
        | CheckpointError::Format { .. }
        | CheckpointError::Digest { .. }
        | CheckpointError::Tensors { .. }
        | CheckpointError::Unfit { .. }
        | CheckpointError::Unknown { .. } => Failure::Other,
    }
}

fn of_fence(error: &FenceError) -> Failure {
    match error {
        FenceError::Replaced { .. } => Failure::Replaced,
        FenceError::Read { error, .. } | FenceError::Write { error, .. } => of_io(error),
    }
}

fn of_record(error: &RecordError) -> Failure {
    let RecordError::Write { error, .. } = error;
    of_io(error)
}

fn of_transfer(error: &TransferError) -> Failure {
    match error {
        TransferError::Data(error) => of_data(error),
        TransferError::Solve(error) => of_message(&error.to_string()),
        TransferError::Bind(_)
        | TransferError::Shots(_)
        | TransferError::NotOnFeatures
        | TransferError::Stopped => Failure::Other,
    }
}

fn of_data(error: &DataError) -> Failure {
    match error {
        DataError::DiskFull { .. } => Failure::DiskFull,
        DataError::Read { error, .. } | DataError::Write { error, .. } => of_io(error),
        DataError::Procedural(_)
        | DataError::TooFewShots(_)
        | DataError::NoFolder(_)
        | DataError::NoTrain(_)
        | DataError::NoClasses(_)
        | DataError::EmptyClass(_)
        | DataError::UnknownClass(_)
        | DataError::NameNotUtf8(_)
        | DataError::Corrupt { .. }
        | DataError::AllCorrupt { .. }
        | DataError::TooFew { .. }
        | DataError::Damaged(_)
        | DataError::Cancelled { .. }
        | DataError::SheetTooLarge { .. }
        | DataError::OutOfRange { .. } => Failure::Other,
    }
}

/// A full disk, a quota that is used up, a limit on the size of files.
fn of_io(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Failure::DiskFull
        }
        ErrorKind::OutOfMemory => Failure::OutOfMemory,
        _ => Failure::Other,
    }
}

pub(crate) fn of_message(message: &str) -> Failure {
    let is_among = |said: &[&str]| said.iter().any(|said| message.contains(said));
    if is_among(&OUT_OF_MEMORY) {
        Failure::OutOfMemory
    } else if is_among(&LOST_DEVICE) {
        Failure::Device
    } else {
        Failure::Other
    }
}

/// Whether a process that has said this should not try anything else.
pub(crate) fn is_end_of_process(last: &TrainerEvent) -> bool {
    matches!(last, TrainerEvent::Failed { failure: Failure::Device, .. })
}

/// libtorch's messages go on with a C++ stack.
pub(crate) fn first_line(panic: &(dyn Any + Send)) -> String {
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
    use std::panic::catch_unwind;

    use tch::{Device, Kind, Tensor};

    use super::*;

    fn ones(size: [i64; 2]) -> Tensor {
        Tensor::ones(size, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn the_reason_of_a_libtorch_panic_is_one_line() {
        let panic = catch_unwind(|| ones([2, 3]).matmul(&ones([2, 3]))).unwrap_err();
        let TrainerEvent::Failed { reason, failure } = panicked(&*panic) else { panic!("failed") };
        assert_eq!(failure, Failure::Other);
        assert!(reason.contains("mat1 and mat2 shapes cannot be multiplied"), "{reason}");
        assert!(!reason.contains("frame #0"), "{reason}");
    }

    #[test]
    fn memory_that_cannot_be_had_is_told_from_other_panics() {
        let panic = catch_unwind(|| ones([1 << 30, 1 << 28])).unwrap_err();
        let TrainerEvent::Failed { reason, failure } = panicked(&*panic) else { panic!("failed") };
        assert_eq!(failure, Failure::OutOfMemory, "{reason}");
        for (said, expected) in [
            ("CUDA out of memory. Tried to allocate 20.00 MiB.", Failure::OutOfMemory),
            ("CUDA error: out of memory", Failure::OutOfMemory),
            ("CUDA error: an illegal memory access was encountered", Failure::Device),
            ("index out of range", Failure::Other),
        ] {
            assert_eq!(of_message(said), expected, "{said}");
        }
    }

    #[test]
    fn a_disk_that_is_full_is_told_from_other_faults_wherever_it_shows() {
        let path = std::path::PathBuf::from("there");
        for (code, expected) in [
            (rustix::io::Errno::NOSPC, Failure::DiskFull),
            (rustix::io::Errno::DQUOT, Failure::DiskFull),
            (rustix::io::Errno::FBIG, Failure::DiskFull),
            (rustix::io::Errno::ACCESS, Failure::Other),
        ] {
            let error = || io::Error::from(code);
            let path = || path.clone();
            let found = [
                of_checkpoint(&CheckpointError::Write { path: path(), error: error() }),
                of_data(&DataError::Write { path: path(), error: error() }),
                of_record(&RecordError::Write { path: path(), error: error() }),
                of_fence(&FenceError::Write { path: path(), error: error() }),
                of_transfer(&DataError::Write { path: path(), error: error() }.into()),
            ];
            assert_eq!(found, [expected; 5], "{code}");
        }
        let full = DataError::DiskFull { path, bytes: 1 };
        assert_eq!(of_segment(&full.into()), Failure::DiskFull);
    }

    #[test]
    fn a_replaced_attempt_is_told_from_one_that_failed() {
        let replaced = || FenceError::Replaced { attempt: 1, by: 2 };
        let found = [of_segment(&replaced().into()), of_checkpoint(&replaced().into())];
        assert_eq!(found, [Failure::Replaced; 2]);
    }
}
