//! The power law without a floor.

use super::{At, Law, Param, Role, Unit, Values};

/// A straight line in logarithms: what every other law has to beat.
#[derive(Debug)]
pub struct M1;

impl Law for M1 {
    fn name(&self) -> &'static str {
        "m1"
    }

    fn formula(&self) -> &'static str {
        "y = b x^-c"
    }

    fn source(&self) -> &'static str {
        "M1 of arXiv 2209.06640"
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] =
            &[Param::linear("b", Role::Coefficient), Param::new("c", Role::Exponent)];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (b, c) = (params[0], params[1]);
        let power = (-c * at.ln_x[0]).exp();
        gradient[0] = power;
        gradient[1] = -b * power * at.ln_x[0];
        b * power
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (b, c) = (params[0], params[1]);
        Values::from_iter([b * unit.y * unit.x[0].powf(c), c])
    }
}
