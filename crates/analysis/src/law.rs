//! What a law is. A new law is a file beside these and a line in [`ALL`]; the fit needs to know no
//! more than this trait tells, and knows no law by name.

mod bnsl;
mod chinchilla;
mod data_constrained;
mod formula;
mod kaplan;
mod m1;
mod m2;
mod m3;
mod m4;
mod sovit;
mod zhai;

use std::fmt::Debug;

use arrayvec::ArrayVec;

pub use bnsl::{BNSL1, BNSL2, Bnsl};
pub use chinchilla::Chinchilla;
pub use data_constrained::DataConstrained;
pub use formula::with_values;
pub use kaplan::Kaplan;
pub use m1::M1;
pub use m2::M2;
pub use m3::M3;
pub use m4::M4;
pub use sovit::Sovit;
pub use zhai::Zhai;

/// Every law that can be fitted, in the order in which help texts list them: one axis, the simplest
/// first, then several.
pub const ALL: &[&dyn Law] =
    &[&M1, &M2, &M3, &M4, &Zhai, &BNSL1, &BNSL2, &Chinchilla, &Kaplan, &DataConstrained, &Sovit];

/// The most axes and parameters that a law may have.
pub const MAX_AXES: usize = 3;
pub const MAX_PARAMS: usize = 9;

/// A value per parameter of a law, on the stack.
pub type Values = ArrayVec<f64, MAX_PARAMS>;

/// A derivative per parameter; what a law with fewer of them leaves alone stays 0.
pub type Row = [f64; MAX_PARAMS];

/// The law called `name` on the command line and in the fit's JSON.
pub fn named(name: &str) -> Option<&'static dyn Law> {
    ALL.iter().copied().find(|law| law.name() == name)
}

/// The laws of one axis, the simplest first.
pub fn of_one_axis() -> impl Iterator<Item = &'static dyn Law> {
    ALL.iter().copied().filter(|law| law.axes() == [Axis::X])
}

/// A functional form y > 0 over one to three positive axes.
pub trait Law: Debug + Sync {
    /// Lower case, without spaces: `zhai`.
    fn name(&self) -> &'static str;

    /// As a reader would write it, with the names of [`Law::params`] and [`Law::axes`]; products
    /// are blanks, powers `^`.
    fn formula(&self) -> &'static str;

    /// Where the form comes from.
    fn source(&self) -> &'static str;

    /// What the law is a function of, in the order of [`At::x`].
    fn axes(&self) -> &'static [Axis] {
        &[Axis::X]
    }

    /// In the order of every slice of values below.
    fn params(&self) -> &'static [Param];

    /// y at `at`; its derivatives by the parameters go into `gradient`.
    fn evaluate(&self, at: &At, params: &[f64], gradient: &mut [f64]) -> f64;

    /// [`Law::evaluate`] at many places, a row of `gradients` each. Every law gets a loop of its own,
    /// into which its formula is inlined.
    fn evaluate_all(&self, at: &[At], params: &[f64], values: &mut [f64], gradients: &mut [Row]) {
        for ((at, value), row) in at.iter().zip(values).zip(gradients) {
            *value = self.evaluate(at, params, row);
        }
    }

    /// Dimensionless quantities that follow from the parameters.
    fn derived(&self) -> &'static [Derived] {
        &[]
    }

    /// The parameters of the same curve in the caller's units, where `params` describe it with the
    /// axes measured in `unit.x` and y in `unit.y`.
    fn in_units(&self, params: &[f64], unit: &Unit) -> Values;
}

/// What a law is a function of; by these names on the command line and in the fit's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// The axis of one-axis laws, as a rule compute or examples seen.
    X,
    /// Parameters of the model, N.
    N,
    /// Examples (or tokens) seen, D.
    D,
    /// Unique examples among them, U.
    Unique,
}

impl Axis {
    pub fn name(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::N => "n",
            Self::D => "d",
            Self::Unique => "unique",
        }
    }

    /// As formulas write it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::N => "N",
            Self::D => "D",
            Self::Unique => "U",
        }
    }

    /// Whether more of it is more compute: by the product of these axes points are put in order, and
    /// the largest are held out.
    pub fn is_scale(self) -> bool {
        match self {
            Self::X | Self::N | Self::D => true,
            Self::Unique => false,
        }
    }
}

/// A value on each of a law's axes; 1 on those that it does not have.
pub type Xs = [f64; MAX_AXES];

