//! The shape of the workspace, held by tests: ARCHITECTURE.md, invariants.

use std::process::Command;

const WITHOUT_LIBTORCH: [&str; 11] = [
    "spec",
    "data",
    "scheduler",
    "store",
    "table",
    "analysis",
    "report",
    "export",
    "serve",
    "cli",
    "test-support",
];

/// Everything that a crate is built from.
fn dependencies(of: &str) -> String {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", of, "--edges", "normal,build", "--prefix", "none"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

fn depends(of: &str, on: &str) -> bool {
    dependencies(of).lines().any(|line| line.split(' ').next() == Some(on))
}

#[test]
fn only_three_crates_link_libtorch() {
    for krate in WITHOUT_LIBTORCH {
        assert!(!depends(krate, "torch-sys"), "`{krate}` now needs libtorch");
    }
    for krate in ["torch-ext", "models", "train"] {
        assert!(depends(krate, "torch-sys"), "the check must be able to see libtorch in `{krate}`");
    }
}

#[test]
fn scheduler_store_table_and_analysis_do_not_know_each_other() {
    let crates = ["scheduler", "store", "table", "analysis"];
    for krate in crates {
        for other in crates.into_iter().filter(|other| *other != krate) {
            assert!(!depends(krate, other), "`{krate}` now depends on `{other}`");
        }
    }
}

#[test]
fn sql_lives_in_the_store_alone() {
    for krate in ["spec", "data", "scheduler", "analysis", "report", "export", "serve", "train"] {
        assert!(!depends(krate, "sqlx"), "`{krate}` now speaks SQL");
    }
}

/// It takes longer to build than all else together: nothing but tables waits for it.
#[test]
fn polars_lives_in_the_table_alone() {
    for krate in
        ["spec", "data", "scheduler", "store", "analysis", "report", "export", "serve", "train"]
    {
        assert!(!depends(krate, "polars"), "`{krate}` now waits for polars");
    }
}

#[test]
fn every_experiment_is_a_valid_sweep_called_as_its_file() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let sweep = spec::SweepSpec::parse(&name, &text, &[]).unwrap();
        assert_eq!(format!("{}.toml", sweep.name), name);
        assert!(text.starts_with("# Question"), "{name} does not say what it asks");
        n += 1;
    }
    assert!(n >= 5, "{n} experiments");
}

#[test]
fn every_document_that_a_document_names_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/benchmarks.md"]
    {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
        let named = words.map(|word| word.trim_end_matches('.'));
        for name in named.filter(|word| {
            ["docs/", "experiments/", "crates/"].iter().any(|top| word.starts_with(top))
        }) {
            assert!(root.join(name).exists(), "{document} names `{name}`, which is not there");
        }
    }
}
