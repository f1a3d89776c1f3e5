//! BiT's ResNetV2 (Kolesnikov et al., 1912.11370): pre-activation units, the baseline of ViT.

use serde::{Deserialize, Serialize};

use super::resnet::{Stages, StagesError};
use super::{ModelError, in_range};
use crate::shape::ShapeError;

/// A ResNetV2 for square images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitSpec {
    pub shape: BitShape,
    /// Groups of every group norm; 32 in the paper.
    pub groups: u32,
    /// Side of the image, pixels.
    pub resolution: u32,
    /// 0: no classifier.
    pub classes: u32,
}

/// Units of each stage and channels of the first convolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitShape {
    /// What tables, figures and `learning_rate` tables know it by.
    pub name: String,
    /// Units of each stage.
    pub layers: Vec<u32>,
    /// Channels of the first convolution: 64 times the width factor.
    pub width: u32,
}

/// Depths by their number of layers; 1912.11370, section 3 and its code.
const DEPTHS: [(&str, [u32; 4]); 4] =
    [("50", [3, 4, 6, 3]), ("101", [3, 4, 23, 3]), ("152", [3, 8, 36, 3]), ("200", [3, 24, 36, 3])];

impl BitShape {
    /// `R<depth>x<width factor>`, as in R50x1 or R152x4.
    ///
    /// # Errors
    /// Another name.
    pub fn published(name: &str) -> Result<Self, ShapeError> {
        let unknown = || ShapeError::UnknownBit(name.to_owned());
        let (depth, factor) =
            name.strip_prefix('R').and_then(|rest| rest.split_once('x')).ok_or_else(unknown)?;
        let (_, layers) = DEPTHS.iter().find(|(known, _)| *known == depth).ok_or_else(unknown)?;
        let factor: u32 = factor.parse().map_err(|_| unknown())?;
        match (1..=16).contains(&factor) {
            true => Ok(Self { name: name.to_owned(), layers: layers.to_vec(), width: 64 * factor }),
            false => Err(unknown()),
        }
    }

    /// A spelt-out shape goes by `R<units>-<units>..w<width>`, as in `R1-1-1w16`.
    pub fn spelt_out(layers: Vec<u32>, width: u32) -> Self {
        let units: Vec<_> = layers.iter().map(u32::to_string).collect();
        Self { name: format!("R{}w{width}", units.join("-")), layers, width }
    }
}

impl BitSpec {
    pub fn stages(&self) -> Stages {
        let BitShape { layers, width, .. } = self.shape.clone();
        Stages { layers, width, groups: self.groups }
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        if self.shape.layers.is_empty() {
            return Err(ModelError::Stages(StagesError::Empty));
        }
        self.stages().check().map_err(ModelError::Stages)?;
        in_range([("resolution", self.resolution)]).map_err(ModelError::Range)
    }

    /// Convolutions, a norm (scale and shift) before each of them but the first and the
    /// projections, the last norm, the classifier.
    pub(super) fn params(&self) -> u128 {
        let stages = self.stages();
        let norms: u128 = stages
            .units(1)
            .iter()
            .map(|unit| 2 * (u128::from(unit.input) + 2 * u128::from(unit.mid)))
            .sum();
        let (c, k) = (u128::from(stages.out_channels()), u128::from(self.classes));
        stages.weights() + norms + 2 * c + (c * k + k)
    }

    pub(super) fn forward_flops(&self) -> u128 {
        let stages = self.stages();
        let head = u128::from(stages.out_channels()) * u128::from(self.classes);
        2 * (stages.multiply_adds(self.resolution) + head)
    }

    pub(super) fn activations(&self) -> f64 {
        self.stages().activations(self.resolution)
    }
}
