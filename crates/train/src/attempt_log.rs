//! An attempt's `log.txt`: what is said on standard error while it is executed, by us, by panics and by
//! C++ that aborts.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::stdio::dup2_stderr;
use spec::Order;

use crate::record::RecordError;

/// Standard error is the attempt's log while this lives.
pub(crate) struct AttemptLog {
    original: OwnedFd,
}

impl AttemptLog {
    /// Goes on with the log in the folder that `order` names, which must exist.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn begin(order: &Order) -> Result<Self, RecordError> {
        let path = order.attempt_dir.join("log.txt");
        let begin = || {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let original = io::stderr().as_fd().try_clone_to_owned()?;
            dup2_stderr(file)?;
            Ok(Self { original })
        };
        begin().map_err(|error| RecordError::Write { path: path.clone(), error })
    }
}

impl Drop for AttemptLog {
    fn drop(&mut self) {
        // Where it fails, what is said later goes to this log.
        let _ = dup2_stderr(&self.original);
    }
}
