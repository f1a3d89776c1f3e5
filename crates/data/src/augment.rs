//! Light augmentation of training images, a function of (seed, example, epoch): mirror, and pad and
//! crop back. Works on u8, before any normalisation.
//!
//! The definition is [`apply`]; the trainer's vectorised version on the device takes the same
//! [`Crop`]s and agrees with it bit for bit.

use spec::Augmentation;

use crate::order::Draw;
use crate::random::{Purpose, Random};

/// Padding is this value: the middle of the range, next to zero once pixels are mapped to -1..1.
/// Black would be the strongest edge of most images.
pub const FILL: u8 = 128;

/// What happens to one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crop {
    /// Mirror left and right, after the crop.
    pub flip: bool,
    /// The crop's left edge in the image, pixels, within plus or minus the padding.
    pub dx: i32,
    /// The crop's top edge.
    pub dy: i32,
}

/// The crop of one draw.
pub fn plan(seed: u64, augmentation: Augmentation, draw: Draw) -> Crop {
    let mut random = Random::new(seed, Purpose::Augmentation, draw.index, draw.epoch);
    // All three are drawn always: turning the flip on does not move the crops.
    let coin = random.coin();
    let padding = i32::try_from(augmentation.crop_padding).unwrap_or(i32::MAX / 4);
    let mut shift = || {
        let places = 2 * padding.unsigned_abs() + 1;
        i32::try_from(random.below(places.into())).expect("below 2^31, as padding is below 2^29")
            - padding
    };
    Crop { flip: augmentation.flip && coin, dx: shift(), dy: shift() }
}

/// `out[c, y, x] = pixels[c, y + dy, x' + dx]`, with `x' = resolution - 1 - x` when flipped and
/// [`FILL`] outside of the image. Both are `[3, resolution, resolution]`.
///
/// # Panics
/// When a slice has another length.
pub fn apply(crop: &Crop, resolution: u32, pixels: &[u8], out: &mut [u8]) {
    let side = resolution as usize;
    assert!(pixels.len() == 3 * side * side && out.len() == pixels.len(), "both hold one image");
    let columns = Overlap::of(crop.dx, side);
    let rows = Overlap::of(crop.dy, side);
    out.fill(FILL);
    for (plane, to) in pixels.chunks_exact(side * side).zip(out.chunks_exact_mut(side * side)) {
        for row in 0..rows.len {
            let from = (rows.from + row) * side + columns.from;
            let at = (rows.to + row) * side + columns.to;
            to[at..at + columns.len].copy_from_slice(&plane[from..from + columns.len]);
        }
    }
    if crop.flip {
        out.chunks_exact_mut(side).for_each(<[u8]>::reverse);
    }
}

/// Where a shifted axis still lies on the image: `out[to + i] = image[from + i]` for i in 0..len.
struct Overlap {
    from: usize,
    to: usize,
    len: usize,
}

impl Overlap {
    fn of(shift: i32, side: usize) -> Self {
        let distance = (shift.unsigned_abs() as usize).min(side);
        let (from, to) = if shift < 0 { (0, distance) } else { (distance, 0) };
        Self { from, to, len: side - distance }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, pixel by pixel.
    fn by_definition(crop: &Crop, side: i32, pixels: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (channel, y, x) in
            (0..3 * side * side).map(|at| (at / (side * side), at / side % side, at % side))
        {
            let (x, y) = (if crop.flip { side - 1 - x } else { x } + crop.dx, y + crop.dy);
            let inside = (0..side).contains(&x) && (0..side).contains(&y);
            out.push(if inside {
                pixels[usize::try_from((channel * side + y) * side + x).unwrap()]
            } else {
                FILL
            });
        }
        out
    }

    proptest! {
        #[test]
        fn apply_is_its_definition(flip: bool, dx in -9..10, dy in -9..10, side in 1_i32..8) {
            let crop = Crop { flip, dx, dy };
            let pixels: Vec<u8> = (0..3 * side * side).map(|at| u8::try_from(at % 127).unwrap()).collect();
            let mut out = vec![0; pixels.len()];
            apply(&crop, side.unsigned_abs(), &pixels, &mut out);
            prop_assert_eq!(out, by_definition(&crop, side, &pixels));
        }
    }

    #[test]
    fn every_crop_and_both_flips_come_up_equally_often() {
        let augmentation = Augmentation { flip: true, crop_padding: 2 };
        let mut counts = std::collections::HashMap::new();
        for index in 0..50_000 {
            let crop = plan(1, augmentation, Draw { index: index % 500, epoch: index / 500 });
            *counts.entry((crop.flip, crop.dx, crop.dy)).or_insert(0.0) += 1.0;
        }
        assert_eq!(counts.len(), 50);
        assert!(counts.keys().all(|(_, dx, dy)| dx.abs() <= 2 && dy.abs() <= 2));
        // 49 degrees of freedom: above 94 once in 10,000 tries.
        let chi_squared: f64 =
            counts.values().map(|count: &f64| (count - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_squared < 94.0, "{chi_squared}");
    }

    #[test]
    fn no_augmentation_is_the_image_itself() {
        let crop = plan(5, Augmentation::default(), Draw { index: 3, epoch: 8 });
        assert_eq!(crop, Crop::default());
        let pixels: Vec<u8> = (0..48).collect();
        let mut out = vec![0; 48];
        apply(&crop, 4, &pixels, &mut out);
        assert_eq!(out, pixels);
    }
}
