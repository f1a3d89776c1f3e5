//! The files of one stream in a cache folder: `<fingerprint>-<split>-<n>.u8`, the lock that its builder
//! holds, and unfinished files.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use spec::Id;

use crate::source::{DataError, Split};

pub struct Files {
    folder: PathBuf,
    split: Split,
    /// What the names of this stream's files begin with.
    stem: String,
}

/// Held until dropped, or until the process ends in whatever way.
pub struct Lock {
    held: Option<File>,
}

/// A file under construction, removed unless it is published.
pub struct Partial {
    pub file: File,
    path: PathBuf,
}

const PARTIAL: &str = ".partial";

/// Time between two tries at a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(50);

impl Files {
    pub fn new(folder: &Path, fingerprint: Id, split: Split) -> Self {
        Self { folder: folder.to_owned(), split, stem: format!("{fingerprint}-{split}-") }
    }

    pub fn path(&self, n: u64) -> PathBuf {
        self.folder.join(format!("{}{n}.u8", self.stem))
    }

    /// Numbers of examples of the finished files.
    pub fn sizes(&self) -> Result<BTreeSet<u64>, DataError> {
        Ok(self.names()?.iter().filter_map(|name| name.strip_suffix(".u8")?.parse().ok()).collect())
    }

    /// Waits for the lock, unless cancelled. On a file system without locks there is none to hold, and
    /// two processes may build the same file; each still appears whole.
    pub fn lock(&self, is_cancelled: &dyn Fn() -> bool) -> Result<Lock, DataError> {
        let path = self.folder.join(format!("{}lock", self.stem));
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(DataError::write(&path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { held: Some(file) }),
                Err(TryLockError::WouldBlock) if is_cancelled() => {
                    return Err(DataError::Cancelled { split: self.split });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_POLL),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    return Ok(Lock { held: None });
                }
                Err(TryLockError::Error(error)) => return Err(DataError::Write { path, error }),
            }
        }
    }

    /// Removes what a killed builder left; for the lock's holder alone.
    pub fn remove_partial(&self) -> Result<(), DataError> {
        let names = self.names()?;
        names.iter().filter(|name| name.ends_with(PARTIAL)).try_for_each(|name| self.remove(name))
    }

    /// Removes the smaller files that the one of n examples replaces, and damaged larger ones.
    pub fn remove_all_but(&self, n: u64) -> Result<(), DataError> {
        let sizes = self.sizes()?;
        sizes
            .iter()
            .filter(|size| **size != n)
            .try_for_each(|size| self.remove(&format!("{size}.u8")))
    }

    fn remove(&self, name: &str) -> Result<(), DataError> {
        let path = self.folder.join(format!("{}{name}", self.stem));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(DataError::Write { path, error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Names of this stream's files, without the stem.
    fn names(&self) -> Result<Vec<String>, DataError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => {
                entries.collect::<Result<Vec<_>, _>>().map_err(DataError::read(&self.folder))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(DataError::Read { path: self.folder.clone(), error }),
        };
        let name = |entry: &fs::DirEntry| {
            Some(entry.file_name().to_str()?.strip_prefix(&self.stem)?.to_owned())
        };
        Ok(entries.iter().filter_map(name).collect())
    }
}

impl Lock {
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

impl Partial {
    /// A new file beside `path`, of a name that no other process has.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let path = path.with_extension(format!("{number}{PARTIAL}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Flushes to disk, then gives the file its name.
    pub fn publish(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Published, it is gone already; otherwise the next builder tries again.
        let _gone = fs::remove_file(&self.path);
    }
}
