//! What an attempt has used, added up over its *stretches*: each `Started` begins one, and one ends
//! with a report of what it used, or without. Most attempts have one; one that is paused, or whose
//! job is put back into the queue, has more.

use spec::Spent;

use crate::UnixSeconds;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Used {
    /// Where the first stretch began; None before.
    pub start_step: Option<u64>,
    /// Steps executed, as far as reported; None before the first stretch.
    pub steps: Option<u64>,
    /// Of stretches that reported theirs; None while none has.
    pub device_s: Option<f64>,
    pub data_s: Option<f64>,
    /// The largest that was reported.
    pub peak_bytes: Option<u64>,
    /// Seconds to charge for the stretches that have ended: what they reported, or their length.
    pub charged_s: f64,
    /// The one that has not ended. Before the first `Started`, what a trainer of this machine takes to
    /// begin; a job waits in its queue, which is not charged.
    pub stretch: Option<Stretch>,
    /// When the attempt was last heard.
    pub heard_at: Option<UnixSeconds>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    /// When it began.
    pub at: UnixSeconds,
    /// The step that it began at.
    pub step: u64,
    /// Steps that the attempt had executed before.
    pub steps_before: u64,
}

impl Used {
    /// A stretch begins; one that is still open was cut off after its last word.
    pub fn start(&mut self, step: u64, now: UnixSeconds) {
        let at = match (self.start_step, self.stretch) {
            (None, Some(loading)) => loading.at,
            (None | Some(_), _) => now,
        };
        if self.start_step.is_some() {
            self.cut_after_last_word();
        }
        let steps_before = self.steps.unwrap_or(0);
        self.start_step.get_or_insert(step);
        self.steps = Some(steps_before);
        self.stretch = Some(Stretch { at, step, steps_before });
    }

    /// `step` steps of the trial are done.
    pub fn reach(&mut self, step: u64) {
        if let (Some(_), Some(stretch)) = (self.start_step, self.stretch) {
            let steps = stretch.steps_before + step.saturating_sub(stretch.step);
            self.steps = self.steps.max(Some(steps));
        }
    }

    /// The stretch ends and says what it used.
    pub fn report(&mut self, spent: &Spent) {
        let before = match self.stretch.take() {
            Some(stretch) => stretch.steps_before,
            None => self.steps.unwrap_or(0),
        };
        self.steps = Some(before + spent.steps);
        self.device_s = Some(self.device_s.unwrap_or(0.0) + spent.device_s);
        self.data_s = Some(self.data_s.unwrap_or(0.0) + spent.data_s);
        self.peak_bytes = self.peak_bytes.max(spent.peak_bytes);
        self.charged_s += spent.device_s;
    }

    /// The stretch, if one is open, ended without a report: it is charged up to `end`.
    pub fn cut(&mut self, end: UnixSeconds) {
        if let Some(stretch) = self.stretch.take() {
            self.charged_s += (end - stretch.at).max(0.0);
        }
    }

    /// As [`Self::cut`], where the end is not known.
    pub fn cut_after_last_word(&mut self) {
        if let Some(heard_at) = self.heard_at {
            self.cut(heard_at);
        }
        self.stretch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(steps: u64, device_s: f64, peak_bytes: u64) -> Spent {
        Spent { steps, device_s, data_s: device_s / 10.0, peak_bytes: Some(peak_bytes) }
    }

    #[test]
    fn what_stretches_report_is_added_up_and_the_largest_peak_stands() {
        let mut used = Used::default();
        used.start(10, 100.0);
        used.reach(30);
        used.report(&spent(25, 2.0, 7));
        used.start(35, 500.0);
        used.reach(40);
        assert_eq!(used.steps, Some(30));
        used.report(&spent(15, 1.0, 5));
        assert_eq!((used.start_step, used.steps), (Some(10), Some(40)));
        assert_eq!((used.device_s, used.peak_bytes, used.charged_s), (Some(3.0), Some(7), 3.0));
    }

    /// A node died, and its job began again from an older checkpoint.
    #[test]
    fn a_stretch_without_a_report_counts_its_steps_and_its_time_until_its_last_word() {
        let mut used = Used::default();
        used.start(0, 100.0);
        used.reach(30);
        used.heard_at = Some(160.0);
        used.start(20, 900.0);
        assert_eq!((used.steps, used.charged_s), (Some(30), 60.0));
        used.reach(50);
        used.cut(910.0);
        assert_eq!((used.steps, used.charged_s, used.device_s), (Some(60), 70.0, None));
    }
}
