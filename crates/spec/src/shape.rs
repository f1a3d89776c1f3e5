//! Model shapes by the field's names, or spelt out.

use serde::{Deserialize, Serialize};

/// The four numbers that make a transformer's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Embedding width D.
    pub width: u32,
    /// Number of blocks L.
    pub depth: u32,
    /// Hidden width of the MLP, M.
    pub mlp: u32,
    /// Attention heads; must divide `width`.
    pub heads: u32,
}

/// A shape and the label that tables, figures and `learning_rate` tables know it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedShape {
    pub name: String,
    pub shape: Shape,
}

/// A name or numbers that make no shape.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("unknown shape `{0}`; known shapes: {known}; or spell it out: {{ width = 96, depth = 6, mlp = 384, heads = 3 }}", known = known_names())]
    Unknown(String),
    #[error(
        "unknown shape `{0}` of family bit; R50x1, R101x3, R152x2, R200x3 and the like are known; or spell it out: {{ layers = [1, 1, 1], width = 16 }}"
    )]
    UnknownBit(String),
    #[error(
        "unknown shape `{0}` of family mixer; S, B, L and H are known; or spell it out: {{ width = 64, depth = 4, mlp = 256, tokens = 32 }}"
    )]
    UnknownMixer(String),
    #[error("a shape of family {family} is spelt out by {keys}")]
    Keys { family: &'static str, keys: &'static str },
    #[error("heads = {heads} does not divide width = {width}")]
    HeadsDoNotDivideWidth { heads: u32, width: u32 },
    #[error("`{0}` must be from 1 to {MAX_SIDE}")]
    Range(&'static str),
}

/// Largest width, depth, side of an image, number of heads or channels and the like: far above any
/// model, and small enough that counts do not overflow.
pub(crate) const MAX_SIDE: u32 = 1 << 20;

/// # Errors
/// The name of the first number that is 0 or that counts cannot bear.
pub(crate) fn in_range(
    fields: impl IntoIterator<Item = (&'static str, u32)>,
) -> Result<(), &'static str> {
    let bad = |(_, value): &(&str, u32)| !(1..=MAX_SIDE).contains(value);
    match fields.into_iter().find(bad) {
        Some((field, _)) => Err(field),
        None => Ok(()),
    }
}

impl Shape {
    /// # Errors
    /// A number out of range, or heads that do not divide the width.
    pub fn check(&self) -> Result<(), ShapeError> {
        let fields = [
            ("width", self.width),
            ("depth", self.depth),
            ("mlp", self.mlp),
            ("heads", self.heads),
        ];
        in_range(fields).map_err(ShapeError::Range)?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(ShapeError::HeadsDoNotDivideWidth { heads: self.heads, width: self.width });
        }
        Ok(())
    }
}

impl NamedShape {
    /// A spelt-out shape goes by `widthxdepth`, as in `96x6`.
    pub fn spelt_out(shape: Shape) -> Self {
        Self { name: format!("{}x{}", shape.width, shape.depth), shape }
    }

    /// Looks a published name up. Names are case-sensitive: `s` and `S`, `g` and `G` differ.
    ///
    /// # Errors
    /// A name that no table knows.
    pub fn published(name: &str) -> Result<Self, ShapeError> {
        TABLE
            .iter()
            .find(|row| row.0 == name)
            .map(|&(name, shape)| Self { name: name.to_owned(), shape })
            .ok_or_else(|| ShapeError::Unknown(name.to_owned()))
    }
}

fn known_names() -> String {
    TABLE.iter().map(|row| row.0).collect::<Vec<_>>().join(", ")
}

const fn shape(width: u32, depth: u32, mlp: u32, heads: u32) -> Shape {
    Shape { width, depth, mlp, heads }
}

/// Ti, S, B, L, H: Dosovitskiy et al. (2010.11929), table 1, and Touvron et al. (2012.12877);
/// s, g, G: Zhai et al. (2106.04560), table 2; mu, M: big_vision's `decode_variant`;
/// So400m: Alabdulmohsin et al. (2305.13035); e: Chen et al. (2209.06794);
/// 22B: Dehghani et al. (2302.05442), table 1.
const TABLE: &[(&str, Shape)] = &[
    ("mu", shape(32, 1, 128, 2)),
    ("Ti", shape(192, 12, 768, 3)),
    ("s", shape(256, 6, 1024, 8)),
    ("S", shape(384, 12, 1536, 6)),
    ("M", shape(512, 12, 2048, 8)),
    ("B", shape(768, 12, 3072, 12)),
    ("L", shape(1024, 24, 4096, 16)),
    ("So400m", shape(1152, 27, 4304, 16)),
    ("H", shape(1280, 32, 5120, 16)),
    ("g", shape(1408, 40, 6144, 16)),
    ("g-opt", shape(1536, 40, 6144, 16)),
    ("G", shape(1664, 48, 8192, 16)),
    ("G-opt", shape(1536, 48, 8192, 16)),
    ("e", shape(1792, 56, 15360, 16)),
    ("22B", shape(6144, 48, 24576, 48)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_shape_is_sound_and_found_by_its_name() {
        for (name, shape) in TABLE {
            assert_eq!(shape.check(), Ok(()), "{name}");
            assert_eq!(NamedShape::published(name).unwrap().shape, *shape);
        }
    }

    #[test]
    fn an_unknown_shape_is_told_the_known_ones() {
        let message = NamedShape::published("XXL").unwrap_err().to_string();
        assert!(message.contains("`XXL`") && message.contains("Ti, s, S"), "{message}");
    }

    #[test]
    fn heads_must_divide_width() {
        assert_eq!(
            shape(100, 2, 400, 3).check(),
            Err(ShapeError::HeadsDoNotDivideWidth { heads: 3, width: 100 })
        );
    }
}
