//! Where things lie: everything that a sweep makes is beside its database.

use std::path::{Path, PathBuf};

/// The folder of one database and what belongs to it.
#[derive(Clone, Debug)]
pub struct Workplace {
    pub db: PathBuf,
    folder: PathBuf,
}

impl Workplace {
    pub fn of(db: &Path) -> Self {
        let parent = db.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self { db: db.to_owned(), folder: parent.unwrap_or(Path::new(".")).to_owned() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn figures(&self, sweep: &str) -> PathBuf {
        self.folder.join("figures").join(sweep)
    }

    /// The folder of exports to one format, of whatever sweeps.
    pub fn exports(&self, format: &str) -> PathBuf {
        self.folder.join("exports").join(format)
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The folder of every Slurm job's folder.
    pub fn jobs(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    /// The folder of every segment's checkpoints.
    pub fn all_checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    pub fn checkpoints(&self, segment: spec::SegmentId) -> PathBuf {
        self.all_checkpoints().join(segment.to_string())
    }

    /// The folder of every segment's attempts.
    pub fn all_attempts(&self) -> PathBuf {
        self.folder.join("attempts")
    }

    pub fn attempt(&self, segment: spec::SegmentId, attempt: u32) -> PathBuf {
        self.all_attempts().join(segment.to_string()).join(attempt.to_string())
    }

    /// The largest number of an attempt that has left its folder here, whichever store it was of; 0: none.
    pub fn newest_attempt(&self, segment: spec::SegmentId) -> u32 {
        let folder = self.all_attempts().join(segment.to_string());
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        let number = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.ok()?.file_name().to_str()?.parse().ok()
        };
        entries.filter_map(number).max().unwrap_or(0)
    }

    /// What trainers of an attempt logged.
    pub fn log(&self, segment: spec::SegmentId, attempt: u32) -> PathBuf {
        self.attempt(segment, attempt).join("log.txt")
    }

    /// Another store in this folder, which then has its checkpoints among ours: every store that was
    /// ever written to has a lock file beside it.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn other_store(&self) -> std::io::Result<Option<PathBuf>> {
        for entry in std::fs::read_dir(&self.folder)? {
            let lock = entry?.path();
            let store = lock.with_extension("");
            let is_lock = lock.extension().is_some_and(|extension| extension == "lock");
            if is_lock && store.exists() && store.file_name() != self.db.file_name() {
                return Ok(Some(store));
            }
        }
        Ok(None)
    }
}

/// isoflop-trainer: what ISOFLOP_TRAINER names, or else beside this program.
///
/// # Errors
/// It is not there.
pub fn trainer_program() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os("ISOFLOP_TRAINER") {
        return Ok(program.into());
    }
    let program = std::env::current_exe()?.with_file_name("isoflop-trainer");
    anyhow::ensure!(
        program.exists(),
        "there is no trainer at `{}`; `make build` makes it",
        program.display()
    );
    Ok(program)
}
