//! How every figure looks: the one place for colours, sizes and widths. Lengths are in px of the
//! SVG, where 800 px are the 170 mm of a two-column figure: 13 px print as 7.8 pt.

use plotters::style::{Color as _, RGBAColor, RGBColor};

/// Width and least height of a figure. A figure grows taller where its legend needs it.
pub(crate) const WIDTH: f64 = 800.0;
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

pub(crate) const INK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);
pub(crate) const SOFT_INK: RGBColor = RGBColor(0x55, 0x55, 0x55);
pub(crate) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
pub(crate) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// Of the frontier: vermilion of Okabe and Ito's palette, which no size's colour comes near.
pub(crate) const FRONTIER: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
pub(crate) const BAND_OPACITY: f64 = 0.16;

pub(crate) const SPINE_WIDTH: f64 = 1.0;
pub(crate) const GRID_WIDTH: f64 = 0.8;
pub(crate) const LINE_WIDTH: f64 = 1.3;
pub(crate) const STRONG_WIDTH: f64 = 2.0;
pub(crate) const THIN_WIDTH: f64 = 0.9;
pub(crate) const MARKER_RADIUS: f64 = 4.2;

/// Viridis (van der Walt and Smith 2015) from 0 to 0.83 in steps of its published table. Its
/// lightness is monotone, so the order survives greyscale and colour blindness; the yellow end
/// is left out because it vanishes on paper.
const VIRIDIS: [(u8, u8, u8); 6] = [
    (0x44, 0x01, 0x54),
    (0x43, 0x3d, 0x84),
    (0x30, 0x68, 0x8e),
    (0x20, 0x90, 0x8c),
    (0x35, 0xb7, 0x79),
    (0x90, 0xd7, 0x43),
];

/// Okabe and Ito's colours (2008), told apart by every kind of colour vision; their yellow is left
/// out because it vanishes on paper, their vermilion because it marks frontiers and targets.
const CATEGORIES: [RGBColor; 5] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// Colour of a kind that has no order; more than five share them in turn.
pub(crate) fn category_colour(index: usize) -> RGBColor {
    CATEGORIES[index % CATEGORIES.len()]
}

/// Dashes that tell kinds apart that share a colour.
pub(crate) fn category_dash(index: usize) -> Dash {
    variant_dash(index / CATEGORIES.len())
}

/// Mixed with paper: for what lies behind.
pub(crate) fn pale(colour: RGBColor) -> RGBColor {
    const SHARE: f64 = 0.38;
    let mix = |ink: u8, paper: u8| {
        (f64::from(paper) + SHARE * (f64::from(ink) - f64::from(paper))).round() as u8
    };
    RGBColor(mix(colour.0, PAPER.0), mix(colour.1, PAPER.1), mix(colour.2, PAPER.2))
}

/// Dark enough to be read in small letters.
pub(crate) fn for_text(colour: RGBColor) -> RGBColor {
    let darker = |channel: u8| (0.75 * f64::from(channel)).round() as u8;
    RGBColor(darker(colour.0), darker(colour.1), darker(colour.2))
}

/// Colour of the size at `rank` of `n` in order of size: the largest is the darkest.
pub(crate) fn size_colour(rank: usize, n: usize) -> RGBColor {
    let from_largest = n.saturating_sub(1).saturating_sub(rank) as f64;
    sequential(from_largest / n.saturating_sub(1).max(1) as f64)
}

/// From the darkest colour at 0 to the palest at 1.
pub(crate) fn sequential(share: f64) -> RGBColor {
    let position = (VIRIDIS.len() - 1) as f64 * share;
    let index = (position as usize).min(VIRIDIS.len() - 2);
    let share = position - index as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (VIRIDIS[index], VIRIDIS[index + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// A line's colour, width and dashes.
#[derive(Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) colour: RGBAColor,
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
    pub(crate) fn solid(colour: RGBColor, width: f64) -> Self {
        Self { colour: colour.to_rgba(), width, dash: Dash::Solid }
    }

    pub(crate) fn dashed(self, dash: Dash) -> Self {
        Self { dash, ..self }
    }

    pub(crate) fn faded(self, opacity: f64) -> Self {
        Self { colour: self.colour.mix(opacity), ..self }
    }
}

/// Dashes of the data-set variant at `index`; more than four share them in turn.
pub(crate) fn variant_dash(index: usize) -> Dash {
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
pub(crate) fn target_stroke() -> Stroke {
    Stroke::solid(FRONTIER, THIN_WIDTH).dashed(Dash::Broken(2.0, 3.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Luma of Rec. 709, 0 to 255.
    fn luma(colour: RGBColor) -> f64 {
        0.2126 * f64::from(colour.0) + 0.7152 * f64::from(colour.1) + 0.0722 * f64::from(colour.2)
    }

    #[test]
    fn every_size_is_darker_than_the_one_below_it_and_none_vanishes_on_paper() {
        for n in 2..12 {
            let lumas: Vec<f64> = (0..n).map(|rank| luma(size_colour(rank, n))).collect();
            assert!(lumas.windows(2).all(|pair| pair[0] > pair[1] + 5.0), "{n}: {lumas:?}");
            assert!(lumas[0] < 200.0);
        }
    }

    #[test]
    fn a_rank_beyond_the_last_takes_the_largest_colour() {
        assert_eq!(size_colour(9, 3), size_colour(2, 3));
        assert_eq!(size_colour(0, 0), size_colour(0, 1));
    }
}
