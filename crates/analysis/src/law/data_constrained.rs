//! Chinchilla's law when data are repeated: repeats of examples, and parameters beyond what the
//! unique examples can use, are worth ever less.

use super::{At, Axis, Law, Param, Role, Unit, Values};

/// D' and N' are the effective data and size:
/// D' = U + U `RD` (1 - exp(-(D/U - 1) / `RD`)), and N' likewise from the size Un that is
/// compute-optimal for U unique examples, Un = min(N, (alpha A / (beta B))^(1/alpha) U^(beta/alpha)).
///
/// All seven parameters are estimated together, where the paper takes the first five from runs
/// without repeats.
#[derive(Debug)]
pub struct DataConstrained;

impl Law for DataConstrained {
    fn name(&self) -> &'static str {
        "data-constrained"
    }

    fn formula(&self) -> &'static str {
        "y = E + A N'(N, U, RN)^-alpha + B D'(D, U, RD)^-beta"
    }

    fn source(&self) -> &'static str {
        "Scaling Data-Constrained Language Models, arXiv 2305.16264, section 3"
    }

    fn axes(&self) -> &'static [Axis] {
        &[Axis::N, Axis::D, Axis::Unique]
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::new("A", Role::Coefficient),
            Param::new("B", Role::Coefficient),
            Param::new("E", Role::Floor),
            Param::new("alpha", Role::Exponent),
            Param::new("beta", Role::Exponent),
            Param::new("RN", Role::Repeats),
            Param::new("RD", Role::Repeats),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let [a, b, e, alpha, beta, rn, rd] = *params else { return f64::NAN };
        let ln_usable = ((alpha * a).ln() - (beta * b).ln()) / alpha + beta / alpha * at.ln_x[2];
        let data = Effective::new(at.ln_x[1], at.ln_x[2].min(at.ln_x[1]), rd);
        let size = Effective::new(at.ln_x[0], ln_usable.min(at.ln_x[0]), rn);
        let of_size = (-alpha * size.ln).exp();
        let of_data = (-beta * data.ln).exp();
        // d y / d ln Un, and d ln Un by the parameters; nothing where N is the smaller.
        let through =
            if ln_usable < at.ln_x[0] { -a * alpha * of_size * size.by_ln_base } else { 0.0 };
        gradient[0] = of_size + through / (alpha * a);
        gradient[1] = of_data - through / (alpha * b);
        gradient[2] = 1.0;
        gradient[3] = -a * of_size * size.ln + through * (1.0 / alpha - ln_usable) / alpha;
        gradient[4] = -b * of_data * data.ln + through * (at.ln_x[2] - 1.0 / beta) / alpha;
        gradient[5] = -a * alpha * of_size * size.by_repeats;
        gradient[6] = -b * beta * of_data * data.by_repeats;
        e + a * of_size + b * of_data
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let mut values: Values = params.iter().copied().collect();
        let (alpha, beta) = (params[3], params[4]);
        values[0] *= unit.y * unit.x[0].powf(alpha);
        values[1] *= unit.y * unit.x[1].powf(beta);
        values[2] *= unit.y;
        values
    }
}

/// What an amount is worth of which all beyond `base` is repeats, in logarithms.
struct Effective {
    ln: f64,
    /// d ln / d ln base, at a fixed amount.
    by_ln_base: f64,
    /// d ln / d repeats.
    by_repeats: f64,
}

impl Effective {
    fn new(ln_amount: f64, ln_base: f64, repeats: f64) -> Self {
        let beyond = (ln_amount - ln_base).exp_m1();
        let decay = (-beyond / repeats).exp();
        let factor = 1.0 + repeats * (1.0 - decay);
        Self {
            ln: ln_base + factor.ln(),
            by_ln_base: 1.0 - decay * (beyond + 1.0) / factor,
            by_repeats: (1.0 - decay - decay * beyond / repeats) / factor,
        }
    }
}
