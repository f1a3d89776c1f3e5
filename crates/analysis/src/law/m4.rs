//! The sigmoid-like law: y falls from a ceiling, then as a power law, to a floor.

use super::{At, Law, Param, Role, Unit, Values};

/// `y0` is the ceiling, the error of a random guess; `a` = 0 is [`super::M2`] below a ceiling.
///
/// y is given implicitly. It is found as the sigmoid of an unknown u, in which the logarithm of the
/// formula is monotone, with a slope between 1 and `a`: Newton's method needs no safeguard.
#[derive(Debug)]
pub struct M4;

impl Law for M4 {
    fn name(&self) -> &'static str {
        "m4"
    }

    fn formula(&self) -> &'static str {
        "(y - e)/(y0 - y)^a = b x^-c"
    }

    fn source(&self) -> &'static str {
        "M4 of arXiv 2209.06640"
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::new("b", Role::Coefficient),
            Param::new("c", Role::Exponent),
            Param::new("e", Role::Floor),
            Param::new("y0", Role::Ceiling),
            Param::new("a", Role::Bend),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (b, c, e, y0, a) = (params[0], params[1], params[2], params[3], params[4]);
        let range = y0 - e;
        let share = sigmoid_share(a, b.ln() - c * at.ln_x[0] - (1.0 - a) * range.ln());
        let (above_floor, below_ceiling) = (range * share.above, range * share.below);
        // By the implicit function: dy/dp = -(dG/dp) / (dG/dy), with
        // G = ln(y - e) - a ln(y0 - y) - ln b + c ln x, both sides times (y - e) (y0 - y).
        let slope = below_ceiling + a * above_floor;
        let product = above_floor * below_ceiling;
        gradient[0] = product / (slope * b);
        gradient[1] = -product * at.ln_x[0] / slope;
        gradient[2] = below_ceiling / slope;
        gradient[3] = a * above_floor / slope;
        gradient[4] = product * below_ceiling.ln() / slope;
        e + above_floor
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (b, c, e, y0, a) = (params[0], params[1], params[2], params[3], params[4]);
        let b = b * unit.y.powf(1.0 - a) * unit.x[0].powf(c);
        Values::from_iter([b, c, e * unit.y, y0 * unit.y, a])
    }
}

/// A sigmoid and one minus it, neither of them rounded to nought or one.
struct Share {
    above: f64,
    below: f64,
}

/// s with ln s - a ln(1 - s) = `target`.
fn sigmoid_share(a: f64, target: f64) -> Share {
    // Exact for a = 1, and at either end where one of the two terms is all there is.
    let mut u = if target < 0.0 { target } else { target / a };
    for _ in 0..100 {
        let tail = (-u.abs()).exp();
        let ln_larger = -tail.ln_1p();
        let (ln_above, ln_below) =
            if u < 0.0 { (u + ln_larger, ln_larger) } else { (ln_larger, ln_larger - u) };
        let above = if u < 0.0 { tail / (1.0 + tail) } else { 1.0 / (1.0 + tail) };
        let step = (ln_above - a * ln_below - target) / ((1.0 - above) + a * above);
        u -= step;
        if step.abs() <= 1e-14 * u.abs().max(1.0) {
            break;
        }
    }
    let tail = (-u.abs()).exp();
    let (larger, smaller) = (1.0 / (1.0 + tail), tail / (1.0 + tail));
    if u < 0.0 {
        Share { above: smaller, below: larger }
    } else {
        Share { above: larger, below: smaller }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_holds_from_the_ceiling_to_the_floor() {
        let params = [0.7, 0.4, 0.05, 0.99, 0.6];
        for power in -20..=20 {
            let x = 10_f64.powi(power);
            let y = M4.evaluate(&At::x(x), &params, &mut [0.0; 5]);
            let [b, c, e, y0, a] = params;
            let (left, right) = ((y - e) / (y0 - y).powf(a), b * x.powf(-c));
            assert!(y > e && y <= y0, "{y} at {x}");
            // At the ends a difference has lost its digits.
            assert!(power.abs() > 8 || (left / right - 1.0).abs() < 1e-9, "{left} {right} at {x}");
        }
    }
}