/// Position on the axes. Logarithms are taken once per point, not once per evaluation.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub x: Xs,
    pub ln_x: Xs,
}

impl At {
    pub fn new(x: Xs) -> Self {
        Self { x, ln_x: x.map(f64::ln) }
    }

    /// For laws of one axis.
    pub fn x(x: f64) -> Self {
        Self::new([x, 1.0, 1.0])
    }
}

/// What one internal unit of each axis and of y is worth in the caller's units.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    pub x: Xs,
    pub y: f64,
}

/// One parameter. The role says all that the search must know of it: see [`Role`].
#[derive(Debug)]
pub struct Param {
    pub name: &'static str,
    pub role: Role,
    /// Whether it is one of those in which y is a linear combination at fixed others. Then the
    /// derivative by it is the basis function that it multiplies, and starts are solved for, not drawn.
    pub is_linear: bool,
}

impl Param {
    pub const fn linear(name: &'static str, role: Role) -> Self {
        Self { name, role, is_linear: true }
    }

    pub const fn new(name: &'static str, role: Role) -> Self {
        Self { name, role, is_linear: false }
    }
}

/// See [`Law::derived`].
#[derive(Debug)]
pub struct Derived {
    pub name: &'static str,
    pub of: fn(&[f64]) -> f64,
}

