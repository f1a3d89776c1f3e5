//! How much of a sweep's work is done and when the rest will be: sums that every event changes by one
//! number, however large the sweep is.

/// Work in estimated seconds of a device that does nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    total_s: f64,
    /// Of this, what was done before this program began.
    before_s: f64,
    /// Of segments that are over.
    over_s: f64,
    /// Of segments that are being executed, as far as they are.
    running_s: f64,
    n_devices: usize,
}

/// The estimates are trusted as much as this many seconds of what is seen.
const TRUST_S: f64 = 20.0;

impl Pace {
    pub const fn new(total_s: f64, done_s: f64, n_devices: usize) -> Self {
        Self { total_s, before_s: done_s, over_s: done_s, running_s: 0.0, n_devices }
    }

    /// A running segment has got further by so much, or back where it is negative.
    pub fn advance(&mut self, by_s: f64) {
        self.running_s += by_s;
    }

    /// A segment of `seconds` is over.
    pub fn end(&mut self, seconds: f64) {
        self.over_s += seconds;
    }

    /// A segment of `seconds` that was over is to be executed again.
    pub fn reopen(&mut self, seconds: f64) {
        self.over_s -= seconds;
    }

    /// Share of the work that is done, in [0, 1].
    pub fn share(&self) -> f64 {
        (self.done_s() / self.total_s.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    }

    /// Seconds left after `elapsed_s` seconds of this program: what is left at the pace so far, which
    /// in the beginning is taken to be the estimated one.
    pub fn left_s(&self, elapsed_s: f64) -> f64 {
        let expected = self.n_devices as f64 * TRUST_S;
        let pace = (self.done_s() - self.before_s + expected) / (elapsed_s + TRUST_S);
        ((self.total_s - self.done_s()) / pace.max(f64::MIN_POSITIVE)).max(0.0)
    }

    fn done_s(&self) -> f64 {
        self.over_s + self.running_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_the_estimate_at_first_and_what_was_seen_later() {
        let mut pace = Pace::new(1000.0, 200.0, 2);
        assert_eq!(pace.left_s(0.0), 400.0);
        // Half as fast as was estimated, for a long time.
        pace.end(400.0);
        assert!((pace.left_s(400.0) / 400.0 - 1.0).abs() < 0.1, "{}", pace.left_s(400.0));
    }

    #[test]
    fn running_segments_count_by_their_share_and_lost_ones_no_more() {
        let mut pace = Pace::new(100.0, 0.0, 1);
        pace.advance(30.0);
        assert_eq!(pace.share(), 0.3);
        pace.advance(-30.0);
        assert_eq!(pace.share(), 0.0);
        pace.end(100.0);
        assert_eq!((pace.share(), pace.left_s(50.0)), (1.0, 0.0));
        pace.reopen(100.0);
        assert_eq!(pace.share(), 0.0);
    }
}
