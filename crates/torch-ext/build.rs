//! Compiles the C++ file against the libtorch that torch-sys links, after the version check that
//! torch-sys leaves out.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// tch 0.24.0 is generated from this version's operators; another one may link and then misbehave.
const VERSION: &str = "2.11.0";

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-changed=src/ext.cpp");
    let libtorch = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default());
    match version(&libtorch) {
        Some(found) if found.split('+').next() == Some(VERSION) => compile(&libtorch),
        found => {
            let found = found.unwrap_or_else(|| "nothing".into());
            println!(
                "cargo::error=isoflop needs libtorch {VERSION}, but LIBTORCH={} holds {found}: run `make setup`",
                libtorch.display()
            );
            process::exit(1);
        }
    }
}

/// Wheels carry `version.py`, the zip archives of pytorch.org `build-version`.
fn version(libtorch: &Path) -> Option<String> {
    let wheel = libtorch.join("version.py");
    let archive = libtorch.join("build-version");
    println!("cargo::rerun-if-changed={}", wheel.display());
    let quoted = |text: String| {
        let line = text.lines().find(|line| line.starts_with("__version__"))?.to_owned();
        line.split('\'').nth(1).map(str::to_owned)
    };
    fs::read_to_string(wheel)
        .ok()
        .and_then(quoted)
        .or_else(|| fs::read_to_string(archive).ok().map(|text| text.trim().to_owned()))
}

fn compile(libtorch: &Path) {
    let include = libtorch.join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(include.join("torch/csrc/api/include"))
        .include(include)
        .file("src/ext.cpp")
        .compile("isoflop_torch_ext");
}
