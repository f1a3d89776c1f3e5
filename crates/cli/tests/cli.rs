//! The program as a user meets it, with a trainer that only pretends.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, text};
use serde_json::Value;

/// Three sizes, three lengths that share trunks, two seeds.
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
    { width = 32, depth = 2, mlp = 128, heads = 2 },
]
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000, 128000]
[train]
batch = 16
learning_rate = 3e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

/// 3 sizes x 2 seeds, each a trunk of three pieces and three cooldowns.
const N_SEGMENTS: i64 = 3 * 2 * 6;

/// A place with the sweep file and a trainer that only pretends.
fn place() -> Place {
    let place = Place::new("fake-trainer");
    std::fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    place
}

/// Asserts the exit code and that the complaint has every part.
fn complains(place: &Place, args: &[&str], code: i32, parts: &[&str]) {
    let output = place.output(args);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
    for part in parts {
        assert!(complaint.contains(part), "{args:?}: `{part}` is not in: {complaint}");
    }
}

fn number(place: &Place, sql: &str) -> i64 {
    let rows = place.query(&format!("select ({sql}) as n"));
    rows[0]["n"].as_i64().unwrap_or_else(|| panic!("{sql}: {rows:?}"))
}

fn start_slow_sweep(place: &Place) -> Child {
    let mut command = place.command(&["sweep", "sweep.toml", "--devices", "cpu:2"]);
    command.env("FAKE_TRAINER_DELAY_MS", "60").stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while place.n_finished() < 5 {
        assert!(Instant::now() < deadline, "the sweep does not get anywhere");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let status =
        Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn non_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

#[test]
fn a_sweep_trains_stores_fits_and_draws_and_a_second_one_has_nothing_to_do() {
    let place = place();
    let summary = place.stdout(&["sweep", "sweep.toml"], 0);
    for part in
        ["best error", "m2: y = b x^-c + e", "zhai:", "rms residual", "scaling.png", "next:"]
    {
        assert!(summary.contains(part), "`{part}` is not in: {summary}");
    }
    for figure in ["scaling", "data_size", "loss_curves"] {
        for extension in ["svg", "png"] {
            let path = place.path(&format!("results/figures/pretend/{figure}.{extension}"));
            // The fake trainer reports no training loss, but validation losses there are.
            assert!(non_empty(&path), "{}", path.display());
        }
    }
    assert_eq!(
        number(
            &place,
            "select count(*) from trial_result where state = 'finished' and val_error > 0"
        ),
        18
    );
    assert_eq!(number(&place, "select count(*) from attempt"), N_SEGMENTS);
    assert_eq!(number(&place, "select count(*) from fit"), 2);
    assert!(number(&place, "select count(*) from provenance") >= 2);

    let start = Instant::now();
    let again = place.stdout(&["sweep", "sweep.toml"], 0);
    println!("a finished sweep takes {:.3} s", start.elapsed().as_secs_f64());
    assert_eq!(again, summary);
    assert_eq!(number(&place, "select count(*) from attempt"), N_SEGMENTS);
}

#[test]
fn what_is_planned_is_what_is_spent() {
    let place = place();
    let plan: Value =
        serde_json::from_str(&place.stdout(&["plan", "sweep.toml", "--format", "json"], 0))
            .unwrap();
    assert_eq!((&plan["n_trials"], &plan["n_segments"]), (&18.into(), &N_SEGMENTS.into()));
    assert_eq!(plan["segments"].as_array().map(Vec::len), usize::try_from(N_SEGMENTS).ok());
    let planned = plan["train_flops_planned"].as_f64().unwrap();
    let separate = plan["train_flops_separate"].as_f64().unwrap();
    // Lengths 1, 2 and 8 with a fifth of cooldown: (8 + 0.2 + 0.4) / 11.
    assert!((planned / separate - 8.6 / 11.0).abs() < 1e-9, "{}", planned / separate);
    place.stdout(&["sweep", "sweep.toml"], 0);
    let spent =
        place.query("select sum(train_flops) as spent from attempt")[0]["spent"].as_f64().unwrap();
    assert!((spent / planned - 1.0).abs() < 0.01, "{spent} of {planned}");
}

#[test]
fn a_killed_coordinator_loses_no_finished_segment() {
    let place = place();
    let mut child = start_slow_sweep(&place);
    signal(&child, "KILL");
    child.wait().unwrap();
    let finished = place.n_finished();
    assert!((5..N_SEGMENTS).contains(&finished), "{finished}");
    place.stdout(&["sweep", "sweep.toml"], 0);
    assert_eq!(number(&place, "select count(*) from segment where state = 'finished'"), N_SEGMENTS);
    assert_eq!(
        number(&place, "select count(*) from attempt where outcome = 'finished'"),
        N_SEGMENTS
    );
    let undisturbed = self::place();
    undisturbed.stdout(&["sweep", "sweep.toml"], 0);
    let results = "select trial_id, val_loss, val_error, state from trial_result order by trial_id";
    assert_eq!(place.query(results), undisturbed.query(results));
}

#[test]
fn ctrl_c_ends_with_130_and_the_same_command_continues() {
    let place = place();
    let mut child = start_slow_sweep(&place);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.n_finished() < N_SEGMENTS);
    place.stdout(&["sweep", "sweep.toml"], 0);
    assert_eq!(
        number(&place, "select count(*) from attempt where outcome = 'finished'"),
        N_SEGMENTS
    );
}

#[test]
fn a_second_sweep_on_the_same_store_is_refused_by_process_id() {
    let place = place();
    let mut child = start_slow_sweep(&place);
    complains(&place, &["sweep", "sweep.toml"], 2, &["in use", &child.id().to_string()]);
    signal(&child, "KILL");
    child.wait().unwrap();
}

#[test]
fn failed_trials_end_with_10_and_their_reason() {
    let place = place();
    let output =
        place.command(&["sweep", "sweep.toml"]).env("FAKE_TRAINER_FAIL", "16x2").output().unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("as it was told"), "{}", text(&output.stderr));
    assert_eq!(number(&place, "select count(*) from trial_result where state = 'failed'"), 6);
    assert_eq!(number(&place, "select count(*) from trial_result where state = 'finished'"), 12);
    // The cause is gone: the same command tries again what failed, and nothing else.
    place.stdout(&["sweep", "sweep.toml"], 0);
    assert_eq!(
        number(&place, "select count(*) from attempt where outcome = 'finished'"),
        N_SEGMENTS
    );
}

