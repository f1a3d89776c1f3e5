//! Gradients of one forward pass, with every activation kept, or with those between stages alone.

use models::{Model, Pass};
use tch::{Kind, Tensor, no_grad_guard};
use torch_ext::{Autocast, TorchError, vjp};

/// Loss and gradients of a part of a batch.
pub(crate) struct Gradients {
    /// A scalar, detached.
    pub(crate) loss: Tensor,
    /// One for each leaf, None for a leaf that the loss does not depend on.
    pub(crate) of_leaves: Vec<Option<Tensor>>,
}

/// How a pass is computed.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// Keep what enters each stage alone, and compute the rest again (Chen et al., 1604.06174).
    pub(crate) checkpoint: bool,
    /// Whether forward passes are in bf16, and where.
    pub(crate) bf16: Option<tch::Device>,
}

impl Way {
    /// Matrix products in bf16 while this lives.
    pub(crate) fn autocast(self) -> Result<Option<Autocast>, TorchError> {
        self.bf16.map(Autocast::bf16).transpose()
    }
}

/// Gradients against `leaves` of `loss_of` the model's logits (f32, or f64 as the parameters are).
pub(crate) fn gradients(
    model: &Model,
    leaves: &[Tensor],
    images: &Tensor,
    pass: &Pass<'_>,
    way: Way,
    loss_of: &dyn Fn(&Tensor) -> Tensor,
) -> Result<Gradients, TorchError> {
    if way.checkpoint {
        return checkpointed(model, leaves, images, pass, way, loss_of);
    }
    let logits = {
        let _autocast = way.autocast()?;
        model.forward(images, pass)
    };
    let loss = loss_of(&full(&logits));
    let inputs: Vec<&Tensor> = leaves.iter().collect();
    let of_leaves = vjp(&loss, &loss.ones_like(), &inputs)?;
    Ok(Gradients { loss: loss.detach(), of_leaves })
}

fn checkpointed(
    model: &Model,
    leaves: &[Tensor],
    images: &Tensor,
    pass: &Pass<'_>,
    way: Way,
    loss_of: &dyn Fn(&Tensor) -> Tensor,
) -> Result<Gradients, TorchError> {
    let (mut entries, features) = entries(model, images, pass, way)?;
    let features = features.set_requires_grad(true);
    let logits = {
        let _autocast = way.autocast()?;
        model.logits(&features)
    };
    let loss = loss_of(&full(&logits));
    let mut backward = Backward { leaves, total: leaves.iter().map(|_| None).collect() };
    let mut gradient = backward.through(&loss, &loss.ones_like(), Some(&features))?;
    for number in (0..model.n_stages()).rev() {
        let Some(entry) = entries.pop() else { break };
        // Images need no gradient.
        let entry = entry.set_requires_grad(number > 0);
        let output = {
            let _autocast = way.autocast()?;
            model.stage(number, &entry, pass)
        };
        let Some(of_output) = gradient else { break };
        gradient = backward.through(&output, &of_output, (number > 0).then_some(&entry))?;
    }
    Ok(Gradients { loss: loss.detach(), of_leaves: backward.total })
}

/// What enters each stage, and what leaves the last.
fn entries(
    model: &Model,
    images: &Tensor,
    pass: &Pass<'_>,
    way: Way,
) -> Result<(Vec<Tensor>, Tensor), TorchError> {
    let _no_grad = no_grad_guard();
    let _autocast = way.autocast()?;
    let mut entries = Vec::with_capacity(model.n_stages());
    let mut x = images.shallow_clone();
    for number in 0..model.n_stages() {
        let next = model.stage(number, &x, pass);
        entries.push(x);
        x = next;
    }
    Ok((entries, x))
}

/// Gradients of leaves, added up stage by stage.
struct Backward<'a> {
    leaves: &'a [Tensor],
    total: Vec<Option<Tensor>>,
}

impl Backward<'_> {
    /// Goes back through one stage; returns the gradient of what entered it.
    fn through(
        &mut self,
        output: &Tensor,
        gradient: &Tensor,
        entry: Option<&Tensor>,
    ) -> Result<Option<Tensor>, TorchError> {
        let has_entry = entry.is_some();
        let inputs: Vec<&Tensor> = self.leaves.iter().chain(entry).collect();
        let mut gradients = vjp(output, gradient, &inputs)?;
        let of_entry = if has_entry { gradients.pop().flatten() } else { None };
        for (total, gradient) in self.total.iter_mut().zip(gradients) {
            add(total, gradient);
        }
        Ok(of_entry)
    }
}

/// `total += gradient`, where a gradient that is not there is zero.
pub(crate) fn add(total: &mut Option<Tensor>, gradient: Option<Tensor>) {
    *total = match (total.take(), gradient) {
        (Some(total), Some(gradient)) => Some(total + gradient),
        (total, gradient) => total.or(gradient),
    };
}

/// What autocast left in bf16, as f32.
pub(crate) fn full(logits: &Tensor) -> Tensor {
    match logits.kind() {
        Kind::Double => logits.shallow_clone(),
        _ => logits.to_kind(Kind::Float),
    }
}
