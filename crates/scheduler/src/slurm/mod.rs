//! The engine of a cluster: each slot is a Slurm job, or a task of an array of them, whose script
//! executes a list of orders. sbatch and squeue are all that is asked of Slurm; what happened is read
//! from the files that trainers and scripts leave in the shared directory.
//!
//! What makes it safe to be killed anywhere, and to ask twice:
//! - A job has its name before sbatch is asked, and the store has it with every attempt. Whether a
//!   job was submitted is then a question of whether the queue shows that name.
//! - A script begins once. It begins again only in the same Slurm job, after a pause that it chose
//!   itself: what a lost node has left behind may still be writing, so everything else is a new attempt
//!   with a new fence, in a new job.
//! - An event is passed on once: files are read on from where they were read before, and a coordinator
//!   that finds the jobs of an earlier one is told up to which byte the store has what an attempt wrote
//!   ([`SlurmEngine::adopt`]).
//! - A queue that does not answer is no news. Only a queue that answers, twice, without the job, and
//!   files that say nothing more after a grace period, make a job lost.

mod controller;
mod folder;
mod job;
mod name;
mod queue;
mod script;
mod submit;
mod tail;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use spec::{Order, SegmentId, SlurmSpec};
use tokio::time::{Duration, Instant, sleep_until};

use crate::engine::{Engine, EngineError, EngineEvent, Exit, Place};

use controller::{Answer, Controller, Request};
use folder::JobFolder;
use job::{Job, Stage};
use name::JobName;
use queue::Queue;
use submit::{Refusal, Submission};
use tail::{End, Tail};

pub use controller::SlurmPrograms;

/// What the engine is told once.
pub struct SlurmSetting {
    pub spec: SlurmSpec,
    /// The folder of the jobs' folders; absolute, and seen by every node.
    pub jobs: PathBuf,
    /// isoflop-trainer; absolute, and seen by every node.
    pub trainer: PathBuf,
    /// Begins the name of every job; no other coordinator has ever had it.
    pub prefix: String,
    pub programs: SlurmPrograms,
    /// Whether what an order trains fits into a share of a GPU.
    pub fits_share: Box<dyn Fn(&Order) -> bool>,
    /// Takes what a user should know and what is no event.
    pub tell: Box<dyn FnMut(&str)>,
}

/// An attempt that an earlier coordinator gave to a job, and that the store believes to be running.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftBehind {
    pub segment_id: SegmentId,
    pub attempt: u32,
    /// Name of the job: [`Place::job`].
    pub job: String,
    pub attempt_dir: PathBuf,
    /// Bytes of its `events.jsonl` that the store has.
    pub known_bytes: u64,
}

pub struct SlurmEngine {
    setting: SlurmSetting,
    slots: Vec<Option<Job>>,
    /// Jobs named so far.
    n_named: u32,
    controller: Controller,
    events: VecDeque<EngineEvent>,
    next_look: Instant,
    /// Questions to the queue so far; one at most is open.
    questions: u64,
    is_asking: bool,
    next_question: Instant,
    /// Segments whose newest attempt here has ended otherwise than finished.
    unfinished: BTreeSet<SegmentId>,
    /// What sbatch said of a job that it will never take.
    refused: Option<String>,
    /// What was told since the queue last answered, so that it is not told again and again.
    told: BTreeSet<String>,
    has_let_go: bool,
}

impl SlurmEngine {
    /// Submits nothing before the first launch. Must be called on a tokio runtime.
    pub fn new(setting: SlurmSetting) -> Self {
        let n_slots = usize::try_from(setting.spec.max_jobs).unwrap_or(usize::MAX);
        let now = Instant::now();
        Self {
            controller: Controller::start(setting.programs.clone(), setting.jobs.clone()),
            slots: (0..n_slots).map(|_| None).collect(),
            n_named: 0,
            events: VecDeque::new(),
            next_look: now,
            questions: 0,
            is_asking: false,
            next_question: now,
            unfinished: BTreeSet::new(),
            refused: None,
            told: BTreeSet::new(),
            has_let_go: false,
            setting,
        }
    }

