//! Nodes without a file, as in containers: real processes that know of each other by their
//! environment alone.

mod support;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use raftlet::json::Json;
use support::{Cluster, Process, raftlet, text, wait_for};

/// What starts the node of this environment, far from any other registry: in the directory of the
/// test stands a cluster.toml for nodes by the same numbers, which do not run.
fn node(cluster: &Cluster, id: u64, variables: &[(&str, &str)]) -> Command {
    let mut command = raftlet(&["--fast"]);
    command.current_dir(&cluster.scratch.0).env("NODE_ID", id.to_string());
    command.envs(variables.iter().copied());
    command
}

/// Starts a node on its port of the cluster.
fn start(cluster: &mut Cluster, id: u64, peers: &str, more: &[(&str, &str)]) {
    let port = port(cluster, id);
    let variables = [&[("PORT", &port[..]), ("PEERS", peers)], more].concat();
    let process = Process::start(&mut node(cluster, id, &variables));
    cluster.adopt(id, process);
}

fn port(cluster: &Cluster, id: u64) -> String {
    let address = cluster.address(id);
    address.rsplit_once(':').expect("an address has a port").1.to_string()
}

/// The address of a node, as its peers write it.
fn at(cluster: &Cluster, id: u64) -> String {
    format!("127.0.0.1:{}", port(cluster, id))
}

#[test]
fn five_nodes_by_environment_alone_elect_and_replicate() {
    let mut cluster = Cluster::new(5, "");
    fs::write(cluster.scratch.0.join("cluster.toml"), "no registry").expect("the scratch");
    for id in 1..=5 {
        let peers = (1..=5).filter(|&peer| peer != id);
        // Without ids, in order; with ids, in any order; and the same list for several nodes.
        let peers: Vec<String> = match id {
            1 | 2 => peers.map(|peer| at(&cluster, peer)).collect(),
            3 => peers.rev().map(|peer| format!("{peer}={}", at(&cluster, peer))).collect(),
            _ => (1..=5).map(|peer| format!("{peer}={}", at(&cluster, peer))).collect(),
        };
        start(&mut cluster, id, &peers.join(","), &[]);
    }
    let leader = cluster.leader();
    let variables = (1..=5).map(|peer| format!("{peer}={}", at(&cluster, peer)));
    let peers = variables.collect::<Vec<_>>().join(",");
    // The verbs know the cluster by the same environment.
    let mut set = raftlet(&["set", "x", "42"]);
    set.current_dir(&cluster.scratch.0).envs([("NODE_ID", "1"), ("PEERS", &peers)]);
    let set = set.output().expect("the built binary can be started");
    assert!(text(&set.stdout).starts_with("ok"), "{}", text(&set.stderr));

    cluster.kill(leader);
    cluster.set("x", "43");
    start(&mut cluster, leader, &peers, &[]);
    cluster.leader();
    assert_eq!(cluster.get("x"), "43");
    cluster.wait_until_equal();
    for id in cluster.running() {
        let log = cluster.status(id).expect("it runs").to_string();
        assert!(log.contains("set x=42") && log.contains("set x=43"), "{log}");
        assert!(cluster.scratch.0.join(format!("data/{id}")).is_dir(), "data/{id}");
    }
}

#[test]
fn second_node_of_one_id_is_refused_and_told_why() {
    let mut cluster = Cluster::new(3, "");
    let [one, two] = [1, 2].map(|id| at(&cluster, id));
    start(&mut cluster, 1, &two, &[]);
    start(&mut cluster, 2, &one, &[]);
    let leader = cluster.leader();
    let mut second = raftlet(&["--fast", "--data", "elsewhere"]);
    second.current_dir(&cluster.scratch.0).envs([
        ("NODE_ID", "2"),
        ("PORT", &port(&cluster, 3)),
        ("PEERS", &one),
    ]);
    let second = Process::start(&mut second);
    let line = second.wait_for_line("unreachable at");
    assert!(line.contains("another node 2 speaks from"), "{line}");
    cluster.set("x", "1");
    assert_eq!(cluster.leader(), leader, "the second one disturbs nobody");
}

