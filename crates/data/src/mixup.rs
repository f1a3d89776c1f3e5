//! How much of each batch stays itself under mixup (Zhang et al. 2018, 1710.09412): the batch is
//! `a x + (1 - a) roll(x, 1)`, targets alike.

use crate::random::{Purpose, Random};

/// a of batch `step`: the larger of b and 1 - b, with b from Beta(p, p). At least a half: which of the
/// two is the batch itself makes no difference to what is learnt. 1 where p is 0.
///
/// Rounded to f32, so that machines whose logarithms differ in the last bit agree on it.
pub fn share(seed: u64, p: f64, step: u64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    let mut random = Random::new(seed, Purpose::Mixup, step, 0);
    let log_odds = log_gamma_variate(&mut random, p) - log_gamma_variate(&mut random, p);
    f64::from((1.0 / (1.0 + (-log_odds.abs()).exp())) as f32)
}

/// Logarithm of a draw from Gamma(p, 1) less a constant, which cancels in a ratio of two: Marsaglia &
/// Tsang (2000), a squeeze around the cube of a normal. Theirs is for shapes from 1 on, so it draws
/// p + 1 and brings it down by their `U^(1/p)`, which in logarithms is exact however small p is.
fn log_gamma_variate(random: &mut Random, p: f64) -> f64 {
    let d = p + 1.0 - 1.0 / 3.0;
    let c = (9.0 * d).sqrt().recip();
    let log_cube = loop {
        let x = normal(random);
        let log_cube = 3.0 * (c * x).max(-1.0).ln_1p();
        // Minus infinity where the cube is not positive: never accepted.
        if log_open_uniform(random) < 0.5 * x * x + d * (1.0 - log_cube.exp() + log_cube) {
            break log_cube;
        }
    };
    log_cube + log_open_uniform(random) / p
}

/// A standard normal by Marsaglia's polar method; the second of each pair is left unused.
fn normal(random: &mut Random) -> f64 {
    loop {
        let (x, y) = (2.0 * random.uniform() - 1.0, 2.0 * random.uniform() - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * square.ln() / square).sqrt();
        }
    }
}

/// Logarithm of a uniform in (0, 1].
fn log_open_uniform(random: &mut Random) -> f64 {
    (1.0 - random.uniform()).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(p: f64, n: u64) -> Vec<f64> {
        let mut shares: Vec<f64> = (0..n).map(|step| share(3, p, step)).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares
    }

    /// Moments of b about a half do not care which of b and 1 - b is taken.
    #[test]
    fn even_moments_are_those_of_the_symmetric_beta() {
        let n = 100_000;
        for p in [0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0, 1000.0] {
            let shares = shares(p, n);
            let moment =
                |order| shares.iter().map(|a| (a - 0.5_f64).powi(order)).sum::<f64>() / n as f64;
            // E x^2k = E x^(2k-2) (2k-1) / 4 / (2p + 2k - 1), with x = b - 1/2.
            let mut expected = [1.0; 5];
            for k in 1..5 {
                let odd = 2.0 * k as f64 - 1.0;
                expected[k] = expected[k - 1] * odd / (4.0 * (2.0 * p + odd));
            }
            for (k, order) in [(1, 2), (2, 4)] {
                let deviation = ((expected[2 * k] - expected[k] * expected[k]) / n as f64).sqrt();
                let off = moment(order) - expected[k];
                assert!(
                    off.abs() < 4.5 * deviation,
                    "p = {p}, moment {order}: {off} of {deviation}"
                );
            }
        }
    }

    /// Kolmogorov-Smirnov: sqrt(n) times the largest gap is above 2.23 once in 10,000 tries.
    fn check_distribution(p: f64, beta: impl Fn(f64) -> f64) {
        let n = 40_000;
        let gap = shares(p, n)
            .iter()
            .enumerate()
            .map(|(rank, a)| (2.0 * beta(*a) - 1.0 - (rank as f64 + 0.5) / n as f64).abs())
            .fold(0.0, f64::max);
        assert!(gap * (n as f64).sqrt() < 2.23, "p = {p}: {gap}");
    }

    #[test]
    fn quantiles_are_those_of_the_beta_functions_that_have_a_closed_form() {
        check_distribution(0.5, |x| x.sqrt().asin() * std::f64::consts::FRAC_2_PI);
        check_distribution(1.0, |x| x);
        check_distribution(1.5, |x| {
            let (root, angle) = ((x - x * x).sqrt(), x.sqrt().asin());
            std::f64::consts::FRAC_2_PI * (angle - (1.0 - 2.0 * x) * root)
        });
        check_distribution(2.0, |x| x * x * (3.0 - 2.0 * x));
        check_distribution(3.0, |x| x * x * x * (10.0 - 15.0 * x + 6.0 * x * x));
    }

    proptest! {
        #[test]
        fn a_share_is_from_a_half_to_one_and_an_f32(seed: u64, step: u64, exponent in -6.0..6.0) {
            let a = share(seed, 10_f64.powf(exponent), step);
            prop_assert!((0.5..=1.0).contains(&a), "{}", a);
            prop_assert_eq!(f64::from(a as f32), a);
        }
    }

    #[test]
    fn without_mixup_a_batch_stays_itself() {
        assert_eq!(share(0, 0.0, 5), 1.0);
        assert!(shares(1e-6, 1000).iter().all(|a| *a > 0.999));
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        assert_eq!(
            [share(0, 0.2, 0), share(0, 0.2, 1), share(7, 1.0, 0)],
            [0.999_998_927_116_394, 0.610_743_701_457_977_3, 0.871_524_989_604_95]
        );
    }
}
