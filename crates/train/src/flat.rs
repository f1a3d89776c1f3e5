//! All parameters in one buffer: the update of a whole model is then a few kernels, its gradient norm
//! one, however many layers it has.

use std::ops::Range;

use models::Parameter;
use tch::{Device, Kind, Tensor, no_grad_guard};

/// Elements that each tensor's start is a multiple of: 64 bytes of f32, as libtorch allocates, so
/// that kernels meet aligned matrices.
const ALIGNMENT: i64 = 16;

/// Which weight decay a tensor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DecayGroup {
    Body,
    Head,
    None,
}

/// A stretch of the buffer that is updated alike.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) decay: DecayGroup,
    /// What the learning rate is multiplied by here: 1, or muP's (2203.03466).
    pub(crate) multiplier: f64,
    pub(crate) range: Range<i64>,
}

/// Where a parameter lies in the buffer.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) range: Range<i64>,
}

/// Parameters `[len]`, in the kind they were given in; padding between tensors stays zero.
#[derive(Debug)]
pub(crate) struct Flat {
    /// In the buffer's order: by group, and within one tensors of the same shape side by side, so that
    /// an optimiser can treat them as one.
    pub(crate) spans: Vec<Span>,
    pub(crate) groups: Vec<Group>,
    pub(crate) params: Tensor,
    /// Zeros that fill the gaps of a gathered gradient.
    padding: Tensor,
}

