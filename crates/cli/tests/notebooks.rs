//! The notebooks, executed from top to bottom on a sweep that a trainer which only pretends has made; and what
//! is stored in them, which `make notebooks` made of a real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use test_support::program;

const NOTEBOOKS: [&str; 3] = ["look-at-a-sweep", "next-sweep", "published-fits"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn notebook(name: &str) -> PathBuf {
    root().join("notebooks").join(name).with_extension("ipynb")
}

/// tools/notebooks/notebooks.py; none, and a line that says so, where there is no Python for it.
#[expect(clippy::print_stderr, reason = "a skipped test says so by name")]
fn tool(test: &str, action: &str) -> Option<Command> {
    let folder = root().join("tools/notebooks");
    let python = folder.join(".venv/bin/python");
    if !folder.join(".venv/isoflop-notebooks").exists() {
        eprintln!("skipped: {test}: no tools/notebooks/.venv; `make setup-notebooks` makes it");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(folder.join("notebooks.py")).arg(action);
    command.env("ISOFLOP", env!("CARGO_BIN_EXE_isoflop"));
    Some(command)
}

/// A folder with a finished sweep `small`, all of whose results come from a known law.
fn pretended() -> TempDir {
    let folder = tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_isoflop"))
        .args(["sweep", "--devices", "cpu:2"])
        .arg(root().join("experiments/small.toml"))
        .current_dir(folder.path())
        .env("ISOFLOP_TRAINER", program("fake-trainer"))
        // With a delay it says its progress, as a trainer does.
        .env("FAKE_TRAINER_DELAY_MS", "1")
        .output()
        .unwrap();
    let summary = text(&output.stdout);
    assert!(summary.contains("74 of 74 trials"), "{summary}{}", text(&output.stderr));
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Everything that an executed notebook shows, in order.
fn shown(path: &Path) -> String {
    let notebook: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let outputs = notebook["cells"].as_array().unwrap().iter();
    let outputs = outputs.filter_map(|cell| cell["outputs"].as_array()).flatten();
    outputs.map(|output| lines(&output["text"]) + &lines(&output["data"]["text/plain"])).collect()
}

/// A notebook has its texts in lines, or in one piece.
fn lines(text: &Value) -> String {
    match text {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}

#[test]
fn notebooks_execute_from_top_to_bottom_on_a_sweep_of_a_known_law() {
    let test = "notebooks_execute_from_top_to_bottom_on_a_sweep_of_a_known_law";
    let Some(mut execute) = tool(test, "execute") else { return };
    let folder = pretended();
    let out = folder.path().join("executed");
    let output = execute
        .args(NOTEBOOKS.map(notebook))
        .args(["--out".as_ref(), out.as_os_str()])
        .env("ISOFLOP_DB", folder.path().join("results/isoflop.db"))
        .env("ISOFLOP_FITS", folder.path().join("no-tables"))
        .output()
        .unwrap();
    assert_eq!((code(&output), text(&output.stderr)), (Some(0), String::new()));

    let look = shown(&out.join("look-at-a-sweep.ipynb"));
    for part in ["8x1", "48x3", "524288", "minutes_spent"] {
        assert!(look.contains(part), "{part}: {look}");
    }
    // The law is 50 C^-0.2 + 0.1: the trials behind the cut come out as predicted from those before it.
    let next = shown(&out.join("next-sweep.ipynb"));
    assert!(next.contains("true") && !next.contains("false"), "{next}");
    assert!(next.contains("training FLOPs are left"), "{next}");
    // Without its tables published-fits has nothing to show, and says so.
    let summary = text(&output.stdout);
    for table in ["epoch_chinchilla_svg.csv", "zhai2021_vit_tables.csv"] {
        assert!(summary.contains(&format!("skipped: {table} is absent")), "{summary}");
    }
    assert!(!out.join("published-fits.ipynb").exists());
}

#[test]
fn published_tables_give_the_replications_parameters() {
    let test = "published_tables_give_the_replications_parameters";
    let tables = root().join("../shared/data/fits");
    if !tables.exists() {
        return eprintln!("skipped: {test}: ../shared/data/fits is absent");
    }
    let Some(mut execute) = tool(test, "execute") else { return };
    let folder = tempdir().unwrap();
    let output = execute
        .arg(notebook("published-fits"))
        .args(["--out".as_ref(), folder.path().join("executed").as_os_str()])
        .env("ISOFLOP_FITS", tables)
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let fits = shown(&folder.path().join("executed/published-fits.ipynb"));
    assert!(fits.contains("240 runs, 5 left out") && fits.contains("1.018274"), "{fits}");
}

#[test]
fn stored_outputs_are_of_the_code_beside_them_and_of_no_machine() {
    let test = "stored_outputs_are_of_the_code_beside_them_and_of_no_machine";
    let Some(mut check) = tool(test, "check") else { return };
    let output = check.args(NOTEBOOKS.map(notebook)).output().unwrap();
    assert_eq!((code(&output), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn a_stored_output_of_other_code_or_of_a_machine_is_found() {
    let test = "a_stored_output_of_other_code_or_of_a_machine_is_found";
    let folder = tempdir().unwrap();
    let stored = fs::read_to_string(notebook("next-sweep")).unwrap();
    for (name, old, new, fault) in [
        ("other-code", "TARGET = 10 * largest", "TARGET = 9 * largest", "not of its code"),
        ("a-path", "trials in ", "trials in /home/somebody ", "prints `/home/s"),
        ("a-picture", "\"image/png\"", "\"image/svg+xml\"", "neither text nor picture"),
        (
            "a-gap",
            "\"execution_count\": 2",
            "\"execution_count\": 7",
            "was not executed in its turn",
        ),
    ] {
        let Some(mut check) = tool(test, "check") else { return };
        let path = folder.path().join(name).with_extension("ipynb");
        let changed = stored.replace(old, new);
        assert_ne!(changed, stored, "{name}");
        fs::write(&path, changed).unwrap();
        let output = check.arg(path).output().unwrap();
        assert_eq!(code(&output), Some(1), "{name}");
        assert!(text(&output.stderr).contains(fault), "{name}: {}", text(&output.stderr));
    }
}

#[test]
fn a_cell_that_fails_is_named_and_nothing_is_kept() {
    let test = "a_cell_that_fails_is_named_and_nothing_is_kept";
    let Some(mut execute) = tool(test, "execute") else { return };
    let folder = tempdir().unwrap();
    let output = execute
        .arg(notebook("look-at-a-sweep"))
        .args(["--out".as_ref(), folder.path().join("executed").as_os_str()])
        .env("ISOFLOP_DB", folder.path().join("none.db"))
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("look-at-a-sweep.ipynb, cell 1:"), "{message}");
    assert!(message.contains("none.db: `make sweep GRID=small` makes one"), "{message}");
    assert!(!folder.path().join("executed").exists());
}
