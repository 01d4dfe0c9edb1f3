//! Real clusters for tests: processes of the built binary, on ports and in a directory of their
//! own.
//!
//! Nothing here waits by sleeping for "long enough": a test says what must come true, and waits
//! until it does or [`PATIENCE`] is over. What a cluster has started ends with it.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod browser;
pub mod curl;
pub mod runner;
pub mod sources;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use raftlet::client::Client;
use raftlet::http::client::{self, Reply};
use raftlet::json::Json;

/// After this a test has failed. Far longer than anything takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a thing comes true, and returns it.
pub fn wait_for<T>(what: &str, thing: impl FnMut() -> Option<T>) -> T {
    wait_until(|| what.to_string(), thing)
}

pub fn wait_until<T>(what: impl Fn() -> String, mut thing: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = thing() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {}", what());
        thread::sleep(Duration::from_millis(20));
    }
}

/// A directory that goes when the test ends.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("raftlet-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path); // left behind by a killed process of the same number
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that no other test has, in this process or another. A node is killed and started again on
/// its port, so it does not do to ask the system for any free one: that comes from the range out of
/// which every outgoing connection takes its own. The lock on a file is the reservation.
pub struct Port {
    pub number: u16,
    _lock: File,
}

impl Port {
    pub fn reserve() -> Port {
        for number in 10_000..30_000 {
            if let Some(port) = Port::claim(number) {
                return port;
            }
        }
        panic!("no free port from 10000 to 29999");
    }

    /// One that the test cannot choose; none if anybody has it.
    pub fn claim(number: u16) -> Option<Port> {
        let file = Port::lock_file(number);
        file.try_lock().ok()?;
        Port::is_free(number).then_some(Port { number, _lock: file })
    }

    fn lock_file(number: u16) -> File {
        // A directory for each user: one cannot write into another's.
        let user = std::env::var("HOME").unwrap_or_default().replace(['/', '\\', ':'], "-");
        let dir = std::env::temp_dir().join(format!("raftlet-test-ports{user}"));
        fs::create_dir_all(&dir).expect("the temporary directory can be written");
        let mut options = OpenOptions::new();
        let path = dir.join(number.to_string());
        options.create(true).append(true).open(path).expect("a lock file")
    }

    fn is_free(number: u16) -> bool {
        let tcp = TcpListener::bind(("127.0.0.1", number));
        tcp.is_ok() && UdpSocket::bind(("127.0.0.1", number)).is_ok()
    }
}

/// A process that is killed when the test ends, and the lines that it prints.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built binary can be started");
        let lines = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("it is piped"), Arc::clone(&lines));
        collect(child.stderr.take().expect("it is piped"), Arc::clone(&lines));
        Process { child, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed.
    pub fn text(&self) -> String {
        self.lines.lock().expect("no reader panics").join("\n")
    }

    pub fn wait_for_line(&self, part: &str) -> String {
        let what = || format!("a line with {part:?} in:\n{}", self.text());
        wait_until(what, || {
            let lines = self.lines.lock().expect("no reader panics");
            lines.iter().find(|line| line.contains(part)).cloned()
        })
    }

    /// `kill -9`, and what a shell sees of it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for it to end by itself, and gives its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        wait_for("the process ends", || self.child.try_wait().expect("it is our child")).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(from: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.lock().expect("no reader panics").push(line);
        }
    });
}

/// The built binary.
pub const RAFTLET: &str = env!("CARGO_BIN_EXE_raftlet");

/// The built binary, with these words, whatever the environment of the test says of nodes.
pub fn raftlet(words: &[&str]) -> Command {
    raftlet_at(RAFTLET.as_ref(), words)
}

/// The same, with a copy of it.
pub fn raftlet_at(path: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(words).stdin(Stdio::null()).env("NO_COLOR", "1");
    for variable in ["NODE_ID", "PORT", "PEERS", "HOST", "ADVERTISE", "FAULTS_FROM"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the binary to its end; a node that goes on running instead is a failure, and is killed.
pub fn run(words: &[&str]) -> Output {
    output_of(&mut raftlet(words), "")
}

/// Runs a command to its end, as [`run`] does, with this text on its stdin.
pub fn output_of(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the built binary can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    let (id, input, (sender, output)) = (child.id(), input.to_string(), mpsc::channel());
    thread::spawn(move || {
        // It may end without having read all of it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        sender.send(child.wait_with_output())
    });
    match output.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("its output can be read"),
        Err(_) => {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
            panic!("{command:?} does not end");
        }
    }
}

/// Asserts an exit code, and gives stdout and stderr.
pub fn exits(output: &Output, code: i32) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    (out, err)
}

/// The JSON objects of a text, which has one a line and nothing else.
pub fn json_lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| Json::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Stdout or stderr as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A cluster of processes.
pub struct Cluster {
    pub scratch: Scratch,
    ports: Vec<Port>,
    processes: BTreeMap<u64, Process>,
}

