//! How far a sweep is: a line per slot and a bar with the time left on a terminal, a plain line now
//! and then elsewhere, or events for programs. What an event takes does not depend on the size of the
//! sweep. Computes nothing that is stored.

mod budget;
mod display;
mod events;
mod label;
mod pace;

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use scheduler::{
    Budget, Charge, Consequence, Plan, PlannedSegment, Schedule, SegmentState, States,
};
use serde_json::json;
use spec::{Failure, SegmentId, TrainerEvent};

use crate::devices::{NamedSlot, n_devices};
use display::Terminal;
use events::{Events, Of};
pub use label::{label, workload_label};
use pace::Pace;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// To people: bars on a terminal, a plain line now and then elsewhere.
    People,
    /// To programs: events on standard output. Standard error has only what is no event of a segment:
    /// that the sweep waits, stops or ends before its time, and what a queue answers.
    Programs,
    /// Complaints alone.
    Quiet,
}

pub struct Progress<'a> {
    sweep: String,
    plan: &'a Plan,
    display: Display,
    started: Instant,
    refreshed: Instant,
    running: HashMap<SegmentId, Running>,
    pace: Pace,
    n_finished: usize,
    budget: Budget,
    spent: Charge,
}

enum Display {
    Terminal(Terminal),
    Lines,
    Events(Events),
    Quiet,
}

/// A segment that is being executed.
struct Running {
    of: Of,
    label: String,
    start: u64,
    steps: u64,
    /// Estimated seconds of all of it.
    seconds: f64,
    /// Of these, what is done.
    done_s: f64,
}

impl<'a> Progress<'a> {
    /// `slots` are the engine's.
    pub fn new(
        sweep: &str,
        plan: &'a Plan,
        states: &States,
        slots: &[NamedSlot],
        show: Show,
    ) -> Self {
        let is_finished = |segment: &&PlannedSegment| {
            matches!(states.get(&segment.id), Some(SegmentState::Finished))
        };
        let finished = plan.segments.iter().filter(is_finished);
        let n_finished = finished.clone().count();
        let done_s = finished.map(|segment| segment.estimated_s).sum();
        let total_s = plan.segments.iter().map(|segment| segment.estimated_s).sum();
        let display = match show {
            Show::People if std::io::stderr().is_terminal() => {
                let names = slots.iter().enumerate().map(|(n, slot)| slot.name(n));
                Display::Terminal(Terminal::new(&names.collect::<Vec<_>>()))
            }
            Show::People => Display::Lines,
            Show::Programs => Display::Events(Events),
            Show::Quiet => Display::Quiet,
        };
        Self {
            sweep: sweep.to_owned(),
            plan,
            display,
            started: Instant::now(),
            refreshed: Instant::now(),
            running: HashMap::new(),
            pace: Pace::new(total_s, done_s, n_devices(slots)),
            n_finished,
            budget: Budget::default(),
            spent: Charge::default(),
        }
    }

    /// What the sweep may spend, to be shown beside what it has.
    pub fn limit(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Shows how far it is, now and then; what is spent is known at every look, so that the last word has
    /// all of it.
    pub fn look(&mut self, schedule: &Schedule<'_>, now: f64) {
        self.spent = schedule.spent(now);
        if self.display.refreshes_every().is_some_and(|wait| self.refreshed.elapsed() >= wait) {
            self.refreshed = Instant::now();
            self.refresh();
        }
    }

    pub fn begin(&mut self, segment: &PlannedSegment, attempt: u32, slot: usize) {
        let of = Of { segment_id: segment.id, attempt, slot };
        if let Display::Events(events) = &self.display {
            events.launched(of, &segment.spec, segment.estimated_s);
        }
        self.go_on(segment, attempt, slot);
    }

    /// An attempt that was begun by an earlier coordinator.
    pub fn go_on(&mut self, segment: &PlannedSegment, attempt: u32, slot: usize) {
        let of = Of { segment_id: segment.id, attempt, slot };
        let running = Running {
            of,
            label: label(&segment.spec),
            start: segment.spec.start,
            steps: segment.spec.steps(),
            seconds: segment.estimated_s,
            done_s: 0.0,
        };
        self.say_of_slot(&running, "starting");
        self.running.insert(segment.id, running);
    }

    pub fn hear(&mut self, id: SegmentId, event: &TrainerEvent) {
        if let (Display::Events(events), Some(running)) = (&self.display, self.running.get(&id)) {
            events.said(running.of, event);
        }
        match event {
            TrainerEvent::Started { step } => self.reach(id, *step),
            TrainerEvent::Progress { step, train_loss, examples_per_s, .. } => {
                self.reach(id, *step);
                let text =
                    || format!("step {step}  loss {train_loss:.4}  {examples_per_s:.0} examples/s");
                self.say_of(id, text);
            }
            TrainerEvent::Finished { .. } => {
                self.n_finished += 1;
                self.leave(id, true);
            }
            TrainerEvent::Diverged { step, .. } => {
                self.complain(id, &format!("diverged at step {step}; kept as a result"));
                self.leave(id, true);
            }
            TrainerEvent::Failed { reason, failure } => {
                self.complain(id, &format!("failed: {reason}{}", then(*failure)));
                self.leave(id, *failure == Failure::Other);
            }
            TrainerEvent::Interrupted { step, .. } => {
                self.say_of(id, || format!("stopped at step {step}, checkpoint written"));
                self.leave(id, false);
            }
            TrainerEvent::Paused { step, .. } => {
                self.say_of(id, || format!("paused at step {step}, checkpoint written"));
            }
            TrainerEvent::Evaluated { .. } | TrainerEvent::Checkpointed { .. } => {}
        }
    }

    /// What followed from an event.
    pub fn conclude(&mut self, consequence: &Consequence) {
        match consequence {
            Consequence::Lost { segment_id, how, after, .. } => {
                self.lose(*segment_id, how, after);
            }
            Consequence::GivenUp { segments, reason } => self.give_up(segments, reason),
            Consequence::Reopened { segment_id } => self.reopen(*segment_id),
        }
    }

    fn lose(&mut self, id: SegmentId, how: &str, after: &SegmentState) {
        if let (Display::Events(events), Some(running)) = (&self.display, self.running.get(&id)) {
            events.lost(running.of, how);
        }
        let then = if after.has_ended() { "it is given up" } else { "it is tried again" };
        self.complain(id, &format!("lost its trainer, which ended {how}; {then}"));
        self.leave(id, after.has_ended());
    }

    fn give_up(&mut self, ids: &[SegmentId], reason: &str) {
        if let Display::Events(events) = &self.display {
            events.gave_up(ids, reason);
        }
        let segments = self.planned(ids);
        segments.iter().for_each(|segment| self.pace.end(segment.estimated_s));
        if let Some(first) = segments.first() {
            let (label, n) = (label(&first.spec), segments.len());
            self.say(&format!("{n} segments given up, such as {label}: {reason}"));
        }
    }

    fn reopen(&mut self, id: SegmentId) {
        if let Display::Events(events) = &self.display {
            events.reopened(id);
        }
        self.n_finished = self.n_finished.saturating_sub(1);
        for segment in self.planned(&[id]) {
            self.pace.reopen(segment.estimated_s);
            let label = label(&segment.spec);
            self.say(&format!("{label} is trained again: its checkpoint is gone or damaged"));
        }
    }

    fn planned(&self, ids: &[SegmentId]) -> Vec<&'a PlannedSegment> {
        let ids: HashSet<_> = ids.iter().collect();
        self.plan.segments.iter().filter(|segment| ids.contains(&segment.id)).collect()
    }

