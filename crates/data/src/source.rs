//! The one small trait that every data source implements, and what can go wrong behind it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use spec::{DataSpec, Id};

use crate::few_shot::TooFewShots;
use crate::image_folder::{DecodeError, ImageFolder};
use crate::procedural::{Procedural, ProceduralError};

/// Which stream of a source. The streams of one source never share an example.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    Train,
    Validation,
    Test,
}

/// Examples by index: u8 RGB images, channel-planar `[3, resolution, resolution]`, and a class.
pub trait Source: Send + Sync {
    /// Side of the images, pixels.
    fn resolution(&self) -> u32;

    fn classes(&self) -> u32;

    /// Number of examples of a split; None where the source is endless.
    fn len(&self, split: Split) -> Option<u64>;

    /// Whether a mirrored image keeps its class.
    fn flips(&self) -> bool;

    /// Hash of everything that decides what `read` gives: two sources with one fingerprint may
    /// share a cache.
    fn fingerprint(&self) -> Id;

    /// Writes the image of example `index` and returns its class. The same index gives the same
    /// example, always; `pixels` has `3 * resolution^2` bytes. The first n examples are a fair
    /// mixture of the classes for every n: subsets are prefixes.
    ///
    /// # Errors
    /// An example that cannot be read, by name.
    fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError>;

    /// Corrupt examples of a split that were left out so far, where the source was told to leave them
    /// out.
    fn skipped(&self, _split: Split) -> u64 {
        0
    }

    /// Bytes of one image.
    fn image_bytes(&self) -> usize {
        let side = self.resolution() as usize;
        3 * side * side
    }
}

/// Opens the source that a sweep file names.
///
/// # Errors
/// A folder that is missing or not laid out as its source expects.
pub fn open(spec: &DataSpec) -> Result<Box<dyn Source>, DataError> {
    Ok(match spec {
        DataSpec::Procedural(spec) => Box::new(Procedural::new(spec)?),
        DataSpec::ImageFolder(spec) => Box::new(ImageFolder::open(spec)?),
    })
}

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Procedural(#[from] ProceduralError),
    #[error(transparent)]
    TooFewShots(#[from] TooFewShots),
    #[error("cannot read `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("cannot write `{path}`: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error(
        "no space left for `{path}`, which takes {bytes} bytes; free some or choose another cache folder"
    )]
    DiskFull { path: PathBuf, bytes: u64 },
    #[error("no data folder `{0}`; check `path` in [data]")]
    NoFolder(PathBuf),
    #[error("`{0}` has no folder `train`; an image folder is train/<class>/*.jpg|jpeg|png")]
    NoTrain(PathBuf),
    #[error("`{0}` holds no class folders; an image folder is train/<class>/*.jpg|jpeg|png")]
    NoClasses(PathBuf),
    #[error("class folder `{0}` holds no .jpg, .jpeg or .png file")]
    EmptyClass(PathBuf),
    #[error("class folder `{0}` has no counterpart in `train`")]
    UnknownClass(PathBuf),
    #[error("`{0}` is not valid UTF-8; rename it")]
    NameNotUtf8(PathBuf),
    #[error(
        "corrupt image `{path}` ({split} example {index}): {error}; repair or remove it, or set on_corrupt = \"skip\" in [data]"
    )]
    Corrupt { path: PathBuf, split: Split, index: u64, error: DecodeError },
    #[error("every image of the {split} stream of `{path}` is corrupt")]
    AllCorrupt { path: PathBuf, split: Split },
    #[error("{wanted} examples were asked for where the {split} stream has {len}")]
    TooFew { split: Split, wanted: u64, len: u64 },
    #[error("cache file `{0}` reads back damaged right after it was written; check the disk")]
    Damaged(PathBuf),
    #[error("a stop was requested before the cache of the {split} stream was built")]
    Cancelled { split: Split },
    #[error(
        "a sheet of {width} x {height} pixels is beyond {limit} a side; ask for fewer classes or fewer examples of each"
    )]
    SheetTooLarge { width: u64, height: u64, limit: u32 },
    #[error("{split} example {index} was asked for where there are {len}")]
    OutOfRange { split: Split, index: u64, len: u64 },
}

impl DataError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path, error }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Write { path, error }
    }
}

impl Split {
    /// As folders, caches and messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
