//! A linear classifier on frozen features (2302.05442, section 4.1): softmax regression by SGD with
//! momentum along a cosine to zero. Features are standardised; nothing is augmented.

use std::collections::BTreeMap;

use data::order;
use spec::{Decay, LinearProbe, Schedule};
use tch::{Kind, Reduction, Tensor};

use super::{Task, TransferError, check, error, statistics, with_constant};
use crate::examples::labels;
use crate::stop::Stop;

const MOMENTUM: f64 = 0.9;

/// `linear_probe_error` and `linear_probe_loss` (nats).
///
/// # Errors
/// A stop.
pub(super) fn measure(
    probe: &LinearProbe,
    task: &Task,
    stop: &Stop,
) -> Result<BTreeMap<String, f64>, TransferError> {
    let (mean, spread) = statistics(&task.train.x);
    let prepared = |x: &Tensor| with_constant(&((x - &mean) / &spread), 1.0);
    let weights = train(probe, &prepared(&task.train.x), task, stop)?;
    let (logits, truth) = (prepared(&task.test.x).matmul(&weights), labels(&task.test.labels));
    let loss = logits.cross_entropy_loss::<Tensor>(&truth, None, Reduction::Mean, -100, 0.0);
    Ok(BTreeMap::from([
        ("linear_probe_error".to_owned(), error(&logits, &truth)),
        ("linear_probe_loss".to_owned(), loss.double_value(&[])),
    ]))
}

/// Weights `[width + 1, classes]`, zero at first.
fn train(
    probe: &LinearProbe,
    x: &Tensor,
    task: &Task,
    stop: &Stop,
) -> Result<Tensor, TransferError> {
    let classes = i64::from(task.classes);
    let onehot = labels(&task.train.labels).one_hot(classes).to_kind(Kind::Double);
    let mut weights = Tensor::zeros([x.size()[1], classes], (x.kind(), x.device()));
    let mut momentum = weights.zeros_like();
    let schedule = Schedule { decay: Decay::Cosine, warmup: 0 };
    for step in 0..probe.steps {
        check(stop)?;
        let draws = order::batch(0, probe.unique_examples, probe.batch, step);
        let rows: Vec<i64> = draws.iter().map(|draw| draw.index.cast_signed()).collect();
        let rows = Tensor::from_slice(&rows);
        let (x, y) = (x.index_select(0, &rows), onehot.index_select(0, &rows));
        // Of the mean cross-entropy: X'(p - onehot) / n.
        let wrong = x.matmul(&weights).softmax(1, Kind::Double) - y;
        momentum = momentum * MOMENTUM + x.tr().matmul(&wrong) / f64::from(probe.batch);
        weights -= &momentum * (probe.learning_rate * schedule.multiplier(step, probe.steps));
    }
    Ok(weights)
}
