//! TensorBoard: a folder of event files per trial, with its curves as scalars and, for the HPARAMS tab,
//! its settings.
//!
//! An event file is a sequence of records (`record.rs`), each an `Event` message (`proto.rs`).

mod proto;
mod record;

use std::path::PathBuf;

use prost::Message;
use serde_json::Value;

use crate::flat::{flat, text};
use crate::{Curve, File, Point, State, Sweep, Trial, UnixSeconds, component};
use proto::{
    Event, HParamsPluginData, PluginData, ProtoValue, SessionEnd, SessionStart, Status, Summary,
    SummaryMetadata, SummaryValue, TensorProto,
};

/// The files of a sweep's trials that have begun, one at a time.
pub fn files(sweep: &Sweep) -> impl Iterator<Item = File> {
    sweep.begun().map(file)
}

fn file(trial: &Trial) -> File {
    // Words of the name, and digits that tell trials of one name apart.
    let is_word = |word: &&str| !word.is_empty();
    let words =
        trial.name.split(|c: char| !c.is_alphanumeric() && !"._".contains(c)).filter(is_word);
    let digits = &trial.id[..8.min(trial.id.len())];
    let folder = component(&words.chain([digits]).collect::<Vec<_>>().join("-"));
    // TensorBoard takes every file with `tfevents` in its name, and reads those of a folder in order.
    let name = format!("events.out.tfevents.{:010.0}.isoflop", trial.started_at.max(0.0).floor());
    let mut bytes = Vec::new();
    for event in events(trial) {
        record::append(&mut bytes, &event.encode_to_vec());
    }
    File::new(PathBuf::from(folder).join(name), bytes)
}

fn events(trial: &Trial) -> Vec<Event> {
    let version = Event {
        wall_time: trial.started_at,
        file_version: Some("brain.Event:2".to_owned()),
        ..Event::default()
    };
    let mut events = vec![version, of(trial.started_at, 0, session_start(trial))];
    for curve in &trial.curves {
        events.extend(curve.points.iter().map(|point| scalar(curve, point)));
    }
    if let Some(at) = trial.ended_at {
        events.push(of(at, 0, session_end(trial.state, at)));
    }
    events
}

fn of(at: UnixSeconds, step: u64, value: SummaryValue) -> Event {
    Event {
        wall_time: at,
        step: i64::try_from(step).unwrap_or(i64::MAX),
        file_version: None,
        summary: Some(Summary { value: vec![value] }),
    }
}

/// TensorBoard keeps single precision.
fn scalar(curve: &Curve, point: &Point) -> Event {
    let value = SummaryValue {
        tag: curve.metric.clone(),
        simple_value: Some(point.value as f32),
        ..SummaryValue::default()
    };
    of(point.at, point.step, value)
}

fn session_start(trial: &Trial) -> SummaryValue {
    let settings = flat(&trial.settings);
    let start = SessionStart {
        hparams: settings.into_iter().map(|(name, value)| (name, hparam(value))).collect(),
        start_time_secs: trial.started_at,
    };
    let data = HParamsPluginData { session_start: Some(start), ..HParamsPluginData::default() };
    hparams("_hparams_/session_start_info", &data)
}

fn session_end(state: State, at: UnixSeconds) -> SummaryValue {
    let status = match state {
        State::Pending => Status::Unknown,
        State::Running => Status::Running,
        State::Finished | State::Diverged => Status::Success,
        State::Failed => Status::Failure,
    };
    let end = SessionEnd { status: status.into(), end_time_secs: at };
    let data = HParamsPluginData { session_end: Some(end), ..HParamsPluginData::default() };
    hparams("_hparams_/session_end_info", &data)
}

fn hparam(value: &Value) -> ProtoValue {
    match value {
        Value::Bool(is) => ProtoValue { bool: Some(*is), ..ProtoValue::default() },
        Value::Number(number) => ProtoValue { number: number.as_f64(), ..ProtoValue::default() },
        other => ProtoValue { string: Some(text(other)), ..ProtoValue::default() },
    }
}

/// What the plugin reads is in the metadata; the tensor beside it has to be there and says nothing.
fn hparams(tag: &str, data: &HParamsPluginData) -> SummaryValue {
    let plugin = PluginData { plugin_name: "hparams".to_owned(), content: data.encode_to_vec() };
    SummaryValue {
        tag: tag.to_owned(),
        simple_value: None,
        tensor: Some(TensorProto::nothing()),
        metadata: Some(SummaryMetadata { plugin_data: Some(plugin) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{sweep, trial};

    fn read(bytes: &[u8]) -> Vec<Event> {
        record::split(bytes).map(|data| Event::decode(data).unwrap()).collect()
    }

    #[test]
    fn a_trial_is_a_folder_with_its_curves_between_start_and_end() {
        let sweep = sweep(vec![trial("8x1, seed 0", State::Diverged)]);
        let files: Vec<_> = files(&sweep).collect();
        let path = "8x1-seed-0-00112233/events.out.tfevents.0000001000.isoflop";
        assert_eq!(files[0].path, PathBuf::from(path));
        let events = read(files[0].bytes.as_ref().unwrap());
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        let tags: Vec<_> = events[1..]
            .iter()
            .map(|event| event.summary.as_ref().unwrap().value[0].tag.as_str())
            .collect();
        let [start, end] = ["_hparams_/session_start_info", "_hparams_/session_end_info"];
        assert_eq!(tags, [start, "train_loss", "train_loss", "val_loss", end]);
        let last = events[3].summary.as_ref().unwrap().value[0].simple_value.unwrap();
        assert!(events[3].step == 100 && events[3].wall_time == 1100.0 && last.is_nan());
    }

    #[test]
    fn what_has_not_begun_is_left_out() {
        let mut pending = trial("a", State::Pending);
        pending.curves.clear();
        assert_eq!(files(&sweep(vec![pending, trial("b", State::Running)])).count(), 1);
    }
}
