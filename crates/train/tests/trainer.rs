//! The program itself, as a coordinator sees it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use spec::{FORMAT, Id, Order, SegmentId, SegmentKind, SegmentSpec, TrainerEvent, TrainerLine};

struct Trainer {
    child: Child,
    orders: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Trainer {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_isoflop-trainer"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut trainer = Self { child, orders, lines };
        let TrainerLine::Ready(ready) = trainer.line() else { panic!("the first line is `ready`") };
        assert_eq!((ready.device.as_str(), ready.threads), ("cpu", 1));
        trainer
    }

    fn say(&mut self, line: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{line}").unwrap();
    }

    fn order(&mut self, order: &Order) {
        self.say(&serde_json::to_string(order).unwrap());
    }

    fn line(&mut self) -> TrainerLine {
        TrainerLine::parse(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn event(&mut self) -> TrainerEvent {
        let TrainerLine::Event { event, .. } = self.line() else { panic!("ready only once") };
        event
    }

    fn last_event(&mut self) -> TrainerEvent {
        std::iter::repeat_with(|| self.event()).find(TrainerEvent::is_last).unwrap()
    }

    fn end(mut self) -> (ExitStatus, String) {
        self.orders = None;
        let output = self.child.wait_with_output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }
}

fn order(folder: &Path, name: &str, steps: u64) -> Order {
    let recipe = test_support::recipe(1);
    let segment = SegmentSpec {
        parent: None,
        recipe,
        kind: SegmentKind::Trunk,
        start: 0,
        end: steps,
        cooldown: 0,
        transfer: None,
    };
    Order {
        format: FORMAT,
        segment_id: SegmentId(Id::of(&name)),
        attempt: 1,
        segment,
        parent_checkpoints: None,
        checkpoints: folder.join("checkpoints").join(name),
        attempt_dir: folder.join("attempts").join(name),
        cache: folder.join("cache"),
        micro_batch: None,
    }
}

const FOREVER: u64 = 1_000_000_000;

#[test]
fn one_trainer_follows_several_orders_and_leaves_their_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    for name in ["first", "second"] {
        let order = order(folder.path(), name, 10);
        trainer.order(&order);
        assert!(matches!(trainer.last_event(), TrainerEvent::Finished { step: 10, .. }));
        let record = fs::read_to_string(order.attempt_dir.join("events.jsonl")).unwrap();
        let exit = fs::read_to_string(order.attempt_dir.join("exit.json")).unwrap();
        assert_eq!(record.lines().last(), Some(exit.trim_end()));
    }
    assert_eq!(trainer.end(), (ExitStatus::default(), String::new()));
}

#[test]
fn the_end_of_orders_interrupts_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), "long", FOREVER);
    let mut trainer = Trainer::start();
    trainer.order(&order);
    while !matches!(trainer.event(), TrainerEvent::Progress { .. }) {}
    trainer.orders = None;
    let TrainerEvent::Interrupted { step, .. } = trainer.last_event() else {
        panic!("not interrupted")
    };
    assert!(order.checkpoints.join(format!("step-{step:08}")).is_dir());
    assert!(trainer.end().0.success());
}

#[test]
fn term_interrupts_and_int_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    trainer.order(&order(folder.path(), "long", FOREVER));
    let signal = |trainer: &Trainer, name: &str| {
        assert!(
            Command::new("kill")
                .args([name, &trainer.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    };
    while !matches!(trainer.event(), TrainerEvent::Progress { .. }) {}
    signal(&trainer, "-INT");
    for _ in 0..3 {
        assert!(matches!(trainer.event(), TrainerEvent::Progress { .. }));
    }
    signal(&trainer, "-TERM");
    assert!(matches!(trainer.last_event(), TrainerEvent::Interrupted { .. }));
    assert!(trainer.child.wait().unwrap().success());
}

#[test]
fn an_order_that_cannot_be_followed_fails_and_the_next_one_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    let mut impossible = order(folder.path(), "impossible", 10);
    impossible.parent_checkpoints = Some(folder.path().join("nowhere"));
    trainer.order(&impossible);
    let TrainerEvent::Failed { reason, .. } = trainer.last_event() else { panic!("not failed") };
    assert!(reason.contains("nowhere"), "{reason}");
    trainer.order(&order(folder.path(), "possible", 10));
    assert!(matches!(trainer.last_event(), TrainerEvent::Finished { .. }));
    assert!(trainer.end().0.success());
}

#[test]
fn a_panic_inside_a_segment_fails_that_segment_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    let mut broken = order(folder.path(), "broken", 10);
    // More classes in the data than in the model: a label that libtorch refuses.
    let spec::ModelSpec::Vit(vit) = &mut broken.segment.recipe.model else { panic!("a vit") };
    vit.classes = 2;
    trainer.order(&broken);
    let TrainerEvent::Failed { reason, .. } = trainer.last_event() else { panic!("not failed") };
    assert!(reason.contains("out of bounds") && !reason.contains('\n'), "{reason}");
    trainer.order(&order(folder.path(), "whole", 10));
    assert!(matches!(trainer.last_event(), TrainerEvent::Finished { .. }));
}

#[test]
fn a_line_that_is_no_order_ends_the_trainer_with_exit_2() {
    let mut trainer = Trainer::start();
    trainer.say("train, please");
    let (status, log) = trainer.end();
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("bad order"), "{log}");
}

#[test]
fn a_device_that_is_not_here_is_named_with_exit_2() {
    for (device, complaint) in [("tpu", "unknown device `tpu`"), ("cuda:99", "CUDA")] {
        let output = Command::new(env!("CARGO_BIN_EXE_isoflop-trainer"))
            .args(["--device", device])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{device}");
        assert!(output.stdout.is_empty());
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains(complaint), "{log}");
    }
}
