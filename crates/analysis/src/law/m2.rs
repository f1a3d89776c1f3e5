//! The saturating power law: a floor and one exponent.

use super::{At, Law, Param, Role, Unit, Values};

/// `b` is y - e at x = 1: strongly correlated with `c`, never to be read alone.
#[derive(Debug)]
pub struct M2;

impl Law for M2 {
    fn name(&self) -> &'static str {
        "m2"
    }

    fn formula(&self) -> &'static str {
        "y = b x^-c + e"
    }

    fn source(&self) -> &'static str {
        "M2 of arXiv 2209.06640; Hestness and others, arXiv 1712.00409"
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::linear("b", Role::Coefficient),
            Param::new("c", Role::Exponent),
            Param::linear("e", Role::Floor),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (b, c, e) = (params[0], params[1], params[2]);
        let power = (-c * at.ln_x[0]).exp();
        gradient[0] = power;
        gradient[1] = -b * power * at.ln_x[0];
        gradient[2] = 1.0;
        b * power + e
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (b, c, e) = (params[0], params[1], params[2]);
        Values::from_iter([b * unit.y * unit.x[0].powf(c), c, e * unit.y])
    }
}
