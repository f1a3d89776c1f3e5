//! A contact sheet: what a source's classes look like, one row each, for a person to look at.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use crate::source::{DataError, Source, Split};

/// A source pixel is this many pixels wide on the sheet.
const ZOOM: u32 = 3;

/// Pixels between images.
const GAP: u32 = 3;

const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// Examples read per image wanted, at most: rare classes leave gaps rather than an endless search.
const PATIENCE: u64 = 50;

/// A PNG whose row c shows the first `columns` examples of class c, for the first `rows` classes.
///
/// # Errors
/// An example that cannot be read.
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
    let cell = source.resolution() * ZOOM + GAP;
    let mut sheet = RgbImage::from_pixel(GAP + columns * cell, GAP + rows * cell, BACKGROUND);
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
