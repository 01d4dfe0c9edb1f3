//! A verb's own cluster: some processes on free ports, in a temporary directory.
//!
//! It leaves nothing behind. When it is dropped it kills its nodes and removes the directory. If
//! the verb's process is killed, or ended by Ctrl+C, the nodes notice it (their stdin ends), remove
//! the directory and end; so that they outlive Ctrl+C by that much, they are in a process group of
//! their own.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{self, Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::options::Options;
use super::{child, show};
use crate::json::Json;
use crate::node::message::{EntryId, NodeId, Term};
use crate::node::step::Timing;

/// After this, what was announced did not happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to look for free ports: below those that the system gives to outgoing connections, which
/// could take that of a node that is down.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// How many clusters this process has made.
static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// A line that a node has printed.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who.
    pub id: NodeId,
    /// What, from the time of day on.
    pub text: String,
}

impl Line {
    fn time(&self) -> Option<&str> {
        self.text.get(..12)
    }
}

/// What a cluster has agreed on.
pub struct Settled {
    /// Who leads.
    pub leader: NodeId,
    /// In which term.
    pub term: Term,
    /// The log of each, committed and applied.
    pub log: Vec<Json>,
    /// Its last entry.
    pub last: EntryId,
}

/// Some nodes, and all that they have printed so far.
pub struct Cluster {
    /// What tells any verb that this cluster is meant.
    pub options: Options,
    program: PathBuf,
    directory: PathBuf,
    /// In the order of their numbers. The pipe to a node's stdin, which its child holds, must stay
    /// open: when it closes, the node ends.
    running: Vec<(NodeId, Child)>,
    lines: Arc<Mutex<Vec<Line>>>,
    /// What its nodes print is thrown away.
    is_quiet: bool,
}

