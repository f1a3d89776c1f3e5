//! The data set that a warm trainer keeps open between orders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data::{Cached, DataError, Source, Split};
use spec::{DataSpec, Recipe};
use tch::{Device, Kind, Tensor};

use crate::stop::Stop;

/// Share of the free memory that a resident data set may take.
const RESIDENT_SHARE: f64 = 0.6;

/// An opened source, with the examples that a recipe trains and is evaluated on.
pub(crate) struct Examples {
    key: Key,
    pub(crate) source: Arc<dyn Source>,
    /// None where the train set is too large to stay in memory.
    pub(crate) train: Option<Resident>,
    pub(crate) validation: Cached,
}

#[derive(Clone, Debug, PartialEq)]
struct Key {
    data: DataSpec,
    unique_examples: u64,
    validation: u64,
    cache: PathBuf,
}

/// The train set where batches are made from it.
pub(crate) enum Resident {
    /// Mapped from the cache; shared by all trainers of the machine.
    Host(Cached),
    /// `[n, 3, resolution, resolution]` u8 and `[n]` i64 on the device.
    Device { pixels: Tensor, labels: Tensor },
}

impl Examples {
    /// Opens what `recipe` needs, building caches where there are none, and tells `log` what the
    /// caches lack.
    ///
    /// # Errors
    /// What the source says; a stop that is requested while a cache is built.
    pub(crate) fn open(
        recipe: &Recipe,
        cache: &Path,
        device: Device,
        stop: &Stop,
        log: &mut dyn FnMut(&str),
    ) -> Result<Self, DataError> {
        let source: Arc<dyn Source> = data::open(&recipe.data)?.into();
        let mut open = |split, n| {
            let is_cancelled = || stop.is_requested();
            let cached = Cached::open_or_build(&*source, split, n, cache, &is_cancelled)?;
            tell_skipped(&cached, split, log);
            Ok::<_, DataError>(cached)
        };
        let validation = open(Split::Validation, recipe.eval.examples)?;
        let bytes = recipe.unique_examples as f64 * source.image_bytes() as f64;
        let train = if bytes <= RESIDENT_SHARE * crate::device::free_bytes(device) {
            let cached = open(Split::Train, recipe.unique_examples)?;
            Some(if device.is_cuda() {
                Resident::on_device(&cached, device)
            } else {
                Resident::Host(cached)
            })
        } else {
            None
        };
        Ok(Self { key: Key::of(recipe, cache), source, train, validation })
    }

    /// The open set if `recipe` needs the same one, else a new one; the old one is closed first.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub(crate) fn reopen<'a>(
        kept: &'a mut Option<Self>,
        recipe: &Recipe,
        cache: &Path,
        device: Device,
        stop: &Stop,
        log: &mut dyn FnMut(&str),
    ) -> Result<&'a Self, DataError> {
        if kept.as_ref().is_none_or(|kept| kept.key != Key::of(recipe, cache)) {
            *kept = None;
            *kept = Some(Self::open(recipe, cache, device, stop, log)?);
        }
        Ok(kept.as_ref().expect("opened above"))
    }
}

/// Where the sweep file says to skip corrupt images, nobody else would.
pub(crate) fn tell_skipped(source: &dyn Source, split: Split, log: &mut dyn FnMut(&str)) {
    let skipped = source.skipped(split);
    if skipped > 0 {
        let images = if skipped == 1 { "image" } else { "images" };
        log(&format!(
            "skipped {skipped} corrupt {images} of the {split} stream; others stand in their places"
        ));
    }
}

impl Key {
    fn of(recipe: &Recipe, cache: &Path) -> Self {
        Self {
            data: recipe.data.clone(),
            unique_examples: recipe.unique_examples,
            validation: recipe.eval.examples,
            cache: cache.to_owned(),
        }
    }
}

impl Resident {
    /// Copies a whole cache to the device.
    pub(crate) fn on_device(cached: &Cached, device: Device) -> Self {
        let side = i64::from(cached.resolution());
        let pixels =
            Tensor::from_data_size(cached.pixels(), &[size(cached), 3, side, side], Kind::Uint8);
        Self::Device {
            pixels: pixels.to_device(device),
            labels: labels(cached.labels()).to_device(device),
        }
    }
}

fn size(cached: &Cached) -> i64 {
    i64::try_from(cached.labels().len()).expect("fits, as it is in memory")
}

/// `[n]` i64, as libtorch's losses take them.
pub(crate) fn labels(labels: &[u32]) -> Tensor {
    let wide: Vec<i64> = labels.iter().map(|&label| label.into()).collect();
    Tensor::from_slice(&wide)
}
