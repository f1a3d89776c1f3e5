//! What each `isoflop sweep` of one sweep predicted for itself, and what it took.

use std::collections::HashSet;

use serde::Deserialize;
use store::{Provenance, Store, StoreError, UnixSeconds};

use crate::devices::slots_in_words;

/// Those that had something to train, oldest first.
pub struct Invocations(Vec<Invocation>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Invocation {
    n_devices: usize,
    /// From its start to the end of what was left of the sweep.
    predicted_s: Option<f64>,
    /// From its start to the last word of its attempts.
    wall_s: f64,
    /// Seconds that its attempts were charged with, added up.
    busy_s: f64,
}

/// What an invocation writes down of itself; a trainer's own word has none of it.
#[derive(Deserialize)]
struct Note {
    slots: Vec<SlotNote>,
    predicted_makespan_s: Option<f64>,
}

/// Slots of one GPU share it; one without is a device of its own.
#[derive(Deserialize)]
struct SlotNote {
    gpu: Option<String>,
}

impl Invocations {
    /// # Errors
    /// The store's.
    pub async fn read(store: &Store, sweep: &str) -> Result<Self, StoreError> {
        let notes: Vec<_> = store.provenance(sweep).await?.iter().filter_map(note).collect();
        let since: Vec<_> = notes.iter().map(|(at, _)| *at).collect();
        let mut invocations = Vec::new();
        for busy in store.busy(sweep, &since).await? {
            let Some((_, note)) = notes.iter().find(|(at, _)| *at == busy.since) else { continue };
            invocations.push(Invocation {
                n_devices: note.n_devices(),
                predicted_s: note.predicted_makespan_s,
                wall_s: busy.until - busy.since,
                busy_s: busy.charged_s,
            });
        }
        Ok(Self(invocations))
    }

    /// What the last one predicted and took, and how idle its slots were.
    pub fn remark(&self, is_running: bool) -> Option<String> {
        let last = self.0.last()?;
        let which = match self.0.len() {
            1 => String::new(),
            n => format!("last of {n} starts: "),
        };
        let predicted = last
            .predicted_s
            .map_or_else(String::new, |s| format!("predicted {}, ", report::duration(s)));
        let so_far = if is_running { " so far" } else { "" };
        Some(format!(
            "{which}{predicted}took {}{so_far} on {}, idle {:.0}% of the time",
            report::duration(last.wall_s),
            slots_in_words(last.n_devices),
            100.0 * last.idle_share()
        ))
    }
}

impl Invocation {
    fn idle_share(&self) -> f64 {
        let all_s = self.n_devices as f64 * self.wall_s;
        if all_s > 0.0 { (1.0 - self.busy_s / all_s).max(0.0) } else { 0.0 }
    }
}

impl Note {
    fn n_devices(&self) -> usize {
        let gpus: HashSet<_> = self.slots.iter().filter_map(|slot| slot.gpu.as_ref()).collect();
        gpus.len() + self.slots.iter().filter(|slot| slot.gpu.is_none()).count()
    }
}

fn note(provenance: &Provenance) -> Option<(UnixSeconds, Note)> {
    Some((provenance.at, serde_json::from_str(&provenance.json).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_invocation_is_compared_with_its_own_prediction() {
        let first = Invocation { n_devices: 1, predicted_s: None, wall_s: 100.0, busy_s: 90.0 };
        let last =
            Invocation { n_devices: 2, predicted_s: Some(60.0), wall_s: 75.0, busy_s: 144.0 };
        let remark = |all: &[Invocation], is_running| Invocations(all.to_vec()).remark(is_running);
        assert_eq!(remark(&[], false), None);
        let expected = "took 1m 40s so far on 1 slot, idle 10% of the time";
        assert_eq!(remark(&[first], true).as_deref(), Some(expected));
        let expected =
            "last of 2 starts: predicted 1m 00s, took 1m 15s on 2 slots, idle 4% of the time";
        assert_eq!(remark(&[first, last], false).as_deref(), Some(expected));
    }

    #[test]
    fn what_trainers_say_of_themselves_is_no_invocation() {
        let row = |json: &str| Provenance { at: 1.0, json: json.to_owned() };
        assert!(note(&row(r#"{"trainer": {}, "slot": 0}"#)).is_none());
        let (_, found) =
            note(&row(r#"{"slots": [{"gpu": null}, {}], "predicted_makespan_s": 3.5}"#)).unwrap();
        assert_eq!((found.n_devices(), found.predicted_makespan_s), (2, Some(3.5)));
        let (_, shared) = note(&row(r#"{"slots": [{"gpu": "1"}, {"gpu": "1"}]}"#)).unwrap();
        assert_eq!((shared.n_devices(), shared.predicted_makespan_s), (1, None));
    }
}
