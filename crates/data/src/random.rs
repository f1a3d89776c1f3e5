//! Randomness without state: every number is a function of (seed, purpose, two more keys, counter),
//! so that nothing has to be saved to continue, and threads need not agree on an order.
//!
//! Good statistics, no secrecy. The values are part of every stored result: changing them changes
//! what a seed means.

/// What the numbers are for. Two purposes never share numbers, whatever the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Order of training examples; keys: epoch, round.
    Order = 1,
    /// Flips and crops; keys: example, epoch.
    Augmentation = 2,
    /// Which files of a folder are held out, and in which order its files come.
    Files = 3,
    /// Examples of few-shot evaluations; keys: draw, class.
    Shots = 4,
    /// Weights of mixup; key: step.
    Mixup = 5,
    /// Dropped residual branches; keys: step, place in the batch.
    DropPath = 6,
    /// Corrupted patches; keys: example, epoch.
    Corruption = 7,
    /// Seeds of libtorch's own noise; keys: step, site.
    Noise = 8,
}

/// The numbers of one key, in order.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// 2^64 / golden ratio, odd: the increment of splitmix64.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Finaliser of splitmix64 (Steele, Lea & Flood 2014, with Stafford's mix 13): a bijection whose
/// every output bit depends on every input bit.
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Hash of a few words; order matters.
pub const fn hash(words: [u64; 4]) -> u64 {
    let mut state = 0;
    let mut at = 0;
    while at < words.len() {
        state = mix(state ^ words[at]).wrapping_add(STEP);
        at += 1;
    }
    mix(state)
}

impl Random {
    pub const fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        Self::of([seed, purpose as u64, a, b])
    }

    /// Numbers keyed by any four words.
    pub const fn of(key: [u64; 4]) -> Self {
        Self { state: hash(key) }
    }

    /// The next 64 bits: splitmix64 from the hash of the key.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub const fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in 0..n, off by at most n / 2^64 in probability.
    ///
    /// # Panics
    /// Never: n = 0 gives 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        ((self.bits() as u128 * n as u128) >> 64) as u64
    }

    pub const fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }
}

/// A seed for libtorch's generator, which draws dropout's masks: one for every `site` of a step, so
/// that a site's masks depend on nothing that was drawn before. Not negative.
pub const fn noise_seed(seed: u64, step: u64, site: u64) -> i64 {
    (Random::new(seed, Purpose::Noise, step, site).bits() >> 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finaliser_is_splitmix64s() {
        // First outputs of the reference C code (Vigna) from seed 1234567.
        let mut random = Random { state: 1_234_567 };
        for expected in
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        {
            assert_eq!(random.bits(), expected);
        }
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        let mut random = Random::new(7, Purpose::Augmentation, 1, 2);
        assert_eq!(
            [random.bits(), random.bits()],
            [7_987_114_523_973_770_054, 3_349_661_235_966_878_627]
        );
    }

    #[test]
    fn seeds_of_noise_are_not_negative_and_differ_by_seed_step_and_site() {
        let keys = (0..20).flat_map(|a| (0..20).flat_map(move |b| (0..20).map(move |c| (a, b, c))));
        let seeds: Vec<i64> = keys.map(|(a, b, c)| noise_seed(a, b, c)).collect();
        assert!(seeds.iter().all(|seed| *seed >= 0));
        // CPU generators take the lower half alone.
        let lower: std::collections::HashSet<u32> = seeds.iter().map(|seed| *seed as u32).collect();
        assert_eq!(lower.len(), seeds.len());
        assert_eq!(
            [noise_seed(0, 0, 0), noise_seed(7, 1, 2)],
            [8_544_231_747_681_477_284, 223_307_855_658_943_025]
        );
    }

    #[test]
    fn every_part_of_the_key_changes_the_numbers() {
        let first = |key| Random::of(key).bits();
        let keys = [[0; 4], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]];
        for (at, key) in keys.iter().enumerate() {
            assert!(keys[..at].iter().all(|other| first(*other) != first(*key)), "{key:?}");
        }
    }

    /// 16 cells, 160,000 draws: chi-squared with 15 degrees of freedom is above 44.3 once in 10,000 tries.
    #[test]
    fn neighbouring_keys_give_uniform_and_unrelated_numbers() {
        let chi_squared = |cell: &dyn Fn(u64) -> usize| {
            let mut counts = [0.0; 16];
            (0..160_000).for_each(|key| counts[cell(key)] += 1.0);
            counts.iter().map(|count: &f64| (count - 1e4).powi(2) / 1e4).sum::<f64>()
        };
        let draw = |example, epoch| {
            Random::new(0, Purpose::Augmentation, example, epoch).below(4) as usize
        };
        assert!(chi_squared(&|key| 4 * draw(key, 0) + draw(key + 1, 0)) < 44.3);
        assert!(chi_squared(&|key| 4 * draw(key, 0) + draw(key, 1)) < 44.3);
        let uniform = |key| Random::new(key, Purpose::Order, 0, 0).uniform();
        assert!(chi_squared(&|key| (16.0 * uniform(key)) as usize) < 44.3);
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut random = Random::of([0; 4]);
        let mut seen = [false; 7];
        (0..200).for_each(|_| seen[random.below(7) as usize] = true);
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }
}
