//! A prediction as a distribution of ln y: a mixture of normal ones, a component for each curve that
//! the data allow, as wide as the noise around it; or of Student's, where the noise itself is a guess.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    components: Vec<Component>,
}

/// One curve's share. The standard deviation may be 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    pub weight: f64,
    /// Of ln y.
    pub mean: f64,
    pub sd: f64,
    /// Degrees of freedom of a Student distribution with the scale `sd`; infinite: a normal one.
    pub freedom: f64,
}

impl Component {
    fn below(&self, ln_y: f64) -> f64 {
        if self.sd == 0.0 {
            return if ln_y < self.mean { 0.0 } else { 1.0 };
        }
        let z = (ln_y - self.mean) / self.sd;
        match StudentsT::new(0.0, 1.0, self.freedom) {
            Ok(student) if self.freedom.is_finite() => student.cdf(z),
            _ => Normal::standard().cdf(z),
        }
    }

    /// How far from the mean the last share of the distribution lies that anyone asks for.
    fn reach(&self) -> f64 {
        self.sd * if self.freedom.is_finite() { 1e3 } else { 9.0 }
    }
}

impl Mixture {
    /// Weights need not add up to one; components that are not finite are left out.
    pub fn new(components: impl IntoIterator<Item = Component>) -> Self {
        let is_good = |c: &Component| c.weight > 0.0 && c.mean.is_finite() && c.sd.is_finite();
        let mut components: Vec<_> = components.into_iter().filter(is_good).collect();
        let total: f64 = components.iter().map(|component| component.weight).sum();
        components.iter_mut().for_each(|component| component.weight /= total);
        Self { components }
    }

    /// Components of one weight and one standard deviation.
    pub fn even(means: impl IntoIterator<Item = f64>, sd: f64) -> Self {
        Self::new(means.into_iter().map(|mean| Component {
            weight: 1.0,
            mean,
            sd,
            freedom: f64::INFINITY,
        }))
    }

    /// exp of the mean of ln y, which for a single component is the median; NaN of no components, as all below.
    pub fn centre(&self) -> f64 {
        let sum: f64 = self.components.iter().map(|c| c.weight * c.mean).sum();
        if self.components.is_empty() { f64::NAN } else { sum.exp() }
    }

    /// The probability of a value up to `y`.
    pub fn cdf(&self, y: f64) -> f64 {
        self.components.iter().map(|c| c.weight * c.below(y.ln())).sum()
    }

    /// The value that a share of the distribution lies below; `share` in (0, 1).
    pub fn quantile(&self, share: f64) -> f64 {
        let low = self.components.iter().map(|c| c.mean - c.reach()).fold(f64::INFINITY, f64::min);
        let high =
            self.components.iter().map(|c| c.mean + c.reach()).fold(f64::NEG_INFINITY, f64::max);
        if self.components.is_empty() {
            return f64::NAN;
        }
        let (mut low, mut high) = (low, high);
        while high - low > 1e-9 * (1.0 + low.abs()) {
            let middle = 0.5 * (low + high);
            if self.cdf(middle.exp()) < share { low = middle } else { high = middle }
        }
        (0.5 * (low + high)).exp()
    }

    /// Ends of the central share `level`.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let tail = 0.5 * (1.0 - level);
        (self.quantile(tail), self.quantile(1.0 - tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_component_is_a_lognormal() {
        let mixture = Mixture::even([0.5_f64.ln()], 0.1);
        assert!((mixture.centre() - 0.5).abs() < 1e-12);
        assert!((mixture.quantile(0.5) - 0.5).abs() < 1e-8);
        let (low, high) = mixture.interval(0.95);
        assert!((low.ln() - 0.5_f64.ln() + 0.195_996_4).abs() < 1e-6 && high > 0.6, "{low} {high}");
    }

    #[test]
    fn quantiles_invert_the_cdf_of_a_mixture_with_two_humps() {
        let component = |weight, mean| Component { weight, mean, sd: 0.01, freedom: f64::INFINITY };
        let mixture = Mixture::new([component(3.0, -1.0), component(1.0, 0.0)]);
        for share in [0.01, 0.3, 0.74, 0.76, 0.99] {
            assert!((mixture.cdf(mixture.quantile(share)) - share).abs() < 1e-5);
        }
        assert!(mixture.quantile(0.7) < 0.4 && mixture.quantile(0.8) > 0.9);
    }

    #[test]
    fn few_degrees_of_freedom_widen_the_tails() {
        let student = Mixture::new([Component { weight: 1.0, mean: 0.0, sd: 1.0, freedom: 5.0 }]);
        // Student's table: t(5) at 97.5% is 2.571.
        assert!((student.quantile(0.975).ln() - 2.570_581_8).abs() < 1e-5);
    }

    #[test]
    fn without_spread_quantiles_are_the_values() {
        let mixture = Mixture::even([0.0, 1.0], 0.0);
        assert!((mixture.quantile(0.25) - 1.0).abs() < 1e-8);
        assert!((mixture.quantile(0.75).ln() - 1.0).abs() < 1e-8);
        assert!(Mixture::even([], 0.1).quantile(0.5).is_nan());
    }
}