/// What a parameter does, and by that its bounds, the scale on which it is searched, and where
/// searches start. Ranges of places on an axis are relative to the data's on that axis.
///
/// | role | range | searched in | starts |
/// |---|---|---|---|
/// | coefficient | positive | its logarithm | e^-5 to e^5 around the data's median |
/// | amount | 0 and above | itself | none: only linear parameters have this role |
/// | floor | 0 to the largest y | itself | 0 to the smallest y |
/// | ceiling | 1.0001 to 1000 times the largest y | ln(y0 / largest y - 1) | 1.01 to 10 times the largest |
/// | exponent | .001 to 5 | itself | .03 to 3, evenly in the logarithm |
/// | bend | 0.01 to 10 | its logarithm | .1 to 3, evenly in the logarithm |
/// | turn | -2 to 5 | itself | -.1 to 1 |
/// | sharpness | .01 to 5 | its logarithm | .05 to 2, evenly in the logarithm |
/// | shift | 0 to 10 times the largest | ln(1 + shift / smallest) | a tenth of the smallest to the largest, evenly in the logarithm |
/// | inverse shift | 0 to 10 over the smallest | ln(1 + shift times the largest) | a tenth over the largest to one over the smallest |
/// | place | a tenth of the smallest to ten times the largest | its logarithm | the smallest to the largest |
/// | scale | e^-60 to e^60 medians | its logarithm | e^-7 to e^7 medians |
/// | repeats | .01 to 10,000 | its logarithm | .5 to 100, evenly in the logarithm |
///
/// The coefficient of a steep law in units of single FLOPs is the one number here that can
/// overflow; the exponent's upper bound keeps it below 1e250 for any x below 1e24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A positive factor.
    Coefficient,
    /// A factor that may vanish.
    Amount,
    /// y at infinite scale, in the unit of y.
    Floor,
    /// y at no scale at all, in the unit of y.
    Ceiling,
    /// Dimensionless: the same in any unit of x.
    Exponent,
    /// How a sigmoid leaves its ceiling; dimensionless.
    Bend,
    /// By how much an exponent changes at a break; it may change its sign.
    Turn,
    /// Width of a break in ln x.
    Sharpness,
    /// In the unit of that axis.
    Shift(usize),
    /// In one over the unit of that axis.
    InverseShift(usize),
    /// A position on that axis among the data: a break.
    Place(usize),
    /// A position on that axis that may be far from the data.
    Scale(usize),
    /// A number of epochs.
    Repeats,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values in the range that the law's roles allow, for axes around 1 and y around 1.
    fn some_law() -> impl Strategy<Value = (&'static dyn Law, Values)> {
        (0..ALL.len(), prop::collection::vec(0.05..0.95_f64, MAX_PARAMS)).prop_map(
            |(at, shares)| {
                let value = |(param, share): (&Param, f64)| match param.role {
                    Role::Ceiling => 3.0 + share,
                    Role::Floor => 0.4 * share,
                    Role::Coefficient | Role::Amount | Role::Exponent | Role::Bend | Role::Turn => {
                        share + 0.05
                    }
                    Role::Sharpness | Role::Shift(_) | Role::InverseShift(_) => share + 0.05,
                    Role::Place(_) | Role::Scale(_) | Role::Repeats => share + 0.05,
                };
                (ALL[at], ALL[at].params().iter().zip(shares).map(value).collect())
            },
        )
    }

    fn position() -> impl Strategy<Value = Xs> {
        prop::array::uniform3(-5.0..5.0_f64).prop_map(|ln| ln.map(f64::exp))
    }

    fn value(law: &dyn Law, x: Xs, params: &[f64]) -> f64 {
        law.evaluate(&At::new(x), params, &mut vec![0.0; params.len()])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_gradient_is_the_slope_of_the_value((law, params) in some_law(), x in position()) {
            let mut gradient = vec![0.0; params.len()];
            let here = law.evaluate(&At::new(x), &params, &mut gradient);
            for (i, slope) in gradient.iter().enumerate() {
                let step = |share: f64| {
                    let mut there = params.clone();
                    there[i] *= 1.0 + share;
                    value(law, x, &there)
                };
                // Fourth-order differences: the rounding of the value is what is left.
                let h = 1e-3;
                let numeric = (8.0 * (step(h) - step(-h)) - step(2.0 * h) + step(-2.0 * h)) / (12.0 * h * params[i]);
                // Where N passes what the unique examples can use, the slope jumps: the derivative by RN is
                // nought on one side.
                let is_within = |share: f64| {
                    let (mut there, mut by) = (params.clone(), [0.0; MAX_PARAMS]);
                    there[i] *= 1.0 + share;
                    law.evaluate(&At::new(x), &there, &mut by);
                    by[5] == 0.0
                };
                let corner = law.name() == "data-constrained" && is_within(2.0 * h) != is_within(-2.0 * h);
                prop_assert!(corner || (numeric - slope).abs() <= 1e-6 * slope.abs() + 1e-8 * here / params[i],
                    "{}: {} by {}: {slope} against {numeric}", law.name(), law.formula(), law.params()[i].name);
            }
        }

        #[test]
        fn a_change_of_units_leaves_the_curve((law, params) in some_law(), x in position(),
            unit in prop::array::uniform3(-9.0..20.0_f64), y in 1e-3..1e3_f64) {
            let unit = Unit { x: unit.map(|power| 10_f64.powf(power)), y };
            // Unique examples and examples are one quantity, and have one unit.
            let unit = Unit { x: [unit.x[0], unit.x[1], unit.x[1]], ..unit };
            let moved = law.in_units(&params, &unit);
            let there = [0, 1, 2].map(|axis| x[axis] * unit.x[axis]);
            let (here, there) = (y * value(law, x, &params), value(law, there, &moved));
            prop_assert!((here / there - 1.0).abs() < 1e-10, "{}: {here} against {there}", law.name());
        }

        #[test]
        fn a_law_never_falls_below_its_floor((law, params) in some_law(), x in position()) {
            let floor = law.params().iter().position(|param| param.role == Role::Floor).map_or(0.0, |at| params[at]);
            let y = value(law, x, &params);
            prop_assert!(y > 0.0 && floor <= y, "{}: {y} below {floor}", law.name());
        }

        #[test]
        fn a_linear_parameter_is_linear((law, params) in some_law(), x in position()) {
            let linear: Vec<_> = (0..params.len()).filter(|&i| law.params()[i].is_linear).collect();
            prop_assume!(!linear.is_empty());
            let mut gradient = vec![0.0; params.len()];
            let value = law.evaluate(&At::new(x), &params, &mut gradient);
            let sum: f64 = linear.iter().map(|&i| params[i] * gradient[i]).sum();
            prop_assert!((sum / value - 1.0).abs() < 1e-12, "{}", law.name());
        }
    }

    #[test]
    fn laws_have_names_of_their_own_and_formulas_that_hold_all_their_symbols() {
        for (at, law) in ALL.iter().enumerate() {
            assert_eq!(ALL.iter().position(|other| other.name() == law.name()), Some(at));
            let params = law.params().iter().map(|param| param.name);
            for symbol in params.chain(law.axes().iter().map(|axis| axis.symbol())) {
                assert!(
                    formula::symbols(law.formula()).any(|word| word == symbol),
                    "{symbol} in {}",
                    law.formula()
                );
            }
            assert!(law.params().len() <= MAX_PARAMS && law.axes().len() <= MAX_AXES);
        }
    }
}
