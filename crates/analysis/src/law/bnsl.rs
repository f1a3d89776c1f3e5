//! The broken power law: straight in logarithms but for smooth breaks, above a floor.

use super::{At, Law, Param, Role, Unit, Values};

/// One or two breaks: at `d1` the exponent changes by `c1`, over a width of `f1` in ln x.
///
/// A negative change bends the curve up, and may make it rise: the form describes double descent.
#[derive(Debug)]
pub struct Bnsl {
    name: &'static str,
    formula: &'static str,
    params: &'static [Param],
}

/// Of two breaks; of one without the last three.
const PARAMS: &[Param] = &[
    Param::linear("a", Role::Floor),
    Param::linear("b", Role::Coefficient),
    Param::new("c0", Role::Exponent),
    Param::new("c1", Role::Turn),
    Param::new("d1", Role::Place(0)),
    Param::new("f1", Role::Sharpness),
    Param::new("c2", Role::Turn),
    Param::new("d2", Role::Place(0)),
    Param::new("f2", Role::Sharpness),
];

pub const BNSL1: Bnsl = Bnsl {
    name: "bnsl1",
    formula: "y = a + b x^-c0 (1 + (x/d1)^(1/f1))^(-c1 f1)",
    params: PARAMS.split_at(HEAD + BREAK).0,
};

pub const BNSL2: Bnsl = Bnsl {
    name: "bnsl2",
    formula: "y = a + b x^-c0 (1 + (x/d1)^(1/f1))^(-c1 f1) (1 + (x/d2)^(1/f2))^(-c2 f2)",
    params: PARAMS,
};

/// Parameters before the breaks, and of each.
const HEAD: usize = 3;
const BREAK: usize = 3;

impl Law for Bnsl {
    fn name(&self) -> &'static str {
        self.name
    }

    fn formula(&self) -> &'static str {
        self.formula
    }

    fn source(&self) -> &'static str {
        "Broken Neural Scaling Laws, arXiv 2210.14891, equation 1"
    }

    fn params(&self) -> &'static [Param] {
        self.params
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b, c0) = (params[0], params[1], params[2]);
        let (head, breaks) = gradient.split_at_mut(HEAD);
        let mut ln_power = -c0 * at.ln_x[0];
        for (of, by) in params[HEAD..].chunks_exact(BREAK).zip(breaks.chunks_exact_mut(BREAK)) {
            let (c, d, f) = (of[0], of[1], of[2]);
            let z = (at.ln_x[0] - d.ln()) / f;
            let tail = (-z.abs()).exp();
            let softplus = z.max(0.0) + tail.ln_1p();
            let sigmoid = if z < 0.0 { tail / (1.0 + tail) } else { 1.0 / (1.0 + tail) };
            ln_power -= c * f * softplus;
            by.copy_from_slice(&[-f * softplus, c * sigmoid / d, -c * (softplus - z * sigmoid)]);
        }
        let power = ln_power.exp();
        head.copy_from_slice(&[1.0, power, -b * power * at.ln_x[0]]);
        breaks.iter_mut().for_each(|by| *by *= b * power);
        a + b * power
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let mut values: Values = params.iter().copied().collect();
        values[0] *= unit.y;
        values[1] *= unit.y * unit.x[0].powf(params[2]);
        values[HEAD..].chunks_exact_mut(BREAK).for_each(|of| of[1] *= unit.x[0]);
        values
    }
}
