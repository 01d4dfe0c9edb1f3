//! The launcher: how one node comes to life, thread by thread.
//!
//! The command line (`src/cli.rs`) does what most words ask. If they name a node, it is started
//! here. The drawing in `src/lib.rs` shows its threads and channels.

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

/// Brings a node to life, part by part, and runs it until its disk fails.
///
/// # Errors
/// One line for people: the address is taken, the data cannot be used, or the disk failed.
pub fn run_node(options: NodeOptions, machine: impl StateMachine) -> Result<(), String> {
    // The registry (cluster.toml) says where each node is.
    let (id, config) = (options.id, &options.config);

    // Two channels: whatever the raft thread is told comes through one of them, whatever the HTTP
    // thread is told through the other.
    let (to_raft, inbox) = Inbox::open();
    let (to_http, http_inbox) = mpsc::channel();

    // The transport opens the address, before the files: a node that cannot have its address must
    // forget nothing. It starts the listener, and a reader and a writer for each peer.
    let transport =
        transport::start(config.transport_options(id), to_raft.clone(), to_http.clone())?;

    // The storage: what the node saved when it last ran.
    let disk = Storage::open_or_forget(&options.data, &config.cluster, id, options.fresh)?;

    // The HTTP thread serves all clients. It needs the transport only for the nodes' addresses.
    let addresses = transport.clone();
    let api = Api {
        members: Box::new(move || addresses.advertised()),
        launcher: options.launcher.clone(),
        faults_from_anywhere: config.faults_from == FaultsFrom::Anywhere,
    };
    let http = thread::Builder::new().name("http".to_string());
    http.spawn(|| http::serve(http_inbox, to_raft, api))
        .map_err(|error| format!("cannot start a thread: {error}"))?;

    // The raft thread is this one.
    Server::new(options, machine, disk, transport, to_http)?.run(&inbox)
}
