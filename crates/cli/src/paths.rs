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

    pub fn figures(&self, sweep: &str) -> PathBuf {
        self.folder.join("figures").join(sweep)
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    pub fn checkpoints(&self, segment: spec::SegmentId) -> PathBuf {
        self.folder.join("checkpoints").join(segment.to_string())
    }

    pub fn attempt(&self, segment: spec::SegmentId, attempt: u32) -> PathBuf {
        self.folder.join("attempts").join(segment.to_string()).join(attempt.to_string())
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
