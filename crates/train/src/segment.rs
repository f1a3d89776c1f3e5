//! The loop: one order from its first step to its last event.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data::{DataError, Split};
use models::{BindError, Parameter};
use spec::{
    FineTune, Order, Recipe, SegmentSpec, Spent, TrainerEvent, TransferMethod, TransferSpec,
};
use tch::Device;
use torch_ext::TorchError;

use crate::checkpoint::{self, CheckpointError, Manifest};
use crate::evaluate::{EvaluateError, evaluate, pass_size};
use crate::examples::{Examples, tell_skipped};
use crate::feed::Feed;
use crate::fence::{Fence, FenceError};
use crate::flat::Flat;
use crate::learner::Learner;
use crate::memory::Peak;
use crate::pauses::Stalled;
use crate::record::{Record, RecordError};
use crate::stop::Stop;
use crate::transfer::{self, TransferError};
use crate::window::{Reading, Window};

/// Steps between two looks at the losses, which are also those between two progress events.
const WINDOW: u64 = 50;

/// Longest time between two looks, for steps that are slow.
const WINDOW_TIME: Duration = Duration::from_secs(5);

/// What a lost trainer has to repeat at most.
const CHECKPOINT_TIME: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Fence(#[from] FenceError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Torch(#[from] TorchError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("an evaluation has no parent whose checkpoint it could evaluate")]
    NoParent,
    #[error(transparent)]
    Stalled(#[from] Stalled),
}

/// Trains the segment of `order`, continuing where an earlier attempt left a checkpoint, or evaluates
/// on another task. Returns the last event (finished, diverged or interrupted) or that of a pause, which
/// is not written yet. `log` takes what is no event: damaged checkpoints, corrupt images.
///
/// # Errors
/// What keeps the segment from being trained. libtorch's other failures panic.
pub(crate) fn train_segment(
    order: &Order,
    kept: &mut Option<Examples>,
    device: Device,
    stop: &Stop,
    record: &mut Record<'_>,
    log: &mut dyn FnMut(&str),
) -> Result<TrainerEvent, SegmentError> {
    let peak = Peak::begin(device);
    Fence::of(order).hold()?;
    let recipe = &order.segment.recipe;
    let Some(transfer) = &order.segment.transfer else {
        let training = &training(order, Recipe::clone(recipe));
        let learner = Learner::new(&training.segment.recipe, device)?;
        let loaded = start_state(training, &learner, log)?;
        return train(training, (learner, loaded), peak, kept, stop, record, log);
    };
    match &transfer.method {
        TransferMethod::FineTune(tune) => {
            let tuning = &training(order, transfer::recipe(transfer, tune, recipe));
            let begun = tuned_learner(order, tuning, tune, device, log)?;
            train(tuning, begun, peak, kept, stop, record, log)
        }
        TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_) => {
            evaluate_features(order, transfer, peak, device, stop, record)
        }
    }
}

/// `order` with what is really trained, in passes as small as memory asks for.
fn training(order: &Order, mut recipe: Recipe) -> Order {
    if let Some(limit) = order.micro_batch {
        let train = &mut recipe.train;
        train.micro_batch = Some(limit.clamp(1, train.micro_batch.unwrap_or(train.batch).max(1)));
    }
    let segment = SegmentSpec { recipe: Arc::new(recipe), ..order.segment.clone() };
    Order { segment, ..order.clone() }
}

/// A learner for `tuning`, as an earlier attempt left it, or else with the parameters of the trial.
fn tuned_learner(
    order: &Order,
    tuning: &Order,
    tune: &FineTune,
    device: Device,
    log: &mut dyn FnMut(&str),
) -> Result<(Learner, Option<Manifest>), SegmentError> {
    let recipe = &tuning.segment.recipe;
    let learner = Learner::new(recipe, device)?;
    if let Some(own) = own_state(tuning, &learner, log)? {
        return Ok((learner, Some(own)));
    }
    let initial = transfer::initial(recipe, tune, parameters_of_trial(order)?);
    Ok((Learner::of(&recipe.model, &recipe.train, recipe.seed, &initial, device)?, None))
}

/// What the trial ended with, on the CPU.
fn parameters_of_trial(order: &Order) -> Result<Vec<Parameter>, SegmentError> {
    let folder = order.parent_checkpoints.as_ref().ok_or(SegmentError::NoParent)?;
    let recipe = &order.segment.recipe;
    let layout = Flat::new(&models::initial(&recipe.model, 0), &|_| 1.0, Device::Cpu);
    Ok(checkpoint::load_parameters(folder, &layout.spans, order.segment.start)?)
}

