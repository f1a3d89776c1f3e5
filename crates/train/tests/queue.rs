//! `isoflop-trainer --orders`, as the job of a queue meets it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use spec::{Order, TrainerEvent, TrainerLine};

use common::{FOREVER, order, signal};

/// A started trainer, and what it says.
struct Job {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Job {
    fn start(file: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_isoflop-trainer"))
            .arg("--orders")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next event, of any order; None at the end.
    fn event(&mut self) -> Option<TrainerEvent> {
        let line = self.lines.next()?.unwrap();
        match TrainerLine::parse(&line).unwrap() {
            TrainerLine::Ready(_) => self.event(),
            TrainerLine::Event { event, .. } => Some(event),
        }
    }

    fn wait_for_progress(&mut self) {
        while !matches!(self.event(), Some(TrainerEvent::Progress { .. })) {}
    }

    /// All events that are left, and the exit code.
    fn end(mut self) -> (Vec<TrainerEvent>, Option<i32>) {
        let events = std::iter::from_fn(|| self.event()).collect();
        (events, self.child.wait().unwrap().code())
    }
}

/// The file of some orders.
fn file(folder: &Path, orders: &[&Order]) -> PathBuf {
    let lines: Vec<_> = orders.iter().map(|order| serde_json::to_string(order).unwrap()).collect();
    let path = folder.join("orders.jsonl");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

/// A segment behind `parent`, for some steps.
fn child(folder: &Path, name: &str, parent: &Order, steps: u64) -> Order {
    let mut child = order(folder, name, parent.segment.end + steps);
    child.segment.start = parent.segment.end;
    child.segment.parent = Some(parent.segment_id);
    child.parent_checkpoints = Some(parent.checkpoints.clone());
    child
}

fn tensors(order: &Order) -> Vec<u8> {
    let name = spec::checkpoint_name(order.segment.end);
    fs::read(order.checkpoints.join(name).join("tensors.safetensors")).unwrap()
}

fn last_events(events: &[TrainerEvent]) -> Vec<&TrainerEvent> {
    events.iter().filter(|event| event.is_last()).collect()
}

#[test]
fn a_file_of_orders_is_executed_once() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = order(folder.path(), "trunk", 5);
    let further = child(folder.path(), "further", &trunk, 5);
    let file = file(folder.path(), &[&trunk, &further]);
    let (events, code) = Job::start(&file).end();
    assert_eq!((last_events(&events).len(), code), (2, Some(0)));
    assert!(further.attempt_dir.join("exit.json").exists());
    let (events, code) = Job::start(&file).end();
    assert_eq!((events, code), (Vec::new(), Some(0)));
}

#[test]
fn a_paused_attempt_goes_on_when_its_job_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let steps = 1500;
    let alone = order(&folder.path().join("alone"), "long", steps);
    let (_, code) = Job::start(&file(folder.path(), &[&alone])).end();
    assert_eq!(code, Some(0));

    let long = order(folder.path(), "long", steps);
    let next = order(folder.path(), "next", 5);
    let file = file(folder.path(), &[&long, &next]);
    let mut job = Job::start(&file);
    job.wait_for_progress();
    signal(job.child.id(), "-USR1");
    let (events, code) = job.end();
    assert_eq!(code, Some(85));
    let Some(TrainerEvent::Paused { step, spent }) = events.last() else { panic!("{events:?}") };
    assert!((1..steps).contains(step) && spent.steps == *step, "{events:?}");
    assert!(!long.attempt_dir.join("exit.json").exists() && !next.attempt_dir.exists());

    let mut job = Job::start(&file);
    assert_eq!(job.event(), Some(TrainerEvent::Started { step: *step }));
    let (events, code) = job.end();
    let [TrainerEvent::Finished { spent, .. }, TrainerEvent::Finished { .. }] =
        last_events(&events)[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((spent.steps, code), (steps - step, Some(0)));
    assert!(tensors(&long) == tensors(&alone), "the same bits");
    let record = fs::read_to_string(long.attempt_dir.join("events.jsonl")).unwrap();
    assert_eq!(record.matches(r#""event":"started""#).count(), 2, "one record of both stretches");
}

#[test]
fn an_attempt_that_is_paused_again_and_again_before_a_step_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    for (name, steps, goes_on) in [
        ("twice", &[0, 0][..], true),
        ("further", &[0, 0, 3], true),
        ("thrice", &[3, 0, 0, 0], false),
    ] {
        let order = order(folder.path(), name, 5);
        fs::create_dir_all(&order.attempt_dir).unwrap();
        let paused = |step: &u64| TrainerLine::Event {
            format: spec::FORMAT,
            segment_id: order.segment_id,
            attempt: order.attempt,
            event: TrainerEvent::Paused { step: *step, spent: spec::Spent::default() },
        };
        let line = |step| serde_json::to_string(&paused(step)).unwrap() + "\n";
        let text: String = steps.iter().map(line).collect();
        fs::write(order.attempt_dir.join("events.jsonl"), text).unwrap();
        let (events, code) = Job::start(&file(folder.path(), &[&order])).end();
        let [last] = last_events(&events)[..] else { panic!("{events:?}") };
        match last {
            TrainerEvent::Failed { reason, .. } => assert!(reason.contains("3 times"), "{reason}"),
            other => assert!(matches!(other, TrainerEvent::Finished { .. }), "{other:?}"),
        }
        assert_eq!(code, Some(i32::from(!goes_on)), "{name}");
    }
}

#[test]
fn term_ends_the_attempt_and_begins_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (long, next) = (order(folder.path(), "long", FOREVER), order(folder.path(), "next", 5));
    let file = file(folder.path(), &[&long, &next]);
    let mut job = Job::start(&file);
    job.wait_for_progress();
    signal(job.child.id(), "-TERM");
    let (events, code) = job.end();
    assert!(matches!(events.last(), Some(TrainerEvent::Interrupted { .. })), "{events:?}");
    assert_eq!((code, next.attempt_dir.exists()), (Some(1), false));
    // The interrupted attempt is over; who starts the file again gets the rest.
    let (events, code) = Job::start(&file).end();
    assert_eq!((last_events(&events).len(), code), (1, Some(1)));
}

#[test]
fn an_order_behind_one_that_failed_is_never_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = order(folder.path(), "broken", 5);
    let spec::ModelSpec::Vit(vit) = &mut broken.segment.recipe_mut().model else { panic!("a vit") };
    vit.classes = 2;
    let behind = child(folder.path(), "behind", &broken, 5);
    let last = child(folder.path(), "last", &behind, 5);
    let other = order(folder.path(), "other", 5);
    let (events, code) = Job::start(&file(folder.path(), &[&broken, &behind, &last, &other])).end();
    let [TrainerEvent::Failed { .. }, TrainerEvent::Finished { .. }] = last_events(&events)[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(code, Some(1));
    assert!(!behind.attempt_dir.exists() && !last.attempt_dir.exists());
}

#[test]
fn a_line_that_is_no_order_is_named_before_anything_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let fine = order(folder.path(), "fine", 5);
    let path = file(folder.path(), &[&fine]);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "\ntrain, please\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_isoflop-trainer"))
        .arg("--orders")
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("line 3") && said.contains("orders.jsonl"), "{said}");
    assert!(!fine.attempt_dir.exists());
}
