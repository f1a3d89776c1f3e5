//! One writer per store, by a lock of the operating system on the file `<store>.lock`. The lock ends
//! with the process that holds it, however that ends, so there is no stale lock to clean up; the
//! file stays.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Held for as long as it lives.
#[derive(Debug)]
pub struct WriterLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "the store `{store}` is in use by another `isoflop sweep`, pid {pid}; wait for it or stop it"
    )]
    Held { store: PathBuf, pid: String },
    #[error("failed to lock the store through `{path}`")]
    Io { path: PathBuf, source: std::io::Error },
}

impl WriterLock {
    /// Takes the lock of the store at `store` and leaves this process's id in the lock file.
    ///
    /// # Errors
    /// Another process holds it; or the file cannot be written.
    pub fn acquire(store: &Path) -> Result<Self, LockError> {
        let path = lock_path(store);
        let io = |source| LockError::Io { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // the holder's pid is in there
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut file).map_err(io)?;
                return Err(LockError::Held { store: store.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        write_pid(&mut file).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn lock_path(store: &Path) -> PathBuf {
    let mut path = OsString::from(store);
    path.push(".lock");
    path.into()
}

fn holder(file: &mut File) -> std::io::Result<String> {
    let mut pid = String::new();
    file.read_to_string(&mut pid)?;
    let pid = pid.trim();
    // Empty for the instant between its lock and its write.
    Ok(if pid.is_empty() { "not yet known".into() } else { pid.into() })
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_with_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("new/store.db");
        let lock = WriterLock::acquire(&store).unwrap();
        let message = WriterLock::acquire(&store).unwrap_err().to_string();
        assert!(message.contains(&format!("pid {};", std::process::id())), "{message}");
        drop(lock);
        WriterLock::acquire(&store).unwrap();
    }
}
