//! Sweeps of several families, evaluated on other tasks, with a trainer that only pretends.

mod common;

use common::{Place, text};
use serde_json::Value;

/// Three variants of two families, two rates, evaluated by few shots and by fine-tuning.
const SWEEP: &str = r#"
name = "several"
[data]
source = "procedural"
classes = 8
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000, 64000, 128000]
[train]
batch = 16
learning_rate = [1e-3, 3e-3]
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
[eval]
attention = true
[[transfer]]
method = "few-shot"
shots = [5, 10]
pool = 128
[[transfer]]
name = "held-out"
method = "fine-tune"
steps = 20
unique_examples = 64
learning_rate = 1e-2
[[variant]]
name = "plain"
[variant.model]
family = "vit"
patch = 16
shapes = [
    { width = 8, depth = 1, mlp = 32, heads = 1 },
    { width = 16, depth = 2, mlp = 64, heads = 1 },
]
[[variant]]
name = "qk norm"
[variant.model]
family = "vit"
patch = 16
qk_norm = true
shapes = [
    { width = 8, depth = 1, mlp = 32, heads = 1 },
    { width = 16, depth = 2, mlp = 64, heads = 1 },
]
[[variant]]
name = "bit"
[variant.model]
family = "bit"
groups = 4
shapes = [{ layers = [1, 1], width = 8 }]
"#;

/// 5 models x 2 rates: 4 lengths each, evaluated twice.
const N_TRIALS: i64 = 5 * 2 * 4;
const N_EVALUATIONS: i64 = 2 * N_TRIALS;

fn place() -> Place {
    let place = Place::new("fake-trainer");
    std::fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    place
}

fn swept() -> Place {
    let place = place();
    place.stdout(&["sweep", "sweep.toml"], 0);
    place
}

fn number(place: &Place, sql: &str) -> i64 {
    place.query(&format!("select ({sql}) as n"))[0]["n"].as_i64().unwrap()
}

fn complains(place: &Place, args: &[&str], parts: &[&str]) {
    let output = place.output(args);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {complaint}");
    for part in parts {
        assert!(complaint.contains(part), "{args:?}: `{part}` is not in: {complaint}");
    }
}