#[test]
fn redirect_leads_to_what_the_leader_advertises() {
    let mut cluster = Cluster::new(3, "");
    for id in 1..=3 {
        let peers: Vec<String> =
            (1..=3).map(|peer| format!("{peer}={}", at(&cluster, peer))).collect();
        let advertise = format!("node{id}.example:80");
        let advertise = if id == 3 { "" } else { &advertise };
        start(&mut cluster, id, &peers.join(","), &[("ADVERTISE", advertise)]);
    }
    for _ in 0..2 {
        let leader = cluster.leader();
        let expected = match leader {
            3 => at(&cluster, 3),
            id => format!("node{id}.example:80"),
        };
        let follower = cluster.running().into_iter().find(|&id| id != leader);
        let follower = follower.expect("there are two or three");
        wait_for(&format!("a redirect to {expected}"), || {
            let body = r#"{"command":"get x"}"#;
            let reply = cluster.http(follower, "POST", "/client_command", Some(body))?;
            (reply.status == 307 && reply.text().contains(&expected)).then_some(())
        });
        cluster.kill(leader); // and now the same of another one
    }
}

/// What a node binds is seen from what is left: no two can have one port of an address. (Only
/// Linux has more addresses of loopback than one without asking.)
#[cfg(target_os = "linux")]
#[test]
fn node_binds_loopback_if_its_peers_are_there_or_what_host_says() {
    let is_free = |host: &str, cluster: &Cluster| {
        TcpListener::bind(format!("{host}:{}", port(cluster, 1))).is_ok()
    };
    let cases = [
        ("localhost:9", "", [false, true]),
        ("localhost:9", "127.0.0.2", [true, false]),
        ("localhost:9", "0.0.0.0", [false, false]),
        ("node2.invalid:9", "", [false, false]),
        ("node2.invalid:9", "127.0.0.1", [false, true]),
    ];
    for (peers, host, expected) in cases {
        let mut cluster = Cluster::new(1, "");
        start(&mut cluster, 1, peers, &[("HOST", host)]);
        cluster.process(1).wait_for_line("started on");
        let free = ["127.0.0.1", "127.0.0.2"].map(|host| is_free(host, &cluster));
        assert_eq!(free, expected, "PEERS={peers} HOST={host}");
    }
}

#[test]
fn one_node_alone_is_a_cluster() {
    let mut cluster = Cluster::new(1, "");
    let port = port(&cluster, 1);
    let process = Process::start(&mut node(&cluster, 1, &[("PORT", &port)]));
    cluster.adopt(1, process);
    assert_eq!(cluster.leader(), 1);
    cluster.set("x", "1");
    assert_eq!(cluster.get("x"), "1");
}

#[test]
fn config_on_the_command_line_is_above_the_environment() {
    let mut cluster = Cluster::new(1, "");
    let (config, data) = (cluster.config(), cluster.data());
    let mut command = raftlet(&["1", "--fast", "--config", &config, "--data", &data]);
    command.envs([("NODE_ID", "2"), ("PEERS", "not an address")]);
    cluster.adopt(1, Process::start(&mut command));
    assert_eq!(cluster.leader(), 1);
    let status = cluster.status(1).expect("it runs");
    let peers = status.get("peers").and_then(Json::as_array);
    assert_eq!(peers.map(<[Json]>::len), Some(0));
}

#[test]
fn wrong_environment_is_a_usage_error_in_one_line() {
    let cases = [
        ("", ["one", ""], "NODE_ID: `one` is not a node's id"),
        ("status", ["", "a:1"], "PEERS is set, but NODE_ID is not"),
        ("2", ["1", "a:1"], "NODE_ID is 1, so this is not node 2"),
    ];
    for (words, [id, peers], expected) in cases {
        let words: Vec<&str> = words.split_whitespace().collect();
        let mut command = raftlet(&words);
        let output = command.env("NODE_ID", id).env("PEERS", peers).output();
        let output = output.expect("the built binary can be started");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.starts_with(&format!("raftlet: {expected}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
