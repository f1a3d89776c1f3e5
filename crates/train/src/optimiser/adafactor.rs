//! Adafactor (Shazeer & Stern, 1804.04235) as Scaling ViT modified it (2106.04560, section 3.4): a
//! tensor's second moments are kept as means over either of its two largest axes; the update is
//! averaged into a first moment that is not debiased; neither clipped nor scaled by the parameter.
//!
//! The numbers are those of timm 1.0.31's `AdafactorBigVision`. A first moment in bf16 therefore takes
//! in a rounded update, and the step is made with what is kept of it; big_vision's optax rounds only
//! what it keeps.

use std::ops::Range;

use tch::{Kind, Tensor};
use torch_ext::{SgdState, TorchError, fused_sgd};

use super::moment::FirstMoment;
use super::{Step, piece};
use crate::flat::{Flat, Span, aligned};

#[derive(Debug)]
pub(super) struct Adafactor {
    spec: spec::Adafactor,
    exp_avg: FirstMoment,
    blocks: Vec<Block>,
    /// Second moments of all blocks, one after the other.
    exp_avg_sq: Tensor,
    /// What is added to squares, `[1]`.
    eps: Tensor,
}

/// Neighbours in the buffer that share kernels.
#[derive(Debug)]
enum Block {
    Factored(Factored),
    /// Second moments `at` of the elements `range`.
    Full {
        spans: Vec<Span>,
        range: Range<i64>,
        at: Range<i64>,
    },
}

/// Tensors of one shape, factored.
#[derive(Debug)]
struct Factored {
    spans: Vec<Span>,
    /// `[tensors, .. shape of one]`.
    shape: Vec<i64>,
    axes: Axes,
    rows: Part,
    columns: Part,
}

/// A piece of the second moments: `shape` is [`Factored`]'s with one element along the axis that was
/// averaged over.
#[derive(Debug)]
struct Part {
    range: Range<i64>,
    shape: Vec<i64>,
}

/// The two largest axes of a tensor; the last ones where sides are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axes {
    largest: usize,
    second: usize,
}

impl Axes {
    /// None: too small to be factored.
    fn of(shape: &[i64], min_dim: u32) -> Option<Self> {
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.sort_by_key(|&axis| shape[axis]);
        let [.., second, largest] = order[..] else { return None };
        (shape[second] >= i64::from(min_dim)).then_some(Self { largest, second })
    }
}

impl Adafactor {
    pub(super) fn new(spec: &spec::Adafactor, flat: &Flat) -> Self {
        let (blocks, len) = blocks(&flat.spans, spec.min_dim);
        let options = (flat.params.kind(), flat.params.device());
        Self {
            spec: spec.clone(),
            exp_avg: FirstMoment::new(spec.first_moment, flat),
            blocks,
            exp_avg_sq: Tensor::zeros([len], options),
            eps: Tensor::full([1], spec.eps, options),
        }
    }

    pub(super) fn apply(&mut self, step: &Step<'_>) -> Result<(), TorchError> {
        if let Some(divisor) = step.divisor {
            let _ = step.gradient.shallow_clone().g_div_(divisor);
        }
        self.measure(step.gradient, self.beta2(step.number));
        self.precondition(step.gradient);
        for (range, rate) in step.pieces() {
            let update = piece(step.gradient, &range);
            let exp_avg = self.exp_avg.take_in(&range, &update, 1.0 - self.spec.beta1);
            let param = &piece(&step.flat.params, &range);
            let state = SgdState { param, grad: &exp_avg, momentum: None, grad_scale: None };
            fused_sgd(&state, rate.learning_rate, rate.weight_decay, false)?;
        }
        Ok(())
    }

    fn beta2(&self, number: u64) -> f64 {
        (1.0 - (number as f64).powf(-self.spec.decay_exponent)).min(self.spec.beta2_cap)
    }

    /// Moves the second moments towards those of `gradient`.
    fn measure(&mut self, gradient: &Tensor, beta2: f64) {
        let measured = self.exp_avg_sq.empty_like();
        for block in &self.blocks {
            block.measure(gradient, &self.eps, &measured);
        }
        let _ = self.exp_avg_sq.lerp_(&measured, 1.0 - beta2);
    }

    /// Divides `gradient` by the roots of the second moments.
    fn precondition(&self, gradient: &Tensor) {
        let scales = self.exp_avg_sq.rsqrt();
        for block in &self.blocks {
            block.precondition(gradient, &self.exp_avg_sq, &scales);
        }
    }

    pub(super) fn named(&self, flat: &Flat) -> Vec<(String, Tensor)> {
        let mut named = self.exp_avg.named(flat);
        for block in &self.blocks {
            block.name(&self.exp_avg_sq, &mut named);
        }
        named
    }
}

