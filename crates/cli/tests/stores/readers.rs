//! Anyone may read a store while a sweep writes to it: other programs, in processes of their own, in
//! transactions that stay open. Neither waits for the other.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Place, text};

/// Eight trials of three segments each.
const SWEEP: &str = r#"
name = "pretend"
seeds = [0, 1, 2, 3]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }]
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000, 64000]
[train]
batch = 16
learning_rate = [1e-3, 3e-3]
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

/// 4 seeds x 2 rates, each a trunk of three pieces and three cooldowns.
const N_SEGMENTS: i64 = 4 * 2 * 6;

/// What tools/readers/read.py does, in the language of the shell.
const SHELL: &str = "
begin;
select count(*) from measurement;
.system touch begun
.system until [ -e go ]; do sleep 0.02; done
select count(*) from measurement;
commit;
select count(*) from measurement;
";

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/readers");

#[test]
fn the_sqlite3_shell_reads_while_a_sweep_writes() {
    let mut shell = Command::new("sqlite3");
    shell.args(["-batch", "-readonly", "results/isoflop.db"]);
    let is_there = Command::new("sqlite3").arg("-version").output().is_ok();
    reads_while_a_sweep_writes("sqlite3", is_there.then_some(shell), SHELL, true);
}

#[test]
fn pythons_sqlite3_reads_while_a_sweep_writes() {
    let has_it = Command::new("python3").args(["-c", "import sqlite3"]).status();
    let python = has_it.is_ok_and(|status| status.success()).then(|| script("python3", "sqlite3"));
    reads_while_a_sweep_writes("python3 with sqlite3", python, "", true);
}

#[test]
fn duckdb_reads_while_a_sweep_writes() {
    let python = format!("{TOOLS}/.venv/bin/python");
    let is_set_up = Path::new(TOOLS).join(".venv/isoflop-readers").exists();
    let duckdb = is_set_up.then(|| script(&python, "duckdb"));
    reads_while_a_sweep_writes("DuckDB (`make setup-readers` installs it)", duckdb, "", false);
}

fn script(python: &str, reader: &str) -> Command {
    let mut command = Command::new(python);
    command.args([&format!("{TOOLS}/read.py"), reader, "results/isoflop.db"]);
    command
}

/// `keeps_state`: whether all of a transaction of the reader sees the store as it was at its beginning.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn reads_while_a_sweep_writes(name: &str, reader: Option<Command>, input: &str, keeps_state: bool) {
    let Some(mut reader) = reader else {
        eprintln!("skipped: no {name} on this machine");
        return;
    };
    let place = Place::new("fake-trainer");
    fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    let mut sweep = place
        .command(&["sweep", "sweep.toml", "--devices", "cpu:2", "--quiet"])
        .env("FAKE_TRAINER_DELAY_MS", "400")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("two segments have finished", || place.n_finished() >= 2);
    fs::write(place.path("input.sql"), input).unwrap();
    let reader = reader
        .current_dir(place.path(""))
        .stdin(fs::File::open(place.path("input.sql")).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the reader has begun", || place.path("begun").exists());
    // While the reader's transaction is open.
    let enough = (place.n_finished() + 6).min(N_SEGMENTS);
    wait_until("the sweep has gone on", || place.n_finished() >= enough);
    fs::write(place.path("go"), "").unwrap();
    let [first, second, after] = counts(reader);
    assert!(first > 0 && after > first, "what was written meanwhile is seen: {first}, {after}");
    if keeps_state {
        assert_eq!(first, second, "a transaction sees one state");
    }
    let complaints = sweep.stderr.take().unwrap();
    assert!(sweep.wait().unwrap().success(), "{}", std::io::read_to_string(complaints).unwrap());
    assert_eq!(place.n_finished(), N_SEGMENTS);
}

fn counts(reader: Child) -> [i64; 3] {
    let output = reader.wait_with_output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{stdout}{stderr}");
    let counts: Vec<_> = stdout.lines().map(|line| line.parse().unwrap()).collect();
    counts.try_into().unwrap_or_else(|_| panic!("{stdout}"))
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
