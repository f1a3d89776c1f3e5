//! The tables of a sweep file, exactly as written. serde checks keys and types here, with the
//! line; what the values mean together is checked in `expand`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::{self, MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Deserializer};

use crate::data::OnCorrupt;
use crate::keep::Keep;
use crate::optimiser::{AdamW, Optimiser};
use crate::schedule::Cooldown;
use crate::train::{Augmentation, Convention, Objective, Precision, WeightDecay};
use crate::transfer::Resample;

use super::model::{ModelTable, ShapeEntry};
use super::slurm::SlurmTable;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepFile {
    pub name: String,
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    pub data: DataTable,
    pub model: ModelTable,
    pub axes: AxesTable,
    pub train: TrainTable,
    #[serde(default)]
    pub eval: EvalTable,
    /// Further cross products over the same recipe; trials that the grid already has count once.
    #[serde(default)]
    pub part: Vec<PartTable>,
    /// Evaluations of every trial on other tasks.
    #[serde(default)]
    pub transfer: Vec<TransferTable>,
    #[serde(default)]
    pub checkpoints: CheckpointsTable,
    /// What a queue is asked for.
    pub slurm: Option<SlurmTable>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointsTable {
    #[serde(default)]
    pub keep: Keep,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataTable {
    pub source: SourceName,
    pub path: Option<PathBuf>,
    pub resolution: Option<u32>,
    pub classes: Option<u32>,
    pub first_class: Option<u32>,
    pub difficulty: Option<f64>,
    pub seed: Option<u64>,
    pub on_corrupt: Option<OnCorrupt>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SourceName {
    Procedural,
    ImageFolder,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AxesTable {
    pub unique_examples: Vec<u64>,
    pub examples_seen: Option<Vec<u64>>,
    pub epochs: Option<Vec<f64>>,
    pub train_flops: Option<Vec<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartTable {
    pub seeds: Option<Vec<u64>>,
    pub shapes: Option<Vec<ShapeEntry>>,
    pub unique_examples: Option<Vec<u64>>,
    pub examples_seen: Option<Vec<u64>>,
    pub epochs: Option<Vec<f64>>,
    pub train_flops: Option<Vec<f64>>,
    pub learning_rate: Option<LearningRate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainTable {
    pub batch: u32,
    pub micro_batch: Option<u32>,
    #[serde(default)]
    pub checkpoint_activations: bool,
    #[serde(default, deserialize_with = "objective")]
    pub objective: Objective,
    #[serde(default)]
    pub mixup: f64,
    #[serde(default = "adamw", deserialize_with = "optimiser")]
    pub optimiser: Optimiser,
    pub learning_rate: LearningRate,
    #[serde(default = "no_decay", deserialize_with = "weight_decay")]
    pub weight_decay: WeightDecay,
    /// 0 switches clipping off.
    #[serde(default = "clip_at_one")]
    pub clip: f64,
    pub polyak: Option<f64>,
    pub schedule: ScheduleTable,
    #[serde(default)]
    pub augmentation: Augmentation,
    #[serde(default)]
    pub precision: Precision,
}

#[derive(Clone, Debug)]
pub(super) enum LearningRate {
    One(f64),
    Tuned(Vec<f64>),
    ByShape(BTreeMap<String, f64>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleTable {
    pub decay: DecayName,
    #[serde(default)]
    pub warmup: u64,
    #[serde(default = "no_cooldown", deserialize_with = "cooldown")]
    pub cooldown: Cooldown,
    pub timescale: Option<f64>,
    pub shift: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DecayName {
    Constant,
    Rsqrt,
    Cosine,
    Linear,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvalTable {
    #[serde(default = "default_eval_examples")]
    pub examples: u64,
    pub every: Option<u64>,
    #[serde(default)]
    pub attention: bool,
}

/// One evaluation on another task; which keys there are depends on the method.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferTable {
    pub name: Option<String>,
    pub method: MethodName,
    /// None: as many classes of the sweep's procedural source, behind those that it trains on.
    pub data: Option<DataTable>,
    #[serde(default = "default_eval_examples")]
    pub examples: u64,
    pub shots: Option<Vec<u32>>,
    pub draws: Option<u32>,
    pub l2: Option<f64>,
    pub pool: Option<u64>,
    pub unique_examples: Option<u64>,
    pub steps: Option<u64>,
    pub batch: Option<u32>,
    pub learning_rate: Option<f64>,
    pub warmup: Option<u64>,
    pub resample: Option<Resample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MethodName {
    FewShot,
    LinearProbe,
    FineTune,
}

impl Default for EvalTable {
    fn default() -> Self {
        Self { examples: default_eval_examples(), every: None, attention: false }
    }
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

fn adamw() -> Optimiser {
    Optimiser::Adamw(AdamW::default())
}

const fn no_decay() -> WeightDecay {
    WeightDecay::NONE
}

const fn clip_at_one() -> f64 {
    1.0
}

const fn no_cooldown() -> Cooldown {
    Cooldown::Steps(0)
}

const fn default_eval_examples() -> u64 {
    4096
}

/// An optimiser's name, or a table that spells its constants out.
fn optimiser<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Optimiser, D::Error> {
    const EXPECTED: &str =
        r#""adamw", "adafactor", "sgd", or a table such as { name = "adamw", beta2 = 0.999 }"#;
    name_or_table(deserializer, EXPECTED)
}

/// An objective's name, or a table that spells its constants out.
fn objective<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Objective, D::Error> {
    const EXPECTED: &str = r#""softmax", "sigmoid", "masked-patch", or a table such as { name = "sigmoid", head_bias = -10 }"#;
    name_or_table(deserializer, EXPECTED)
}

/// `"x"` is read as `{ name = "x" }`.
fn name_or_table<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    struct NameOrTable<T>(&'static str, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for NameOrTable<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
            let table = value::MapDeserializer::new(std::iter::once(("name", name)));
            T::deserialize(table)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(value::MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(NameOrTable(expected, PhantomData))
}

/// A number for every matrix, or `{ body = .., head = .. }`.
fn weight_decay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WeightDecay, D::Error> {
    struct NumberOrTable;
    impl<'de> Visitor<'de> for NumberOrTable {
        type Value = WeightDecay;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a number or { body = 0.03, head = 3.0 }")
        }

        fn visit_f64<E: de::Error>(self, decay: f64) -> Result<WeightDecay, E> {
            Ok(WeightDecay { body: decay, head: decay, convention: Convention::Rate })
        }

        fn visit_i64<E: de::Error>(self, decay: i64) -> Result<WeightDecay, E> {
            self.visit_f64(decay as f64)
        }

        fn visit_u64<E: de::Error>(self, decay: u64) -> Result<WeightDecay, E> {
            self.visit_f64(decay as f64)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WeightDecay, A::Error> {
            WeightDecay::deserialize(value::MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(NumberOrTable)
}

/// A whole number is steps, a number with a point is a share of the trial.
fn cooldown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cooldown, D::Error> {
    struct StepsOrFraction;
    impl Visitor<'_> for StepsOrFraction {
        type Value = Cooldown;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a share of the trial (0.2) or a number of steps (500)")
        }

        fn visit_f64<E: de::Error>(self, fraction: f64) -> Result<Cooldown, E> {
            Ok(Cooldown::Fraction(fraction))
        }

        fn visit_i64<E: de::Error>(self, steps: i64) -> Result<Cooldown, E> {
            let steps = u64::try_from(steps)
                .map_err(|_| E::invalid_value(de::Unexpected::Signed(steps), &self))?;
            Ok(Cooldown::Steps(steps))
        }

        fn visit_u64<E: de::Error>(self, steps: u64) -> Result<Cooldown, E> {
            Ok(Cooldown::Steps(steps))
        }
    }
    deserializer.deserialize_any(StepsOrFraction)
}

impl<'de> Deserialize<'de> for LearningRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneListOrTable;
        impl<'de> Visitor<'de> for OneListOrTable {
            type Value = LearningRate;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, a list to tune over, or a table by shape")
            }

            fn visit_f64<E: de::Error>(self, rate: f64) -> Result<LearningRate, E> {
                Ok(LearningRate::One(rate))
            }

            fn visit_i64<E: de::Error>(self, rate: i64) -> Result<LearningRate, E> {
                self.visit_f64(rate as f64)
            }

            fn visit_u64<E: de::Error>(self, rate: u64) -> Result<LearningRate, E> {
                self.visit_f64(rate as f64)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<LearningRate, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(LearningRate::Tuned)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LearningRate, A::Error> {
                BTreeMap::deserialize(value::MapAccessDeserializer::new(map))
                    .map(LearningRate::ByShape)
            }
        }
        deserializer.deserialize_any(OneListOrTable)
    }
}
