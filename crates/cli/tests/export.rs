//! What `isoflop export` writes, as TensorBoard, MLflow and W&B read it, and what `isoflop import` brings
//! in. Tests with those tools are skipped, by name, where `make setup-exports` was not run.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Place, text};
use serde_json::Value;

/// Two variants, one of which has a cooldown over a shared trunk, with an evaluation on another task.
const SWEEP: &str = r#"# Question   What do other tools make of this?
# Cost       nothing

name = "several"
[data]
source = "procedural"
classes = 8
[axes]
unique_examples = [1024]
examples_seen = [3200, 6400]
[train]
batch = 16
learning_rate = 1e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
[[transfer]]
method = "few-shot"
shots = [5]
pool = 128
[[variant]]
name = "plain"
[variant.model]
family = "vit"
patch = 16
shapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }]
[[variant]]
name = "qk norm"
[variant.model]
family = "vit"
patch = 16
qk_norm = true
shapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }]
"#;

/// The real trainer measures on the way too; the one that pretends, only at the end.
fn trained(trainer: &'static str) -> Place {
    let place = Place::new(trainer);
    std::fs::write(place.path("several.toml"), SWEEP).unwrap();
    place.stdout(&["sweep", "several.toml"], 0);
    assert!(place.n_finished() > 4, "trunks, cooldowns and evaluations");
    place
}

/// The folder that is printed, below the test's own.
fn export(place: &Place, sweep: &str, format: &str) -> PathBuf {
    let said = place.stdout(&["export", sweep, "--format", format], 0);
    place.path(said.trim())
}

fn python() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/export");
    let stamp = tools.join(".venv/isoflop-export");
    stamp.exists().then(|| tools.join(".venv/bin/python"))
}

#[expect(clippy::print_stderr, reason = "a skipped test says so by name")]
fn skipped(test: &str) {
    eprintln!("skipped: {test}, because there is no tools/export/.venv (make setup-exports)");
}

