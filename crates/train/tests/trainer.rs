//! The program itself, as a coordinator sees it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use spec::{Failure, Order, Spent, TrainerEvent, TrainerLine};

use common::{FOREVER, order, signal};

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
    while !matches!(trainer.event(), TrainerEvent::Progress { .. }) {}
    signal(trainer.child.id(), "-INT");
    for _ in 0..3 {
        assert!(matches!(trainer.event(), TrainerEvent::Progress { .. }));
    }
    signal(trainer.child.id(), "-TERM");
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
    let TrainerEvent::Failed { reason, failure } = trainer.last_event() else {
        panic!("not failed")
    };
    assert!(reason.contains("nowhere"), "{reason}");
    assert_eq!(failure, Failure::ParentCheckpoint);
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
    let spec::ModelSpec::Vit(vit) = &mut broken.segment.recipe_mut().model else { panic!("a vit") };
    vit.classes = 2;
    trainer.order(&broken);
    let TrainerEvent::Failed { reason, .. } = trainer.last_event() else { panic!("not failed") };
    assert!(reason.contains("out of bounds") && !reason.contains('\n'), "{reason}");
    trainer.order(&order(folder.path(), "whole", 10));
    assert!(matches!(trainer.last_event(), TrainerEvent::Finished { .. }));
}

#[test]
fn what_is_said_in_an_attempt_is_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    let mut broken = order(folder.path(), "broken", 10);
    let spec::ModelSpec::Vit(vit) = &mut broken.segment.recipe_mut().model else { panic!("a vit") };
    vit.classes = 2;
    let whole = order(folder.path(), "whole", 10);
    for order in [&broken, &whole] {
        trainer.order(order);
        trainer.last_event();
    }
    let log = |order: &Order| fs::read_to_string(order.attempt_dir.join("log.txt")).unwrap();
    let heading = format!("segment {}, attempt 1: version", whole.segment_id);
    assert!(log(&whole).contains(&heading) && log(&whole).lines().count() == 1, "{}", log(&whole));
    assert!(log(&broken).contains("panicked") && log(&broken).contains("out of bounds"));
    trainer.say("train, please");
    let (_, said) = trainer.end();
    assert!(said.contains("bad order") && !said.contains("panicked"), "between orders: {said}");
}

#[test]
fn a_full_disk_is_told_as_such_and_ends_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    let full = order(folder.path(), "full", 10);
    fs::create_dir_all(&full.attempt_dir).unwrap();
    for name in ["log.txt", ".exit.json"] {
        std::os::unix::fs::symlink("/dev/full", full.attempt_dir.join(name)).unwrap();
    }
    trainer.order(&full);
    let last = std::iter::repeat_with(|| trainer.event())
        .find(|event| matches!(event, TrainerEvent::Failed { .. }));
    let Some(TrainerEvent::Failed { reason, failure }) = last else { panic!("not failed") };
    assert_eq!(failure, Failure::DiskFull, "{reason}");
    trainer.order(&order(folder.path(), "next", 10));
    assert!(matches!(trainer.last_event(), TrainerEvent::Finished { .. }));
}

#[test]
fn every_attempt_tells_the_memory_that_it_held_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start();
    let mut peak = |name: &str, batch: u32| {
        let mut order = order(folder.path(), name, 2);
        order.segment.recipe_mut().train.batch = batch;
        trainer.order(&order);
        match trainer.last_event() {
            TrainerEvent::Finished { spent: Spent { peak_bytes, .. }, .. } => peak_bytes,
            other => panic!("{other:?}"),
        }
    };
    let peaks = [peak("small", 8), peak("large", 4096), peak("small again", 8)];
    let [Some(before), Some(large), Some(after)] = peaks else {
        println!("skipped: this system does not reset its high-water mark");
        return;
    };
    // A batch of pixels is 4096 x 3 x 32 x 32 x 4 bytes.
    let mebibytes = 1 << 20;
    assert!(large > before + 48 * mebibytes, "{before}, {large}, {after}");
    assert!(after < large - 24 * mebibytes, "{before}, {large}, {after}");
}

#[test]
fn calibrate_answers_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let calibrate = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_isoflop-trainer"))
            .args(["calibrate", "--seconds", "0.01"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let segment = order(folder.path(), "any", 10).segment;
    let output = calibrate(&serde_json::to_string(&segment).unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["step_s", "example_s"] {
        assert!(found[name].as_f64().is_some_and(|seconds| seconds > 0.0), "{found}");
    }
    assert!(found["threads"] == 1 && found["out_of_memory"] == false, "{found}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "it leaves nothing");
    let output = calibrate("{}");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no segment"));
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
