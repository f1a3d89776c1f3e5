//! How every figure looks: the one place for sizes, widths and dashes, and with `colour` for all that is
//! a matter of taste. Lengths are in px of the SVG, where 800 px are the 170 mm of a figure over two
//! columns of a paper: 13 px print as 7.8 pt.

pub use crate::colour::Theme;
pub(crate) use crate::colour::{
    Colour, FRONTIER, GRID, INK, N_CATEGORIES, PAPER, SOFT_INK, category_colour, sequential,
    size_colour,
};

/// How a figure is to look; the default is for screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub theme: Theme,
    pub size: PaperSize,
    /// In a paper the caption says what a title would.
    pub is_untitled: bool,
}

/// How wide a figure is. Letters and lines are the same at either width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaperSize {
    /// 170 mm, over both columns of a paper; the legend is beside the plot.
    #[default]
    Page,
    /// 85 mm, one column of a paper, or a phone; the legend is below the plot.
    Column,
}

impl PaperSize {
    /// Px.
    pub(crate) const fn width(self) -> f64 {
        match self {
            Self::Page => 800.0,
            Self::Column => 400.0,
        }
    }

    /// Of a figure that is `on_page` px high over two columns. A figure grows taller where its legend
    /// needs it.
    pub(crate) const fn height(self, on_page: f64) -> f64 {
        match self {
            Self::Page => on_page,
            Self::Column => 0.64 * on_page,
        }
    }
}

/// Least height of a figure of one plot.
pub(crate) const HEIGHT: f64 = 520.0;
/// PNG pixels for one px: 1600 px on 170 mm are 239 dots an inch.
pub(crate) const PNG_SCALE: f32 = 2.0;

/// Liberation Sans is embedded. It has the metrics of Arial and Helvetica, so where an SVG viewer
/// has only those, the text takes the same room.
pub(crate) const FONT_FAMILY: &str = "Liberation Sans, Arial, Helvetica, sans-serif";
pub(crate) const FONT: &[u8] = include_bytes!("../assets/LiberationSans-Regular.ttf");

pub(crate) const TITLE_SIZE: f64 = 15.0;
pub(crate) const LABEL_SIZE: f64 = 14.0;
pub(crate) const TICK_SIZE: f64 = 13.0;
pub(crate) const LEGEND_SIZE: f64 = 13.0;
/// Inside small panels and beside lines: 6.6 pt in print.
pub(crate) const SMALL_SIZE: f64 = 11.0;
/// Height of a line of text over its font size.
pub(crate) const LEADING: f64 = 1.4;

pub(crate) const BAND_OPACITY: f64 = 0.16;

pub(crate) const SPINE_WIDTH: f64 = 1.0;
pub(crate) const GRID_WIDTH: f64 = 0.8;
pub(crate) const LINE_WIDTH: f64 = 1.3;
pub(crate) const STRONG_WIDTH: f64 = 2.0;
pub(crate) const THIN_WIDTH: f64 = 0.9;
pub(crate) const MARKER_RADIUS: f64 = 4.2;

/// Dashes that tell kinds apart that share a colour.
pub(crate) fn category_dash(index: usize) -> Dash {
    variant_dash(index / N_CATEGORIES)
}

/// A line's colour, width and dashes.
#[derive(Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) colour: Colour,
    pub(crate) opacity: f64,
    pub(crate) width: f64,
    pub(crate) dash: Dash,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Dash {
    Solid,
    /// Length of a dash and of the gap after it.
    Broken(f64, f64),
}

impl Stroke {
    pub(crate) const fn solid(colour: Colour, width: f64) -> Self {
        Self { colour, opacity: 1.0, width, dash: Dash::Solid }
    }

    pub(crate) const fn dashed(self, dash: Dash) -> Self {
        Self { dash, ..self }
    }

    pub(crate) const fn faded(self, opacity: f64) -> Self {
        Self { opacity: self.opacity * opacity, ..self }
    }
}

/// Dashes of the data-set variant at `index`; more than four share them in turn.
pub(crate) const fn variant_dash(index: usize) -> Dash {
    match index % 4 {
        0 => Dash::Solid,
        1 => Dash::Broken(5.0, 3.5),
        2 => Dash::Broken(1.5, 2.5),
        _ => Dash::Broken(9.0, 4.0),
    }
}

/// Of a fit beyond the last measured point.
pub(crate) const EXTRAPOLATED: Dash = Dash::Broken(7.0, 5.0);

/// Of the upright line at a scale of interest.
pub(crate) const fn target_stroke() -> Stroke {
    Stroke::solid(FRONTIER, THIN_WIDTH).dashed(Dash::Broken(2.0, 3.0))
}
