//! Progress for programs: a JSON object per line on standard output, described in docs/operations.md.

use std::io::Write;

use serde_json::{Map, Value, json};
use spec::{SegmentId, SegmentSpec, TrainerEvent};

use crate::journal::now;

/// Which execution an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of {
    pub segment_id: SegmentId,
    pub attempt: u32,
    pub slot: usize,
}

pub struct Events;

impl Events {
    pub fn launched(&self, of: Of, spec: &SegmentSpec, expected_s: f64) {
        let segment = json!({
            "kind": spec.kind,
            "family": spec.recipe.model.family(),
            "shape": spec.recipe.model.shape_name(),
            "unique_examples": spec.recipe.unique_examples,
            "learning_rate": spec.recipe.train.learning_rate,
            "seed": spec.recipe.seed,
            "start_step": spec.start,
            "end_step": spec.end,
            "expected_s": expected_s,
        });
        write("launched", Some(of), segment);
    }

    /// What a trainer said, in the words of the protocol.
    pub fn said(&self, of: Of, event: &TrainerEvent) {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return };
        let name = fields.remove("event");
        write(name.as_ref().and_then(Value::as_str).unwrap_or_default(), Some(of), fields.into());
    }

    pub fn lost(&self, of: Of, how: &str) {
        write("lost", Some(of), json!({ "reason": how }));
    }

    pub fn gave_up(&self, segments: &[SegmentId], reason: &str) {
        write("gave-up", None, json!({ "segment_ids": segments, "reason": reason }));
    }

    pub fn reopened(&self, segment_id: SegmentId) {
        write("reopened", None, json!({ "segment_id": segment_id }));
    }

    pub fn sweep(&self, fields: Value) {
        write("sweep", None, fields);
    }
}

fn write(event: &str, of: Option<Of>, fields: Value) {
    let line = line(now(), event, of, fields);
    // Who reads may have seen enough; the sweep goes on.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn line(time: f64, event: &str, of: Option<Of>, fields: Value) -> Value {
    let mut line = Map::new();
    line.insert("time".into(), json!(time));
    line.insert("event".into(), json!(event));
    if let Some(Of { segment_id, attempt, slot }) = of {
        line.insert("segment_id".into(), json!(segment_id));
        line.insert("attempt".into(), json!(attempt));
        line.insert("slot".into(), json!(slot));
    }
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    line.into()
}

#[cfg(test)]
mod tests {
    use spec::Id;

    use super::*;

    #[test]
    fn a_line_says_when_what_and_of_which_attempt() {
        let segment_id = SegmentId(Id::of(&1));
        let of = Of { segment_id, attempt: 2, slot: 0 };
        let line = line(1.5, "lost", Some(of), json!({ "reason": "by signal 9" }));
        let expected = format!(
            r#"{{"time":1.5,"event":"lost","segment_id":"{segment_id}","attempt":2,"slot":0,"reason":"by signal 9"}}"#
        );
        assert_eq!(line.to_string(), expected);
    }
}
