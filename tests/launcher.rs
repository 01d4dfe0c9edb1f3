//! The launcher, `raftlet` alone with its nodes: kills and starts them over HTTP, refuses
//! strangers, and ends when it should. Real processes, as in tests/cluster.rs.

mod support;

use std::net::TcpStream;
use std::process::Command;

use raftlet::http::client::{self, Reply};
use raftlet::json::Json;
use support::curl::Curl;
use support::{Cluster, PATIENCE, Process, number, raftlet, wait_for};

/// A cluster, the process that has started it, and where that is asked.
struct Launched {
    cluster: Cluster,
    parent: Process,
    address: String,
}

impl Launched {
    fn new(nodes: u64, option: &str) -> Launched {
        let cluster = Cluster::new(nodes, "");
        let (config, data) = (cluster.config(), cluster.data());
        let words = ["--fast", option, "--config", &config, "--data", &data];
        let parent = Process::start(&mut raftlet(&words));
        let address = wait_for("a node that names its launcher", || {
            Some(cluster.status(1)?.get("launcher")?.as_str()?.to_string())
        });
        Launched { cluster, parent, address }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        let reply = client::request(method, &self.address, path, body, PATIENCE);
        reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Kills a node, or starts it; gives its process's number, if it has one then.
    fn set_running(&self, id: u64, running: bool) -> Option<u64> {
        let body = format!(r#"{{"id":{id},"running":{running}}}"#);
        let reply = self.ask("POST", "/processes", Some(&body));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let process = process_of(&reply, id);
        assert_eq!(process.is_some(), running, "{}", reply.text());
        process
    }

    fn process_of(&self, id: u64) -> Option<u64> {
        process_of(&self.ask("GET", "/processes", None), id)
    }
}

/// The number of a node's process, if it runs.
fn process_of(reply: &Reply, id: u64) -> Option<u64> {
    let json = Json::parse(&reply.body).expect("JSON");
    let all = json.get("processes").and_then(Json::as_array).expect("processes");
    let of_node = all.iter().find(|process| number(process, "id") == id).expect("the node");
    let process = of_node.get("process").expect("a number or null").as_u64();
    assert_eq!(of_node.get("running"), Some(&Json::Bool(process.is_some())), "{json}");
    process
}

/// Sends a signal to the process of this number, as someone else would.
fn signal(name: &str, process: u64) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status();
    assert!(sent.expect("kill").success());
}

#[test]
fn node_killed_over_http_is_replaced_and_comes_back_with_its_log() {
    let launched = Launched::new(3, "--fresh");
    let Launched { cluster, parent, .. } = &launched;
    cluster.set("x", "1");
    let old = cluster.leader_among(&[1, 2, 3]);
    let process = launched.process_of(old).expect("it runs");
    launched.set_running(old, false);
    assert!(cluster.status(old).is_none(), "it is dead");
    launched.set_running(old, false); // a second click
    parent.wait_for_line(&format!("n{old}  killed over HTTP (process {process})"));
    let others: Vec<u64> = (1..=3).filter(|&id| id != old).collect();
    let new = cluster.leader_among(&others);
    cluster.set("x", "2");

    let process = launched.set_running(old, true).expect("it runs");
    assert_eq!(launched.set_running(old, true), Some(process), "a second click");
    parent.wait_for_line(&format!("n{old}  started again over HTTP (process {process})"));
    parent.wait_for_line(" entries up to "); // which were not forgotten, for all that --fresh says
    wait_for("the same log on the node that is back", || {
        let (old, new) = (cluster.status(old)?, cluster.status(new)?);
        let is_same = |name| old.get(name) == new.get(name);
        let told = old.get("launcher")?.as_str()? == launched.address;
        (told && ["log", "last_applied", "leader"].into_iter().all(is_same)).then_some(())
    });
    assert_eq!(cluster.get("x"), "2");
}

#[test]
fn launcher_stays_for_the_nodes_it_killed_and_ends_with_the_others() {
    let mut launched = Launched::new(2, "--verbose");
    launched.cluster.set("x", "1");
    let invitation = format!("Open http://{}/ in a browser", launched.cluster.address(1));
    assert_eq!(launched.parent.text().matches(&invitation).count(), 1, "not from each node");
    signal("-STOP", launched.process_of(1).expect("it runs")); // it would do nothing it is told
    launched.set_running(1, false);
    assert!(TcpStream::connect(launched.cluster.address(1)).is_err(), "it is dead");
    signal("-KILL", launched.process_of(2).expect("it runs"));
    launched.parent.wait_for_line("n2 has ended");
    assert_eq!(launched.process_of(2), None);
    // None runs, and it is still there.
    let processes = [1, 2].map(|id| launched.set_running(id, true).expect("it runs"));
    assert_eq!(launched.cluster.get("x"), "1");

    processes.into_iter().for_each(|process| signal("-KILL", process));
    assert_eq!(launched.parent.exit_code(), Some(1));
    launched.parent.wait_for_line("2 of 2 nodes failed");
}

#[test]
fn node_that_cannot_start_again_is_told_and_harms_nobody() {
    let launched = Launched::new(1, "--verbose");
    launched.set_running(1, false);
    let words =
        ["1", "--fast", "--config", &launched.cluster.config(), "--data", &launched.cluster.data()];
    let elsewhere = Process::start(&mut raftlet(&words)); // in another terminal
    elsewhere.wait_for_line(&format!("Open http://{}/ in a browser", launched.cluster.address(1)));
    elsewhere.wait_for_line("started on");
    launched.set_running(1, true);
    launched.parent.wait_for_line("is node 1 already running?");
    launched.parent.wait_for_line("n1 has ended");
    assert!(launched.cluster.status(1).is_some(), "the other goes on");
}

/// What a browser would send for a page that is not the cluster's, and other mistakes.
#[test]
fn strangers_and_mistakes_are_refused() {
    let launched = Launched::new(1, "--verbose");
    let process = launched.process_of(1).expect("it runs");
    let (address, member) = (&launched.address, launched.cluster.address(1));
    let kill = r#"-d '{"id":1,"running":false}'"#;
    for (rest, status) in [
        (format!("-H 'Origin: http://evil.example' {kill}"), 403),
        (format!("-H 'Origin: null' {kill}"), 403),
        (format!("-H 'Host: evil.example' {kill}"), 403),
        (format!("-H 'Sec-Fetch-Site: cross-site' {kill}"), 403),
        ("-H 'Origin: http://evil.example' -X OPTIONS".to_string(), 403),
        (format!("-H 'Origin: http://{member}' -X OPTIONS"), 204),
        (format!("-H 'Origin: http://{member}'"), 200),
        ("-X DELETE".to_string(), 405),
    ] {
        let command = format!("curl -i {address}/processes {rest}");
        let answer = Curl::parse(&command).expect(&command).output();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{command}: {answer}");
        let shared = format!("Access-Control-Allow-Origin: http://{member}\n");
        assert_eq!(answer.contains(&shared), rest.contains(&member), "{command}: {answer}");
    }
    for (body, part) in [
        ("", "the body is empty"),
        (r#"{"id":1}"#, "\"running\" must be true or false"),
        (r#"{"id":1,"running":0}"#, "\"running\" must be true or false"),
        (r#"{"id":2,"running":false}"#, "\"id\" must be the number of a node"),
        (r#"{"id":"1","running":false}"#, "\"id\" must be the number of a node"),
    ] {
        let reply = launched.ask("POST", "/processes", Some(body));
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        let shows = r#"send {\"id\":2,\"running\":false}"#;
        assert!(reply.text().contains(shows), "{}", reply.text());
        let why = Json::parse(&reply.body).expect("JSON");
        let why = why.get("error").and_then(Json::as_str).expect("an error");
        assert!(why.contains(part), "{body}: {why}");
    }
    let page = launched.cluster.http(1, "GET", "/", None).expect("an answer");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains(&format!(" http://{address};")), "the page may ask it: {policy}");
    let reply = launched.ask("GET", "/", None);
    assert!(reply.status == 404 && reply.text().contains("GET /processes"), "{}", reply.text());
    assert_eq!(launched.process_of(1), Some(process), "it has survived all that");
}
