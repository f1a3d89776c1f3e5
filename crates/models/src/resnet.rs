//! What BiT (Kolesnikov et al., 1912.11370) and the hybrid's stem (2010.11929, section 3.1) are made of:
//! weight-standardised convolutions, group norms, bottleneck units. Named as timm's `ResNetV2`.

use spec::{Stages, Unit};
use tch::Tensor;

use crate::init::Init;
use crate::parameters::Builder;

/// timm's; the papers' own codes have 1e-10 on the variance and 1e-5 on its root.
const STANDARDISATION_EPS: f64 = 1e-8;

/// BiT's and timm's; flax's hybrid has 1e-6.
const NORM_EPS: f64 = 1e-5;

/// Where a unit's norms and rectifiers stand, and with it how borders are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// ResNetV2's, before convolutions; borders are padded evenly (BiT).
    Before,
    /// ResNet's, after convolutions; borders as TensorFlow's SAME pads them (hybrid).
    After,
}

/// A convolution whose kernels are standardised (1903.10520): over `(in, height, width)` each output
/// channel has mean 0 and variance 1. No bias.
#[derive(Debug)]
pub(crate) struct StdConv {
    /// `[out, in, kernel, kernel]`.
    weight: Tensor,
    stride: i64,
    order: Order,
}

impl StdConv {
    fn build(
        builder: &mut Builder<'_>,
        name: &str,
        [input, output, kernel, stride]: [i64; 4],
        order: Order,
    ) -> Self {
        let init = Init::LecunNormal { fan_in: input * kernel * kernel };
        builder.within(name, |builder| Self {
            weight: builder.tensor("weight", &[output, input, kernel, kernel], init),
            stride,
            order,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let size = self.weight.size();
        // Standardisation is a batch norm without parameters, of one example with as many channels as
        // there are outputs; as in timm, so that roundings agree.
        let none = || None::<Tensor>;
        let weight = self
            .weight
            .view([1, size[0], -1])
            .batch_norm(none(), none(), none(), none(), true, 0.0, STANDARDISATION_EPS, true)
            .view(&size[..]);
        let (kernel, stride) = (size[2], self.stride);
        match self.order {
            Order::Before => x.conv2d(&weight, none(), stride, (kernel - 1) / 2, 1, 1),
            Order::After => same(x, kernel, stride, 0.0).conv2d(&weight, none(), stride, 0, 1, 1),
        }
    }
}

/// Pads so that the output is the input's side over the stride, rounded up; what is odd goes to the
/// right and the bottom.
fn same(x: &Tensor, kernel: i64, stride: i64, value: f64) -> Tensor {
    let size = x.size();
    let total = |side: i64| (((side + stride - 1) / stride - 1) * stride + kernel - side).max(0);
    let (height, width) = (total(size[2]), total(size[3]));
    match (height, width) {
        (0, 0) => x.shallow_clone(),
        _ => {
            let pad = [width / 2, width - width / 2, height / 2, height - height / 2];
            x.pad(pad, "constant", value)
        }
    }
}

/// `weight [channels]`, `bias [channels]`, over groups of channels and all pixels.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    groups: i64,
    weight: Tensor,
    bias: Tensor,
}

impl GroupNorm {
    pub(crate) fn build(
        builder: &mut Builder<'_>,
        name: &str,
        (channels, groups): (i64, i64),
        scale: f64,
    ) -> Self {
        builder.within(name, |builder| Self {
            groups,
            weight: builder.tensor("weight", &[channels], Init::Constant(scale)),
            bias: builder.tensor("bias", &[channels], Init::Constant(0.0)),
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.group_norm(self.groups, Some(&self.weight), Some(&self.bias), NORM_EPS, true)
    }

    pub(crate) fn rectified(&self, x: &Tensor) -> Tensor {
        self.forward(x).relu_()
    }
}

/// The 7x7 convolution and the pooling, each of stride 2.
#[derive(Debug)]
pub(crate) struct Root {
    conv: StdConv,
    norm: Option<GroupNorm>,
    order: Order,
}

impl Root {
    pub(crate) fn build(builder: &mut Builder<'_>, stages: &Stages, order: Order) -> Self {
        let (width, groups) = (i64::from(stages.width), i64::from(stages.groups));
        Self {
            conv: StdConv::build(builder, "conv", [3, width, 7, 2], order),
            norm: (order == Order::After)
                .then(|| GroupNorm::build(builder, "norm", (width, groups), 1.0)),
            order,
        }
    }

    pub(crate) fn forward(&self, images: &Tensor) -> Tensor {
        let x = self.conv.forward(images);
        let x = self.norm.as_ref().map_or_else(|| x.shallow_clone(), |norm| norm.rectified(&x));
        let padded = match self.order {
            Order::Before => x.pad([1; 4], "constant", 0.0),
            Order::After => same(&x, 3, 2, f64::NEG_INFINITY),
        };
        padded.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false)
    }
}

/// A bottleneck: 1x1, 3x3 and 1x1 convolutions beside a residual.
#[derive(Debug)]
pub(crate) struct Bottleneck {
    projection: Option<(StdConv, Option<GroupNorm>)>,
    /// Each convolution with its norm, which stands before or after it.
    layers: [(GroupNorm, StdConv); 3],
    order: Order,
}

impl Bottleneck {
    pub(crate) fn build(builder: &mut Builder<'_>, unit: &Unit, groups: i64, order: Order) -> Self {
        let (input, mid, stride) =
            (i64::from(unit.input), i64::from(unit.mid), i64::from(unit.stride));
        let output = 4 * mid;
        let projection = unit.projects().then(|| {
            builder.within("downsample", |builder| {
                let conv = StdConv::build(builder, "conv", [input, output, 1, stride], order);
                let norm = (order == Order::After)
                    .then(|| GroupNorm::build(builder, "norm", (output, groups), 1.0));
                (conv, norm)
            })
        });
        let mut layer = |number: u32, size: [i64; 4]| {
            let [from, to, ..] = size;
            // The last norm of a unit of the hybrid begins at zero: the residual alone.
            let (channels, scale) = match (order, number) {
                (Order::Before, _) => (from, 1.0),
                (Order::After, 3) => (to, 0.0),
                (Order::After, _) => (to, 1.0),
            };
            let norm =
                GroupNorm::build(builder, &format!("norm{number}"), (channels, groups), scale);
            (norm, StdConv::build(builder, &format!("conv{number}"), size, order))
        };
        let layers = [
            layer(1, [input, mid, 1, 1]),
            layer(2, [mid, mid, 3, stride]),
            layer(3, [mid, output, 1, 1]),
        ];
        Self { projection, layers, order }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        match self.order {
            Order::Before => self.forward_before(x),
            Order::After => self.forward_after(x),
        }
    }

