//! How patient a coordinator is, and how much it may spend.

use spec::SegmentId;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Attempts at one segment that may be lost in a row without a checkpoint further on.
    pub max_lost: u32,
    /// Seconds before a segment that was lost once is tried again; doubled with each further loss.
    pub backoff_s: f64,
    /// The longest such wait, before jitter.
    pub max_backoff_s: f64,
    /// Seconds without a word after which a trainer counts as hung; None where somebody else looks.
    pub time_out_s: Option<f64>,
    pub budget: Budget,
}

/// Limits on what a sweep spends in all; None is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    pub flops: Option<f64>,
    /// Seconds that devices are in use, added up.
    pub device_s: Option<f64>,
}

/// What was spent, or is about to be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Charge {
    pub flops: f64,
    pub device_s: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_lost: 5,
            backoff_s: 1.0,
            max_backoff_s: 60.0,
            time_out_s: Some(1800.0),
            budget: Budget::default(),
        }
    }
}

impl Policy {
    /// Seconds to wait after the `lost`-th loss in a row: exponential, and spread by up to a half
    /// either way, so that what died together does not come back together. The spread is a function of
    /// the segment and the count, as all randomness here.
    pub fn wait_s(&self, segment: SegmentId, lost: u32) -> f64 {
        let doublings = lost.saturating_sub(1).min(30);
        let wait = (self.backoff_s * f64::from(1_u32 << doublings)).min(self.max_backoff_s);
        wait * (0.5 + unit(segment, lost))
    }
}

/// A number in [0, 1) out of a segment's id.
fn unit(segment: SegmentId, lost: u32) -> f64 {
    let hash = spec::Id::of(&(segment, lost)).to_string();
    let leading = u32::from_str_radix(&hash[..8], 16).unwrap_or_default();
    f64::from(leading) / (f64::from(u32::MAX) + 1.0)
}

impl Budget {
    /// Whether `charge` in all is within the limits.
    pub fn allows(&self, charge: Charge) -> bool {
        self.flops.is_none_or(|limit| charge.flops <= limit)
            && self.device_s.is_none_or(|limit| charge.device_s <= limit)
    }

    pub const fn is_limited(&self) -> bool {
        self.flops.is_some() || self.device_s.is_some()
    }
}

impl std::ops::Add for Charge {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, device_s: self.device_s + other.device_s }
    }
}

impl std::ops::Sub for Charge {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { flops: self.flops - other.flops, device_s: self.device_s - other.device_s }
    }
}

impl std::ops::AddAssign for Charge {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Charge {
    fn sum<I: Iterator<Item = Self>>(charges: I) -> Self {
        charges.fold(Self::default(), |sum, charge| sum + charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ_between_segments() {
        let policy = Policy { backoff_s: 2.0, max_backoff_s: 10.0, ..Policy::default() };
        let ids: Vec<_> = (0..100).map(|n| SegmentId(spec::Id::of(&n))).collect();
        for (lost, middle) in [(1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (u32::MAX, 10.0)] {
            let waits: Vec<_> = ids.iter().map(|id| policy.wait_s(*id, lost)).collect();
            assert!(waits.iter().all(|wait| (0.5..1.5).contains(&(wait / middle))), "{waits:?}");
            let mean = waits.iter().sum::<f64>() / 100.0;
            assert!((mean / middle - 1.0).abs() < 0.1, "{mean} after {lost}");
            assert!(waits.iter().any(|wait| wait / middle < 0.7));
        }
    }
}
