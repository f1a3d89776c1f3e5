//! PNG from the very SVG that is delivered, drawn by resvg with the embedded font alone.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;

use crate::style::{FONT, PNG_SCALE};

/// Why an SVG has no PNG. The figures of this crate always have one.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    #[error("not an SVG that can be drawn")]
    Svg(#[from] usvg::Error),
    #[error("a PNG of {width} x {height} pixels cannot be held in memory: draw a smaller figure")]
    Size { width: u32, height: u32 },
    #[error("failed to encode the PNG")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The figure at two pixels for one px of the SVG.
pub fn png(svg: &str) -> Result<Vec<u8>, PngError> {
    let tree = usvg::Tree::from_str(svg, &options())?;
    let size = tree.size().to_int_size();
    let (width, height) = (doubled(size.width()), doubled(size.height()));
    let mut pixels = Pixmap::new(width, height).ok_or(PngError::Size { width, height })?;
    let scale = Transform::from_scale(PNG_SCALE, PNG_SCALE);
    resvg::render(&tree, scale, &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PngError::Encode(error.into()))
}

fn doubled(px: u32) -> u32 {
    (px as f32 * PNG_SCALE).round() as u32
}

fn options() -> usvg::Options<'static> {
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_font_data(FONT.to_vec());
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_svg_is_refused() {
        assert!(matches!(png("no svg"), Err(PngError::Svg(_))));
    }

    #[test]
    fn text_is_drawn_with_the_embedded_font() {
        let svg = |text: &str| {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"20\"><text y=\"15\" \
                 font-family=\"{}\">{text}</text></svg>",
                crate::style::FONT_FAMILY
            )
        };
        assert_ne!(png(&svg("10")).unwrap(), png(&svg("")).unwrap());
    }
}
