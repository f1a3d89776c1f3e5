//! One order from its beginning to its last event.

use std::io;
use std::time::Duration;

use spec::{Failure, Order, SegmentSpec, Spent, TrainerEvent, TransferMethod};

use crate::faults::{self, failed, number};
use crate::law;
use crate::record::{self, Record};
use crate::stop::Stop;

/// Parts of a segment that takes time.
const SLICES: u64 = 10;

/// Follows an order to its last event or a pause, and returns that.
pub fn follow(order: &Order, stop: &Stop) -> io::Result<TrainerEvent> {
    let mut record = Record::open(order)?;
    let last = match Attempt::begin(order, &mut record)? {
        Ok(mut attempt) => match faults::meet(order, stop)? {
            Some(failed) => failed,
            None => attempt.work(stop)?,
        },
        Err(failed) => failed,
    };
    record.tell(last.clone())?;
    Ok(last)
}

struct Attempt<'a, 'b> {
    order: &'a Order,
    record: &'b mut Record<'a>,
    /// Where this attempt began, and how far it is.
    begun: u64,
    step: u64,
    /// The newest checkpoint of the segment's own.
    saved: Option<u64>,
    slept: Duration,
}

impl<'a, 'b> Attempt<'a, 'b> {
    /// The inner error is the attempt's last event.
    fn begin(
        order: &'a Order,
        record: &'b mut Record<'a>,
    ) -> io::Result<Result<Self, TrainerEvent>> {
        if !record::holds_fence(order)? {
            return Ok(Err(replaced()));
        }
        let saved = record::newest_checkpoint(order)?;
        if saved.is_none() && is_parent_gone(order) {
            return Ok(Err(failed("the parent's checkpoint is gone", Failure::ParentCheckpoint)));
        }
        let begun = saved.unwrap_or(order.segment.start);
        record.tell(TrainerEvent::Started { step: begun })?;
        Ok(Ok(Self { order, record, begun, step: begun, saved, slept: Duration::ZERO }))
    }

    fn work(&mut self, stop: &Stop) -> io::Result<TrainerEvent> {
        let segment = &self.order.segment;
        let diverges = number("FAKE_TRAINER_DIVERGE").is_some_and(|rate| is_wild(segment, rate));
        let until = if diverges { segment.start + segment.steps() / 2 } else { segment.end };
        let delay = number("FAKE_TRAINER_DELAY_MS").map(|ms| Duration::from_secs_f64(1e-3 * ms));
        if let Some(delay) = delay
            && let Some(last) = self.take_time(until, delay / SLICES as u32, stop)?
        {
            return Ok(last);
        }
        self.step = until;
        if diverges {
            return Ok(TrainerEvent::Diverged { step: until, spent: self.spent() });
        }
        self.record
            .tell(TrainerEvent::Evaluated { step: until, metrics: law::metrics(segment) })?;
        if !self.save(delay.is_some())? {
            return Ok(replaced());
        }
        Ok(TrainerEvent::Finished { step: until, spent: self.spent() })
    }

    /// Works in slices as far as `until`; Some: the event that ends the attempt before.
    fn take_time(
        &mut self,
        until: u64,
        slice_time: Duration,
        stop: &Stop,
    ) -> io::Result<Option<TrainerEvent>> {
        let SegmentSpec { start, .. } = self.order.segment;
        let trains = trains(&self.order.segment);
        let place = |slice: u64| start + (until.saturating_sub(start)) * slice / SLICES;
        let first = (1..=SLICES).find(|slice| place(*slice) > self.begun).unwrap_or(SLICES + 1);
        for slice in first..=SLICES {
            if !stop.sleep(slice_time) {
                return self.stop(stop).map(Some);
            }
            self.slept += slice_time;
            if !trains || place(slice) == self.step {
                continue;
            }
            self.step = place(slice);
            self.progress()?;
            if slice % 2 == 0 && slice < SLICES && !self.save(true)? {
                return Ok(Some(replaced()));
            }
        }
        Ok(None)
    }

    fn stop(&mut self, stop: &Stop) -> io::Result<TrainerEvent> {
        // Without a step, the state is still what this attempt was started from.
        if self.step > self.begun && self.saved != Some(self.step) && !self.save(true)? {
            return Ok(replaced());
        }
        Ok(stop.event(self.step, self.spent()))
    }

    fn progress(&mut self) -> io::Result<()> {
        let segment = &self.order.segment;
        let flops = self.step as f64 * segment.recipe.step_flops();
        self.record.tell(TrainerEvent::Progress {
            step: self.step,
            train_loss: 2.0 * test_support::known_error(flops, segment.recipe.seed),
            gradient_norm: 1.0,
            learning_rate: segment.learning_rate(self.step - 1),
            examples_per_s: 1000.0,
        })
    }

    /// Leaves a checkpoint; false where a newer attempt has begun.
    fn save(&mut self, tells: bool) -> io::Result<bool> {
        if !record::holds_fence(self.order)? {
            return Ok(false);
        }
        record::save(self.order, self.step, self.saved)?;
        self.saved = Some(self.step);
        if tells {
            let digest = "empty".to_owned();
            self.record.tell(TrainerEvent::Checkpointed { step: self.step, digest, bytes: 0 })?;
        }
        Ok(true)
    }

    fn spent(&self) -> Spent {
        let steps =
            if trains(&self.order.segment) { self.step.saturating_sub(self.begun) } else { 0 };
        let device_s = 0.001 + self.slept.as_secs_f64();
        Spent { steps, device_s, data_s: 0.0, peak_bytes: None }
    }
}

fn replaced() -> TrainerEvent {
    failed("a newer attempt has begun", Failure::Replaced)
}

fn is_parent_gone(order: &Order) -> bool {
    let name = spec::checkpoint_name(order.segment.start);
    order.parent_checkpoints.as_ref().is_some_and(|folder| !folder.join(name).is_dir())
}

/// Whether steps are executed: none are where features are enough.
fn trains(segment: &SegmentSpec) -> bool {
    match segment.transfer.as_ref().map(|task| &task.method) {
        Some(TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_)) => false,
        Some(TransferMethod::FineTune(_)) | None => true,
    }
}

fn is_wild(segment: &SegmentSpec, rate: f64) -> bool {
    segment.transfer.is_none() && segment.recipe.train.learning_rate >= rate
}
