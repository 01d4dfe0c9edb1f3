//! A disk that stalls: what clients and peers see of a node while its `fdatasync` does not return.
//!
//! The nodes are real processes. Into each the test loads a small library (`support/stall.c`),
//! whose `fdatasync` waits as long as a file exists. The raft thread of a stalled node is stuck in
//! that call; all other threads must go on.
//!
//! Only Linux loads the library in this way, and only into a program that is not static. Elsewhere
//! this file has no test: it runs none, and counts none as passed.
#![cfg(all(target_os = "linux", not(target_feature = "crt-static")))]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use raftlet::json::Json;
use support::{Cluster, PATIENCE, Process, RAFTLET, number, raftlet_at, wait_for};

/// Long enough that a node of a busy machine hardly takes its leader for dead.
const TIMING: &str = "[timing]\nheartbeat_ms = 50\nelection_timeout_ms = [2000, 3000]\n";

/// The longest election timeout of these.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(3000);

/// How long a node lets a client wait for its answer.
const PROMISED: Duration = Duration::from_secs(5);

/// When the answer must have come even where the machine is busy.
const LATE: Duration = Duration::from_secs(10);

/// `/health` and `/status` answer within a second; where the machine is busy, within this.
const LATE_STATUS: Duration = Duration::from_secs(3);

/// What a client is told if nobody knows whether its command will be done.
const UNKNOWN: &str = concat!(
    r#"{"error":"no majority answered in time; the command may still be done","#,
    r#""outcome":"unknown"}"#
);

/// Runs a command that may open this many files. By default, Linux allows a process 1024. A node
/// keeps 128 of them for other things, and so would refuse the last of 900 clients.
const WITH_FILES: &str = r#"ulimit -n 2048; exec "$0" "$@""#;

// ---- A cluster whose disks can stall -----------------------------------------------------------

/// A cluster of three, with a leader and one key.
fn cluster_over(transport: &str) -> Cluster {
    let mut cluster = Cluster::new(3, &format!("{TIMING}[transport]\nkind = \"{transport}\"\n"));
    let library = cluster.scratch.0.join("stall.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/stall.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-Wall", "-Werror", source, "-o"]).arg(&library);
    let compiled = compiler.status().expect("cc, which rustc has for its linker");
    assert!(compiled.success(), "{compiler:?}");
    let (config, data) = (cluster.config(), cluster.data());
    for id in 1..=3 {
        let id_word = id.to_string();
        let words = ["-c", WITH_FILES, RAFTLET, &id_word, "--config", &config, "--data", &data];
        let mut node = raftlet_at("sh".as_ref(), &words);
        node.env("LD_PRELOAD", &library).env("STALLED_WHILE", stall_file(&cluster, id));
        cluster.adopt(id, Process::start(&mut node));
    }
    cluster.set("x", "before");
    cluster
}

/// While this file exists, the node's disk stalls.
fn stall_file(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.scratch.0.join(format!("node-{id}-stalls"))
}

fn stall(cluster: &Cluster, id: u64) {
    fs::write(stall_file(cluster, id), "").expect("the scratch can be written");
}

fn end_stall(cluster: &Cluster, id: u64) {
    fs::remove_file(stall_file(cluster, id)).expect("the disk stalls");
}

/// `/health` or `/status` of a node, which must come in time whatever the disk does.
fn ask_in_time(cluster: &Cluster, id: u64, path: &str) -> Json {
    let asked_at = Instant::now();
    let reply = cluster.http(id, "GET", path, None).unwrap_or_else(|| panic!("no {path}"));
    let took = asked_at.elapsed();
    assert!(took < LATE_STATUS, "{path} of n{id} took {took:?}");
    assert_eq!(reply.status, 200, "{path} of n{id}: {}", reply.text());
    Json::parse(&reply.body).expect("JSON")
}

/// What a node says in `/health`: `ok`, or `stalled`.
fn health(cluster: &Cluster, id: u64) -> String {
    let health = ask_in_time(cluster, id, "/health");
    health.get("status").and_then(Json::as_str).expect("a word").to_string()
}

fn wait_for_health(cluster: &Cluster, id: u64, word: &str) {
    wait_for(&format!("n{id} is {word}"), || (health(cluster, id) == word).then_some(()));
}

