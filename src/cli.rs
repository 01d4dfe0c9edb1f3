//! The command line: reads it, and starts what it asks for.
//!
//! One table, `verbs.rs`, says which verbs there are; whatever else has to know about them, down to
//! `--help`, is read off it. Most verbs talk to a cluster that runs, through
//! [`Client`](crate::client::Client) where any node will do, or to one node. Errors are one line
//! on stderr. The exit code is 0 if it was done, 1 if it could not be, 2 if the command line or
//! the configuration is wrong, 3 if there was no leader or nobody knows whether it was done.
//!
//! What is public here is for `cargo bench`, which has a command line and a cluster of its own.

mod ablate;
mod ask;
mod check;
mod child;
pub mod cluster;
mod demo;
mod experiment;
pub mod failure;
mod faults;
pub mod help;
mod lab;
mod launcher;
mod links;
mod menu;
pub mod node;
pub mod options;
pub mod progress;
mod quiz;
mod replay;
mod rules;
mod show;
mod simulate;
mod start;
pub mod stdout;
mod verbs;

use crate::server::NodeOptions;
use failure::Failure;
use options::Options;
use stdout::print;
use verbs::Run;

/// Does what the words of a command line ask. If they start one node, it is for the caller to run.
///
/// # Errors
/// Why it was not done.
pub fn run(words: Vec<String>) -> Result<Option<NodeOptions>, Failure> {
    let mut options = Options::read(words)?;
    if options.version {
        return print(concat!("raftlet ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| None);
    }
    if options.word(0) == Some("help") {
        options.help = true;
        options.words.remove(0);
    }
    if options.help && options.words.is_empty() {
        return print(&help::overview()).map(|()| None);
    }
    let verb = verbs::find(&mut options)?;
    if options.help {
        return print(&help::of(verb)).map(|()| None);
    }
    verb.check(&options)?;
    match verb.run {
        Run::Verb(run) => run(&options).map(|()| None),
        Run::Node(node) => node(&options),
    }
}

/// The exit code of a program that has done this. If it has failed, stderr says why.
pub fn finish(result: Result<(), Failure>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("raftlet: {failure}");
            failure.exit_code()
        }
    }
}
