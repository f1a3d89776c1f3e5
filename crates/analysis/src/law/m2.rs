//! The saturating power law: a floor and one exponent.

use super::{At, Law, Param, Role, Unit};

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

    fn with_values(&self, values: &[String], x: &str) -> String {
        format!("{} {x}^{{−{}}} + {}", values[0], values[1], values[2])
    }

    fn source(&self) -> &'static str {
        "M2 of arXiv 2209.06640; Hestness and others, arXiv 1712.00409"
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param { name: "b", role: Role::Coefficient },
            Param { name: "c", role: Role::Exponent },
            Param { name: "e", role: Role::Floor },
        ];
        PARAMS
    }

    fn evaluate(&self, at: At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (b, c, e) = (params[0], params[1], params[2]);
        let power = (-c * at.ln_x).exp();
        gradient[0] = power;
        gradient[1] = -b * power * at.ln_x;
        gradient[2] = 1.0;
        b * power + e
    }

    fn in_units(&self, params: &[f64], unit: Unit) -> Vec<f64> {
        let (b, c, e) = (params[0], params[1], params[2]);
        vec![b * unit.y * unit.x.powf(c), c, e * unit.y]
    }
}