    /// Takes over jobs of earlier coordinators and goes on listening where the store's knowledge ends;
    /// for each of `attempts` its slot, all attempts of a job on the same. One whose job is gone is lost
    /// as any other: an exit follows.
    ///
    /// # Errors
    /// A queue that does not answer: then nothing may be started, as everything may still be running.
    pub async fn adopt(&mut self, attempts: &[LeftBehind]) -> Result<Vec<usize>, EngineError> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let queue = queue::ask(&self.setting.programs.squeue)
            .await
            .map_err(|message| EngineError::Queue { message })?;
        let mut slots = BTreeMap::new();
        let mut places = Vec::with_capacity(attempts.len());
        for left in attempts {
            let slot = match slots.get(&left.job) {
                Some(slot) => *slot,
                None => self.take_over(&left.job, &queue),
            };
            slots.insert(left.job.clone(), slot);
            let LeftBehind { segment_id, attempt, attempt_dir, known_bytes, .. } = left.clone();
            let tail = Tail::from(segment_id, attempt, attempt_dir, known_bytes);
            if let Some(job) = &mut self.slots[slot] {
                job.tails.push(tail);
            }
            places.push(slot);
        }
        self.next_look = Instant::now();
        Ok(places)
    }

    /// Puts a job of that name on a free slot.
    fn take_over(&mut self, name: &str, queue: &Queue) -> usize {
        // A name that is none of ours is in no queue either.
        let name =
            JobName::parse(name).unwrap_or_else(|| JobName { batch: name.to_owned(), index: 0 });
        let mut job = Job::new(name.clone(), JobFolder::of(&self.setting.jobs, &name));
        let (shown, now) = (queue.get(&name), Instant::now());
        job.stage = Stage::Queued { id: None, from: self.questions };
        job.hear(self.questions, shown, now);
        let orders = job.folder.read_orders();
        if shown.is_none() && orders.is_empty() {
            job.never_submitted(now.checked_sub(self.grace()).unwrap_or(now));
        }
        self.describe(&mut job, &orders);
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(job);
        slot
    }

    /// What follows for a job from its orders.
    fn describe(&self, job: &mut Job, orders: &[Order]) {
        let SlurmSetting { spec, fits_share, .. } = &self.setting;
        job.shares_gpu = spec.shards > 1 && orders.iter().all(fits_share);
        job.parent = orders.first().and_then(|order| order.segment.parent);
    }

    fn grace(&self) -> Duration {
        Duration::from_secs_f64(self.setting.spec.grace_s)
    }

    /// From one look at the files to the next; the queue is asked half as often.
    fn pause(&self) -> Duration {
        Duration::from_secs_f64((self.setting.spec.ask_s / 2.0).clamp(0.02, 5.0))
    }

    fn name_next(&mut self) -> JobName {
        let name = JobName::nth(&self.setting.prefix, self.n_named);
        self.n_named += 1;
        name
    }

    fn tell_once(&mut self, text: String) {
        if !self.told.contains(&text) {
            (self.setting.tell)(&text);
            self.told.insert(text);
        }
    }

    /// Once in a while: reads every job's files, submits what is ready, and asks the queue.
    fn work(&mut self) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + self.pause();
        for slot in 0..self.slots.len() {
            self.look(slot, now);
        }
        self.unblock(now);
        self.submit(now);
        self.ask(now);
    }

    fn look(&mut self, slot: usize, now: Instant) {
        let grace = self.grace();
        let Some(job) = &mut self.slots[slot] else { return };
        if !matches!(job.stage, Stage::Queued { .. }) {
            return;
        }
        if !job.is_introduced
            && let Some(ready) = job.folder.ready()
        {
            job.is_introduced = true;
            self.events.push_back(EngineEvent::Ready { slot, ready });
        }
        let look = job.look(grace, now);
        self.events.extend(look.said.into_iter().map(EngineEvent::Said));
        if let Some(complaint) = look.complaint {
            self.tell_once(complaint.to_string());
        }
        self.events.extend(look.exit.map(|exit| EngineEvent::Exited { slot, exit }));
        self.note_ends(slot);
    }

    /// Keeps what became of the segments of a job.
    fn note_ends(&mut self, slot: usize) {
        let Some(job) = &self.slots[slot] else { return };
        for tail in &job.tails {
            match tail.end() {
                Some(End::Finished) => self.unfinished.remove(&tail.segment_id),
                Some(End::Otherwise) => self.unfinished.insert(tail.segment_id),
                None if job.stage == Stage::Over => self.unfinished.insert(tail.segment_id),
                None => continue,
            };
        }
    }

    /// Asks sbatch for every job that is ready and whose parent's job is known; alike ones as arrays.
    fn submit(&mut self, now: Instant) {
        let mut alike: BTreeMap<(String, Vec<String>, Option<u32>), Vec<JobName>> = BTreeMap::new();
        for slot in 0..self.slots.len() {
            let Some(job) = &self.slots[slot] else { continue };
            let Stage::Ready { not_before } = job.stage else { continue };
            if now < not_before {
                continue;
            }
            let after = match self.dependency(job.parent) {
                Dependency::Done => None,
                Dependency::Job(id) => Some(id),
                Dependency::NotYet => continue,
                Dependency::Lost => {
                    self.withdraw(slot, "before it began: what it starts from did not finish");
                    continue;
                }
            };
            let options = submit::options(&self.setting.spec, job.shares_gpu, after.as_deref());
            let alone = job.alone.then_some(job.name.index);
            let key = (job.name.batch.clone(), options, alone);
            alike.entry(key).or_default().push(job.name.clone());
        }
        for ((_, options, _), mut names) in alike {
            names.sort_unstable();
            self.request(names, options);
        }
    }

    fn request(&mut self, names: Vec<JobName>, options: Vec<String>) {
        for job in self.slots.iter_mut().flatten().filter(|job| names.contains(&job.name)) {
            job.stage = Stage::Submitting;
        }
        let script = JobFolder::of(&self.setting.jobs, &names[0]).script();
        self.controller.request(Request::Submit(Submission { names, script, options }));
    }

    /// What a job that starts from `parent` has to wait for.
    fn dependency(&self, parent: Option<SegmentId>) -> Dependency {
        let Some(parent) = parent else { return Dependency::Done };
        let mut jobs = self.slots.iter().flatten();
        match jobs.find(|job| job.executes(parent)).map(|job| &job.stage) {
            Some(Stage::Queued { id: Some(id), .. }) => Dependency::Job(id.clone()),
            Some(
                Stage::Named
                | Stage::Ready { .. }
                | Stage::Submitting
                | Stage::Unclear { .. }
                | Stage::Queued { id: None, .. },
            ) => Dependency::NotYet,
            Some(Stage::Over) | None if self.unfinished.contains(&parent) => Dependency::Lost,
            Some(Stage::Over) | None => Dependency::Done,
        }
    }

    /// Gives jobs another way into the queue that it does not let go.
    fn unblock(&mut self, now: Instant) {
        let grace = self.grace();
        for slot in 0..self.slots.len() {
            let Some(job) = &self.slots[slot] else { continue };
            let is_held_up =
                job.is_dependent() && matches!(self.dependency(job.parent), Dependency::Done);
            if let Some(job) = &mut self.slots[slot] {
                job.unblock(is_held_up, grace, now);
            }
        }
    }

    fn ask(&mut self, now: Instant) {
        let matters = |job: &Job| matches!(job.stage, Stage::Queued { .. } | Stage::Unclear { .. });
        let is_due = !self.is_asking && now >= self.next_question;
        if is_due && self.slots.iter().flatten().any(matters) {
            self.is_asking = true;
            self.questions += 1;
            self.next_question = now + Duration::from_secs_f64(self.setting.spec.ask_s);
            self.controller.request(Request::Queue);
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Submitted { submission, result } => self.take_submitted(&submission, result),
            Answer::Queue(answer) => {
                self.is_asking = false;
                self.take_queue(answer);
            }
        }
    }

    fn take_queue(&mut self, answer: Result<Queue, String>) {
        match answer {
            Err(message) => {
                self.tell_once(format!("squeue does not answer, jobs are left alone: {message}"));
            }
            Ok(queue) => {
                self.told.clear();
                let now = Instant::now();
                for job in self.slots.iter_mut().flatten() {
                    job.hear(self.questions, queue.get(&job.name), now);
                }
            }
        }
    }

    fn take_submitted(&mut self, submission: &Submission, result: Result<String, Refusal>) {
        let ids = match &result {
            Ok(id) => submission.ids(id),
            Err(_) => vec![String::new(); submission.names.len()],
        };
        for (name, id) in submission.names.iter().zip(ids) {
            let at = |job: &Option<Job>| job.as_ref().is_some_and(|job| job.name == *name);
            let Some(slot) = self.slots.iter().position(at) else { continue };
            match &result {
                Ok(_) => {
                    self.set_stage(slot, Stage::Queued { id: Some(id), from: self.questions + 1 })
                }
                Err(refusal) => self.take_refusal(slot, refusal, submission.names.len() > 1),
            }
        }
    }

    /// An array that is refused may be too long, or one job too many: its jobs are asked for alone.
    fn take_refusal(&mut self, slot: usize, refusal: &Refusal, is_array: bool) {
        let now = Instant::now();
        let later = now + 3 * Duration::from_secs_f64(self.setting.spec.ask_s);
        if let Some(job) = &mut self.slots[slot] {
            job.alone = true;
        }
        match refusal {
            Refusal::Unclear(message) => {
                self.tell_once(format!(
                    "sbatch does not answer, and will be asked again: {message}"
                ));
                self.set_stage(slot, Stage::Unclear { from: self.questions + 1 });
            }
            Refusal::Full(_) | Refusal::Never(_) if is_array => {
                self.set_stage(slot, Stage::Ready { not_before: now });
                self.next_look = now;
            }
            Refusal::Full(message) => {
                self.tell_once(format!("the queue is full for now: {message}"));
                self.set_stage(slot, Stage::Ready { not_before: later });
            }
            Refusal::Never(message) => {
                self.refused = Some(message.clone());
                self.withdraw(slot, &format!("before it began: {message}"));
            }
        }
    }

    /// Of a job that sbatch was asked for; one that was let go meanwhile stays so.
    fn set_stage(&mut self, slot: usize, stage: Stage) {
        if let Some(job) = &mut self.slots[slot]
            && job.stage == Stage::Submitting
        {
            job.stage = stage;
        }
    }

    /// Gives up a job that the queue does not have.
    fn withdraw(&mut self, slot: usize, how: &str) {
        if let Some(job) = &mut self.slots[slot] {
            job.folder.withdraw();
            job.stage = Stage::Over;
        }
        self.note_ends(slot);
        let exit = Exit { how: how.to_owned(), out_of_memory: false, ran: false };
        self.events.push_back(EngineEvent::Exited { slot, exit });
    }
}

