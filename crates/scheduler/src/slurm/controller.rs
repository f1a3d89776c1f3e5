//! The one place that talks to Slurm: a question at a time, while the coordinator goes on.

use std::path::PathBuf;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::queue::{self, Queue};
use super::submit::{self, Refusal, Submission};

/// What Slurm is asked for.
pub(super) enum Request {
    Submit(Submission),
    Queue,
}

/// What comes back, in the order of the requests.
pub(super) enum Answer {
    Submitted { submission: Submission, result: Result<String, Refusal> },
    Queue(Result<Queue, String>),
}

/// Slurm's two programs that isoflop uses.
#[derive(Clone, Debug)]
pub struct SlurmPrograms {
    pub sbatch: String,
    pub squeue: String,
}

impl Default for SlurmPrograms {
    fn default() -> Self {
        Self { sbatch: "sbatch".to_owned(), squeue: "squeue".to_owned() }
    }
}

pub(super) struct Controller {
    requests: UnboundedSender<Request>,
    answers: UnboundedReceiver<Answer>,
}

impl Controller {
    /// Starts on the runtime that it is called from; `jobs` is the folder of the jobs' folders.
    pub(super) fn start(programs: SlurmPrograms, jobs: PathBuf) -> Self {
        let (requests, received) = mpsc::unbounded_channel();
        let (sender, answers) = mpsc::unbounded_channel();
        tokio::spawn(answer(programs, jobs, received, sender));
        Self { requests, answers }
    }

    pub(super) fn request(&self, request: Request) {
        // The task ends with its runtime only, and then nobody asks any more.
        let _ = self.requests.send(request);
    }

    /// The next answer, if it is there already.
    pub(super) fn try_answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Waits for the next answer.
    pub(super) async fn answer(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

async fn answer(
    programs: SlurmPrograms,
    jobs: PathBuf,
    mut requests: UnboundedReceiver<Request>,
    answers: UnboundedSender<Answer>,
) {
    while let Some(request) = requests.recv().await {
        let answer = match request {
            Request::Submit(submission) => {
                let result = submit::submit(&programs.sbatch, &submission, &jobs).await;
                Answer::Submitted { submission, result }
            }
            Request::Queue => Answer::Queue(queue::ask(&programs.squeue).await),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}
