//! The pretended trainer keeps the protocol where tests of coordinators lean on it.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use spec::{
    FORMAT, Failure, Order, SegmentId, SegmentKind, SegmentSpec, TrainerEvent, TrainerLine,
};

/// A hundred steps of a trial, from initialisation.
fn order(folder: &Path, seed: u64) -> Order {
    let segment = SegmentSpec {
        parent: None,
        recipe: test_support::recipe(seed).into(),
        kind: SegmentKind::Trunk,
        start: 0,
        end: 100,
        cooldown: 0,
        transfer: None,
    };
    let segment_id = segment.id();
    Order {
        format: FORMAT,
        segment_id,
        attempt: 1,
        segment,
        parent_checkpoints: None,
        checkpoints: folder.join("checkpoints").join(segment_id.to_string()),
        attempt_dir: attempt_dir(folder, segment_id, 1),
        cache: folder.join("cache"),
        micro_batch: None,
    }
}

fn attempt_dir(folder: &Path, segment_id: SegmentId, attempt: u32) -> std::path::PathBuf {
    folder.join("attempts").join(format!("{segment_id}-{attempt}"))
}

/// The same segment, attempted again.
fn again(folder: &Path, order: &Order, attempt: u32) -> Order {
    Order { attempt, attempt_dir: attempt_dir(folder, order.segment_id, attempt), ..order.clone() }
}

fn trainer(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fake-trainer"))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn say(child: &mut Child, orders: &[&Order]) {
    for order in orders {
        let line = serde_json::to_string(order).unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

/// What the attempt wrote down so far.
fn recorded(order: &Order) -> Vec<TrainerEvent> {
    let text = fs::read_to_string(order.attempt_dir.join("events.jsonl")).unwrap_or_default();
    let event = |line: &str| match TrainerLine::parse(line).unwrap() {
        TrainerLine::Event { event, .. } => event,
        TrainerLine::Ready(_) => panic!("ready is no event"),
    };
    text.lines().map(event).collect()
}

fn wait_for(order: &Order, what: &dyn Fn(&TrainerEvent) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !recorded(order).iter().any(what) {
        assert!(Instant::now() < deadline, "{:?}", recorded(order));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Follows orders until the input ends.
fn follow(orders: &[&Order], environment: &[(&str, &str)]) -> ExitStatus {
    let mut child = trainer(&[], environment);
    say(&mut child, orders);
    child.wait_with_output().unwrap().status
}

fn failure(order: &Order) -> Failure {
    match recorded(order).pop() {
        Some(TrainerEvent::Failed { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

const SLOW: (&str, &str) = ("FAKE_TRAINER_DELAY_MS", "300");

fn is_checkpoint(event: &TrainerEvent) -> bool {
    matches!(event, TrainerEvent::Checkpointed { .. })
}

#[test]
fn without_a_delay_an_order_is_finished_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), 1);
    assert!(follow(&[&order], &[]).success());
    let [
        TrainerEvent::Started { step: 0 },
        TrainerEvent::Evaluated { .. },
        TrainerEvent::Finished { spent, .. },
    ] = &recorded(&order)[..]
    else {
        panic!("{:?}", recorded(&order))
    };
    assert_eq!(spent.steps, 100);
    assert!(order.checkpoints.join("step-00000100").is_dir());
    assert!(!fs::read_to_string(order.attempt_dir.join("log.txt")).unwrap().is_empty());
}

#[test]
fn a_later_attempt_goes_on_from_the_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, name) in [(1, "-TERM"), (2, "-KILL")] {
        let first = order(folder.path(), seed);
        let mut child = trainer(&[], &[SLOW]);
        say(&mut child, &[&first]);
        wait_for(&first, &is_checkpoint);
        signal(&child, name);
        child.wait().unwrap();
        let last = recorded(&first).pop();
        let is_interrupted = matches!(last, Some(TrainerEvent::Interrupted { .. }));
        assert_eq!(is_interrupted, name == "-TERM", "{last:?}");

        let second = again(folder.path(), &first, 2);
        let mut child = trainer(&[], &[SLOW]);
        say(&mut child, &[&second]);
        wait_for(&second, &TrainerEvent::is_last);
        child.wait_with_output().unwrap();
        let events = recorded(&second);
        let (Some(TrainerEvent::Started { step }), Some(TrainerEvent::Finished { spent, .. })) =
            (events.first(), events.last())
        else {
            panic!("{events:?}")
        };
        assert!((20..100).contains(step) && spent.steps == 100 - step, "{events:?}");
    }
}

#[test]
fn the_end_of_orders_interrupts_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), 1);
    let mut child = trainer(&[], &[SLOW]);
    say(&mut child, &[&order]);
    wait_for(&order, &|event| matches!(event, TrainerEvent::Progress { .. }));
    assert!(child.wait_with_output().unwrap().status.success());
    let Some(TrainerEvent::Interrupted { step, .. }) = recorded(&order).pop() else {
        panic!("{:?}", recorded(&order))
    };
    assert!(order.checkpoints.join(spec::checkpoint_name(step)).is_dir());
}

