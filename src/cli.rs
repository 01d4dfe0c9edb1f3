//! The command line: reads it, and starts what it asks for.
//!
//! One table, `verbs.rs`, says which verbs there are; whatever else has to know about them, down to
//! `--help`, is read off it. Most verbs talk to a cluster that runs, through
//! [`Client`](crate::client::Client) where any node will do, or to one node. Errors are one line
//! on stderr. The exit code is 0 if it was done, 1 if it could not be, 2 if the command line or
//! the configuration is wrong, 3 if there was no leader or nobody knows whether it was done.

mod ablate;
mod ask;
mod bench;
mod check;
mod child;
mod cluster;
mod demo;
mod experiment;
mod failure;
mod faults;
mod help;
mod lab;
mod launcher;
mod links;
mod menu;
mod node;
mod options;
mod progress;
mod quiz;
mod replay;
mod rules;
mod show;
mod simulate;
mod start;
mod stdout;
mod verbs;

use std::process::ExitCode;

use failure::Failure;
use options::Options;
use stdout::{print, print_json};

/// Does what the words of a command line ask.
pub fn run(words: Vec<String>) -> ExitCode {
    match Options::read(words).and_then(dispatch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("raftlet: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(mut options: Options) -> Result<(), Failure> {
    if options.version {
        return print(concat!("raftlet ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    if options.word(0) == Some("help") {
        options.help = true;
        options.words.remove(0);
    }
    if options.help && options.words.is_empty() {
        return print(&help::overview());
    }
    let verb = verbs::find(&mut options)?;
    if options.help {
        return print(&help::of(verb));
    }
    verb.check(&options)?;
    (verb.run)(&options)
}
