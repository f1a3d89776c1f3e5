//! Learning-rate schedules: pure functions of the step.
//!
//! The multiplier of the peak rate at step t (t = 0 is the first optimiser step) is, following
//! Zhai et al. (2106.04560, section 3.5) and big_vision's `create_learning_rate_schedule`,
//! `decay(t) * min(1, t / warmup)`, times `(end - t) / cooldown` inside a cooldown.

use serde::{Deserialize, Serialize};

/// The part of a schedule that does not depend on the trial's length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    pub decay: Decay,
    /// Steps of linear warm-up from zero.
    pub warmup: u64,
}

/// How the rate runs after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decay {
    Constant,
    /// `1 / sqrt(1 + (t + shift - warmup) / timescale)` after the warm-up.
    Rsqrt {
        timescale: f64,
        shift: f64,
    },
    /// Half a cosine from the end of the warm-up to zero at the last step.
    Cosine,
    /// A straight line from the end of the warm-up to zero at the last step.
    Linear,
}

/// Length of the linear cooldown to zero that ends a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cooldown {
    /// A share of the trial's steps, in [0, 1).
    Fraction(f64),
    Steps(u64),
}

impl Cooldown {
    /// Steps of a trial of `total` steps that belong to the cooldown.
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Self::Fraction(fraction) => (total as f64 * fraction).round() as u64,
            Self::Steps(steps) => steps,
        }
    }
}

impl Decay {
    /// Whether the rate at a step depends on the trial's length, so that trials of different
    /// lengths share nothing.
    pub const fn depends_on_length(&self) -> bool {
        match self {
            Self::Constant | Self::Rsqrt { .. } => false,
            Self::Cosine | Self::Linear => true,
        }
    }
}

/// A trial that is over before the rate begins to fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{steps} steps are not more than the warm-up ({warmup}), after which a cosine or linear decay begins"
)]
pub struct ScheduleError {
    pub steps: u64,
    pub warmup: u64,
}

impl Schedule {
    /// Whether training of `steps` steps may follow this schedule.
    ///
    /// # Errors
    /// A decay to the last step, and none left to fall over.
    pub const fn check(&self, steps: u64) -> Result<(), ScheduleError> {
        match self.decay.depends_on_length() && self.warmup >= steps {
            true => Err(ScheduleError { steps, warmup: self.warmup }),
            false => Ok(()),
        }
    }

    /// Multiplier at `step` of a trunk, or of a whole trial of `total` steps. `total` is ignored
    /// by the decays that do not depend on the length.
    pub fn multiplier(&self, step: u64, total: u64) -> f64 {
        let (t, warmup) = (step as f64, self.warmup as f64);
        let warm = if step < self.warmup { t / warmup } else { 1.0 };
        let progress = || ((t - warmup) / (total as f64 - warmup)).clamp(0.0, 1.0);
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Rsqrt { timescale, shift } => {
                1.0 / (1.0 + ((t - warmup).max(0.0) + shift) / timescale).sqrt()
            }
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress()).cos()),
            Decay::Linear => 1.0 - progress(),
        };
        warm * decay
    }

    /// Multiplier at `step` of a cooldown that began at `start` and reaches zero at `end`.
    pub fn cooldown_multiplier(&self, step: u64, start: u64, end: u64) -> f64 {
        let left = (end as f64 - step as f64) / (end as f64 - start as f64);
        self.multiplier(step, end) * left.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 5e-6, "{left} is not {right}");
    }

    /// Hand values for warm-up = timescale = 10, cooldown 20, 100 steps.
    #[test]
    fn rsqrt_with_cooldown_gives_the_hand_computed_values() {
        let schedule = Schedule { decay: Decay::Rsqrt { timescale: 10.0, shift: 0.0 }, warmup: 10 };
        for (step, value) in
            [(0, 0.0), (5, 0.5), (10, 1.0), (20, std::f64::consts::FRAC_1_SQRT_2), (80, 0.35355)]
        {
            close(schedule.multiplier(step, 100), value);
        }
        close(schedule.cooldown_multiplier(80, 80, 100), 0.35355);
        close(schedule.cooldown_multiplier(90, 80, 100), 0.5 / 3.0);
        close(schedule.cooldown_multiplier(100, 80, 100), 0.0);
    }

    #[test]
    fn cosine_and_linear_go_from_one_to_zero() {
        for decay in [Decay::Cosine, Decay::Linear] {
            let schedule = Schedule { decay, warmup: 10 };
            close(schedule.multiplier(10, 110), 1.0);
            close(schedule.multiplier(60, 110), 0.5);
            close(schedule.multiplier(110, 110), 0.0);
        }
    }

    #[test]
    fn a_trunk_does_not_know_the_length() {
        let schedule = Schedule { decay: Decay::Rsqrt { timescale: 7.0, shift: 3.0 }, warmup: 4 };
        for step in 0..50 {
            assert_eq!(schedule.multiplier(step, 60), schedule.multiplier(step, 6000));
        }
    }
}
