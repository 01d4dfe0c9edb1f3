//! The verbs that start nodes: one in this process, which `main.rs` runs, or all of them, each in a
//! process of its own.

use std::env;
use std::io;
use std::path::Path;
use std::process;
use std::thread;

use super::failure::Failure;
use super::options::{self, Options};
use super::{child, launcher};
use crate::node::message::NodeId;
use crate::server::NodeOptions;

/// `raftlet` alone: in a container the node that its environment names, else every node.
pub fn alone(options: &Options) -> Result<Option<NodeOptions>, Failure> {
    match options.environment()? {
        Some((id, _)) => node(options, id).map(Some),
        None => launcher::run(options).map(|()| None),
    }
}

/// `raftlet N`.
pub fn one(options: &Options) -> Result<Option<NodeOptions>, Failure> {
    node(options, options.node(0)?.expect("the words were counted")).map(Some)
}

/// `up M`: what `--of M` means for the other verbs.
pub fn up(options: &Options) -> Result<(), Failure> {
    let count = options.word(0).unwrap_or_default();
    let of = Some(options::number("the number of nodes", count, 1, 9)?);
    launcher::run(&Options { of, ..options.clone() })
}

/// The node that is to run in this process, until Ctrl+C.
fn node(options: &Options, id: NodeId) -> Result<NodeOptions, Failure> {
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
    Ok(NodeOptions { id, config, data, fresh, verbose, trace, launcher, greeting })
}

/// Waits until the other end of stdin is closed, and ends this process.
fn end_with_parent(scratch: Option<&Path>) {
    // An error means the same as the end: nobody is there.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    if let Some(directory) = scratch {
        child::remove_all(directory);
    }
    process::exit(0);
}