#[test]
fn a_job_is_paused_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (long, next) = (order(folder.path(), 1), order(folder.path(), 2));
    let file = folder.path().join("orders.jsonl");
    let lines = [&long, &next].map(|order| serde_json::to_string(order).unwrap());
    fs::write(&file, lines.join("\n")).unwrap();
    let arguments = ["--orders", file.to_str().unwrap()];
    let mut child = trainer(&arguments, &[SLOW]);
    wait_for(&long, &is_checkpoint);
    signal(&child, "-USR1");
    assert_eq!(child.wait().unwrap().code(), Some(85));
    let Some(TrainerEvent::Paused { step, .. }) = recorded(&long).pop() else {
        panic!("{:?}", recorded(&long))
    };
    assert!(!long.attempt_dir.join("exit.json").exists() && !next.attempt_dir.exists());
    for _ in 0..2 {
        assert_eq!(trainer(&arguments, &[]).wait().unwrap().code(), Some(0));
    }
    let starts = recorded(&long).into_iter().filter_map(|event| match event {
        TrainerEvent::Started { step } => Some(step),
        _ => None,
    });
    assert_eq!(starts.collect::<Vec<_>>(), [0, step], "once more, and not when it has ended");
    assert!(matches!(recorded(&next).pop(), Some(TrainerEvent::Finished { .. })));
}

#[test]
fn what_was_asked_to_go_wrong_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let order = |seed| order(folder.path(), seed);
    let (large, small) = (order(1), Order { micro_batch: Some(4), ..order(2) });
    follow(&[&large, &small], &[("FAKE_TRAINER_OOM", "4")]);
    assert_eq!(failure(&large), Failure::OutOfMemory);
    assert!(matches!(recorded(&small).pop(), Some(TrainerEvent::Finished { .. })));

    fs::write(path("full"), "").unwrap();
    let full = order(3);
    follow(&[&full], &[("FAKE_TRAINER_DISK_FULL", path("full").to_str().unwrap())]);
    assert_eq!(failure(&full), Failure::DiskFull);

    let orphan = Order { parent_checkpoints: Some(path("nowhere")), ..order(4) };
    follow(&[&orphan], &[]);
    assert_eq!(failure(&orphan), Failure::ParentCheckpoint);

    let (first, second) = (order(5), again(folder.path(), &order(5), 2));
    follow(&[&second, &first], &[]);
    assert_eq!(failure(&first), Failure::Replaced);
}

#[test]
fn a_trainer_that_hangs_is_ended_by_term_alone() {
    let folder = tempfile::tempdir().unwrap();
    let is_odd = |order: &Order| {
        let id = order.segment_id.to_string();
        id.chars().last().unwrap().to_digit(16).unwrap() % 2 == 1
    };
    let order = (1..).map(|seed| order(folder.path(), seed)).find(is_odd).unwrap();
    let hangs = [("FAKE_TRAINER_HANG", folder.path().to_str().unwrap())];
    let mut child = trainer(&[], &hangs);
    say(&mut child, &[&order]);
    drop(child.stdin.take());
    wait_for(&order, &|event| matches!(event, TrainerEvent::Started { .. }));
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    let second = again(folder.path(), &order, 2);
    assert!(follow(&[&second], &hangs).success());
    assert!(matches!(recorded(&second).pop(), Some(TrainerEvent::Finished { .. })));
}

#[test]
fn calibrate_knows_the_flops() {
    let folder = tempfile::tempdir().unwrap();
    let segment = order(folder.path(), 1).segment;
    let answer = |environment: &[(&str, &str)]| {
        let mut child = trainer(&["calibrate", "--device", "cpu"], environment);
        let line = serde_json::to_string(&segment).unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(answer(&[])["step_s"], segment.recipe.step_flops() / 1e10);
    assert_eq!(answer(&[("FAKE_TRAINER_OOM", "4")])["out_of_memory"], true);
}
