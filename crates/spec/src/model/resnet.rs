//! Stages of bottleneck units with weight-standardised convolutions and group norms, which BiT
//! (1912.11370) and the hybrid's stem (2010.11929, section 3.1) have in common.

use serde::{Deserialize, Serialize};

use super::{MAX_SIDE, in_range};

/// A 7x7 convolution of stride 2, a 3x3 pooling of stride 2, and stages of units; every stage but the
/// first halves the image. Stage s has `4 width 2^s` channels, its units `width 2^s` inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// Units of each stage.
    pub layers: Vec<u32>,
    /// Channels of the first convolution: 64 times the width factor.
    pub width: u32,
    /// Groups of every group norm.
    pub groups: u32,
}

/// Most stages: 2^stage times the width stays countable.
const MAX_STAGES: usize = 8;

/// Numbers that make no [`Stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StagesError {
    #[error("`{0}` must be from 1 to {MAX_SIDE}")]
    Range(&'static str),
    #[error("`layers` lists the units of at least one stage")]
    Empty,
    #[error("`layers` lists {0} stages; there are at most {MAX_STAGES}")]
    TooMany(usize),
    #[error("groups = {groups} does not divide the {channels} channels of a norm")]
    Groups { groups: u32, channels: u32 },
}

impl Stages {
    /// # Errors
    /// Numbers that make no stages. There may be none.
    pub fn check(&self) -> Result<(), StagesError> {
        let numbers = [("width", self.width), ("groups", self.groups)];
        let units = self.layers.iter().map(|&units| ("layers", units));
        in_range(numbers.into_iter().chain(units)).map_err(StagesError::Range)?;
        if self.layers.len() > MAX_STAGES {
            return Err(StagesError::TooMany(self.layers.len()));
        }
        // All other channels are multiples of the first convolution's.
        match self.width.is_multiple_of(self.groups) {
            true => Ok(()),
            false => Err(StagesError::Groups { groups: self.groups, channels: self.width }),
        }
    }

    /// Channels of the last stage, or of the first convolution where there is none.
    pub fn out_channels(&self) -> u32 {
        match self.layers.len() {
            0 => self.width,
            stages => (4 * self.width) << (stages - 1),
        }
    }

    /// Side of the output for images of `resolution`: the two halvings of the stem and one a further
    /// stage, each rounded up.
    pub fn out_side(&self, resolution: u32) -> u32 {
        let halvings = 2 + self.layers.len().saturating_sub(1);
        (0..halvings).fold(resolution, |side, _| side.div_ceil(2))
    }

    /// Every unit in order, at images of `resolution`.
    pub fn units(&self, resolution: u32) -> Vec<Unit> {
        let mut side = resolution.div_ceil(2).div_ceil(2);
        let mut channels = self.width;
        let mut units = Vec::new();
        for (stage, &count) in self.layers.iter().enumerate() {
            let mid = self.width << stage;
            for unit in 0..count {
                let stride = if stage > 0 && unit == 0 { 2 } else { 1 };
                let out_side = side.div_ceil(stride);
                units.push(Unit { stage, unit, input: channels, mid, stride, side, out_side });
                (channels, side) = (4 * mid, out_side);
            }
        }
        units
    }

    /// Multiply-adds of the first convolution and of all units.
    pub(super) fn multiply_adds(&self, resolution: u32) -> u128 {
        let stem = area(resolution.div_ceil(2)) * 49 * 3 * u128::from(self.width);
        stem + self.units(resolution).iter().map(Unit::multiply_adds).sum::<u128>()
    }

    /// Weights of the convolutions.
    pub(super) fn weights(&self) -> u128 {
        let stem = 49 * 3 * u128::from(self.width);
        stem + self.units(1).iter().map(Unit::weights).sum::<u128>()
    }

    /// Numbers that the backward pass reads: the outputs of every convolution, its norm and its
    /// rectifier.
    pub(super) fn activations(&self, resolution: u32) -> f64 {
        let stem = 3.0 * area(resolution.div_ceil(2)) as f64 * f64::from(self.width);
        let unit = |unit: &Unit| {
            let mid = f64::from(unit.mid);
            3.0 * (area(unit.side) as f64 * mid + area(unit.out_side) as f64 * 6.0 * mid)
        };
        stem + self.units(resolution).iter().map(unit).sum::<f64>()
    }
}

/// A bottleneck: 1x1, 3x3 (with the stride) and 1x1 convolutions beside a residual, which the first
/// unit of a stage projects by a 1x1 convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    pub stage: usize,
    /// Place in the stage.
    pub unit: u32,
    /// Channels that come in; `4 mid` go out.
    pub input: u32,
    /// Channels between its convolutions.
    pub mid: u32,
    /// Of the 3x3 convolution and the projection.
    pub stride: u32,
    /// Side of what comes in.
    pub side: u32,
    /// Side of what goes out.
    pub out_side: u32,
}

impl Unit {
    pub const fn projects(&self) -> bool {
        self.unit == 0
    }

    fn convolutions(&self) -> [(u128, u32); 4] {
        let (input, mid) = (u128::from(self.input), u128::from(self.mid));
        let projection = if self.projects() { 4 * mid * input } else { 0 };
        [
            (input * mid, self.side),
            (9 * mid * mid, self.out_side),
            (4 * mid * mid, self.out_side),
            (projection, self.out_side),
        ]
    }

    fn weights(&self) -> u128 {
        self.convolutions().iter().map(|(weights, _)| weights).sum()
    }

    fn multiply_adds(&self) -> u128 {
        self.convolutions().iter().map(|(weights, side)| weights * area(*side)).sum()
    }
}

fn area(side: u32) -> u128 {
    u128::from(side).pow(2)
}
