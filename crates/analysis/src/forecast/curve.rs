//! Four curves, in coordinates that mean the same in all of them and carry no unit: ln y as a function
//! of u = ln(x / largest x measured).

/// But for the product, f(u) = L + ln(phi + (1 - phi) exp g(u)), where phi is the floor's share of y at
/// the largest x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// A power law: g = -c u, no floor. M1.
    Power,
    /// A power law above a floor. M2.
    Floor,
    /// A power law that levels off as a product: f(u) = L + c (ln(exp(-u) + k) - ln(1 + k)). M3.
    Product,
    /// Flat, then a power law, then a floor: g = -c w (softplus((u - d) / w) - softplus(-d / w)). BNSL with
    /// one break and no slope before it.
    Plateau,
}

/// What is believed of a coordinate before any point is seen: a normal distribution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    pub mean: f64,
    pub sd: f64,
}

/// L relative to the last ln y: in effect unknown. ln c: exponents around a half, within a factor of e.
/// The logit of phi: the floor is anything from a quarter to three quarters of the last y; of the
/// product, ln k: it levels off around the last x. d: the plateau ends some e-folds before the last
/// point. ln w: over about one e-fold.
const BELIEFS: [Belief; MAX_COORDINATES] = [
    Belief { mean: 0.0, sd: 10.0 },
    Belief { mean: -std::f64::consts::LN_2, sd: 1.0 },
    Belief { mean: 0.0, sd: 1.0 },
    Belief { mean: -3.0, sd: 2.0 },
    Belief { mean: 0.0, sd: 1.0 },
];

pub(super) const MAX_COORDINATES: usize = 5;

impl Curve {
    pub(super) fn beliefs(self) -> &'static [Belief] {
        match self {
            Self::Power => &BELIEFS[..2],
            Self::Floor | Self::Product => &BELIEFS[..3],
            Self::Plateau => &BELIEFS,
        }
    }

    /// The exponent c and the floor's share of y at the largest x.
    pub(super) fn exponent_and_floor_share(self, at: &[f64]) -> (f64, f64) {
        match self {
            Self::Power => (at[1].exp(), 0.0),
            Self::Product => (at[1].exp(), sigmoid(at[2]).powf(at[1].exp())),
            Self::Floor | Self::Plateau => (at[1].exp(), sigmoid(at[2])),
        }
    }

    /// ln y at u; the derivatives by the coordinates go into `gradient`.
    pub(super) fn evaluate(self, at: &[f64], u: f64, gradient: &mut [f64]) -> f64 {
        let c = at[1].exp();
        gradient[0] = 1.0;
        let g = match self {
            Self::Power | Self::Floor => -c * u,
            Self::Product => {
                // ln(exp(-u) + k) is ln k + softplus(-u - ln k).
                let ln_k = at[2];
                gradient[2] = c * (sigmoid(u + ln_k) - sigmoid(ln_k));
                c * (softplus(-u - ln_k) - softplus(-ln_k))
            }
            Self::Plateau => {
                let w = at[4].exp();
                let (z, z0) = ((u - at[3]) / w, -at[3] / w);
                let area = |z: f64| softplus(z) - z * sigmoid(z);
                gradient[3] = c * (sigmoid(z) - sigmoid(z0));
                gradient[4] = -c * w * (area(z) - area(z0));
                -c * w * (softplus(z) - softplus(z0))
            }
        };
        gradient[1] = g;
        match self {
            Self::Power | Self::Product => at[0] + g,
            Self::Floor | Self::Plateau => at[0] + above_floor(at[2], g, gradient),
        }
    }
}

/// ln(phi + (1 - phi) exp g); scales the derivatives of g in `gradient` to those of it.
fn above_floor(logit: f64, g: f64, gradient: &mut [f64]) -> f64 {
    // Of y at this place what is not the floor's, of which the share is sigmoid(logit - g).
    let falling = sigmoid(g - logit);
    gradient[1..].iter_mut().for_each(|by| *by *= falling);
    gradient[2] = sigmoid(logit - g) - sigmoid(logit);
    softplus(g - logit) - softplus(-logit)
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_gradient_is_the_slope(at in prop::array::uniform5(-2.0..1.0_f64), u in -8.0..3.0_f64) {
            for curve in [Curve::Power, Curve::Floor, Curve::Product, Curve::Plateau] {
                let n = curve.beliefs().len();
                let (mut gradient, mut none) = ([0.0; MAX_COORDINATES], [0.0; MAX_COORDINATES]);
                curve.evaluate(&at, u, &mut gradient);
                for i in 0..n {
                    let mut step = |h: f64| {
                        let mut there = at;
                        there[i] += h;
                        curve.evaluate(&there, u, &mut none)
                    };
                    let numeric = (step(1e-5) - step(-1e-5)) / 2e-5;
                    prop_assert!((numeric - gradient[i]).abs() < 1e-7 * (1.0 + numeric.abs()), "{curve:?} {i}");
                }
            }
        }

        #[test]
        fn at_the_last_point_every_curve_is_at_its_level(at in prop::array::uniform5(-2.0..1.0_f64)) {
            for curve in [Curve::Power, Curve::Floor, Curve::Product, Curve::Plateau] {
                let level = curve.evaluate(&at, 0.0, &mut [0.0; MAX_COORDINATES]);
                prop_assert!((level - at[0]).abs() < 1e-12);
            }
        }
    }
}