/// What a job has to wait for in the queue.
enum Dependency {
    /// Nothing: what it starts from is there.
    Done,
    Job(String),
    /// A job whose id is not known yet.
    NotYet,
    Lost,
}

impl Engine for SlurmEngine {
    fn n_slots(&self) -> usize {
        self.slots.len()
    }

    /// Names the slot's next job.
    fn wake(&mut self, slot: usize) -> Result<Place, EngineError> {
        if let Some(message) = self.refused.clone() {
            return Err(EngineError::Refused { message });
        }
        let is_named = |job: &Job| job.stage != Stage::Over;
        let name = match self.slots[slot].as_ref().filter(|job| is_named(job)) {
            Some(job) => job.name.clone(),
            None => self.name_next(),
        };
        let place = Place { pid: None, job: Some(name.to_string()) };
        if self.slots[slot].as_ref().is_none_or(|job| job.name != name) {
            let folder = JobFolder::of(&self.setting.jobs, &name);
            self.slots[slot] = Some(Job::new(name, folder));
        }
        Ok(place)
    }

    /// Queues a job; it is submitted together with others when the engine is next listened to.
    async fn launch(
        &mut self,
        slot: usize,
        orders: &[Order],
        // What orders start from says more than on which slot that is.
    ) -> Result<(), EngineError> {
        let SlurmSetting { spec, jobs, trainer, .. } = &self.setting;
        let device = if spec.gpus_per_node == 0 { "cpu" } else { "cuda:0" };
        let Some(mut job) = self.slots[slot].take() else { return Ok(()) };
        let script = script::script(jobs, &job.name, trainer, device, spec.cpus);
        job.folder
            .prepare(orders, &script)
            .map_err(|source| EngineError::Job { path: jobs.join(job.name.to_string()), source })?;
        job.tails = orders.iter().map(Tail::of).collect();
        for order in orders {
            self.unfinished.remove(&order.segment_id);
        }
        self.describe(&mut job, orders);
        self.next_look = Instant::now();
        job.stage = Stage::Ready { not_before: self.next_look };
        self.slots[slot] = Some(job);
        Ok(())
    }

