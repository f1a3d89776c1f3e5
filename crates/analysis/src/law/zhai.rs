//! The law of Scaling ViT: a floor at infinite compute and a ceiling at zero compute.

use super::{At, Law, Param, Role, Unit, Values};

/// `c` is the floor; `d` the compute at which learning starts to show, so that y(0) is finite.
#[derive(Debug)]
pub struct Zhai;

impl Law for Zhai {
    fn name(&self) -> &'static str {
        "zhai"
    }

    fn formula(&self) -> &'static str {
        "y = a (x + d)^-b + c"
    }

    fn source(&self) -> &'static str {
        "Scaling Vision Transformers, arXiv 2106.04560, section 3"
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::linear("a", Role::Coefficient),
            Param::new("b", Role::Exponent),
            Param::linear("c", Role::Floor),
            Param::new("d", Role::Shift(0)),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b, c, d) = (params[0], params[1], params[2], params[3]);
        let shifted = at.x[0] + d;
        let ln = if d == 0.0 { at.ln_x[0] } else { shifted.ln() };
        let power = (-b * ln).exp();
        gradient[0] = power;
        gradient[1] = -a * power * ln;
        gradient[2] = 1.0;
        gradient[3] = -a * b * power / shifted;
        a * power + c
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (a, b, c, d) = (params[0], params[1], params[2], params[3]);
        Values::from_iter([a * unit.y * unit.x[0].powf(b), b, c * unit.y, d * unit.x[0]])
    }
}
