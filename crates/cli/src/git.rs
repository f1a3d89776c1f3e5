//! What the working folder's version control says of it.

use std::process::Command;

use serde_json::{Value, json};

/// Commit and whether anything differs from it; null where there is no git or no repository.
pub fn state() -> Value {
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) => {
            json!({ "commit": commit, "is_dirty": !changes.is_empty() })
        }
        _ => Value::Null,
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