    async fn next(&mut self) -> EngineEvent {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            // Nothing is lost where the caller stops waiting: an answer that is not taken stays.
            tokio::select! {
                answer = self.controller.answer() => self.take(answer),
                () = sleep_until(self.next_look) => {}
            }
        }
    }

    fn try_next(&mut self) -> Option<EngineEvent> {
        while let Some(answer) = self.controller.try_answer() {
            self.take(answer);
        }
        self.work();
        self.events.pop_front()
    }

    /// Makes the job's script end its trainer; a job that cannot be reached so is given up.
    fn end(&mut self, slot: usize) {
        let grace = self.grace();
        match &mut self.slots[slot] {
            Some(job) if job.stage != Stage::Over => {
                job.folder.revoke();
                job.deadline.get_or_insert(Instant::now() + Duration::from_secs(60) + grace);
            }
            Some(_) | None => {
                let exit = Exit::on_demand();
                self.events.push_back(EngineEvent::Exited { slot, exit });
            }
        }
    }

    /// Lets go: jobs go on, and the next coordinator finds them.
    fn stop(&mut self) {
        self.has_let_go = true;
        for job in self.slots.iter_mut().flatten() {
            if matches!(job.stage, Stage::Ready { .. }) {
                job.folder.withdraw();
                job.stage = Stage::Over;
            }
        }
    }

    /// As [`Self::stop`]: a queue is not a process group.
    fn kill(&mut self) {
        self.stop();
    }

    fn n_alive(&self) -> usize {
        let is_alive = |job: &&Job| !matches!(job.stage, Stage::Named | Stage::Over);
        if self.has_let_go { 0 } else { self.slots.iter().flatten().filter(is_alive).count() }
    }
}

#[cfg(test)]
mod tests;
