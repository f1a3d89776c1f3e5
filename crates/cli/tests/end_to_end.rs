//! From the sweep file to the figures through the real trainer: libtorch, checkpoints, the store.

mod common;

use std::path::Path;
use std::time::Instant;

use common::Place;
use serde_json::Value;

fn experiment(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments").join(name);
    path.to_str().unwrap().to_owned()
}

/// Standard output of the smoke sweep with some keys set.
fn smoke(place: &Place, set: &[&str]) -> String {
    let file = experiment("smoke.toml");
    let mut args = vec!["sweep", &file, "--devices", "cpu:2"];
    args.extend(set.iter().flat_map(|pair| ["--set", pair]));
    place.stdout(&args, 0)
}

fn place() -> Place {
    Place::new("isoflop-trainer")
}

#[test]
fn the_smoke_sweep_trains_stores_fits_and_draws() {
    let place = self::place();
    let start = Instant::now();
    let summary = smoke(&place, &[]);
    println!("the smoke sweep takes {:.1} s", start.elapsed().as_secs_f64());
    assert!(summary.contains("12 of 12 trials"), "{summary}");
    assert_eq!(place.n_finished(), 24);
    for figure in ["scaling.svg", "scaling.png", "data_size.svg", "loss_curves.png"] {
        assert!(place.path("results/figures/smoke").join(figure).exists(), "{figure}");
    }
    let chance = 15.0 / 16.0;
    for row in place.query("select shape, val_error from trial_result where steps = 400") {
        let error = row["val_error"].as_f64().unwrap();
        assert!(error < 0.9 * chance, "{} has learnt nothing: {error}", row["shape"]);
    }
    let plan = place.stdout(&["plan", &experiment("smoke.toml"), "--format", "json"], 0);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let spent =
        place.query("select sum(train_flops) as spent from attempt")[0]["spent"].as_f64().unwrap();
    assert!((spent / plan["train_flops_planned"].as_f64().unwrap() - 1.0).abs() < 0.01);
}

#[test]
fn a_trial_of_a_shared_trunk_has_the_numbers_of_the_trial_trained_alone() {
    let shared = self::place();
    smoke(&shared, &[]);
    let alone = self::place();
    smoke(&alone, &["axes.examples_seen=[6400]"]);
    let results =
        "select trial_id, val_loss, val_error from trial_result where steps = 400 order by 1";
    let rows = alone.query(results);
    assert_eq!(rows.len(), 4);
    assert_eq!(shared.query(results), rows);
}

#[test]
fn divergence_is_a_result() {
    let place = self::place();
    smoke(&place, &["train.learning_rate=1e30", "train.clip=0", "axes.examples_seen=[1600]"]);
    let rows = place.query("select state, val_error from trial_result");
    assert!(
        rows.iter().all(|row| row["state"] == "diverged" && row["val_error"].is_null()),
        "{rows:?}"
    );
}

#[test]
fn a_damaged_trunk_is_trained_again() {
    let place = self::place();
    smoke(&place, &[]);
    let sql = "select segment_id as id from segment where kind = 'trunk' and end_step = 320 order by 1 limit 1";
    let id = place.query(sql)[0]["id"].as_str().unwrap().to_owned();
    let tensors =
        place.path(&format!("results/checkpoints/{id}/step-00000320/tensors.safetensors"));
    let mut bytes = std::fs::read(&tensors).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&tensors, bytes).unwrap();

    // The longer trials start from that checkpoint.
    let longer = "axes.examples_seen=[1600, 3200, 6400, 9600]";
    let file = experiment("smoke.toml");
    let args = ["sweep", &file, "--devices", "cpu:2", "--set", longer];
    let output = place.output(&args);
    assert_eq!(output.status.code(), Some(0));
    assert!(common::text(&output.stderr).contains("damaged"));
    let summary = common::text(&output.stdout);
    assert!(summary.contains("16 of 16 trials"), "{summary}");
    let again = format!("select outcome from attempt where segment_id = '{id}' order by attempt");
    assert_eq!(place.query(&again).len(), 2);
}
