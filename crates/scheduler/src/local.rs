//! The engine of this machine: one warm trainer process per slot, fed orders on standard input.
//!
//! A trainer's input closes with its coordinator, whatever ends that: trainers then write a
//! checkpoint and end by themselves.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use spec::{Order, TrainerLine};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

use crate::engine::{Engine, EngineError, EngineEvent, Exit, Place, Said};

/// A place that trains one segment at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `cpu`, or `cuda:0`: the only GPU that the trainer sees.
    pub device: String,
    /// Value of CUDA_VISIBLE_DEVICES for the trainer; None leaves it as it is.
    pub visible_gpu: Option<String>,
    pub threads: u32,
}

pub struct LocalEngine {
    program: PathBuf,
    log_dir: PathBuf,
    slots: Vec<(Slot, Option<Trainer>)>,
    sender: mpsc::UnboundedSender<EngineEvent>,
    events: mpsc::UnboundedReceiver<EngineEvent>,
    /// For each slot, trainers in a row that ended before they were ready, and how the last one did.
    never_ready: Vec<(u32, String)>,
}

/// The coordinator's ends of a trainer process; dropping `orders` asks it to end.
struct Trainer {
    pid: u32,
    orders: Option<ChildStdin>,
    ending: watch::Sender<Ending>,
    is_ready: bool,
}

/// How soon a trainer is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    ByItself,
    /// TERM, and KILL if that does not help.
    Asked,
    Now,
}

/// How long a trainer that was asked by TERM has for its checkpoint.
const GRACE: Duration = Duration::from_secs(10);

/// A trainer that cannot even say that it is ready will not the next time.
const MAX_NEVER_READY: u32 = 5;

impl LocalEngine {
    /// `program` is isoflop-trainer; what trainers write on standard error between orders goes to
    /// `log_dir/slot-N.log`. No process is started before its slot is woken.
    pub fn new(program: PathBuf, log_dir: PathBuf, slots: Vec<Slot>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let never_ready = vec![(0, String::new()); slots.len()];
        let slots = slots.into_iter().map(|slot| (slot, None)).collect();
        Self { program, log_dir, slots, sender, events, never_ready }
    }

    fn spawn(&self, index: usize) -> Result<Trainer, EngineError> {
        let mut child = self
            .command(index)?
            .spawn()
            .map_err(|source| EngineError::Spawn { program: self.program.clone(), source })?;
        let orders = child.stdin.take();
        let pid = child.id().expect("a child that nobody has waited for has an id");
        let (ending, told) = watch::channel(Ending::ByItself);
        tokio::spawn(follow(index, child, pid, told, self.sender.clone()));
        Ok(Trainer { pid, orders, ending, is_ready: false })
    }

    fn command(&self, index: usize) -> Result<Command, EngineError> {
        let (slot, _) = &self.slots[index];
        let path = self.log(index);
        let log = std::fs::create_dir_all(&self.log_dir)
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
            .map_err(|source| EngineError::Log { path, source })?;
        let mut command = Command::new(&self.program);
        command
            .args(["--device", &slot.device, "--threads", &slot.threads.to_string()])
            .env("OMP_NUM_THREADS", slot.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A terminal's Ctrl-C is for the coordinator, which then asks the trainers.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(gpu) = &slot.visible_gpu {
            command.env("CUDA_VISIBLE_DEVICES", gpu);
        }
        Ok(command)
    }

    fn log(&self, index: usize) -> PathBuf {
        self.log_dir.join(format!("slot-{index}.log"))
    }

    fn check_that_trainers_get_ready(&self, index: usize) -> Result<(), EngineError> {
        let (n, how) = self.never_ready[index].clone();
        if n < MAX_NEVER_READY {
            return Ok(());
        }
        let (program, log) = (self.program.clone(), self.log(index));
        Err(EngineError::NeverReady { program, log, how, n })
    }

    fn trainers(&mut self) -> impl Iterator<Item = &mut Trainer> {
        self.slots.iter_mut().filter_map(|(_, trainer)| trainer.as_mut())
    }

    /// Keeps up with what an event says of its slot.
    fn note(&mut self, event: &EngineEvent) {
        match event {
            EngineEvent::Ready { slot, .. } => {
                self.never_ready[*slot].0 = 0;
                if let Some(trainer) = &mut self.slots[*slot].1 {
                    trainer.is_ready = true;
                }
            }
            EngineEvent::Said(_) => {}
            EngineEvent::Exited { slot, exit } => {
                let trainer = self.slots[*slot].1.take();
                // One that was told to end before it was ready has done nothing wrong.
                let is_to_blame = |trainer: &Trainer| {
                    !trainer.is_ready
                        && trainer.orders.is_some()
                        && *trainer.ending.borrow() == Ending::ByItself
                };
                if trainer.as_ref().is_some_and(is_to_blame) {
                    let (n, how) = &mut self.never_ready[*slot];
                    *n += 1;
                    how.clone_from(&exit.how);
                }
            }
        }
    }
}

impl Engine for LocalEngine {
    fn n_slots(&self) -> usize {
        self.slots.len()
    }

