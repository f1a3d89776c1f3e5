//! A contact sheet: what a source's classes look like, one row each, for a person to look at.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use crate::source::{DataError, Source, Split};

/// A source pixel is this many pixels wide on the sheet.
const ZOOM: u32 = 3;

/// Pixels between images.
const GAP: u32 = 3;

/// Longest side of a sheet, pixels. A square of it takes 800 MB.
const MAX_SIDE: u32 = 16_384;

const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// Examples read per image wanted, at most: rare classes leave gaps rather than an endless search.
const PATIENCE: u64 = 50;

/// A PNG whose row c shows the first `columns` examples of class c, for the first `rows` classes.
///
/// # Errors
/// An example that cannot be read, or a sheet of more than 16,384 pixels a side.
pub fn contact_sheet(
    source: &dyn Source,
    split: Split,
    rows: u32,
    columns: u32,
) -> Result<Vec<u8>, DataError> {
    let mut png = Cursor::new(Vec::new());
    let sheet = draw(source, split, rows.min(source.classes()), columns)?;
    sheet
        .write_to(&mut png, ImageFormat::Png)
        .expect("writing to memory, and a sheet is far below PNG's limits");
    Ok(png.into_inner())
}

fn draw(source: &dyn Source, split: Split, rows: u32, columns: u32) -> Result<RgbImage, DataError> {
    let (width, height) = size(source.resolution(), rows, columns)?;
    let cell = source.resolution() * ZOOM + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, BACKGROUND);
    let mut found = vec![0; rows as usize];
    let mut pixels = vec![0; source.image_bytes()];
    let wanted = u64::from(source.classes()) * u64::from(columns) * PATIENCE;
    for index in 0..source.len(split).unwrap_or(u64::MAX).min(wanted) {
        let row = source.read(split, index, &mut pixels)?;
        if let Some(column) = found.get_mut(row as usize).filter(|column| **column < columns) {
            paste(
                &mut sheet,
                &pixels,
                source.resolution(),
                (GAP + *column * cell, GAP + row * cell),
            );
            *column += 1;
        }
        if found.iter().all(|column| *column == columns) {
            break;
        }
    }
    Ok(sheet)
}

/// Width and height of a sheet, pixels.
fn size(resolution: u32, rows: u32, columns: u32) -> Result<(u32, u32), DataError> {
    let cell = u64::from(resolution) * u64::from(ZOOM) + u64::from(GAP);
    let side = |images: u32| u64::from(GAP).saturating_add(cell.saturating_mul(images.into()));
    let (width, height) = (side(columns), side(rows));
    let within = |side: u64| u32::try_from(side).ok().filter(|side| *side <= MAX_SIDE);
    within(width).zip(within(height)).ok_or(DataError::SheetTooLarge {
        width,
        height,
        limit: MAX_SIDE,
    })
}

fn paste(sheet: &mut RgbImage, pixels: &[u8], side: u32, (left, top): (u32, u32)) {
    let plane = pixels.len() / 3;
    for (y, x) in (0..side * ZOOM).flat_map(|y| (0..side * ZOOM).map(move |x| (y, x))) {
        let at = (y / ZOOM * side + x / ZOOM) as usize;
        sheet.put_pixel(
            left + x,
            top + y,
            Rgb([pixels[at], pixels[plane + at], pixels[2 * plane + at]]),
        );
    }
}

#[cfg(test)]
mod tests {
    use spec::Id;

    use super::*;

    /// Class 2 comes once, the others in turn; red says the example, green the column of the pixel.
    struct Rows;

    impl Source for Rows {
        fn resolution(&self) -> u32 {
            2
        }

        fn classes(&self) -> u32 {
            3
        }

        fn len(&self, _split: Split) -> Option<u64> {
            None
        }

        fn flips(&self) -> bool {
            true
        }

        fn fingerprint(&self) -> Id {
            Id::of(&"rows")
        }

        fn read(&self, _split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError> {
            let red = u8::try_from(10 * (index % 25)).expect("at most 240");
            pixels.copy_from_slice(&[red, red, red, red, 0, 1, 0, 1, 9, 9, 9, 9]);
            Ok(if index == 2 { 2 } else { u32::try_from(index % 2).expect("0 or 1") })
        }
    }

    #[test]
    fn a_row_shows_the_first_examples_of_its_class_enlarged() {
        let sheet = draw(&Rows, Split::Train, 3, 2).unwrap();
        assert_eq!(sheet.dimensions(), (21, 30));
        // Class 0 is examples 0 and 4, class 1 is 1 and 3, class 2 is 2 and no other.
        for (row, column, index) in [(0, 0, 0), (0, 1, 4), (1, 0, 1), (1, 1, 3), (2, 0, 2)] {
            let (left, top) = (3 + 9 * column, 3 + 9 * row);
            assert_eq!(*sheet.get_pixel(left, top), Rgb([10 * index, 0, 9]));
            assert_eq!(*sheet.get_pixel(left + 5, top + 5), Rgb([10 * index, 1, 9]));
            assert_eq!(*sheet.get_pixel(left + 6, top), BACKGROUND);
        }
        assert_eq!(*sheet.get_pixel(12, 21), BACKGROUND);
    }

    #[test]
    fn a_sheet_beyond_the_limit_is_refused_before_it_is_drawn() {
        assert_eq!(size(32, 165, 1).unwrap(), (102, 16_338));
        for (resolution, rows, columns) in
            [(32, 166, 1), (32, 1, 166), (32, 1, u32::MAX), (u32::MAX, u32::MAX, u32::MAX)]
        {
            let error = size(resolution, rows, columns).unwrap_err();
            assert!(error.to_string().contains("16384 a side"), "{error}");
        }
        let error = contact_sheet(&Rows, Split::Train, 3, u32::MAX).unwrap_err();
        assert!(matches!(error, DataError::SheetTooLarge { height: 30, .. }), "{error}");
    }

    #[test]
    fn a_sheet_is_a_png_and_has_no_more_rows_than_classes() {
        let png = contact_sheet(&Rows, Split::Train, 9, 1).unwrap();
        let sheet = image::load_from_memory_with_format(&png, ImageFormat::Png).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (12, 30));
    }
}
