//! Lines, shapes and text in fractions of a px, on plotters' SVG backend.
//!
//! The backend counts whole pixels, which would make curves jagged, so a canvas is [`UNITS`] times
//! finer than the figure and the SVG's `viewBox` scales it down. Exponents and indices are drawn as
//! smaller text, raised or lowered: few fonts have every superscript.

use std::sync::LazyLock;

use plotters::backend::SVGBackend;
use plotters::element::{DashedPathElement, Drawable};
use plotters::prelude::{DrawingBackend, IntoFont};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, ShapeStyle, TextStyle, register_font};

use crate::style::{Colour, Dash, FONT, FONT_FAMILY, PAPER, Stroke, Theme};

/// Backend pixels in one px of the figure.
const UNITS: f64 = 10.0;
/// The backend writes a font size of `size / 1.24` (plotters-svg 0.3.7, `draw_text`).
const SVG_FONT_RATIO: f64 = 1.24;
/// ab_glyph's size is ascent minus descent, for this font (1854 + 434) / 2048 of an em.
const FONT_HEIGHT: f64 = 2288.0 / 2048.0;
/// Font size of an exponent or index, the rise of the one and the drop of the other, over the font
/// size of their base.
const SHIFTED_SIZE: f64 = 0.72;
const EXPONENT_RISE: f64 = 0.38;
const INDEX_DROP: f64 = 0.2;
const DRAWN: &str = "writing into a string cannot fail";

/// Makes the embedded font known to plotters, once.
static FONT_READY: LazyLock<()> = LazyLock::new(|| {
    let registered = register_font(FONT_FAMILY, FontStyle::Normal, FONT);
    assert!(registered.is_ok(), "the embedded font is a valid font file");
});

/// A position in the backend's whole pixels.
type BackendCoord = (i32, i32);

/// A position in px: right, down.
pub(crate) type Spot = (f64, f64);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Left,
    Centre,
    Right,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    Across,
    /// Read from bottom to top.
    Up,
}

/// How a piece of text is set; its position is at half the height of a small letter.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) colour: Colour,
    pub(crate) anchor: Anchor,
    pub(crate) direction: Direction,
}

pub(crate) struct Canvas<'a> {
    backend: SVGBackend<'a>,
    theme: Theme,
}

/// An SVG of `width` x `height` px with what `paint` draws on it.
pub(crate) fn draw(
    theme: Theme,
    (width, height): (f64, f64),
    title: &str,
    paint: impl FnOnce(&mut Canvas),
) -> String {
    let size = (units(width).unsigned_abs(), units(height).unsigned_abs());
    let mut svg = String::new();
    let mut canvas = Canvas { backend: SVGBackend::with_string(&mut svg, size), theme };
    canvas.fill(&[(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)], PAPER, 1.0);
    paint(&mut canvas);
    canvas.backend.present().expect(DRAWN);
    drop(canvas);
    with_own_header(&svg, width, height, title)
}

/// Replaces the backend's `<svg ..>`: the size in px, round joins (noisy curves would spike with
/// mitred ones), and a title for those who cannot see the figure.
fn with_own_header(svg: &str, width: f64, height: f64, title: &str) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let (view_width, view_height) = (units(width), units(height));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {view_width} {view_height}\" role=\"img\" stroke-linejoin=\"round\">\n\
         <title>{}</title>{body}",
        escaped(&plain(title))
    )
}

