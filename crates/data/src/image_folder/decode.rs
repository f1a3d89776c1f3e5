//! One file to planar pixels. Knows nothing of folders or streams.

use std::io::{self, Cursor};
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageError, ImageFormat, ImageReader, RgbImage};

/// Why a file gave no image. The file system's errors are not the image's: they are never skipped.
pub enum Failure {
    Read(io::Error),
    Corrupt(DecodeError),
}

/// What is wrong with an image file.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the file is cut short: a JPEG without its end marker")]
    CutShort,
}

/// Decodes by content, whatever the extension says: real sets hold PNG files called .JPEG.
pub fn file(path: &Path, resolution: u32, pixels: &mut [u8]) -> Result<(), Failure> {
    let bytes = std::fs::read(path).map_err(Failure::Read)?;
    let image = decode(&bytes).map_err(Failure::Corrupt)?;
    write_planar(&centre_square(image, resolution), pixels);
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(ImageError::IoError)?;
    // The decoder paints what is missing of a JPEG grey and calls it well.
    if reader.format() == Some(ImageFormat::Jpeg) && !reaches_end_marker(bytes) {
        return Err(DecodeError::CutShort);
    }
    Ok(reader.decode()?.into_rgb8())
}

/// Walks the markers of a JPEG (ITU-T T.81, annex B): a segment says its length, and the coded data
/// after a segment ends at the next 0xFF that is no data. Embedded thumbnails lie inside of segments.
fn reaches_end_marker(bytes: &[u8]) -> bool {
    const STUFFED: u8 = 0x00;
    const RESTART: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    let mut at = 0;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        at += match (first, marker) {
            (0xff, END) => return true,
            (0xff, STUFFED | START) => 2,
            (0xff, marker) if RESTART.contains(&marker) => 2,
            (0xff, 0xff) => 1,
            (0xff, _) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            _ => bytes[at..].iter().position(|byte| *byte == 0xff).unwrap_or(bytes.len()),
        };
    }
    false
}

fn centre_square(image: RgbImage, resolution: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    if (width, height) == (resolution, resolution) {
        return image;
    }
    let side = width.min(height);
    let square = imageops::crop_imm(&image, (width - side) / 2, (height - side) / 2, side, side);
    imageops::resize(&*square, resolution, resolution, FilterType::Triangle)
}

/// `[resolution, resolution, 3]` to `[3, resolution, resolution]`.
fn write_planar(image: &RgbImage, pixels: &mut [u8]) {
    let plane = pixels.len() / 3;
    for (at, rgb) in image.as_raw().chunks_exact(3).enumerate() {
        for (channel, value) in rgb.iter().enumerate() {
            pixels[channel * plane + at] = *value;
        }
    }
}
