//! An absolute run path, for copies of the trainer and for builds in other folders. The relative one
//! of `.cargo/config.toml` serves programs below `target`, and LD_LIBRARY_PATH wins over both.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        let lib = std::path::Path::new(&libtorch).join("lib");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}
