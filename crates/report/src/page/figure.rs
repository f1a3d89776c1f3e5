//! A figure within a page: wide for screens and paper, narrow for phones, and repainted in the dark.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};

use super::text::rich;
use crate::style::FONT;
use crate::{DrawError, Figure, Look, PaperSize, Theme};

/// A drawn figure with its caption.
#[derive(Clone, Debug)]
pub struct PageFigure {
    /// In bold before the caption.
    name: String,
    caption: String,
    wide: String,
    narrow: String,
    dark: Repaint,
}

/// An SVG attribute and its colour, and the colour in the dark.
type Repaint = BTreeMap<(&'static str, String), String>;

impl PageFigure {
    /// # Errors
    /// There is nothing to draw.
    pub fn new(
        figure: &dyn Figure,
        name: impl Into<String>,
        caption: impl Into<String>,
    ) -> Result<Self, DrawError> {
        let draw = |theme, size| figure.draw(Look { theme, size, is_untitled: true });
        let wide = draw(Theme::Light, PaperSize::Page)?;
        let narrow = draw(Theme::Light, PaperSize::Column)?;
        // Colours are all that themes differ in, so they are in the same places.
        let dark = draw(Theme::Dark, PaperSize::Page)?;
        let pairs = paints(&wide).zip(paints(&dark));
        let dark = pairs.map(|((attribute, light), (_, dark))| {
            ((attribute, light.to_owned()), dark.to_owned())
        });
        let dark = dark.collect();
        Ok(Self { name: name.into(), caption: caption.into(), wide, narrow, dark })
    }

    pub(super) fn html(&self) -> Markup {
        html! {
            figure {
                div.wide { (PreEscaped(&self.wide)) }
                div.narrow { (PreEscaped(&self.narrow)) }
                figcaption { b { (rich(&self.name)) } " " (rich(&self.caption)) }
            }
        }
    }
}

/// What repaints all figures where a screen is dark.
pub(super) fn dark_rules<'a>(figures: impl Iterator<Item = &'a PageFigure>) -> String {
    let all: BTreeMap<_, _> = figures.flat_map(|figure| &figure.dark).collect();
    let mut css = String::from("@media screen and (prefers-color-scheme: dark) {\n");
    for ((attribute, light), dark) in all {
        writeln!(css, "  figure [{attribute}=\"{light}\"] {{ {attribute}: {dark}; }}")
            .expect("writing into a string cannot fail");
    }
    css + "}\n"
}

/// The font that figures are measured with.
pub(super) fn font_rule() -> String {
    let font = STANDARD.encode(FONT);
    format!(
        "@font-face {{ font-family: \"Liberation Sans\"; src: url(data:font/ttf;base64,{font}); }}\n"
    )
}

/// Attributes and their colours, in order of the attribute and then of their places.
fn paints(svg: &str) -> impl Iterator<Item = (&'static str, &str)> {
    [("fill", "fill=\"#"), ("stroke", "stroke=\"#")].into_iter().flat_map(move |(name, opening)| {
        let colours = svg.match_indices(opening).filter_map(move |(at, _)| {
            let colour = svg.get(at + opening.len() - 1..at + opening.len() + 6)?;
            colour[1..].bytes().all(|c| c.is_ascii_hexdigit()).then_some(colour)
        });
        colours.map(move |colour| (name, colour))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_found_by_attribute_and_text_that_looks_like_one_is_none() {
        let svg = "<a fill=\"#FFFFFF\" stroke=\"#00aa11\"/>fill=\"#é fill=\"#12345";
        let found: Vec<_> = paints(svg).collect();
        assert_eq!(found, [("fill", "#FFFFFF"), ("stroke", "#00aa11")]);
    }
}
