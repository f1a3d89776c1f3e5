//! BiT's ResNetV2 (Kolesnikov et al., 1912.11370), the baseline of ViT. Named as timm's `ResNetV2`.

use spec::BitSpec;
use tch::{Kind, Tensor};

use crate::init::Init;
use crate::parameters::Builder;
use crate::resnet::{Bottleneck, GroupNorm, Order, Root, units};

#[derive(Debug)]
pub(crate) struct Bit {
    root: Root,
    units: Vec<Bottleneck>,
    norm: GroupNorm,
    head: Option<Head>,
}

/// `weight [classes, channels, 1, 1]`, as a 1x1 convolution's, `bias [classes]`.
#[derive(Debug)]
pub(crate) struct Head {
    weight: Tensor,
    bias: Tensor,
}

impl Bit {
    pub(crate) fn build(builder: &mut Builder<'_>, spec: &BitSpec) -> Self {
        let stages = spec.stages();
        let (channels, classes) = (i64::from(stages.out_channels()), i64::from(spec.classes));
        let zero = Init::Constant(0.0);
        Self {
            root: builder.within("stem", |builder| Root::build(builder, &stages, Order::Before)),
            units: units(builder, &stages, spec.resolution, Order::Before),
            norm: GroupNorm::build(builder, "norm", (channels, stages.groups.into()), 1.0),
            head: (classes > 0).then(|| {
                builder.within("head.fc", |builder| Head {
                    weight: builder.tensor("weight", &[classes, channels, 1, 1], zero),
                    bias: builder.tensor("bias", &[classes], zero),
                })
            }),
        }
    }

    pub(crate) fn n_stages(&self) -> usize {
        self.units.len() + 2
    }

    pub(crate) fn stage(&self, number: usize, x: &Tensor) -> Tensor {
        match number {
            0 => self.root.forward(x),
            number if number <= self.units.len() => self.units[number - 1].forward(x),
            _ => self.norm.rectified(x).mean_dim(&[2, 3][..], false, None::<Kind>),
        }
    }

    pub(crate) fn logits(&self, features: &Tensor) -> Tensor {
        match &self.head {
            Some(head) => features.linear(&head.weight.flatten(1, -1), Some(&head.bias)),
            None => features.shallow_clone(),
        }
    }
}
