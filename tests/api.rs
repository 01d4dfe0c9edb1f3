//! The HTTP interface of real nodes: what each path answers, what is refused and how, and what a
//! client is told while leaders die, links are cut and strangers knock.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raftlet::client::Client;
use raftlet::http::client::{Connection, Reply};
use raftlet::json::Json;
use raftlet::step::Random;
use support::{Cluster, PATIENCE, Process, number, raftlet, wait_for};

/// A single node, which leads term 1 and has its no-op as the only entry.
fn single_node() -> Cluster {
    let cluster = Cluster::started(1, "");
    assert_eq!(cluster.leader(), 1);
    cluster
}

/// A cluster of which only node 1 runs, as a follower for an hour: alone with its student.
fn alone_with_its_student() -> (Cluster, Process) {
    let timing = "[timing]\nheartbeat_ms = 1000\nelection_timeout_ms = [3600000, 3600000]\n";
    let cluster = Cluster::new(3, timing);
    let (config, data) = (cluster.config(), cluster.data());
    let process = Process::start(&mut raftlet(&["1", "--config", &config, "--data", &data]));
    wait_for("the node answers", || cluster.status(1));
    (cluster, process)
}

fn ask(cluster: &Cluster, id: u64, method: &str, path: &str, body: &str) -> Reply {
    let body = (method == "POST").then_some(body);
    let reply = cluster.http(id, method, path, body);
    reply.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Asks until one of the nodes has done it. What is asked bears a serial, or may be done twice.
fn ask_leader(cluster: &Cluster, path: &str, body: &str) -> Json {
    wait_for(&format!("{path} {body} is done"), || {
        let replies = cluster.running().into_iter().filter_map(|id| {
            let reply = cluster.http(id, "POST", path, Some(body))?;
            (reply.status == 200).then(|| Json::parse(&reply.body).expect("JSON"))
        });
        { replies }.next()
    })
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("no text {name} in {json}"))
}

