//! Figures, tables and pages of sweeps and fits: plain data in; SVG text, PNG bytes, CSV, HTML or table
//! text out.
//!
//! Nothing here computes: means, fits, bands and smoothing are the caller's. What is decided here
//! is how it looks. Nothing here reads or writes a file either, and no font of the machine is
//! used, so the same input gives the same bytes everywhere.
//!
//! Text in a figure may hold `^{..}`, drawn raised, and `_{..}`, drawn lowered: `10^{9}`, `N_{opt}`.
//! What Liberation Sans has no letter for, such as the sign of proportionality, is an empty box.

mod attention;
mod axis;
mod backtest;
mod canvas;
mod colour;
mod contour;
mod curve;
mod data;
mod data_size;
mod figure;
mod fit;
mod forest;
mod frame;
mod isoflop;
mod learning_rate;
mod legend;
mod loss_curves;
mod mark;
mod number;
mod optimum;
mod page;
mod plan;
mod png;
mod scaling;
mod style;
mod table;
mod variants;

pub use attention::{AttentionFigure, Course};
pub use axis::Scale;
pub use backtest::{BacktestFigure, BacktestPanel, EstimatorCurve};
pub use contour::{ContourFigure, ContourTrial, NamedLine, Surface};
pub use curve::{CurvePoint, FitCurve};
pub use data::{Data, Datum};
pub use data_size::{DataSizeFigure, SizeLine};
pub use figure::Figure;
pub use fit::{FitFigure, FitGroup, FitPoint, Floor, Prediction, Target};
pub use forest::{ForestFigure, ForestRow, Reference};
pub use isoflop::{IsoFlopFigure, Minimum, Valley};
pub use learning_rate::{RateCurve, RateFigure};
pub use loss_curves::{CurveKind, LossCurve, LossFigure, Validation};
pub use mark::{Point, Size};
pub use number::{duration, error, power_of_ten, scientific, si};
pub use optimum::{Approach, OptimumFigure, OptimumPanel};
pub use page::{Block, Headline, Page, PageFigure, Section};
pub use png::{PngError, png};
pub use scaling::{ScalingFigure, Series};
pub use style::{Look, PaperSize, Theme};
pub use table::{Align, Column, Table, table};
pub use variants::{VariantCurve, VariantsFigure};

/// Why there is no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DrawError {
    /// Every point is missing, not finite, or not positive on a logarithmic axis.
    #[error("nothing to draw in the {figure} figure: no point is finite and on its axes")]
    Nothing { figure: &'static str },
}
