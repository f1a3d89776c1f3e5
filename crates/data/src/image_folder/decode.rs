//! One file to planar pixels. Knows nothing of folders or streams.

use std::io::{self, Cursor};
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageError, ImageReader, RgbImage};

/// Why a file gave no image. The file system's errors are not the image's: they are never skipped.
pub enum Failure {
    Read(io::Error),
    Corrupt(ImageError),
}

/// Decodes by content, whatever the extension says: real sets hold PNG files called .JPEG.
pub fn file(path: &Path, resolution: u32, pixels: &mut [u8]) -> Result<(), Failure> {
    let bytes = std::fs::read(path).map_err(Failure::Read)?;
    let image = decode(&bytes).map_err(Failure::Corrupt)?;
    write_planar(&centre_square(image, resolution), pixels);
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    Ok(reader.decode()?.into_rgb8())
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
