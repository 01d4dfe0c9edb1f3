//! The HTTP interface of real nodes: what each path answers, what is refused and how, and what a
//! client is told while leaders die, links are cut and strangers knock.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use raftlet::client::Client;
use raftlet::http::client::{Connection, Reply};
use raftlet::json::{Json, Number};
use raftlet::node::rules::Rule;
use raftlet::node::step::Random;
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
    assert_eq!(
        reply.text(),
        format!("{log}\"commit_index\":2,\"last_log_index\":2,\"snapshot_index\":0}}")
    );
    let log = ask(&cluster, 1, "GET", "/log", "");
    assert!(log.text().contains("no-op") && log.text().contains("set x=1"), "{}", log.text());

    let file = ask(&cluster, 1, "GET", "/RaftLog.txt", "");
    assert!(file.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let on_disk = std::fs::read(cluster.scratch.0.join("data/1/RaftLog.txt")).expect("the log");
    assert_eq!(file.body, on_disk);
    assert!(file.text().contains("Machine ID | Index | Term | Value | Leader Id"));
}

#[test]
fn status_tells_where_each_term_begins() {
    let mut cluster = Cluster::started(2, "");
    cluster.set("x", "1");
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.start(leader);
    wait_for("a later term", || (first_terms(&cluster, 1)?.len() >= 2).then_some(()));
    cluster.wait_until_equal();
    for id in [1, 2] {
        let status = cluster.status(id).expect("it runs");
        let terms = first_terms(&cluster, id).expect("it runs");
        let log = status.get("log").and_then(Json::as_array).expect("the whole log");
        let mut expected: Vec<(u64, u64)> = Vec::new();
        for entry in log {
            let (index, term) = (number(entry, "index"), number(entry, "term"));
            if expected.last().is_none_or(|last| last.1 != term) {
                expected.push((index, term));
            }
        }
        assert_eq!(terms, expected, "{status}");
    }
}

/// Where in the log of a node each term begins: index and term.
fn first_terms(cluster: &Cluster, id: u64) -> Option<Vec<(u64, u64)>> {
    let status = cluster.status(id)?;
    let terms = status.get("log_terms")?.as_array()?.iter();
    Some(terms.map(|first| (number(first, "index"), number(first, "term"))).collect())
}

#[test]
fn status_counts_what_the_metrics_count() {
    let cluster = single_node();
    let counters = || {
        let status = cluster.status(1).expect("it runs");
        assert_eq!(status.get("launcher"), Some(&Json::Null), "nobody has started it");
        status.get("counters").cloned().expect("counters")
    };
    let before = counters();
    cluster.set("x", "1");
    ask(&cluster, 1, "GET", "/api/get/x", "");
    let after = counters();
    for name in ["commands", "reads"] {
        assert_eq!(number(&after, name), number(&before, name) + 1, "{name}: {after}");
    }
    let seconds = |counters: &Json| match counters.get("command_seconds") {
        Some(Json::Number(Number::Float(seconds))) => *seconds,
        other => panic!("{other:?} is no time"),
    };
    assert!(seconds(&after) > 0.0, "{after}");
    let page = ask(&cluster, 1, "GET", "/metrics", "");
    let elections = format!("\nraftlet_elections_total {}\n", number(&after, "elections"));
    assert!(page.text().contains(&elections) && number(&after, "elections") > 0, "{after}");
    let seconds = format!("\nraftlet_command_seconds_total {}\n", seconds(&after));
    assert!(page.text().contains(&seconds), "{seconds}{}", page.text());
}

