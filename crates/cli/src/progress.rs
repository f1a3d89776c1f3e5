//! How far a sweep is: a line per slot and a bar with the time left on a terminal, a plain line now
//! and then elsewhere. On standard error; computes nothing that is stored.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use scheduler::{Plan, PlannedSegment, SegmentState, States};
use spec::{SegmentId, SegmentKind, SegmentSpec, TrainerEvent, TransferMethod};

pub struct Progress<'a> {
    plan: &'a Plan,
    weights: HashMap<SegmentId, Weight>,
    running: HashMap<SegmentId, Running>,
    display: Display,
    started: Instant,
    /// Estimated seconds of work that were done before this program began.
    done_before_s: f64,
    done_s: f64,
    total_s: f64,
    n_finished: usize,
}

struct Weight {
    seconds: f64,
    start: u64,
    steps: u64,
    label: String,
}

struct Running {
    slot: usize,
    /// Share of the segment that is done.
    share: f64,
}

enum Display {
    Terminal { bar: ProgressBar, slots: Vec<ProgressBar> },
    Lines { last: Instant },
    Quiet,
}

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(15);

impl<'a> Progress<'a> {
    pub fn new(plan: &'a Plan, states: &States, n_slots: usize, quiet: bool) -> Self {
        let weights: HashMap<_, _> =
            plan.segments.iter().map(|segment| (segment.id, weight(segment))).collect();
        let is_done = |segment: &&PlannedSegment| {
            matches!(states.get(&segment.id), Some(SegmentState::Finished))
        };
        let done = plan.segments.iter().filter(is_done);
        let done_before_s = done.clone().map(|segment| segment.estimated_s()).sum();
        let n_finished = done.count();
        let total_s = plan.segments.iter().map(PlannedSegment::estimated_s).sum();
        let display = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Display::Quiet,
            (false, true) => Display::terminal(n_slots),
            (false, false) => Display::Lines { last: Instant::now() },
        };
        let started = Instant::now();
        let running = HashMap::new();
        Self {
            plan,
            weights,
            running,
            display,
            started,
            done_before_s,
            done_s: done_before_s,
            total_s,
            n_finished,
        }
    }

    pub fn begin(&mut self, segment: &PlannedSegment, slot: usize) {
        self.running.insert(segment.id, Running { slot, share: 0.0 });
        self.say_of_slot(segment.id, "starting");
    }

    pub fn hear(&mut self, id: SegmentId, event: &TrainerEvent) {
        let (start, steps) =
            self.weights.get(&id).map_or((0, 1), |weight| (weight.start, weight.steps));
        match event {
            TrainerEvent::Progress { step, train_loss, examples_per_s, .. } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.share = (step.saturating_sub(start)) as f64 / steps as f64;
                }
                let text =
                    format!("step {step}  loss {train_loss:.4}  {examples_per_s:.0} examples/s");
                self.say_of_slot(id, &text);
            }
            TrainerEvent::Finished { .. } => {
                self.n_finished += 1;
                self.leave(id, true);
            }
            TrainerEvent::Diverged { step, .. } => {
                self.complain(id, &format!("diverged at step {step}; kept as a result"));
                self.leave(id, true);
            }
            TrainerEvent::Failed { reason, .. } => {
                self.complain(id, &format!("failed: {reason}"));
                self.leave(id, true);
            }
            TrainerEvent::Interrupted { step, .. } => {
                self.say_of_slot(id, &format!("stopped at step {step}, checkpoint written"));
                self.leave(id, false);
            }
            TrainerEvent::Started { .. }
            | TrainerEvent::Evaluated { .. }
            | TrainerEvent::Checkpointed { .. }
            | TrainerEvent::Paused { .. } => {}
        }
        self.refresh();
    }

    pub fn lose(&mut self, id: SegmentId, how: &str) {
        self.complain(id, &format!("lost its trainer, which ended {how}"));
        self.leave(id, false);
    }

    /// Clears the display.
    pub fn finish(&mut self) {
        if let Display::Terminal { bar, slots } = &self.display {
            slots.iter().for_each(ProgressBar::finish_and_clear);
            bar.finish_and_clear();
        }
    }

    /// `is_over`: nothing of the segment is left to be done.
    fn leave(&mut self, id: SegmentId, is_over: bool) {
        self.running.remove(&id);
        if is_over {
            self.done_s += self.weights.get(&id).map_or(0.0, |weight| weight.seconds);
        }
    }

    /// Estimated seconds of work done, running segments by their share.
    fn done_now_s(&self) -> f64 {
        let running = self
            .running
            .iter()
            .filter_map(|(id, running)| Some(running.share * self.weights.get(id)?.seconds));
        self.done_s + running.sum::<f64>()
    }

    /// Seconds left, from the pace so far; None before there is one.
    fn eta_s(&self) -> Option<f64> {
        let done = self.done_now_s();
        let pace = (done - self.done_before_s) / self.started.elapsed().as_secs_f64();
        (pace > 0.0).then(|| ((self.total_s - done) / pace).max(0.0))
    }

    fn refresh(&mut self) {
        let eta = self.eta_s().map_or("time left: soon known".to_owned(), |eta| {
            format!("{} left", report::duration(eta))
        });
        let share = self.done_now_s() / self.total_s.max(f64::MIN_POSITIVE);
        let counts = format!("{}/{} segments", self.n_finished, self.plan.segments.len());
        match &mut self.display {
            Display::Terminal { bar, .. } => {
                bar.set_position((share * 1000.0) as u64);
                bar.set_message(format!("{counts}, {eta}"));
            }
            Display::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                say(&format!("{:3.0}%  {counts}, {eta}", share * 100.0));
            }
            Display::Lines { .. } | Display::Quiet => {}
        }
    }

    fn say_of_slot(&self, id: SegmentId, text: &str) {
        let (Some(running), Some(weight)) = (self.running.get(&id), self.weights.get(&id)) else {
            return;
        };
        if let Display::Terminal { slots, .. } = &self.display
            && let Some(line) = slots.get(running.slot)
        {
            line.set_message(format!("{}  {text}", weight.label));
        }
    }

    fn complain(&self, id: SegmentId, text: &str) {
        let label =
            self.weights.get(&id).map_or_else(|| id.to_string(), |weight| weight.label.clone());
        let text = format!("{label} {text}");
        match &self.display {
            Display::Terminal { bar, .. } => bar.suspend(|| say(&text)),
            Display::Lines { .. } | Display::Quiet => say(&text),
        }
    }
}

