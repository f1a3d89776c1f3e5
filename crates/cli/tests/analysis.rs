//! The analysis commands as a user meets them: on tables, on a sweep, and on nonsense.

mod common;

use std::fmt::Write;
use std::path::PathBuf;

use common::{Place, text};
use serde_json::Value;

fn place() -> Place {
    Place::new("fake-trainer")
}

fn json(place: &Place, args: &[&str]) -> Value {
    let args: Vec<_> = args.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&place.stdout(&args, 0)).unwrap()
}

fn complains(place: &Place, args: &[&str], code: i32, parts: &[&str]) {
    let output = place.output(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

fn near(value: &Value, expected: f64, tolerance: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!((value / expected - 1.0).abs() < tolerance, "{value} against {expected}");
}

/// A folder with a file of rows.
fn with_table(name: &str, header: &str, rows: impl Iterator<Item = String>) -> Place {
    let place = place();
    let body: Vec<_> = std::iter::once(header.to_owned()).chain(rows).collect();
    std::fs::write(place.path(name), body.join("\n") + "\n").unwrap();
    place
}

/// Ten sizes at ten data sizes on Chinchilla's surface, a little off it.
fn surface() -> Place {
    let row = |i: u32| {
        let n = 1e7 * 10_f64.powf(f64::from(i / 10) / 3.0);
        let tokens = 1e9 * 10_f64.powf(f64::from(i % 10) / 3.0);
        let loss = 1.8 + 480.0 * n.powf(-0.35) + 2100.0 * tokens.powf(-0.37);
        let loss = loss * (0.002 * (7.7 * f64::from(i)).sin()).exp();
        format!("{n},{},{loss},{}", 6.0 * n * tokens, i / 10)
    };
    with_table("surface.csv", "Model Size,Training FLOP,loss,size", (0..100).map(row))
}

/// Two curves, `a` and `b`, of 24 points each, the last eight of them marked 0.
fn curves() -> Place {
    let row = |i: u32| {
        let (group, at) = (if i < 24 { "a" } else { "b" }, i % 24);
        let x = 1e3 * 1.3_f64.powf(f64::from(at));
        let y = 0.1 + 3.0 * x.powf(if i < 24 { -0.3 } else { -0.4 });
        let y = y * (0.003 * (5.3 * f64::from(i)).sin()).exp();
        format!("{group},{x},{y},{}", u8::from(at < 16))
    };
    with_table("curves.csv", "name,seen,error,train", (0..48).map(row))
}

const D: &str = "\"Training FLOP\" / (6 * \"Model Size\")";

#[test]
fn a_law_of_two_axes_is_fitted_to_expressions_of_columns() {
    let place = surface();
    let fit = json(
        &place,
        &[
            "fit",
            "--csv",
            "surface.csv",
            "--law",
            "chinchilla",
            "--n",
            "Model Size",
            "--d",
            D,
            "--y",
            "loss",
            "--cluster",
            "size",
        ],
    );
    near(&fit["params"]["E"]["value"], 1.8, 0.01);
    near(&fit["params"]["alpha"]["value"], 0.35, 0.03);
    near(&fit["derived"]["n_opt_exponent"]["value"], 0.37 / 0.72, 0.05);
    assert_eq!((&fit["n"], &fit["d"]), (&Value::from("Model Size"), &Value::from(D)));
    assert_eq!(fit["bootstrap"]["unit"], "size");
    assert_eq!(fit["starts"]["at_best"], fit["starts"]["n"]);
}

#[test]
fn the_best_size_for_a_compute_is_predicted_three_ways() {
    let place = surface();
    let columns = ["--x", "Training FLOP", "--n", "Model Size", "--d", D, "--y", "loss"];
    let ask = |args: &[&str]| {
        let all: Vec<_> = args.iter().chain(&columns).copied().collect();
        json(&place, &all)
    };
    let said = json(
        &place,
        &[
            "predict",
            "--csv",
            "surface.csv",
            "--law",
            "chinchilla",
            "--n",
            "Model Size",
            "--d",
            D,
            "--y",
            "loss",
            "--target",
            "1e22",
        ],
    );
    let parametric = said["predictions"][0]["n_opt"]["value"].as_f64().unwrap();
    let profiles = ask(&["profiles", "--csv", "surface.csv", "--target", "1e22"]);
    let target = &profiles["targets"][0];
    near(&target["parametric"]["n_opt"]["value"], parametric, 1e-6);
    near(&target["isoflop"]["n_opt"]["value"], parametric, 1.0);
    assert!(target["frontier"]["n_opt"]["value"].as_f64().unwrap() > 0.0);
    let args = [
        "profiles",
        "--csv",
        "surface.csv",
        "--target",
        "1e22",
        "--figure",
        "valleys.svg",
        "--optimum-figure",
        "best.png",
    ];
    let table = place.stdout(&args.iter().chain(&columns).copied().collect::<Vec<_>>(), 0);
    assert!(table.contains("N_opt ~ C^a by Chinchilla's law"), "{table}");
    for file in ["valleys.svg", "best.png"] {
        assert!(std::fs::metadata(place.path(file)).unwrap().len() > 1000, "{file}");
    }
}

#[test]
fn csv_is_rows_of_single_values_whatever_is_asked() {
    let place = surface();
    let columns = ["--csv", "surface.csv", "--n", "Model Size", "--d", D, "--y", "loss"];
    let check = |args: &[&str], header: &str, n_rows: usize| {
        let args: Vec<_> =
            args.iter().chain(&columns).chain(&["--format", "csv"]).copied().collect();
        let said = place.stdout(&args, 0);
        let mut rows = said.lines();
        assert_eq!(rows.next(), Some(header), "{said}");
        let n_cells = header.split(',').count();
        assert!(rows.clone().all(|row| row.split(',').count() == n_cells), "{said}");
        assert_eq!(rows.count(), n_rows, "{said}");
    };
    let law = ["--law", "chinchilla", "--resamples", "20"];
    check(&[&["fit"], &law[..]].concat(), "group,law,param,value,low,high", 6);
    check(
        &[&["predict", "--target", "1e22,1e23"], &law[..]].concat(),
        "law,compute,n_opt,n_opt_low,n_opt_high,d_opt,d_opt_low,d_opt_high,y,y_low,y_high",
        2,
    );
}

#[test]
fn a_backtest_follows_the_contract_and_scores_each_group() {
    let place = curves();
    let args = [
        "backtest",
        "--csv",
        "curves.csv",
        "--group",
        "name",
        "--x",
        "seen",
        "--y",
        "error",
        "--split",
        "train",
    ];
    let scores = json(&place, &args);
    let estimators = scores["estimators"].as_array().unwrap();
    let names: Vec<_> = estimators.iter().map(|score| score["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "m1", "m2", "m3", "m4", "zhai", "bnsl1", "bnsl2"]);
    for score in estimators {
        for key in ["mean_rmse", "median_rmse", "coverage50", "coverage80", "coverage90", "seconds"]
        {
            assert!(score[key].is_number(), "{key} of {score}");
        }
        let group = &score["groups"][1];
        assert_eq!(group["group"], serde_json::json!({"name": "b"}));
        assert_eq!((&group["n_train"], &group["n_test"]), (&Value::from(16), &Value::from(8)));
        assert!(group["rmse"].is_number());
    }
    let mean = |at: usize| estimators[at]["mean_rmse"].as_f64().unwrap();
    assert!(mean(2) < mean(1) && mean(0) < 0.02, "{} {} {}", mean(0), mean(1), mean(2));
    let table = place.stdout(
        &[
            "backtest",
            "--csv",
            "curves.csv",
            "--group",
            "name",
            "--x",
            "seen",
            "--y",
            "error",
            "--cut",
            "0.4",
            "--law",
            "default,m2",
            "--figure",
            "backtest.svg",
        ],
        0,
    );
    assert!(table.contains("default") && table.contains("m2") && !table.contains("m4"), "{table}");
    assert!(place.path("backtest.svg").exists());
}

#[test]
fn without_a_law_the_default_estimator_answers() {
    let place = curves();
    let table = ["--csv", "curves.csv", "--group", "name", "--x", "seen", "--y", "error"];
    let with = |args: &[&'static str]| args.iter().chain(&table).copied().collect::<Vec<_>>();
    let fits = json(&place, &with(&["fit"]));
    let fit = &fits[0];
    assert_eq!((&fit["law"], &fit["group"]["name"]), (&Value::from("default"), &Value::from("a")));
    let weights =
        fit["members"].as_array().unwrap().iter().map(|member| member["weight"].as_f64().unwrap());
    assert!((weights.sum::<f64>() - 1.0).abs() < 1e-9);
    let said = json(&place, &with(&["predict", "--target", "1e6", "--level", "0.8"]));
    let at = &said[1]["predictions"][0];
    near(&at["value"], 0.1 + 3.0 * 1e6_f64.powf(-0.4), 0.1);
    assert!(
        at["low"].as_f64() < at["value"].as_f64() && at["value"].as_f64() < at["high"].as_f64()
    );
    let reached = json(&place, &with(&["predict", "--law", "m2", "--reach", "0.2"]));
    near(&reached[0]["predictions"][0]["seen"]["value"], (3.0_f64 / 0.1).powf(1.0 / 0.3), 0.5);
    let forest = with(&["fit", "--law", "m2", "--figure", "forest.svg"]);
    assert!(place.stdout(&forest, 0).contains("m2: y = b x^-c + e"));
    assert!(std::fs::read_to_string(place.path("forest.svg")).unwrap().contains("<svg"));
}

#[test]
fn rows_are_chosen_by_expression_and_what_is_left_out_is_counted() {
    let place = curves();
    let fit = json(
        &place,
        &[
            "fit",
            "--csv",
            "curves.csv",
            "--x",
            "seen",
            "--y",
            "error",
            "--law",
            "m2",
            "--where",
            "name = 'a' and train = 1",
        ],
    );
    assert_eq!((&fit["n_points"], &fit["n_dropped"]), (&Value::from(16), &Value::from(32)));
    let frontier =
        json(&place, &["frontier", "--csv", "curves.csv", "--x", "seen", "--y", "error"]);
    assert!(frontier["frontier"].as_array().unwrap().len() < 48);
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_one_does_not() {
    let place = curves();
    let ask = |seed: &str| {
        place.stdout(
            &[
                "fit",
                "--csv",
                "curves.csv",
                "--x",
                "seen",
                "--y",
                "error",
                "--law",
                "zhai",
                "--where",
                "name = 'a'",
                "--seed",
                seed,
                "--format",
                "json",
            ],
            0,
        )
    };
    assert_eq!(ask("7"), ask("7"));
    assert_ne!(ask("7"), ask("8"));
}

#[test]
fn bad_tables_are_refused_with_what_to_fix() {
    let place = place();
    let mut body = String::from("x,y,unit\n");
    for i in 1..=12 {
        writeln!(body, "{},{},{i}%", 10_f64.powi(i), 0.9_f64.powi(i)).unwrap();
    }
    let write = |name: &str, body: &str| std::fs::write(place.path(name), body).unwrap();
    let fit = |name: &str, y: &str, code: i32, parts: &[&str]| {
        complains(
            &place,
            &["fit", "--csv", name, "--x", "x", "--y", y, "--law", "m2"],
            code,
            parts,
        );
    };
    write("good.csv", &body);
    fit("good.csv", "unit", 2, &["line 2", "`1%` is no number", "unit"]);
    fit("good.csv", "Y", 2, &["no column `Y`", "did you mean `y`"]);
    write("nan.csv", &body.replace("0.9,", "NaN,"));
    fit("nan.csv", "y", 2, &["line 2", "not finite"]);
    write("zero.csv", &body.replace("0.9,", "0,"));
    fit("zero.csv", "y", 2, &["line 2", "not above 0", "--where"]);
    write("gap.csv", &body.replace("0.9,", ","));
    fit("gap.csv", "y", 2, &["line 2", "is empty", "--missing drop"]);
    assert_eq!(
        json(
            &place,
            &[
                "fit",
                "--csv",
                "gap.csv",
                "--x",
                "x",
                "--y",
                "y",
                "--law",
                "m2",
                "--missing",
                "drop"
            ]
        )["n_dropped"],
        1
    );
    write("alike.csv", &format!("{body}10,0.9,another\n"));
    assert_eq!(
        json(&place, &["fit", "--csv", "alike.csv", "--x", "x", "--y", "y", "--law", "m2"])["n_points"],
        13
    );
    write("twice.csv", &format!("{body}10,0.9,1%\n"));
    fit("twice.csv", "y", 2, &["line 14 repeats line 2", "--duplicates keep"]);
    write("one.csv", "x,y\n5,0.1\n5,0.2\n5,0.3\n5,0.4\n");
    fit("one.csv", "y", 11, &["every point has the same x"]);
    write("few.csv", "x,y\n5,0.1\n6,0.2\n");
    fit("few.csv", "y", 11, &["needs 3 points", "there are 2"]);
    write("none.csv", "x,y\n");
    fit("none.csv", "y", 11, &["there are 0"]);
    write("empty.csv", "");
    fit("empty.csv", "y", 2, &["is empty"]);
    let mixed: String = (1..=12)
        .map(|i| {
            format!(
                "{},{}\n",
                2_f64.powi(i),
                0.9_f64.powi(i) * if i % 3 == 0 { 100.0 } else { 1.0 }
            )
        })
        .collect();
    write("groups.csv", "run,x,y\ng,1,3\ng,2,2\ng,4,1\nshort,1,2\nshort,2,1\n");
    complains(
        &place,
        &["fit", "--csv", "groups.csv", "--group", "run", "--x", "x", "--y", "y", "--law", "m2"],
        11,
        &["`short`: law m2 needs 3 points"],
    );
    write("mixed.csv", &format!("x,y\n{mixed}"));
    fit("mixed.csv", "y", 2, &["`y` seems to be in two units"]);
    complains(
        &place,
        &["fit", "--csv", "good.csv", "--x", "x", "--y", "y", "--where", "z > 1"],
        2,
        &["no column `z`"],
    );
    complains(
        &place,
        &["fit", "--csv", "good.csv", "--x", "x", "--y", "y", "--where", "x >"],
        2,
        &["`x >`"],
    );
    complains(
        &place,
        &["fit", "--csv", "good.csv", "--y", "y", "--law", "chinchilla"],
        2,
        &["--n"],
    );
    complains(
        &place,
        &["predict", "--csv", "good.csv", "--x", "x", "--y", "y", "--target", "-1"],
        2,
        &["above 0"],
    );
    complains(
        &place,
        &["backtest", "--csv", "good.csv", "--x", "x", "--y", "y", "--law", "m9"],
        2,
        &["m9", "default"],
    );
}

const SWEEP: &str = r#"
name = "pretend"
seeds = [0, 1]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 8
shapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }, { width = 16, depth = 2, mlp = 64, heads = 1 }, { width = 24, depth = 2, mlp = 96, heads = 1 }, { width = 32, depth = 3, mlp = 128, heads = 2 }]
[axes]
unique_examples = [4096]
examples_seen = [3200, 6400, 12800, 25600, 51200]
[train]
batch = 32
learning_rate = 1e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
[eval]
examples = 256
"#;

#[test]
fn a_sweep_is_fitted_and_the_next_trials_are_suggested_and_can_be_run() {
    let place = place();
    std::fs::write(place.path("pretend.toml"), SWEEP).unwrap();
    place.stdout(&["sweep", "--devices", "cpu:2", "pretend.toml"], 0);
    let fit = json(&place, &["fit", "pretend", "--law", "chinchilla", "--y", "val_loss"]);
    assert_eq!(
        (&fit["n"], &fit["d"], &fit["n_points"]),
        (&"params".into(), &"examples_seen".into(), &40.into())
    );
    let codes: Vec<_> =
        fit["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert!(codes.contains(&&"few-steps".into()), "{codes:?}");
    let filtered =
        json(&place, &["fit", "pretend", "--law", "m2", "--every-point", "--where", "seed = 0"]);
    assert_eq!((&filtered["n_points"], &filtered["n_dropped"]), (&20.into(), &20.into()));
    let ends = json(&place, &["backtest", "pretend", "--law", "default"]);
    let group = &ends["estimators"][0]["groups"][0];
    let frontier = json(&place, &["frontier", "pretend"])["frontier"].as_array().unwrap().len();
    let n = ["n_train", "n_test"].map(|key| group[key].as_u64().unwrap());
    assert_eq!(n[0] + n[1], frontier as u64, "a fit of the sweep would see its frontier: {group}");
    let next = json(
        &place,
        &[
            "suggest",
            "pretend",
            "--y",
            "val_loss",
            "--target-flops",
            "1e13",
            "--budget-flops",
            "1e12",
            "--out",
            "next.toml",
        ],
    );
    assert!(next["flops"].as_f64().unwrap() <= 1e12);
    assert!(next["width_after"].as_f64() < next["width_before"].as_f64(), "{next}");
    let n_picks = next["picks"].as_array().unwrap().len();
    assert!(n_picks > 0);
    let plan = json(&place, &["plan", "next.toml"]);
    assert_eq!(plan["n_trials"], 40 + n_picks);
    let before = place.n_finished();
    place.stdout(&["sweep", "--devices", "cpu:2", "next.toml"], 0);
    assert!(place.n_finished() > before);
    let rows = place.query(
        "select count(*) as n from trial_result where sweep = 'pretend' and state = 'finished'",
    );
    assert_eq!(rows[0]["n"], 40 + n_picks);
}

/// The tables of shared/data/fits; `None`, said aloud, where they are absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so by name")]
fn shared(name: &str) -> Option<String> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fits").join(name);
    if !path.exists() {
        eprintln!("skipped: ../shared/data/fits/{name} is absent");
        return None;
    }
    Some(path.to_string_lossy().into_owned())
}

#[test]
fn chinchillas_table_gives_its_true_optimum() {
    let Some(table) = shared("epoch_chinchilla_svg.csv") else { return };
    let fit = json(
        &place(),
        &[
            "fit",
            "--csv",
            &table,
            "--law",
            "chinchilla",
            "--n",
            "Model Size",
            "--d",
            D,
            "--y",
            "loss",
            "--where",
            "loss < 3.44",
            "--resamples",
            "0",
        ],
    );
    assert_eq!((&fit["n_points"], &fit["n_dropped"]), (&240.into(), &5.into()));
    near(&fit["objective"]["value"], 1.018_274_017_8e-3, 1e-9);
    near(&fit["params"]["A"]["value"], 477.825_868, 1e-6);
    near(&fit["params"]["beta"]["value"], 0.367_172_433, 1e-6);
}
