//! The launcher: starts every node of the registry, each in a process of its own, and stays beside
//! them, to kill one or start it again when the dashboard asks for it.
//!
//! It speaks HTTP on a free port of loopback, to members' pages and to programs of this machine.
//! The nodes learn its address from their environment and tell it in `/status`, so a page finds
//! it. What is known of the processes lies behind one lock, and whoever takes it first looks which
//! of them have ended: two clicks at once, or one while a node dies, come one after the other.
//!
//! Ctrl+C reaches all processes of the terminal. If only the launcher is killed, the pipes to the
//! nodes' stdin close, and they end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::child;
use super::failure::Failure;
use super::options::Options;
use super::stdout::print;
use crate::http;
use crate::http::api::body::Body;
use crate::http::handler::{Client, Handler, Outcome};
use crate::http::origin_guard::{self, Guard};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::json::{Json, Value};
use crate::node::message::NodeId;
use crate::server::console::Console;
use crate::server::inbox::{Inbox, ToHttp};

/// The variable that tells a node where its launcher is asked, `host:port`.
pub const ADDRESS: &str = "RAFTLET_LAUNCHER";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How often it looks whether a node has ended. With the standard library one can wait for a
/// process or be able to kill it, not both.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After an error of the system's, before the next connection is taken.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What `/processes` takes.
const ALLOW: &str = "GET, HEAD, POST, OPTIONS";

/// Runs every node of the registry until Ctrl+C, or until all have ended. It stays while one that
/// was killed over HTTP may be wanted back.
pub fn run(options: &Options) -> Result<(), Failure> {
    let config = options.registry()?;
    let cannot = |error| Failure::Running(format!("cannot listen on {LOOPBACK}: {error}"));
    let listener = TcpListener::bind((LOOPBACK, 0)).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?.to_string();
    let mut nodes = Nodes::new(child::program()?, options, address);
    for &id in config.nodes.keys() {
        nodes.start(id).map_err(Failure::Running)?;
    }
    print(&welcome(options, &nodes, config.nodes.values().next()))?;
    nodes.options.fresh = false; // whoever starts a node again wants what it had saved
    let members = config.nodes.into_values().collect();
    let launcher = Arc::new(Launcher { members, nodes: Mutex::new(nodes) });
    let for_pages = Pages(Arc::clone(&launcher));
    let (connections, http_inbox) = mpsc::channel();
    let (no_raft_thread, _) = Inbox::open(); // its handler asks none
    thread::spawn(move || http::serve(http_inbox, no_raft_thread, for_pages));
    thread::spawn(move || accept_all(&listener, &connections));
    launcher.wait()
}

fn welcome(options: &Options, nodes: &Nodes, first: Option<&String>) -> String {
    let named = nodes.processes.iter().filter_map(|(id, process)| match process {
        Process::Running(child) => Some(format!("{id} (process {})", child.id())),
        _ => None,
    });
    let names = named.collect::<Vec<_>>().join(", ");
    let again = if options.fresh { ", without --fresh," } else { "" };
    let here = child::typed(&child::cluster_words(options));
    let invitation = first.map(|address| invitation(address)).unwrap_or_default();
    format!(
        "Starting {names}. Ctrl+C ends them all; the same command{again} goes on from there.\n\
         {invitation}\n\
         In another terminal: raftlet status{here}; raftlet set x 42{here}; or kill the leader's \
         process.\n"
    )
}

/// Where to look at the cluster.
pub fn invitation(address: &str) -> String {
    format!("Open http://{address}/ in a browser to watch the cluster, and to break it.")
}

/// The processes, and who may ask about them.
struct Launcher {
    /// Where the members of the cluster are reached: their pages may ask.
    members: Vec<String>,
    nodes: Mutex<Nodes>,
}

/// Every node of the registry.
struct Nodes {
    /// How they are started.
    program: PathBuf,
    options: Options,
    /// Where the launcher is asked.
    address: String,
    processes: BTreeMap<NodeId, Process>,
    console: Console,
}

/// What has become of a node's process.
enum Process {
    /// It runs. The pipe to its stdin is open.
    Running(Child),
    /// It was killed over HTTP. Whoever did that may want it back.
    Killed,
    /// It has ended by itself, or was ended by someone else.
    Ended { failed: bool },
}

impl Nodes {
    fn new(program: PathBuf, options: &Options, address: String) -> Nodes {
        let (options, processes) = (options.clone(), BTreeMap::new());
        Nodes { program, options, address, processes, console: Console::open() }
    }

    /// Starts a node; gives its process's number.
    fn start(&mut self, id: NodeId) -> Result<u32, String> {
        let child = child::start(&self.program, &self.options, id, |command| {
            command.env(ADDRESS, &self.address);
        })?;
        let process = child.id();
        self.processes.insert(id, Process::Running(child));
        Ok(process)
    }