/// What a tool reads of an export of `n` trials; None where the tool is not installed.
fn read(test: &str, tool: &str, folder: &Path, n: usize) -> Option<BTreeMap<String, Value>> {
    let Some(python) = python() else {
        skipped(test);
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/export/read.py");
    let output =
        Command::new(python).arg(script).arg(tool).arg(folder).arg(n.to_string()).output().unwrap();
    assert!(output.status.success(), "{tool}: {}", text(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Of a trial and a metric, its points in the store.
fn curve(place: &Place, trial: &str, metric: &str) -> Vec<(f64, f64)> {
    let rows = place.query(&format!(
        "select step, value from learning_curve
         where trial_id = '{trial}' and metric = '{metric}' order by step"
    ));
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    rows.iter().map(|row| (number(row, "step"), number(row, "value"))).collect()
}

fn same(read: &Value, stored: &[(f64, f64)], tolerance: f64) {
    let read = read.as_array().unwrap();
    assert_eq!(read.len(), stored.len(), "{read:?} against {stored:?}");
    for (read, (step, value)) in read.iter().zip(stored) {
        let got = (read[0].as_f64().unwrap(), read[1].as_f64().unwrap());
        let is_near = (got.1 - value).abs() <= tolerance * value.abs();
        assert!(got.0 == *step && is_near, "{got:?} against {:?}", (step, value));
    }
}

/// Every trial is there with its settings, and every curve point for point.
fn all_is_there(
    place: &Place,
    trials: &BTreeMap<String, Value>,
    tolerance: f64,
    number: fn(&Value) -> f64,
) {
    let results = place.query("select * from trial_result");
    assert_eq!(trials.len(), results.len());
    for result in results {
        let id = result["trial_id"].as_str().unwrap();
        let trial = &trials[id];
        for name in ["params", "train_flops", "examples_seen", "learning_rate"] {
            assert_eq!(number(&trial["settings"][name]), result[name].as_f64().unwrap(), "{name}");
        }
        assert_eq!(trial["settings"]["shape"], result["shape"]);
        for metric in ["train_loss", "val_loss", "val_error"] {
            let stored = curve(place, id, metric);
            assert!(!stored.is_empty(), "{metric}");
            same(&trial["curves"][metric], &stored, tolerance);
        }
        let few_shot = &trial["curves"]["few_shot_5_error"];
        assert_eq!(few_shot.as_array().unwrap().len(), 1, "{few_shot}");
    }
}

#[test]
fn tensorboard_shows_every_trial_with_its_curves_and_settings() {
    let place = trained("isoflop-trainer");
    let folder = export(&place, "several", "tensorboard");
    let test = "tensorboard_shows_every_trial_with_its_curves_and_settings";
    let Some(trials) = read(test, "tensorboard", &folder, 4) else { return };
    // TensorBoard keeps single precision.
    all_is_there(&place, &trials, 1e-7, |value| value.as_f64().unwrap());
    for trial in trials.values() {
        assert_eq!(trial["status"], "STATUS_SUCCESS");
        assert_eq!(trial["settings"]["recipe.train.batch"], 16.0);
    }
}

#[test]
fn mlflow_lists_every_trial_as_a_run_of_the_sweeps_experiment() {
    let place = trained("isoflop-trainer");
    let folder = export(&place, "several", "mlflow");
    let test = "mlflow_lists_every_trial_as_a_run_of_the_sweeps_experiment";
    let Some(trials) = read(test, "mlflow", folder.parent().unwrap(), 4) else { return };
    all_is_there(&place, &trials, 0.0, |value| value.as_str().unwrap().parse().unwrap());
    for trial in trials.values() {
        assert_eq!(
            (&trial["experiment"], &trial["status"]),
            (&"several".into(), &"FINISHED".into())
        );
        assert_eq!(trial["tags"]["isoflop.variant"], trial["settings"]["variant"]);
    }
}

#[test]
fn wandb_sync_uploads_every_trial_to_the_sweeps_project() {
    let place = trained("isoflop-trainer");
    let folder = export(&place, "several", "wandb-offline");
    let test = "wandb_sync_uploads_every_trial_to_the_sweeps_project";
    let Some(trials) = read(test, "wandb", &folder, 4) else { return };
    all_is_there(&place, &trials, 0.0, |value| value.as_f64().unwrap());
    for trial in trials.values() {
        assert_eq!((&trial["project"], &trial["status"]), (&"several".into(), &0.into()));
        assert_eq!(trial["settings"]["recipe"]["train"]["batch"], 16);
        let last = trial["curves"]["val_loss"].as_array().unwrap().last().unwrap();
        assert_eq!(trial["summary"]["val_loss"], last[1]);
    }
}

#[test]
fn tables_hold_what_the_views_do() {
    let place = trained("fake-trainer");
    let folder = export(&place, "several", "json");
    let table = |name: &str| -> Vec<Value> {
        let text = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let ordered = "from trial_result join sweep_trial using (sweep, trial_id) order by position";
    assert_eq!(table("trials"), place.query(&format!("select trial_result.* {ordered}")));
    assert_eq!(table("evaluations").len(), place.query("select * from evaluation").len());
    assert_eq!(table("curves").len(), place.query("select * from learning_curve").len());
    assert_eq!(std::fs::read_to_string(folder.join("sweep.toml")).unwrap(), SWEEP);
    let csv = std::fs::read_to_string(export(&place, "several", "csv").join("trials.csv")).unwrap();
    assert!(csv.starts_with("sweep,trial_id,family,shape,params,") && csv.lines().count() == 5);
}

#[test]
fn a_parquet_export_is_a_table_that_can_be_fitted_and_imported() {
    let place = trained("fake-trainer");
    let folder = export(&place, "several", "parquet");
    let file = folder.join("trials.parquet");
    let file = file.to_str().unwrap();
    let import = ["import", "--csv", file, "--sweep", "again"];
    place.stdout(&import, 0);
    let columns = "family, shape, params, unique_examples, examples_seen, steps, train_flops,
                   learning_rate, seed, state, val_loss, val_error, variant";
    let of = |sweep: &str| {
        place.query(&format!(
            "select {columns} from trial_result where sweep = '{sweep}' order by 1, 2, 5, 13"
        ))
    };
    assert_eq!(of("again"), of("several"));
    assert_eq!(of("again").len(), 4);
}

#[test]
fn exporting_again_gives_the_same_bytes_and_leaves_other_folders_alone() {
    let place = trained("fake-trainer");
    for format in ["tensorboard", "mlflow", "wandb-offline", "parquet", "csv", "json"] {
        let folder = export(&place, "several", format);
        let first = contents(&folder);
        std::fs::write(folder.join("left"), "over").unwrap();
        assert_eq!(export(&place, "several", format), folder);
        assert_eq!(contents(&folder), first, "{format}");
    }
    std::fs::create_dir_all(place.path("mine/several")).unwrap();
    let refused = ["export", "several", "--format", "csv", "--out", "mine"];
    let output = place.output(&refused);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no export made it"), "{}", text(&output.stderr));
    let unknown = place.output(&["export", "nothing", "--format", "csv"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("it has several"), "{}", text(&unknown.stderr));
}

/// Every file below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => drop(files.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    files
}