impl Cluster {
    /// A directory and a registry of so many nodes, which `program` will run; no node runs yet.
    pub fn new(program: PathBuf, nodes: u64, timing: Timing) -> Result<Cluster, Failure> {
        let name = format!("scratch-{}-{}", process::id(), CLUSTERS.fetch_add(1, Relaxed));
        let directory = env::temp_dir().join(format!("raftlet-{name}"));
        let config = directory.join("cluster.toml");
        let written = fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&config, registry(&name, timing, &free_ports(nodes))));
        written.map_err(|error| {
            Failure::Running(format!("cannot write {}: {error}", config.display()))
        })?;
        let data = Some(directory.clone());
        let options = Options { config: Some(config), data, ..Options::default() };
        let (running, lines) = (Vec::new(), Arc::default());
        Ok(Cluster { options, program, directory, running, lines, is_quiet: false })
    }

    /// From now on, what a node prints is thrown away, but for its last words: to gather a line for
    /// each of a million writes would take the time that is to be measured.
    pub fn hush(&mut self) {
        self.is_quiet = true;
    }

    /// Writes a table into the registry, before a node starts: `[log]` and what is in it.
    pub fn add_to_registry(&self, table: &str) -> Result<(), Failure> {
        let config = self.options.config.as_ref().expect("every cluster has its registry");
        let text = fs::read_to_string(config);
        let written = text.and_then(|text| fs::write(config, text + table));
        written.map_err(|error| {
            Failure::Running(format!("cannot write {}: {error}", config.display()))
        })
    }

    /// Starts every node of the registry.
    pub fn start_all(&mut self) -> Result<(), Failure> {
        self.options.registry()?.nodes.into_keys().try_for_each(|id| self.start(id))
    }

    /// Starts a node, or starts it again.
    pub fn start(&mut self, id: NodeId) -> Result<(), Failure> {
        let spawned = child::start(&self.program, &self.options, id, |command| {
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(command, 0);
            command.env(child::SCRATCH, "1").env("NO_COLOR", "1");
            command.stdout(if self.is_quiet { Stdio::null() } else { Stdio::piped() });
            command.stderr(Stdio::piped());
        });
        let mut child = spawned.map_err(Failure::Running)?;
        if let Some(stdout) = child.stdout.take() {
            collect(id, stdout, Arc::clone(&self.lines));
        }
        if let Some(stderr) = child.stderr.take() {
            collect(id, stderr, Arc::clone(&self.lines));
        }
        let place = self.running.partition_point(|&(other, _)| other < id);
        self.running.insert(place, (id, child));
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self, id: NodeId) {
        if let Some(place) = self.running.iter().position(|&(other, _)| other == id) {
            let (_, mut child) = self.running.remove(place);
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The nodes that run.
    pub fn running(&self) -> Vec<NodeId> {
        self.running.iter().map(|&(id, _)| id).collect()
    }

    /// What they have agreed on, if all nodes that run follow one of them, with the same log, all
    /// of it applied.
    pub fn settled(&self) -> Option<Settled> {
        let running = self.running();
        let seen = show::look(&self.options).ok()?.into_iter();
        let statuses = seen.filter(|seen| running.contains(&seen.id)).map(|seen| seen.status);
        let statuses = statuses.collect::<Option<Vec<Json>>>()?;
        let first = statuses.first()?;
        let is_same = |name| statuses.iter().all(|status| status.get(name) == first.get(name));
        let names = ["leader", "current_term", "log", "last_log_index", "last_applied"];
        let number = |name| first.get(name).and_then(Json::as_u64);
        let leader = NodeId(number("leader")?);
        let last = EntryId { index: number("last_log_index")?, term: number("last_log_term")? };
        let is_settled = names.into_iter().all(is_same)
            && number("last_applied") == Some(last.index)
            && running.contains(&leader);
        let log = first.get("log").and_then(Json::as_array)?.to_vec();
        is_settled.then_some(Settled { leader, term: number("current_term")?, log, last })
    }

    /// How many lines there are so far.
    pub fn mark(&self) -> usize {
        self.lines.lock().expect("no reader panics").len()
    }

    /// The lines that came after a mark, in the order of their times.
    pub fn lines_since(&self, mark: usize) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for line in &self.lines.lock().expect("no reader panics")[mark..] {
            let place = lines.partition_point(|before| before.time() <= line.time());
            lines.insert(place, line.clone()); // nearly all at the end
        }
        lines
    }

    /// Waits until a node has printed a line with these parts.
    pub fn wait_for_line(
        &mut self,
        mark: usize,
        id: NodeId,
        parts: &[&str],
    ) -> Result<(), Failure> {
        self.wait_for(&format!("{id} to print {parts:?}"), |cluster| {
            let has_all = |text: &str| parts.iter().all(|part| text.contains(part));
            let lines = cluster.lines_since(mark);
            lines.iter().any(|line| line.id == id && has_all(&line.text)).then_some(())
        })
    }

    /// Waits until a thing comes true. It is a failure if it does not, or if a node ends.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        thing: impl FnMut(&Cluster) -> Option<T>,
    ) -> Result<T, Failure> {
        self.wait_closely(Duration::from_millis(20), what, thing)
    }

    /// The same, with another pause between two looks.
    pub fn wait_closely<T>(
        &mut self,
        pause: Duration,
        what: &str,
        mut thing: impl FnMut(&Cluster) -> Option<T>,
    ) -> Result<T, Failure> {
        let since = Instant::now();
        loop {
            if let Some(found) = thing(self) {
                return Ok(found);
            }
            for (id, child) in &mut self.running {
                if let Ok(Some(status)) = child.try_wait() {
                    let lines = self.lines.lock().expect("no reader panics");
                    let last = lines.iter().rfind(|line| line.id == *id);
                    let last = last.map_or("it said nothing", |line| &line.text);
                    return Err(Failure::Running(format!("{id} has ended ({status}): {last}")));
                }
            }
            if since.elapsed() > PATIENCE {
                return Err(Failure::Running(format!("waited in vain for {what}")));
            }
            thread::sleep(pause);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running().into_iter().for_each(|id| self.kill(id));
        child::remove_all(&self.directory);
    }
}

fn collect(id: NodeId, from: impl Read + Send + 'static, lines: Arc<Mutex<Vec<Line>>>) {
    thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            lines.lock().expect("no reader panics").push(Line { id, text });
        }
    });
}

fn registry(name: &str, timing: Timing, ports: &[u16]) -> String {
    let Timing { heartbeat_ms, election_timeout_ms: (shortest, longest) } = timing;
    let mut text = format!(
        "[cluster]\nname = \"{name}\"\n[timing]\nheartbeat_ms = {heartbeat_ms}\n\
         election_timeout_ms = [{shortest}, {longest}]\n[nodes]\n"
    );
    for (id, port) in (1..).zip(ports) {
        text += &format!("{id} = \"localhost:{port}\"\n");
    }
    text
}

/// Free ports. Where the search begins depends on the process, so that two clusters do not meet:
/// there is room for ten nodes each, for processes that start together have numbers side by side.
fn free_ports(nodes: u64) -> Vec<u16> {
    let begin = (process::id() % u32::from(PORTS / 10) * 10) as u16;
    let candidates = (0..PORTS).map(|offset| FIRST_PORT + (begin + offset) % PORTS);
    let is_free = |port: &u16| TcpListener::bind(("localhost", *port)).is_ok();
    candidates.filter(is_free).take(nodes as usize).collect()
}
