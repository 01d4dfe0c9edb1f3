//! Starting nodes: one in this process, or each of the registry in a process of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{self, Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::options::{self, Options};
use super::{Failure, print};
use crate::kv::Store;
use crate::message::NodeId;
use crate::server;

/// Set for a node that `raftlet` alone has started: it ends when its stdin does, which is when the
/// process that started it has ended, however it ended.
const CHILD: &str = "RAFTLET_CHILD";

/// Set as well for a node of a verb's own cluster: if it ends in this way, its `--data` directory
/// goes, too.
pub const SCRATCH: &str = "RAFTLET_SCRATCH";

/// `raftlet` alone: in a container the node that its environment names, else every node.
pub fn alone(options: &Options) -> Result<(), Failure> {
    match options.environment()? {
        Some((id, _)) => run_node(options, id),
        None => all(options),
    }
}

/// `raftlet N`.
pub fn one(options: &Options) -> Result<(), Failure> {
    run_node(options, options.node(0)?.expect("the words were counted"))
}

/// `up M`: what `--of M` means for the other verbs.
pub fn up(options: &Options) -> Result<(), Failure> {
    let count = options.word(0).unwrap_or_default();
    let of = Some(options::number("the number of nodes", count, 1, 9)?);
    all(&Options { of, ..options.clone() })
}

/// Runs one node in this process, until Ctrl+C.
fn run_node(options: &Options, id: NodeId) -> Result<(), Failure> {
    if let Some((own, _)) = options.environment()?.filter(|(own, _)| *own != id) {
        let (own, id) = (own.0, id.0);
        return Err(Failure::Usage(format!(
            "NODE_ID is {own}, so this is not node {id}: start raftlet {own}, or unset NODE_ID"
        )));
    }
    let config = options.registry_with(id)?;
    if env::var_os(CHILD).is_some() {
        let scratch = options.data.clone().filter(|_| env::var_os(SCRATCH).is_some());
        thread::spawn(move || end_with_parent(scratch.as_deref()));
    }
    let data = options.data_of(id);
    let Options { fresh, verbose, ref trace, .. } = *options;
    let (trace, launcher) = (trace.clone(), None);
    let options = server::Options { id, config, data, fresh, verbose, trace, launcher };
    server::run(options, Store::default()).map_err(Failure::Running)
}

/// Waits until nobody holds the other end of stdin, and ends this process.
fn end_with_parent(scratch: Option<&Path>) {
    // An error means the same as the end: nobody is there.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    if let Some(directory) = scratch {
        remove_all(directory);
    }
    process::exit(0);
}

/// Removes a directory, in which other nodes may be writing still, or removing.
pub fn remove_all(directory: &Path) {
    for _ in 0..50 {
        let _ = fs::remove_dir_all(directory);
        if !directory.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs every node of the registry, a process each, until Ctrl+C or until all have ended.
///
/// Ctrl+C reaches all processes of the terminal. If only this one is killed, the pipes to the
/// others close, and they end.
fn all(options: &Options) -> Result<(), Failure> {
    let config = options.registry()?;
    let mut children = Vec::new();
    let mut held_open: Vec<Option<ChildStdin>> = Vec::new();
    for &id in config.nodes.keys() {
        let mut child = child(options, id)
            .and_then(|mut command| command.spawn())
            .map_err(|error| Failure::Running(format!("cannot start {id}: {error}")))?;
        // To wait for a child closes its stdin, unless we hold it.
        held_open.push(child.stdin.take());
        children.push((id, child));
    }
    print(&welcome(options, &children))?;
    let watchers: Vec<_> = children
        .into_iter()
        .map(|(id, child)| {
            let options = Options { fresh: false, ..options.clone() };
            let again = format!("raftlet{}", typed(&command_line(&options, id)));
            thread::spawn(move || watch(id, child, &again))
        })
        .collect();
    let all = watchers.len();
    let failed = watchers.into_iter().filter_map(|watcher| watcher.join().ok()).filter(|ok| !ok);
    let failed = failed.count();
    drop(held_open);
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Running(format!("{failed} of {all} nodes failed"))),
    }
}

/// Waits for a node to end, and says so; false if it failed.
fn watch(id: NodeId, mut child: Child, again: &str) -> bool {
    let how = match child.wait() {
        Ok(status) if status.success() => return true,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    eprintln!("raftlet: {id} has ended ({how}); {again} in another terminal starts it again");
    false
}

/// A node as a process of its own, which ends when its stdin does; not started yet.
pub fn child(options: &Options, id: NodeId) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(command_line(options, id)).env(CHILD, "1").stdin(Stdio::piped());
    Ok(command)
}

/// The words that start this node in the same cluster.
fn command_line(options: &Options, id: NodeId) -> Vec<OsString> {
    let mut words = vec![id.0.to_string().into()];
    words.extend(cluster_words(options));
    if let Some(path) = &options.data {
        words.extend(["--data".into(), path.into()]);
    }
    if let Some(kind) = options.transport {
        words.extend(["--transport".into(), kind.name().into()]);
    }
    let flags =
        [("--fast", options.fast), ("--fresh", options.fresh), ("--verbose", options.verbose)];
    words.extend(flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.into()));
    words
}

/// The words that tell any verb which cluster is meant.
fn cluster_words(options: &Options) -> Vec<OsString> {
    match (&options.config, options.of) {
        (_, Some(count)) => vec!["--of".into(), count.to_string().into()],
        (Some(path), None) => vec!["--config".into(), path.into()],
        (None, None) => Vec::new(),
    }
}

/// The words as a person types them.
fn typed(words: &[OsString]) -> String {
    let words = words.iter().map(|word| format!(" {}", word.to_string_lossy()));
    words.collect()
}

fn welcome(options: &Options, children: &[(NodeId, Child)]) -> String {
    let names: Vec<String> =
        children.iter().map(|(id, child)| format!("{id} (process {})", child.id())).collect();
    let (names, here) = (names.join(", "), typed(&cluster_words(options)));
    let again = if options.fresh { ", without --fresh," } else { "" };
    format!(
        "Starting {names}. Ctrl+C ends them all; the same command{again} goes on from there.\n\
         In another terminal: raftlet status{here}; raftlet set x 42{here}; or kill the leader's \
         process.\n"
    )
}
