//! Randomness without state: a draw depends on its key and nothing else. Only integer
//! arithmetic, `+ - * /` and square roots, so every machine draws the same bits.

use crate::random::{STEP, mix};

/// A sequence of draws named by a key, such as (seed, split, index, purpose).
#[derive(Clone, Debug)]
pub struct Draws {
    state: u64,
}

impl Draws {
    pub fn new(key: &[u64]) -> Self {
        let absorb = |state: u64, &word: &u64| mix(state.wrapping_add(STEP) ^ mix(word ^ STEP));
        Self { state: key.iter().fold(0, absorb) }
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn unit_f64(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in [-1, 1).
    pub fn signed(&mut self) -> f32 {
        self.between(-1.0, 1.0)
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }
}

/// A law over 0..n, drawn by binary search in its cumulative sums.
#[derive(Clone, Debug)]
pub struct Discrete {
    cumulative: Vec<f64>,
}

impl Discrete {
    /// Probability of each outcome in proportion to its weight.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut total = 0.0;
        let sums = weights.into_iter().map(|weight| {
            total += weight;
            total
        });
        let cumulative: Vec<f64> = sums.collect();
        Self { cumulative: cumulative.iter().map(|sum| sum / total).collect() }
    }

    pub fn draw(&self, draws: &mut Draws) -> usize {
        let point = draws.unit_f64();
        self.cumulative.partition_point(|&sum| sum <= point).min(self.cumulative.len() - 1)
    }

    #[cfg(test)]
    pub fn probability(&self, outcome: usize) -> f64 {
        let below = if outcome == 0 { 0.0 } else { self.cumulative[outcome - 1] };
        self.cumulative[outcome] - below
    }
}

/// `rank^-quarters/4`, by square roots alone: the power function of the platform may round
/// differently elsewhere.
pub fn power_of_rank(rank: usize, quarters: u32) -> f64 {
    let root = (rank as f64).sqrt().sqrt();
    (0..quarters).fold(1.0, |power, _| power / root)
}

/// Sine of an angle in turns, by a polynomial (error below 1e-6) for the reason above.
pub fn sine(turns: f32) -> f32 {
    let turn = turns - turns.floor();
    let (turn, sign) = if turn > 0.5 { (turn - 0.5, -1.0) } else { (turn, 1.0) };
    let angle = std::f32::consts::TAU * turn.min(0.5 - turn);
    let square = angle * angle;
    let tail = 1.0 - square / 72.0 * (1.0 - square / 110.0);
    sign * angle * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * tail)))
}

pub fn cosine(turns: f32) -> f32 {
    sine(turns + 0.25)
}
