//! The joint law of one dimension of a model's shape and compute: which width or depth is best at
//! which compute.

use super::{At, Axis, Derived, Law, Param, Role, Unit, Values};

/// N is one dimension of the shape (width, depth, MLP size), x the compute. The best N grows as
/// x^(c / (a + b)).
#[derive(Debug)]
pub struct Sovit;

impl Law for Sovit {
    fn name(&self) -> &'static str {
        "sovit"
    }

    fn formula(&self) -> &'static str {
        "y = alpha N^-a + (beta N^b + xi) x^-c + eps"
    }

    fn source(&self) -> &'static str {
        "Getting ViT in Shape, arXiv 2305.13035, equation 2"
    }

    fn axes(&self) -> &'static [Axis] {
        &[Axis::N, Axis::X]
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::linear("alpha", Role::Coefficient),
            Param::new("a", Role::Exponent),
            Param::linear("beta", Role::Coefficient),
            Param::new("b", Role::Exponent),
            Param::linear("xi", Role::Amount),
            Param::new("c", Role::Exponent),
            Param::linear("eps", Role::Floor),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let [alpha, a, beta, b, xi, c, eps] = *params else { return f64::NAN };
        let [ln_n, ln_x, _] = at.ln_x;
        let falling = (-a * ln_n).exp();
        let rising = (b * ln_n).exp();
        let of_compute = (-c * ln_x).exp();
        let waiting = beta * rising + xi;
        gradient[0] = falling;
        gradient[1] = -alpha * falling * ln_n;
        gradient[2] = rising * of_compute;
        gradient[3] = beta * rising * ln_n * of_compute;
        gradient[4] = of_compute;
        gradient[5] = -waiting * of_compute * ln_x;
        gradient[6] = 1.0;
        alpha * falling + waiting * of_compute + eps
    }

    /// The exponent of the best N against x.
    fn derived(&self) -> &'static [Derived] {
        &[Derived { name: "n_opt_exponent", of: |params| params[5] / (params[1] + params[3]) }]
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let [alpha, a, beta, b, xi, c, eps] = *params else { return Values::new() };
        let of_compute = unit.y * unit.x[1].powf(c);
        let alpha = alpha * unit.y * unit.x[0].powf(a);
        let beta = beta * of_compute * unit.x[0].powf(-b);
        Values::from_iter([alpha, a, beta, b, xi * of_compute, c, eps * unit.y])
    }
}