    fn wake(&mut self, slot: usize) -> Result<Place, EngineError> {
        self.check_that_trainers_get_ready(slot)?;
        if self.slots[slot].1.is_none() {
            self.slots[slot].1 = Some(self.spawn(slot)?);
        }
        let pid = self.slots[slot].1.as_ref().map(|trainer| trainer.pid);
        Ok(Place { pid, job: None })
    }

    async fn launch(&mut self, slot: usize, orders: &[Order]) -> Result<(), EngineError> {
        let mut lines = String::new();
        for order in orders {
            lines +=
                &serde_json::to_string(order).expect("an order is plain data with string keys");
            lines.push('\n');
        }
        if let Some(Trainer { orders: Some(input), .. }) = &mut self.slots[slot].1 {
            // A trainer that is already dead cannot read it; its exit is on the way as an event.
            let _ = input.write_all(lines.as_bytes()).await;
        }
        Ok(())
    }

    async fn next(&mut self) -> EngineEvent {
        let event = self.events.recv().await.expect("the engine itself holds a sender");
        self.note(&event);
        event
    }

    fn try_next(&mut self) -> Option<EngineEvent> {
        let event = self.events.try_recv().ok()?;
        self.note(&event);
        Some(event)
    }

    fn end(&mut self, slot: usize) {
        if let Some(trainer) = &self.slots[slot].1 {
            raise(&trainer.ending, Ending::Asked);
        }
    }

    fn stop(&mut self) {
        self.trainers().for_each(|trainer| trainer.orders = None);
    }

    fn kill(&mut self) {
        self.trainers().for_each(|trainer| raise(&trainer.ending, Ending::Now));
    }

    fn n_alive(&self) -> usize {
        self.slots.iter().filter(|(_, trainer)| trainer.is_some()).count()
    }
}

/// Never back to a gentler ending.
fn raise(ending: &watch::Sender<Ending>, to: Ending) {
    ending.send_if_modified(|ending| {
        let is_more = to > *ending;
        *ending = to.max(*ending);
        is_more
    });
}

/// Passes on what a trainer says until it ends, then how it ended.
async fn follow(
    slot: usize,
    mut child: Child,
    pid: u32,
    told: watch::Receiver<Ending>,
    sender: mpsc::UnboundedSender<EngineEvent>,
) {
    let kills_before = oom_kills();
    let stdout = child.stdout.take().expect("stdout is piped");
    let listened = async {
        let complaint = pass_on(slot, stdout, &sender).await;
        if complaint.is_some() {
            signal(pid, Signal::KILL);
        }
        (complaint, child.wait().await)
    };
    let (complaint, status) = tokio::select! {
        ended = listened => ended,
        never = end_when_told(pid, told.clone()) => match never {},
    };
    // Killed by us is not killed for want of memory.
    let was_told = *told.borrow() > Ending::ByItself;
    let out_of_memory = !was_told && is_killed(&status) && oom_kills() > kills_before;
    let how = complaint.unwrap_or_else(|| describe(status));
    // Nobody listens once the engine is gone.
    let _ = sender.send(EngineEvent::Exited { slot, exit: Exit { how, out_of_memory, ran: true } });
}

/// Until the trainer's output ends, or makes no sense: then what is wrong with it.
async fn pass_on(
    slot: usize,
    stdout: ChildStdout,
    sender: &mpsc::UnboundedSender<EngineEvent>,
) -> Option<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let event = match TrainerLine::parse(&line) {
            Ok(TrainerLine::Ready(ready)) => EngineEvent::Ready { slot, ready },
            Ok(TrainerLine::Event { segment_id, attempt, event, .. }) => {
                EngineEvent::Said(Said { segment_id, attempt, event })
            }
            Err(error) => return Some(format!("because of what it said: {error}")),
        };
        // An engine that is gone has closed the trainer's input, too.
        let _ = sender.send(event);
    }
    None
}

/// Sends the signals that a trainer is to end by; what it still says is heard meanwhile.
async fn end_when_told(pid: u32, mut told: watch::Receiver<Ending>) -> std::convert::Infallible {
    if told.wait_for(|ending| *ending > Ending::ByItself).await.is_ok() {
        if *told.borrow() == Ending::Asked {
            signal(pid, Signal::TERM);
            // Whichever comes first.
            let _ =
                tokio::time::timeout(GRACE, told.wait_for(|ending| *ending == Ending::Now)).await;
        }
        signal(pid, Signal::KILL);
    }
    std::future::pending().await
}

/// To a trainer and all that it may have started. One that is gone already is as good.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

/// How many processes Linux has killed for want of memory since it started; None where it does not say.
fn oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/vmstat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn is_killed(status: &std::io::Result<ExitStatus>) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.as_ref().is_ok_and(|status| status.signal() == Some(Signal::KILL.as_raw()))
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, Some(9)) => "by signal 9 (killed, or out of memory)".to_owned(),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => "for an unknown reason".to_owned(),
        },
        Err(error) => format!("unobserved: {error}"),
    }
}