/// Blocks in the buffer's order, and the length of their second moments.
fn blocks(spans: &[Span], min_dim: u32) -> (Vec<Block>, i64) {
    let alike =
        |a: &Span, b: &Span| match (Axes::of(&a.shape, min_dim), Axes::of(&b.shape, min_dim)) {
            (Some(_), Some(_)) => a.shape == b.shape,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
    let mut len = 0;
    let block = |spans: &[Span]| match Axes::of(&spans[0].shape, min_dim) {
        Some(axes) => Block::Factored(Factored::new(spans, axes, &mut len)),
        None => Block::full(spans, &mut len),
    };
    let blocks = spans.chunk_by(alike).map(block).collect();
    (blocks, len)
}

impl Block {
    fn full(spans: &[Span], len: &mut i64) -> Self {
        let range = spans[0].range.start..aligned(spans[spans.len() - 1].range.end);
        let at = *len..*len + range.end - range.start;
        *len = at.end;
        Self::Full { spans: spans.to_vec(), range, at }
    }

    fn measure(&self, gradient: &Tensor, eps: &Tensor, measured: &Tensor) {
        match self {
            Self::Factored(factored) => factored.measure(gradient, eps, measured),
            Self::Full { range, at, .. } => {
                let gradient = piece(gradient, range);
                piece(measured, at).copy_(&eps.addcmul(&gradient, &gradient));
            }
        }
    }

    fn precondition(&self, gradient: &Tensor, moments: &Tensor, scales: &Tensor) {
        match self {
            Self::Factored(factored) => factored.precondition(gradient, moments, scales),
            Self::Full { range, at, .. } => {
                let _ = piece(gradient, range).g_mul_(&piece(scales, at));
            }
        }
    }

    fn name(&self, moments: &Tensor, named: &mut Vec<(String, Tensor)>) {
        match self {
            Self::Factored(factored) => factored.name(moments, named),
            Self::Full { spans, range, at } => {
                let moments = piece(moments, at);
                named.extend(spans.iter().map(|span| {
                    let own = span.range.start - range.start..span.range.end - range.start;
                    let tensor = piece(&moments, &own).view(&span.shape[..]);
                    (format!("exp_avg_sq.{}", span.name), tensor)
                }));
            }
        }
    }
}

impl Factored {
    fn new(spans: &[Span], axes: Axes, len: &mut i64) -> Self {
        let count = i64::try_from(spans.len()).expect("far fewer tensors than elements");
        let shape = [&[count], &spans[0].shape[..]].concat();
        let mut part = |axis: usize| {
            let mut shape = shape.clone();
            shape[1 + axis] = 1;
            let range = *len..*len + shape.iter().product::<i64>();
            *len = range.end;
            Part { range, shape }
        };
        let (rows, columns) = (part(axes.largest), part(axes.second));
        Self { spans: spans.to_vec(), shape, axes, rows, columns }
    }

    /// These tensors' part of a buffer that is laid out as the parameters are.
    fn of(&self, buffer: &Tensor) -> Tensor {
        let Range { start, end } = self.spans[0].range;
        let (count, stride) = (self.shape[0], aligned(end - start));
        let padded = buffer.narrow(0, start, count * stride).view([count, stride]);
        padded.narrow(1, 0, end - start).view(&self.shape[..])
    }

    fn measure(&self, gradient: &Tensor, eps: &Tensor, measured: &Tensor) {
        let gradient = self.of(gradient);
        let squares = eps.addcmul(&gradient, &gradient);
        for (part, axis) in [(&self.rows, self.axes.largest), (&self.columns, self.axes.second)] {
            let _ = squares.mean_out(&part.of(measured), dimension(axis), true, None::<Kind>);
        }
    }

    /// `g_ij / sqrt(r_i c_j / mean(r))`.
    fn precondition(&self, gradient: &Tensor, moments: &Tensor, scales: &Tensor) {
        let rows = self.rows.of(moments);
        let mean = rows.mean_dim(dimension(self.axes.second), true, None::<Kind>);
        let mut gradient = self.of(gradient);
        gradient *= (rows / mean).rsqrt();
        gradient *= self.columns.of(scales);
    }

    fn name(&self, moments: &Tensor, named: &mut Vec<(String, Tensor)>) {
        for (prefix, part) in [("row", &self.rows), ("col", &self.columns)] {
            let tensors = part.of(moments).unbind(0);
            let name = |span: &Span| format!("exp_avg_sq_{prefix}.{}", span.name);
            named.extend(self.spans.iter().map(name).zip(tensors));
        }
    }
}

impl Part {
    fn of(&self, buffer: &Tensor) -> Tensor {
        piece(buffer, &self.range).view(&self.shape[..])
    }
}

/// An axis of a tensor as a dimension of a stack of them.
fn dimension(axis: usize) -> i64 {
    i64::try_from(1 + axis).expect("tensors have few axes")
}
