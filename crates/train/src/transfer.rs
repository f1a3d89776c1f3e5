//! Evaluations of a trial's checkpoint on another task. Few-shot regression and linear probes work on
//! frozen features, computed once; fine-tuning is training, and the segment's loop does it.

use std::collections::BTreeMap;
use std::path::Path;

use data::few_shot::{TooFewShots, shots};
use data::{Cached, DataError, Split, order};
use models::{BindError, Model, Parameter, Pass};
use spec::{
    Augmentation, Convention, Decay, EvalSpec, FewShot, FineTune, LinearProbe, Moment, Objective,
    Optimiser, Recipe, Schedule, Sgd, TrainSpec, TransferMethod, TransferSpec, WeightDecay,
};
use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::command::resample_to;
use crate::evaluate::batches;
use crate::gradient::full;
use crate::stop::Stop;

/// Examples per forward pass.
const BATCH: usize = 256;

/// Divides by the spread of a feature that never changes; big_vision's `fewshot_lsr`.
const STD_EPS: f64 = 1e-5;

/// The constant feature that stands for a bias, so large that the penalty hardly touches its weight.
const BIAS_FEATURE: f64 = 100.0;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("few-shot evaluation: {0}")]
    Shots(#[from] TooFewShots),
    #[error("few-shot evaluation: {0}")]
    Solve(tch::TchError),
}

/// Frozen features `[n, width]` f64 on the CPU, and labels `[n]`.
struct Features {
    x: Tensor,
    labels: Vec<u32>,
}

/// The metrics of an evaluation on frozen features, by their full names; None for one that trains the
/// model.
///
/// # Errors
/// Examples that cannot be had or are too few, parameters that are not the model's.
pub(crate) fn on_features(
    transfer: &TransferSpec,
    recipe: &Recipe,
    parameters: &[Parameter],
    cache: &Path,
    device: Device,
    stop: &Stop,
) -> Result<Option<BTreeMap<String, f64>>, TransferError> {
    let n_train = match &transfer.method {
        TransferMethod::FewShot(few) => few.pool,
        TransferMethod::LinearProbe(probe) => probe.unique_examples,
        TransferMethod::FineTune(_) => return Ok(None),
    };
    let _no_grad = no_grad_guard();
    let model = frozen(transfer, recipe, parameters, device)?;
    let source = data::open(&transfer.data)?;
    let features = |split, n| -> Result<Features, TransferError> {
        let cancelled = || stop.is_requested();
        let cached = Cached::open_or_build(&*source, split, n, cache, &cancelled)?;
        Ok(features(&model, &cached, device))
    };
    let (train, test) =
        (features(Split::Train, n_train)?, features(Split::Validation, transfer.examples)?);
    let measured = match &transfer.method {
        TransferMethod::FewShot(few) => few_shot(few, &train, &test, transfer.classes)?,
        TransferMethod::LinearProbe(probe) => linear_probe(probe, &train, &test, transfer.classes),
        TransferMethod::FineTune(_) => BTreeMap::new(),
    };
    Ok(Some(measured.into_iter().map(|(name, value)| (transfer.metric(&name), value)).collect()))
}

/// The trial's model without its classifier, at the task's resolution.
fn frozen(
    transfer: &TransferSpec,
    recipe: &Recipe,
    parameters: &[Parameter],
    device: Device,
) -> Result<Model, BindError> {
    let spec = recipe.model.adapted(transfer.data.resolution(), 0);
    let mut kept: Vec<Parameter> = parameters
        .iter()
        .filter(|parameter| !parameter.name.starts_with("head."))
        .map(|Parameter { name, tensor }| Parameter {
            name: name.clone(),
            tensor: tensor.to_device(device),
        })
        .collect();
    resample_to(&spec, &mut kept, transfer.resample());
    Model::bind(&spec, &kept)
}

fn features(model: &Model, cached: &Cached, device: Device) -> Features {
    let rows: Vec<Tensor> = batches(cached, BATCH)
        .map(|batch| {
            let (images, _) = batch.on(device);
            full(&model.features(&images, &Pass::PLAIN)).to_device(Device::Cpu)
        })
        .collect();
    Features { x: Tensor::cat(&rows, 0).to_kind(Kind::Double), labels: cached.labels().to_vec() }
}