#[test]
fn command_whose_client_was_told_that_nobody_knows_is_not_counted() {
    let cluster = Cluster::started(2, "");
    cluster.set("x", "1");
    let leader = cluster.leader();
    let other = others(&cluster, leader)[0];
    let commands = || Some(number(cluster.status(leader)?.get("counters")?, "commands"));
    let before = commands();
    pause(&cluster, other, true);
    let reply = ask(&cluster, leader, "POST", "/api/set", r#"{"key":"x","value":"2"}"#);
    assert_eq!(reply.status, 504, "{}", reply.text());
    pause(&cluster, other, false);
    wait_for("it is done all the same", || {
        let reply = cluster.http(leader, "GET", "/api/get/x?local=true", None)?;
        reply.text().contains(r#""value":"2""#).then_some(())
    });
    assert_eq!(commands(), before);
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

#[test]
fn dashboard_is_served_by_every_node_even_paused() {
    let cluster = Cluster::started(2, "");
    cluster.leader();
    pause(&cluster, 2, true);
    for id in [1, 2] {
        for (path, kind, part) in [
            ("/", "text/html; charset=utf-8", "<!doctype html>"),
            ("/style.css", "text/css; charset=utf-8", "{"),
            ("/app.js", "text/javascript; charset=utf-8", "EventSource"),
        ] {
            let reply = ask(&cluster, id, "GET", path, "");
            assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{path}");
            assert!(reply.text().contains(part), "{path}: {}", reply.text());
            assert_eq!(reply.header("cache-control"), Some("no-cache"), "{path}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        }
        let page = ask(&cluster, id, "GET", "/", "");
        let policy = page.header("content-security-policy").expect("a policy");
        let (first, second) = (cluster.address(1), cluster.address(2));
        let allowed = format!("; connect-src 'self' http://{first} http://{second};");
        assert!(policy.contains(&allowed), "{policy}");
    }
    let rules = ask(&cluster, 2, "GET", "/api/rules", "");
    let rules = Json::parse(&rules.body).expect("JSON");
    let rules = rules.get("rules").and_then(Json::as_array).expect("rules");
    let names: Vec<&str> = rules.iter().map(|rule| text(rule, "name")).collect();
    assert_eq!(names, Rule::all().map(Rule::name).collect::<Vec<_>>(), "in the order of Figure 2");
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

    // Entries 1 and 2 are committed now. What contradicts them is no leader's, whatever its term.
    let from = r#""term":9,"leader_id":3,"prev_log_index":0,"prev_log_term":0"#;
    let forged = r#""entries":[{"term":9,"command":"set x=9"}],"leader_commit":1"#;
    let (status, reply) = post("/append_entries", &format!("{{{from},{forged}}}"));
    assert!(status == 400 && reply.contains("1@9 contradicts a committed one"), "{reply}");
    assert_eq!(number(&cluster.status(1).expect("it runs"), "current_term"), 5);

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

// ---- What is refused ---------------------------------------------------------------------------

#[rustfmt::skip]
const REFUSED: &[(&str, &str, u16, &str)] = &[
    ("POST /client_command", "", 400, r#"send {"command":"#),
    ("POST /client_command", "not JSON", 400, "not JSON"),
    ("POST /client_command", "[]", 400, "no JSON object"),
    ("POST /client_command", r#"{"command":7}"#, 400, "must be a text"),
    ("POST /client_command", r#"{"command":" "}"#, 400, "is empty"),
    ("POST /client_command", r#"{"command":"set x"}"#, 400, "write set KEY=VALUE"),
    ("POST /client_command", r#"{"command":"get \"x"}"#, 400, "closing quote"),
    ("POST /client_command", r#"{"command":"@c:1 set x=1"}"#, 400, "a session is given"),
    ("POST /client_command", r#"{"command":"set x=1","client":"c"}"#, 400, "go together"),
    ("POST /client_command", r#"{"command":"set x=1","client":"a:1","serial":1}"#, 400, "letters"),
    ("POST /api/set", r#"{"value":"1"}"#, 400, r#"a text; send {"key":"x","value":"42"}"#),
    ("POST /api/set", r#"{"key":"","value":"1"}"#, 400, "1 to 1024"),
    ("POST /api/set", r#"{"key":"x"}"#, 400, r#""value" must be"#),
    ("POST /api/set", r#"{"key":"x","value":null}"#, 400, r#""value" must be"#),
    ("POST /api/set", r#"{"key":"x","key":"y","value":"1"}"#, 400, "twice"),
    ("POST /api/cas", r#"{"key":"x","old":"1"}"#, 400, r#""new" must be"#),
    ("POST /api/incr", r#"{"key":"x","by":1.5}"#, 400, "whole number"),
    ("POST /api/incr", r#"{"key":"text"}"#, 409, "not a whole number"),
    ("POST /api/incr", r#"{"key":"x","client":"c","serial":1}"#, 409, "over"),
    ("POST /api/set", r#"{"key":"x","value":"","client":"c","serial":2}"#, 409, "another command"),
    ("GET /api/get/", "", 400, "the key has 0 bytes"),
    ("GET /api/get/x?local=maybe", "", 400, "true or false"),
    ("GET /api/get/%ff", "", 400, "UTF-8"),
    ("GET /api/get/a/b", "", 404, "%2F"),
    ("GET /log?from=0", "", 400, "from 1 to"),
    ("GET /log?limit=many", "", 400, "from 1 to"),
    ("GET /index.html", "", 404, "GET /health"),
    ("POST /request_vote", r#"{"term":5}"#, 400, "candidate_id"),
    ("POST /append_entries", r#"{"term":5,"leader_id":"n2"}"#, 400, "leader_id"),
    ("POST /api/pause", r#"{"paused":1}"#, 400, r#"send {"paused":true}"#),
    ("POST /api/links", r#"{"peer":2}"#, 400, "no peer"),
    ("POST /api/links", r#"{"peer":1}"#, 400, "no peer"),
    ("POST /api/links", r#"{"blocked":true}"#, 400, r#""peer" must be"#),
    ("POST /api/links", r#"{"peer":2,"drop":101}"#, 400, "0 to 100"),
    ("POST /api/links", r#"{"peer":2,"delay_ms":60001}"#, 400, "0 to 60000"),
    ("POST /api/links", r#"{"peer":2,"blocked":"no"}"#, 400, "true or false"),
];

#[test]
fn refusals_are_one_line_that_says_what_to_do() {
    let cluster = single_node();
    cluster.set("text", "a");
    let done = r#"{"key":"n","client":"c","serial":2}"#;
    assert_eq!(ask(&cluster, 1, "POST", "/api/incr", done).status, 200);
    for (start, body, status, part) in REFUSED {
        let (method, path) = start.split_once(' ').expect("a method and a path");
        let reply = ask(&cluster, 1, method, path, body);
        let json = Json::parse(&reply.body).expect("JSON");
        let error = text(&json, "error");
        assert_eq!(reply.status, *status, "{path} {body}: {error}");
        assert!(error.contains(part) && error.lines().count() == 1, "{path} {body}: {error}");
    }
    let long = |bytes| format!(r#"{{"key":"x","value":"{}"}}"#, "v".repeat(bytes));
    assert_eq!(ask(&cluster, 1, "POST", "/api/set", &long(1 << 20)).status, 200);
    assert_eq!(ask(&cluster, 1, "POST", "/api/set", &long((1 << 20) + 1)).status, 400);
    assert_eq!(ask(&cluster, 1, "POST", "/api/set", &long(4 << 20)).status, 413);
    let long_key = format!("/api/get/{}", "k".repeat(1025));
    assert_eq!(ask(&cluster, 1, "GET", &long_key, "").status, 400);
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    let cluster = single_node();
    for (method, path, allowed) in [
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("GET", "/client_command", "POST, OPTIONS"),
        ("DELETE", "/api/get/x", "GET, HEAD, OPTIONS"),
        ("PUT", "/api/links", "GET, HEAD, POST, OPTIONS"),
    ] {
        let reply = cluster.http(1, method, path, None).expect("an answer");
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)), "{method} {path}");
        let reply = cluster.http(1, "OPTIONS", path, None).expect("an answer");
        assert_eq!((reply.status, reply.header("allow")), (204, Some(allowed)), "{path}");
    }
}

/// What a browser would send for a page that is not the cluster's.
#[test]
fn web_pages_from_elsewhere_are_refused() {
    let cluster = single_node();
    let own = cluster.address(1);
    let status = |start: &str, headers: &str| {
        let body = r#"{"key":"x","value":"1"}"#;
        let length = if start.starts_with("POST") { body.len() } else { 0 };
        let head = format!("{start} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n");
        let request = format!("{head}Content-Length: {length}\r\n\r\n{}", &body[..length]);
        exchange(&cluster, request.as_bytes())
    };
    let home = format!("Host: {own}\r\nOrigin: http://");
    for (start, headers, expected) in [
        ("POST /api/set", format!("Host: {own}"), "200"),
        ("POST /api/set", format!("{home}{own}"), "200"),
        ("POST /api/set", format!("{home}{}", own.replace("localhost", "127.0.0.1")), "200"),
        ("POST /api/set", format!("{home}evil.example"), "403"),
        ("GET /status", format!("{home}evil.example"), "403"),
        ("GET /events", format!("{home}localhost:1"), "403"),
        ("POST /api/set", format!("Host: {own}\r\nOrigin: null"), "403"),
        ("OPTIONS /api/set", format!("{home}evil.example"), "403"),
        ("POST /api/set", format!("Host: {own}\r\nSec-Fetch-Site: cross-site"), "403"),
        ("GET /status", "Host: evil.example".to_string(), "403"), // DNS rebinding
        ("POST /api/set", "Host: localhost.evil.example".to_string(), "403"),
        ("GET http://evil.example/status", format!("Host: {own}"), "403"),
    ] {
        let answer = status(start, &headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{headers}: {answer}");
        assert_eq!(expected == "403", !answer.contains("\"value\":\"1\""), "{answer}");
        assert!(expected == "200" || !answer.contains("Access-Control-Allow"), "{answer}");
    }
    let preflight = status("OPTIONS /api/set", &format!("{home}{own}"));
    assert!(preflight.starts_with("HTTP/1.1 204 "), "{preflight}");
    assert!(preflight.contains(&format!("Access-Control-Allow-Origin: http://{own}\r\n")));
    assert!(preflight.contains("Access-Control-Allow-Headers: Content-Type\r\n"), "{preflight}");
    assert_eq!(cluster.get("x"), "1");
}

// ---- HTTP itself -------------------------------------------------------------------------------

#[test]
fn http_is_spoken_in_all_its_forms() {
    let cluster = single_node();
    let own = cluster.address(1);
    let set = format!("POST /api/set HTTP/1.1\r\nHost: {own}\r\n");
    let chunks = "Transfer-Encoding: chunked\r\n\r\n\
         8\r\n{\"key\":\"\r\n11\r\né\",\"value\":\"ü\"}\r\n0\r\n\r\n";
    let head = format!("HEAD /api/get/%C3%A9 HTTP/1.1\r\nHost: {own}\r\n\r\n");
    let get = format!("GET /api/get/%C3%A9 HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n");
    let answers = exchange(&cluster, format!("{set}{chunks}{head}{get}").as_bytes());
    let found = r#"{"key":"é","value":"ü","found":true}"#;
    let parts: Vec<&str> = answers.split("HTTP/1.1 200 OK\r\n").collect();
    assert_eq!(parts.len(), 4, "three answers on one connection: {answers}");
    assert!(parts[1].ends_with(r#"{"key":"é","value":"ü","index":2,"term":1}"#), "{answers}");
    let length = format!("Content-Length: {}\r\n", found.len());
    assert!(parts[2].contains(&length) && parts[2].ends_with("\r\n\r\n"), "HEAD: {}", parts[2]);
    assert!(parts[3].contains(&length) && parts[3].ends_with(found), "{}", parts[3]);

    let mut stream = connect(&cluster, 1);
    let expects = "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 23\r\n\r\n";
    stream.write_all(format!("{set}{expects}").as_bytes()).expect("it reads");
    let mut invitation = [0; 25];
    stream.read_exact(&mut invitation).expect("an invitation");
    assert_eq!(&invitation, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(br#"{"key":"x","value":"1"}"#).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    let old = "GET /health HTTP/1.0\r\n\r\n"; // as a person types it into nc
    assert!(exchange(&cluster, old.as_bytes()).contains("\r\nConnection: close\r\n"));
}

#[test]
fn keys_and_values_may_be_any_text() {
    let cluster = single_node();
    let mut connection = Connection::open(&cluster.address(1), PATIENCE).expect("it listens");
    let megabyte = "\n\u{1f600}\"".repeat((1 << 20) / 6);
    for (key, value) in
        [("a b/c?d=e", "1"), ("@c:1 x", ""), ("ключ \"\n", &megabyte), ("=", " set x=1 ")]
    {
        let pair = Json::object([("key", key.into()), ("value", value.into())]).to_string();
        let set = connection.request("POST", "/api/set", Some(&pair), PATIENCE).expect("an answer");
        assert_eq!(set.status, 200, "{}", set.text());
        let path: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/api/get/{path}");
        let got = connection.request("GET", &path, None, PATIENCE).expect("an answer");
        let expected = format!("{},\"found\":true}}", pair.trim_end_matches('}'));
        assert!(got.status == 200 && got.text() == expected, "{key:?}: {:.100}", got.text());
    }
}

/// Requests that are scratched at random. Some do what they say, most are refused, and none may
/// hurt the node.
#[test]
fn malformed_requests_leave_the_node_alive() {
    let cluster = single_node();
    let own = cluster.address(1);
    let good = format!(
        "POST /api/set?a=%20b HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked\r\n\r\n\
         17\r\n{{\"key\":\"x\",\"value\":\"1\"}}\r\n0\r\n\r\n\
         POST /client_command HTTP/1.0\r\nContent-Length: 21\r\n\r\n{{\"command\":\"set x=2\"}}"
    );
    let mut random = Random(8);
    let mut below = |limit: usize| random.between(0, limit as u64 - 1) as usize;
    let mut refused = 0;
    for _ in 0..300 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=below(4) {
            let place = below(bytes.len());
            match below(4) {
                0 => bytes[place] = below(256) as u8,
                1 => bytes.insert(place, b"\r\n :;%\0,0{\xff"[below(11)]),
                2 => drop(bytes.drain(place..(place + 5).min(bytes.len() - 1))),
                _ => bytes.truncate(place + 1),
            }
        }
        let answer = exchange(&cluster, &bytes);
        let shown = String::from_utf8_lossy(&bytes);
        let is_peer = bytes[0] == b'{';
        let is_http = answer.is_empty() || answer.starts_with("HTTP/1.1 ");
        assert!(is_http || is_peer, "{shown}: {answer}");
        refused += usize::from(answer.starts_with("HTTP/1.1 4"));
        assert_eq!(ask(&cluster, 1, "GET", "/health", "").status, 200, "after {shown}");
    }
    assert!(refused >= 100, "only {refused} of them were malformed");
}

// ---- While leaders die -------------------------------------------------------------------------

/// Plays dead, or lives again.
fn pause(cluster: &Cluster, id: u64, paused: bool) {
    let reply = ask(cluster, id, "POST", "/api/pause", &format!("{{\"paused\":{paused}}}"));
    assert_eq!(
        (reply.status, &*reply.text()),
        (200, &*format!("{{\"id\":{id},\"paused\":{paused}}}"))
    );
}

fn others(cluster: &Cluster, id: u64) -> Vec<u64> {
    cluster.running().into_iter().filter(|&other| other != id).collect()
}

#[test]
fn followers_send_clients_to_the_leader_and_say_so_if_there_is_none() {
    let mut cluster = Cluster::started(3, "");
    let body = r#"{"key":"x","value":"1"}"#;
    wait_for("a follower that sends us to the leader, who does it", || {
        let leader = cluster.leader();
        let follower = others(&cluster, leader)[0];
        for (method, path) in
            [("POST", "/api/set"), ("GET", "/api/get/x%20y"), ("POST", "/api/heartbeat")]
        {
            let reply = ask(&cluster, follower, method, path, body);
            let location = format!("http://{}{path}", cluster.address(leader));
            let json = Json::parse(&reply.body).expect("JSON");
            let is_there = reply.status == 307 && reply.header("location") == Some(&location);
            if !is_there || text(&json, "leader_address") != cluster.address(leader) {
                return None; // The leader has changed.
            }
        }
        let local = ask(&cluster, follower, "GET", "/api/get/x?local=true", "");
        assert!(local.text().contains(r#""local":true"#), "{}", local.text());
        (ask(&cluster, leader, "POST", "/api/set", body).status == 200).then_some(())
    });
    let survivor = others(&cluster, cluster.leader())[0];
    (1..=3).filter(|&id| id != survivor).for_each(|id| cluster.kill(id));
    wait_for("no leader, and the advice to try again", || {
        let reply = ask(&cluster, survivor, "POST", "/api/set", body);
        (reply.status == 503).then(|| assert_eq!(reply.header("retry-after"), Some("1")))
    });
}

/// Nobody can know what became of a command whose leader lost its majority; with the same serial
/// it is safe to ask again.
#[test]
fn unknown_outcome_is_said_and_a_retry_counts_once() {
    let cluster = Cluster::started(3, "");
    let body = r#"{"key":"n","client":"c","serial":1}"#;
    let reply = wait_for("a leader without a majority", || {
        let leader = cluster.leader();
        others(&cluster, leader).into_iter().for_each(|id| pause(&cluster, id, true));
        let reply = ask(&cluster, leader, "POST", "/api/incr", body);
        others(&cluster, leader).into_iter().for_each(|id| pause(&cluster, id, false));
        // Anything else: it had lost its office before.
        (reply.status == 504).then_some(reply)
    });
    assert!(reply.text().contains(r#""outcome":"unknown""#), "{}", reply.text());
    for _ in 0..2 {
        let done = ask_leader(&cluster, "/api/incr", body);
        assert_eq!(number(&done, "value"), 1, "{done}");
    }
    assert_eq!(cluster.get("n"), "1");
}

#[test]
fn repeated_command_is_done_once_over_a_new_leader_and_a_restart() {
    let mut cluster = Cluster::started(3, "");
    let incr = |serial| format!(r#"{{"key":"n","by":5,"client":"c-1","serial":{serial}}}"#);
    let value = |cluster: &Cluster| number(&ask_leader(cluster, "/api/incr", &incr(1)), "value");
    assert_eq!(value(&cluster), 5);
    let leader = cluster.leader();
    cluster.kill(leader);
    assert_eq!(value(&cluster), 5, "the new leader remembers");
    cluster.running().into_iter().for_each(|id| cluster.kill(id));
    (1..=3).for_each(|id| cluster.start(id));
    assert_eq!(value(&cluster), 5, "all remember, from disk");
    let command = r#"{"command":"incr n 5","client":"c-1","serial":2}"#;
    for _ in 0..2 {
        assert_eq!(text(&ask_leader(&cluster, "/client_command", command), "result"), "10");
    }
    wait_for("the first serial is over", || {
        let reply = ask(&cluster, cluster.leader(), "POST", "/api/incr", &incr(1));
        (reply.status == 409).then_some(())
    });
    assert_eq!(cluster.get("n"), "10");
}

#[test]
fn paused_leader_is_replaced_and_comes_back_as_a_follower() {
    let cluster = Cluster::started(3, "");
    let (old, term) = wait_for("a leader that plays dead", || {
        let leader = cluster.leader();
        pause(&cluster, leader, true);
        let status = cluster.status(leader).expect("it answers");
        if text(&status, "role") == "leader" {
            return Some((leader, number(&status, "current_term")));
        }
        pause(&cluster, leader, false);
        None
    });
    let health = ask(&cluster, old, "GET", "/health", "");
    assert!(health.text().contains(r#""status":"paused""#), "{}", health.text());
    let reply = ask(&cluster, old, "POST", "/api/set", r#"{"key":"x","value":"1"}"#);
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    let new = cluster.leader_among(&others(&cluster, old));
    assert_ne!(new, old);
    ask_leader(&cluster, "/api/set", r#"{"key":"x","value":"2"}"#);
    let status = cluster.status(old).expect("it answers");
    assert_eq!(number(&status, "current_term"), term, "it heard nothing of all that");

    pause(&cluster, old, false);
    cluster.wait_until_equal();
    let status = cluster.status(old).expect("it answers");
    assert!(number(&status, "current_term") > term, "{status}");
}

/// Cuts, or heals, every link between this node and the others, at both of its ends.
fn cut(cluster: &Cluster, id: u64, blocked: bool) {
    for other in others(cluster, id) {
        for (from, to) in [(id, other), (other, id)] {
            let body = format!(r#"{{"peer":{to},"blocked":{blocked}}}"#);
            let reply = ask(cluster, from, "POST", "/api/links", &body);
            let link = format!(r#"{{"peer":{to},"blocked":{blocked},"drop":0,"delay_ms":0}}"#);
            assert!(reply.status == 200 && reply.text().contains(&link), "{}", reply.text());
        }
    }
}

#[test]
fn leader_that_is_cut_off_is_replaced_and_joins_again() {
    let cluster = Cluster::started(3, "");
    let old = cluster.leader();
    cut(&cluster, old, true);
    let links = ask(&cluster, old, "GET", "/api/links", "");
    assert_eq!(links.text().matches(r#""blocked":true"#).count(), 2, "{}", links.text());
    let rest = others(&cluster, old);
    cluster.leader_among(&rest);
    ask_leader(&cluster, "/api/set", r#"{"key":"x","value":"new"}"#);
    // Whatever it believes, it cannot answer.
    let read = ask(&cluster, old, "GET", "/api/get/x", "");
    assert_ne!(read.status, 200, "{}", read.text());
    cut(&cluster, old, false);
    cluster.leader();
    cluster.wait_until_equal();
    assert_eq!(cluster.get("x"), "new");
}

#[test]
fn bad_link_slows_a_cluster_and_does_not_stop_it() {
    let cluster = Cluster::started(3, "");
    let leader = cluster.leader();
    for (peer, link) in others(&cluster, leader).into_iter().zip(["\"drop\":50", "\"delay_ms\":20"])
    {
        let body = format!("{{\"peer\":{peer},{link}}}");
        let reply = ask(&cluster, leader, "POST", "/api/links", &body);
        assert!(reply.text().contains(link), "{}", reply.text());
    }
    for value in 0..5 {
        cluster.set("x", &value.to_string());
    }
    assert_eq!(cluster.get("x"), "4");
}

/// What the node tells over `/events`, line by line, until patience is over.
fn subscribe(cluster: &Cluster, id: u64) -> impl Iterator<Item = String> + use<> {
    let mut stream = connect(cluster, id);
    let host = cluster.address(id);
    write!(stream, "GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("it reads");
    // A stream that says nothing else is kept alive by comments: it would never come to its end.
    let end = Instant::now() + PATIENCE;
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(move |_| Instant::now() < end)
}

#[test]
fn subscribers_see_an_election_when_the_leader_is_killed() {
    let mut cluster = Cluster::started(3, "");
    cluster.leader();
    let (sender, seen) = mpsc::channel();
    for id in cluster.running() {
        let (mut lines, sender) = (subscribe(&cluster, id), sender.clone());
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        assert!(head.contains(&"Content-Type: text/event-stream".to_string()), "{head:?}");
        assert_eq!(lines.next().as_deref(), Some("event: status"));
        let status = lines.next().expect("the status");
        let status = Json::parse(status.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(number(&status, "id"), id);
        thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
    }
    let leader = cluster.leader();
    let mut names: Vec<String> = Vec::new();
    seen.try_iter().for_each(drop); // how it came to lead
    cluster.kill(leader);
    loop {
        let line = seen.recv_timeout(PATIENCE).expect("an election");
        names.extend(line.strip_prefix("event: ").map(str::to_string));
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let told = Json::parse(data).expect("JSON");
        let what = told.get("text").and_then(Json::as_str).unwrap_or_default();
        if what.starts_with("CANDIDATE → LEADER") {
            assert_eq!(text(&told, "kind"), "transition");
            assert!(text(&told, "cites").contains("§5.2"), "{told}");
            break;
        }
    }
    assert!(names.contains(&"event".to_string()) && names.contains(&"message".to_string()));
    let known = ["state", "event", "message", "messages"];
    assert!(names.iter().all(|name| known.contains(&&**name)), "{names:?}");
}

/// The data of the next notice of this name.
fn next_notice(lines: &mut impl Iterator<Item = String>, name: &str) -> Json {
    let first = format!("event: {name}");
    let found = lines.find(|line| *line == first);
    assert!(found.is_some(), "waited in vain: a notice {name}");
    let data = lines.next().expect("data");
    Json::parse(data.strip_prefix("data: ").expect("data")).expect("JSON")
}

/// A node that nothing happens to tells nothing; then, of each change, all but the log and sizes.
#[test]
fn subscribers_are_told_the_state_when_it_changes() {
    let (cluster, _process) = alone_with_its_student();
    let mut lines = subscribe(&cluster, 1);
    let status = next_notice(&mut lines, "status");
    assert_eq!(status.get("paused"), Some(&Json::Bool(false)));
    for paused in [true, false] {
        pause(&cluster, 1, paused);
        let state = loop {
            let state = next_notice(&mut lines, "state");
            if state.get("paused") == Some(&Json::Bool(paused)) {
                break state;
            }
        };
        let Json::Object(all) = &status else { panic!("no object: {status}") };
        let Json::Object(told) = &state else { panic!("no object: {state}") };
        let names: Vec<_> = told.iter().map(|(name, _)| name).collect();
        let expected = all.iter().map(|(name, _)| name);
        let expected: Vec<_> =
            expected.filter(|name| !["log", "data_bytes"].contains(&&***name)).collect();
        assert_eq!(names, expected);
    }
    // Many changes at once: the last is told, however soon it comes after the one before.
    for delay_ms in 1..=20 {
        let link = format!(r#"{{"peer":2,"delay_ms":{delay_ms}}}"#);
        ask(&cluster, 1, "POST", "/api/links", &link);
    }
    let mut told = 0;
    loop {
        told += 1;
        if next_notice(&mut lines, "state").to_string().contains(r#""delay_ms":20"#) {
            break;
        }
    }
    assert!(told < 20, "it was told {told} times");
}

/// On a node that nothing happens to, so that there is no other occasion to find out who has gone.
#[test]
fn subscribers_that_have_gone_make_room() {
    let (cluster, _process) = alone_with_its_student();
    pause(&cluster, 1, true);
    for _ in 0..70 {
        let first = subscribe(&cluster, 1).next().expect("an answer");
        assert!(first.starts_with("HTTP/1.1 "), "{first}");
    }
    wait_for("the next is let in", || {
        (subscribe(&cluster, 1).next().expect("an answer") == "HTTP/1.1 200 OK").then_some(())
    });
}

// ---- Many connections --------------------------------------------------------------------------

const ADDRESS: &str = "RAFTLET_TEST_ADDRESS";
const WORDS: &str = "RAFTLET_TEST_WORDS";

/// Not a test: the process that opens connections for those below. One may open only so many.
#[test]
#[ignore = "is run by other tests"]
fn four_hundred_connections() {
    let (Ok(address), Ok(words)) = (std::env::var(ADDRESS), std::env::var(WORDS)) else { return };
    let mut connections = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(&address).expect("the system takes it");
        let _ = stream.write_all(words.as_bytes());
        connections.push(stream);
    }
    println!("\n{} are in", connections.len());
    let _ = std::io::stdin().read(&mut [0]); // until our parent has seen enough
}

/// Four hundred connections; on each these words are said, and then nothing.
fn four_hundred(address: &str, words: &str) -> Child {
    let itself = std::env::current_exe().expect("the test is a file");
    let mut child = Command::new(&itself);
    child.args(["four_hundred_connections", "--exact", "--ignored", "--nocapture"]);
    child.env(ADDRESS, address).env(WORDS, words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("this test can run itself");
    let lines = BufReader::new(child.stdout.as_mut().expect("it is piped")).lines();
    let found = lines.map_while(Result::ok).find(|line| line.ends_with("are in"));
    assert_eq!(found.as_deref(), Some("400 are in"));
    child
}

/// The leader has more connections than it has room for; its peers and its clients get through.
fn full_node_serves_peers_and_clients(words: &str) {
    let cluster = Cluster::started(3, "");
    let address = cluster.address(cluster.leader());
    let children = [(); 3].map(|()| four_hundred(&address, words));
    let mut client = Client::new(vec![address], PATIENCE, |_| {});
    for value in 0..20 {
        client.command(&format!("set x={value}")).expect("it is served");
    }
    assert_eq!(cluster.get("x"), "19");
    for mut child in children {
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }
}

#[test]
fn silent_connections_starve_nobody() {
    full_node_serves_peers_and_clients("");
}

#[test]
fn idle_connections_starve_nobody() {
    full_node_serves_peers_and_clients("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

/// A sender who has all the time in the world; gives the beginning of the answer.
fn send_slowly(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a duration");
    let mut answer = [0; 12];
    for byte in "GET /status HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'x')) {
        // Once the node has answered and gone, writing fails and reading does not.
        let _ = stream.write_all(&[byte]);
        if stream.read_exact(&mut answer).is_ok() {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn slow_sender_is_cut_short_while_others_are_served() {
    let cluster = single_node();
    let slow = connect(&cluster, 1);
    let slow = thread::spawn(move || send_slowly(slow));
    let mut served = 0;
    while !slow.is_finished() {
        cluster.set("x", &served.to_string());
        served += 1;
    }
    assert_eq!(slow.join().expect("no panic"), "HTTP/1.1 408");
    assert!(served > 0);
}
