//! The hybrid's ResNet (2010.11929, section 3.1), whose output the transformer reads in place of the
//! image. Named as timm's `HybridEmbed` names its backbone.

use spec::Stages;
use tch::Tensor;

use crate::parameters::Builder;
use crate::resnet::{Bottleneck, Order, Root, units};

#[derive(Debug)]
pub(crate) struct Stem {
    root: Root,
    units: Vec<Bottleneck>,
    channels: i64,
}

impl Stem {
    /// A stem without stages has its parameters where one with stages has its root's below `stem`.
    pub(crate) fn build(builder: &mut Builder<'_>, stages: &Stages, resolution: u32) -> Self {
        let root = |builder: &mut Builder<'_>| Root::build(builder, stages, Order::After);
        builder.within("backbone", |builder| Self {
            root: match stages.layers.is_empty() {
                true => root(builder),
                false => builder.within("stem", root),
            },
            units: units(builder, stages, resolution, Order::After),
            channels: stages.out_channels().into(),
        })
    }

    pub(crate) const fn channels(&self) -> i64 {
        self.channels
    }

    pub(crate) fn n_stages(&self) -> usize {
        1 + self.units.len()
    }

    pub(crate) fn stage(&self, number: usize, x: &Tensor) -> Tensor {
        match number {
            0 => self.root.forward(x),
            _ => self.units[number - 1].forward(x),
        }
    }
}
