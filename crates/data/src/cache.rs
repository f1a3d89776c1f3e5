//! A cache file: the first n examples of one stream, decoded or rendered once and mapped read-only by
//! every trainer of the machine.
//!
//! A file of n examples serves every m up to n, because subsets are prefixes; a larger one replaces
//! the smaller. Names hold the source's fingerprint, so changed data never meets an old file. Opening
//! checks the length, the header and the labels against their hashes; pixels are not hashed, as that
//! would read the whole file: they were flushed to disk before the file got its name. A file that
//! fails the check is built again.
//!
//! Cutting a file short while a trainer has it mapped kills that trainer; deleting it does not.

mod build;
mod files;
mod format;

use std::fs::{self, File};
use std::path::Path;

use memmap2::Mmap;
use spec::Id;

use crate::source::{DataError, Source, Split};
use files::Files;
use format::{HEADER_BYTES, Header};

/// The first n examples of one stream in mapped memory. Also a [`Source`] of that stream alone.
pub struct Cached {
    header: Header,
    /// Of the n requested examples, which may be fewer than the file's.
    labels: Vec<u32>,
    map: Mmap,
}

impl Cached {
    /// Opens the first `n` examples of a stream from `folder`, building the file where there is none.
    /// Of several processes that want one file, one builds and the others wait. `is_cancelled` is asked
    /// before every example, and while another builds; with true, nothing is left behind.
    ///
    /// # Errors
    /// A stream with fewer examples, an example that cannot be read, a folder that cannot be written,
    /// no space left, a cancelled build.
    pub fn open_or_build(
        source: &dyn Source,
        split: Split,
        n: u64,
        folder: &Path,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, DataError> {
        if let Some(len) = source.len(split).filter(|len| *len < n) {
            return Err(DataError::TooFew { split, wanted: n, len });
        }
        let files = Files::new(folder, source.fingerprint(), split);
        if let Some(found) = Self::find(&files, n)? {
            return Ok(found);
        }
        fs::create_dir_all(folder).map_err(DataError::write(folder))?;
        let lock = files.lock(is_cancelled)?;
        // Another process may have built it while this one waited.
        if let Some(found) = Self::find(&files, n)? {
            return Ok(found);
        }
        if lock.is_held() {
            files.remove_partial()?;
        }
        let path = files.path(n);
        build::build(source, split, n, &path, is_cancelled)?;
        files.remove_all_but(n)?;
        Self::open(&path, n)?.ok_or(DataError::Damaged(path))
    }

    /// The smallest whole file that has the first n examples.
    fn find(files: &Files, n: u64) -> Result<Option<Self>, DataError> {
        for size in files.sizes()?.range(n..) {
            if let Some(found) = Self::open(&files.path(*size), n)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// None where the file is damaged, or has been replaced since it was listed.
    fn open(path: &Path, n: u64) -> Result<Option<Self>, DataError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::Read { path: path.to_owned(), error }),
        };
        #[expect(unsafe_code, reason = "a cache file is never written after it got its name")]
        let map = unsafe { Mmap::map(&file) }.map_err(DataError::read(path))?;
        let checked = Header::decode(&map)
            .and_then(|header| header.labels(&map).map(|labels| (header, labels)));
        Ok(checked.map(|(mut header, mut labels)| {
            labels.truncate(usize::try_from(n).expect("no more than the labels in memory"));
            header.n = n;
            Self { header, labels, map }
        }))
    }

    /// `[n, 3, resolution, resolution]`.
    pub fn pixels(&self) -> &[u8] {
        &self.map[HEADER_BYTES..HEADER_BYTES + self.labels.len() * self.image_bytes()]
    }

    /// `[n]`.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }
}

impl Source for Cached {
    fn resolution(&self) -> u32 {
        self.header.resolution
    }

    fn classes(&self) -> u32 {
        self.header.classes
    }

    fn len(&self, split: Split) -> Option<u64> {
        Some(if split == self.header.split { self.header.n } else { 0 })
    }

    fn flips(&self) -> bool {
        self.header.flips
    }

    fn fingerprint(&self) -> Id {
        self.header.fingerprint
    }

    fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError> {
        let len = self.len(split).unwrap_or(0);
        if index >= len {
            return Err(DataError::OutOfRange { split, index, len });
        }
        let at = usize::try_from(index).expect("below the number of labels in memory");
        pixels.copy_from_slice(
            &self.pixels()[at * self.image_bytes()..(at + 1) * self.image_bytes()],
        );
        Ok(self.labels[at])
    }

    /// Of the whole file, which may hold more examples than were asked for.
    fn skipped(&self, split: Split) -> u64 {
        if split == self.header.split { self.header.skipped } else { 0 }
    }
}

#[cfg(test)]
mod tests;
