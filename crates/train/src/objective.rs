//! What training minimises and validation measures.

use spec::Objective;
use tch::{Kind, Reduction, Tensor};

/// What is right for a batch.
#[derive(Debug)]
pub(crate) enum Targets {
    /// `[batch]` i64.
    Labels(Tensor),
    /// A share of each label, and the rest of another: mixup.
    Mixed { share: f64, first: Tensor, second: Tensor },
    /// Of the corrupted patches: their places `[n]` in `[batch x patches]`, and their colours `[n]`.
    Patches { places: Tensor, colours: Tensor },
}

/// Mean loss over examples, a scalar in nats, of f32 logits `[batch, classes]` (of
/// `[batch, patches, colours]` for patches).
pub(crate) fn loss(objective: &Objective, logits: &Tensor, targets: &Targets) -> Tensor {
    match targets {
        Targets::Labels(labels) => labelled(objective, logits, labels),
        Targets::Mixed { share, first, second } => {
            labelled(objective, logits, first) * *share
                + labelled(objective, logits, second) * (1.0 - share)
        }
        Targets::Patches { places, colours } => cross_entropy(&asked(logits, places), colours, 0.0),
    }
}

/// Logits `[n, colours]` of the patches that are asked for.
fn asked(logits: &Tensor, places: &Tensor) -> Tensor {
    logits.flatten(0, 1).index_select(0, places)
}

/// Sums over a batch of loss and of wrong first choices, `[2]` f64, without label smoothing.
pub(crate) fn sums(objective: &Objective, logits: &Tensor, targets: &Targets) -> Tensor {
    let batch = logits.size()[0] as f64;
    let loss = loss(&objective.plain(), logits, targets).to_kind(Kind::Double) * batch;
    let wrong = match targets {
        Targets::Labels(labels) => wrong(logits, labels),
        Targets::Mixed { first, .. } => wrong(logits, first),
        // Of an example, the share of its patches.
        Targets::Patches { places, colours } => {
            wrong(&asked(logits, places), colours) * (batch / colours.size()[0] as f64)
        }
    };
    Tensor::stack(&[loss, wrong], 0)
}

fn wrong(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.argmax(1, false).ne_tensor(labels).sum(Kind::Double)
}

fn labelled(objective: &Objective, logits: &Tensor, labels: &Tensor) -> Tensor {
    match *objective {
        Objective::Softmax { label_smoothing } => cross_entropy(logits, labels, label_smoothing),
        Objective::Sigmoid { label_smoothing, .. } => sigmoid(logits, labels, label_smoothing),
        Objective::MaskedPatch { .. } => unreachable!("patches have colours, no labels"),
    }
}

fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, smoothing)
}

/// Sum over classes, mean over examples: `sum_k softplus(z_k) - t_k z_k` with
/// `t = (1 - s) onehot + s / K`.
fn sigmoid(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    let (batch, classes) = logits.size2().expect("logits have two dimensions");
    let of_label = logits.gather(1, &labels.unsqueeze(1), false).sum(None::<Kind>);
    let softplus = logits.softplus().sum(None::<Kind>);
    let spread = match smoothing > 0.0 {
        true => logits.sum(None::<Kind>) * (smoothing / classes as f64),
        false => of_label.zeros_like(),
    };
    (softplus - of_label * (1.0 - smoothing) - spread) / batch as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn logits() -> Tensor {
        let values = Tensor::arange(12, (Kind::Double, Device::Cpu)) * 1.7;
        values.sin().view([3, 4]) * 3.0
    }

    fn labels() -> Tensor {
        Tensor::from_slice(&[2_i64, 0, 3])
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} is not {right}");
    }

    /// Each class by itself, as a definition has it.
    #[test]
    fn sigmoid_is_the_sum_of_binary_cross_entropies() {
        for smoothing in [0.0, 0.1] {
            let (logits, labels) = (logits(), labels());
            let mut expected = 0.0;
            for row in 0..3 {
                for class in 0..4 {
                    let p = 1.0 / (1.0 + (-logits.double_value(&[row, class])).exp());
                    let is_label = f64::from(u8::from(labels.int64_value(&[row]) == class));
                    let target = (1.0 - smoothing) * is_label + smoothing / 4.0;
                    expected -= target * p.ln() + (1.0 - target) * (1.0 - p).ln();
                }
            }
            let objective = Objective::Sigmoid { head_bias: 0.0, label_smoothing: smoothing };
            let found = loss(&objective, &logits, &Targets::Labels(labels));
            close(found.double_value(&[]), expected / 3.0);
        }
    }

    #[test]
    fn mixed_labels_weigh_two_losses() {
        let objective = Objective::Softmax { label_smoothing: 0.1 };
        let of = |targets| loss(&objective, &logits(), &targets).double_value(&[]);
        let second = labels().roll([1], [0]);
        let mixed = of(Targets::Mixed { share: 0.7, first: labels(), second: second.copy() });
        close(mixed, 0.7 * of(Targets::Labels(labels())) + 0.3 * of(Targets::Labels(second)));
    }

    #[test]
    fn patches_are_asked_for_their_colours_alone() {
        let logits = logits().view([1, 3, 4]);
        let places = Tensor::from_slice(&[2_i64, 0]);
        let colours = Tensor::from_slice(&[1_i64, 3]);
        let asked = logits.select(0, 0).index_select(0, &places);
        let expected = cross_entropy(&asked, &colours, 0.0).double_value(&[]);
        let targets = Targets::Patches { places, colours };
        let objective = Objective::MaskedPatch { share: 0.5 };
        close(loss(&objective, &logits, &targets).double_value(&[]), expected);
        close(sums(&objective, &logits, &targets).double_value(&[0]), expected);
    }

    #[test]
    fn validation_forgets_smoothing_and_counts_wrong_choices() {
        let targets = Targets::Labels(labels());
        let plain = loss(&Objective::default(), &logits(), &targets).double_value(&[]);
        let objective = Objective::Softmax { label_smoothing: 0.3 };
        let sums = sums(&objective, &logits(), &targets);
        close(sums.double_value(&[0]), 3.0 * plain);
        let right = logits().argmax(1, false).eq_tensor(&labels()).sum(Kind::Double);
        close(sums.double_value(&[1]), 3.0 - right.double_value(&[]));
    }
}
