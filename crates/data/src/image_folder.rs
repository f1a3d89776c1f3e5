//! Folders of JPEG and PNG files: `train/<class>/*`, and the same below `val` (or `validation`) and
//! `test` where they exist. Without a validation folder, a tenth of the train files is held out, the
//! same tenth for every trial; so no stream shares a file with another.
//!
//! Classes are the folder names of `train` in byte order. Files are sorted by name, then put in one
//! fixed random order, so that every prefix of a stream mixes the classes. An image is cropped to its
//! central square and resized to the resolution (triangle filter). Orientation tags are ignored, an
//! alpha channel is dropped, grey becomes RGB.

mod decode;
mod listing;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use spec::{Id, ImageFolderSpec, OnCorrupt};

use crate::order::Permutation;
use crate::random::{Purpose, Random};
use crate::source::{DataError, Source, Split};
pub use decode::DecodeError;
use listing::Listing;

/// Part of the fingerprint: changes when the same files give other pixels or another order.
const VERSION: u32 = 1;

/// Seed of the held-out tenth and of the files' order: the data set's own, not a trial's.
const SEED: u64 = 0;

pub struct ImageFolder {
    spec: ImageFolderSpec,
    train: Listing,
    /// None: a part of `train`.
    validation: Option<Listing>,
    test: Option<Listing>,
    fingerprint: Id,
    /// Corrupt files met so far, with the stream that they are of.
    corrupt: Mutex<BTreeSet<(Split, PathBuf)>>,
}

/// A stream: `len` files from `first` on in the fixed order of a listing.
struct Stream<'a> {
    listing: &'a Listing,
    first: u64,
    len: u64,
}

impl ImageFolder {
    /// Lists the files; decodes none.
    ///
    /// # Errors
    /// No folder, no `train`, no class in it, a class without images, or a class that `train` lacks.
    pub fn open(spec: &ImageFolderSpec) -> Result<Self, DataError> {
        let root = &spec.path;
        if !root.is_dir() {
            return Err(DataError::NoFolder(root.clone()));
        }
        let train = Listing::of_train(root)?;
        let validation = ["val", "validation"]
            .map(|name| root.join(name))
            .into_iter()
            .find(|path| path.is_dir());
        let validation = validation.map(|path| Listing::like(&train, path)).transpose()?;
        let test = Some(root.join("test")).filter(|path| path.is_dir());
        let test = test.map(|path| Listing::like(&train, path)).transpose()?;
        let digests = (
            train.digest(),
            validation.as_ref().map(Listing::digest),
            test.as_ref().map(Listing::digest),
        );
        let fingerprint =
            Id::of(&("image-folder", VERSION, spec.resolution, spec.on_corrupt, digests));
        Ok(Self {
            spec: spec.clone(),
            train,
            validation,
            test,
            fingerprint,
            corrupt: Mutex::default(),
        })
    }

    /// Names of the classes, by label.
    pub fn class_names(&self) -> &[String] {
        self.train.classes()
    }

    fn stream(&self, split: Split) -> Option<Stream<'_>> {
        let all = |listing| Stream { listing, first: 0, len: listing.len() };
        let held_out = match self.validation {
            None => self.train.len().div_ceil(10),
            Some(_) => 0,
        };
        match (split, &self.validation) {
            (Split::Train, _) => Some(Stream {
                listing: &self.train,
                first: held_out,
                len: self.train.len() - held_out,
            }),
            (Split::Validation, None) => {
                Some(Stream { listing: &self.train, first: 0, len: held_out })
            }
            (Split::Validation, Some(listing)) => Some(all(listing)),
            (Split::Test, _) => self.test.as_ref().map(all),
        }
    }

    fn remember_corrupt(&self, split: Split, path: PathBuf) {
        self.corrupt.lock().unwrap_or_else(PoisonError::into_inner).insert((split, path));
    }
}

impl Stream<'_> {
    fn file(&self, index: u64) -> (u32, PathBuf) {
        let order = Permutation::new(self.listing.len(), Random::new(SEED, Purpose::Files, 0, 0));
        self.listing.file(order.at(self.first + index))
    }
}

impl Source for ImageFolder {
    fn resolution(&self) -> u32 {
        self.spec.resolution
    }

    fn classes(&self) -> u32 {
        u32::try_from(self.class_names().len())
            .expect("a class is a folder, and there are fewer than 2^32")
    }

    fn len(&self, split: Split) -> Option<u64> {
        Some(self.stream(split).map_or(0, |stream| stream.len))
    }

    fn flips(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> Id {
        self.fingerprint
    }

    /// Where corrupt files are left out, the place of one is taken by the next readable file of its
    /// stream: indices keep their meaning, and nothing need be decoded before it is read.
    fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError> {
        let stream = self.stream(split).filter(|stream| index < stream.len);
        let stream = stream.ok_or_else(|| DataError::OutOfRange {
            split,
            index,
            len: self.len(split).unwrap_or(0),
        })?;
        for offset in 0..stream.len {
            let (class, path) = stream.file((index + offset) % stream.len);
            match (decode::file(&path, self.spec.resolution, pixels), self.spec.on_corrupt) {
                (Ok(()), _) => return Ok(class),
                (Err(decode::Failure::Read(error)), _) => {
                    return Err(DataError::Read { path, error });
                }
                (Err(decode::Failure::Corrupt(error)), OnCorrupt::Error) => {
                    return Err(DataError::Corrupt { path, split, index, error });
                }
                (Err(decode::Failure::Corrupt(_)), OnCorrupt::Skip) => {
                    self.remember_corrupt(split, path);
                }
            }
        }
        Err(DataError::AllCorrupt { path: self.spec.path.clone(), split })
    }

    fn skipped(&self, split: Split) -> u64 {
        let corrupt = self.corrupt.lock().unwrap_or_else(PoisonError::into_inner);
        corrupt.iter().filter(|(of, _)| *of == split).count() as u64
    }
}

#[cfg(test)]
mod tests;