    /// Finds out which nodes have ended by themselves, and says so.
    fn look(&mut self) {
        for (&id, process) in &mut self.processes {
            let Process::Running(child) = process else { continue };
            let failure = match child.try_wait() {
                Ok(None) => continue,
                Ok(Some(status)) if status.success() => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            };
            *process = Process::Ended { failed: failure.is_some() };
            if let Some(how) = failure {
                let again = child::typed(&child::command_line(&self.options, id));
                self.console.line(&format!(
                    "{id}  has ended ({how}); raftlet{again} in another terminal starts it again"
                ));
            }
        }
    }

    /// Makes a node run, or kills it, unless it is so already. Others who ask wait meanwhile, also
    /// while the system ends a process.
    fn set_running(&mut self, id: NodeId, running: bool) -> Result<(), String> {
        match self.processes.get_mut(&id) {
            Some(Process::Running(child)) if !running => {
                // Once it has been waited for, its port and its files are free.
                let killed = child.kill().and_then(|()| child.wait());
                killed.map_err(|error| format!("cannot kill {id}: {error}"))?;
                let process = child.id();
                self.processes.insert(id, Process::Killed);
                self.console.line(&format!("{id}  killed over HTTP (process {process})"));
            }
            Some(Process::Killed | Process::Ended { .. }) if running => {
                let process = self.start(id)?;
                self.console.line(&format!("{id}  started again over HTTP (process {process})"));
            }
            _ => {}
        }
        Ok(())
    }

    /// How many have failed, if all have ended and nobody will want one back.
    fn failures(&self) -> Option<usize> {
        let failed = |process: &Process| match process {
            Process::Ended { failed } => Some(usize::from(*failed)),
            _ => None,
        };
        self.processes.values().map(failed).sum()
    }

    fn to_json(&self) -> Json {
        let processes = self.processes.iter().map(|(id, process)| {
            let number = match process {
                Process::Running(child) => Some(u64::from(child.id())),
                _ => None,
            };
            let running = number.is_some().into();
            Json::object([("id", id.0.into()), ("process", number.into()), ("running", running)])
        });
        Json::object([("processes", processes.collect::<Vec<_>>().into())])
    }
}

impl Launcher {
    /// Waits until every node has ended and none will be wanted back.
    fn wait(&self) -> Result<(), Failure> {
        loop {
            let mut nodes = self.nodes();
            if let Some(failed) = nodes.failures() {
                nodes.console.close();
                let all = nodes.processes.len();
                let why = format!("{failed} of {all} nodes failed");
                return if failed == 0 { Ok(()) } else { Err(Failure::Running(why)) };
            }
            drop(nodes);
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The nodes as they are now.
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.look();
        nodes
    }

    fn answer(&self, request: &Request) -> Response {
        let &Request { method, path, .. } = request;
        match (method, path) {
            ("GET", "/processes") => Response::json(200, self.nodes().to_json().to_string()),
            ("POST", "/processes") => self.change(request).unwrap_or_else(|refusal| refusal),
            ("OPTIONS", "/processes") => Response::empty().with_header("Allow", ALLOW),
            (_, "/processes") => {
                let why = format!("{path} takes GET and POST, not {method}");
                Response::error(405, &why).with_header("Allow", ALLOW)
            }
            _ => {
                let known = "there are GET /processes and POST /processes";
                Response::error(404, &format!("no such path: {path}; {known}"))
            }
        }
    }

    fn change(&self, request: &Request) -> Result<Response, Response> {
        let body = Body::read(request, r#"{"id":2,"running":false}"#)?;
        let running = body.json.get("running").and_then(Value::as_bool);
        let running = running.ok_or_else(|| body.bad("\"running\" must be true or false"))?;
        let id = body.json.get("id").and_then(Value::as_u64).map(NodeId);
        let mut nodes = self.nodes();
        let id = id.filter(|id| nodes.processes.contains_key(id));
        let id =
            id.ok_or_else(|| body.bad("\"id\" must be the number of a node that it started"))?;
        nodes.set_running(id, running).map_err(|why| Response::error(500, &why))?;
        Ok(Response::json(200, nodes.to_json().to_string()))
    }
}

/// Sends every connection to the HTTP thread, for ever.
fn accept_all(listener: &TcpListener, connections: &mpsc::Sender<ToHttp>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let _ = connections.send(ToHttp::Connection(stream, Arc::default()));
            }
            Err(_) => thread::sleep(RETRY_AFTER),
        }
    }
}

/// Answers pages of members, and programs of this machine.
struct Pages(Arc<Launcher>);

impl Handler for Pages {
    fn answer(&self, request: &Request, client: &Client) -> Outcome {
        let members = || self.0.members.clone();
        let guard = Guard { members: &members, came_in_at: client.own };
        match guard.check(request) {
            Err(refusal) => refusal.into(),
            Ok(()) => {
                let mut response = self.0.answer(request);
                response.headers.extend(origin_guard::sharing_headers(request));
                response.into()
            }
        }
    }
}
