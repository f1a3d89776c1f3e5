//! MLflow: a file store, in which the sweep is an experiment and every trial a run. What lies where was
//! read out of stores that MLflow 3.17 wrote.
//!
//! Files rather than a database, because they need no version of MLflow's schema: `mlflow
//! migrate-filestore` makes a database of them.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::flat::{flat, text};
use crate::{Curve, File, State, Sweep, Trial, UnixSeconds};

/// MLflow's limits are in its validation: longer values are refused by its databases.
const LONGEST_VALUE: usize = 6000;

/// The folder of the sweep's experiment in a file store: its id.
pub fn folder(sweep: &Sweep) -> String {
    format!("{:018}", sweep.number % 1_000_000_000_000_000_000)
}

/// The files of the experiment and of the trials that have begun. `location` is where the experiment's
/// folder will be, as an absolute path: MLflow stores such paths.
pub fn files<'a>(sweep: &'a Sweep, location: &'a Path) -> impl Iterator<Item = File> + 'a {
    experiment(sweep, location).into_iter().chain(sweep.begun().flat_map(move |trial| {
        let of_trial = run(sweep, trial, location);
        of_trial.into_iter().map(|file| within(&trial.key, file))
    }))
}

fn experiment(sweep: &Sweep, location: &Path) -> Vec<File> {
    let meta = json!({
        "artifact_location": uri(location),
        "creation_time": milliseconds(sweep.created_at),
        "experiment_id": folder(sweep),
        "last_update_time": milliseconds(sweep.updated_at),
        "lifecycle_stage": "active",
        "name": sweep.name,
    });
    let tags = [("mlflow.note.content", sweep.question.as_str())];
    std::iter::once(yaml("meta.yaml", &meta)).chain(tags.into_iter().filter_map(tag)).collect()
}

fn run(sweep: &Sweep, trial: &Trial, location: &Path) -> Vec<File> {
    let meta = json!({
        "artifact_uri": uri(&location.join(&trial.key).join("artifacts")),
        "end_time": trial.ended_at.map(milliseconds),
        "entry_point_name": "",
        "experiment_id": folder(sweep),
        "lifecycle_stage": "active",
        "run_id": trial.key,
        "run_name": trial.name,
        "source_name": "",
        "source_type": 4, // local
        "source_version": "",
        "start_time": milliseconds(trial.started_at),
        "status": status(trial.state),
        "tags": [],
        "user_id": "isoflop",
    });
    let tags = [
        ("mlflow.runName", trial.name.as_str()),
        ("mlflow.source.name", "isoflop"),
        ("mlflow.source.type", "LOCAL"),
        ("mlflow.user", "isoflop"),
        ("isoflop.sweep", &sweep.name),
        ("isoflop.state", trial.state.word()),
        ("isoflop.variant", trial.variant.as_deref().unwrap_or_default()),
    ];
    std::iter::once(yaml("meta.yaml", &meta))
        .chain(tags.into_iter().filter_map(tag))
        .chain(params(&trial.settings))
        .chain(trial.curves.iter().map(metric))
        // Without these MLflow takes it for no run.
        .chain(["params", "metrics", "artifacts"].map(File::folder))
        .collect()
}

/// A divergence is a result: its state is told by a tag.
const fn status(state: State) -> u8 {
    match state {
        State::Running => 1,
        State::Pending => 2, // scheduled
        State::Finished | State::Diverged => 3,
        State::Failed => 4,
    }
}

fn tag((name, value): (&str, &str)) -> Option<File> {
    (!value.is_empty()).then(|| File::new(Path::new("tags").join(name), value))
}

fn params(settings: &Map<String, Value>) -> impl Iterator<Item = File> {
    flat(settings).into_iter().map(|(name, value)| {
        let value: String = text(value).chars().take(LONGEST_VALUE).collect();
        File::new(Path::new("params").join(key(&name)), value)
    })
}

/// A line per point: when, value, step.
fn metric(curve: &Curve) -> File {
    let line = |point: &crate::Point| {
        format!("{} {} {}\n", milliseconds(point.at), point.value, point.step)
    };
    let lines: String = curve.points.iter().map(line).collect();
    File::new(Path::new("metrics").join(key(&curve.metric)), lines)
}

/// A name that MLflow takes, and that is the name of a file.
fn key(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_. ".contains(c) { c } else { '_' };
    let text: String = name.chars().map(plain).take(250).collect();
    if text.trim_matches('.').is_empty() { "_".repeat(text.len().max(1)) } else { text }
}

/// YAML whose values are JSON, which is YAML too.
fn yaml(path: &str, object: &Value) -> File {
    let lines = object.as_object().into_iter().flatten();
    let text: String = lines.map(|(key, value)| format!("{key}: {value}\n")).collect();
    File::new(path, text)
}

fn within(folder: &str, file: File) -> File {
    File { path: Path::new(folder).join(file.path), ..file }
}

/// `file:///a/b`, with what a URI cannot hold as it is in hexadecimal.
fn uri(path: &Path) -> String {
    let plain = |byte: &u8| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' => true,
        other => other.is_ascii_alphanumeric(),
    };
    let escaped = path.as_os_str().as_encoded_bytes().iter().map(|byte| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    format!("file://{}", escaped.collect::<String>())
}

fn milliseconds(time: UnixSeconds) -> i64 {
    (1000.0 * time).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{sweep, trial};

    fn read(name: &str, sweep: &Sweep) -> String {
        let files: Vec<_> = files(sweep, Path::new("/a folder/7")).collect();
        let file = files.iter().find(|file| file.path.ends_with(name)).unwrap();
        String::from_utf8(file.bytes.clone().unwrap()).unwrap()
    }

    #[test]
    fn a_sweep_is_an_experiment_and_a_trial_a_run() {
        let sweep = sweep(vec![trial("8x1: \"a\"", State::Failed)]);
        assert_eq!(folder(&sweep), "000000000000000042");
        let key = &sweep.trials[0].key;
        let run = read(&format!("{key}/meta.yaml"), &sweep);
        assert!(run.contains("run_name: \"8x1: \\\"a\\\"\"\n"), "{run}");
        assert!(run.contains(&format!("artifact_uri: \"file:///a%20folder/7/{key}/artifacts\"\n")));
        assert!(run.contains("start_time: 1000000\n") && run.contains("status: 4\n"), "{run}");
        assert!(run.contains("end_time: 1200500\n"), "{run}");
        assert_eq!(read("params/recipe.batch", &sweep), "8");
        assert_eq!(read("tags/isoflop.state", &sweep), "failed");
        assert_eq!(read("metrics/train_loss", &sweep), "1050000 0.75 50\n1100000 NaN 100\n");
        assert_eq!(read("tags/mlflow.note.content", &sweep), "Which size?");
    }

    #[test]
    fn names_are_names_of_files_in_their_folder() {
        assert_eq!(key("recipe.train.rate"), "recipe.train.rate");
        assert_eq!(key("../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!((key("..").as_str(), key("").as_str(), key("µ").as_str()), ("__", "_", "_"));
    }
}
