//! Loss and error on the validation stream, and what attention does there.

use std::collections::BTreeMap;

use data::{Cached, Source};
use models::{BindError, Watch, Watched};
use spec::Order;
use tch::{Kind, Tensor, no_grad_guard};
use torch_ext::TorchError;

use crate::examples::labels;
use crate::feed::images;
use crate::learner::Learner;
use crate::objective::sums;

/// Examples per forward pass.
pub(crate) const BATCH: usize = 256;

/// [`BATCH`], or fewer where memory ran out.
pub(crate) fn pass_size(order: &Order) -> usize {
    order.micro_batch.map_or(BATCH, |micro| BATCH.min(micro.max(1) as usize))
}

/// Examples that attention is watched on: its logits are written out, `[heads, tokens, tokens]` each.
const WATCHED: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluateError {
    #[error(transparent)]
    Torch(#[from] TorchError),
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// `val_loss` (the objective without label smoothing, nats) and `val_error` (share of wrong first
/// choices) over all of `validation`, `size` examples at a time, and with `attention` also its logits and
/// entropies. Sums are taken in f64 on the device and read once.
///
/// # Errors
/// What libtorch says.
pub(crate) fn evaluate(
    learner: &Learner,
    validation: &Cached,
    size: usize,
    attention: bool,
) -> Result<BTreeMap<String, f64>, EvaluateError> {
    let _no_grad = no_grad_guard();
    let evaluated = learner.evaluated()?;
    let mut total = Tensor::zeros([2], (Kind::Double, learner.device));
    for (number, batch) in batches(validation, size).enumerate() {
        let (images, labels) = batch.on(learner.device);
        let (logits, targets) = evaluated.logits(&images, labels, (number * size) as u64, None)?;
        total += sums(evaluated.objective(), &logits, &targets);
    }
    let mean = |at| total.double_value(&[at]) / validation.labels().len() as f64;
    let mut metrics =
        BTreeMap::from([("val_loss".to_owned(), mean(0)), ("val_error".to_owned(), mean(1))]);
    if attention && let Some(batch) = batches(validation, WATCHED).next() {
        let (images, labels) = batch.on(learner.device);
        let watch = Watch::default();
        let _logits = evaluated.logits(&images, labels, 0, Some(&watch))?;
        metrics.extend(attention_metrics(&watch.read()));
    }
    Ok(metrics)
}

/// `attention_logit_max` over all blocks and `attention_entropy`, the mean over blocks (nats), and both
/// by block.
fn attention_metrics(watched: &[Watched]) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    if watched.is_empty() {
        return metrics;
    }
    let largest = watched.iter().map(|block| block.logit_max).fold(0.0, f64::max);
    let mean = watched.iter().map(|block| block.entropy).sum::<f64>() / watched.len() as f64;
    metrics.insert("attention_logit_max".into(), largest);
    metrics.insert("attention_entropy".into(), mean);
    for (block, Watched { logit_max, entropy }) in watched.iter().enumerate() {
        metrics.insert(format!("attention_logit_max_{block:02}"), *logit_max);
        metrics.insert(format!("attention_entropy_{block:02}"), *entropy);
    }
    metrics
}

/// Consecutive examples of a cache.
pub(crate) struct CachedBatch<'a> {
    pixels: &'a [u8],
    pub(crate) labels: &'a [u32],
    side: i64,
}

pub(crate) fn batches(cached: &Cached, size: usize) -> impl Iterator<Item = CachedBatch<'_>> {
    let side = i64::from(cached.resolution());
    let pixels = cached.pixels().chunks(size * cached.image_bytes());
    pixels.zip(cached.labels().chunks(size)).map(move |(pixels, labels)| CachedBatch {
        pixels,
        labels,
        side,
    })
}

impl CachedBatch<'_> {
    /// Images `[n, 3, side, side]` f32 in [-1, 1] and labels `[n]` i64.
    pub(crate) fn on(&self, device: tch::Device) -> (Tensor, Tensor) {
        let count = i64::try_from(self.labels.len()).expect("at most a batch");
        let pixels =
            Tensor::from_data_size(self.pixels, &[count, 3, self.side, self.side], Kind::Uint8);
        (images(&pixels.to_device(device)), labels(self.labels).to_device(device))
    }
}
