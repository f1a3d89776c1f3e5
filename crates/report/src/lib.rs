//! Figures and text tables of a sweep: plain data in; SVG text, PNG bytes or table text out.
//!
//! Nothing here computes: means, fits, bands and smoothing are the caller's. What is decided here
//! is how it looks. Nothing here reads or writes a file either, and no font of the machine is
//! used, so the same input gives the same bytes everywhere.
//!
//! Text in a figure may hold `^{..}`, drawn raised: `10^{9}`.

mod axis;
mod canvas;
mod data_size;
mod frame;
mod legend;
mod loss_curves;
mod mark;
mod number;
mod png;
mod scaling;
mod style;
mod table;

pub use axis::Scale;
pub use data_size::{DataSizeFigure, SizeLine};
pub use loss_curves::{CurveKind, LossCurve, LossFigure, Validation};
pub use mark::{Point, Size};
pub use number::{duration, error, power_of_ten, scientific, si};
pub use png::{PngError, png};
pub use scaling::{CurvePoint, FitCurve, ScalingFigure, Series};
pub use table::{Align, Column, table};

/// Why there is no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DrawError {
    /// Every point is missing, not finite, or not positive on a logarithmic axis.
    #[error("nothing to draw in the {figure} figure: no point is finite and on its axes")]
    Nothing { figure: &'static str },
}