    /// The projection, too, reads what is normed and rectified.
    fn forward_before(&self, x: &Tensor) -> Tensor {
        let [(norm1, conv1), (norm2, conv2), (norm3, conv3)] = &self.layers;
        let activated = norm1.rectified(x);
        let residual = match &self.projection {
            Some((conv, _)) => conv.forward(&activated),
            None => x.shallow_clone(),
        };
        let hidden = norm2.rectified(&conv1.forward(&activated));
        let hidden = norm3.rectified(&conv2.forward(&hidden));
        residual + conv3.forward(&hidden)
    }

    fn forward_after(&self, x: &Tensor) -> Tensor {
        let [(norm1, conv1), (norm2, conv2), (norm3, conv3)] = &self.layers;
        let residual = match &self.projection {
            Some((conv, Some(norm))) => norm.forward(&conv.forward(x)),
            Some((conv, None)) => conv.forward(x),
            None => x.shallow_clone(),
        };
        let hidden = norm1.rectified(&conv1.forward(x));
        let hidden = norm2.rectified(&conv2.forward(&hidden));
        (residual + norm3.forward(&conv3.forward(&hidden))).relu()
    }
}

/// Every unit, below `stages`.
pub(crate) fn units(
    builder: &mut Builder<'_>,
    stages: &Stages,
    resolution: u32,
    order: Order,
) -> Vec<Bottleneck> {
    let groups = i64::from(stages.groups);
    stages
        .units(resolution)
        .iter()
        .map(|unit| {
            builder.within(format!("stages.{}.blocks.{}", unit.stage, unit.unit), |builder| {
                Bottleneck::build(builder, unit, groups, order)
            })
        })
        .collect()
}
