//! Batches of training examples. Three ways to the same bits: from mapped memory, vectorised on the
//! device, or streamed by threads ahead of the step. [`data::order`] and [`data::augment`] say which
//! examples and how they are altered; normalisation is the same for all.

use data::{Crop, DataError, Draw, FILL, Source, Stream, StreamSpec, augment, order};
use spec::Recipe;
use tch::{Device, Kind, Tensor};

use crate::examples::{Examples, Resident};

/// The examples of one step, on the device.
#[derive(Debug)]
pub struct Batch {
    /// `[batch, 3, resolution, resolution]` f32 in [-1, 1].
    pub images: Tensor,
    /// `[batch]` i64.
    pub labels: Tensor,
    /// Which examples they are.
    pub draws: Vec<Draw>,
}

/// Makes the batches of consecutive steps.
pub(crate) struct Feed<'a> {
    recipe: &'a Recipe,
    device: Device,
    way: Way<'a>,
}

enum Way<'a> {
    Host { train: &'a data::Cached, pixels: Vec<u8>, labels: Vec<i64> },
    Device { pixels: &'a Tensor, labels: &'a Tensor },
    Streamed(Stream),
}

impl<'a> Feed<'a> {
    /// The batches of `steps`, in this order.
    pub(crate) fn start(
        examples: &'a Examples,
        recipe: &'a Recipe,
        steps: std::ops::Range<u64>,
        device: Device,
    ) -> Self {
        let way = match &examples.train {
            Some(Resident::Host(train)) => {
                let bytes = recipe.train.batch as usize * train.image_bytes();
                Way::Host { train, pixels: vec![0; bytes], labels: Vec::new() }
            }
            Some(Resident::Device { pixels, labels }) => Way::Device { pixels, labels },
            None => Way::Streamed(stream(examples, recipe, steps)),
        };
        Self { recipe, device, way }
    }

    /// The batch of `step`; steps must come in the order that [`Self::start`] was told.
    ///
    /// # Errors
    /// An example that cannot be read.
    pub(crate) fn batch(&mut self, step: u64) -> Result<Batch, DataError> {
        let recipe = self.recipe;
        let draws = order::batch(recipe.seed, recipe.unique_examples, recipe.train.batch, step);
        let plan = |draw: &Draw| augment::plan(recipe.seed, recipe.train.augmentation, *draw);
        let (pixels, labels) = match &mut self.way {
            Way::Host { train, pixels, labels } => {
                labels.clear();
                let side = train.resolution();
                for (draw, out) in draws.iter().zip(pixels.chunks_exact_mut(train.image_bytes())) {
                    let at =
                        usize::try_from(draw.index).expect("below the number of mapped examples");
                    let image = &train.pixels()[at * out.len()..(at + 1) * out.len()];
                    augment::apply(&plan(draw), side, image, out);
                    labels.push(train.labels()[at].into());
                }
                (host_pixels(pixels, side), Tensor::from_slice(labels))
            }
            Way::Device { pixels, labels } => {
                let crops: Vec<Crop> = draws.iter().map(plan).collect();
                let index: Vec<i64> = draws.iter().map(|draw| draw.index.cast_signed()).collect();
                let index = Tensor::from_slice(&index).to_device(self.device);
                let images =
                    cropped(&pixels.index_select(0, &index), &crops, recipe.train.augmentation);
                (images, labels.index_select(0, &index))
            }
            Way::Streamed(stream) => {
                let batch =
                    stream.next().expect("a feed is asked for the steps it was started on")?;
                let tensors = (
                    host_pixels(&batch.pixels, recipe.data.resolution()),
                    Tensor::from_slice(&batch.labels),
                );
                stream.recycle(batch);
                tensors
            }
        };
        let labels = labels.to_device(self.device);
        Ok(Batch { images: images(&pixels.to_device(self.device)), labels, draws })
    }
}

/// u8 pixels to f32 in [-1, 1], the range that ViT's recipes use.
pub(crate) fn images(pixels: &Tensor) -> Tensor {
    pixels.to_kind(Kind::Float).g_mul_scalar_(2.0 / 255.0).g_sub_scalar_(1.0)
}

fn stream(examples: &Examples, recipe: &Recipe, steps: std::ops::Range<u64>) -> Stream {
    let spec = StreamSpec {
        seed: recipe.seed,
        unique_examples: recipe.unique_examples,
        batch: recipe.train.batch,
        augmentation: recipe.train.augmentation,
    };
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    Stream::start(&examples.source, spec, &steps, threads)
}

fn host_pixels(pixels: &[u8], side: u32) -> Tensor {
    let side = i64::from(side);
    let count = i64::try_from(pixels.len()).expect("fits, as it is in memory") / (3 * side * side);
    Tensor::from_data_size(pixels, &[count, 3, side, side], Kind::Uint8)
}

/// [`data::augment::apply`] for a batch of u8 images, on their device.
fn cropped(images: &Tensor, crops: &[Crop], augmentation: spec::Augmentation) -> Tensor {
    if !augmentation.flip && augmentation.crop_padding == 0 {
        return images.shallow_clone();
    }
    let (device, side) = (images.device(), images.size()[3]);
    let padding = i64::from(augmentation.crop_padding);
    let column = |of: &dyn Fn(&Crop) -> i64| {
        let values: Vec<i64> = crops.iter().map(of).collect();
        Tensor::from_slice(&values).to_device(device).unsqueeze(1)
    };
    let place = Tensor::arange(side, (Kind::Int64, device)).unsqueeze(0);
    let rows = &place + column(&|crop| i64::from(crop.dy) + padding);
    // A mirrored column is `side - 1 - place`: the sign flips and the origin moves.
    let (sign, origin) =
        (column(&|crop| 1 - 2 * i64::from(crop.flip)), column(&|crop| i64::from(crop.flip)));
    let columns = place * sign + origin * (side - 1) + column(&|crop| i64::from(crop.dx) + padding);
    let padded = images.pad([padding; 4], "constant", f64::from(FILL));
    let batch = Tensor::arange(images.size()[0], (Kind::Int64, device));
    let channels = Tensor::arange(3, (Kind::Int64, device));
    padded.index(&[
        Some(batch.view([-1, 1, 1, 1])),
        Some(channels.view([1, -1, 1, 1])),
        Some(rows.view([-1, 1, side, 1])),
        Some(columns.view([-1, 1, 1, side])),
    ])
}

#[cfg(test)]
mod tests;