#[test]
fn evaluations_are_planned_beside_the_training_that_they_do_not_change() {
    let place = place();
    let json = |args: &[&str]| -> Value {
        let all = [&["plan", "sweep.toml", "--format", "json"], args].concat();
        serde_json::from_str(&place.stdout(&all, 0)).unwrap()
    };
    let (plan, without) = (json(&[]), json(&["--set", "transfer=[]"]));
    for key in ["n_trials", "n_segments", "train_flops_planned", "train_flops_separate"] {
        assert_eq!(plan[key], without[key], "{key}");
    }
    assert_eq!(
        (&plan["n_trials"], &plan["n_evaluations"]),
        (&N_TRIALS.into(), &N_EVALUATIONS.into())
    );
    assert_eq!((&without["n_evaluations"], &without["evaluation_flops"]), (&0.into(), &0.0.into()));
    let evaluations = plan["evaluations"].as_array().unwrap();
    assert_eq!(evaluations.len(), usize::try_from(N_EVALUATIONS).unwrap());
    let flops: f64 = evaluations.iter().map(|row| row["train_flops"].as_f64().unwrap()).sum();
    assert!((flops / plan["evaluation_flops"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    let table = place.stdout(&["plan", "sweep.toml"], 0);
    for part in [
        "variant",
        "family",
        "qk norm",
        "R1-1w8",
        "few-shot (5, 10 shots) on 8 classes",
        "held-out: fine-tuning (20 steps)",
        "Rows are of variants",
    ] {
        assert!(table.contains(part), "`{part}` is not in: {table}");
    }
}

#[test]
fn a_sweep_of_variants_is_compared_evaluated_and_drawn() {
    let place = place();
    let summary = place.stdout(&["sweep", "sweep.toml"], 0);
    for part in ["best of variant", "qk norm", "few_shot_10_error: best", "variants.png"] {
        assert!(summary.contains(part), "`{part}` is not in: {summary}");
    }
    let folder = place.path("results/figures/several");
    for figure in [
        "scaling",
        "variants",
        "few_shot_5_error",
        "few_shot_10_error",
        "held_out_fine_tune_error",
        "held_out_fine_tune_loss",
        "attention",
        "learning_rate",
    ] {
        for extension in ["svg", "png"] {
            assert!(folder.join(format!("{figure}.{extension}")).exists(), "{figure}.{extension}");
        }
    }
    let rows = place.query(
        "select variant, count(*) as n from trial_result join evaluation using (sweep, trial_id)
         where metric = 'few_shot_10_error' group by variant order by variant",
    );
    let counted: Vec<_> =
        rows.iter().map(|row| (row["variant"].as_str(), row["n"].as_i64())).collect();
    assert_eq!(
        counted,
        [(Some("bit"), Some(8)), (Some("plain"), Some(16)), (Some("qk norm"), Some(16))]
    );
    let spent = &place.query("select * from sweep_spent")[0];
    let plan = place.stdout(&["plan", "sweep.toml", "--format", "json"], 0);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    for (column, key) in
        [("train_flops", "train_flops_planned"), ("evaluation_flops", "evaluation_flops")]
    {
        let (spent, planned) = (spent[column].as_f64().unwrap(), plan[key].as_f64().unwrap());
        assert!((spent / planned - 1.0).abs() < 1e-9, "{key}: {spent} of {planned}");
    }
    // Nothing is left to do, to fit or to draw.
    let scaling =
        std::fs::metadata(folder.join("few_shot_5_error.png")).unwrap().modified().unwrap();
    assert_eq!(place.stdout(&["sweep", "sweep.toml"], 0), summary);
    let again = std::fs::metadata(folder.join("few_shot_5_error.png")).unwrap().modified().unwrap();
    assert_eq!(scaling, again);
    let drawn = place.stdout(&["figures", "several"], 0);
    assert!(drawn.contains("variants.svg"), "{drawn}");
    let status = place.stdout(&["status", "--format", "csv"], 0);
    assert!(status.contains(&format!(",{N_EVALUATIONS},{N_EVALUATIONS},0")), "{status}");
    assert!(place.stdout(&["status", "several"], 0).contains("qk norm"));
}

#[test]
fn any_metric_and_any_variant_can_be_fitted() {
    let place = swept();
    let fit = |args: &[&str]| -> Value {
        let all =
            [&["fit", "several", "--law", "m2", "--resamples", "20", "--format", "json"], args];
        serde_json::from_str(&place.stdout(&all.concat(), 0)).unwrap()
    };
    let all = fit(&["--y", "few_shot_10_error", "--every-point"]);
    assert_eq!((&all["y"], &all["n_points"]), (&"few_shot_10_error".into(), &20.into()));
    let plain = fit(&["--y", "few_shot_10_error", "--every-point", "--variant", "plain"]);
    assert_eq!(plain["n_points"], 8);
    for command in ["frontier", "backtest"] {
        place.stdout(&[command, "several", "--variant", "qk norm", "--y", "val_loss"], 0);
    }
    place.stdout(&["predict", "several", "--variant", "plain", "--target", "1e12"], 0);
    place.stdout(&["figures", "several", "--y", "few_shot_5_error", "--out", "by-shots"], 0);
    assert!(place.path("by-shots/scaling.png").exists());
    complains(
        &place,
        &["fit", "several", "--y", "few_shot_7_error"],
        &["few_shot_7_error", "few_shot_10_error, few_shot_5_error", "val_error, val_loss"],
    );
    complains(
        &place,
        &["fit", "several", "--variant", "mixer"],
        &["`mixer`", "plain, qk norm, bit"],
    );
    let suggest = ["suggest", "several", "--target-flops", "1e13", "--budget-flops", "1e12"];
    complains(&place, &suggest, &["has variants"]);
}

#[test]
fn best_sizes_are_drawn_of_each_variant_that_has_sizes_enough() {
    let place = place();
    let shape =
        |width: u32| format!("{{ width = {width}, depth = 2, mlp = {}, heads = 1 }}", 4 * width);
    let shapes = [10, 12, 16, 24, 32, 48].map(shape).join(", ");
    let lengths = "axes = { unique_examples = [1024], train_flops = [1e11, 3e11, 1e12] }";
    let of = |set: String| ["--set".to_owned(), set];
    let text = SWEEP.replace("{ width = 16, depth = 2, mlp = 64, heads = 1 },", &shapes);
    std::fs::write(place.path("sweep.toml"), text).unwrap();
    let args = [of(lengths.replace("axes = ", "axes=")), of("transfer=[]".to_owned())].concat();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    place.stdout(&[&["sweep", "sweep.toml"], &args[..]].concat(), 0);
    let drawn = place.stdout(&["figures", "several"], 0);
    for figure in ["isoflop_plain.svg", "isoflop_qk-norm.svg", "optimum_plain.png"] {
        assert!(drawn.contains(figure), "{figure} is not in {drawn}");
    }
    assert!(!drawn.contains("isoflop_bit"), "{drawn}");
}

#[test]
fn a_failed_evaluation_fails_no_trial_and_is_tried_again() {
    let place = place();
    let output = place
        .command(&["sweep", "sweep.toml"])
        .env("FAKE_TRAINER_FAIL", "transfer")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    let finished = "select count(*) from trial_result where state = 'finished'";
    assert_eq!(number(&place, finished), N_TRIALS);
    let failed = "select count(*) from segment where kind = 'transfer' and state = 'failed'";
    assert_eq!(number(&place, failed), N_EVALUATIONS);
    let trained = place.n_finished();
    place.stdout(&["sweep", "sweep.toml"], 0);
    assert_eq!(place.n_finished(), trained + N_EVALUATIONS);
    let attempts = number(&place, "select count(*) from attempt where outcome = 'finished'");
    assert_eq!(attempts, trained + N_EVALUATIONS, "nothing is trained twice");
}

#[test]
fn an_evaluation_that_is_asked_for_later_needs_its_parents_checkpoint_alone() {
    let place = place();
    let keep = ["sweep", "sweep.toml", "--set", "checkpoints.keep=\"all\""];
    place.stdout(&[&keep[..], &["--set", "transfer=[]"]].concat(), 0);
    let attempts = "select count(*) from attempt";
    let trained = number(&place, attempts);
    let trial_ids = "select group_concat(trial_id order by trial_id) as ids from trial_result";
    let before = place.query(trial_ids);
    // One checkpoint is gone: its cooldown is trained again, from its trunk.
    let leaf = &place.query("select leaf_segment_id as id from sweep_trial limit 1")[0]["id"];
    let checkpoints = place.path("results/checkpoints").join(leaf.as_str().unwrap());
    std::fs::remove_dir_all(checkpoints).unwrap();
    place.stdout(&keep, 0);
    assert_eq!(number(&place, attempts), trained + N_EVALUATIONS + 1);
    assert_eq!(place.query(trial_ids), before);
    assert!(place.path("results/figures/several/few_shot_10_error.png").exists());
}

#[test]
fn diverged_trials_have_no_evaluations_and_stay_in_the_figures_of_rates() {
    let place = place();
    let output = place
        .command(&["sweep", "sweep.toml"])
        .env("FAKE_TRAINER_DIVERGE", "3e-3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        number(&place, "select count(*) from trial_result where state = 'diverged'"),
        N_TRIALS / 2
    );
    assert_eq!(
        number(
            &place,
            "select count(*) from segment where kind = 'transfer' and state = 'pending'"
        ),
        N_EVALUATIONS / 2
    );
    let svg = place.path("results/figures/several/learning_rate.svg");
    assert!(std::fs::read_to_string(svg).unwrap().contains("diverged"));
}

#[test]
fn what_the_data_of_evaluations_cannot_give_is_refused() {
    let place = place();
    let set = |pair: &'static str| ["plan", "sweep.toml", "--set", pair];
    complains(
        &place,
        &set("transfer=[{method = \"few-shot\", shots = [10], pool = 60}]"),
        &["transfer[0]", "pool", "80 examples"],
    );
    let folder = "transfer=[{method = \"few-shot\", data = {source = \"image-folder\", path = \"empty\", classes = 3}}]";
    std::fs::create_dir(place.path("empty")).unwrap();
    complains(&place, &set(folder), &["transfer[0]", "empty"]);
}

#[test]
fn shapes_of_every_family_are_counted() {
    let place = place();
    let shape = |args: &[&str]| -> Value {
        let all = [&["shape", "--format", "json"], args].concat();
        serde_json::from_str(&place.stdout(&all, 0)).unwrap()
    };
    // Of timm 1.0.31's models, counted by PyTorch.
    let bit = shape(&["--family", "bit", "--shape", "R50x1"]);
    assert_eq!(
        (&bit["family"], &bit["shape"], &bit["params"]),
        (&"bit".into(), &"R50x1".into(), &25_549_352.into())
    );
    let mixer = shape(&["--family", "mixer", "--shape", "B", "--patch", "16"]);
    assert_eq!(mixer["params"], 59_880_472);
    let parallel = shape(&[
        "--shape",
        "96x6x384x3",
        "--patch",
        "16",
        "--block",
        "parallel",
        "--norm",
        "rms-norm",
        "--qk-norm",
        "--no-qkv-bias",
        "--pool",
        "map",
    ]);
    assert_eq!(parallel["shape"], "96x6");
    let hybrid = shape(&["--family", "hybrid", "--shape", "B", "--stem", "3-4-9"]);
    let text = r#"{"family": "hybrid", "shape": "B", "stem": {"layers": [3, 4, 9]}, "resolution": 224, "classes": 1000}"#;
    std::fs::write(place.path("hybrid.json"), text).unwrap();
    assert_eq!(shape(&["--spec", "hybrid.json"]), hybrid);
    complains(&place, &["shape"], &["--shape"]);
    complains(&place, &["shape", "--family", "hybrid", "--shape", "B"], &["stem"]);
    complains(&place, &["shape", "--family", "bit", "--shape", "R51x1"], &["R51x1"]);
    complains(
        &place,
        &["shape", "--family", "bit", "--shape", "R50x1", "--pool", "gap"],
        &["pool"],
    );
    complains(&place, &["shape", "--spec", "hybrid.json", "--shape", "B"], &["--spec"]);
    complains(&place, &["shape", "--spec", "absent.json"], &["absent.json"]);
}
