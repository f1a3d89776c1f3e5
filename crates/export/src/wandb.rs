//! Weights & Biases: a folder per trial as `wandb` leaves it of a run without a network, which
//! `wandb sync` uploads and `wandb leet` shows. The sweep is the project.
//!
//! A run is a log (`log.rs`) of `Record` messages (`proto.rs`), numbered from 1.

mod log;
mod proto;

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::Message;
use serde_json::{Value, json};

use crate::{File, State, Sweep, Trial, UnixSeconds, component};
use proto::{
    Exit, Header, History, Item, Items, Record, Run, Step, Timestamp, VersionInfo, WITHOUT_KEY,
};

/// The files of a sweep's trials that have begun, one at a time.
pub fn files(sweep: &Sweep) -> impl Iterator<Item = File> {
    sweep.begun().map(|trial| file(sweep, trial))
}

fn file(sweep: &Sweep, trial: &Trial) -> File {
    let id = component(&trial.id);
    // `wandb sync` looks one level down for *.wandb, and tells by this name that it was not uploaded.
    let folder = PathBuf::from(format!("offline-run-{id}"));
    let mut out = log::begin();
    for (record, num) in records(sweep, trial).into_iter().zip(1..) {
        log::append(&mut out, &Record { num, ..record }.encode_to_vec());
    }
    File::new(folder.join(format!("run-{id}.wandb")), out)
}

fn records(sweep: &Sweep, trial: &Trial) -> Vec<Record> {
    let header = Record { header: Some(header()), ..Record::default() };
    let run = Record { run: Some(run(sweep, trial)), ..Record::default() };
    let summary = Record { summary: Some(summary(trial)), ..Record::default() };
    let exit = trial.ended_at.map(|at| Record {
        exit: Some(Exit {
            exit_code: i32::from(trial.state == State::Failed),
            runtime: (at - trial.started_at).max(0.0) as i32,
        }),
        ..Record::default()
    });
    [header, run].into_iter().chain(history(trial)).chain([summary]).chain(exit).collect()
}

/// Who wrote it, and the oldest reader that understands it: that of the current format.
fn header() -> Header {
    let producer = format!("isoflop {}", env!("CARGO_PKG_VERSION"));
    Header { version_info: Some(VersionInfo { producer, min_consumer: "0.70.0".to_owned() }) }
}

fn run(sweep: &Sweep, trial: &Trial) -> Run {
    let settings = trial.settings.iter().filter(|(_, value)| !value.is_null());
    let config = settings.map(|(key, value)| Item::keyed(key, value));
    Run {
        run_id: trial.id.clone(),
        project: sweep.name.clone(),
        config: Some(Items { update: config.collect() }),
        run_group: trial.variant.clone().unwrap_or_default(),
        display_name: trial.name.clone(),
        notes: sweep.question.clone(),
        tags: vec![trial.state.word().to_owned()],
        start_time: Some(timestamp(trial.started_at)),
    }
}

/// All that was measured at a step is one record, and steps only grow.
fn history(trial: &Trial) -> impl Iterator<Item = Record> {
    let mut steps: BTreeMap<u64, (UnixSeconds, Vec<Item>)> = BTreeMap::new();
    for curve in &trial.curves {
        for point in &curve.points {
            let (at, items) = steps.entry(point.step).or_insert((point.at, Vec::new()));
            *at = at.max(point.at);
            items.push(Item::of(&curve.metric, number(point.value)));
        }
    }
    steps.into_iter().map(|(step, (at, mut items))| {
        items.push(Item::of("_step", json!(step).to_string()));
        items.push(Item::of("_timestamp", json!(at).to_string()));
        items.push(Item::of("_runtime", json!((at - trial.started_at).max(0.0)).to_string()));
        let num = i64::try_from(step).unwrap_or(i64::MAX);
        let history = History { item: items, step: Some(Step { num }) };
        Record { history: Some(history), ..Record::default() }
    })
}

fn summary(trial: &Trial) -> Items {
    let outcomes = trial.outcomes.iter();
    Items { update: outcomes.map(|(metric, value)| Item::of(metric, number(*value))).collect() }
}

/// JSON as W&B extends it.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    match value.is_infinite() {
        true => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        false => json!(value).to_string(),
    }
}

fn timestamp(time: UnixSeconds) -> Timestamp {
    let nanos = ((time - time.floor()) * 1e9) as i32;
    Timestamp { seconds: time.floor() as i64, nanos }
}

impl Item {
    /// A metric: its name is one key, whatever dots it has.
    fn of(name: &str, value_json: String) -> Self {
        Self { key: WITHOUT_KEY.to_owned(), nested_key: vec![name.to_owned()], value_json }
    }

    fn keyed(key: &str, value: &Value) -> Self {
        Self { key: key.to_owned(), nested_key: Vec::new(), value_json: value.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{sweep, trial};

    fn read(sweep: &Sweep) -> Vec<Record> {
        let file = files(sweep).next().unwrap();
        let path = "offline-run-00112233445566778899aabbccddeeff/run-00112233445566778899aabbccddeeff.wandb";
        assert_eq!(file.path, PathBuf::from(path));
        log::split(&file.bytes.unwrap())
            .iter()
            .map(|data| Record::decode(data.as_slice()).unwrap())
            .collect()
    }

    #[test]
    fn a_trial_is_a_run_with_a_record_per_step() {
        let records = read(&sweep(vec![trial("a", State::Diverged)]));
        let numbers: Vec<_> = records.iter().map(|record| record.num).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        let run = records[1].run.as_ref().unwrap();
        assert_eq!(
            (run.project.as_str(), run.tags.as_slice()),
            ("small", &["diverged".to_owned()][..])
        );
        let last = records[3].history.as_ref().unwrap();
        let told = |item: &Item| format!("{}={}", item.nested_key[0], item.value_json);
        let told: Vec<_> = last.item.iter().map(told).collect();
        let expected =
            ["train_loss=NaN", "val_loss=0.5", "_step=100", "_timestamp=1100.0", "_runtime=100.0"];
        assert_eq!(told, expected);
        assert_eq!(records[5].exit.as_ref().unwrap().exit_code, 0);
    }

    #[test]
    fn what_still_runs_has_no_exit_and_what_failed_has_a_bad_one() {
        let running = trial("a", State::Running);
        let running = Trial { ended_at: None, ..running };
        assert!(read(&sweep(vec![running])).iter().all(|record| record.exit.is_none()));
        let failed = read(&sweep(vec![trial("a", State::Failed)]));
        assert_eq!(failed.last().unwrap().exit.as_ref().unwrap().exit_code, 1);
    }
}