#[test]
fn a_longer_sweep_trains_only_what_is_new() {
    let place = place();
    place.stdout(&["sweep", "sweep.toml"], 0);
    let longer =
        ["sweep", "sweep.toml", "--set", "axes.examples_seen=[16000, 32000, 128000, 256000]"];
    place.stdout(&longer, 0);
    // One more piece of trunk and one more cooldown for each of 3 x 2 recipes.
    assert_eq!(number(&place, "select count(*) from attempt"), N_SEGMENTS + 12);
}

#[test]
fn bad_input_is_refused_with_2_and_says_what_to_fix() {
    let place = place();
    let set = |pair: &'static str| ["plan", "sweep.toml", "--set", pair];
    complains(&place, &["plan", "absent.toml"], 2, &["absent.toml"]);
    complains(&place, &set("train.bacth=3"), 2, &["sweep.toml", "bacth"]);
    complains(
        &place,
        &set("model.shapes=[\"XL\"]"),
        2,
        &["model.shapes[0]", "unknown shape `XL`", "line"],
    );
    complains(&place, &set("model.patch=5"), 2, &["model.patch", "resolution"]);
    complains(&place, &set("axes.examples_seen=[]"), 2, &["axes.examples_seen", "empty"]);
    complains(&place, &set("train.augmentation={flip=true}"), 2, &["flip"]);
    complains(&place, &["plan", "sweep.toml", "--devices", "tpu"], 2, &["cpu:N"]);
    complains(&place, &["plan", "sweep.toml", "--devices", "cuda:7"], 2, &["no GPU 7"]);
    complains(&place, &["sweep", "absent.toml"], 2, &["absent.toml"]);
    assert!(!place.path("results").exists(), "nothing may be left by a refused command");

    complains(&place, &["query", "select 1"], 2, &["isoflop.db"]);
    complains(&place, &["status"], 2, &["isoflop.db"]);
    complains(&place, &["figures", "pretend"], 2, &["isoflop.db"]);
    complains(&place, &["fit", "pretend"], 2, &["isoflop.db"]);
    complains(&place, &["shape", "--shape", "XXL", "--patch", "16"], 2, &["unknown shape"]);
    complains(&place, &["shape", "--shape", "B", "--patch", "15"], 2, &["patch = 15"]);
    complains(&place, &["shape", "--shape", "4294967295x1x1x1", "--patch", "16"], 2, &["width"]);
    complains(&place, &set("axes={unique_examples=[8], epochs=[1e300]}"), 2, &["axes.epochs[0]"]);
    complains(&place, &["plan", "sweep.toml", "--devices", "cpu:4000000000"], 2, &["CPU slots"]);
    complains(&place, &["data", "preview", "absent.toml"], 2, &["absent.toml"]);
    complains(&place, &["fit"], 2, &["SWEEP"]);

    place.stdout(&["sweep", "sweep.toml"], 0);
    complains(&place, &["figures", "absent"], 2, &["no sweep `absent`", "pretend"]);
    complains(&place, &["fit", "absent"], 2, &["no sweep `absent`"]);
    complains(&place, &["query", "select nonsense from trial"], 2, &["nonsense"]);
    complains(&place, &["query", "--format", "json", "select 1 as a, 2 as a"], 2, &["`a`"]);
    std::fs::write(place.path("broken.db"), "this is no database, not even a little").unwrap();
    complains(&place, &["status", "--db", "broken.db"], 2, &["broken.db"]);
}

