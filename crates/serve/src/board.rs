//! The trials of a sweep, and at which revision each of them last changed: whoever has seen some
//! revision is told what changed since, whenever that was.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::ser::SerializeMap;
use spec::TrialId;

use crate::view::{Group, Row, State, Sweep};

/// What someone has seen: of which plan, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Differs between plans, and between servers.
    pub plan: u64,
    pub revision: u64,
}

/// What is not a mark.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a mark is two numbers, as 12-34")]
pub struct NoMark;

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.plan, self.revision)
    }
}

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let (plan, revision) = text.split_once('-').ok_or(NoMark)?;
        let number = |digits: &str| digits.parse().map_err(|_| NoMark);
        Ok(Self { plan: number(plan)?, revision: number(revision)? })
    }
}

impl Serialize for Mark {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A sweep as it was last read.
#[derive(Clone, Debug)]
pub struct Board {
    sweep: Sweep,
    mark: Mark,
    /// By row.
    changed: Vec<u64>,
}

/// What someone with a mark has not seen.
#[derive(Debug, PartialEq, Serialize)]
pub struct Changes<'a> {
    pub mark: Mark,
    pub rows: Vec<Changed<'a>>,
}

/// Place of a row, and what of it changes.
#[derive(Debug, PartialEq, Serialize)]
pub struct Changed<'a>(usize, State, Option<f64>, &'a [Option<f64>]);

impl Board {
    pub fn new(sweep: Sweep, plan: u64) -> Self {
        let changed = vec![0; sweep.rows.len()];
        Self { sweep, mark: Mark { plan, revision: 0 }, changed }
    }

    /// The sweep has been read again. Another plan begins a new board, of the next number.
    #[must_use]
    pub fn updated(mut self, sweep: Sweep) -> Self {
        if !self.is_plan_of(&sweep) {
            return Self::new(sweep, self.mark.plan.wrapping_add(1));
        }
        let next = self.mark.revision + 1;
        let pairs = self.sweep.rows.iter().zip(&sweep.rows).zip(&mut self.changed);
        for ((_, _), changed) in pairs.filter(|((old, new), _)| !is_same(old, new)) {
            *changed = next;
            self.mark.revision = next;
        }
        Self { sweep, ..self }
    }

    fn is_plan_of(&self, sweep: &Sweep) -> bool {
        let ids = |sweep: &Sweep| sweep.rows.iter().map(|row| row.id).collect::<Vec<_>>();
        self.sweep.metrics == sweep.metrics
            && self.sweep.groups == sweep.groups
            && self.sweep.source == sweep.source
            && ids(&self.sweep) == ids(sweep)
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// None where the mark is of another plan, or of a revision that never was: begin anew.
    pub fn since(&self, seen: Mark) -> Option<Changes<'_>> {
        if seen.plan != self.mark.plan || seen.revision > self.mark.revision {
            return None;
        }
        let rows = self.sweep.rows.iter().zip(&self.changed).enumerate();
        let rows = rows.filter(|(_, (_, changed))| **changed > seen.revision);
        let rows = rows.map(|(i, (row, _))| Changed(i, row.state, row.device_s, &row.values));
        Some(Changes { mark: self.mark, rows: rows.collect() })
    }

    /// All of it, as columns: a tenth of the size of rows.
    pub fn whole(&self) -> Whole<'_> {
        Whole { source: &self.sweep.source, trials: Trials(self) }
    }
}

/// Bits, so that no number is unlike itself.
fn is_same(old: &Row, new: &Row) -> bool {
    let bits = |value: &Option<f64>| value.map(f64::to_bits);
    let values = |row: &Row| row.values.iter().map(bits).collect::<Vec<_>>();
    old.state == new.state
        && bits(&old.device_s) == bits(&new.device_s)
        && values(old) == values(new)
}

#[derive(Serialize)]
pub struct Whole<'a> {
    source: &'a str,
    trials: Trials<'a>,
}

struct Trials<'a>(&'a Board);

impl Serialize for Trials<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Board { sweep, mark, .. } = self.0;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("mark", mark)?;
        map.serialize_entry::<_, [Group]>("groups", &sweep.groups)?;
        map.serialize_entry("metrics", &sweep.metrics)?;
        map.serialize_entry("columns", &Columns::of(&sweep.rows))?;
        map.serialize_entry("values", &Values(sweep))?;
        map.end()
    }
}

#[derive(Serialize)]
struct Columns {
    id: Vec<TrialId>,
    group: Vec<usize>,
    unique_examples: Vec<u64>,
    examples_seen: Vec<u64>,
    steps: Vec<Option<u64>>,
    train_flops: Vec<f64>,
    learning_rate: Vec<Option<f64>>,
    seed: Vec<Option<u64>>,
    state: Vec<State>,
    device_s: Vec<Option<f64>>,
}

