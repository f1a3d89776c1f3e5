//! Sweeps through a real Slurm of three nodes with imaginary GPUs: whatever happens to jobs, nodes and
//! the coordinator, what comes out is what a sweep on this machine finds.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, text};
use serde_json::Value;
use test_support::{Cluster, RESULTS};

/// Two shapes, two seeds, two lengths that share trunks: four trees of four segments.
const SWEEP: &str = r#"
name = "queued"
seeds = [0, 1]
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
examples_seen = [640, 1280]
[train]
batch = 16
learning_rate = 1e-3
schedule = { decay = "rsqrt", timescale = 40, warmup = 5, cooldown = 0.2 }
[eval]
examples = 128
"#;

const N_SEGMENTS: i64 = 16;

/// A job a segment, and a patience for tests.
const SLURM: &str =
    "[slurm]\nask_s = 0.4\ngrace_s = 1.5\nminutes = 0\nsignal_s = 10\nmax_jobs = 12\n";

struct Queue {
    place: Place,
    trainer: &'static str,
    /// Dropped last: nothing of it must be left when the folder goes.
    cluster: Cluster,
    environment: Vec<(&'static str, String)>,
}

impl Queue {
    /// None, and a line that says so, where Slurm is not installed.
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn start(test: &str, trainer: &'static str, slurm: &str) -> Option<Self> {
        let Some(cluster) = Cluster::start() else {
            println!("skipped: {test}: no Slurm on this machine; `make setup-slurm` installs it");
            return None;
        };
        let place = Place::new(trainer);
        fs::write(place.path("sweep.toml"), format!("{SWEEP}{slurm}")).unwrap();
        Some(Self { place, trainer, cluster, environment: Vec::new() })
    }

    /// With a trainer that takes so long for a segment.
    fn start_slow(test: &str, delay_ms: u32) -> Option<Self> {
        Self::start(test, "fake-trainer", SLURM).map(|queue| queue.slow(delay_ms))
    }

    fn slow(mut self, delay_ms: u32) -> Self {
        self.environment.push(("FAKE_TRAINER_DELAY_MS", delay_ms.to_string()));
        self
    }

