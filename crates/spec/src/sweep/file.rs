//! The tables of a sweep file, exactly as written. serde checks keys and types here, with the
//! line; what the values mean together is checked in `expand`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{self, MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Deserializer};

use crate::data::OnCorrupt;
use crate::model::{Pool, Positions};
use crate::schedule::Cooldown;
use crate::shape::Shape;
use crate::train::{AdamW, Augmentation, Optimiser, Precision, WeightDecay};

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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataTable {
    pub source: SourceName,
    pub path: Option<PathBuf>,
    pub resolution: Option<u32>,
    pub classes: Option<u32>,
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
pub(super) struct ModelTable {
    pub family: Family,
    pub patch: u32,
    pub shapes: Vec<ShapeEntry>,
    #[serde(default)]
    pub pool: Pool,
    #[serde(default)]
    pub positions: Positions,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Family {
    Vit,
}

/// A published name, or a shape spelt out with a name of its own if it has one.
#[derive(Clone, Debug)]
pub(super) enum ShapeEntry {
    Published(String),
    SpeltOut { name: Option<String>, shape: Shape },
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
    #[serde(default = "adamw", deserialize_with = "optimiser")]
    pub optimiser: Optimiser,
    pub learning_rate: LearningRate,
    #[serde(default = "no_decay", deserialize_with = "weight_decay")]
    pub weight_decay: WeightDecay,
    /// 0 switches clipping off.
    #[serde(default = "clip_at_one")]
    pub clip: f64,
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
}

impl Default for EvalTable {
    fn default() -> Self {
        Self { examples: default_eval_examples(), every: None }
    }
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

fn adamw() -> Optimiser {
    Optimiser::Adamw(AdamW::default())
}

const fn no_decay() -> WeightDecay {
    WeightDecay { body: 0.0, head: 0.0 }
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

/// `"adamw"`, or a table that spells its constants out.
fn optimiser<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Optimiser, D::Error> {
    struct NameOrTable;
    impl<'de> Visitor<'de> for NameOrTable {
        type Value = Optimiser;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(r#""adamw" or { name = "adamw", beta1 = 0.9, beta2 = 0.95, eps = 1e-8 }"#)
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Optimiser, E> {
            match name {
                "adamw" => Ok(adamw()),
                _ => Err(E::unknown_variant(name, &["adamw"])),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Optimiser, A::Error> {
            Optimiser::deserialize(value::MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(NameOrTable)
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
            Ok(WeightDecay { body: decay, head: decay })
        }

        fn visit_i64<E: de::Error>(self, decay: i64) -> Result<WeightDecay, E> {
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

impl<'de> Deserialize<'de> for ShapeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            name: Option<String>,
            width: u32,
            depth: u32,
            mlp: u32,
            heads: u32,
        }

        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = ShapeEntry;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a shape's name or { width = 96, depth = 6, mlp = 384, heads = 3 }")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ShapeEntry, E> {
                Ok(ShapeEntry::Published(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ShapeEntry, A::Error> {
                let table = Table::deserialize(value::MapAccessDeserializer::new(map))?;
                let Table { name, width, depth, mlp, heads } = table;
                Ok(ShapeEntry::SpeltOut { name, shape: Shape { width, depth, mlp, heads } })
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}
