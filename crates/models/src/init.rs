//! Initial values. Each tensor draws from its own stream, keyed by (seed, name): adding a layer, or
//! asking for one tensor alone, changes no other.

use std::f64::consts::TAU;

use tch::Tensor;

/// Standard deviation of a standard normal truncated to [-2, 2]; flax's `lecun_normal` divides by it.
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

/// How a tensor is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    Constant(f64),
    /// Uniform in +-sqrt(6 / (fan_in + fan_out)); Glorot & Bengio 2010, eq. 16.
    XavierUniform {
        fan_in: i64,
        fan_out: i64,
    },
    Normal {
        std: f64,
    },
    /// Normal of variance `1 / fan_in` after truncation at two standard deviations.
    LecunNormal {
        fan_in: i64,
    },
}

impl Init {
    pub(crate) fn tensor(self, seed: u64, name: &str, shape: &[i64]) -> Tensor {
        let count: i64 = shape.iter().product();
        let mut stream = Stream::new(seed, name);
        let values: Vec<f32> = (0..count).map(|_| self.draw(&mut stream) as f32).collect();
        Tensor::from_slice(&values).reshape(shape)
    }

    fn draw(self, stream: &mut Stream) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::XavierUniform { fan_in, fan_out } => {
                (6.0 / (fan_in + fan_out) as f64).sqrt() * (2.0 * stream.uniform() - 1.0)
            }
            Self::Normal { std } => std * stream.normal(),
            Self::LecunNormal { fan_in } => {
                let std = (1.0 / fan_in as f64).sqrt() / TRUNCATED_STD;
                std * stream.truncated_normal()
            }
        }
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014) from a key of seed and name.
struct Stream(u64);

impl Stream {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, whose constants and result no library version can change under stored results.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut stream = Self(seed);
        let key = stream.next() ^ hash;
        Self(key)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In the open interval (0, 1), so that its logarithm is finite.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Box-Muller; the second value of each pair is not kept, so that a draw has no hidden state.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    fn truncated_normal(&mut self) -> f64 {
        loop {
            let value = self.normal();
            if value.abs() <= 2.0 {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn moments(init: Init, name: &str) -> (f64, f64, f64) {
        let tensor = init.tensor(7, name, &[200, 500]).to_kind(Kind::Double);
        let mean = tensor.mean(Kind::Double).double_value(&[]);
        (mean, tensor.std(true).double_value(&[]), tensor.abs().max().double_value(&[]))
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let rows = [
            // std of a uniform in +-a is a / sqrt 3; here a = sqrt(6/24) = 0.5
            (Init::XavierUniform { fan_in: 8, fan_out: 16 }, 0.288_675, 0.5),
            (Init::Normal { std: 0.25 }, 0.25, f64::INFINITY),
            (Init::LecunNormal { fan_in: 16 }, 0.25, 2.0 * 0.25 / TRUNCATED_STD),
        ];
        for (init, std, largest) in rows {
            let (mean, found, max) = moments(init, "w");
            assert!(mean.abs() < 4.0 * std / 1e5_f64.sqrt(), "{init:?}: mean {mean}");
            assert!((found / std - 1.0).abs() < 0.01, "{init:?}: std {found}, not {std}");
            assert!(max <= largest + 1e-6, "{init:?}: {max} beyond {largest}");
        }
    }

    #[test]
    fn a_tensor_depends_on_seed_and_name_alone() {
        let init = Init::Normal { std: 1.0 };
        let first = init.tensor(1, "a", &[8]);
        assert!(first.equal(&init.tensor(1, "a", &[8])));
        assert!(!first.equal(&init.tensor(1, "b", &[8])));
        assert!(!first.equal(&init.tensor(2, "a", &[8])));
    }
}
