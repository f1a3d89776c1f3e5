//! What attempts have spent, and what a budget still allows.

use spec::Spent;

use super::{Running, Schedule, sum};
use crate::policy::Charge;

impl Schedule<'_> {
    /// Keeps the first of these segments, as many as the budget allows together.
    pub(super) fn keep_affordable(&self, segments: &mut Vec<usize>) {
        let mut charge = self.committed();
        let fits = |at: &&usize| {
            charge += self.left(**at);
            self.policy.budget.allows(charge)
        };
        let n = segments.iter().take_while(fits).count();
        segments.truncate(n);
    }

    /// Segments that could start but for the budget.
    pub fn n_unaffordable(&self) -> usize {
        self.ready().filter(|rank| !self.is_affordable(rank.segment)).count()
    }

    /// What all attempts have spent, running ones up to their last word.
    pub fn spent(&self, now: f64) -> Charge {
        let running = self.running.iter().map(|(at, running)| self.so_far(*at, running, now));
        self.spent + running.sum()
    }

    /// Whether the budget allows a segment beside all that was spent and what runs.
    pub(super) fn is_affordable(&self, at: usize) -> bool {
        let budget = self.policy.budget;
        if !budget.is_limited() {
            return true;
        }
        budget.allows(self.committed() + self.left(at))
    }

    /// What was spent, and what runs to its end.
    fn committed(&self) -> Charge {
        let running = self.running.iter().map(|(at, running)| self.from(*at, running.first));
        self.spent + running.sum()
    }

    /// What a segment takes from where it stands to its end.
    fn left(&self, at: usize) -> Charge {
        self.from(at, self.reached[at])
    }

    /// What a segment takes from a step to its end.
    fn from(&self, at: usize, step: u64) -> Charge {
        let segment = &self.plan.segments[at];
        let share = (segment.spec.end - step) as f64 / segment.spec.steps() as f64;
        Charge { flops: share * segment.spec.train_flops(), device_s: share * segment.estimated_s }
    }

    /// What an attempt is known to have spent.
    fn so_far(&self, at: usize, running: &Running, now: f64) -> Charge {
        let spec = &self.plan.segments[at].spec;
        let share = running.last.saturating_sub(running.first) as f64 / spec.steps() as f64;
        let device_s = running.earlier.device_s + running.began.map_or(0.0, |began| now - began);
        Charge { flops: share * spec.train_flops(), device_s }
    }

    /// The attempt is over; what it spent is charged: by its own word, or else by what is known.
    pub(super) fn leave(&mut self, at: usize, spent: Option<&Spent>, now: f64) {
        let Some(running) = self.running.remove(&at) else { return };
        self.workloads[self.workload_of[at]].n_running -= 1;
        self.lanes.leave(running.slot);
        let known = self.so_far(at, &running, now);
        let spent = spent.map(|spent| sum(&running.earlier, spent));
        self.spent += spent.map_or(known, |spent| Charge {
            flops: self.flops_of(at, &spent).max(known.flops),
            device_s: spent.device_s.max(known.device_s),
        });
    }

    /// An evaluation that takes no steps is its passes over the task's examples, all of them.
    fn flops_of(&self, at: usize, spent: &Spent) -> f64 {
        let segment = &self.plan.segments[at];
        match spent.steps {
            0 if segment.is_evaluation() => segment.spec.train_flops(),
            steps => segment.spec.train_flops() * steps as f64 / segment.spec.steps() as f64,
        }
    }
}