/// big_vision's `fewshot_lsr` in f64: features standardised by the shots' own statistics, a constant
/// one appended, targets of -1 and 1, `W = argmin |XW - Y|^2 + l2 |W|^2`.
fn few_shot(
    few: &FewShot,
    train: &Features,
    test: &Features,
    classes: u32,
) -> Result<BTreeMap<String, f64>, TransferError> {
    let truth = wide(&test.labels);
    let mut metrics = BTreeMap::new();
    for &count in &few.shots {
        let mut sum = 0.0;
        for draw in 0..few.draws {
            let chosen = shots(&train.labels, classes, count, 0, draw)?;
            let places: Vec<i64> = chosen.iter().map(|&place| place as u64 as i64).collect();
            let x = train.x.index_select(0, &Tensor::from_slice(&places));
            let labels: Vec<u32> = chosen.iter().map(|&place| train.labels[place]).collect();
            let y = wide(&labels).one_hot(classes.into()).to_kind(Kind::Double) * 2.0 - 1.0;
            let (mean, spread) = statistics(&x);
            let prepared = |x: &Tensor| with_bias(&((x - &mean) / &spread));
            let weights = ridge(&prepared(&x), &y, few.l2).map_err(TransferError::Solve)?;
            let chosen = prepared(&test.x).matmul(&weights).argmax(1, false);
            sum +=
                chosen.ne_tensor(&truth).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        }
        metrics.insert(format!("few_shot_{count}_error"), sum / f64::from(few.draws));
    }
    Ok(metrics)
}

/// Mean and spread of each feature.
fn statistics(x: &Tensor) -> (Tensor, Tensor) {
    let mean = x.mean_dim(0, true, None::<Kind>);
    let spread = (x - &mean).square().mean_dim(0, true, None::<Kind>).sqrt() + STD_EPS;
    (mean, spread)
}

fn with_bias(x: &Tensor) -> Tensor {
    let bias = Tensor::full([x.size()[0], 1], BIAS_FEATURE, (x.kind(), x.device()));
    Tensor::cat(&[x, &bias], 1)
}

/// `(X'X + l2 I)^-1 X'Y`, or the same as `X'(XX' + l2 I)^-1 Y` where there are fewer rows than columns.
fn ridge(x: &Tensor, y: &Tensor, l2: f64) -> Result<Tensor, tch::TchError> {
    let (rows, columns) = x.size2()?;
    let penalised = |gram: Tensor, side: i64| gram + Tensor::eye(side, (x.kind(), x.device())) * l2;
    if rows < columns {
        let gram = penalised(x.matmul(&x.tr()), rows);
        return Ok(x.tr().matmul(&Tensor::f_linalg_solve(&gram, y, true)?));
    }
    Tensor::f_linalg_solve(&penalised(x.tr().matmul(x), columns), &x.tr().matmul(y), true)
}

/// Softmax regression on standardised features by SGD with momentum 0.9 along a cosine to zero.
fn linear_probe(
    probe: &LinearProbe,
    train: &Features,
    test: &Features,
    classes: u32,
) -> BTreeMap<String, f64> {
    let (mean, spread) = statistics(&train.x);
    let (x, labels) = ((&train.x - &mean) / &spread, wide(&train.labels));
    let options = (Kind::Double, Device::Cpu);
    let width = x.size()[1];
    let mut weights = Tensor::zeros([width + 1, classes.into()], options);
    let mut momentum = weights.zeros_like();
    let with_one = |x: &Tensor| Tensor::cat(&[x, &Tensor::ones([x.size()[0], 1], options)], 1);
    let schedule = Schedule { decay: Decay::Cosine, warmup: 0 };
    for step in 0..probe.steps {
        let draws = order::batch(0, probe.unique_examples, probe.batch, step);
        let places: Vec<i64> = draws.iter().map(|draw| draw.index.cast_signed()).collect();
        let places = Tensor::from_slice(&places);
        let (x, labels) = (with_one(&x.index_select(0, &places)), labels.index_select(0, &places));
        // Of the mean cross-entropy: X'(p - onehot) / n.
        let p = x.matmul(&weights).softmax(1, Kind::Double);
        let wrong = p - labels.one_hot(classes.into()).to_kind(Kind::Double);
        let gradient = x.tr().matmul(&wrong) / f64::from(probe.batch);
        momentum = momentum * 0.9 + gradient;
        weights -= &momentum * (probe.learning_rate * schedule.multiplier(step, probe.steps));
    }
    let logits = with_one(&((&test.x - &mean) / &spread)).matmul(&weights);
    let truth = wide(&test.labels);
    let loss = logits.cross_entropy_loss::<Tensor>(&truth, None, tch::Reduction::Mean, -100, 0.0);
    let wrong = logits.argmax(1, false).ne_tensor(&truth).to_kind(Kind::Double).mean(Kind::Double);
    BTreeMap::from([
        ("linear_probe_error".to_owned(), wrong.double_value(&[])),
        ("linear_probe_loss".to_owned(), loss.double_value(&[])),
    ])
}

