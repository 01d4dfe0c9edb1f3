//! `cargo bench`: how fast a cluster is on this machine, beside an etcd or beside what the machine
//! allows. `cargo bench -- --help` lists the options, docs/PERFORMANCE.md explains the figures.
//!
//! All but `main` stands in `measurements/`. Cargo gives a test no path to a benchmark, so
//! tests/bench.rs includes that folder, and with it the tests in it.

// For cargo a benchmark is a test, and so is its code; but without a harness no test is called.
#![cfg_attr(test, allow(dead_code, unused_imports, reason = "tests/bench.rs calls the tests"))]

mod measurements;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = measurements::run(env::args().skip(1).collect());
    ExitCode::from(raftlet::cli::finish(done))
}
