//! What fine-tuning trains, and from what (2010.11929, section 3.2 and appendix B.1.1).

use std::collections::BTreeMap;

use models::Parameter;
use spec::{
    Augmentation, Decay, EvalSpec, FineTune, Objective, Optimiser, Recipe, Schedule, Sgd,
    TrainSpec, TransferSpec, WeightDecay,
};
use tch::Tensor;

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
            micro_batch: of_trial.train.micro_batch.map(|micro| micro.min(tune.batch)),
            checkpoint_activations: of_trial.train.checkpoint_activations,
            objective: Objective::Softmax { label_smoothing: 0.0 },
            mixup: 0.0,
            optimiser: Optimiser::Sgd(Sgd::default()),
            learning_rate: tune.learning_rate,
            weight_decay: WeightDecay::NONE,
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
    models::resample(&tuned.model, &mut parameters, tune.resample);
    let mut of_trial: BTreeMap<String, Tensor> = parameters
        .into_iter()
        .filter(|parameter| !parameter.is_head())
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