    /// Something about the sweep, for the person at the terminal.
    pub fn say(&self, text: &str) {
        match &self.display {
            Display::Terminal(terminal) => terminal.say(text),
            Display::Lines | Display::Quiet => say(text),
            Display::Events(_) => {}
        }
    }

    /// Clears the display; to programs a last word.
    pub fn finish(&mut self) {
        match &self.display {
            Display::Terminal(terminal) => terminal.clear(),
            Display::Events(_) => self.refresh(),
            Display::Lines | Display::Quiet => {}
        }
    }

    fn reach(&mut self, id: SegmentId, step: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let share = step.saturating_sub(running.start) as f64 / running.steps as f64;
        let done_s = share.min(1.0) * running.seconds;
        self.pace.advance(done_s - running.done_s);
        running.done_s = done_s;
    }

    /// `is_over`: nothing of the segment is left to be done.
    fn leave(&mut self, id: SegmentId, is_over: bool) {
        let Some(running) = self.running.remove(&id) else { return };
        self.pace.advance(-running.done_s);
        if is_over {
            self.pace.end(running.seconds);
        }
    }

    fn refresh(&self) {
        let (share, left_s) = (self.pace.share(), self.pace.left_s(self.elapsed_s()));
        match &self.display {
            Display::Terminal(terminal) => terminal.show(share, self.text(left_s)),
            Display::Lines => say(&format!("{:3.0}%  {}", share * 100.0, self.text(left_s))),
            Display::Events(events) => events.sweep(json!({
                "sweep": self.sweep,
                "n_segments": self.plan.segments.len(),
                "n_finished": self.n_finished,
                "share": share,
                "left_s": left_s,
                "spent_flops": self.spent.flops,
                "spent_device_s": self.spent.device_s,
            })),
            Display::Quiet => {}
        }
    }

    fn text(&self, left_s: f64) -> String {
        let budget = budget::line(&self.budget, &self.spent);
        let budget = budget.map_or_else(String::new, |line| format!(", {line}"));
        let left = report::duration(left_s);
        format!("{}/{} segments, {left} left{budget}", self.n_finished, self.plan.segments.len())
    }

    fn elapsed_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn say_of(&self, id: SegmentId, text: impl Fn() -> String) {
        if let Some(running) = self.running.get(&id) {
            self.say_of_slot(running, &text());
        }
    }

    fn say_of_slot(&self, running: &Running, text: &str) {
        if let Display::Terminal(terminal) = &self.display {
            terminal.say_of_slot(running.of.slot, format!("{}  {text}", running.label));
        }
    }

    fn complain(&self, id: SegmentId, text: &str) {
        match self.running.get(&id) {
            Some(running) => self.say(&format!("{} {text}", running.label)),
            None => self.say(&format!("{id} {text}")),
        }
    }
}

impl Display {
    /// Between two words about the whole sweep; None where there are none.
    const fn refreshes_every(&self) -> Option<Duration> {
        match self {
            Self::Terminal(_) => Some(Duration::from_millis(100)),
            Self::Events(_) => Some(Duration::from_secs(1)),
            Self::Lines => Some(Duration::from_secs(15)),
            Self::Quiet => None,
        }
    }
}

/// What follows from a failure.
const fn then(failure: Failure) -> &'static str {
    match failure {
        Failure::OutOfMemory => "; tried again with more room, or with smaller passes",
        Failure::DiskFull => "; the sweep ends; make room, and the same command continues",
        Failure::ParentCheckpoint => "; what it starts from is trained again",
        Failure::Device => "; tried again by another trainer",
        Failure::Replaced | Failure::Other => "",
    }
}

/// One line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "progress goes to standard error")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
