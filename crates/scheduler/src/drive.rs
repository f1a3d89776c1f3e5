//! The coordinator's loop: decide, store, act, listen, store, apply.

use std::future::Future;
use std::time::Duration;

use spec::{Order, Ready};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bundle::Bundles;
use crate::engine::{Engine, EngineError, EngineEvent, Exit, Place, Said};
use crate::plan::PlannedSegment;
use crate::schedule::{Consequence, Schedule};
use crate::state::{InvalidChange, States};

/// Where everything is stored before it is acted on.
pub trait Journal {
    type Error;

    /// Stores that attempts at segments begin on a slot, and returns what to order, in the same order.
    fn begin(
        &mut self,
        launch: &Launch<'_>,
    ) -> impl Future<Output = Result<Vec<Order>, Self::Error>>;

    /// Stores what trainers said; false where a later attempt has replaced the one that said it.
    fn record(&mut self, said: &[Said]) -> impl Future<Output = Result<Vec<bool>, Self::Error>>;

    /// Stores what else follows.
    fn conclude(
        &mut self,
        consequence: &Consequence,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Notes what a slot's trainer is.
    fn ready(
        &mut self,
        slot: usize,
        ready: &Ready,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Is told now and then what the schedule says, to show it.
    fn look(&mut self, schedule: &Schedule<'_>, now: f64);
}

/// Segments that are about to be handed to a slot.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    pub slot: usize,
    pub place: Place,
    pub segments: Vec<&'a PlannedSegment>,
    /// Examples at once, for each of them where it is not the recipe's.
    pub micro_batches: Vec<Option<u32>>,
}

/// How soon the drive should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// When nothing is left to do.
    No,
    /// Soon: trainers write a checkpoint first.
    Checkpoint,
    /// Now.
    Kill,
}

/// How a drive ended, and where that leaves the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub states: States,
    pub why: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is left that could be done.
    Done,
    /// It was asked to stop before that.
    Interrupted,
    /// Nothing can be written until somebody makes room.
    DiskFull { reason: String },
    /// So many segments that could start would exceed the budget.
    BudgetReached { n_segments: usize },
}

