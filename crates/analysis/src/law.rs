//! What a law is. A new law is a file beside these and a line in [`ALL`]; the fit needs to know no
//! more than this trait tells, and knows no law by name.

mod m2;
mod zhai;

use std::fmt::Debug;

pub use m2::M2;
pub use zhai::Zhai;

/// Every law that can be fitted, in the order in which help texts list them.
pub const ALL: &[&dyn Law] = &[&M2, &Zhai];

/// The law called `name` on the command line and in the fit's JSON.
pub fn named(name: &str) -> Option<&'static dyn Law> {
    ALL.iter().copied().find(|law| law.name() == name)
}

/// A functional form y(x) > 0 that falls as x grows.
pub trait Law: Debug + Sync {
    /// Lower case, without spaces: `zhai`.
    fn name(&self) -> &'static str;

    /// As a reader would write it, with the names of [`Law::params`].
    fn formula(&self) -> &'static str;

    /// The right-hand side of the formula with numbers in it, for a figure's legend: `values` are the
    /// parameters as text, `x` the axis's symbol, and `^{..}` what is raised.
    fn with_values(&self, values: &[String], x: &str) -> String;

    /// Where the form comes from.
    fn source(&self) -> &'static str;

    /// In the order of every slice of values below.
    fn params(&self) -> &'static [Param];

    /// y at `at`; its derivatives by the parameters go into `gradient`.
    fn evaluate(&self, at: At, params: &[f64], gradient: &mut [f64]) -> f64;

    /// The parameters of the same curve in the caller's units, where `params` describe it with x
    /// measured in `unit.x` and y in `unit.y`.
    fn in_units(&self, params: &[f64], unit: Unit) -> Vec<f64>;
}

/// Position on the x axis. The logarithm is taken once per point, not once per evaluation.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub x: f64,
    pub ln_x: f64,
}

impl At {
    pub fn new(x: f64) -> Self {
        Self { x, ln_x: x.ln() }
    }
}

/// What one internal unit of x and y is worth in the caller's units.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    pub x: f64,
    pub y: f64,
}

/// One parameter. The role says all that the search must know of it: see [`Role`].
#[derive(Debug)]
pub struct Param {
    pub name: &'static str,
    pub role: Role,
}

/// What a parameter does, and by that its bounds, the scale on which it is searched, and where
/// searches start.
///
/// | role | range | searched in | starts |
/// |---|---|---|---|
/// | coefficient | positive | its logarithm | solved for: the law is linear in it |
/// | floor | 0 and above | itself | solved for: the law is linear in it |
/// | exponent | .001 to 5 | itself | .03 to 3, evenly in the logarithm |
/// | shift | 0 to 10 times the largest x | ln(1 + shift / smallest x) | a tenth of the smallest x to the largest, evenly in the logarithm |
///
/// The coefficient of a steep law in units of single FLOPs is the one number here that can
/// overflow; the exponent's upper bound keeps it below 1e250 for any x below 1e24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Coefficient,
    /// y at infinite x, in the unit of y.
    Floor,
    /// Dimensionless: the same in any unit of x.
    Exponent,
    /// In the unit of x.
    Shift,
}

impl Role {
    /// Whether y is proportional to the parameter, or a constant plus it, at fixed others. Then the
    /// derivative by it is the basis function that it multiplies.
    pub(crate) fn is_linear(self) -> bool {
        match self {
            Self::Coefficient | Self::Floor => true,
            Self::Exponent | Self::Shift => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laws_and_params() -> impl Strategy<Value = (&'static dyn Law, Vec<f64>)> {
        (0..ALL.len(), prop::collection::vec(0.05..2.0_f64, 4)).prop_map(|(at, mut params)| {
            params.truncate(ALL[at].params().len());
            (ALL[at], params)
        })
    }

    fn value(law: &dyn Law, x: f64, params: &[f64]) -> f64 {
        law.evaluate(At::new(x), params, &mut vec![0.0; params.len()])
    }

    proptest! {
        #[test]
        fn the_gradient_is_the_slope_of_the_value((law, params) in laws_and_params(), x in 1e-3..1e3_f64) {
            let mut gradient = vec![0.0; params.len()];
            law.evaluate(At::new(x), &params, &mut gradient);
            for (i, slope) in gradient.iter().enumerate() {
                let step = 1e-6 * params[i];
                let (mut above, mut below) = (params.clone(), params.clone());
                above[i] += step;
                below[i] -= step;
                let (above, below) = (value(law, x, &above), value(law, x, &below));
                let numeric = (above - below) / (2.0 * step);
                // Central differences: the rounding of the value is what is left.
                prop_assert!((numeric - slope).abs() <= 1e-6 * slope.abs() + 1e-8 * above.abs(),
                    "{}: {} by {}: {slope} against {numeric}", law.name(), law.formula(), law.params()[i].name);
            }
        }

        #[test]
        fn a_change_of_units_leaves_the_curve((law, params) in laws_and_params(), x in 1e-3..1e3_f64,
            x_unit in 1e-9..1e20_f64, y_unit in 1e-3..1e3_f64) {
            let moved = law.in_units(&params, Unit { x: x_unit, y: y_unit });
            let (here, there) = (y_unit * value(law, x, &params), value(law, x * x_unit, &moved));
            prop_assert!((here / there - 1.0).abs() < 1e-12, "{}: {here} against {there}", law.name());
        }

        #[test]
        fn a_law_falls_but_never_below_its_floor((law, params) in laws_and_params(), x in 1e-3..1e3_f64) {
            let floor = law.params().iter().position(|param| param.role == Role::Floor).map_or(0.0, |at| params[at]);
            prop_assert!(value(law, 2.0 * x, &params) < value(law, x, &params) && floor <= value(law, x, &params));
        }

        #[test]
        fn a_linear_role_is_linear((law, params) in laws_and_params(), x in 1e-3..1e3_f64) {
            let mut gradient = vec![0.0; params.len()];
            let value = law.evaluate(At::new(x), &params, &mut gradient);
            let linear = (0..params.len()).filter(|&i| law.params()[i].role.is_linear());
            let sum: f64 = linear.map(|i| params[i] * gradient[i]).sum();
            prop_assert!((sum / value - 1.0).abs() < 1e-12, "{}", law.name());
        }
    }

    #[test]
    fn every_law_is_found_by_its_name() {
        for law in ALL {
            assert_eq!(named(law.name()).map(Law::formula), Some(law.formula()));
        }
        assert!(named("M2").is_none(), "names are lower case");
    }
}
