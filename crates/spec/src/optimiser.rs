//! Optimisers by their constants, and the memory that they take.

use serde::{Deserialize, Serialize};

/// Bytes of a number in f32.
const F32: u64 = 4;

/// What turns gradients into steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    Adamw(AdamW),
    Adafactor(Adafactor),
    Sgd(Sgd),
}

impl Optimiser {
    /// Whether steps do not grow with the gradient, as Adam's do not: what maximal update
    /// parametrisation (2203.03466, table 8) has rates for.
    pub const fn is_adam(&self) -> bool {
        match self {
            Self::Adamw(_) | Self::Adafactor(_) => true,
            Self::Sgd(_) => false,
        }
    }

    /// Bytes of state for f32 parameters of these shapes, Polyak's average not among them: AdamW's
    /// moments are 8 a parameter, or 6 with the first in bf16; SGD's momentum is 4, or 2; Adafactor's
    /// first moment is 4, or 2, and of a tensor that it factors the second is a row and a column.
    pub fn state_bytes<'a>(&self, shapes: impl Iterator<Item = &'a [u64]>) -> u64 {
        let of = |shape: &[u64]| {
            let count: u64 = shape.iter().product();
            match self {
                Self::Adamw(adamw) => count * (adamw.first_moment.bytes() + F32),
                Self::Adafactor(adafactor) => {
                    count * adafactor.first_moment.bytes() + adafactor.second_moments(shape) * F32
                }
                Self::Sgd(sgd) => count * sgd.first_moment.bytes(),
            }
        };
        shapes.map(of).sum()
    }
}

/// How a moment is kept. What is bf16 is computed in f32 and rounded when it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    F32,
    Bf16,
}

impl Moment {
    /// Of each number.
    const fn bytes(self) -> u64 {
        match self {
            Self::F32 => F32,
            Self::Bf16 => 2,
        }
    }
}

/// Loshchilov & Hutter (1711.05101).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    pub beta1: f64,
    /// 0.95 rather than 0.999 by default: a short trial does not have thousands of steps to average over.
    pub beta2: f64,
    pub eps: f64,
    pub first_moment: Moment,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, first_moment: Moment::F32 }
    }
}

/// Adafactor as Scaling ViT modified it (2106.04560, section 3.4): factored second moment, first
/// moment in bf16, no clipping of updates, no scaling by the parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adafactor {
    pub beta1: f64,
    /// The second moment's decay at update t (from 1) is `min(beta2_cap, 1 - t^-decay_exponent)`.
    pub beta2_cap: f64,
    pub decay_exponent: f64,
    /// Tensors whose two largest sides are both at least this are factored over them.
    pub min_dim: u32,
    /// Added to squared gradients.
    pub eps: f64,
    pub first_moment: Moment,
}

impl Adafactor {
    /// Numbers that a tensor's second moments are kept as: means over either of its two largest sides,
    /// or one an element where a side is too short.
    fn second_moments(&self, shape: &[u64]) -> u64 {
        let count: u64 = shape.iter().product();
        let mut sides = shape.to_vec();
        sides.sort_unstable();
        match sides[..] {
            [.., second, largest] if second >= u64::from(self.min_dim.max(1)) => {
                count / largest + count / second
            }
            _ => count,
        }
    }
}

impl Default for Adafactor {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2_cap: 0.999,
            decay_exponent: 0.8,
            min_dim: 32,
            eps: 1e-30,
            first_moment: Moment::Bf16,
        }
    }
}

/// Momentum as PyTorch has it: `m = momentum m + g`, `p -= lr m`, or with Nesterov's look ahead
/// `p -= lr (g + momentum m)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    pub momentum: f64,
    pub nesterov: bool,
    pub first_moment: Moment,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, first_moment: Moment::F32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [&[u64]; 5] = [&[40, 36], &[33, 2, 35], &[7, 36], &[100], &[64, 3, 1, 32]];

    fn bytes(optimiser: &Optimiser) -> u64 {
        optimiser.state_bytes(SHAPES.into_iter())
    }

    #[test]
    fn moments_take_their_bytes_for_each_parameter() {
        let count = 1440 + 2310 + 252 + 100 + 6144;
        let bf16 = Moment::Bf16;
        for (optimiser, each) in [
            (Optimiser::Adamw(AdamW::default()), 8),
            (Optimiser::Adamw(AdamW { first_moment: bf16, ..AdamW::default() }), 6),
            (Optimiser::Sgd(Sgd::default()), 4),
            (Optimiser::Sgd(Sgd { first_moment: bf16, ..Sgd::default() }), 2),
        ] {
            assert_eq!(bytes(&optimiser), count * each, "{optimiser:?}");
        }
    }

    /// Hand values: rows and columns of what has two sides of 32, every element of the rest.
    #[test]
    fn adafactor_keeps_a_row_and_a_column_of_large_tensors() {
        let count = 1440 + 2310 + 252 + 100 + 6144;
        let second = (36 + 40) + (66 + 70) + 252 + 100 + (96 + 192);
        let lean = Adafactor::default();
        let full = Adafactor { first_moment: Moment::F32, ..lean.clone() };
        let unfactored = Adafactor { min_dim: 101, ..lean.clone() };
        assert_eq!(bytes(&Optimiser::Adafactor(lean)), 2 * count + 4 * second);
        assert_eq!(bytes(&Optimiser::Adafactor(full)), 4 * count + 4 * second);
        assert_eq!(bytes(&Optimiser::Adafactor(unfactored)), 2 * count + 4 * count);
    }

    #[test]
    fn a_scalar_has_moments_and_an_empty_tensor_none() {
        let adafactor = Optimiser::Adafactor(Adafactor::default());
        let scalar: &[u64] = &[];
        assert_eq!(adafactor.state_bytes([scalar].into_iter()), 6);
        assert_eq!(adafactor.state_bytes([[0, 64].as_slice()].into_iter()), 0);
    }
}