/// Sends these bytes and nothing more, and gives all that comes back until the node closes.
fn exchange(cluster: &Cluster, bytes: &[u8]) -> String {
    let mut stream = connect(cluster, 1);
    // The node may refuse, and close, before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(cluster: &Cluster, id: u64) -> TcpStream {
    let stream = TcpStream::connect(cluster.address(id)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
    stream
}

// ---- What each path answers --------------------------------------------------------------------

/// What is asked of a single node, one after another, and what it answers; in the order of the
/// log, of which the no-op is the first entry.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str)] = &[
    ("/api/set", r#"{"key":"x","value":"42"}"#, r#"{"key":"x","value":"42",@2}"#),
    ("/api/set", r#"{"key":"n","value":5}"#, r#"{"key":"n","value":"5",@3}"#),
    ("/api/get/x", "", r#"{"key":"x","value":"42","found":true}"#),
    ("/api/get/y", "", r#"{"key":"y","value":null,"found":false}"#),
    ("/api/get/y?local=true", "",
        r#"{"key":"y","value":null,"found":false,"local":true,"last_applied":3}"#),
    ("/api/incr", r#"{"key":"n"}"#, r#"{"key":"n","value":6,@4}"#),
    ("/api/incr", r#"{"key":"n","by":-16}"#, r#"{"key":"n","value":-10,@5}"#),
    ("/api/cas", r#"{"key":"x","old":"42","new":"a b"}"#,
        r#"{"key":"x","swapped":true,"value":"a b",@6}"#),
    ("/api/cas", r#"{"key":"x","old":"42","new":"c"}"#,
        r#"{"key":"x","swapped":false,"value":"a b",@7}"#),
    ("/api/cas", r#"{"key":"y","old":"42","new":"c"}"#,
        r#"{"key":"y","swapped":false,"value":null,@8}"#),
    ("/api/delete", r#"{"key":"x"}"#, r#"{"key":"x","found":true,@9}"#),
    ("/api/delete", r#"{"key":"x"}"#, r#"{"key":"x","found":false,@10}"#),
    ("/client_command", r#"{"command":"set x=1"}"#, r#"{@11,"result":"ok"}"#),
    ("/client_command", r#"{"command":"set x 2"}"#, r#"{@12,"result":"ok"}"#),
    ("/client_command", r#"{"command":"cas x 2 3"}"#, r#"{@13,"result":"ok"}"#),
    ("/client_command", r#"{"command":"incr x 4"}"#, r#"{@14,"result":"7"}"#),
    ("/client_command", r#"{"command":"get x"}"#, r#"{"index":14,"term":null,"result":"7"}"#),
    ("/client_command", r#"{"command":"get y"}"#, r#"{"index":14,"term":null,"result":null}"#),
    ("/client_command", r#"{"command":"delete x"}"#, r#"{@15,"result":"deleted"}"#),
    ("/client_command", r#"{"command":"any text"}"#, r#"{@16,"result":"ok"}"#),
    ("/api/state_machine", "", r#"{"state_machine":{"n":"-10"},"last_applied":16}"#),
];

#[test]
fn commands_and_reads_answer_as_documented() {
    let cluster = single_node();
    for (path, body, answer) in ROWS {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let reply = ask(&cluster, 1, method, path, body);
        assert_eq!((reply.status, &*reply.text()), (200, &*expand(answer)), "{path} {body}");
    }
}

/// `@7` stands for the entry 7@1.
fn expand(answer: &str) -> String {
    let Some((before, rest)) = answer.split_once('@') else { return answer.to_string() };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (index, after) = rest.split_at(digits);
    format!("{before}\"index\":{index},\"term\":1{after}")
}

#[test]
fn node_tells_how_it_is() {
    let cluster = single_node();
    cluster.set("x", "1");
    let health = ask(&cluster, 1, "GET", "/health", "");
    let expected = r#"{"status":"ok","id":1,"role":"leader","current_term":1,"leader":1}"#;
    assert_eq!((health.status, &*health.text()), (200, expected));
    for path in ["/status", "/api/status"] {
        let reply = ask(&cluster, 1, "GET", path, "");
        let status = Json::parse(&reply.body).expect("JSON");
        assert_eq!((text(&status, "cluster"), text(&status, "role")), ("raftlet", "leader"));
        assert_eq!(text(&status, "leader_address"), cluster.address(1));
        assert_eq!(status.get("quorum").and_then(Json::as_bool), Some(true));
        assert_eq!(status.get("paused").and_then(Json::as_bool), Some(false));
        assert_eq!(status.get("election_timeout_ms"), Some(&Json::Null), "a leader has none");
        assert!(number(&status, "data_bytes") > 100 && status.get("uptime_ms").is_some());
        assert_eq!((number(&status, "last_applied"), number(&status, "snapshot_index")), (2, 0));
    }
    let reply = ask(&cluster, 1, "GET", "/log?from=2&limit=1", "");
    let log = r#"{"log":[{"index":2,"term":1,"command":"set x=1"}],"#;
    assert_eq!(reply.text(), format!("{log}\"commit_index\":2,\"last_log_index\":2}}"));
    let log = ask(&cluster, 1, "GET", "/log", "");
    assert!(log.text().contains("no-op") && log.text().contains("set x=1"), "{}", log.text());

    let file = ask(&cluster, 1, "GET", "/RaftLog.txt", "");
    assert!(file.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let on_disk = std::fs::read(cluster.scratch.0.join("data/1/RaftLog.txt")).expect("the log");
    assert_eq!(file.body, on_disk);
    assert!(file.text().contains("Machine ID | Index | Term | Value | Leader Id"));
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let cluster = single_node();
    let commands = || {
        let reply = ask(&cluster, 1, "GET", "/metrics", "");
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(reply.header("content-type"), Some(kind));
        let page = reply.text().into_owned();
        for line in page.lines().filter(|line| !line.starts_with("# HELP ")) {
            let (name, value) = line.rsplit_once(' ').expect(line);
            let is_type = ["counter", "gauge"].contains(&value) && name.starts_with("# TYPE ");
            let is_value = name.starts_with("raftlet_") && value.parse::<f64>().is_ok();
            assert!(is_type || is_value, "{line}");
        }
        let line = page.lines().find(|line| line.starts_with("raftlet_commands_total "));
        line.expect(&page).rsplit(' ').next().and_then(|number| number.parse::<u64>().ok())
    };
    let before = commands().expect("a number");
    cluster.set("x", "1");
    assert_eq!(commands(), Some(before + 1));
}

/// The whole of Raft with `curl`: a student is the candidate, then the leader, of a node that
/// would wait an hour for another.
#[test]
fn student_votes_and_appends_by_hand() {
    let (cluster, _process) = alone_with_its_student();
    let post = |path: &str, body: &str| {
        let reply = ask(&cluster, 1, "POST", path, body);
        (reply.status, reply.text().into_owned())
    };
    let said = |answer: &str| (200, answer.to_string());
    let vote = |id: u64| {
        format!(r#"{{"term":5,"candidate_id":{id},"last_log_index":1,"last_log_term":1}}"#)
    };
    let granted = said(r#"{"term":5,"vote_granted":true}"#);
    assert_eq!(post("/request_vote", &vote(2)), granted);
    assert_eq!(post("/api/vote", &vote(2)), granted, "the alias, and the same candidate again");
    assert_eq!(post("/api/vote", &vote(3)), said(r#"{"term":5,"vote_granted":false}"#));

    let entries = r#""entries":[{"term":1,"command":"no-op"},{"term":5,"command":"set x=7"}]"#;
    let from = r#""term":5,"leader_id":2,"prev_log_index":0,"prev_log_term":0"#;
    let append = format!("{{{from},{entries},\"leader_commit\":2}}");
    for path in ["/append_entries", "/api/append_entries"] {
        let (status, reply) = post(path, &append);
        assert!(status == 200 && reply.contains(r#""success":true,"match_index":2"#), "{reply}");
    }
    let local = ask(&cluster, 1, "GET", "/api/get/x?local=true", "");
    assert!(local.text().contains(r#""value":"7""#), "{}", local.text());

    let (status, told) = post("/api/set", r#"{"key":"x","value":"8"}"#);
    let leader = format!(r#""leader":2,"leader_address":"{}""#, cluster.address(2));
    assert!(status == 307 && told.contains(&leader), "{told}");
    assert_eq!(post("/api/heartbeat", "").0, 307);

    let candidate = r#"{"id":1,"role":"candidate","current_term":6}"#;
    assert_eq!(post("/api/election", ""), said(candidate));
    let reply = ask(&cluster, 1, "POST", "/api/heartbeat", "");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    for stranger in [1, 9] {
        assert_eq!(post("/api/vote", &vote(stranger)).0, 400, "n{stranger} is no peer");
    }
}

#[test]
fn leader_heartbeats_at_will_and_needs_no_election() {
    let mut cluster = single_node();
    let reply = ask(&cluster, 1, "POST", "/api/heartbeat", "");
    let leads = r#"{"id":1,"role":"leader","current_term":1}"#;
    assert_eq!((reply.status, &*reply.text()), (200, leads));
    cluster.process(1).wait_for_line("heartbeat");
    let reply = ask(&cluster, 1, "POST", "/api/election", "");
    assert_eq!(reply.status, 409, "{}", reply.text());
}