fn evaluate_features(
    order: &Order,
    transfer: &TransferSpec,
    peak: Peak,
    device: Device,
    stop: &Stop,
    record: &mut Record<'_>,
) -> Result<TrainerEvent, SegmentError> {
    let started = Instant::now();
    let SegmentSpec { recipe, start, end, .. } = &order.segment;
    let parameters = parameters_of_trial(order)?;
    record.write(TrainerEvent::Started { step: *start })?;
    let spent = || Spent {
        device_s: started.elapsed().as_secs_f64(),
        peak_bytes: peak.bytes(),
        ..Spent::default()
    };
    let (cache, size) = (&order.cache, pass_size(order));
    match transfer::on_features(transfer, recipe, &parameters, cache, size, device, stop) {
        Err(error) if error.is_stop() => Ok(stop.event(*start, spent())),
        Err(error) => Err(error.into()),
        Ok(metrics) if metrics.values().any(|value| !value.is_finite()) => {
            Ok(TrainerEvent::Diverged { step: *end, spent: spent() })
        }
        Ok(metrics) => {
            record.write(TrainerEvent::Evaluated { step: *end, metrics })?;
            Ok(TrainerEvent::Finished { step: *end, spent: spent() })
        }
    }
}

/// The loop over a learner that is where this attempt begins.
fn train(
    order: &Order,
    (learner, loaded): (Learner, Option<Manifest>),
    peak: Peak,
    kept: &mut Option<Examples>,
    stop: &Stop,
    record: &mut Record<'_>,
    log: &mut dyn FnMut(&str),
) -> Result<TrainerEvent, SegmentError> {
    let segment = &order.segment;
    let device = learner.device;
    let done = loaded.as_ref().map_or(segment.start, |own| own.step);
    let examples = match Examples::reopen(kept, &segment.recipe, &order.cache, device, stop, log) {
        Err(DataError::Cancelled { .. }) => return Ok(stop.event(done, Spent::default())),
        opened => opened?,
    };
    record.write(TrainerEvent::Started { step: done })?;
    let feed = Feed::start(examples, &segment.recipe, done..segment.end, device);
    let now = Instant::now();
    let mut attempt = Attempt {
        order,
        learner,
        examples,
        record,
        window: Window::default(),
        loaded,
        done,
        spent: Spent::default(),
        peak,
        started: now,
        window_started: now,
        saved: now,
    };
    let last = attempt.train(feed, stop).and_then(|outcome| match outcome {
        ControlFlow::Break(last) => Ok(last),
        ControlFlow::Continue(()) => attempt.finish(),
    });
    if examples.train.is_none() {
        // Not known before: a streamed set is read while it is trained on.
        tell_skipped(&*examples.source, Split::Train, log);
    }
    last
}

/// Puts the learner where this attempt begins; returns what an earlier attempt left, if it is that.
fn start_state(
    order: &Order,
    learner: &Learner,
    log: &mut dyn FnMut(&str),
) -> Result<Option<Manifest>, CheckpointError> {
    let own = own_state(order, learner, log)?;
    if let (None, Some(parent)) = (&own, &order.parent_checkpoints) {
        let (flat, state) = (&learner.flat, learner.update.state());
        checkpoint::load_parent(parent, flat, state, order.segment.start)?;
    }
    Ok(own)
}

/// What an earlier attempt of this segment left, restored.
fn own_state(
    order: &Order,
    learner: &Learner,
    log: &mut dyn FnMut(&str),
) -> Result<Option<Manifest>, CheckpointError> {
    let mut complain = |error: &CheckpointError| log(&format!("{error}; an older one is used"));
    let state = learner.update.state();
    checkpoint::load_newest(&order.checkpoints, &learner.flat, state, &mut complain)
}

/// One execution of a segment.
struct Attempt<'a, 'b> {
    order: &'a Order,
    learner: Learner,
    examples: &'a Examples,
    record: &'a mut Record<'b>,
    window: Window,
    /// The own checkpoint that this attempt continues.
    loaded: Option<Manifest>,
    /// Finished steps, counted from the beginning of the trial.
    done: u64,
    spent: Spent,
    peak: Peak,
    started: Instant,
    window_started: Instant,
    /// When the last checkpoint was written.
    saved: Instant,
}

/// Whether the attempt goes on; a break holds its last event.
type Outcome = Result<ControlFlow<TrainerEvent>, SegmentError>;

