//! What a forward pass does besides the arithmetic of the model: noise in training, corrupted
//! patches, a look at attention.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use tch::{Kind, Tensor};

/// Places of a batch whose dropout masks are drawn together: few draws for a batch, and hardly more
/// rows than a part of it needs.
pub const DROPOUT_BLOCK: i64 = 32;

/// libtorch has one generator a process: nobody else may draw between a seed and what it is for.
static GENERATOR: Mutex<()> = Mutex::new(());

/// One forward pass. [`Pass::PLAIN`] is an evaluation.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub noise: Option<&'a Noise<'a>>,
    pub corrupted: Option<&'a Corrupted>,
    pub watch: Option<&'a Watch>,
}

/// Dropout and stochastic depth of some examples of a batch: functions of the step and the example's
/// place alone, so that a batch may be split, and a pass repeated.
pub struct Noise<'a> {
    /// Seed of a dropout mask, by its site, a number that the model gives, and the block of
    /// [`DROPOUT_BLOCK`] places of the batch that it is for.
    pub seed: &'a dyn Fn(u32, i64) -> i64,
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
    logits: RefCell<Vec<Tensor>>,
    entropies: RefCell<Vec<Tensor>>,
}

/// What a block's attention did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    /// Largest absolute logit before the softmax, over batch, heads, queries and keys.
    pub logit_max: f64,
    /// `-sum p ln p` over keys, nats, the mean over batch, heads and queries.
    pub entropy: f64,
}

impl Watch {
    /// One of each block, in order. Waits for the device.
    pub fn read(&self) -> Vec<Watched> {
        let pairs = self.logits.borrow();
        let pairs = pairs.iter().map(|logit| logit.double_value(&[]));
        let entropies = self.entropies.borrow();
        let entropies = entropies.iter().map(|entropy| entropy.double_value(&[]));
        pairs.zip(entropies).map(|(logit_max, entropy)| Watched { logit_max, entropy }).collect()
    }
}

impl Noise<'_> {
    /// 1 with probability `keep` and 0 otherwise, in the shape of `x`: of every block that has a place
    /// in this pass the rows of those places.
    fn dropout_mask(&self, x: &Tensor, keep: f64, site: u32) -> Tensor {
        let mut size = x.size();
        let examples = std::mem::replace(&mut size[0], DROPOUT_BLOCK);
        let blocks = self.first / DROPOUT_BLOCK..=(self.first + examples - 1) / DROPOUT_BLOCK;
        let keeps = Tensor::full(&size, keep, (Kind::Float, x.device()));
        let draw = |block: i64| {
            let _generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed((self.seed)(site, block));
            keeps.bernoulli()
        };
        let all = Tensor::cat(&blocks.map(draw).collect::<Vec<_>>(), 0);
        all.narrow(0, self.first % DROPOUT_BLOCK, examples)
    }
}

impl Pass<'_> {
    pub const PLAIN: Self = Self { noise: None, corrupted: None, watch: None };

    /// Zeroes each number with probability `rate` and scales up the others.
    pub(crate) fn dropout(&self, x: Tensor, rate: f64, site: u32) -> Tensor {
        let Some(noise) = self.noise.filter(|_| rate > 0.0) else { return x };
        let keeps = noise.dropout_mask(&x, 1.0 - rate, site).to_kind(x.kind());
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
        // In f64, which autocast leaves alone: rounded to bf16, large logits would be off by hundreds.
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let logits = wide(query).matmul(&wide(key).transpose(-2, -1)) * scale;
        let log_p = logits.log_softmax(-1, Kind::Double);
        let entropy = -(log_p.exp() * log_p).sum_dim_intlist(-1, false, Kind::Double);
        watch.logits.borrow_mut().push(logits.abs().max());
        watch.entropies.borrow_mut().push(entropy.mean(Kind::Double));
    }
}
