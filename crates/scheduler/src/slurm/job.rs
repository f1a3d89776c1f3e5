//! One job, from its name to its end, as far as the coordinator knows.

use spec::SegmentId;
use tokio::time::{Duration, Instant};

use super::folder::JobFolder;
use super::name::JobName;
use super::queue::{QueuedJob, Standing};
use super::tail::{Tail, TailError};
use super::verdict::{Evidence, KILLED, verdict};
use crate::engine::{Exit, Said};

pub(super) struct Job {
    pub name: JobName,
    pub folder: JobFolder,
    pub stage: Stage,
    pub tails: Vec<Tail>,
    /// Whether it asks for a share of a GPU only.
    pub shares_gpu: bool,
    /// The segment outside of its orders that they start from.
    pub parent: Option<SegmentId>,
    /// Not to go into an array: one with it was refused.
    pub alone: bool,
    /// Whether the trainer's word of what it is has been passed on.
    pub is_introduced: bool,
    /// When to give it up though the queue shows it.
    pub deadline: Option<Instant>,
    /// What the queue showed last; None: no such job.
    standing: Option<Standing>,
    /// Since when, and in how many answers, the queue does not show it alive.
    missing: Option<(Instant, u32)>,
    /// Since when the queue lets it wait for a parent that is done.
    held_up: Option<Instant>,
}

/// How far the coordinator has come with a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// Has a name.
    Named,
    /// Has orders; sbatch is to be asked, not before the time given.
    Ready { not_before: Instant },
    /// sbatch is being asked.
    Submitting,
    /// sbatch did not say whether it has the job: the queue will, in the answer to question `from` or a
    /// later one.
    Unclear { from: u64 },
    /// In the queue's hands. `id` is None of a job that an earlier coordinator submitted and that the
    /// queue does not show. Answers to questions before `from` do not know of it.
    Queued { id: Option<String>, from: u64 },
    /// Nothing more is heard of it.
    Over,
}

/// What a look at a job's files shows.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub said: Vec<Said>,
    pub exit: Option<Exit>,
    pub complaint: Option<TailError>,
}

impl Exit {
    /// Of a job that was told to end and whose attempts had all ended by then.
    pub(super) fn on_demand() -> Self {
        Self { how: "when it was told to".to_owned(), out_of_memory: false, ran: true }
    }
}

/// Answers that must not show a job alive before it counts as gone.
const GONE_ANSWERS: u32 = 2;

impl Job {
    pub(super) fn new(name: JobName, folder: JobFolder) -> Self {
        Self {
            name,
            folder,
            stage: Stage::Named,
            tails: Vec::new(),
            shares_gpu: false,
            parent: None,
            alone: false,
            is_introduced: false,
            deadline: None,
            standing: None,
            missing: None,
            held_up: None,
        }
    }

    /// Takes in what the answer to question `question` shows under this job's name.
    pub(super) fn hear(&mut self, question: u64, shown: Option<&QueuedJob>, now: Instant) {
        match &mut self.stage {
            Stage::Unclear { from } if question >= *from => {
                self.stage = match shown {
                    Some(job) => Stage::Queued { id: Some(job.id.clone()), from: question },
                    None => Stage::Ready { not_before: now },
                };
            }
            Stage::Queued { id, from } if question >= *from => {
                if let Some(job) = shown {
                    *id = Some(job.id.clone());
                }
            }
            Stage::Named
            | Stage::Ready { .. }
            | Stage::Submitting
            | Stage::Unclear { .. }
            | Stage::Queued { .. }
            | Stage::Over => return,
        }
        if matches!(self.stage, Stage::Queued { .. }) {
            self.note(shown.map(|job| job.standing.clone()), now);
        }
    }

    fn note(&mut self, standing: Option<Standing>, now: Instant) {
        self.missing = match (&standing, self.missing) {
            (Some(Standing::Alive | Standing::Dependent), _) => None,
            (Some(Standing::Over { .. }) | None, None) => Some((now, 1)),
            (Some(Standing::Over { .. }) | None, Some((since, n))) => Some((since, n + 1)),
        };
        self.standing = standing;
    }

    /// Nothing can come of it: it was never submitted.
    pub(super) fn never_submitted(&mut self, long_ago: Instant) {
        self.missing = Some((long_ago, GONE_ANSWERS));
    }

    /// Whether it has an order for this segment that has not ended.
    pub(super) fn executes(&self, segment: SegmentId) -> bool {
        let is_open = |tail: &Tail| tail.segment_id == segment && tail.end().is_none();
        self.stage != Stage::Over && self.tails.iter().any(is_open)
    }

    /// Whether the queue lets it wait for another job.
    pub(super) fn is_dependent(&self) -> bool {
        matches!(self.stage, Stage::Queued { .. }) && self.standing == Some(Standing::Dependent)
    }

    /// Asks sbatch for the job once more where the queue does not see that what it waits for is done:
    /// the watcher of that job may have died before it could say so. Of two jobs of one name, one
    /// executes.
    pub(super) fn unblock(&mut self, is_held_up: bool, grace: Duration, now: Instant) {
        self.held_up = is_held_up.then(|| self.held_up.unwrap_or(now));
        if self.held_up.is_some_and(|since| now.duration_since(since) >= grace) {
            (self.stage, self.standing, self.held_up) =
                (Stage::Ready { not_before: now }, None, None);
        }
    }

    /// Reads on, and judges a job that has come to its end. The mark of the end is looked for first:
    /// everything that was said is then there to be read.
    pub(super) fn look(&mut self, grace: Duration, now: Instant) -> Look {
        let code = self.folder.ended();
        let mut look = Look::default();
        for tail in &mut self.tails {
            match tail.read() {
                Ok(said) => look.said.extend(said),
                Err(complaint) => look.complaint = Some(complaint),
            }
        }
        if self.tails.iter().all(|tail| tail.end().is_some()) {
            self.stage = Stage::Over;
            look.exit = self.deadline.map(|_| Exit::on_demand());
        } else if self.is_at_its_end(code, grace, now) {
            look.exit = Some(self.bury(code));
        }
        look
    }

    /// A trainer that was killed may have been killed for its memory: that the queue knows.
    fn is_at_its_end(&self, code: Option<i32>, grace: Duration, now: Instant) -> bool {
        let is_gone = self.missing.is_some_and(|(since, answers)| {
            answers >= GONE_ANSWERS && now.duration_since(since) >= grace
        });
        let is_over = matches!(self.standing, Some(Standing::Over { .. }));
        let has_ended = code.is_some_and(|code| code != KILLED || is_over);
        is_gone || has_ended || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    fn bury(&mut self, code: Option<i32>) -> Exit {
        let (ended, open): (Vec<_>, Vec<_>) =
            self.tails.iter().partition(|tail| tail.end().is_some());
        let evidence = Evidence {
            began: self.folder.began(),
            is_between: !ended.is_empty() && !open.iter().any(|tail| tail.has_begun()),
            code,
            standing: self.standing.as_ref(),
        };
        let mut exit = verdict(&evidence);
        // Attempts have logs of their own; of a trainer that did not come so far this is the only one.
        if exit.ran && ended.is_empty() && !open.iter().any(|tail| tail.has_begun()) {
            exit.how += &format!("; `{}` may say why", self.folder.log().display());
        }
        if code.is_none() {
            self.folder.revoke();
        }
        self.stage = Stage::Over;
        exit
    }
}