impl Attempt<'_, '_> {
    fn train(&mut self, mut feed: Feed<'_>, stop: &Stop) -> Outcome {
        let order = self.order;
        let segment = &order.segment;
        while self.done < segment.end {
            if stop.is_requested() {
                return self.interrupt(stop);
            }
            let waiting = Instant::now();
            let batch = feed.batch(self.done)?;
            self.spent.data_s += waiting.elapsed().as_secs_f64();
            let measured =
                self.learner.step(&batch, self.done, segment.learning_rate(self.done))?;
            self.window.push(measured);
            self.done += 1;
            self.spent.steps += 1;

            let evaluates = self.done < segment.end && segment.evaluates_after(self.done);
            let saves = self.done < segment.end && self.saved.elapsed() >= CHECKPOINT_TIME;
            let looks =
                self.done.is_multiple_of(WINDOW) || self.window_started.elapsed() >= WINDOW_TIME;
            if (looks || evaluates || saves)
                && let ControlFlow::Break(last) = self.look(segment)?
            {
                return Ok(ControlFlow::Break(last));
            }
            if evaluates && let ControlFlow::Break(last) = self.evaluate()? {
                return Ok(ControlFlow::Break(last));
            }
            if saves {
                self.save()?;
            }
        }
        self.look(segment)
    }

    /// Reads the window: progress, or the step at which training went wrong.
    fn look(&mut self, segment: &SegmentSpec) -> Outcome {
        let steps = self.window.len() as u64;
        match self.window.take() {
            Reading::Empty => {}
            Reading::NotFinite { place } => {
                return Ok(self.diverged(self.done - steps + place as u64));
            }
            Reading::Means { loss, gradient_norm } => {
                let examples = (steps * u64::from(segment.recipe.train.batch)) as f64;
                self.record.write(TrainerEvent::Progress {
                    step: self.done,
                    train_loss: loss,
                    gradient_norm,
                    learning_rate: segment.learning_rate(self.done - 1),
                    examples_per_s: examples / self.window_started.elapsed().as_secs_f64(),
                })?;
            }
        }
        self.window_started = Instant::now();
        Ok(ControlFlow::Continue(()))
    }

    fn evaluate(&mut self) -> Outcome {
        let segment = &self.order.segment;
        let (validation, attention) = (&self.examples.validation, segment.recipe.eval.attention);
        let metrics = evaluate(&self.learner, validation, pass_size(self.order), attention)?;
        if metrics.values().any(|value| !value.is_finite()) {
            return Ok(self.diverged(self.done));
        }
        let metrics = match &segment.transfer {
            Some(transfer) => transfer::renamed(transfer, metrics),
            None => metrics,
        };
        self.record.write(TrainerEvent::Evaluated { step: self.done, metrics })?;
        self.window_started = Instant::now();
        Ok(ControlFlow::Continue(()))
    }

    fn save(&mut self) -> Result<(), SegmentError> {
        let saved = checkpoint::save(
            Fence::of(self.order),
            &self.learner.flat,
            self.learner.update.state(),
            self.order.segment_id,
            self.done,
        )?;
        self.tell_saved(saved)?;
        self.saved = Instant::now();
        self.window_started = Instant::now();
        Ok(())
    }

    fn tell_saved(&mut self, saved: Manifest) -> Result<(), RecordError> {
        let Manifest { step, digest, bytes, .. } = saved;
        self.record.write(TrainerEvent::Checkpointed { step, digest, bytes })
    }

    fn interrupt(&mut self, stop: &Stop) -> Outcome {
        let order = self.order;
        if let ControlFlow::Break(last) = self.look(&order.segment)? {
            return Ok(ControlFlow::Break(last));
        }
        // Without a step, the state is still what this attempt was started from.
        if self.spent.steps > 0 {
            self.save()?;
        }
        Ok(ControlFlow::Break(stop.event(self.done, self.spent())))
    }

    /// Evaluation before the checkpoint: a model whose last update broke it must not be a parent.
    fn finish(mut self) -> Result<TrainerEvent, SegmentError> {
        if let ControlFlow::Break(last) = self.evaluate()? {
            return Ok(last);
        }
        match self.loaded.take() {
            // An attempt that was killed before its last event left the checkpoint; it may not have
            // told of it.
            Some(own) if own.step == self.done => {
                checkpoint::keep_newest(Fence::of(self.order), own.step)?;
                self.tell_saved(own)?;
            }
            Some(_) | None => self.save()?,
        }
        Ok(TrainerEvent::Finished { step: self.done, spent: self.spent() })
    }

    fn diverged(&self, step: u64) -> ControlFlow<TrainerEvent> {
        ControlFlow::Break(TrainerEvent::Diverged { step, spent: self.spent() })
    }

    fn spent(&self) -> Spent {
        let device_s = self.started.elapsed().as_secs_f64();
        Spent { device_s, peak_bytes: self.peak.bytes(), ..self.spent }
    }
}

#[cfg(test)]
mod tests;
