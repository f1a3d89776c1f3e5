//! A folder of its own in which a test uses the program as a user does.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use test_support::program;

pub struct Place {
    folder: tempfile::TempDir,
    /// The trainer's file name.
    trainer: &'static str,
}

impl Place {
    pub fn new(trainer: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), trainer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isoflop"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("ISOFLOP_TRAINER", program(self.trainer))
            .env_remove("CUDA_VISIBLE_DEVICES");
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Asserts the exit code; standard output.
    pub fn stdout(&self, args: &[&str], code: i32) -> String {
        let output = self.output(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub fn query(&self, sql: &str) -> Vec<Value> {
        serde_json::from_str(&self.stdout(&["query", "--format", "json", sql], 0)).unwrap()
    }

    /// Segments that the store shows as finished; 0 while there is no store.
    pub fn n_finished(&self) -> i64 {
        let sql = "select count(*) from segment where state = 'finished'";
        let output = self.output(&["query", "--format", "csv", sql]);
        text(&output.stdout).lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
