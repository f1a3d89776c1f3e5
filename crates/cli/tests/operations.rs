//! What a person does around a sweep: plan, watch, read logs, try again, tidy up. With a trainer that
//! only pretends.

mod common;

use std::path::Path;

use common::{Place, text};
use serde_json::Value;

/// Two sizes, two lengths that share a trunk, one seed.
const SWEEP: &str = r#"
name = "pretend"
seeds = [0]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [
    { width = 8, depth = 1, mlp = 32, heads = 1 },
    { width = 16, depth = 2, mlp = 64, heads = 1 },
]
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000]
[train]
batch = 16
learning_rate = 3e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

/// Per size two pieces of trunk and two cooldowns.
const N_SEGMENTS: usize = 8;

fn place() -> Place {
    let place = Place::new("fake-trainer");
    std::fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    place
}

fn swept() -> Place {
    let place = place();
    place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2"], 0);
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn complains(place: &Place, args: &[&str], code: i32, parts: &[&str]) {
    let output = place.output(args);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
    for part in parts {
        assert!(complaint.contains(part), "{args:?}: `{part}` is not in: {complaint}");
    }
}

fn trials(place: &Place) -> Vec<String> {
    let rows = place.query("select trial_id from trial_result order by train_flops desc");
    rows.iter().map(|row| row["trial_id"].as_str().unwrap().to_owned()).collect()
}

fn folders(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

#[test]
fn logs_are_shown_along_the_trial_under_a_heading_each() {
    let place = swept();
    let trial = &trials(&place)[0];
    let shown = place.stdout(&["logs", &trial[..10]], 0);
    let headings: Vec<_> = shown.lines().filter(|line| line.starts_with("== ")).collect();
    let stretches = ["trunk 0..800,", "trunk 800..1600,", "cooldown 1600..2000,"];
    assert_eq!(headings.len(), stretches.len(), "{shown}");
    for (heading, stretch) in headings.iter().zip(stretches) {
        assert!(heading.starts_with(&format!("== {stretch} attempt 1 on cpu")), "{heading}");
        assert!(heading.contains("finished after"), "{heading}");
    }
    // One attempt alone, and its own words.
    let segment = headings[2].rsplit(' ').next().unwrap();
    let log = place.path(&format!("results/attempts/{segment}/1/log.txt"));
    std::fs::write(&log, "as it was").unwrap();
    let one =
        place.stdout(&["logs", trial, "--segment", &segment[..8], "--attempt", "1", "--follow"], 0);
    assert_eq!(one, format!("{}\nas it was\n", headings[2]));
    std::fs::remove_file(&log).unwrap();
    let none = place.stdout(&["logs", trial, "--segment", segment], 0);
    assert!(none.contains("nothing was logged") && none.contains("log.txt"), "{none}");
}

#[test]
fn a_trial_that_is_not_named_well_is_refused() {
    let place = swept();
    let all = trials(&place);
    complains(&place, &["logs", ""], 2, &["beginning of 4 trials", &all[0], &all[3]]);
    complains(&place, &["logs", "no-such"], 2, &["no trial's id begins with `no-such`"]);
    let output = place.output(&["logs", &all[0], "--attempt", "7"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
    assert!(text(&output.stderr).contains("no such attempt"), "{}", text(&output.stderr));
}

#[test]
fn a_plan_knows_what_is_done_what_it_measured_and_what_sharing_saves() {
    let place = place();
    let plan = ["plan", "sweep.toml", "--devices", "cpu:2"];
    let before = place.stdout(&plan, 0);
    for part in ["guessed", "Shared trunks save", "on 2 slots"] {
        assert!(before.contains(part), "`{part}` is not in: {before}");
    }
    assert!(!place.path("results").exists(), "a plan leaves nothing behind");
    place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2"], 0);
    let after = place.stdout(&plan, 0);
    assert!(after.contains("measured") && after.contains("All segments are finished"), "{after}");
    let longer = ["--set", "axes.examples_seen=[16000, 32000, 64000]", "--format", "json"];
    let longer = json(&place.stdout(&[&plan[..], &longer].concat(), 0));
    assert_eq!((&longer["n_segments"], &longer["n_finished"]), (&12.into(), &8.into()));
    let (left, all) = (&longer["train_flops_left"], &longer["train_flops_planned"]);
    let share = left.as_f64().unwrap() / all.as_f64().unwrap();
    // Of lengths 1, 2 and 4: the last piece of trunk and its cooldown, (1.6 + 0.8) of (4 + 0.2 x 3).
    assert!((share - 2.4 / 4.6).abs() < 1e-9, "{share}");
    let saved = &longer["device_hours_of_training_separate"];
    assert!(saved.as_f64() > longer["device_hours_of_training"].as_f64(), "{longer}");
    assert!(longer["makespan_hours_left"].as_f64() < longer["device_hours"].as_f64(), "{longer}");
}

#[test]
fn a_schedule_that_cannot_share_says_why() {
    let place = place();
    let cosine = "train.schedule={decay=\"cosine\", warmup=10}";
    let plan = place.stdout(&["plan", "sweep.toml", "--set", cosine], 0);
    assert!(plan.contains("4 trials with a cosine schedule share no trunk: the rate"), "{plan}");
    let plan = place.stdout(&["plan", "sweep.toml", "--set", "axes.examples_seen=[16000]"], 0);
    assert!(plan.contains("2 trials with a constant schedule share no trunk: no recipe"), "{plan}");
}

#[test]
fn a_calibration_is_made_once_and_kept() {
    let place = place();
    let plan = ["plan", "sweep.toml", "--devices", "cpu:2", "--format", "json"];
    let output = place.output(&[&plan[..], &["--calibrate"]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("calibrated 2 of 2: 16x2, batch 16"), "{said}");
    let calibrated = json(&text(&output.stdout));
    assert_eq!(calibrated["basis"], "calibrated");
    let again = place.output(&[&plan[..], &["--calibrate"]].concat());
    assert_eq!(text(&again.stderr), "");
    assert_eq!(json(&text(&again.stdout)), calibrated);
    // Another kind of slot is another matter.
    let other = place.stdout(&["plan", "sweep.toml", "--devices", "cpu:1", "--format", "json"], 0);
    let is_one_core = std::thread::available_parallelism().unwrap().get() == 1;
    assert!(is_one_core || json(&other)["basis"] == "guessed");
}

#[test]
fn checkpoints_that_nothing_needs_are_collected_and_trunks_are_kept() {
    let place = swept();
    let checkpoints = place.path("results/checkpoints");
    let trunk = place.query("select segment_id from segment where kind = 'trunk' limit 1");
    let trunk = checkpoints.join(trunk[0]["segment_id"].as_str().unwrap());
    std::fs::create_dir_all(trunk.join(".partial-step-00000800.1")).unwrap();
    std::fs::create_dir_all(trunk.join("damaged-step-00000800.1")).unwrap();
    let vanished = "0123456789abcdef0123456789abcdef";
    for folder in ["checkpoints", "attempts"] {
        let folder = place.path("results").join(folder).join(vanished);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), [0; 1000]).unwrap();
    }
    for segment in place.query("select segment_id from segment where kind = 'cooldown'") {
        std::fs::create_dir_all(checkpoints.join(segment["segment_id"].as_str().unwrap())).unwrap();
    }
    let dry = json(&place.stdout(&["gc", "--dry-run", "--format", "json"], 0));
    let whys: Vec<_> =
        dry.as_array().unwrap().iter().map(|row| row["why"].as_str().unwrap()).collect();
    let count = |why: &str| whys.iter().filter(|word| **word == why).count();
    assert_eq!(count("nothing starts from it"), 4, "{dry}");
    assert_eq!(count("no sweep has its segment"), 2, "{dry}");
    assert_eq!((count("writing it was interrupted"), count("damaged")), (1, 1), "{dry}");
    assert_eq!(json(&place.stdout(&["gc", "--format", "json"], 0)), dry);
    assert_eq!(json(&place.stdout(&["gc", "--format", "json"], 0)), json("[]"));
    assert_eq!(folders(&checkpoints), 4);
    assert!(trunk.join("step-00000800").exists() != trunk.join("step-00001600").exists());
    assert!(!trunk.join("damaged-step-00000800.1").exists());
    assert_eq!(folders(&place.path("results/attempts")), N_SEGMENTS);
    // A longer sweep continues from what was kept.
    let longer = ["sweep", "sweep.toml", "--set", "axes.examples_seen=[16000, 32000, 64000]"];
    place.stdout(&longer, 0);
    assert_eq!(place.query("select count(*) as n from attempt")[0]["n"], N_SEGMENTS + 4);
}

#[test]
fn gc_collects_for_named_sweeps_alone_and_refuses_what_it_does_not_know() {
    let place = swept();
    complains(&place, &["gc", "absent"], 2, &["no sweep `absent`"]);
    complains(&place, &["gc", "--db", "none.db"], 2, &["none.db"]);
    assert!(!place.path("none.db").exists());
    std::fs::create_dir_all(place.path("results/attempts/0123456789abcdef0123456789abcdef"))
        .unwrap();
    let named = json(&place.stdout(&["gc", "pretend", "--dry-run", "--format", "json"], 0));
    let is_of_pretend = |row: &Value| row["why"] == "nothing starts from it";
    assert!(named.as_array().unwrap().iter().all(is_of_pretend), "{named}");
    // Another store in the same folder would have its checkpoints among ours.
    place.stdout(&["sweep", "sweep.toml", "--db", "results/other.db"], 0);
    complains(&place, &["gc"], 2, &["other.db", "another store"]);
}

#[test]
fn folders_of_jobs_go_when_their_attempts_have_ended() {
    let place = swept();
    let [over, other] = ["isoflop-pretend-19d0a-0-1", "isoflop-pretend-more-19d0a-0-1"];
    for job in [over, other, "of-a-person"] {
        std::fs::create_dir_all(place.path(&format!("results/jobs/{job}"))).unwrap();
    }
    let collected = |args: &[&str]| {
        let gone = json(&place.stdout(&[args, &["--format", "json"]].concat(), 0));
        let is_of_job = |row: &&Value| row["why"] == "its job's attempts have ended";
        gone.as_array().unwrap().iter().filter(is_of_job).count()
    };
    assert_eq!(collected(&["gc", "--dry-run"]), 2);
    assert_eq!(collected(&["gc", "pretend"]), 1);
    assert!(!place.path("results/jobs").join(over).exists());
    assert_eq!(collected(&["gc"]), 1);
    assert_eq!(folders(&place.path("results/jobs")), 1, "what is no job of ours stays");
}

#[test]
fn events_are_lines_of_json_that_tell_a_sweep() {
    let place = place();
    let told = place.stdout(&["sweep", "sweep.toml", "--format", "json"], 0);
    let events: Vec<_> = told.lines().map(json).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("launched").len(), N_SEGMENTS, "{told}");
    assert_eq!(of("finished").len(), N_SEGMENTS);
    for event in of("launched") {
        assert!(event["time"].as_f64().unwrap() > 1e9, "{event}");
        assert_eq!((&event["attempt"], &event["shape"].is_string()), (&1.into(), &true), "{event}");
        let finished = of("finished");
        assert!(finished.iter().any(|finished| finished["segment_id"] == event["segment_id"]));
    }
    let last = of("sweep").pop().unwrap();
    assert_eq!((&last["n_finished"], &last["share"]), (&N_SEGMENTS.into(), &1.0.into()), "{last}");
    let spent = place.query("select total(train_flops) as flops from attempt");
    let share = last["spent_flops"].as_f64().unwrap() / spent[0]["flops"].as_f64().unwrap();
    assert!((share - 1.0).abs() < 1e-9, "{last}: {spent:?}");
    assert!(last["spent_device_s"].as_f64() > Some(0.0), "{last}");
}

fn trials_finished(place: &Place, shape: &str) -> Value {
    let sql = format!(
        "select count(*) as n from trial_result where state = 'finished' and shape = '{shape}'"
    );
    place.query(&sql)[0]["n"].clone()
}

#[test]
fn what_failed_is_tried_again_without_the_file_and_the_rest_is_not() {
    let place = place();
    // The small size fails, and the large one costs more than there is.
    let budget = ["sweep", "sweep.toml", "--budget-flops", "5e9"];
    let output = place.command(&budget).env("FAKE_TRAINER_FAIL", "8x1").output().unwrap();
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{complaint}");
    for part in ["segments failed, one of them: ", "the budget is reached: 1 segments"] {
        assert!(complaint.contains(part), "`{part}` is not in: {complaint}");
    }
    assert_eq!(place.n_finished(), 0);
    std::fs::remove_file(place.path("sweep.toml")).unwrap();
    place.stdout(&["retry", "pretend", "--failed"], 0);
    assert_eq!(
        (trials_finished(&place, "8x1"), trials_finished(&place, "16x2")),
        (2.into(), 0.into())
    );
    place.stdout(&["retry", "pretend"], 0);
    assert_eq!(
        (trials_finished(&place, "8x1"), trials_finished(&place, "16x2")),
        (2.into(), 2.into())
    );
    complains(&place, &["retry", "absent"], 2, &["no sweep `absent`", "it has pretend"]);
}

#[test]
fn status_sets_what_was_predicted_against_what_it_took() {
    let place = swept();
    let rows = json(&place.stdout(&["status", "pretend", "--format", "json"], 0));
    let row = &rows.as_array().unwrap()[1];
    let keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "shape",
        "params",
        "finished",
        "running",
        "pending",
        "diverged",
        "failed",
        "best_val_error",
        "predicted_s",
        "charged_s",
        "left_s",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        (&row["shape"], &row["finished"], &row["left_s"]),
        (&"16x2".into(), &2.into(), &0.0.into())
    );
    assert!(
        row["predicted_s"].as_f64() > Some(0.0) && row["charged_s"].as_f64() > Some(0.0),
        "{row}"
    );
    let shown = place.stdout(&["status", "pretend", "--watch"], 0);
    for part in [
        "predicted",
        "took",
        "on 2 slots",
        "idle",
        "8 attempts, 0 of them retries; 0 attempts lost",
    ] {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
    let all = json(&place.stdout(&["status", "--watch", "--format", "json"], 0));
    let plan = json(&place.stdout(&["plan", "sweep.toml", "--format", "json"], 0));
    assert_eq!(all[0]["train_flops_planned"], plan["train_flops_planned"]);
    assert_eq!(all[0]["attempts"], N_SEGMENTS);
}
