//! Fetches and builds serde_json, for the feature `serde_json` alone.
//!
//! Why not `serde_json = { version = "1", optional = true }` in raftlet's manifest? Because cargo
//! looks up every dependency in the registry's index, also an optional one that is off, and then
//! raftlet does not build on a fresh machine without a network. A path dependency needs no index.
//! So raftlet depends on this package by path, and this script, which runs only when the feature
//! is on, lets a second cargo build the manifest in `registry/`, where the real dependency stands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=registry");
    let out = PathBuf::from(variable("OUT_DIR")).join("registry");
    // What an earlier run with other versions left there would be found too.
    let _ = fs::remove_dir_all(&out);
    for folder in build(&out) {
        println!("cargo::rustc-link-search={folder}");
    }
}

/// Runs cargo on `registry/` and returns the folders that hold the libraries that it built.
fn build(out: &Path) -> BTreeSet<String> {
    let output = Command::new(variable("CARGO"))
        .args(["build", "--release", "--locked", "--message-format=json-render-diagnostics"])
        .args(["--manifest-path", "registry/Cargo.toml", "--target", &variable("TARGET")])
        // Not raftlet's directories, which the cargo that runs this script has locked.
        .env("CARGO_TARGET_DIR", out)
        .env("CARGO_BUILD_BUILD_DIR", out)
        // Under `cargo clippy` these are clippy, which does not build.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs this script, so it can be run");
    if !output.status.success() {
        eprintln!("The feature serde_json fetches crates and so needs the network, once.");
        eprintln!("Without the feature, raftlet reads and writes JSON by hand and needs none.");
        exit(1);
    }
    let messages = String::from_utf8(output.stdout).expect("cargo writes JSON, which is UTF-8");
    let libraries = messages.split('"').filter(|string| string.ends_with(".rlib"));
    libraries.map(|library| folder(&library.replace(r"\\", r"\"))).collect()
}

fn folder(file: &str) -> String {
    Path::new(file).parent().expect("a file stands in a folder").display().to_string()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for a build script"))
}
