//! The first joint law of size and data: no floor, and one exponent over the sum.

use super::{At, Axis, Derived, Law, Param, Role, Unit, Values};

/// `Nc` and `Dc` have the units of N and D, measured where y is one.
#[derive(Debug)]
pub struct Kaplan;

impl Law for Kaplan {
    fn name(&self) -> &'static str {
        "kaplan"
    }

    fn formula(&self) -> &'static str {
        "y = ((Nc/N)^(aN/aD) + Dc/D)^aD"
    }

    fn source(&self) -> &'static str {
        "Scaling Laws for Neural Language Models, arXiv 2001.08361, equation 1.5"
    }

    fn axes(&self) -> &'static [Axis] {
        &[Axis::N, Axis::D]
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param::new("Nc", Role::Scale(0)),
            Param::new("Dc", Role::Scale(1)),
            Param::new("aN", Role::Exponent),
            Param::new("aD", Role::Exponent),
        ];
        PARAMS
    }

    #[inline]
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64 {
        let (nc, dc, a_n, a_d) = (params[0], params[1], params[2], params[3]);
        let ln_n = nc.ln() - at.ln_x[0];
        let (of_size, of_data) = ((a_n / a_d * ln_n).exp(), dc / at.x[1]);
        let sum = of_size + of_data;
        let y = (a_d * sum.ln()).exp();
        let (size_share, data_share) = (of_size / sum, of_data / sum);
        gradient[0] = y * a_n * size_share / nc;
        gradient[1] = y * a_d * data_share / dc;
        gradient[2] = y * size_share * ln_n;
        gradient[3] = y * (sum.ln() - size_share * a_n / a_d * ln_n);
        y
    }

    /// The exponent of the best N against C = k N D.
    fn derived(&self) -> &'static [Derived] {
        &[Derived { name: "n_opt_exponent", of: |params| params[3] / (params[2] + params[3]) }]
    }

    fn in_units(&self, params: &[f64], unit: &Unit) -> Values {
        let (nc, dc, a_n, a_d) = (params[0], params[1], params[2], params[3]);
        let (nc, dc) = (nc * unit.y.powf(1.0 / a_n), dc * unit.y.powf(1.0 / a_d));
        Values::from_iter([nc * unit.x[0], dc * unit.x[1], a_n, a_d])
    }
}
