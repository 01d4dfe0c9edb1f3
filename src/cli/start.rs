//! Starting a node in this process, and the command that starts one in a process of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::options::{self, Options};
use super::{Failure, launcher};
use crate::config::FaultsFrom;
use crate::http;
use crate::http::api::Api;
use crate::node::message::NodeId;
use crate::server::inbox::Inbox;
use crate::server::{NodeOptions, Server};
use crate::state_machine::StateMachine;
use crate::state_machine::kv::Store;
use crate::storage::Storage;
use crate::transport;

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
    let is_child = env::var_os(CHILD).is_some();
    if is_child {
        let scratch = options.data.clone().filter(|_| env::var_os(SCRATCH).is_some());
        thread::spawn(move || end_with_parent(scratch.as_deref()));
    }
    let own_address = config.advertise.as_ref().unwrap_or(&config.nodes[&id]);
    let greeting = (!is_child).then(|| invitation(own_address));
    let launcher = env::var(launcher::ADDRESS).ok().filter(|_| is_child);
    let data = options.data_of(id);
    let Options { fresh, verbose, ref trace, .. } = *options;
    let trace = trace.clone();
    let options = NodeOptions { id, config, data, fresh, verbose, trace, launcher, greeting };
    launch(options, Store::default()).map_err(Failure::Running)
}

/// Brings a node to life, part by part, and runs it until its disk fails.
///
/// # Errors
/// One line for people: the data cannot be used, the address is taken, or the disk failed.
pub fn launch(options: NodeOptions, machine: impl StateMachine) -> Result<(), String> {
    let (id, config) = (options.id, &options.config);
    // All that the raft thread is told comes through one channel, all that the HTTP thread is told
    // through another.
    let (to_raft, inbox) = Inbox::open();
    let (to_http, connections_and_answers) = mpsc::channel();

    // The address comes first: a node that cannot have it should forget nothing.
    let transport =
        transport::start(config.transport_options(id), to_raft.clone(), to_http.clone())?;
    let disk = Storage::open_or_forget(&options.data, &config.cluster, id, options.fresh)?;

    let for_http = transport.clone();
    let api = Api {
        members: Box::new(move || for_http.advertised()),
        launcher: options.launcher.clone(),
        faults_from_anywhere: config.faults_from == FaultsFrom::Anywhere,
    };
    let http = thread::Builder::new().name("http".to_string());
    http.spawn(|| http::serve(connections_and_answers, to_raft, api))
        .map_err(|error| format!("cannot start a thread: {error}"))?;

    Server::new(options, machine, disk, transport, to_http)?.run(&inbox)
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

/// Where this program is. Who starts nodes more than once looks it up before the first: once the
/// program has been built again, Linux would name the file that was deleted for it.
pub fn program() -> Result<PathBuf, Failure> {
    let cannot = |error| Failure::Running(format!("cannot find this program: {error}"));
    env::current_exe().map_err(cannot)
}

/// Starts a node as a process of its own, which ends when its stdin does. `arrange` adds to the
/// command what else it needs.
pub fn child(
    program: &Path,
    options: &Options,
    id: NodeId,
    arrange: impl FnOnce(&mut Command),
) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.args(command_line(options, id)).env(CHILD, "1").stdin(Stdio::piped());
    arrange(&mut command);
    let program = program.display();
    command.spawn().map_err(|error| format!("cannot start {id} with {program}: {error}"))
}

/// The words that start this node in the same cluster.
pub fn command_line(options: &Options, id: NodeId) -> Vec<OsString> {
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
pub fn cluster_words(options: &Options) -> Vec<OsString> {
    match (&options.config, options.of) {
        (_, Some(count)) => vec!["--of".into(), count.to_string().into()],
        (Some(path), None) => vec!["--config".into(), path.into()],
        (None, None) => Vec::new(),
    }
}

/// The words as a person types them.
pub fn typed(words: &[OsString]) -> String {
    let words = words.iter().map(|word| format!(" {}", word.to_string_lossy()));
    words.collect()
}

/// Where to look at the cluster.
pub fn invitation(address: &str) -> String {
    format!("Open http://{address}/ in a browser to watch the cluster, and to break it.")
}
