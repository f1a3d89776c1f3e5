//! The table that describes a model, of sweep files and of spec files, and what it says.

use std::fmt;

use serde::de::{self, MapAccess, Visitor, value};
use serde::{Deserialize, Deserializer};

use super::Problem;
use crate::model::{
    BitShape, BitSpec, Block, Gelu, HybridSpec, MixerShape, MixerSpec, ModelError, ModelSpec, Mup,
    Norm, Pool, Positions, Stages, StagesError, VitSpec,
};
use crate::shape::{NamedShape, Shape, ShapeError};

/// Which keys there are depends on the family: [`ModelTable::unread`] finds those that it does not
/// have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelTable {
    pub family: Family,
    #[serde(default)]
    pub shapes: Vec<ShapeEntry>,
    pub patch: Option<u32>,
    pub pool: Option<Pool>,
    pub positions: Option<Positions>,
    pub gelu: Option<Gelu>,
    pub norm: Option<Norm>,
    pub block: Option<Block>,
    pub qk_norm: Option<bool>,
    pub qkv_bias: Option<bool>,
    pub fc_norm: Option<bool>,
    pub no_embed_class: Option<bool>,
    pub pre_norm: Option<bool>,
    pub pre_logits: Option<bool>,
    pub dropout: Option<f64>,
    pub drop_path: Option<f64>,
    pub mup: Option<Mup>,
    /// Of a hybrid: the ResNet below the transformer.
    pub stem: Option<StemTable>,
    /// Of BiT.
    pub groups: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Family {
    Vit,
    Hybrid,
    Bit,
    Mixer,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StemTable {
    pub layers: Vec<u32>,
    #[serde(default = "bits_width")]
    pub width: u32,
    #[serde(default = "bits_groups")]
    pub groups: u32,
}

const fn bits_width() -> u32 {
    64
}

const fn bits_groups() -> u32 {
    32
}

/// A published name, or a shape spelt out with a name of its own if it has one.
#[derive(Clone, Debug)]
pub(super) enum ShapeEntry {
    Published(String),
    SpeltOut(ShapeTable),
}

/// The numbers of any family's shape.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShapeTable {
    name: Option<String>,
    width: Option<u32>,
    depth: Option<u32>,
    mlp: Option<u32>,
    heads: Option<u32>,
    tokens: Option<u32>,
    layers: Option<Vec<u32>>,
}

impl<'de> Deserialize<'de> for ShapeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
                ShapeTable::deserialize(value::MapAccessDeserializer::new(map))
                    .map(ShapeEntry::SpeltOut)
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

impl ShapeEntry {
    /// The shape of a transformer, for the family of this name.
    fn vit(&self, family: &'static str) -> Result<NamedShape, ShapeError> {
        match self {
            Self::Published(name) => NamedShape::published(name),
            Self::SpeltOut(table) => table.vit(family),
        }
    }

    fn bit(&self) -> Result<BitShape, ShapeError> {
        match self {
            Self::Published(name) => BitShape::published(name),
            Self::SpeltOut(table) => table.bit(),
        }
    }

    fn mixer(&self) -> Result<MixerShape, ShapeError> {
        match self {
            Self::Published(name) => MixerShape::published(name),
            Self::SpeltOut(table) => table.mixer(),
        }
    }
}

impl ShapeTable {
    fn vit(&self, family: &'static str) -> Result<NamedShape, ShapeError> {
        match *self {
            Self {
                ref name,
                width: Some(width),
                depth: Some(depth),
                mlp: Some(mlp),
                heads: Some(heads),
                tokens: None,
                layers: None,
            } => {
                let shape = NamedShape::spelt_out(Shape { width, depth, mlp, heads });
                Ok(NamedShape { name: name.clone().unwrap_or(shape.name), ..shape })
            }
            _ => Err(ShapeError::Keys { family, keys: "width, depth, mlp and heads" }),
        }
    }

    fn bit(&self) -> Result<BitShape, ShapeError> {
        match self {
            Self {
                name,
                width: Some(width),
                layers: Some(layers),
                depth: None,
                mlp: None,
                heads: None,
                tokens: None,
            } => {
                let shape = BitShape::spelt_out(layers.clone(), *width);
                Ok(BitShape { name: name.clone().unwrap_or(shape.name), ..shape })
            }
            _ => Err(ShapeError::Keys { family: "bit", keys: "layers and width" }),
        }
    }

    fn mixer(&self) -> Result<MixerShape, ShapeError> {
        match *self {
            Self {
                ref name,
                width: Some(width),
                depth: Some(depth),
                mlp: Some(mlp),
                tokens: Some(tokens),
                heads: None,
                layers: None,
            } => {
                let shape = MixerShape::spelt_out(width, depth, mlp, tokens);
                Ok(MixerShape { name: name.clone().unwrap_or(shape.name), ..shape })
            }
            _ => Err(ShapeError::Keys { family: "mixer", keys: "width, depth, mlp and tokens" }),
        }
    }
}

