//! The file `fence` beside a segment's checkpoints: the number of the newest attempt that has begun. Two
//! attempts meet where one was believed dead and is not; the older one sees the larger number and stops
//! writing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spec::Order;

const NAME: &str = "fence";

/// An attempt's right to write into a segment's folder of checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) attempt: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FenceError {
    #[error("attempt {by} at this segment has begun, and replaces attempt {attempt}")]
    Replaced { attempt: u32, by: u32 },
    #[error("cannot read `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("cannot write `{path}`: {error}")]
    Write { path: PathBuf, error: io::Error },
}

impl<'a> Fence<'a> {
    pub(crate) fn of(order: &'a Order) -> Self {
        Self { folder: &order.checkpoints, attempt: order.attempt }
    }

    /// Makes sure that no newer attempt has begun, and that an older one will see that this one has.
    /// Called again before everything that must not come from a replaced attempt: where two begin
    /// within the same moment, the smaller number may stay for a while.
    ///
    /// # Errors
    /// A newer attempt, a folder that cannot be written.
    pub(crate) fn hold(self) -> Result<(), FenceError> {
        let path = self.folder.join(NAME);
        match newest(&path)? {
            Some(by) if by > self.attempt => {
                Err(FenceError::Replaced { attempt: self.attempt, by })
            }
            Some(number) if number == self.attempt => Ok(()),
            Some(_) | None => self.write(&path).map_err(|error| FenceError::Write { path, error }),
        }
    }

    fn write(self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(self.folder)?;
        let partial = self.folder.join(format!(".{NAME}-{}", self.attempt));
        fs::write(&partial, format!("{}\n", self.attempt))?;
        fs::rename(&partial, path)
    }
}

/// None: no attempt has begun, or what is there is no number, and tells of none.
fn newest(path: &Path) -> Result<Option<u32>, FenceError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FenceError::Read { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_attempt_holds_the_fence_and_older_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("segment");
        let attempt = |attempt| Fence { folder: &inner, attempt };
        attempt(2).hold().unwrap();
        attempt(2).hold().unwrap();
        attempt(10).hold().unwrap();
        for old in [1, 2, 9] {
            let error = attempt(old).hold().unwrap_err();
            assert!(matches!(error, FenceError::Replaced { by: 10, .. }), "{error}");
        }
        let left: Vec<_> = fs::read_dir(&inner).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [NAME]);
    }

    #[test]
    fn a_smaller_number_that_came_late_is_put_right() {
        let folder = tempfile::tempdir().unwrap();
        let attempt = |attempt| Fence { folder: folder.path(), attempt };
        attempt(2).hold().unwrap();
        attempt(1).write(&folder.path().join(NAME)).unwrap();
        attempt(2).hold().unwrap();
        assert!(attempt(1).hold().is_err());
    }
}
