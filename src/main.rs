//! The launcher: how one node comes to life, thread by thread.
//!
//! `src/cli.rs` reads the command line and does what it asks. If it asks for a node
//! (`cargo run -- 1`), this file starts the node. `src/lib.rs` draws its threads and channels.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use raftlet::cli::{self, failure::Failure};
use raftlet::config::FaultsFrom;
use raftlet::http::{self, api::Api};
use raftlet::server::{NodeOptions, Server, inbox::Inbox};
use raftlet::state_machine::{StateMachine, kv::Store};
use raftlet::storage::Storage;
use raftlet::transport;

fn main() -> ExitCode {
    let words = std::env::args().skip(1).collect();
    let done = cli::run(words).and_then(|node| match node {
        Some(options) => run_node(options, Store::default()).map_err(Failure::Running),
        None => Ok(()),
    });
    ExitCode::from(cli::finish(done))
}

/// Brings a node to life, part by part, and runs it. It returns only if the node cannot go on;
/// Ctrl+C ends the process at any time, as a crash would.
///
/// # Errors
/// One line for people: the address is taken, the data cannot be used, or the disk failed.
pub fn run_node(options: NodeOptions, machine: impl StateMachine) -> Result<(), String> {
    // The registry (cluster.toml) says which nodes there are, and the address of each.
    let (id, registry) = (options.id, &options.config);

    // Two channels: one brings events to the raft thread, the other one brings new connections and
    // answers to the HTTP thread.
    let (to_raft, inbox) = Inbox::open();
    let (to_http, http_inbox) = mpsc::channel();

    // The transport opens this node's address. It starts the listener and a writer for each peer;
    // readers start when peers connect. What they read waits in the inbox.
    let transport =
        transport::start(registry.transport_options(id), to_raft.clone(), to_http.clone())?;

    // The HTTP thread serves all clients. The web pages of every node in the cluster may ask it, so
    // it has to know their addresses. While the node still reads its log, it answers 503.
    let addresses = transport.clone();
    let api = Api {
        members: Box::new(move || addresses.advertised()),
        launcher: options.launcher.clone(),
        faults_from_anywhere: registry.faults_from == FaultsFrom::Anywhere,
    };
    let http_thread = thread::Builder::new().name("http".to_string());
    http_thread
        .spawn(move || http::serve(http_inbox, to_raft, api))
        .map_err(|error| format!("cannot start a thread: {error}"))?;

    // The storage reads what the node saved when it last ran; with --fresh it is removed first.
    // That is safe only now: if another process had our address, we would have stopped above.
    let disk = Storage::open_or_forget(&options.data, &registry.cluster, id, options.fresh)?;

    // The raft thread is this one. It owns the node, the disk and the state machine.
    Server::new(options, machine, disk, transport, to_http)?.run(&inbox)
}
