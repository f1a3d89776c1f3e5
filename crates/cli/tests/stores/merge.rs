//! Two machines train parts of a sweep, each with a store of its own; together they have trained all of it.

use std::fs;

use crate::common::{Place, text};
use serde_json::Value;
use test_support::RESULTS;

const SWEEP: &str = r#"
name = "pretend"
seeds = [0, 1]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }]
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000]
[train]
batch = 16
learning_rate = [1e-3, 3e-3]
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

/// 2 seeds x 2 rates, each a trunk of two pieces and two cooldowns.
const N_SEGMENTS: usize = 2 * 2 * 4;

/// A place with two stores, `a.db` and `b.db` in folders of their own, of a sweep each.
fn two_stores(sets: [&str; 2]) -> Place {
    let place = Place::new("fake-trainer");
    fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    for (name, set) in ["a", "b"].into_iter().zip(sets) {
        let db = format!("{name}/{name}.db");
        place.stdout(&["sweep", "sweep.toml", "--quiet", "--db", &db, "--set", set], 0);
    }
    place
}

fn merge(place: &Place, args: &[&str]) -> Vec<Value> {
    let args = [&["merge", "--format", "json"], args].concat();
    serde_json::from_str(&place.stdout(&args, 0)).unwrap()
}

fn rows(place: &Place, db: &str, sql: &str) -> Vec<Value> {
    let answer = place.stdout(&["query", "--format", "json", "--db", db, sql], 0);
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_sweep_whose_parts_were_trained_apart_has_nothing_left_to_do() {
    let place = two_stores(["seeds=[0]", "seeds=[1]"]);
    let added = merge(&place, &["a/a.db", "b/b.db", "--into", "results/isoflop.db"]);
    assert_eq!((&added[0]["trials"], &added[1]["trials"]), (&4.into(), &4.into()));
    // Two sweeps of one name, neither a part of the other.
    let sweeps = place.query("select name from sweep order by name");
    assert_eq!(sweeps.len(), 2, "{sweeps:?}");
    place.stdout(&["sweep", "sweep.toml", "--quiet"], 0);
    let attempts = place.query("select count(*) as n from attempt");
    assert_eq!(attempts[0]["n"], N_SEGMENTS, "nothing is trained again");
    let alone = Place::new("fake-trainer");
    fs::write(alone.path("sweep.toml"), SWEEP).unwrap();
    alone.stdout(&["sweep", "sweep.toml", "--quiet"], 0);
    for sql in RESULTS {
        let mut rows = place.query(sql);
        rows.dedup(); // a trial is in both sweeps
        assert_eq!(rows, alone.query(sql), "{sql}");
    }
    // The other one can still be gone on with, under its new name.
    let other = sweeps.iter().find(|row| row["name"] != "pretend").unwrap()["name"].as_str();
    place.stdout(&["retry", other.unwrap(), "--quiet"], 0);
    assert_eq!(place.query("select count(*) as n from attempt")[0]["n"], N_SEGMENTS);
}

#[test]
fn the_order_of_stores_makes_no_difference() {
    let place = two_stores(["seeds=[0, 1]", "seeds=[1, 0]"]);
    let forth = merge(&place, &["a/a.db", "b/b.db", "--into", "c/c.db"]);
    let back = merge(&place, &["b/b.db", "a/a.db", "--into", "d/d.db"]);
    assert_eq!(forth[1]["executed_twice"], N_SEGMENTS);
    assert_eq!((&forth[1]["differing"], &back[1]["differing"]), (&0.into(), &0.into()));
    for sql in [
        "select * from trial_result order by sweep, trial_id",
        "select * from segment order by segment_id",
        "select * from attempt order by segment_id, attempt",
        "select * from measurement order by segment_id, metric, step",
        "select * from other_measurement order by segment_id, attempt, metric, step",
    ] {
        assert_eq!(rows(&place, "c/c.db", sql), rows(&place, "d/d.db", sql), "{sql}");
    }
}

#[test]
fn without_a_new_store_the_others_go_into_the_first_and_stay_as_they_are() {
    let place = two_stores(["seeds=[0]", "seeds=[0, 1]"]);
    let before = fs::read(place.path("b/b.db")).unwrap();
    merge(&place, &["a/a.db", "b/b.db"]);
    assert_eq!(fs::read(place.path("b/b.db")).unwrap(), before);
    let sql = "select name, (select count(*) from sweep_trial where sweep = name) as n from sweep";
    let sweeps = rows(&place, "a/a.db", sql);
    assert_eq!(sweeps.len(), 1, "one is a part of the other: {sweeps:?}");
    assert_eq!(sweeps[0]["n"], 8);
    assert!(!place.path("a/a.db.merging").exists());
}

#[test]
fn what_cannot_be_merged_is_refused_and_makes_nothing() {
    let place = two_stores(["seeds=[0]", "seeds=[1]"]);
    fs::write(place.path("text.db"), "this is no database, not even a little").unwrap();
    for (args, expected) in [
        (&["a/a.db"][..], "--into"),
        (&["a/a.db", "a/../a/a.db"], "itself"),
        (&["a/a.db", "absent.db"], "absent.db"),
        (&["a/a.db", "text.db", "--into", "new/new.db"], "text.db"),
        (&["absent.db", "b/b.db"], "absent.db"),
    ] {
        let output = place.output(&[&["merge"], args].concat());
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {complaint}");
        assert!(complaint.contains(expected), "{args:?}: {complaint}");
    }
    assert!(!place.path("new").exists() && !place.path("absent.db").exists());
}

/// What was imported has no file to go on with: its name changes, and what it says of itself does not.
#[test]
fn imported_sweeps_are_merged_as_trained_ones() {
    let place = Place::new("fake-trainer");
    for (name, n) in [("a", 1e6), ("b", 1e7)] {
        let csv = format!("N,C,loss\n{n},{},3.5\n", 6.0 * n * 1e9);
        fs::write(place.path("table.csv"), csv).unwrap();
        let db = format!("{name}/{name}.db");
        let columns = ["--params", "N", "--train-flops", "C", "--val-loss", "loss"];
        let import = ["import", "--db", &db, "--csv", "table.csv", "--sweep", "paper"];
        let seen = ["--examples-seen", "C / (6 * N)"];
        place.stdout(&[&import[..], &columns[..], &seen[..]].concat(), 0);
    }
    let forth = merge(&place, &["a/a.db", "b/b.db", "--into", "c/c.db"]);
    assert!(forth[1]["renamed"].as_str().unwrap().starts_with("paper-"), "{forth:?}");
    merge(&place, &["b/b.db", "a/a.db", "--into", "d/d.db"]);
    let sql = "select sweep, trial_id, params, val_loss from trial_result order by 1, 2";
    let trials = rows(&place, "c/c.db", sql);
    assert_eq!((trials.len(), &trials), (2, &rows(&place, "d/d.db", sql)));
    let sources = rows(&place, "c/c.db", "select source from sweep");
    assert!(sources.iter().all(|row| row["source"].as_str().unwrap().starts_with("# Imported")));
}