impl Flat {
    /// Copies `initial`, all f32 or all f64, to the device. `multiplier` says what a parameter's
    /// learning rate is multiplied by; it is above zero.
    pub(crate) fn new(
        initial: &[Parameter],
        multiplier: &dyn Fn(&Parameter) -> f64,
        device: Device,
    ) -> Self {
        let order = ordered(initial, multiplier);
        let (spans, groups) = laid_out(&order);
        let kind = initial.first().map_or(Kind::Float, |parameter| parameter.tensor.kind());
        let zeros = |len| Tensor::zeros([len], (kind, device));
        let len = spans.last().map_or(0, |span| aligned(span.range.end));
        let flat = Self { spans, groups, params: zeros(len), padding: zeros(ALIGNMENT) };
        let _no_grad = no_grad_guard();
        for (span, placed) in flat.spans.iter().zip(order) {
            span.of(&flat.params).copy_(&placed.parameter.tensor);
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

    /// Each parameter's part of a buffer that is laid out as the parameters are, under `prefix` and
    /// its name.
    pub(crate) fn named(&self, prefix: &str, buffer: &Tensor) -> Vec<(String, Tensor)> {
        let named = |span: &Span| (format!("{prefix}{}", span.name), span.of(buffer));
        self.spans.iter().map(named).collect()
    }

    /// The same as parameters by their own names, without gradients.
    pub(crate) fn views(&self, buffer: &Tensor) -> Vec<Parameter> {
        let named = self.named("", buffer).into_iter();
        named.map(|(name, tensor)| Parameter { name, tensor: tensor.detach() }).collect()
    }

    /// One gradient `[len]` of the gradients of [`Self::leaves`]; one that is not there is zero.
    pub(crate) fn gather(&self, gradients: &[Option<Tensor>]) -> Tensor {
        let mut pieces = Vec::with_capacity(2 * gradients.len());
        for (span, gradient) in self.spans.iter().zip(gradients) {
            pieces.push(match gradient {
                Some(gradient) => gradient.reshape(-1),
                None => span.of(&self.params).zeros_like().view([-1]),
            });
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

/// A parameter and what decides on its place.
struct Placed<'a> {
    decay: DecayGroup,
    multiplier: f64,
    /// Index of the first parameter of this shape: the order within a group stays nearly the model's.
    shape: usize,
    parameter: &'a Parameter,
}

fn ordered<'a>(
    initial: &'a [Parameter],
    multiplier: &dyn Fn(&Parameter) -> f64,
) -> Vec<Placed<'a>> {
    let shapes: Vec<_> = initial.iter().map(|parameter| parameter.tensor.size()).collect();
    let place = |(at, parameter)| Placed {
        decay: decay(parameter),
        multiplier: multiplier(parameter),
        shape: shapes.iter().position(|shape| *shape == shapes[at]).unwrap_or(at),
        parameter,
    };
    let mut placed: Vec<_> = initial.iter().enumerate().map(place).collect();
    placed.sort_by(|a, b| {
        a.decay
            .cmp(&b.decay)
            .then(a.multiplier.total_cmp(&b.multiplier))
            .then(a.shape.cmp(&b.shape))
    });
    placed
}

fn laid_out(order: &[Placed<'_>]) -> (Vec<Span>, Vec<Group>) {
    let (mut spans, mut groups, mut end) = (Vec::new(), Vec::<Group>::new(), 0);
    for &Placed { decay, multiplier, parameter, .. } in order {
        let shape = parameter.tensor.size();
        let range = end..end + shape.iter().product::<i64>();
        end = aligned(range.end);
        match groups.last_mut() {
            Some(last) if last.decay == decay && last.multiplier == multiplier => {
                last.range.end = end;
            }
            _ => groups.push(Group { decay, multiplier, range: range.start..end }),
        }
        spans.push(Span { name: parameter.name.clone(), shape, range });
    }
    (spans, groups)
}

/// Matrices and convolutions are decayed; biases, norms, positions, the class token and the probe are
/// not.
fn decay(parameter: &Parameter) -> DecayGroup {
    match parameter.name.ends_with(".weight") && parameter.tensor.dim() >= 2 {
        true if parameter.is_head() => DecayGroup::Head,
        true => DecayGroup::Body,
        false => DecayGroup::None,
    }
}

pub(crate) const fn aligned(end: i64) -> i64 {
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

    fn flat(initial: &[Parameter]) -> Flat {
        Flat::new(initial, &|_| 1.0, Device::Cpu)
    }

    #[test]
    fn matrices_are_decayed_and_nothing_else() {
        let flat = flat(&some());
        let of = |decay| {
            let group = flat.groups.iter().find(|group| group.decay == decay).unwrap();
            let inside = flat.spans.iter().filter(|span| group.range.contains(&span.range.start));
            inside.map(|span| span.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(DecayGroup::Body), ["a.weight", "b.weight"]);
        assert_eq!(of(DecayGroup::Head), ["head.weight"]);
        assert_eq!(of(DecayGroup::None), ["pos_embed", "norm.weight", "a.bias"]);
    }

    #[test]
    fn the_classifier_of_a_convolutional_family_is_a_head() {
        let flat = flat(&[parameter("head.fc.weight", &[3, 5, 1, 1])]);
        assert_eq!(flat.groups[0].decay, DecayGroup::Head);
    }

    #[test]
    fn groups_are_by_decay_and_rate_and_equal_shapes_lie_together() {
        let initial = [
            parameter("a.weight", &[4, 4]),
            parameter("b.weight", &[2, 4]),
            parameter("c.weight", &[4, 4]),
            parameter("d.weight", &[4, 4]),
            parameter("d.bias", &[4]),
        ];
        let slow_d = |parameter: &Parameter| if parameter.name == "d.weight" { 0.5 } else { 1.0 };
        let flat = Flat::new(&initial, &slow_d, Device::Cpu);
        let names: Vec<_> = flat.spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["d.weight", "a.weight", "c.weight", "b.weight", "d.bias"]);
        let group = |decay, multiplier, range| Group { decay, multiplier, range };
        let expected = [
            group(DecayGroup::Body, 0.5, 0..16),
            group(DecayGroup::Body, 1.0, 16..64),
            group(DecayGroup::None, 1.0, 64..80),
        ];
        assert_eq!(flat.groups, expected);
    }

    #[test]
    fn f64_parameters_stay_f64() {
        let tensor = Tensor::full([2, 2], 0.1, (Kind::Double, Device::Cpu));
        let flat = flat(&[Parameter { name: "a.weight".into(), tensor }]);
        assert_eq!(flat.leaves()[0].tensor.double_value(&[1, 1]), 0.1);
    }

    #[test]
    fn leaves_hold_the_initial_values_and_share_the_buffer() {
        let initial = some();
        let flat = flat(&initial);
        for leaf in flat.leaves() {
            let original = initial.iter().find(|parameter| parameter.name == leaf.name).unwrap();
            assert!(leaf.tensor.equal(&original.tensor), "{}", leaf.name);
        }
        let _ = flat.params.shallow_clone().fill_(2.0);
        assert!(flat.leaves().iter().all(|leaf| leaf.tensor.min().double_value(&[]) == 2.0));
    }

    #[test]
    fn a_gathered_gradient_lies_as_its_parameters_do() {
        let flat = flat(&some());
        let leaves = flat.leaves();
        let copies: Vec<_> = leaves.iter().map(|leaf| Some(leaf.tensor.detach().copy())).collect();
        assert!(flat.gather(&copies).equal(&flat.params));
    }
}
