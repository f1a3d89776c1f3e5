//! What a residual costs.

/// A Huber term of a residual r = ln y - ln yhat (Huber 1964), lighter for points above the curve
/// where those are the ones to mistrust.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Where the term turns from r^2 / 2 to a line, in ln y; infinite for least squares.
    pub delta: f64,
    /// Weight of points above the curve, in (0, 1]: under-tuned trials err on one side, and a curve
    /// that is to be what good tuning reaches lies below them. 1 is the symmetric loss.
    pub above: f64,
}

impl Default for Loss {
    /// The delta of Chinchilla, arXiv 2203.15556, equation 3: nearly the absolute residual.
    fn default() -> Self {
        Self { delta: 1e-3, above: 1.0 }
    }
}

/// A residual of a tenth is large in any unit of y.
const LARGE_RESIDUAL: f64 = 0.1;

impl Loss {
    pub fn squares() -> Self {
        Self { delta: f64::INFINITY, above: 1.0 }
    }

    /// As the fit's JSON calls it.
    pub fn kind(self) -> &'static str {
        match (self.delta.is_finite(), self.above == 1.0) {
            (true, true) => "huber-log-sum",
            (false, true) => "squares-log-sum",
            (true, false) => "asymmetric-huber-log-sum",
            (false, false) => "asymmetric-squares-log-sum",
        }
    }

    #[inline]
    pub(crate) fn value(self, residual: f64) -> f64 {
        let size = residual.abs();
        let term = if size <= self.delta {
            0.5 * size * size
        } else {
            self.delta * (size - 0.5 * self.delta)
        };
        self.side(residual) * term
    }

    /// d value / d residual.
    #[inline]
    pub(crate) fn slope(self, residual: f64) -> f64 {
        self.side(residual) * residual.clamp(-self.delta, self.delta)
    }

    /// Of the parabola that touches the term from above.
    #[inline]
    pub(crate) fn curvature(self, residual: f64) -> f64 {
        self.side(residual) * (self.delta / residual.abs()).min(1.0)
    }

    /// The slope of a point that is far off.
    pub(crate) fn scale(self) -> f64 {
        self.delta.min(LARGE_RESIDUAL)
    }

    #[inline]
    fn side(self, residual: f64) -> f64 {
        if residual > 0.0 { self.above } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huber_is_a_square_then_a_line_and_smooth_between() {
        let loss = Loss { delta: 1.0, above: 1.0 };
        assert_eq!(loss.value(0.5), 0.125);
        assert_eq!(loss.value(-3.0), 2.5);
        assert!((loss.value(1.0 + 1e-9) - loss.value(1.0) - 1e-9).abs() < 1e-15);
        assert_eq!(Loss::squares().value(-3.0), 4.5);
    }

    #[test]
    fn a_point_above_the_curve_may_weigh_less() {
        let loss = Loss { delta: 1.0, above: 0.25 };
        assert_eq!((loss.value(0.5), loss.value(-0.5)), (0.25 * 0.125, 0.125));
        assert_eq!((loss.slope(3.0), loss.slope(-3.0)), (0.25, -1.0));
    }
}
