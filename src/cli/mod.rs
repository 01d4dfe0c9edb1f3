//! The command line: reads it, and starts what it asks for.
//!
//! `raftlet 2` starts node 2, `raftlet` alone starts them all; the other verbs talk to a cluster
//! that runs, or to none. Errors are one line on stderr. The exit code is 0 if it was done, 1 if
//! it could not be, 2 if the command line or the configuration is wrong.

mod ask;
mod options;
mod show;
mod simulate;
mod start;

use std::io::{self, Write};
use std::process::ExitCode;

use options::Options;

const HELP: &str = "\
raftlet: Raft you can watch, break and read

  raftlet               start every node of cluster.toml in this terminal; where NODE_ID is
                        set, as in containers, the one node of the environment
  raftlet N             start node N; begin with 1, 2 and 3 in three terminals
  raftlet status        all nodes: role, term, leader, log
  raftlet set K V       write; finds the leader by itself
  raftlet get K         read the latest value
  raftlet delete K      delete a key
  raftlet log [N]       print data/N/RaftLog.txt, or every node's
  raftlet sim           try thousands of accidents in a simulated cluster

Options
  --config FILE         the registry (default: cluster.toml if there is one)
  --data DIR            where nodes keep their files, node N in DIR/N (default: data)
Options of a start
  --fast                the paper's times: heartbeat 50 ms, election timeout 150-300 ms
  --transport tcp|udp   instead of what the registry says
  --fresh               first forget what the node has saved. It may have promised something:
                        one node at a time, the others up
  --verbose             show every message
Options of sim
  --seed N              one run, told step by step if it fails
  --seeds A..B          all runs from A to B - 1 (default: 0..1000)
  --nodes N             servers (default: 3)
  --steps N             steps of each run before the faults end (default: 600)

  --help, --version

Environment, where there is no file: NODE_ID (which node this is), PEERS (node2:5000,node3:5000
or 2=node2:5000), PORT (default: 5000 + NODE_ID), HOST (what to bind), ADVERTISE (host:port
where clients outside reach this node), FAULTS_FROM (loopback or anywhere)

With cargo, put -- first: cargo run -- set x 42
A word that begins with -- is an option, unless it stands behind a lone --.
";

/// Why a verb was not done, in one line for people.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The command line or the configuration is wrong.
    Usage(String),
    /// It is right, but could not be done.
    Running(String),
}

/// Does what the words of a command line ask.
pub fn run(words: Vec<String>) -> ExitCode {
    match Options::read(words).and_then(|options| dispatch(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Running(why)) => fail(&why, 1),
        Err(Failure::Usage(why)) => fail(&why, 2),
    }
}

fn fail(why: &str, code: u8) -> ExitCode {
    eprintln!("raftlet: {why}");
    ExitCode::from(code)
}

fn dispatch(options: &Options) -> Result<(), Failure> {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    match words[..] {
        _ if options.help => print(HELP),
        ["help"] => print(HELP),
        _ if options.version => print(concat!("raftlet ", env!("CARGO_PKG_VERSION"), "\n")),
        [] => start::alone(options),
        ["status"] => show::status(options),
        ["set", key, value] => ask::set(options, key, value),
        ["get", key] => ask::get(options, key),
        ["delete", key] => ask::delete(options, key),
        ["log"] => show::logs(options),
        ["log", id] => show::log(options, options::node_id(id)?),
        ["sim"] => simulate::run(options),
        [id] if is_number(id) => start::one(options, options::node_id(id)?),
        [id, more, ..] if is_number(id) => {
            let why = format!("one node a terminal: raftlet {id} takes no {more}");
            Err(Failure::Usage(why))
        }
        ["set", ..] => takes("set", "a key and a value: raftlet set K V"),
        ["get", ..] => takes("get", "a key: raftlet get K"),
        ["delete", ..] => takes("delete", "a key: raftlet delete K"),
        ["log", ..] => takes("log", "the number of a node, or nothing: raftlet log 1"),
        ["status", ..] => takes("status", "no more words: raftlet status"),
        ["sim", ..] => takes("sim", "no more words, only options: raftlet sim --seed 7"),
        [verb, ..] => Err(Failure::Usage(format!("no such verb: {verb:?}; see raftlet --help"))),
    }
}

fn takes(verb: &str, what: &str) -> Result<(), Failure> {
    Err(Failure::Usage(format!("{verb} takes {what}")))
}

fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
}

/// Writes to stdout. A reader who has seen enough (`| head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Running(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
