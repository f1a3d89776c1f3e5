//! What tests of the program share: orders, signals.

use std::path::Path;
use std::process::Command;

use spec::{FORMAT, Id, Order, SegmentId, SegmentKind, SegmentSpec};

/// Steps that no test waits for.
pub const FOREVER: u64 = 1_000_000_000;

/// A segment of its own from initialisation, in a folder of all.
pub fn order(folder: &Path, name: &str, steps: u64) -> Order {
    let recipe = test_support::recipe(1);
    let segment = SegmentSpec {
        parent: None,
        recipe: recipe.into(),
        kind: SegmentKind::Trunk,
        start: 0,
        end: steps,
        cooldown: 0,
        transfer: None,
    };
    Order {
        format: FORMAT,
        segment_id: SegmentId(Id::of(&name)),
        attempt: 1,
        segment,
        parent_checkpoints: None,
        checkpoints: folder.join("checkpoints").join(name),
        attempt_dir: folder.join("attempts").join(name),
        cache: folder.join("cache"),
        micro_batch: None,
    }
}

/// Sends a signal by its name, as in `-TERM`.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}
