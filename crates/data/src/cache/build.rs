//! Builds one cache file: chunks of examples read in parallel, written in order.

use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;

use super::files::Partial;
use super::format::{HEADER_BYTES, Header, file_bytes};
use crate::source::{DataError, Source, Split};

/// Memory of one chunk: large enough to keep all threads busy, small beside a data set.
const CHUNK_BYTES: usize = 8 << 20;

/// Fewest examples of a chunk, however large the images.
const CHUNK_MIN: usize = 64;

pub fn build(
    source: &dyn Source,
    split: Split,
    n: u64,
    path: &Path,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(), DataError> {
    let bytes = file_bytes(n, source.image_bytes() as u64).unwrap_or(u64::MAX);
    let failed = |error: io::Error| explain(error, path, bytes);
    let mut partial = Partial::create(path).map_err(failed)?;
    write(source, split, n, &mut partial.file, &failed, is_cancelled)?;
    partial.publish(path).map_err(failed)
}

fn explain(error: io::Error, path: &Path, bytes: u64) -> DataError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            DataError::DiskFull { path: path.to_owned(), bytes }
        }
        _ => DataError::Write { path: path.to_owned(), error },
    }
}

fn write(
    source: &dyn Source,
    split: Split,
    n: u64,
    file: &mut (impl Write + Seek),
    failed: &dyn Fn(io::Error) -> DataError,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(), DataError> {
    let image = source.image_bytes();
    let chunk = (CHUNK_BYTES / image).max(CHUNK_MIN);
    let mut pixels = vec![0; chunk * image];
    let mut labels = Vec::new();
    file.write_all(&[0; HEADER_BYTES]).map_err(failed)?;
    for first in (0..n).step_by(chunk) {
        let indices = first..n.min(first + chunk as u64);
        let chunk_pixels = &mut pixels[..(indices.end - first) as usize * image];
        let classes = read(source, split, first, chunk_pixels, is_cancelled)?;
        labels.extend(classes.iter().flat_map(|class| class.to_le_bytes()));
        file.write_all(chunk_pixels).map_err(failed)?;
    }
    file.write_all(&labels).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    file.write_all(&Header::new(source, split, n, &labels).encode()).map_err(failed)
}

/// Fills `pixels` with the examples from `first` on; gives their labels.
fn read(
    source: &dyn Source,
    split: Split,
    first: u64,
    pixels: &mut [u8],
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<u32>, DataError> {
    let examples = pixels.par_chunks_exact_mut(source.image_bytes()).enumerate();
    let one = |(place, image)| {
        // Before each one: a chunk of large photographs takes seconds.
        if is_cancelled() {
            return Err(DataError::Cancelled { split });
        }
        source.read(split, first + place as u64, image)
    };
    examples.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::Counting;

    /// A disk with room for so many bytes.
    struct Small {
        room: usize,
    }

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.room = self.room.checked_sub(bytes.len()).ok_or(ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Small {
        fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn a_full_disk_says_so_and_what_is_needed() {
        let source = Counting::new(100);
        let path = Path::new("x.u8");
        let failed = |error| explain(error, path, 77);
        // Room for the header and half of the pixels; then for the pixels but not the labels.
        for room in [HEADER_BYTES + 50 * 12, HEADER_BYTES + 100 * 12 + 40] {
            let error = write(&source, Split::Train, 100, &mut Small { room }, &failed, &|| false)
                .unwrap_err();
            assert!(matches!(error, DataError::DiskFull { bytes: 77, .. }), "{error}");
        }
    }
}