    fn command(&self) -> Command {
        // Minutes; no trainer that works is silent for so long.
        let patience = ["--time-out", "0.15"];
        let mut command = self.place.command(&["sweep", "sweep.toml", "--engine", "slurm"]);
        command.args(patience);
        let (variable, value) = self.cluster.environment();
        let path = std::env::var("PATH").unwrap();
        command
            .env(variable, value)
            .env("PATH", format!("{}:{path}", self.cluster.programs().display()))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn begin(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        self.command().stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.place.path("sweep.log")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Waits for a coordinator to end with success, then for everything that must hold.
    fn finish(&self, mut coordinator: Child) {
        let code = coordinator.wait().unwrap().code();
        assert_eq!(code, Some(0), "{}", self.said());
        assert_same(&self.place, &self.undisturbed());
        let twice = "select segment_id from attempt where outcome = 'finished' group by 1 having count(*) > 1";
        assert!(self.place.query(twice).is_empty(), "a finished segment was executed again");
        self.cluster
            .wait_for("all trainers to end", || self.cluster.n_processes(self.trainer) == 0);
    }

    /// The same sweep on this machine; trainers that take time write more than others.
    fn undisturbed(&self) -> Place {
        let local = Place::new(self.trainer);
        fs::write(local.path("sweep.toml"), SWEEP).unwrap();
        let mut command = local.command(&["sweep", "sweep.toml", "--devices", "cpu:2"]);
        if self.environment.iter().any(|(name, _)| *name == "FAKE_TRAINER_DELAY_MS") {
            command.env("FAKE_TRAINER_DELAY_MS", "10");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        local
    }

    /// Their ids, and the numbers that they have of their own: a task's id names its array's.
    fn running_jobs(&self) -> Vec<(String, String)> {
        let jobs = self.cluster.output("squeue", &["-h", "-r", "-t", "running", "-o", "%i %A"]);
        let words = |line: &str| line.split_once(' ').map(|(id, n)| (id.to_owned(), n.to_owned()));
        jobs.lines().filter_map(words).collect()
    }

    fn wait_for_running(&self, n: usize) {
        self.cluster.wait_for("running trainers", || {
            self.running_jobs().len() >= n && self.cluster.n_processes("fake-trainer") >= n
        });
    }

    fn number(&self, sql: &str) -> i64 {
        self.place.query(&format!("select ({sql}) as n"))[0]["n"].as_i64().unwrap()
    }

    fn logs_of_jobs(&self) -> String {
        let jobs = fs::read_dir(self.place.path("results/jobs")).unwrap().flatten();
        jobs.filter_map(|job| fs::read_to_string(job.path().join("slurm.log")).ok()).collect()
    }
}

fn assert_same(one: &Place, other: &Place) {
    for sql in RESULTS {
        let (one, other) = (one.query(sql), other.query(sql));
        assert!(!one.is_empty() && one == other, "{sql}\n{one:?}\n{other:?}");
    }
}

/// The sweep file with one segment.
fn one_segment(slurm: &str) -> String {
    let one = SWEEP
        .replace("seeds = [0, 1]", "seeds = [0]")
        .replace("[640, 1280]", "[640]")
        .replace("cooldown = 0.2", "cooldown = 0")
        .replace("    { width = 8, depth = 1, mlp = 16, heads = 1 },\n", "");
    format!("{one}{slurm}")
}

#[test]
fn a_sweep_through_a_queue_finds_what_one_on_this_machine_finds() {
    let test = "a_sweep_through_a_queue_finds_what_one_on_this_machine_finds";
    let shares = format!("{SLURM}shards = 4\ngpu_memory = \"80G\"\n");
    let Some(queue) = Queue::start(test, "fake-trainer", &shares) else { return };
    let start = Instant::now();
    queue.finish(queue.begin());
    println!("16 jobs took {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(queue.number("select count(*) from attempt"), N_SEGMENTS);
    let jobs = queue.cluster.output("squeue", &["-h", "-t", "all", "-r", "-o", "%F %K %b %E"]);
    let jobs: Vec<Vec<_>> = jobs.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(jobs.len(), 16);
    assert!(jobs.iter().all(|job| job[2].contains("shard:1")), "small trials share: {jobs:?}");
    let roots = jobs.iter().filter(|job| job[0] == "1" && job[1] != "N/A").count();
    assert!(roots >= 4, "alike jobs are an array: {jobs:?}");
    let again = Instant::now();
    queue.finish(queue.begin());
    println!("a finished sweep takes {:.2} s", again.elapsed().as_secs_f64());
    assert_eq!(queue.number("select count(*) from attempt"), N_SEGMENTS);
}

#[test]
fn real_trainers_find_the_same_bit_for_bit() {
    let test = "real_trainers_find_the_same_bit_for_bit";
    let processors =
        format!("{SLURM}gpus_per_node = 0\n").replace("minutes = 0", "minutes = 0.001");
    let Some(queue) = Queue::start(test, "isoflop-trainer", &processors) else { return };
    queue.finish(queue.begin());
    let n_jobs = fs::read_dir(queue.place.path("results/jobs")).unwrap().count();
    assert!(n_jobs < 16, "segments are bundled: {n_jobs} jobs");
}

#[test]
fn cancelled_and_killed_jobs_go_on_in_others() {
    let test = "cancelled_and_killed_jobs_go_on_in_others";
    let Some(queue) = Queue::start_slow(test, 2500) else { return };
    let coordinator = queue.begin();
    queue.wait_for_running(3);
    let jobs = queue.running_jobs();
    queue.cluster.output("scancel", &[&jobs[0].0]);
    queue.cluster.kill_in_job(&jobs[1].1, "slurm_script");
    queue.cluster.kill_in_job(&jobs[2].1, "fake-trainer");
    // One that waits for another.
    let waiting = queue.cluster.output("squeue", &["-h", "-r", "-t", "pending", "-o", "%i"]);
    queue.cluster.output("scancel", &[waiting.lines().next().unwrap()]);
    queue.finish(coordinator);
    let lost = "select outcome, reason from attempt where outcome <> 'finished'";
    let lost = format!("{:?}", queue.place.query(lost));
    for part in [
        "interrupted",
        "with its job: FAILED",
        "by signal 9",
        "before it began: its job is CANCELLED",
    ] {
        assert!(
            lost.contains(part),
            "`{part}` is not in {lost}: {jobs:?} {}",
            queue.logs_of_jobs()
        );
    }
}

#[test]
fn trainers_that_hang_are_ended_and_queued_ones_are_not_taken_for_such() {
    let test = "trainers_that_hang_are_ended_and_queued_ones_are_not_taken_for_such";
    let Some(mut queue) = Queue::start(test, "fake-trainer", SLURM) else { return };
    fs::create_dir(queue.place.path("hung")).unwrap();
    let folder = queue.place.path("hung").display().to_string();
    queue.environment.push(("FAKE_TRAINER_HANG", folder));
    let coordinator = queue.begin();
    queue.finish(coordinator);
    let n_hung = i64::try_from(fs::read_dir(queue.place.path("hung")).unwrap().count()).unwrap();
    let silent = "select count(*) from attempt where reason like '%silent for too long%'";
    assert!(n_hung > 0);
    assert_eq!(queue.number(silent), n_hung);
}

#[test]
fn jobs_whose_watchers_die_are_not_missed() {
    let test = "jobs_whose_watchers_die_are_not_missed";
    let Some(queue) = Queue::start_slow(test, 1500) else { return };
    let coordinator = queue.begin();
    queue.wait_for_running(3);
    queue.cluster.kill_watchers();
    queue.finish(coordinator);
    // Slurm still believes them to be running; what waits for them goes another way.
    assert_eq!(queue.number("select count(*) from attempt"), N_SEGMENTS);
}

#[test]
fn a_node_that_restarts_its_daemon_loses_nothing() {
    let test = "a_node_that_restarts_its_daemon_loses_nothing";
    let Some(queue) = Queue::start_slow(test, 1500) else { return };
    let coordinator = queue.begin();
    queue.wait_for_running(3);
    for node in ["n1", "n2", "n3"] {
        queue.cluster.kill_node(node);
    }
    std::thread::sleep(Duration::from_millis(500));
    for node in ["n1", "n2", "n3"] {
        queue.cluster.start_node(node);
    }
    queue.finish(coordinator);
    assert_eq!(queue.number("select count(*) from attempt"), N_SEGMENTS);
}

#[test]
fn what_a_lost_node_still_writes_loses_by_its_fence() {
    let test = "what_a_lost_node_still_writes_loses_by_its_fence";
    let Some(queue) = Queue::start(test, "fake-trainer", SLURM) else { return };
    let queue = queue.slow(20_000);
    fs::write(queue.place.path("sweep.toml"), one_segment(SLURM)).unwrap();
    let mut coordinator = queue.begin();
    queue.wait_for_running(1);
    let node = queue.cluster.output("squeue", &["-h", "-t", "running", "-o", "%N"]);
    queue.cluster.kill_node(node.trim());
    queue.cluster.kill_watchers();
    queue.cluster.kill_in_job("1", "slurm_script");
    queue.cluster.give_up_node(node.trim());
    assert_eq!(coordinator.wait().unwrap().code(), Some(0), "{}", queue.said());
    let attempts = queue.place.query("select outcome, start_step from attempt order by attempt");
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(
        (&attempts[0]["outcome"], &attempts[1]["outcome"]),
        (&"lost".into(), &"finished".into())
    );
    assert!(attempts[1]["start_step"].as_i64() > Some(0), "what it had written is gone on with");
    assert!(queue.logs_of_jobs().contains("may still be writing"));
    let first = queue.place.query("select segment_id as id from segment")[0]["id"].clone();
    let first =
        queue.place.path(&format!("results/attempts/{}/1/events.jsonl", first.as_str().unwrap()));
    let last = fs::read_to_string(first).unwrap().lines().last().unwrap().to_owned();
    assert!(last.contains("replaced"), "{last}");
}

#[test]
fn a_job_that_is_told_to_pause_goes_on_as_the_same_attempt() {
    let test = "a_job_that_is_told_to_pause_goes_on_as_the_same_attempt";
    let Some(queue) = Queue::start_slow(test, 2000) else { return };
    let coordinator = queue.begin();
    queue.wait_for_running(4);
    // As Slurm does before the time limit, to a job and to tasks of an array.
    for (job, _) in queue.running_jobs().iter().take(3) {
        queue.cluster.output("scancel", &["--signal=USR1", "--batch", job]);
    }
    queue.finish(coordinator);
    assert_eq!(queue.number("select count(*) from attempt"), N_SEGMENTS);
    assert!(queue.logs_of_jobs().contains("restart 1"), "{}", queue.logs_of_jobs());
}

#[test]
fn a_time_limit_pauses_a_job_and_does_not_end_it() {
    let test = "a_time_limit_pauses_a_job_and_does_not_end_it";
    let slurm = SLURM.replace("signal_s = 10", "signal_s = 55\ntime = \"00:01:00\"");
    let Some(queue) = Queue::start(test, "fake-trainer", &slurm) else { return };
    let queue = queue.slow(42_000);
    fs::write(queue.place.path("sweep.toml"), one_segment(&slurm)).unwrap();
    let code = queue.begin().wait().unwrap().code();
    assert_eq!(code, Some(0), "{}", queue.said());
    assert_eq!(queue.number("select count(*) from attempt"), 1);
    assert!(queue.logs_of_jobs().contains("restart 1"), "{}", queue.logs_of_jobs());
    let spent = "select steps from attempt";
    assert_eq!(queue.number(spent), 40, "the stretches add up");
}

#[test]
fn a_coordinator_that_dies_finds_its_jobs_again_and_repeats_none() {
    let test = "a_coordinator_that_dies_finds_its_jobs_again_and_repeats_none";
    let Some(queue) = Queue::start_slow(test, 1200) else { return };
    for kill in 0..3 {
        let seen = queue.place.n_finished();
        let mut coordinator = queue.begin();
        queue.cluster.wait_for("progress", || queue.place.n_finished() > seen);
        match kill {
            // Ctrl-C lets go: the jobs go on.
            1 => {
                Command::new("kill")
                    .args(["-INT", &coordinator.id().to_string()])
                    .status()
                    .unwrap();
                assert_eq!(coordinator.wait().unwrap().code(), Some(130), "{}", queue.said());
            }
            _ => {
                coordinator.kill().unwrap();
                coordinator.wait().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    queue.finish(queue.begin());
    assert!(queue.said().contains("going on with them"), "{}", queue.said());
    let lost = queue.place.query("select outcome, reason from attempt where outcome <> 'finished'");
    // Killed between the store and sbatch, an attempt never began.
    let is_harmless = |row: &Value| row["reason"].as_str().unwrap().contains("before it began");
    assert!(lost.iter().all(is_harmless), "{lost:?}");
}

#[test]
fn a_sweep_on_this_machine_takes_over_from_a_queue() {
    let test = "a_sweep_on_this_machine_takes_over_from_a_queue";
    let Some(queue) = Queue::start_slow(test, 3000) else { return };
    let mut coordinator = queue.begin();
    queue.wait_for_running(3);
    coordinator.kill().unwrap();
    coordinator.wait().unwrap();
    let mut here = queue.place.command(&["sweep", "sweep.toml", "--devices", "cpu:2"]);
    let output = here.env("FAKE_TRAINER_DELAY_MS", "10").output().unwrap();
    assert!(text(&output.stderr).contains("beginning them anew here"), "{}", text(&output.stderr));
    // Whatever the jobs still write, this finds everything done.
    queue.finish(queue.begin());
}

#[test]
fn a_queue_that_does_not_answer_is_no_news() {
    let test = "a_queue_that_does_not_answer_is_no_news";
    let Some(queue) = Queue::start_slow(test, 800) else { return };
    let coordinator = queue.begin();
    queue.wait_for_running(2);
    queue.cluster.set_deaf(true);
    std::thread::sleep(Duration::from_secs(4));
    // Nor is anything started again by a coordinator that cannot ask.
    let mut deaf = queue.begin();
    let refused = deaf.wait().unwrap().code();
    assert_eq!(refused, Some(2), "the store is in use: {}", queue.said());
    queue.cluster.set_deaf(false);
    queue.finish(coordinator);
    assert_eq!(queue.number("select count(*) from attempt"), N_SEGMENTS);
    let said = queue.said();
    assert!(said.matches("does not answer").count() <= 2, "it says so again and again: {said}");
}

#[test]
fn what_no_cluster_would_take_is_an_error_that_says_so() {
    let test = "what_no_cluster_would_take_is_an_error_that_says_so";
    let slurm = format!("{SLURM}partition = \"nowhere\"\n");
    let Some(queue) = Queue::start(test, "fake-trainer", &slurm) else { return };
    let output = queue.command().output().unwrap();
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("nvalid partition"), "{complaint}");
    // Nothing is in the way of another try.
    fs::write(queue.place.path("sweep.toml"), format!("{SWEEP}{SLURM}")).unwrap();
    queue.finish(queue.begin());
}

#[test]
fn a_sweep_file_without_the_table_is_bad_input() {
    let place = Place::new("fake-trainer");
    fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    let output = place.output(&["sweep", "sweep.toml", "--engine", "slurm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("[slurm]"), "{}", text(&output.stderr));
    let elsewhere = "[slurm]\nshared = \"/usr\"\n";
    fs::write(place.path("sweep.toml"), format!("{SWEEP}{elsewhere}")).unwrap();
    let output = place.output(&["sweep", "sweep.toml", "--engine", "slurm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("slurm.shared"), "{}", text(&output.stderr));
}