impl Display {
    fn terminal(n_slots: usize) -> Self {
        let all = MultiProgress::new();
        let line = |slot| {
            let bar = all.add(ProgressBar::no_length());
            bar.set_style(template("{prefix:>8.dim}  {msg}"));
            bar.set_prefix(format!("slot {slot}"));
            bar
        };
        let slots = (0..n_slots).map(line).collect();
        let bar = all.add(ProgressBar::new(1000));
        bar.set_style(template("{percent:>7}%  [{bar:40}] {msg}").progress_chars("=> "));
        Self::Terminal { bar, slots }
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("the templates here are constants, and valid")
}

fn weight(segment: &PlannedSegment) -> Weight {
    let spec = &segment.spec;
    let label = format!(
        "{} {}, {} unique, seed {}",
        spec.recipe.model.shape_name(),
        stretch(spec),
        spec.recipe.unique_examples,
        spec.recipe.seed
    );
    Weight { seconds: segment.estimated_s(), start: spec.start, steps: spec.steps(), label }
}

/// `trunk 80..160`, or `few-shot after 160`.
fn stretch(spec: &SegmentSpec) -> String {
    let kind = match spec.kind {
        SegmentKind::Trunk => "trunk",
        SegmentKind::Cooldown => "cooldown",
        SegmentKind::Whole => "whole",
        SegmentKind::Transfer => {
            let method =
                spec.transfer.as_ref().map_or("transfer", |transfer| match transfer.method {
                    TransferMethod::FewShot(_) => "few-shot",
                    TransferMethod::LinearProbe(_) => "linear probe",
                    TransferMethod::FineTune(_) => "fine-tuning",
                });
            return format!("{method} after {}", spec.start);
        }
    };
    format!("{kind} {}..{}", spec.start, spec.end)
}

/// One line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "progress goes to standard error")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