#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    #[error(transparent)]
    Engine(EngineError),
    #[error("cannot store what happened")]
    Journal(#[source] E),
    #[error(transparent)]
    State(#[from] InvalidChange),
}

/// Executes everything that `schedule` has left, until nothing can start any more or `stop` says so.
/// `bundle_s`: seconds of work that are worth handing over at once; 0 is one segment.
///
/// # Errors
/// A trainer that cannot be started, a journal that cannot store, or an impossible event.
pub async fn drive<E: Engine, J: Journal>(
    schedule: Schedule<'_>,
    bundle_s: f64,
    engine: &mut E,
    journal: &mut J,
    mut stop: watch::Receiver<Stop>,
) -> Result<Ended, DriveError<J::Error>> {
    let (is_stopped, epoch) = (false, Instant::now());
    let mut drive = Drive { schedule, bundle_s, engine, journal, is_stopped, epoch };
    let result = drive.until_done(&mut stop).await;
    // Whatever ended it, trainers get to write their checkpoints; what they say of it is in their
    // attempts' files.
    drive.close(&mut stop).await;
    let level = result?;
    Ok(Ended { states: drive.schedule.states(), why: drive.why(level) })
}

struct Drive<'a, 'b, E, J> {
    schedule: Schedule<'a>,
    bundle_s: f64,
    engine: &'b mut E,
    journal: &'b mut J,
    is_stopped: bool,
    epoch: Instant,
}

impl<E: Engine, J: Journal> Drive<'_, '_, E, J> {
    /// Until nothing is running and nothing may start; how soon it was asked to end.
    async fn until_done(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<Stop, DriveError<J::Error>> {
        loop {
            let level = *stop.borrow_and_update();
            self.obey(level);
            self.is_stopped = level != Stop::No;
            let is_stopping = level != Stop::No || self.schedule.pause().is_some();
            if !is_stopping {
                self.fill_slots().await?;
            }
            self.journal.look(&self.schedule, self.now());
            let is_over =
                self.schedule.n_running() == 0 && (is_stopping || !self.schedule.is_waiting());
            if is_over || (level != Stop::No && self.engine.n_alive() == 0) {
                return Ok(level);
            }
            let change = self.next_change();
            tokio::select! {
                event = self.engine.next() => self.handle_all(event).await?,
                Ok(()) = stop.changed() => {}
                () = tokio::time::sleep_until(change) => self.end_silent(),
            }
        }
    }

    /// Seconds since the drive began.
    fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }

    /// When to look again though nothing happens.
    fn next_change(&self) -> Instant {
        const HOUR_S: f64 = 3600.0;
        // What is due already waits for a slot, or for the end.
        let change = self.schedule.next_change().filter(|at| *at > self.now());
        let at = change.unwrap_or_else(|| self.now() + HOUR_S);
        self.epoch + Duration::from_secs_f64(at)
    }

    async fn fill_slots(&mut self) -> Result<(), DriveError<J::Error>> {
        let mut bundles = None;
        let n_slots = self.engine.n_slots();
        while let Some((slot, root)) = self.schedule.next_launch(n_slots, self.now()) {
            let place = self.engine.wake(slot).map_err(DriveError::Engine)?;
            let bundles = bundles.get_or_insert_with(|| match self.bundle_s > 0.0 {
                true => self.schedule.bundles(self.bundle_s),
                false => Bundles::default(),
            });
            let segments = self.schedule.bundle(bundles, root.id);
            let micro_batches =
                segments.iter().map(|segment| self.schedule.micro_batch(segment.id)).collect();
            let launch = Launch { slot, place, segments, micro_batches };
            let orders = self.journal.begin(&launch).await.map_err(DriveError::Journal)?;
            for order in &orders {
                self.schedule.launch(order.segment_id, order.attempt, slot, self.now())?;
            }
            self.engine.launch(slot, &orders).await.map_err(DriveError::Engine)?;
        }
        Ok(())
    }

    fn obey(&mut self, level: Stop) {
        match level {
            Stop::No => {}
            Stop::Checkpoint => self.engine.stop(),
            Stop::Kill => self.engine.kill(),
        }
    }

    /// Ends trainers that have said nothing for too long.
    fn end_silent(&mut self) {
        for slot in self.schedule.overdue(self.now()) {
            self.engine.end(slot);
            self.schedule.excuse(slot, self.now());
        }
    }

    /// An event, and what else has happened by now: what trainers said is stored together.
    async fn handle_all(&mut self, event: EngineEvent) -> Result<(), DriveError<J::Error>> {
        const MOST: usize = 256;
        let mut next = Some(event);
        let mut said = Vec::new();
        while let Some(event) = next {
            match event {
                EngineEvent::Said(one) => said.push(one),
                EngineEvent::Ready { slot, ready } => {
                    self.journal.ready(slot, &ready).await.map_err(DriveError::Journal)?;
                }
                EngineEvent::Exited { slot, exit } => {
                    self.hear(&std::mem::take(&mut said)).await?;
                    self.bury(slot, exit).await?;
                }
            }
            next = (said.len() < MOST).then(|| self.engine.try_next()).flatten();
        }
        self.hear(&said).await
    }

    async fn hear(&mut self, said: &[Said]) -> Result<(), DriveError<J::Error>> {
        if said.is_empty() {
            return Ok(());
        }
        let current = self.journal.record(said).await.map_err(DriveError::Journal)?;
        for (said, _) in said.iter().zip(current).filter(|(_, is_current)| *is_current) {
            let consequences = self.schedule.hear(said, self.now())?;
            self.conclude(consequences).await?;
        }
        Ok(())
    }

    async fn bury(&mut self, slot: usize, mut exit: Exit) -> Result<(), DriveError<J::Error>> {
        // What a person has stopped is not to blame for how it ended.
        exit.ran &= !self.is_stopped;
        let consequences = self.schedule.bury(slot, &exit, self.now())?;
        self.conclude(consequences).await
    }

    async fn conclude(
        &mut self,
        consequences: Vec<Consequence>,
    ) -> Result<(), DriveError<J::Error>> {
        for consequence in &consequences {
            self.journal.conclude(consequence).await.map_err(DriveError::Journal)?;
        }
        Ok(())
    }

    /// Lets idle trainers end by themselves, but not for ever; a second Ctrl-C still ends them at once.
    async fn close(&mut self, stop: &mut watch::Receiver<Stop>) {
        const PATIENCE: Duration = Duration::from_secs(60);
        let mut deadline = Instant::now() + PATIENCE;
        self.engine.stop();
        while self.engine.n_alive() > 0 {
            tokio::select! {
                _ = self.engine.next() => {}
                Ok(()) = stop.changed() => {
                    let level = *stop.borrow_and_update();
                    self.obey(level);
                }
                () = tokio::time::sleep_until(deadline) => {
                    self.engine.kill();
                    deadline += PATIENCE;
                }
            }
        }
    }

    fn why(&self, level: Stop) -> End {
        if let Some(reason) = self.schedule.pause() {
            return End::DiskFull { reason: reason.to_owned() };
        }
        match self.schedule.n_unaffordable() {
            _ if level != Stop::No && self.schedule.has_work() => End::Interrupted,
            0 => End::Done,
            n_segments => End::BudgetReached { n_segments },
        }
    }
}
