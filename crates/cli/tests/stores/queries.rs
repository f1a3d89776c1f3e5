//! Questions to a store: ready ones, those with parameters, and what answers look like.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::common::{Place, text};
use serde_json::Value;
use table::{Request, Table};

/// Two sizes, two lengths, two rates, two seeds.
const SWEEP: &str = r#"
name = "pretend"
seeds = [0, 1]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [
    { width = 8, depth = 1, mlp = 32, heads = 1 },
    { width = 16, depth = 2, mlp = 64, heads = 1 },
]
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000]
[train]
batch = 16
learning_rate = [1e-3, 3e-3]
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

/// A place with a finished sweep.
fn place() -> Place {
    let place = Place::new("fake-trainer");
    fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    place.stdout(&["sweep", "sweep.toml", "--quiet"], 0);
    place
}

fn objects(place: &Place, args: &[&str]) -> Vec<Value> {
    let args = [&["query", "--format", "json"], args].concat();
    serde_json::from_str(&place.stdout(&args, 0)).unwrap()
}

fn complaint(place: &Place, args: &[&str]) -> String {
    let output = place.output(&[&["query"], args].concat());
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{args:?}");
    text(&output.stderr)
}

#[test]
fn every_ready_question_is_answered_for_one_sweep_or_all() {
    let place = place();
    let list = objects(&place, &["--list"]);
    assert!(list.len() >= 7, "{list:?}");
    for ready in &list {
        let name = ready["name"].as_str().unwrap();
        let all = objects(&place, &["--ready", name]);
        assert_eq!(objects(&place, &["--ready", name, "--param", "sweep=pretend"]), all, "{name}");
        assert!(
            objects(&place, &["--ready", name, "--param", "sweep=absent"]).is_empty(),
            "{name}"
        );
        let says_nothing = ["failures", "transfer"].contains(&name);
        assert_eq!(all.is_empty(), says_nothing, "{name}: {all:?}");
        // The SQL that it shows is the question.
        fs::write(place.path("q.sql"), ready["sql"].as_str().unwrap()).unwrap();
        let parameters = ["--param", "sweep=pretend", "--param", "trial=null"];
        let n_parameters = ready["parameters"].as_str().unwrap().split(", ").count();
        let file = [&["--file", "q.sql"], &parameters[..2 * n_parameters]].concat();
        assert_eq!(objects(&place, &file), all, "{name}");
    }
    let frontier = objects(&place, &["--ready", "frontier"]);
    let errors: Vec<_> = frontier.iter().map(|row| row["val_error"].as_f64().unwrap()).collect();
    assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
    let best = objects(&place, &["--ready", "best-per-size"]);
    assert_eq!(best.len(), 2);
    assert_eq!(best[1]["val_error"].as_f64(), errors.last().copied());
}

#[test]
fn failures_are_told_with_their_reasons() {
    let place = Place::new("fake-trainer");
    fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    let mut sweep = place.command(&["sweep", "sweep.toml", "--quiet", "--tries", "1"]);
    let status = sweep.env("FAKE_TRAINER_FAIL", "16x2").output().unwrap().status;
    assert_eq!(status.code(), Some(10));
    let rows = objects(&place, &["--ready", "failures"]);
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["shape"] == "16x2" && row["reason"].is_string()), "{rows:?}");
}

#[test]
fn parameters_are_values_whatever_they_hold() {
    let place = place();
    let sql = "select count(*) as n from trial_result where shape = :shape and val_error < :below";
    let ask = |shape: &str, below: &str| {
        let [shape, below] = [format!("shape={shape}"), format!("below={below}")];
        objects(&place, &[sql, "--param", &shape, "--param", &below])[0]["n"].as_i64().unwrap()
    };
    assert_eq!(ask("8x1", "1"), 8);
    assert_eq!(ask("8x1", "1e-9"), 0);
    assert_eq!(ask("8x1' or 1=1 --", "1"), 0);
    assert_eq!(ask("'; drop table trial; --", "1"), 0);
    assert_eq!(ask("8x1", "null"), 0);
    let number = objects(&place, &["select typeof(:x) as t", "--param", "x='7'"]);
    assert_eq!(number[0]["t"], "text");
}

