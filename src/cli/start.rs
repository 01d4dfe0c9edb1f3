//! The verbs that start nodes: one in this process, or all of them by the launcher.

use std::env;
use std::io;
use std::path::Path;
use std::process;
use std::thread;

use super::failure::Failure;
use super::options::{self, Options};
use super::{child, launcher};
use crate::node::message::NodeId;
use crate::server;
use crate::state_machine::kv::Store;

/// `raftlet` alone: in a container the node that its environment names, else every node.
pub fn alone(options: &Options) -> Result<(), Failure> {
    match options.environment()? {
        Some((id, _)) => run_node(options, id),
        None => launcher::run(options),
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
    launcher::run(&Options { of, ..options.clone() })
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
    let is_child = env::var_os(child::CHILD).is_some();
    if is_child {
        let scratch = options.data.clone().filter(|_| env::var_os(child::SCRATCH).is_some());
        thread::spawn(move || end_with_parent(scratch.as_deref()));
    }
    let own_address = config.advertise.as_ref().unwrap_or(&config.nodes[&id]);
    let greeting = (!is_child).then(|| launcher::invitation(own_address));
    let launcher = env::var(launcher::ADDRESS).ok().filter(|_| is_child);
    let data = options.data_of(id);
    let Options { fresh, verbose, ref trace, .. } = *options;
    let trace = trace.clone();
    let options = server::Options { id, config, data, fresh, verbose, trace, launcher, greeting };
    server::run(options, Store::default()).map_err(Failure::Running)
}

/// Waits until nobody holds the other end of stdin, and ends this process.
fn end_with_parent(scratch: Option<&Path>) {
    // An error means the same as the end: nobody is there.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    if let Some(directory) = scratch {
        child::remove_all(directory);
    }
    process::exit(0);
}