/// XML text: the three characters that mean something there, and none of the control characters
/// that XML forbids.
fn escaped(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !c.is_control()).collect();
    visible.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Canvas<'_> {
    pub(crate) fn line(&mut self, spots: &[Spot], stroke: Stroke) {
        if spots.len() < 2 || stroke.width == 0.0 {
            return;
        }
        let style = self.shape(stroke);
        let path: Vec<BackendCoord> = spots.iter().copied().map(coord).collect();
        match stroke.dash {
            Dash::Solid => self.backend.draw_path(path, &style).expect(DRAWN),
            Dash::Broken(dash, gap) => {
                let size = self.backend.get_size();
                DashedPathElement::new(path.clone(), units(dash), units(gap), style)
                    .draw(path.into_iter(), &mut self.backend, size)
                    .expect(DRAWN);
            }
        }
    }

    pub(crate) fn fill(&mut self, outline: &[Spot], colour: Colour, opacity: f64) {
        let style = self.filled(colour, opacity);
        let path: Vec<BackendCoord> = outline.iter().copied().map(coord).collect();
        self.backend.fill_polygon(path, &style).expect(DRAWN);
    }

    /// A filled shape with an outline; `spots` without the closing one.
    pub(crate) fn outlined(&mut self, spots: &[Spot], fill: Colour, outline: Stroke) {
        self.fill(spots, fill, 1.0);
        let closed: Vec<Spot> = spots.iter().chain(spots.first()).copied().collect();
        self.line(&closed, outline);
    }

    pub(crate) fn disc(&mut self, centre: Spot, radius: f64, fill: Colour, outline: Stroke) {
        let radius = units(radius).unsigned_abs();
        let filled = self.filled(fill, 1.0);
        self.backend.draw_circle(coord(centre), radius, &filled, true).expect(DRAWN);
        if outline.width > 0.0 {
            let outline = self.shape(outline);
            self.backend.draw_circle(coord(centre), radius, &outline, false).expect(DRAWN);
        }
    }

    /// Draws one line of text, with its `^{..}` raised and its `_{..}` lowered.
    pub(crate) fn text(&mut self, text: &str, at: Spot, how: Type) {
        let parts = stretches(text);
        if let [stretch] = parts.as_slice() {
            return self.stretch(stretch, at, how, how.anchor);
        }
        let width = text_width(text, how.size);
        let mut along = match how.anchor {
            Anchor::Left => 0.0,
            Anchor::Centre => -0.5 * width,
            Anchor::Right => -width,
        };
        for stretch in parts {
            let raised = stretch.level.rise() * how.size;
            let spot = match how.direction {
                Direction::Across => (at.0 + along, at.1 - raised),
                Direction::Up => (at.0 - raised, at.1 - along),
            };
            self.stretch(&stretch, spot, how, Anchor::Left);
            along += stretch.width(how.size);
        }
    }

    fn stretch(&mut self, stretch: &Stretch, at: Spot, how: Type, anchor: Anchor) {
        if stretch.text.is_empty() {
            return;
        }
        let h_pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let transform = match how.direction {
            Direction::Across => FontTransform::None,
            Direction::Up => FontTransform::Rotate270,
        };
        let size = stretch.size(how.size) * SVG_FONT_RATIO * UNITS;
        let font = (FONT_FAMILY, size).into_font().transform(transform);
        let colour = self.theme.rgb(how.colour);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(h_pos, VPos::Center));
        let visible: String = stretch.text.chars().filter(|c| !c.is_control()).collect();
        let visible = with_firm_ends(&visible);
        self.backend.draw_text(&visible, &style, coord(at)).expect(DRAWN);
    }

    fn shape(&self, stroke: Stroke) -> ShapeStyle {
        let color = self.theme.rgb(stroke.colour).mix(stroke.opacity);
        ShapeStyle { color, filled: false, stroke_width: units(stroke.width).unsigned_abs() }
    }

    fn filled(&self, colour: Colour, opacity: f64) -> ShapeStyle {
        ShapeStyle { color: self.theme.rgb(colour).mix(opacity), filled: true, stroke_width: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Level {
    Base,
    Raised,
    Lowered,
}

impl Level {
    /// Over the font size.
    fn rise(self) -> f64 {
        match self {
            Self::Base => 0.0,
            Self::Raised => EXPONENT_RISE,
            Self::Lowered => -INDEX_DROP,
        }
    }

    /// How plain text marks it.
    fn mark(self) -> &'static str {
        match self {
            Self::Base => "",
            Self::Raised => "^",
            Self::Lowered => "_",
        }
    }
}

/// A stretch of text at one height.
pub(crate) struct Stretch<'a> {
    pub(crate) text: &'a str,
    pub(crate) level: Level,
}

impl Stretch<'_> {
    fn size(&self, base: f64) -> f64 {
        if self.level == Level::Base { base } else { SHIFTED_SIZE * base }
    }

    fn width(&self, base: f64) -> f64 {
        // Measured large, since the answer is in whole pixels.
        const MEASURED: f64 = 1000.0;
        LazyLock::force(&FONT_READY);
        let font = (FONT_FAMILY, MEASURED * FONT_HEIGHT).into_font();
        let (width, _) = font.box_size(self.text).expect("the font is embedded and registered");
        f64::from(width) / MEASURED * self.size(base)
    }
}

/// SVG drops spaces at the ends of a text; beside a raised part they stand between words.
fn with_firm_ends(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let (before, after) = text.split_once(inner).unwrap_or_default();
    let firm = |spaces: &str| "\u{a0}".repeat(spaces.len());
    format!("{}{inner}{}", firm(before), firm(after))
}