impl Cluster {
    /// A registry for so many nodes; none of them runs yet. `extra` is added to the file.
    pub fn new(nodes: u64, extra: &str) -> Cluster {
        let scratch = Scratch::new();
        let ports: Vec<Port> = (0..nodes).map(|_| Port::reserve()).collect();
        let mut text = format!("{extra}\n[nodes]\n");
        for (id, port) in (1..).zip(&ports) {
            text += &format!("{id} = \"localhost:{}\"\n", port.number);
        }
        fs::write(scratch.0.join("cluster.toml"), text).expect("the scratch can be written");
        Cluster { scratch, ports, processes: BTreeMap::new() }
    }

    /// The same, and all of them run at the paper's speed.
    pub fn started(nodes: u64, extra: &str) -> Cluster {
        let mut cluster = Cluster::new(nodes, extra);
        (1..=nodes).for_each(|id| cluster.start(id));
        cluster
    }

    pub fn config(&self) -> String {
        self.scratch.0.join("cluster.toml").display().to_string()
    }

    pub fn data(&self) -> String {
        self.scratch.0.join("data").display().to_string()
    }

    pub fn address(&self, id: u64) -> String {
        format!("localhost:{}", self.ports[id as usize - 1].number)
    }

    pub fn start(&mut self, id: u64) {
        let (config, data) = (self.config(), self.data());
        let words = [&id.to_string(), "--fast", "--config", &config, "--data", &data];
        self.adopt(id, Process::start(&mut raftlet(&words)));
    }

    /// Takes in a node that was started in another way.
    pub fn adopt(&mut self, id: u64, process: Process) {
        self.processes.insert(id, process);
    }

    pub fn process(&mut self, id: u64) -> &mut Process {
        self.processes.get_mut(&id).expect("this node was started")
    }

    pub fn kill(&mut self, id: u64) {
        self.process(id).kill();
        self.processes.remove(&id);
    }

    pub fn running(&self) -> Vec<u64> {
        self.processes.keys().copied().collect()
    }

    /// A verb of the command line, for this cluster.
    pub fn verb(&self, words: &[&str]) -> Output {
        self.verb_with(words, "")
    }

    /// The same, with this text on its stdin.
    pub fn verb_with(&self, words: &[&str], input: &str) -> Output {
        let config = self.config();
        output_of(&mut raftlet(&[words, &["--config", &config]].concat()), input)
    }

    /// Writes, which must succeed in the end.
    pub fn set(&self, key: &str, value: &str) {
        self.command(&format!("set {key}={value}"));
    }

    /// Reads a key, which must be there.
    pub fn get(&self, key: &str) -> String {
        self.command(&format!("get {key}")).expect("the key is set")
    }

    fn command(&self, command: &str) -> Option<String> {
        let addresses = (1..=self.ports.len() as u64).map(|id| self.address(id)).collect();
        let done = Client::new(addresses, PATIENCE, |_| {}).command(command);
        done.unwrap_or_else(|why| panic!("{command}: {why}")).result
    }

    /// One HTTP request to one node.
    pub fn http(&self, id: u64, method: &str, path: &str, body: Option<&str>) -> Option<Reply> {
        client::request(method, &self.address(id), path, body, Duration::from_secs(20)).ok()
    }

    /// `/status` of a node, if it answers.
    pub fn status(&self, id: u64) -> Option<Json> {
        let reply = self.http(id, "GET", "/status", None)?;
        Json::parse(&reply.body).ok()
    }

    /// Waits until all nodes that run name the same leader, one of them, and returns it.
    pub fn leader(&self) -> u64 {
        wait_for("one leader that all nodes know", || {
            let leaders = self.running().into_iter().map(|id| {
                let status = self.status(id)?;
                let (leader, term) = (status.get("leader")?, status.get("current_term")?);
                Some((leader.as_u64()?, term.as_u64()?))
            });
            let leaders = leaders.collect::<Option<Vec<_>>>()?;
            let &(leader, _) = leaders.first()?;
            let agreed = leaders.iter().all(|other| *other == leaders[0]);
            (agreed && self.running().contains(&leader)).then_some(leader)
        })
    }

    /// Waits until these nodes, and they alone, agree on one of them as leader, and returns it.
    pub fn leader_among(&self, ids: &[u64]) -> u64 {
        wait_for("a leader among some of the nodes", || {
            let leaders = ids.iter().map(|&id| self.status(id)?.get("leader")?.as_u64());
            let leaders = leaders.collect::<Option<Vec<_>>>()?;
            let is_agreed = leaders.iter().all(|leader| *leader == leaders[0]);
            (is_agreed && ids.contains(&leaders[0])).then_some(leaders[0])
        })
    }

    /// Waits until all nodes that run have the same log, all applied.
    pub fn wait_until_equal(&self) {
        wait_for("equal logs, all applied", || {
            let logs = self.running().into_iter().map(|id| {
                let status = self.status(id)?;
                let last = status.get("last_log_index")?.as_u64()?;
                let applied = status.get("last_applied")?.as_u64()?;
                (applied == last).then(|| status.get("log").cloned())?
            });
            let logs = logs.collect::<Option<Vec<_>>>()?;
            logs.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
    }
}

/// A member of a JSON object that is a number.
pub fn number(json: &Json, name: &str) -> u64 {
    json.get(name).and_then(Json::as_u64).unwrap_or_else(|| panic!("no number {name} in {json}"))
}
