//! Trials of others in the store: what works on them, and what is refused.

mod common;

use std::fmt::Write;

use common::{Place, text};
use serde_json::Value;

/// Ten sizes at eight lengths on Chinchilla's surface, a little off it, named as a paper might.
fn place() -> Place {
    let place = Place::new("fake-trainer");
    let mut table = "Model Size,Training FLOP,loss\n".to_owned();
    for i in 0..80_u32 {
        let n = (1e7 * 10_f64.powf(f64::from(i / 8) / 4.0)).round();
        let tokens = 1e9 * 10_f64.powf(f64::from(i % 8) / 3.0);
        let loss = 1.8 + 480.0 * n.powf(-0.35) + 2100.0 * tokens.powf(-0.37);
        let loss = loss * (0.002 * (7.7 * f64::from(i)).sin()).exp();
        writeln!(table, "{n},{},{loss}", 6.0 * n * tokens).unwrap();
    }
    std::fs::write(place.path("paper.csv"), table).unwrap();
    place
}

const IMPORT: [&str; 13] = [
    "import",
    "--csv",
    "paper.csv",
    "--sweep",
    "paper",
    "--params",
    "Model Size",
    "--train-flops",
    "Training FLOP",
    "--examples-seen",
    "\"Training FLOP\" / (6 * \"Model Size\")",
    "--val-loss",
    "loss",
];