fn wide(labels: &[u32]) -> Tensor {
    crate::examples::labels(labels)
}

/// What fine-tuning trains: the task's data, the trial's model with a new classifier in the place of
/// both old layers, SGD as in 2010.11929, appendix B.1.1.
pub(crate) fn recipe(transfer: &TransferSpec, tune: &FineTune, of_trial: &Recipe) -> Recipe {
    Recipe {
        format: of_trial.format,
        data: transfer.data.clone(),
        unique_examples: tune.unique_examples,
        model: transfer.model(&of_trial.model),
        train: TrainSpec {
            batch: tune.batch,
            micro_batch: None,
            checkpoint_activations: of_trial.train.checkpoint_activations,
            objective: Objective::Softmax { label_smoothing: 0.0 },
            mixup: 0.0,
            optimiser: Optimiser::Sgd(Sgd {
                momentum: 0.9,
                nesterov: false,
                first_moment: Moment::F32,
            }),
            learning_rate: tune.learning_rate,
            weight_decay: WeightDecay { body: 0.0, head: 0.0, convention: Convention::Rate },
            clip: Some(1.0),
            polyak: None,
            schedule: Schedule { decay: Decay::Cosine, warmup: tune.warmup },
            augmentation: Augmentation::default(),
            precision: of_trial.train.precision,
        },
        eval: EvalSpec { examples: transfer.examples, every: None, attention: false },
        seed: of_trial.seed,
    }
}

/// The trial's parameters for [`recipe`]'s model: positions on its grid, fresh where it has what the
/// trial's model has not.
pub(crate) fn initial(
    tuned: &Recipe,
    tune: &FineTune,
    parameters: Vec<Parameter>,
) -> Vec<Parameter> {
    let mut parameters = parameters;
    resample_to(&tuned.model, &mut parameters, tune.resample);
    let mut of_trial: BTreeMap<String, Tensor> = parameters
        .into_iter()
        .filter(|parameter| !parameter.name.starts_with("head."))
        .map(|parameter| (parameter.name, parameter.tensor))
        .collect();
    models::initial(&tuned.model, tuned.seed)
        .into_iter()
        .map(|Parameter { name, tensor }| Parameter {
            tensor: of_trial.remove(&name).unwrap_or(tensor),
            name,
        })
        .collect()
}

/// `val_error` and `val_loss` by the names that they have as the evaluation's.
pub(crate) fn renamed(
    transfer: &TransferSpec,
    metrics: BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    metrics
        .into_iter()
        .map(|(name, value)| (transfer.metric(&name.replacen("val_", "fine_tune_", 1)), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: i64, columns: i64) -> Tensor {
        tch::manual_seed(5);
        Tensor::randn([rows, columns], (Kind::Double, Device::Cpu))
    }

    /// At the minimum of the penalised squares the gradient is zero.
    #[test]
    fn ridge_is_the_minimum_from_either_side() {
        for (rows, columns) in [(30, 7), (7, 30)] {
            let (x, y) = (random(rows, columns), random(rows, 3));
            let weights = ridge(&x, &y, 2.5).unwrap();
            let gradient = x.tr().matmul(&(x.matmul(&weights) - &y)) + &weights * 2.5;
            assert!(gradient.abs().max().double_value(&[]) < 1e-10);
        }
    }

    /// Classes around corners far apart.
    fn clusters(each: usize) -> Features {
        let labels: Vec<u32> = (0..4 * each).map(|place| (place % 4) as u32).collect();
        let corner = wide(&labels).one_hot(4).to_kind(Kind::Double) * 6.0;
        Features { x: corner + random(4 * each as i64, 4), labels }
    }

    #[test]
    fn separate_classes_are_told_apart_and_mixed_labels_are_not() {
        let (train, test) = (clusters(40), clusters(25));
        let few = FewShot { shots: vec![1, 10], draws: 3, l2: 1024.0, pool: 160 };
        let metrics = few_shot(&few, &train, &test, 4).unwrap();
        assert!(metrics["few_shot_10_error"] < 0.02, "{metrics:?}");
        let probe = LinearProbe { unique_examples: 160, steps: 200, batch: 32, learning_rate: 0.1 };
        let metrics = linear_probe(&probe, &train, &test, 4);
        assert!(metrics["linear_probe_error"] < 0.02, "{metrics:?}");
        let shifted: Vec<u32> = (0..100).map(|place| (place / 25) as u32).collect();
        let mixed = Features { x: test.x.copy(), labels: shifted };
        let metrics = few_shot(&few, &train, &mixed, 4).unwrap();
        assert!((metrics["few_shot_10_error"] - 0.75).abs() < 0.1, "{metrics:?}");
    }
}
