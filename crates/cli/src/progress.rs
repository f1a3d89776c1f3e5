//! How far a sweep is: a line per slot and a bar with the time left on a terminal, a plain line now
//! and then elsewhere, or events for programs. What an event takes does not depend on the size of the
//! sweep. Computes nothing that is stored.

mod budget;
mod display;
mod events;
mod label;
mod pace;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use scheduler::{Plan, PlannedSegment, SegmentState, States};
use serde_json::json;
use spec::{Failure, SegmentId, TrainerEvent};

pub use budget::{Limits, Spending};
use display::{Lines, Terminal};
use events::{Events, Of};
pub use label::{label, workload_label};
use pace::Pace;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// To people: bars on a terminal, plain lines elsewhere.
    People,
    /// To programs: events on standard output, and nothing on standard error.
    Programs,
    /// Complaints alone.
    Quiet,
}

pub struct Progress {
    sweep: String,
    display: Display,
    started: Instant,
    refreshed: Option<Instant>,
    running: HashMap<SegmentId, Running>,
    pace: Pace,
    n_segments: usize,
    n_finished: usize,
    limits: Limits,
    spent: Spending,
}

enum Display {
    Terminal(Terminal),
    Lines(Lines),
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

/// Between two changes of the bar: nobody reads faster.
const REFRESH_EVERY: Duration = Duration::from_millis(100);

impl Progress {
    /// `slots` are the names of the engine's slots.
    pub fn new(sweep: &str, plan: &Plan, states: &States, slots: &[String], show: Show) -> Self {
        let is_finished = |segment: &&PlannedSegment| {
            matches!(states.get(&segment.id), Some(SegmentState::Finished))
        };
        let finished = plan.segments.iter().filter(is_finished);
        let n_finished = finished.clone().count();
        let done_s = finished.map(PlannedSegment::estimated_s).sum();
        let total_s = plan.segments.iter().map(PlannedSegment::estimated_s).sum();
        let display = match show {
            Show::People if std::io::stderr().is_terminal() => {
                Display::Terminal(Terminal::new(slots))
            }
            Show::People => Display::Lines(Lines::new()),
            Show::Programs => Display::Events(Events::new()),
            Show::Quiet => Display::Quiet,
        };
        Self {
            sweep: sweep.to_owned(),
            display,
            started: Instant::now(),
            refreshed: None,
            running: HashMap::new(),
            pace: Pace::new(total_s, done_s, slots.len()),
            n_segments: plan.segments.len(),
            n_finished,
            limits: Limits::default(),
            spent: Spending::default(),
        }
    }

    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub fn spend(&mut self, spent: Spending) {
        self.spent = spent;
    }

    pub fn begin(&mut self, segment: &PlannedSegment, attempt: u32, slot: usize) {
        let of = Of { segment_id: segment.id, attempt, slot };
        if let Display::Events(events) = &self.display {
            events.launched(of, &segment.spec, segment.estimated_s());
        }
        let running = Running {
            of,
            label: label(&segment.spec),
            start: segment.spec.start,
            steps: segment.spec.steps(),
            seconds: segment.estimated_s(),
            done_s: 0.0,
        };
        self.say_of_slot(&running, "starting");
        self.running.insert(segment.id, running);
        self.refresh(false);
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
                self.complain(id, &format!("failed: {reason}"));
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
        self.refresh(false);
    }

    pub fn lose(&mut self, id: SegmentId, how: &str) {
        if let (Display::Events(events), Some(running)) = (&self.display, self.running.get(&id)) {
            events.lost(running.of, how);
        }
        self.complain(id, &format!("lost its trainer, which ended {how}"));
        self.leave(id, false);
    }

    /// Segments that are not tried any more.
    pub fn give_up(&mut self, segments: &[&PlannedSegment], reason: &str) {
        let ids: Vec<_> = segments.iter().map(|segment| segment.id).collect();
        if let Display::Events(events) = &self.display {
            events.gave_up(&ids, reason);
        }
        segments.iter().for_each(|segment| self.pace.end(segment.estimated_s()));
        match segments {
            [] => {}
            [segment] => self.say(&format!("{} given up: {reason}", label(&segment.spec))),
            [first, ..] => self.say(&format!(
                "{} segments given up, {} among them: {reason}",
                segments.len(),
                label(&first.spec)
            )),
        }
    }

    /// A finished segment that is executed again.
    pub fn reopen(&mut self, segment: &PlannedSegment, reason: &str) {
        self.n_finished = self.n_finished.saturating_sub(1);
        self.pace.reopen(segment.estimated_s());
        self.say(&format!("{} is trained again: {reason}", label(&segment.spec)));
    }

    /// Something about the sweep, for the person at the terminal.
    pub fn say(&self, text: &str) {
        match &self.display {
            Display::Terminal(terminal) => terminal.say(text),
            Display::Lines(_) | Display::Quiet => say(text),
            Display::Events(_) => {}
        }
    }

    /// Clears the display.
    pub fn finish(&mut self) {
        self.refresh(true);
        if let Display::Terminal(terminal) = &self.display {
            terminal.clear();
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

    fn refresh(&mut self, at_last: bool) {
        let is_fresh = self.refreshed.is_some_and(|last| last.elapsed() < REFRESH_EVERY);
        if is_fresh && !at_last {
            return;
        }
        self.refreshed = Some(Instant::now());
        let (share, left_s) = (self.pace.share(), self.pace.left_s(self.elapsed_s()));
        let text = self.text(left_s);
        let (n_segments, n_finished, spent) = (self.n_segments, self.n_finished, self.spent);
        match &mut self.display {
            Display::Terminal(terminal) => terminal.show(share, text),
            Display::Lines(lines) => lines.show(share, &text),
            Display::Events(events) => {
                let fields = || {
                    json!({
                        "sweep": self.sweep,
                        "n_segments": n_segments,
                        "n_finished": n_finished,
                        "share": share,
                        "left_s": left_s,
                        "spent_flops": spent.flops,
                        "spent_device_s": spent.device_s,
                    })
                };
                events.sweep(fields, at_last);
            }
            Display::Quiet => {}
        }
    }

    fn text(&self, left_s: f64) -> String {
        let budget = budget::line(&self.limits, &self.spent);
        let budget = budget.map_or_else(String::new, |line| format!(", {line}"));
        let left = report::duration(left_s);
        format!("{}/{} segments, {left} left{budget}", self.n_finished, self.n_segments)
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

/// One line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "progress goes to standard error")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
