//! Loss and error on the validation stream.

use std::collections::BTreeMap;

use data::{Cached, Source};
use tch::{Kind, Reduction, Tensor, no_grad_guard};
use torch_ext::TorchError;

use crate::examples::labels;
use crate::feed::images;
use crate::learner::Learner;

/// Examples per forward pass.
const BATCH: usize = 256;

/// `val_loss` (mean cross-entropy, nats) and `val_error` (share of wrong first choices) over all of
/// `validation`. Sums are taken in f64 on the device and read once.
///
/// # Errors
/// What libtorch says.
pub(crate) fn evaluate(
    learner: &Learner,
    validation: &Cached,
) -> Result<BTreeMap<String, f64>, TorchError> {
    let _no_grad = no_grad_guard();
    let side = i64::from(validation.resolution());
    let mut sums = Tensor::zeros([2], (Kind::Double, learner.device));
    let bytes = validation.image_bytes();
    for (pixels, classes) in
        validation.pixels().chunks(BATCH * bytes).zip(validation.labels().chunks(BATCH))
    {
        let count = i64::try_from(classes.len()).expect("at most a batch");
        let pixels = Tensor::from_data_size(pixels, &[count, 3, side, side], Kind::Uint8);
        let labels = labels(classes).to_device(learner.device);
        let logits = learner.logits(&images(&pixels.to_device(learner.device)))?;
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Sum, -100, 0.0);
        let wrong = logits.argmax(1, false).ne_tensor(&labels).sum(Kind::Double);
        sums += Tensor::stack(&[loss.to_kind(Kind::Double), wrong], 0);
    }
    let mean = |at| sums.double_value(&[at]) / validation.labels().len() as f64;
    Ok(BTreeMap::from([("val_loss".to_owned(), mean(0)), ("val_error".to_owned(), mean(1))]))
}