#[test]
fn a_query_cannot_write() {
    let place = place();
    place.stdout(&["sweep", "sweep.toml"], 0);
    let before = std::fs::read(place.path("results/isoflop.db")).unwrap();
    for sql in [
        "delete from trial",
        "insert into sweep values ('x', 0, 0, '', '{}')",
        "drop table fit",
        "pragma user_version = 3",
        "attach 'other.db' as other",
        "vacuum into 'copy.db'",
        "select 1; delete from trial",
        "with x as (select 1) delete from trial",
    ] {
        complains(&place, &["query", sql], 2, &[]);
    }
    assert!(!place.path("other.db").exists() && !place.path("copy.db").exists());
    assert_eq!(std::fs::read(place.path("results/isoflop.db")).unwrap(), before);
}

#[test]
fn a_fit_of_a_table_follows_the_contract() {
    let place = place();
    let mut rows = String::from("flops,err\n");
    for n in 0..20 {
        let x = 1e10 * 1.6_f64.powi(n);
        rows.push_str(&format!("{x},{}\n", 0.1 + 50.0 * x.powf(-0.2)));
    }
    std::fs::write(place.path("points.csv"), rows).unwrap();
    let args = [
        "fit",
        "--csv",
        "points.csv",
        "--x",
        "flops",
        "--y",
        "err",
        "--law",
        "m2",
        "--format",
        "json",
    ];
    let fit: Value = serde_json::from_str(&place.stdout(&args, 0)).unwrap();
    let keys = [
        "law",
        "x",
        "y",
        "n_points",
        "n_dropped",
        "params",
        "level",
        "objective",
        "starts",
        "bootstrap",
        "holdout",
        "warnings",
    ];
    for key in keys {
        assert!(fit.get(key).is_some(), "`{key}` is not in {fit}");
    }
    for (name, value) in [("b", 50.0), ("c", 0.2), ("e", 0.1)] {
        let found = fit["params"][name]["value"].as_f64().unwrap();
        assert!((found / value - 1.0).abs() < 1e-4, "{name} = {found}");
    }
    complains(
        &place,
        &["fit", "--csv", "points.csv", "--x", "flop", "--y", "err"],
        2,
        &["`flop`", "flops, err"],
    );
    complains(
        &place,
        &["fit", "--csv", "absent.csv", "--x", "flops", "--y", "err"],
        2,
        &["absent.csv"],
    );
    complains(&place, &["fit", "--csv", "points.csv", "--x", "flops"], 2, &["--y"]);
    std::fs::write(place.path("short.csv"), "flops,err\n1,0.5\n2,0.4\n").unwrap();
    complains(
        &place,
        &["fit", "--csv", "short.csv", "--x", "flops", "--y", "err"],
        11,
        &["needs 4"],
    );
    std::fs::write(place.path("bad.csv"), "flops,err\n1,0.5\n2,zero\n").unwrap();
    complains(
        &place,
        &["fit", "--csv", "bad.csv", "--x", "flops", "--y", "err"],
        2,
        &["line 3", "`zero`"],
    );
    std::fs::write(place.path("negative.csv"), "flops,err\n1,0.5\n2,-1\n3,0.1\n4,0.1\n").unwrap();
    complains(&place, &["fit", "--csv", "negative.csv", "--x", "flops", "--y", "err"], 2, &["-1"]);
}

#[test]
fn the_other_commands_answer() {
    let place = place();
    let args = [
        "shape",
        "--family",
        "vit",
        "--shape",
        "B",
        "--patch",
        "16",
        "--resolution",
        "224",
        "--classes",
        "1000",
    ];
    let shape = place.stdout(&[args.as_slice(), &["--format", "json"]].concat(), 0);
    let shape: Value = serde_json::from_str(&shape).unwrap();
    assert_eq!(shape["params"], 86_566_120);
    assert_eq!(shape["forward_flops"], 34_943_299_584_u64);
    assert_eq!(shape["train_flops_per_example"], 3 * 34_943_299_584_u64);

    place.stdout(&["data", "preview", "sweep.toml", "--out", "sheet.png"], 0);
    assert!(std::fs::read(place.path("sheet.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(place.stdout(&["doctor"], 0).contains("libtorch"));
    place.stdout(&["sweep", "sweep.toml"], 0);
    assert!(place.stdout(&["status"], 0).contains("pretend"));
    assert!(place.stdout(&["status", "pretend", "--format", "csv"], 0).contains("32x2"));
    std::fs::remove_dir_all(place.path("results/figures")).unwrap();
    assert!(place.stdout(&["figures", "pretend"], 0).contains("scaling.png"));
    assert!(place.stdout(&["--help"], 0).contains("130 interrupted"));
}
