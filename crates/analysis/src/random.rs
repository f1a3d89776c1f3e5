//! Random draws without state to share: every resample has its own stream, keyed by (seed,
//! resample), so that the order in which threads reach them cannot matter.

/// SplitMix64 (Steele, Lea, Flood 2014): a counter through a 64-bit mixing function.
pub(crate) struct Stream {
    counter: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Stream {
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        Self { counter: mix(mix(seed.wrapping_add(GOLDEN)) ^ index.wrapping_mul(GOLDEN)) }
    }

    fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN);
        mix(self.counter)
    }

    /// Uniform in 0..n, by the high half of a product; the bias is below n / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_streams_differ() {
        let mut counts = [0_u32; 10];
        for index in 0..100 {
            let mut stream = Stream::new(7, index);
            (0..1000).for_each(|_| counts[stream.below(10)] += 1);
        }
        // 100,000 draws: the standard deviation of a count is 95.
        assert!(counts.iter().all(|&n| n.abs_diff(10_000) < 400), "{counts:?}");
        assert_ne!(Stream::new(7, 0).next(), Stream::new(7, 1).next());
        assert_ne!(Stream::new(7, 0).next(), Stream::new(8, 0).next());
    }
}
