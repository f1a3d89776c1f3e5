//! What a forward pass does besides the arithmetic of the model: noise in training, corrupted
//! patches, a look at attention.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use tch::{Kind, Tensor};

/// libtorch has one generator a process: nobody else may draw between a seed and what it is for.
static GENERATOR: Mutex<()> = Mutex::new(());

/// One forward pass. [`Pass::PLAIN`] is an evaluation.
#[derive(Clone, Copy, Default)]
pub struct Pass<'a> {
    pub noise: Option<&'a Noise<'a>>,
    pub corrupted: Option<&'a Corrupted>,
    pub watch: Option<&'a Watch>,
}

/// Dropout and stochastic depth of some examples of a batch: functions of the step and the example's
/// place alone, so that a batch may be split, and a pass repeated.
pub struct Noise<'a> {
    /// Seed of a dropout mask by its site, a number that the model gives.
    pub seed: &'a dyn Fn(u32) -> i64,
    /// Examples of the whole batch.
    pub batch: i64,
    /// Place of this pass's first example in it.
    pub first: i64,
    /// `[branches, examples of this pass]`, 1 where a residual branch is kept and 0 where it is
    /// skipped. None where no branch ever is.
    pub keeps: Option<Tensor>,
}

/// Patch embeddings that something else stands in for (2010.11929, appendix B.1.2).
#[derive(Debug)]
pub struct Corrupted {
    /// `[batch, patches]` bool: where the mask embedding stands.
    pub masked: Tensor,
    /// `[batch, patches]` i64: the patch of the same image whose embedding stands here.
    pub source: Tensor,
}

/// Largest attention logits and mean attention entropies, block by block, as scalars on the device.
#[derive(Debug, Default)]
pub struct Watch {
    /// Largest absolute logit before the softmax, over batch, heads, queries and keys.
    pub logits: RefCell<Vec<Tensor>>,
    /// `-sum p ln p` over keys, nats, the mean over batch, heads and queries.
    pub entropies: RefCell<Vec<Tensor>>,
}

impl Pass<'_> {
    pub const PLAIN: Self = Self { noise: None, corrupted: None, watch: None };

    /// Zeroes each number with probability `rate` and scales up the others.
    pub(crate) fn dropout(&self, x: Tensor, rate: f64, site: u32) -> Tensor {
        let Some(noise) = self.noise.filter(|_| rate > 0.0) else { return x };
        // The mask of the whole batch, whatever part of it this is.
        let mut size = x.size();
        let examples = std::mem::replace(&mut size[0], noise.batch);
        let keeps = Tensor::full(&size, 1.0 - rate, (Kind::Float, x.device()));
        let keeps = {
            let _generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed((noise.seed)(site));
            keeps.bernoulli()
        };
        let keeps = keeps.narrow(0, noise.first, examples).to_kind(x.kind());
        x * (keeps / (1.0 - rate))
    }

    /// Skips a residual branch for some examples and scales it up for the others.
    pub(crate) fn drop_path(&self, x: Tensor, rate: f64, branch: i64) -> Tensor {
        let keeps = self.noise.filter(|_| rate > 0.0).and_then(|noise| noise.keeps.as_ref());
        let Some(keeps) = keeps else { return x };
        let mut size = vec![1; x.dim()];
        size[0] = x.size()[0];
        let keeps = keeps.select(0, branch).to_kind(x.kind()) / (1.0 - rate);
        x * keeps.view(&size[..])
    }

    /// `query` and `key` are `[batch, heads, tokens, head]`.
    pub(crate) fn watch(&self, query: &Tensor, key: &Tensor, scale: f64) {
        let Some(watch) = self.watch else { return };
        let logits =
            query.to_kind(Kind::Float).matmul(&key.to_kind(Kind::Float).transpose(-2, -1)) * scale;
        let log_p = logits.log_softmax(-1, Kind::Float);
        let entropy = -(log_p.exp() * log_p).sum_dim_intlist(-1, false, Kind::Float);
        watch.logits.borrow_mut().push(logits.abs().max());
        watch.entropies.borrow_mut().push(entropy.mean(Kind::Float));
    }
}
