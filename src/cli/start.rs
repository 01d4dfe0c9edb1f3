//! Starting nodes: one in this process, or each of the registry in a process of its own.

use std::env;
use std::io;
use std::process::{self, Child, ChildStdin, Command, Stdio};
use std::thread;

use super::options::Options;
use super::{Failure, print};
use crate::kv::Store;
use crate::message::NodeId;
use crate::server;

/// Set for a node that `raftlet` alone has started: it ends when its stdin does, which is when the
/// process that started it has ended, however it ended.
const CHILD: &str = "RAFTLET_CHILD";

/// `raftlet` alone: in a container the node that its environment names, else every node.
pub fn alone(options: &Options) -> Result<(), Failure> {
    match options.environment()? {
        Some((id, _)) => one(options, id),
        None => all(options),
    }
}

/// Runs one node in this process, until Ctrl+C.
pub fn one(options: &Options, id: NodeId) -> Result<(), Failure> {
    if let Some((own, _)) = options.environment()?.filter(|(own, _)| *own != id) {
        let (own, id) = (own.0, id.0);
        return Err(Failure::Usage(format!(
            "NODE_ID is {own}, so this is not node {id}: start raftlet {own}, or unset NODE_ID"
        )));
    }
    let config = options.registry_with(id)?;
    if env::var_os(CHILD).is_some() {
        thread::spawn(end_with_parent);
    }
    let data = options.data_of(id);
    let (fresh, verbose) = (options.fresh, options.verbose);
    let options = server::Options { id, config, data, fresh, verbose, trace: None };
    server::run(options, Store::default()).map_err(Failure::Running)
}

fn end_with_parent() {
    // An error means the same as the end: nobody is there.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    process::exit(0);
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
        let mut child = start_child(options, id)
            .map_err(|error| Failure::Running(format!("cannot start {id}: {error}")))?;
        // To wait for a child closes its stdin, unless we hold it.
        held_open.push(child.stdin.take());
        children.push((id, child));
    }
    print(&welcome(&children))?;
    let watchers = children.into_iter().map(|(id, child)| thread::spawn(move || watch(id, child)));
    let watchers: Vec<_> = watchers.collect();
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
fn watch(id: NodeId, mut child: Child) -> bool {
    let how = match child.wait() {
        Ok(status) if status.success() => return true,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "raftlet: {id} has ended ({how}); raftlet {} in another terminal starts it again",
        id.0
    );
    false
}

fn start_child(options: &Options, id: NodeId) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(id.0.to_string()).env(CHILD, "1").stdin(Stdio::piped());
    if let Some(path) = &options.config {
        command.arg("--config").arg(path);
    }
    if let Some(path) = &options.data {
        command.arg("--data").arg(path);
    }
    if let Some(kind) = options.transport {
        command.arg("--transport").arg(kind.name());
    }
    for (name, given) in
        [("--fast", options.fast), ("--fresh", options.fresh), ("--verbose", options.verbose)]
    {
        if given {
            command.arg(name);
        }
    }
    command.spawn()
}

fn welcome(children: &[(NodeId, Child)]) -> String {
    let names: Vec<String> =
        children.iter().map(|(id, child)| format!("{id} (process {})", child.id())).collect();
    format!(
        "Starting {}. Ctrl+C ends them all.\n\
         In another terminal: raftlet status; raftlet set x 42; or kill the leader's process.\n",
        names.join(", ")
    )
}
