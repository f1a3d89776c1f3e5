//! The folder of one job: its orders, its script, and the marks by which script and coordinator know
//! of each other. The marks are files, so they survive both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spec::{Order, Ready, TrainerLine};

use super::name::JobName;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct JobFolder(PathBuf);

impl JobFolder {
    pub(super) fn of(jobs: &Path, name: &JobName) -> Self {
        Self(jobs.join(name.to_string()))
    }

    /// Writes what the job needs. The orders come last: without them it was never submitted.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub(super) fn prepare(&self, orders: &[Order], script: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        fs::write(self.script(), script)?;
        let line =
            |order| serde_json::to_string(order).expect("plain data with string keys") + "\n";
        fs::write(self.orders(), orders.iter().map(line).collect::<String>())
    }

    /// What the job is to execute; nothing where it was never written, or can be read no more.
    pub(super) fn read_orders(&self) -> Vec<Order> {
        let text = fs::read_to_string(self.orders()).unwrap_or_default();
        text.lines().filter_map(|line| Order::parse(line).ok()).collect()
    }

    pub(super) fn script(&self) -> PathBuf {
        self.0.join("script.sh")
    }

    fn orders(&self) -> PathBuf {
        self.0.join("orders.jsonl")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("slurm.log")
    }

    /// Notes that the job was not submitted and will not be.
    pub(super) fn withdraw(&self) {
        // What stays is taken for a job that the queue has lost: that is slower, not wrong.
        let _ = fs::remove_file(self.orders());
    }

    /// Whether the script has begun to execute.
    pub(super) fn began(&self) -> bool {
        self.0.join("started").exists()
    }

    /// The trainer's exit code, once the script has come to its end.
    pub(super) fn ended(&self) -> Option<i32> {
        fs::read_to_string(self.0.join("ended")).ok()?.trim().parse().ok()
    }

    /// Keeps the script from beginning, and makes one that has begun end its trainer.
    pub(super) fn revoke(&self) {
        // A script that cannot be reached so still loses by the fences of its attempts.
        let _ = fs::write(self.0.join("revoked"), "");
    }

    /// What the trainer said of itself when it started.
    pub(super) fn ready(&self) -> Option<Ready> {
        let text = fs::read_to_string(self.0.join("ready.json")).ok()?;
        match TrainerLine::parse(&text) {
            Ok(TrainerLine::Ready(ready)) => Some(ready),
            Ok(TrainerLine::Event { .. }) | Err(_) => None,
        }
    }
}
