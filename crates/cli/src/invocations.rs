//! What each `isoflop sweep` of one sweep predicted for itself, and what it took.

use std::collections::HashSet;

use serde::Deserialize;
use store::{Provenance, Store, StoreError, UnixSeconds};

use crate::conduct::EngineName;
use crate::devices::devices_in_words;

/// Those that had something to train, oldest first.
pub struct Invocations(Vec<Invocation>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Invocation {
    place: Place,
    /// From its start to the end of what was left of the sweep.
    predicted_s: Option<f64>,
    /// From its start to the last word of its attempts.
    wall_s: f64,
    /// Seconds that its attempts were charged with, added up.
    busy_s: f64,
}

/// What an invocation trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Slots of a CPU.
    Slots(usize),
    /// GPUs, and whether trainers might share them.
    Devices { n: usize, is_shared: bool },
    /// Of which more or less was had from one moment to the next.
    Queue,
}

/// What an invocation writes down of itself; a trainer's own word has none of it.
#[derive(Deserialize)]
struct Note {
    /// None: written before there was another engine than this machine.
    engine: Option<EngineName>,
    slots: Vec<SlotNote>,
    predicted_makespan_s: Option<f64>,
}

/// Slots of one GPU share it.
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
                place: note.place(),
                predicted_s: note.predicted_makespan_s,
                wall_s: busy.until - busy.since,
                busy_s: busy.charged_s,
            });
        }
        Ok(Self(invocations))
    }

    /// What the last one predicted and took, and how idle its devices were where that is known.
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
        let idle = last
            .idle_share()
            .map_or_else(String::new, |share| format!(", idle {:.0}% of the time", 100.0 * share));
        let (took, place) = (report::duration(last.wall_s), last.place.words());
        Some(format!("{which}{predicted}took {took}{so_far} {place}{idle}"))
    }
}

impl Invocation {
    /// None where seconds that are charged say nothing of it: attempts at once on one device are charged
    /// each, and a queue gives devices and takes them.
    fn idle_share(&self) -> Option<f64> {
        let n = match self.place {
            Place::Slots(n) | Place::Devices { n, is_shared: false } => n,
            Place::Devices { is_shared: true, .. } | Place::Queue => return None,
        };
        let all_s = n as f64 * self.wall_s;
        Some(if all_s > 0.0 { (1.0 - self.busy_s / all_s).max(0.0) } else { 0.0 })
    }
}

impl Place {
    fn words(self) -> String {
        match self {
            Self::Slots(n) => format!("on {}", devices_in_words(n, false)),
            Self::Devices { n, .. } => format!("on {}", devices_in_words(n, true)),
            Self::Queue => "in Slurm's queue".to_owned(),
        }
    }
}

impl Note {
    fn place(&self) -> Place {
        let gpus: HashSet<_> = self.slots.iter().filter_map(|slot| slot.gpu.as_ref()).collect();
        match (self.engine, gpus.len()) {
            (Some(EngineName::Slurm), _) => Place::Queue,
            (Some(EngineName::Local) | None, 0) => Place::Slots(self.slots.len()),
            (Some(EngineName::Local) | None, n) => {
                Place::Devices { n, is_shared: n < self.slots.len() }
            }
        }
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
        let place = Place::Devices { n: 1, is_shared: false };
        let first = Invocation { place, predicted_s: None, wall_s: 100.0, busy_s: 90.0 };
        let place = Place::Slots(2);
        let last = Invocation { place, predicted_s: Some(60.0), wall_s: 75.0, busy_s: 144.0 };
        let remark = |all: &[Invocation], is_running| Invocations(all.to_vec()).remark(is_running);
        assert_eq!(remark(&[], false), None);
        let expected = "took 1m 40s so far on 1 device, idle 10% of the time";
        assert_eq!(remark(&[first], true).as_deref(), Some(expected));
        let expected =
            "last of 2 starts: predicted 1m 00s, took 1m 15s on 2 slots, idle 4% of the time";
        assert_eq!(remark(&[first, last], false).as_deref(), Some(expected));
    }

    #[test]
    fn nobody_is_called_idle_where_devices_are_shared_or_come_and_go() {
        let remark = |place| {
            let all = vec![Invocation { place, predicted_s: None, wall_s: 100.0, busy_s: 90.0 }];
            Invocations(all).remark(false).unwrap()
        };
        let shared = Place::Devices { n: 2, is_shared: true };
        assert_eq!(remark(shared), "took 1m 40s on 2 devices");
        assert_eq!(remark(Place::Queue), "took 1m 40s in Slurm's queue");
    }

    #[test]
    fn what_trainers_say_of_themselves_is_no_invocation() {
        let row = |json: &str| Provenance { at: 1.0, json: json.to_owned() };
        assert!(note(&row(r#"{"trainer": {}, "slot": 0}"#)).is_none());
        let found = |json: &str| note(&row(json)).unwrap().1;
        let on_cpu = found(r#"{"slots": [{"gpu": null}, {}], "predicted_makespan_s": 3.5}"#);
        assert_eq!((on_cpu.place(), on_cpu.predicted_makespan_s), (Place::Slots(2), Some(3.5)));
        let shared = found(r#"{"engine": "local", "slots": [{"gpu": "1"}, {"gpu": "1"}]}"#);
        assert_eq!(shared.place(), Place::Devices { n: 1, is_shared: true });
        assert_eq!(found(r#"{"engine": "slurm", "slots": [{}]}"#).place(), Place::Queue);
    }
}
