//! A power law that levels off at a floor it reaches as a product, not as a sum.

use super::{At, Law, Param, Role, Unit, Values};

/// The floor is b g^c: y is b g^c (1 + 1 / (g x))^c.
#[derive(Debug)]
pub struct M3;

impl Law for M3 {
    fn name(&self) -> &'static str {
        "m3"
    }

    fn formula(&self) -> &'static str {
        "y = b (1/x + g)^c"
    }

    fn source(&self) -> &'static str {
        "M3 of arXiv 2209.06640"
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::linear("b", Role::Coefficient),
            Param::new("g", Role::InverseShift(0)),
            Param::new("c", Role::Exponent),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (b, g, c) = (params[0], params[1], params[2]);
        let shifted = 1.0 / at.x[0] + g;
        let ln = shifted.ln();
        let power = (c * ln).exp();
        gradient[0] = power;
        gradient[1] = b * c * power / shifted;
        gradient[2] = b * power * ln;
        b * power
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (b, g, c) = (params[0], params[1], params[2]);
        Values::from_iter([b * unit.y * unit.x[0].powf(c), g / unit.x[0], c])
    }
}