fn complains(place: &Place, args: &[&str], parts: &[&str]) {
    let output = place.output(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

fn json(place: &Place, args: &[&str]) -> Value {
    let args: Vec<_> = args.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&place.stdout(&args, 0)).unwrap()
}

#[test]
fn imported_trials_are_fitted_as_the_table_is() {
    let place = place();
    place.stdout(&IMPORT, 0);
    let stored = json(&place, &["fit", "paper", "--law", "chinchilla"]);
    let d = "\"Training FLOP\" / (6 * \"Model Size\")";
    let table = json(
        &place,
        &[
            "fit",
            "--csv",
            "paper.csv",
            "--n",
            "Model Size",
            "--d",
            d,
            "--y",
            "loss",
            "--law",
            "chinchilla",
        ],
    );
    for param in ["A", "B", "E", "alpha", "beta"] {
        let value = |fit: &Value| fit["params"][param]["value"].as_f64().unwrap();
        // Examples seen are whole in the store.
        assert!((value(&stored) / value(&table) - 1.0).abs() < 1e-3, "{param}");
    }
    assert_eq!((&stored["n_points"], &stored["y"]), (&80.into(), &"val_loss".into()));
    assert_eq!(stored["bootstrap"]["unit"], "trial");
}

#[test]
fn every_command_of_a_trained_sweep_works_on_an_imported_one() {
    let place = place();
    place.stdout(&IMPORT, 0);
    let predicted = json(&place, &["predict", "paper", "--target", "1e22"]);
    assert!(
        predicted.to_string().contains("1e+22") || predicted.to_string().contains("1e22"),
        "{predicted}"
    );
    for args in [
        &["frontier", "paper"][..],
        &["profiles", "paper"],
        &["status"],
        &["status", "paper"],
        &["gc", "--dry-run"],
    ] {
        assert!(!place.stdout(args, 0).is_empty() || args[0] == "gc", "{args:?}");
    }
    let figures = place.stdout(&["figures", "paper"], 0);
    for name in ["scaling.svg", "isoflop.svg", "contours.svg"] {
        assert!(figures.contains(name), "{name}: {figures}");
    }
    assert!(!figures.contains("loss_curves"), "{figures}");
    let suggest =
        ["suggest", "paper", "--y", "val_loss", "--target-flops", "1e22", "--budget-flops", "3e20"];
    let picks = json(&place, &suggest);
    let picks = picks.as_array().unwrap();
    let spent: f64 = picks.iter().map(|pick| pick["flops"].as_f64().unwrap()).sum();
    assert!(!picks.is_empty() && spent <= 3e20, "{picks:?}");
    let exported = place.stdout(&["export", "paper", "--format", "csv"], 0);
    let source = std::fs::read_to_string(place.path(exported.trim()).join("sweep.toml")).unwrap();
    assert!(source.starts_with("# Imported from paper.csv\n"), "{source}");
    assert!(source.contains("# val_loss = loss\n"), "{source}");
}

#[test]
fn what_a_table_does_not_say_is_null() {
    let place = place();
    place.stdout(&IMPORT, 0);
    let rows = place.query("select * from trial_result order by train_flops");
    assert_eq!(rows.len(), 80);
    for column in ["steps", "learning_rate", "seed", "val_error", "device_s", "variant"] {
        assert!(rows.iter().all(|row| row[column].is_null()), "{column}");
    }
    assert_eq!((&rows[0]["family"], &rows[0]["state"]), (&"foreign".into(), &"finished".into()));
    let largest = rows.iter().map(|row| row["examples_seen"].as_u64().unwrap()).max();
    assert!(rows.iter().all(|row| row["unique_examples"].as_u64() == largest));
}

#[test]
fn importing_again_changes_nothing_and_a_changed_table_replaces_the_trials() {
    let place = place();
    place.stdout(&IMPORT, 0);
    let ids = || place.query("select trial_id from trial_result order by 1");
    let before = ids();
    let output = place.output(&IMPORT);
    assert!(text(&output.stderr).contains("80 trials, 0 of them new"), "{}", text(&output.stderr));
    assert_eq!(ids(), before);
    let table = std::fs::read_to_string(place.path("paper.csv")).unwrap();
    let shorter: Vec<_> = table.lines().take(41).collect();
    std::fs::write(place.path("paper.csv"), shorter.join("\n") + "\n1e9,6e18,2.5\n").unwrap();
    let output = place.output(&IMPORT);
    assert!(text(&output.stderr).contains("41 trials, 1 of them new"), "{}", text(&output.stderr));
    assert_eq!(ids().len(), 41);
}

#[test]
fn all_columns_that_are_called_as_ours_are_taken_without_being_named() {
    let place = Place::new("fake-trainer");
    std::fs::write(
        place.path("runs.csv"),
        "params,examples_seen,train_flops,val_error,val_loss,seed,learning_rate,shape,variant,state,acc\n\
         1000,500,3e6,0.5,1.5,0,0.001,tiny,a,finished,0.1\n\
         1000,500,3e6,0.4,1.4,1,0.001,tiny,a,finished,\n\
         1000,500,3e6,,,2,0.1,tiny,b,diverged,\n",
    )
    .unwrap();
    place.stdout(&["import", "--csv", "runs.csv", "--sweep", "r", "--metric", "top_5=acc"], 0);
    let rows =
        place.query("select seed, state, variant, val_error from trial_result order by seed");
    assert_eq!(rows[2]["state"], "diverged");
    assert!(rows[2]["val_error"].is_null() && rows[2]["variant"] == "b");
    let found = place.query("select metric, count(*) as n from evaluation group by 1 order by 1");
    let found: Vec<_> = found
        .iter()
        .map(|row| (row["metric"].as_str().unwrap(), row["n"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [("top_5", 1), ("val_error", 2), ("val_loss", 2)]);
}

#[test]
fn nonsense_is_refused_by_line_and_column_and_nothing_is_stored() {
    let place = Place::new("fake-trainer");
    let head = "params,examples_seen,train_flops,val_error";
    let refused = |rows: &str, args: &[&str], parts: &[&str]| {
        std::fs::write(place.path("t.csv"), format!("{head}\n{rows}\n")).unwrap();
        let all: Vec<_> =
            ["import", "--csv", "t.csv", "--sweep", "t"].iter().chain(args).copied().collect();
        complains(&place, &all, parts);
    };
    refused("10,20,1e3,0.5\n-1,20,1e3,0.4", &[], &["line 3", "`params`", "-1 is not a count"]);
    refused("10,0.2,1e3,0.5", &[], &["line 2", "`examples_seen`"]);
    refused("10,20,0,0.5", &[], &["line 2", "`train_flops`", "not above 0"]);
    refused("10,20,1e3,0.5\n10,30,2e3,48", &[], &["line 3", "`val_error`", "percents"]);
    refused("10,20,1e3,0.5\n,30,2e3,0.4", &[], &["line 3", "`params` is empty"]);
    refused(
        "10,20,1e3,0.5\n10,30,2e3,",
        &[],
        &["line 3", "nothing was measured", "--missing drop"],
    );
    refused("10,20,1e3,0.5\n10,20,1e3,0.5", &[], &["line 3 repeats line 2", "--duplicates keep"]);
    refused("10,20,1e3,12%", &[], &["line 2", "`12%` is no number"]);
    refused("1e30,20,1e3,0.5", &[], &["line 2", "not a count"]);
    refused("10,20,1e3,0.5", &["--seed", "sed"], &["no column `sed`"]);
    refused("10,20,1e3,0.5", &["--seed", "0 - 1"], &["line 2", "-1 is not a count from 0"]);
    refused("10,20,1e3,0.5", &["--metric", "a/b=val_error"], &["NAME is of letters"]);
    refused("10,20,1e3,0.5", &["--where", "params > 10"], &["no row to import"]);
    std::fs::write(place.path("u.csv"), "size,loss\n1,2\n").unwrap();
    let import = |name| ["import", "--csv", "u.csv", "--sweep", name];
    complains(&place, &import("u"), &["no column `params`", "--params", "size, loss"]);
    complains(&place, &import("../u"), &["--sweep", "a name has"]);
    complains(&place, &["import", "--csv", "none.csv", "--sweep", "u"], &["none.csv"]);
    assert!(!place.path("results").exists());
}

#[test]
fn an_imported_sweep_and_a_trained_one_keep_their_names() {
    let place = place();
    place.stdout(&IMPORT, 0);
    let sweep = |name: &str| {
        format!(
            "name = \"{name}\"\n[data]\nsource = \"procedural\"\nclasses = 8\n[model]\nfamily = \"vit\"\npatch = 16\n\
             shapes = [{{ width = 8, depth = 1, mlp = 32, heads = 1 }}]\n[axes]\nunique_examples = [1024]\n\
             examples_seen = [16000]\n[train]\nbatch = 16\nlearning_rate = 1e-3\n\
             schedule = {{ decay = \"constant\", warmup = 10, cooldown = 0.2 }}\n"
        )
    };
    std::fs::write(place.path("paper.toml"), sweep("paper")).unwrap();
    complains(&place, &["sweep", "paper.toml"], &["sweep `paper` was imported"]);
    std::fs::write(place.path("ours.toml"), sweep("ours")).unwrap();
    place.stdout(&["sweep", "ours.toml"], 0);
    let mut args = IMPORT;
    args[4] = "ours";
    complains(&place, &args, &["sweep `ours` was planned here"]);
    assert_eq!(place.query("select * from trial_result").len(), 81);
    assert_eq!(place.n_finished(), 80 + 2, "a segment each, and a trunk and its cooldown");
    complains(&place, &["retry", "paper"], &["imported", "nothing of it can be trained"]);
}