impl Columns {
    fn of(rows: &[Row]) -> Self {
        Self {
            id: column(rows, |row| row.id),
            group: column(rows, |row| row.group),
            unique_examples: column(rows, |row| row.unique_examples),
            examples_seen: column(rows, |row| row.examples_seen),
            steps: column(rows, |row| row.steps),
            train_flops: column(rows, |row| row.train_flops),
            learning_rate: column(rows, |row| row.learning_rate),
            seed: column(rows, |row| row.seed),
            state: column(rows, |row| row.state),
            device_s: column(rows, |row| row.device_s),
        }
    }
}

fn column<T>(rows: &[Row], of: impl Fn(&Row) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// A column for each metric.
struct Values<'a>(&'a Sweep);

impl Serialize for Values<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.metrics.len()))?;
        for (i, metric) in self.0.metrics.iter().enumerate() {
            let values = column(&self.0.rows, |row| row.values.get(i).copied().flatten());
            map.serialize_entry(metric, &values)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use spec::Id;

    use super::*;

    fn sweep(states: &[u8]) -> Sweep {
        let rows = states.iter().enumerate().map(|(i, state)| Row {
            id: TrialId(Id::of(&i)),
            group: 0,
            unique_examples: 64,
            examples_seen: 640,
            steps: Some(80),
            train_flops: 1e9,
            learning_rate: Some(1e-3),
            seed: Some(0),
            state: [State::Pending, State::Running, State::Finished][usize::from(*state)],
            device_s: (*state == 2).then_some(1.5),
            values: vec![(*state == 2).then_some(0.25)],
        });
        let group = Group { shape: "a".into(), family: "vit".into(), variant: None, params: 10 };
        Sweep {
            source: "# Why?".into(),
            metrics: vec!["val_error".into()],
            groups: vec![group],
            rows: rows.collect(),
        }
    }

    fn json(of: impl Serialize) -> Value {
        serde_json::to_value(of).unwrap()
    }

    /// As the page applies changes.
    fn apply(whole: &mut Value, changes: &Value) {
        whole["trials"]["mark"] = changes["mark"].clone();
        for row in changes["rows"].as_array().unwrap() {
            let at = usize::try_from(row[0].as_u64().unwrap()).unwrap();
            whole["trials"]["columns"]["state"][at] = row[1].clone();
            whole["trials"]["columns"]["device_s"][at] = row[2].clone();
            whole["trials"]["values"]["val_error"][at] = row[3][0].clone();
        }
    }

    proptest! {
        #[test]
        fn whoever_has_seen_a_revision_and_its_changes_has_seen_all(
            histories in prop::collection::vec(prop::collection::vec(0_u8..3, 5), 1..8),
            from in 0_usize..8,
        ) {
            let mut board = Board::new(sweep(&histories[0]), 7);
            let mut seen = board.clone();
            for (i, states) in histories.iter().enumerate().skip(1) {
                board = board.updated(sweep(states));
                if i <= from {
                    seen = board.clone();
                }
            }
            let mut told = json(seen.whole());
            apply(&mut told, &json(board.since(seen.mark()).unwrap()));
            prop_assert_eq!(told, json(board.whole()));
            prop_assert!(board.since(board.mark()).unwrap().rows.is_empty());
        }
    }

    #[test]
    fn nothing_new_is_no_new_revision() {
        let board = Board::new(sweep(&[0, 2]), 7);
        let mark = board.mark();
        assert_eq!(board.updated(sweep(&[0, 2])).mark(), mark);
    }

    #[test]
    fn another_plan_or_another_server_begins_anew() {
        let board = Board::new(sweep(&[0, 2]), 7);
        let mark = board.mark();
        let longer = board.clone().updated(sweep(&[0, 2, 0]));
        assert_eq!((longer.mark(), longer.since(mark)), (Mark { plan: 8, revision: 0 }, None));
        assert_eq!(board.since(Mark { plan: 3, revision: 0 }), None);
        assert_eq!(board.since(Mark { plan: 7, revision: 1 }), None);
    }

    #[test]
    fn a_sweep_is_told_in_columns_and_what_is_missing_is_null() {
        let told = json(Board::new(sweep(&[0, 2]), 7).whole());
        assert_eq!(told["trials"]["mark"], "7-0");
        assert_eq!(told["trials"]["columns"]["state"], json!([0, 2]));
        assert_eq!(told["trials"]["columns"]["device_s"], json!([null, 1.5]));
        assert_eq!(told["trials"]["values"], json!({ "val_error": [null, 0.25] }));
        assert_eq!(told["trials"]["groups"][0]["variant"], Value::Null);
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = Mark { plan: u64::MAX, revision: 12 };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in ["", "1", "1-", "-1", "a-b", "1-2-3", "1-99999999999999999999"] {
            assert_eq!(text.parse::<Mark>(), Err(NoMark), "{text}");
        }
    }
}