/// Splits at `^{..}` and `_{..}`; an opening without its end is text like any other.
pub(crate) fn stretches(text: &str) -> Vec<Stretch<'_>> {
    let mut rest = text;
    let mut found = Vec::new();
    while let Some((before, level, after)) = next_shift(rest)
        && let Some((shifted, tail)) = after.split_once('}')
    {
        found.push(Stretch { text: before, level: Level::Base });
        found.push(Stretch { text: shifted, level });
        rest = tail;
    }
    if !rest.is_empty() || found.is_empty() {
        found.push(Stretch { text: rest, level: Level::Base });
    }
    found
}

/// What is before the first opening, what that opens, and what is after it.
fn next_shift(text: &str) -> Option<(&str, Level, &str)> {
    let openings = [("^{", Level::Raised), ("_{", Level::Lowered)];
    let found = openings.into_iter().filter_map(|(opening, level)| {
        text.split_once(opening).map(|(before, after)| (before, level, after))
    });
    found.min_by_key(|(before, ..)| before.len())
}

/// The text without its markup: `10^{9}` is `10^9`.
pub(crate) fn plain(text: &str) -> String {
    stretches(text).iter().flat_map(|stretch| [stretch.level.mark(), stretch.text]).collect()
}

/// Width of one line of text in px.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    stretches(text).iter().map(|stretch| stretch.width(size)).sum()
}

/// The text, or as much of its beginning as `width` px hold, with an ellipsis.
pub(crate) fn shortened(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let lengths = text.char_indices().map(|(at, _)| at).rev();
    let mut shorter = lengths.map(|at| format!("{}…", text[..at].trim_end()));
    shorter.find(|shorter| text_width(shorter, size) <= width).unwrap_or_default()
}

/// Lines no wider than `width` px: broken at spaces, and inside a word only where the word alone
/// is wider.
pub(crate) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("starts with one line");
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || text_width(&longer, size) <= width {
            *line = longer;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.into_iter().flat_map(|line| hard_wrap(line, size, width)).collect()
}

fn hard_wrap(line: String, size: f64, width: f64) -> Vec<String> {
    if text_width(&line, size) <= width {
        return vec![line];
    }
    let mut pieces = vec![String::new()];
    for c in line.chars() {
        let piece = pieces.last_mut().expect("starts with one piece");
        if !piece.is_empty() && text_width(&format!("{piece}{c}"), size) > width {
            pieces.push(c.to_string());
        } else {
            piece.push(c);
        }
    }
    pieces
}

fn units(px: f64) -> i32 {
    (px * UNITS).round() as i32
}

fn coord(spot: Spot) -> BackendCoord {
    (units(spot.0), units(spot.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_and_indices_are_split_off_and_an_open_brace_is_text() {
        use Level::{Base, Lowered, Raised};
        let of =
            |text| stretches(text).iter().map(|s| (s.text.to_owned(), s.level)).collect::<Vec<_>>();
        let pair = |text: &str, level| (text.to_owned(), level);
        assert_eq!(of("10^{9} FLOPs"), [pair("10", Base), pair("9", Raised), pair(" FLOPs", Base)]);
        let both = [pair("N", Base), pair("opt", Lowered), pair(" ∝ C", Base), pair("a", Raised)];
        assert_eq!(of("N_{opt} ∝ C^{a}"), both);
        assert_eq!(of("a^{b"), [pair("a^{b", Base)]);
        assert_eq!(of("val_error"), [pair("val_error", Base)]);
        assert_eq!(of(""), [pair("", Base)]);
        assert_eq!(plain("N_{opt} 10^{9}"), "N_opt 10^9");
    }

    /// Arial's advance widths: digits 1139 / 2048 em, "M" 1706 / 2048.
    #[test]
    fn text_is_measured_in_the_metrics_of_arial() {
        assert!((text_width("1234", 10.0) - 40.0 * 1139.0 / 2048.0).abs() < 0.05);
        assert!((text_width("M", 10.0) - 10.0 * 1706.0 / 2048.0).abs() < 0.05);
        assert!(text_width("10^{9}", 10.0) < text_width("109", 10.0));
    }

    #[test]
    fn a_shortened_text_is_its_beginning_within_the_width() {
        assert_eq!(shortened("bird", 10.0, 50.0), "bird");
        let short = shortened("one two three four", 10.0, 50.0);
        assert!(short.starts_with("one two") && short.ends_with('…'), "{short}");
        assert!(text_width(&short, 10.0) <= 50.0);
        assert_eq!(shortened("wide", 10.0, 1.0), "");
    }

    #[test]
    fn wrapped_lines_are_within_the_width_and_keep_every_word() {
        for text in ["one two three four five", "unbreakableunbreakable two", ""] {
            let lines = wrap(text, 10.0, 50.0);
            assert!(lines.iter().all(|line| text_width(line, 10.0) <= 50.0), "{lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
