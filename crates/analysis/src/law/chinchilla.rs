//! The parametric law of compute-optimal training: a floor, what the size lacks, what the data lack.

use super::{At, Axis, Derived, Law, Param, Role, Unit, Values};

/// The best N at a compute C ~ N D grows as C^(beta / (alpha + beta)).
#[derive(Debug)]
pub struct Chinchilla;

impl Law for Chinchilla {
    fn name(&self) -> &'static str {
        "chinchilla"
    }

    fn formula(&self) -> &'static str {
        "y = E + A N^-alpha + B D^-beta"
    }

    fn source(&self) -> &'static str {
        "Training Compute-Optimal Large Language Models, arXiv 2203.15556, equation 2 (approach 3)"
    }

    fn axes(&self) -> &'static [Axis] {
        &[Axis::N, Axis::D]
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::linear("A", Role::Coefficient),
            Param::linear("B", Role::Coefficient),
            Param::linear("E", Role::Floor),
            Param::new("alpha", Role::Exponent),
            Param::new("beta", Role::Exponent),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b, e, alpha, beta) = (params[0], params[1], params[2], params[3], params[4]);
        let of_size = (-alpha * at.ln_x[0]).exp();
        let of_data = (-beta * at.ln_x[1]).exp();
        gradient[0] = of_size;
        gradient[1] = of_data;
        gradient[2] = 1.0;
        gradient[3] = -a * of_size * at.ln_x[0];
        gradient[4] = -b * of_data * at.ln_x[1];
        e + a * of_size + b * of_data
    }

    /// The exponent of the best N against C = k N D.
    fn derived(&self) -> &'static [Derived] {
        &[Derived { name: "n_opt_exponent", of: |params| params[4] / (params[3] + params[4]) }]
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (a, b, e, alpha, beta) = (params[0], params[1], params[2], params[3], params[4]);
        let a = a * unit.y * unit.x[0].powf(alpha);
        let b = b * unit.y * unit.x[1].powf(beta);
        Values::from_iter([a, b, e * unit.y, alpha, beta])
    }
}
