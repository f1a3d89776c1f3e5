//! The hybrid of Dosovitskiy et al. (2010.11929, section 3.1): a transformer over the output of a
//! ResNet with post-activation units.

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::resnet::Stages;
use super::vit::{VitSpec, check_patch};

/// A transformer whose image is the output of a ResNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridSpec {
    /// May have no stage at all: then it is the first convolution and the pooling.
    pub stem: Stages,
    /// Its patches are of the stem's output.
    pub vit: VitSpec,
}

impl HybridSpec {
    /// Side of the stem's output.
    pub fn grid(&self) -> u32 {
        self.stem.out_side(self.vit.resolution)
    }

    pub fn patches(&self) -> u64 {
        u64::from(self.grid() / self.vit.patch).pow(2)
    }

    pub fn tokens(&self) -> u64 {
        self.patches() + self.vit.class_tokens()
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.stem.check().map_err(ModelError::Stem)?;
        self.vit.check_body()?;
        check_patch(self.vit.patch, "the side of the stem's output", self.grid())
    }

    pub(super) fn params(&self) -> u128 {
        // A norm (scale and shift) after every convolution.
        let norm = |channels: u32| 2 * u128::from(channels);
        let units = self.stem.units(1);
        let norms = norm(self.stem.width)
            + units
                .iter()
                .map(|unit| {
                    norm(unit.mid) * 6 + if unit.projects() { norm(4 * unit.mid) } else { 0 }
                })
                .sum::<u128>();
        self.stem.weights() + norms + self.vit.params_over(self.patches(), self.channels())
    }

    pub(super) fn forward_flops(&self) -> u128 {
        2 * self.stem.multiply_adds(self.vit.resolution)
            + self.vit.forward_flops_over(self.patches(), self.channels())
    }

    pub(super) fn stages_activations(&self) -> f64 {
        self.stem.activations(self.vit.resolution)
    }

    fn channels(&self) -> u64 {
        self.stem.out_channels().into()
    }
}