#[test]
fn a_statement_comes_out_of_a_file_or_standard_input() {
    let place = place();
    fs::write(place.path("q.sql"), "-- Why?\nselect count(*) as n\nfrom trial;\n").unwrap();
    assert_eq!(objects(&place, &["--file", "q.sql"])[0]["n"], 16);
    let mut child = place
        .command(&["query", "--file", "-", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"select 7 as seven").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "seven\n7\n");
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let place = place();
    for (args, expected) in [
        (&["--ready", "everything"][..], "best-per-size"),
        (&["--file", "absent.sql"], "absent.sql"),
        (&["select :a"], "`:a`"),
        (&["select 1", "--param", "a=1"], "it has none"),
        (&["select 1", "--param", "a"], "NAME=VALUE"),
        (&["select 1", "--ready", "frontier"], "--ready"),
        (&[], "--list"),
        (&["select 1 as a, 2 as a", "--format", "parquet"], "a"),
        (&["select 1", "--out", "no/such/folder"], "no/such/folder"),
        (&["select 1", "--out", "results/../results/isoflop.db"], "the store itself"),
    ] {
        let complaint = complaint(&place, args);
        assert!(complaint.contains(expected), "{args:?}: {complaint}");
    }
}

#[test]
fn parquet_holds_what_json_does() {
    let place = place();
    let sql = "select trial_id, params, val_error, device_s, variant from trial_result order by 1";
    place.stdout(&["query", sql, "--format", "parquet", "--out", "t.parquet"], 0);
    let request =
        Request { numbers: &["params", "val_error"], texts: &["trial_id"], ..Request::default() };
    let table = Table::read(&place.path("t.parquet"), &request).unwrap();
    let rows = place.query(sql);
    assert_eq!(table.n_rows(), rows.len());
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(table.texts("trial_id")[at], row["trial_id"]);
        assert_eq!(table.numbers("params")[at], row["params"].as_f64().unwrap());
        assert_eq!(table.numbers("val_error")[at], row["val_error"].as_f64().unwrap());
    }
    // Redirected, it is the same file.
    let piped = place.output(&["query", sql, "--format", "parquet"]).stdout;
    assert_eq!(piped, fs::read(place.path("t.parquet")).unwrap());
}

#[test]
fn a_table_has_units_and_readable_times_and_other_formats_have_neither() {
    let place = place();
    let sql = "select train_flops, steps, started_at from attempt_cost limit 1";
    let table = place.stdout(&["query", sql], 0);
    let heading: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["train_flops", "[FLOPs]", "steps", "started_at"], "{table}");
    assert!(table.lines().nth(2).unwrap().ends_with('Z'), "{table}");
    let csv = place.stdout(&["query", "--format", "csv", sql], 0);
    assert!(csv.starts_with("train_flops,steps,started_at\n"), "{csv}");
    let steers = "select 'a' || char(27) || '[2Jb' || char(10) || 'c' as x";
    assert!(place.stdout(&["query", steers], 0).ends_with("a\\u{1b}[2Jb\\nc\n"));
}

/// Runs a command on a terminal of its own, 60 columns wide, and prints what appears there.
const TERMINAL: &str = "
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 60, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
shown = b''
while True:
    try:
        shown += os.read(terminal, 4096)
    except OSError:
        break
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

#[test]
fn a_table_is_cut_to_the_terminal_and_parquet_is_kept_from_it() {
    let place = place();
    let on_terminal = |args: &[&str]| {
        Command::new("python3")
            .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_isoflop"), "query"])
            .args(args)
            .current_dir(place.path(""))
            .output()
            .unwrap()
    };
    let output = on_terminal(&["select * from trial_result"]);
    let shown = text(&output.stdout);
    assert_eq!(shown.lines().count(), 2 + 16, "{shown}");
    let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
    assert_eq!(widest, Some(60), "{shown}");
    assert!(shown.lines().next().unwrap().trim_end().ends_with('…'), "{shown}");
    let parquet = on_terminal(&["select 1", "--format", "parquet"]);
    assert_eq!(parquet.status.code(), Some(2));
    assert!(text(&parquet.stdout).contains("--out"), "{}", text(&parquet.stdout));
}

/// As somebody who may write nothing: root may write everywhere, so it becomes nobody.
#[test]
fn a_store_on_a_disk_that_cannot_be_written_to_is_read() {
    let place = place();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    for folder in [place.path(""), place.path("results")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let mut query = place.command(&["query", "--format", "csv", "select count(*) as n from trial"]);
    if is_root {
        query.uid(65534).gid(65534);
    }
    match query.output() {
        Err(error) => eprintln!("skipped: nobody may not run the program where it is: {error}"),
        Ok(output) => assert_eq!(text(&output.stdout), "n\n16\n", "{}", text(&output.stderr)),
    }
    for folder in [place.path("results"), place.path("")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
