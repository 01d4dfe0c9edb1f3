//! The launcher: all it does is in [`raftlet::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    raftlet::cli::run(std::env::args().skip(1).collect())
}