impl ModelTable {
    /// The model of one shape, whose key in problems is `shape`.
    pub(super) fn model(
        &self,
        entry: &ShapeEntry,
        resolution: u32,
        classes: u32,
    ) -> Result<ModelSpec, Problem> {
        if let Some(key) = self.unread() {
            return Err(Problem::new(key, "this family has no such setting"));
        }
        let shape_problem = |error: ShapeError| Problem::from(ModelError::Shape(error));
        let model = match self.family {
            Family::Vit => ModelSpec::Vit(self.vit(
                entry.vit("vit").map_err(shape_problem)?,
                resolution,
                classes,
            )?),
            Family::Hybrid => ModelSpec::Hybrid(HybridSpec {
                stem: self.stem()?,
                vit: self.vit(entry.vit("hybrid").map_err(shape_problem)?, resolution, classes)?,
            }),
            Family::Bit => ModelSpec::Bit(BitSpec {
                shape: entry.bit().map_err(shape_problem)?,
                groups: self.groups.unwrap_or(bits_groups()),
                resolution,
                classes,
            }),
            Family::Mixer => ModelSpec::Mixer(MixerSpec {
                shape: entry.mixer().map_err(shape_problem)?,
                patch: self.patch()?,
                resolution,
                classes,
                gelu: self.gelu.unwrap_or_default(),
                drop_path: self.drop_path.unwrap_or(0.0),
            }),
        };
        model.check()?;
        Ok(model)
    }

    fn vit(&self, shape: NamedShape, resolution: u32, classes: u32) -> Result<VitSpec, Problem> {
        Ok(VitSpec {
            pool: self.pool.unwrap_or_default(),
            positions: self.positions.unwrap_or_default(),
            gelu: self.gelu.unwrap_or_default(),
            norm: self.norm.unwrap_or_default(),
            block: self.block.unwrap_or_default(),
            qk_norm: self.qk_norm.unwrap_or(false),
            qkv_bias: self.qkv_bias.unwrap_or(true),
            fc_norm: self.fc_norm.unwrap_or(false),
            no_embed_class: self.no_embed_class.unwrap_or(false),
            pre_norm: self.pre_norm.unwrap_or(false),
            pre_logits: self.pre_logits.unwrap_or(false),
            dropout: self.dropout.unwrap_or(0.0),
            drop_path: self.drop_path.unwrap_or(0.0),
            mup: self.mup,
            ..VitSpec::new(shape, self.patch()?, resolution, classes)
        })
    }

    /// A hybrid's patches are of the stem's output, and one pixel of it unless the table says more.
    fn patch(&self) -> Result<u32, Problem> {
        match (self.patch, self.family) {
            (Some(patch), _) => Ok(patch),
            (None, Family::Hybrid) => Ok(1),
            (None, _) => Err(Problem::new("patch", "the side of a patch is missing")),
        }
    }

    fn stem(&self) -> Result<Stages, Problem> {
        match self.stem.clone() {
            Some(StemTable { layers, width, groups }) => Ok(Stages { layers, width, groups }),
            None => Err(Problem::new(
                "stem",
                "a hybrid needs its ResNet: stem = { layers = [3, 4, 9] }",
            )),
        }
    }

    /// The first key that is given though the family does not read it.
    fn unread(&self) -> Option<&'static str> {
        use Family::{Bit, Hybrid, Mixer, Vit};
        let transformer: &[Family] = &[Vit, Hybrid];
        let keys: [(&str, bool, &[Family]); 17] = [
            ("patch", self.patch.is_some(), &[Vit, Hybrid, Mixer]),
            ("pool", self.pool.is_some(), transformer),
            ("positions", self.positions.is_some(), transformer),
            ("gelu", self.gelu.is_some(), &[Vit, Hybrid, Mixer]),
            ("norm", self.norm.is_some(), transformer),
            ("block", self.block.is_some(), transformer),
            ("qk_norm", self.qk_norm.is_some(), transformer),
            ("qkv_bias", self.qkv_bias.is_some(), transformer),
            ("fc_norm", self.fc_norm.is_some(), transformer),
            ("no_embed_class", self.no_embed_class.is_some(), transformer),
            ("pre_norm", self.pre_norm.is_some(), transformer),
            ("pre_logits", self.pre_logits.is_some(), transformer),
            ("dropout", self.dropout.is_some(), transformer),
            ("drop_path", self.drop_path.is_some(), &[Vit, Hybrid, Mixer]),
            ("mup", self.mup.is_some(), transformer),
            ("stem", self.stem.is_some(), &[Hybrid]),
            ("groups", self.groups.is_some(), &[Bit]),
        ];
        super::unread(&keys, self.family)
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::new(key_of(&error), error)
    }
}

/// Which key of a spec file an error is about.
fn key_of(error: &ModelError) -> &'static str {
    match error {
        ModelError::Stages(StagesError::Groups { .. } | StagesError::Range("groups")) => "groups",
        ModelError::Shape(_) | ModelError::TooLarge | ModelError::Stages(_) => "shape",
        ModelError::Stem(_) => "stem",
        ModelError::SincosWidth(_) => "positions",
        ModelError::Range(key) | ModelError::Probability(key) => key,
        ModelError::PatchDoesNotDivide { .. } => "patch",
        ModelError::FcNormWithoutGap => "fc_norm",
        ModelError::FixedResolution { .. } => "resolution",
        ModelError::MaskedFamily(_) => "family",
        ModelError::MaskedPool => "pool",
    }
}
