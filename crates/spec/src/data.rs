//! Where examples come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A data source. Its resolution is the model's: sources resize or render to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataSpec {
    Procedural(ProceduralSpec),
    ImageFolder(ImageFolderSpec),
}

/// The embedded, endless, rendered data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProceduralSpec {
    /// Side of the square images, pixels.
    pub resolution: u32,
    /// Number of classes.
    pub classes: u32,
    /// The first class of the world that `seed` makes; sets over ranges that do not meet share no
    /// class. 0 but for held-out classes.
    #[serde(default)]
    pub first_class: u32,
    /// Scales every nuisance; 1 is the set that the shipped experiments are tuned for.
    pub difficulty: f64,
    /// Seed of the whole set (outlines, colours, streams); not the trial's seed.
    pub seed: u64,
}

/// `train/<class>/*.jpg|png` and `test/<class>/*` (or `val/`) below `path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFolderSpec {
    pub path: PathBuf,
    /// Side of the square images after resizing, pixels.
    pub resolution: u32,
    /// What a file that cannot be decoded does.
    pub on_corrupt: OnCorrupt,
}

/// What is done about a file that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCorrupt {
    /// Stop, naming the file.
    Error,
    /// Leave the file out, count it and say so.
    Skip,
}

impl DataSpec {
    pub const fn resolution(&self) -> u32 {
        match self {
            Self::Procedural(spec) => spec.resolution,
            Self::ImageFolder(spec) => spec.resolution,
        }
    }
}
