//! The report of a sweep and its figures, with a trainer that only pretends.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{Place, text};

/// Five sizes, two data sizes, four budgets, two seeds, with a head that would be markup if it could.
const SWEEP: &str = r#"
# Question   Which <b>size</b> is best,
#            & for whom?
# Cost       seconds
#
# A word on <script>alert(1)</script>.

name = "told"
seeds = [0, 1]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [
    { width = 8, depth = 2, mlp = 32, heads = 1 },
    { width = 16, depth = 2, mlp = 64, heads = 1 },
    { width = 24, depth = 2, mlp = 96, heads = 1 },
    { width = 32, depth = 2, mlp = 128, heads = 2 },
    { width = 48, depth = 2, mlp = 192, heads = 3 },
]
[axes]
unique_examples = [1024, 65536]
train_flops = [1e11, 3e11, 1e12, 3e12]
[train]
batch = 16
learning_rate = 3e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

fn place(sweep: &str) -> Place {
    let place = Place::new("fake-trainer");
    std::fs::write(place.path("sweep.toml"), sweep).unwrap();
    place
}

fn swept() -> Place {
    let place = place(SWEEP);
    place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2"], 0);
    place
}

/// Every file of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        (text(entry.file_name().as_encoded_bytes()), std::fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

fn assert_same(first: &BTreeMap<String, Vec<u8>>, second: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    let other: Vec<_> = first.iter().filter(|(name, bytes)| second[*name] != **bytes).collect();
    assert!(
        other.is_empty(),
        "{:?} differ",
        other.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn report_of(place: &Place, sweep: &str) -> String {
    let path = place.stdout(&["report", sweep], 0);
    std::fs::read_to_string(place.path(path.trim())).unwrap()
}

#[test]
fn figures_are_the_same_bytes_again_from_the_store_alone() {
    let place = swept();
    let folder = place.path("results/figures/told");
    let of_sweep = files(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    place.stdout(&["figures", "told"], 0);
    let again = files(&folder);
    for (name, bytes) in &of_sweep {
        assert!(again[name] == *bytes, "{name} of `sweep` and of `figures` differ");
    }
    for name in ["scaling.svg", "scaling.png", "scaling.csv", "isoflop.svg", "optimum.csv"] {
        assert!(again.contains_key(name), "no {name} among {:?}", again.keys());
    }

    // Elsewhere, from a copy of the store, on one thread.
    let elsewhere = Place::new("fake-trainer");
    std::fs::create_dir(elsewhere.path("kept")).unwrap();
    std::fs::copy(place.path("results/isoflop.db"), elsewhere.path("kept/copy.db")).unwrap();
    let args = ["figures", "told", "--db", "kept/copy.db", "--out", "drawn"];
    succeed(elsewhere.command(&args).env("RAYON_NUM_THREADS", "1"));
    assert_same(&again, &files(&elsewhere.path("drawn")));
}

#[test]
fn a_look_has_files_of_its_own_and_shares_the_numbers() {
    let place = swept();
    let look = ["--theme", "print", "--size", "column", "--untitled"];
    let args = ["figures", "told", "--out", "drawn"];
    place.stdout(&[&args[..], &look[..]].concat(), 0);
    let drawn = files(&place.path("drawn"));
    let svg = text(&drawn["scaling-print-column-untitled.svg"]);
    assert!(svg.contains("width=\"400\"") && !svg.contains("told: error against compute</text>"));
    assert!(!drawn.contains_key("scaling.svg"));
    let own = std::fs::read(place.path("results/figures/told/scaling.csv")).unwrap();
    assert!(drawn["scaling.csv"] == own);
}

#[test]
fn the_numbers_of_a_figure_are_those_of_the_store() {
    let place = swept();
    let csv = std::fs::read_to_string(place.path("results/figures/told/scaling.csv")).unwrap();
    let mut lines = csv.lines();
    let header =
        "part,group,variant,training compute (FLOPs),validation error (fraction),low,high,n";
    assert_eq!(lines.next(), Some(header));
    // 5 sizes x 2 data sizes x 4 budgets, of two seeds each.
    let measured: Vec<_> = csv.lines().filter(|line| line.starts_with("measured,")).collect();
    assert_eq!(measured.len(), 40);
    assert!(measured.iter().all(|line| line.ends_with(",2")), "{measured:?}");
    let sql = "select min(train_flops) as c from trial_result";
    let least = place.query(sql)[0]["c"].as_f64().unwrap();
    let x = |line: &&str| line.split(',').nth(3).unwrap().parse::<f64>().unwrap();
    assert_eq!(measured.iter().map(x).fold(f64::INFINITY, f64::min), least);
}

#[test]
fn an_analysis_command_writes_its_figure_as_its_files_name_says() {
    let place = swept();
    for file in ["law.svg", "law.png", "law.csv"] {
        place.stdout(&["fit", "told", "--law", "m2", "--figure", file], 0);
        assert!(place.path(file).exists());
    }
    let csv = std::fs::read_to_string(place.path("law.csv")).unwrap();
    assert!(csv.starts_with("part,group,training compute (FLOPs),"), "{csv}");
    let output = place.output(&["fit", "told", "--law", "m2", "--figure", "law.pdf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("its numbers are .csv"));
}

#[test]
fn a_report_says_what_was_asked_found_and_spent_and_how_to_make_it_again() {
    let place = swept();
    let html = report_of(&place, "told");
    for part in [
        "<dt>Question</dt><dd>Which &lt;b&gt;size&lt;/b&gt; is best, &amp; for whom?</dd>",
        "A word on &lt;script&gt;alert(1)&lt;/script&gt;.",
        "80 of 80",
        "Scaling.",
        "Unique examples.",
        "Equal compute.",
        "m2: y = b C<sup>−c</sup> + e",
        "Predicted validation error",
        "All 80 trials",
        "less than trials trained one by one",
        "None: no trial diverged or failed",
        "isoflop sweep told.toml",
        "name = &quot;told&quot;",
        "cpu",
    ] {
        assert!(html.contains(part), "`{part}` is not in the report");
    }
    assert!(!html.contains("<script") && !html.contains("<b>size"));
}

#[test]
fn a_report_is_the_same_bytes_again() {
    let place = swept();
    let first = report_of(&place, "told");
    assert!(first == report_of(&place, "told"));
    assert!(first == place.stdout(&["report", "told", "--out", "-"], 0));
}

#[test]
fn a_hostile_name_is_text_in_a_report_and_no_path() {
    let hostile = "../<img src=x onerror=alert(1)>\\\"'&`";
    let variant = |name: &str, more: &str| {
        format!("[[variant]]\nname = \"{name}\"\ntrain.learning_rate = {more}\n")
    };
    let sweep = SWEEP.replace("learning_rate = 3e-3\n", "");
    let sweep = format!("{sweep}{}{}", variant(hostile, "1e-3"), variant("other", "3e-3"));
    let place = place(&sweep);
    place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2"], 0);
    let html = report_of(&place, "told");
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(!html.contains("<img"), "a name became markup");
    place.stdout(&["figures", "told"], 0);
    let names = files(&place.path("results/figures/told")).into_keys().collect::<Vec<_>>();
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    assert!(names.iter().all(|name| name.chars().all(plain)), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("isoflop_")), "{names:?}");
}

#[test]
fn what_failed_and_what_diverged_is_told_with_its_reason() {
    let sweep = SWEEP.replace("learning_rate = 3e-3", "learning_rate = [1e-3, 3e-3]");
    let place = place(&sweep);
    let args = ["sweep", "sweep.toml", "--devices", "cpu:2"];
    let faulty = place
        .command(&args)
        .env("FAKE_TRAINER_FAIL", "16x2")
        .env("FAKE_TRAINER_DIVERGE", "3e-3")
        .output()
        .unwrap();
    assert_eq!(faulty.status.code(), Some(10), "{}", text(&faulty.stderr));
    let html = report_of(&place, "told");
    for part in ["Diverged trials: ", "Failed segments: ", "Attempts that came to nothing: "] {
        assert!(html.contains(part), "`{part}` is not in the report");
    }
    let sql = "select reason from segment where state = 'failed' and reason <> '' limit 1";
    let reason = place.query(sql)[0]["reason"].as_str().unwrap().to_owned();
    let start: String = reason.chars().take_while(|c| c.is_alphanumeric() || *c == ' ').collect();
    assert!(!start.is_empty() && html.contains(&start), "`{reason}` is not in the report");
}

#[test]
fn a_sweep_of_which_nothing_has_finished_has_a_report() {
    let place = place(SWEEP);
    place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2", "--budget-flops", "1"], 12);
    assert_eq!(place.n_finished(), 0);
    let html = report_of(&place, "told");
    assert!(html.contains("0 of 80") && html.contains("No trial has finished yet"));
    assert!(html.contains("Plan and cost") && !html.contains("<figure>"));
}

#[test]
fn what_cannot_be_reported_or_written_is_said_by_name() {
    let place = swept();
    let complaint = |args: &[&str]| {
        let output = place.output(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        text(&output.stderr)
    };
    assert!(complaint(&["report", "untold"]).contains("no sweep `untold`"));
    let into_a_file = ["report", "told", "--out", "sweep.toml/report.html"];
    assert!(complaint(&into_a_file).contains("cannot write `sweep.toml/report.html`"));
    let into_a_file = ["figures", "told", "--out", "sweep.toml/figures"];
    assert!(complaint(&into_a_file).contains("cannot make the folder `sweep.toml/figures`"));
}

#[test]
fn an_imported_sweep_has_a_report_that_claims_no_training() {
    let place = swept();
    let sql = "select family, shape, params, unique_examples, examples_seen, steps, train_flops, \
               learning_rate, seed, val_loss, val_error from trial_result";
    std::fs::write(place.path("runs.csv"), place.stdout(&["query", "--format", "csv", sql], 0))
        .unwrap();
    place.stdout(&["import", "--csv", "runs.csv", "--sweep", "theirs"], 0);
    let html = report_of(&place, "theirs");
    for part in ["80 of 80", "imported 20", "Scaling.", "trained elsewhere", "runs.csv"] {
        assert!(html.contains(part), "`{part}` is not in the report");
    }
    assert!(!html.contains("Plan and cost") && !html.contains("isoflop sweep theirs"));
}
