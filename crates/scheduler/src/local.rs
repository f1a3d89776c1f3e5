//! The engine of this machine: one warm trainer process per slot, fed orders on standard input.
//!
//! A trainer's input closes with its coordinator, whatever ends that: trainers then write a
//! checkpoint and end by themselves.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use spec::{Order, TrainerLine};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Engine, EngineError, EngineEvent};

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
}

/// The coordinator's ends of a trainer process; dropping `kill` or `orders` is the message.
struct Trainer {
    pid: u32,
    orders: Option<ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
}

impl LocalEngine {
    /// `program` is isoflop-trainer; what trainers write on standard error goes to
    /// `log_dir/slot-N.log`. No process is started before the first launch.
    pub fn new(program: PathBuf, log_dir: PathBuf, slots: Vec<Slot>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let slots = slots.into_iter().map(|slot| (slot, None)).collect();
        Self { program, log_dir, slots, sender, events }
    }

    fn spawn(&self, index: usize) -> Result<Trainer, EngineError> {
        let mut child = self
            .command(index)?
            .spawn()
            .map_err(|source| EngineError::Spawn { program: self.program.clone(), source })?;
        let orders = child.stdin.take();
        let pid = child.id().expect("a child that nobody has waited for has an id");
        let (kill, killed) = oneshot::channel();
        tokio::spawn(follow(index, child, killed, self.sender.clone()));
        Ok(Trainer { pid, orders, kill: Some(kill) })
    }

    fn command(&self, index: usize) -> Result<Command, EngineError> {
        let (slot, _) = &self.slots[index];
        let path = self.log_dir.join(format!("slot-{index}.log"));
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
}

impl Engine for LocalEngine {
    fn n_slots(&self) -> usize {
        self.slots.len()
    }

    fn wake(&mut self, slot: usize) -> Result<u32, EngineError> {
        if let Some(trainer) = &self.slots[slot].1 {
            return Ok(trainer.pid);
        }
        let trainer = self.spawn(slot)?;
        Ok(self.slots[slot].1.insert(trainer).pid)
    }

    async fn order(&mut self, slot: usize, order: &Order) {
        let mut line =
            serde_json::to_string(order).expect("an order is plain data with string keys");
        line.push('\n');
        if let Some(Trainer { orders: Some(orders), .. }) = &mut self.slots[slot].1 {
            // A trainer that is already dead cannot read it; its exit is on the way as an event.
            let _ = orders.write_all(line.as_bytes()).await;
        }
    }

    async fn next(&mut self) -> EngineEvent {
        let event = self.events.recv().await.expect("the engine itself holds a sender");
        if let EngineEvent::Exited { slot, .. } = event {
            self.slots[slot].1 = None;
        }
        event
    }

    fn stop(&mut self) {
        for trainer in self.slots.iter_mut().filter_map(|(_, trainer)| trainer.as_mut()) {
            trainer.orders = None;
        }
    }

    fn kill(&mut self) {
        for trainer in self.slots.iter_mut().filter_map(|(_, trainer)| trainer.as_mut()) {
            trainer.kill = None;
        }
    }

    fn n_alive(&self) -> usize {
        self.slots.iter().filter(|(_, trainer)| trainer.is_some()).count()
    }
}

/// Passes on what a trainer says until it ends, then how it ended.
async fn follow(
    slot: usize,
    mut child: Child,
    mut killed: oneshot::Receiver<()>,
    sender: mpsc::UnboundedSender<EngineEvent>,
) {
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut complaint = None;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            _ = &mut killed => {
                // Already dead is as good.
                let _ = child.start_kill();
                break;
            }
        };
        let Ok(Some(line)) = line else { break };
        let event = match TrainerLine::parse(&line) {
            Ok(TrainerLine::Ready(ready)) => EngineEvent::Ready { slot, ready },
            Ok(TrainerLine::Event { segment_id, attempt, event, .. }) => {
                EngineEvent::Said { segment_id, attempt, event }
            }
            Err(error) => {
                complaint = Some(error.to_string());
                let _ = child.start_kill();
                break;
            }
        };
        if sender.send(event).is_err() {
            return;
        }
    }
    let status = child.wait().await;
    let how = complaint.unwrap_or_else(|| describe(status));
    // Nobody listens once the engine is gone.
    let _ = sender.send(EngineEvent::Exited { slot, how });
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
