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
pub mod cluster;
mod demo;
mod experiment;
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
mod verbs;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::client;
use crate::json::Json;
use options::Options;
pub use start::launch;

/// Why a verb was not done, in one line for people.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line or the configuration is wrong.
    Usage(String),
    /// It is right, but could not be done.
    Running(String),
    /// There was no leader in time, or it may or may not have been done.
    NoAnswer(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Running(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NoAnswer(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Failure::Usage(why) | Failure::Running(why) | Failure::NoAnswer(why) => {
                f.write_str(why)
            }
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        match error {
            client::Error::Refused(why) => Failure::Running(why),
            client::Error::NotDone(why) | client::Error::Unknown(why) => Failure::NoAnswer(why),
        }
    }
}

/// Does what the words of a command line ask.
pub fn run(words: Vec<String>) -> ExitCode {
    ExitCode::from(finish(Options::read(words).and_then(dispatch)))
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

/// Writes to stdout. It is no error if the reader has closed the pipe (`| head`).
///
/// # Errors
/// Stdout takes no more, for another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Running(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes this to stdout, as one line.
///
/// # Errors
/// Those of [`print()`].
pub fn print_json(json: Json) -> Result<(), Failure> {
    print(&format!("{json}\n"))
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
