//! Coordinators and trainers are killed at random moments, again and again; what comes out must be what
//! an undisturbed sweep finds, with nothing lost, doubled, repeated or left running.
//!
//! `ISOFLOP_FAULT_SEED` and `ISOFLOP_FAULT_KILLS` choose other moments and how many; `make soak` does.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Place, text};
use serde_json::Value;
use test_support::RESULTS;

/// Of what is printed at the start, so that a failure can be looked at again.
const SEED: u64 = 20_261_127;

/// A sweep to disturb: two shapes, three seeds, three lengths, and evaluations on another task.
const SWEEP: &str = r#"
name = "faults"
seeds = [0, 1, 2]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [
    { width = 8, depth = 1, mlp = 16, heads = 1 },
    { width = 16, depth = 1, mlp = 32, heads = 1 },
]
[axes]
unique_examples = [256]
examples_seen = [640, 1280, 2560]
[train]
batch = 16
learning_rate = 1e-3
schedule = { decay = "rsqrt", timescale = 40, warmup = 5, cooldown = 0.2 }
[eval]
examples = 128
every = 20
[[transfer]]
method = "few-shot"
shots = [1]
pool = 128
examples = 64
"#;

/// A sequence of numbers that only looks like chance (Steele et al. 2014, SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    /// Between nothing and the longest.
    fn wait(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.below(1000) as f64 / 1000.0)
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// A sweep in a folder of its own, whose processes are found again by a variable of theirs.
struct Disturbed {
    place: Place,
    mark: String,
    environment: Vec<(&'static str, String)>,
}

impl Disturbed {
    fn new(trainer: &'static str, environment: &[(&'static str, &str)]) -> Self {
        let place = Place::new(trainer);
        fs::write(place.path("faults.toml"), SWEEP).unwrap();
        let mark = place.path("").to_str().unwrap().to_owned();
        let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self { place, mark, environment: environment.collect() }
    }

    fn start(&self) -> Child {
        let args = ["sweep", "faults.toml", "--devices", "cpu:2", "--tries", "1000"];
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.place.path("sweep.log"));
        let log = log.unwrap();
        let mut command = self.place.command(&args);
        command.env("ISOFLOP_FAULT_TEST", &self.mark);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// To the end, without disturbance; in how long.
    fn finish(&self) -> Duration {
        let start = Instant::now();
        let code = self.start().wait().unwrap().code();
        let log = fs::read(self.place.path("sweep.log")).unwrap();
        assert_eq!(code, Some(0), "{}", text(&log));
        start.elapsed()
    }

    /// Our processes that are alive: the coordinator and trainers, by id.
    fn processes(&self) -> Vec<u32> {
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if text(&environment).contains(&format!("ISOFLOP_FAULT_TEST={}\0", self.mark)) {
                processes.push(pid);
            }
        }
        processes
    }

    fn results(&self) -> Vec<Vec<Value>> {
        RESULTS.iter().map(|sql| self.place.query(sql)).collect()
    }

    fn count(&self, sql: &str) -> i64 {
        self.place.query(&format!("select count(*) as n from ({sql})"))[0]["n"].as_i64().unwrap()
    }
}

fn kill(pid: u32) {
    let mut command = std::process::Command::new("kill");
    // One that has just ended is no loss.
    let _ = command.args(["-9", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

#[expect(clippy::print_stdout, reason = "tests print what a failure is looked at again with")]
fn tell(text: &str) {
    println!("{text}");
}

/// Kills coordinators (one in three) and trainers until so many have died. Begins anew in a fresh folder
/// whenever a sweep gets done; each one that does is compared.
fn disturb(
    trainer: &'static str,
    environment: &[(&'static str, &str)],
    n_kills: u64,
    longest: Duration,
) {
    let seed = setting("ISOFLOP_FAULT_SEED", SEED);
    tell(&format!("seed {seed}, {n_kills} kills"));
    let mut chance = Chance(seed);
    let undisturbed = Disturbed::new(trainer, environment);
    undisturbed.finish();
    let (expected, n_segments) = (undisturbed.results(), undisturbed.place.n_finished());
    let (mut killed, mut n_sweeps) = (0, 0);
    while killed < n_kills {
        let disturbed = Disturbed::new(trainer, environment);
        while killed < n_kills && disturbed.place.n_finished() < n_segments {
            killed += disturb_once(&disturbed, &mut chance, longest);
        }
        disturbed.finish();
        check(&disturbed, &expected);
        n_sweeps += 1;
    }
    tell(&format!("{killed} killed over {n_sweeps} sweeps"));
}

/// One invocation of the sweep, until its coordinator is killed or it ends; how many were killed.
fn disturb_once(disturbed: &Disturbed, chance: &mut Chance, longest: Duration) -> u64 {
    let mut coordinator = disturbed.start();
    let mut killed = 0;
    loop {
        sleep(chance.wait(longest));
        if coordinator.try_wait().unwrap().is_some() {
            return killed;
        }
        let processes = disturbed.processes();
        let trainers: Vec<_> =
            processes.into_iter().filter(|pid| *pid != coordinator.id()).collect();
        killed += 1;
        if trainers.is_empty() || chance.below(3) == 0 {
            kill(coordinator.id());
            coordinator.wait().unwrap();
            return killed;
        }
        kill(trainers[chance.below(trainers.len())]);
    }
}

fn check(disturbed: &Disturbed, expected: &[Vec<Value>]) {
    for ((sql, found), expected) in RESULTS.iter().zip(disturbed.results()).zip(expected) {
        assert_eq!(&found, expected, "{sql}\n{}", disturbed.place.path("").display());
    }
    let twice = "select segment_id from attempt where outcome = 'finished'
                 group by segment_id having count(*) <> 1";
    assert_eq!(disturbed.count(twice), 0, "a finished segment was repeated");
    let after = "select segment_id from attempt as done where outcome = 'finished' and exists
                 (select 1 from attempt as later where later.segment_id = done.segment_id
                  and later.attempt > done.attempt)";
    assert_eq!(disturbed.count(after), 0, "a finished segment was begun again");
    let open = "select segment_id from attempt where outcome = 'running'";
    assert_eq!(disturbed.count(open), 0, "an attempt is still said to run");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !disturbed.processes().is_empty() {
        assert!(Instant::now() < deadline, "left running: {:?}", disturbed.processes());
        sleep(Duration::from_millis(50));
    }
    for folder in segments(&disturbed.place.path("results/checkpoints")) {
        let leftovers = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name());
        let leftovers: Vec<_> =
            leftovers.filter(|name| text(name.as_encoded_bytes()).starts_with('.')).collect();
        assert!(leftovers.is_empty(), "{leftovers:?} in {}", folder.display());
    }
}

fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn pretended_trainers_and_their_coordinators_may_die_at_any_moment() {
    let n_kills = setting("ISOFLOP_FAULT_KILLS", 40);
    let environment = [("FAKE_TRAINER_DELAY_MS", "60")];
    disturb("fake-trainer", &environment, n_kills, Duration::from_millis(500));
}

#[test]
fn real_trainers_and_their_coordinators_may_die_at_any_moment() {
    let n_kills = setting("ISOFLOP_FAULT_KILLS", 40).div_ceil(2);
    disturb("isoflop-trainer", &[], n_kills, Duration::from_millis(900));
}