/// Sets a key on a node that leads. It must be committed.
fn set_on(cluster: &Cluster, leader: u64, value: &str) {
    let body = format!(r#"{{"key":"x","value":"{value}"}}"#);
    let reply = cluster.http(leader, "POST", "/api/set", Some(&body)).expect("an answer");
    assert_eq!(reply.status, 200, "set x={value}: {}", reply.text());
}

// ---- Clients -----------------------------------------------------------------------------------

/// One client, with a key and a connection of its own.
struct Client {
    key: String,
    stream: BufReader<TcpStream>,
    asked_at: Instant,
}

impl Client {
    fn connect(cluster: &Cluster, id: u64, number: usize) -> Client {
        let stream = TcpStream::connect(cluster.address(id)).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        let stream = BufReader::new(stream);
        Client { key: format!("k{number}"), stream, asked_at: Instant::now() }
    }

    fn send_set(&mut self, value: &str) {
        let body = format!(r#"{{"key":"{}","value":"{value}"}}"#, self.key);
        let length = body.len();
        let head = format!("POST /api/set HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}");
        self.asked_at = Instant::now();
        let stream = self.stream.get_mut();
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("the node reads");
    }

    /// Reads one answer: its status and its body, and how long after the request it came.
    fn read_answer(&mut self) -> (u16, String, Duration) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = self.stream.read_line(&mut head).expect("an answer");
            assert!(count > 0, "the node has closed the connection after {head:?}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        self.stream.read_exact(&mut body).expect("the body");
        let status = head[9..12].parse().expect("a status");
        (status, String::from_utf8(body).expect("text"), self.asked_at.elapsed())
    }
}

/// All disks stall, and so many clients, connected and served before, set a key each.
fn clients_are_answered_in_time(count: usize) {
    let cluster = cluster_over("tcp");
    let leader = cluster.leader();
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..count {
        clients.push(Client::connect(&cluster, leader, number));
        clients[number].send_set("1");
    }
    for client in &mut clients {
        let (status, body, _) = client.read_answer();
        assert_eq!(status, 200, "set {}: {body}", client.key);
    }

    (1..=3).for_each(|id| stall(&cluster, id));
    clients.iter_mut().for_each(|client| client.send_set("2"));
    let answers: Vec<(u16, String, Duration)> = thread::scope(|scope| {
        let readers: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| client.read_answer())).collect();
        wait_for_health(&cluster, leader, "stalled");
        while !readers.iter().all(|reader| reader.is_finished()) {
            assert_eq!(health(&cluster, leader), "stalled");
            let status = ask_in_time(&cluster, leader, "/status");
            assert!(number(&status, "stalled_ms") > 0, "{status}");
        }
        readers.into_iter().map(|reader| reader.join().expect("an answer")).collect()
    });
    for (client, (status, body, took)) in clients.iter().zip(answers) {
        assert_eq!((status, &*body), (504, UNKNOWN), "set {} after {took:?}", client.key);
        assert!((PROMISED..LATE).contains(&took), "set {} after {took:?}", client.key);
    }

    (1..=3).for_each(|id| end_stall(&cluster, id));
    cluster.set("x", "after");
    all_hold_the_same(&cluster, count);
}

/// The nodes agree on the key of each client. Its second set was done or not: the client was told
/// that nobody knows.
fn all_hold_the_same(cluster: &Cluster, count: usize) {
    cluster.wait_until_equal();
    let states: Vec<String> = (1..=3)
        .map(|id| cluster.http(id, "GET", "/api/state_machine", None).expect("an answer"))
        .map(|reply| reply.text().into_owned())
        .collect();
    assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
    let state = Json::parse(states[0].as_bytes()).expect("JSON");
    let values = state.get("state_machine").expect("the values");
    let value = |key: &str| values.get(key).and_then(Json::as_str);
    assert_eq!(value("x"), Some("after"));
    for number in 0..count {
        let key = format!("k{number}");
        assert!(["1", "2"].map(Some).contains(&value(&key)), "{key} is {:?}", value(&key));
    }
}

#[test]
fn client_is_answered_while_the_disk_stalls() {
    clients_are_answered_in_time(1);
}

#[test]
fn four_clients_are_answered_while_the_disk_stalls() {
    clients_are_answered_in_time(4);
}

#[test]
fn nine_hundred_clients_are_answered_while_the_disk_stalls() {
    clients_are_answered_in_time(900);
}

// ---- Peers -------------------------------------------------------------------------------------

/// The disk of a follower stalls. Returns the follower once it is stuck.
fn stall_a_follower(cluster: &Cluster, leader: u64) -> u64 {
    let follower = leader % 3 + 1;
    stall(cluster, follower);
    set_on(cluster, leader, "for the disk");
    wait_for_health(cluster, follower, "stalled");
    follower
}

/// The disk of a follower stalls for longer than any election timeout, while its leader goes on
/// sending. When the stall ends, the follower must take in what came before it looks at its timer.
fn heartbeats_are_heard_over(transport: &str) {
    let mut cluster = cluster_over(transport);
    let leader = cluster.leader();
    let terms = |cluster: &Cluster| {
        let status = |id| cluster.status(id).expect("the node answers");
        [1, 2, 3].map(status).map(|status| number(&status, "current_term"))
    };
    let term_before = terms(&cluster);
    let follower = stall_a_follower(&cluster, leader);
    let candidacies =
        |cluster: &mut Cluster| cluster.process(follower).text().matches("→ CANDIDATE").count();
    let candidacies_before = candidacies(&mut cluster);
    let stuck_at = Instant::now();
    while stuck_at.elapsed() < LONGEST_TIMEOUT + Duration::from_secs(1) {
        set_on(&cluster, leader, "meanwhile");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(health(&cluster, follower), "stalled");
    end_stall(&cluster, follower);
    wait_for_health(&cluster, follower, "ok");
    cluster.wait_until_equal();
    let lines = cluster.process(follower).text();
    assert_eq!(candidacies(&mut cluster), candidacies_before, "{lines}");
    assert_eq!((cluster.leader(), terms(&cluster)), (leader, term_before), "{lines}");
}

#[test]
fn heartbeats_that_came_over_tcp_while_the_disk_stalled_are_heard() {
    heartbeats_are_heard_over("tcp");
}

#[test]
fn heartbeats_that_came_over_udp_while_the_disk_stalled_are_heard() {
    heartbeats_are_heard_over("udp");
}

#[test]
fn stalled_follower_holds_nobody_up() {
    let cluster = cluster_over("tcp");
    let leader = cluster.leader();
    let follower = stall_a_follower(&cluster, leader);
    let other = 6 - leader - follower;
    (0..100).for_each(|value| set_on(&cluster, leader, &value.to_string()));
    let committed = number(&ask_in_time(&cluster, leader, "/status"), "commit_index");
    wait_for("the other follower has applied all", || {
        let status = ask_in_time(&cluster, other, "/status");
        (number(&status, "last_applied") == committed).then_some(())
    });
    let stalled = ask_in_time(&cluster, follower, "/status");
    assert!(number(&stalled, "stalled_ms") > 0, "{stalled}");
    assert!(number(&stalled, "last_applied") + 100 <= committed, "{stalled}");
    end_stall(&cluster, follower);
    cluster.wait_until_equal();
}
