//! All parameters in one buffer, and as many moments: the update of a whole model is then three
//! kernels, its gradient norm one, however many layers it has.

use std::ops::Range;

use models::Parameter;
use tch::{Device, Kind, Tensor, no_grad_guard};

/// Elements that each tensor's start is a multiple of: 64 bytes, as libtorch allocates, so that
/// kernels meet aligned matrices.
const ALIGNMENT: i64 = 16;

/// Which weight decay a tensor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DecayGroup {
    Body,
    Head,
    None,
}

/// Where a parameter lies in the buffers.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) range: Range<i64>,
}

/// Parameters and Adam's moments, f32, each `[len]`; padding between tensors stays zero.
#[derive(Debug)]
pub(crate) struct Flat {
    /// In the buffers' order, which is by decay.
    pub(crate) spans: Vec<Span>,
    pub(crate) groups: Vec<(DecayGroup, Range<i64>)>,
    pub(crate) params: Tensor,
    pub(crate) exp_avg: Tensor,
    pub(crate) exp_avg_sq: Tensor,
    /// Zeros that fill the gaps of a gathered gradient.
    padding: Tensor,
}

impl Flat {
    /// Copies `initial` to the device; moments are zero.
    pub(crate) fn new(initial: &[Parameter], device: Device) -> Self {
        let mut order: Vec<_> =
            initial.iter().map(|parameter| (decay(parameter), parameter)).collect();
        order.sort_by_key(|(decay, _)| *decay);
        let (mut spans, mut groups, mut end) =
            (Vec::new(), Vec::<(DecayGroup, Range<i64>)>::new(), 0);
        for (decay, parameter) in &order {
            let shape = parameter.tensor.size();
            let range = end..end + shape.iter().product::<i64>();
            end = aligned(range.end);
            match groups.last_mut() {
                Some((last, group)) if last == decay => group.end = end,
                _ => groups.push((*decay, range.start..end)),
            }
            spans.push(Span { name: parameter.name.clone(), shape, range });
        }
        let zeros = |len| Tensor::zeros([len], (Kind::Float, device));
        let flat = Self {
            spans,
            groups,
            params: zeros(end),
            exp_avg: zeros(end),
            exp_avg_sq: zeros(end),
            padding: zeros(ALIGNMENT),
        };
        let _no_grad = no_grad_guard();
        for (span, (_, parameter)) in flat.spans.iter().zip(order) {
            span.of(&flat.params).copy_(&parameter.tensor);
        }
        flat
    }

    /// The parameters as leaves of the autograd graph that share the buffer, in its order.
    pub(crate) fn leaves(&self) -> Vec<Parameter> {
        let leaf = |span: &Span| Parameter {
            name: span.name.clone(),
            tensor: span.of(&self.params).detach().set_requires_grad(true),
        };
        self.spans.iter().map(leaf).collect()
    }

    /// One gradient `[len]` of the gradients of [`Self::leaves`].
    pub(crate) fn gather(&self, gradients: &[Tensor]) -> Tensor {
        let mut pieces = Vec::with_capacity(2 * gradients.len());
        for (span, gradient) in self.spans.iter().zip(gradients) {
            pieces.push(gradient.reshape(-1));
            let gap = aligned(span.range.end) - span.range.end;
            if gap > 0 {
                pieces.push(self.padding.narrow(0, 0, gap));
            }
        }
        Tensor::cat(&pieces, 0)
    }
}

impl Span {
    /// This parameter's part of a buffer, in its shape.
    pub(crate) fn of(&self, buffer: &Tensor) -> Tensor {
        buffer.narrow(0, self.range.start, self.range.end - self.range.start).view(&self.shape[..])
    }
}

/// Matrices are decayed; biases, norms, positions and the class token are not.
fn decay(parameter: &Parameter) -> DecayGroup {
    if parameter.name == "head.weight" {
        DecayGroup::Head
    } else if parameter.name.ends_with(".weight") && parameter.tensor.dim() >= 2 {
        DecayGroup::Body
    } else {
        DecayGroup::None
    }
}

const fn aligned(end: i64) -> i64 {
    (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, shape: &[i64]) -> Parameter {
        Parameter { name: name.into(), tensor: Tensor::randn(shape, (Kind::Float, Device::Cpu)) }
    }

    fn some() -> Vec<Parameter> {
        vec![
            parameter("pos_embed", &[1, 3, 5]),
            parameter("norm.weight", &[5]),
            parameter("a.weight", &[4, 5]),
            parameter("head.weight", &[3, 5]),
            parameter("b.weight", &[2, 3, 2, 2]),
            parameter("a.bias", &[4]),
        ]
    }

    #[test]
    fn matrices_are_decayed_and_nothing_else() {
        let flat = Flat::new(&some(), Device::Cpu);
        let of = |decay| {
            let (_, range) = flat.groups.iter().find(|(group, _)| *group == decay).unwrap();
            let inside = flat.spans.iter().filter(|span| range.contains(&span.range.start));
            inside.map(|span| span.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(DecayGroup::Body), ["a.weight", "b.weight"]);
        assert_eq!(of(DecayGroup::Head), ["head.weight"]);
        assert_eq!(of(DecayGroup::None), ["pos_embed", "norm.weight", "a.bias"]);
    }

    #[test]
    fn leaves_hold_the_initial_values_and_share_the_buffer() {
        let initial = some();
        let flat = Flat::new(&initial, Device::Cpu);
        for leaf in flat.leaves() {
            let original = initial.iter().find(|parameter| parameter.name == leaf.name).unwrap();
            assert!(leaf.tensor.equal(&original.tensor), "{}", leaf.name);
        }
        let _ = flat.params.shallow_clone().fill_(2.0);
        assert!(flat.leaves().iter().all(|leaf| leaf.tensor.min().double_value(&[]) == 2.0));
    }

    #[test]
    fn a_gathered_gradient_lies_as_its_parameters_do() {
        let flat = Flat::new(&some(), Device::Cpu);
        let leaves = flat.leaves();
        let copies: Vec<_> = leaves.iter().map(|leaf| leaf.tensor.detach().copy()).collect();
        assert!(flat.gather(&copies).equal(&flat.params));
    }
}
