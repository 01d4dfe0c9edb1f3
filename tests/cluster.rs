//! Real clusters: processes of the built binary that elect, crash, restart and lose messages, as a
//! student sees them in three terminals. Ports and directories are the tests' own.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use raftlet::client::Client;
use raftlet::json::Json;
use raftlet::node::step::Random;
use support::{Cluster, PATIENCE, Process, number, raftlet, run, text, wait_for};

#[test]
fn three_nodes_elect_a_leader_and_say_why() {
    let mut cluster = Cluster::started(3, "");
    let leader = cluster.leader();
    let line = cluster.process(leader).wait_for_line("CANDIDATE → LEADER");
    assert!(line.contains("of 3 (Candidates 2, §5.2)"), "{line}");
    cluster.process(leader).wait_for_line("FOLLOWER  → CANDIDATE  no word from a leader for ");
    cluster.process(leader).wait_for_line("Sending heartbeat... to n");
    for id in cluster.running().into_iter().filter(|&id| id != leader) {
        cluster.process(id).wait_for_line(&format!("follows n{leader}"));
    }
}

#[test]
fn killed_leader_is_replaced_and_catches_up_when_it_is_back() {
    let mut cluster = Cluster::started(3, "");
    cluster.set("x", "1");
    let old = cluster.leader();
    cluster.kill(old);
    // The verbs retry until there is a new leader.
    let written = cluster.verb(&["set", "x", "2"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert!(text(&written.stdout).starts_with("ok (entry "), "{}", text(&written.stdout));
    let read = cluster.verb(&["get", "x"]);
    assert_eq!((read.status.code(), &text(&read.stdout)[..]), (Some(0), "2\n"));
    let missing = cluster.verb(&["get", "y"]);
    assert_eq!((missing.status.code(), &text(&missing.stdout)[..]), (Some(1), ""));
    let new = cluster.leader();
    assert_ne!(new, old);

    cluster.start(old);
    cluster.process(old).wait_for_line("recovered ");
    cluster.process(old).wait_for_line("follows n");
    cluster.wait_until_equal();
    let status = cluster.status(old).expect("it runs");
    let log = status.get("log").and_then(Json::as_array).expect("a log");
    let commands = log.iter().filter_map(|entry| entry.get("command").and_then(Json::as_str));
    assert_eq!(commands.filter(|command| command.starts_with("set")).count(), 2);
}

#[test]
fn minority_makes_no_progress_and_majority_does_again() {
    let mut cluster = Cluster::started(3, "");
    cluster.set("x", "1");
    let (leader, others) = leave_the_leader_alone(&mut cluster);

    let body = r#"{"command":"set x=2"}"#;
    let reply = cluster.http(leader, "POST", "/client_command", Some(body)).expect("an answer");
    assert_eq!(reply.status, 504, "{}", reply.text());
    assert!(reply.text().contains(r#""outcome":"unknown""#), "{}", reply.text());
    let read = r#"{"command":"get x"}"#;
    let reply = cluster.http(leader, "POST", "/client_command", Some(read)).expect("an answer");
    assert_eq!(reply.status, 504, "a read needs a majority, too: {}", reply.text());
    let committed = number(&cluster.status(leader).expect("it runs"), "commit_index");
    let last = number(&cluster.status(leader).expect("it runs"), "last_log_index");
    assert_eq!(last, committed + 1, "the entry is in the log and not committed");

    cluster.start(others[0]);
    cluster.set("x", "3");
    assert_eq!(cluster.get("x"), "3");
}

/// Kills all but the leader; returns it, and the others.
fn leave_the_leader_alone(cluster: &mut Cluster) -> (u64, Vec<u64>) {
    loop {
        let leader = cluster.leader();
        let others: Vec<u64> = cluster.running().into_iter().filter(|&id| id != leader).collect();
        others.iter().for_each(|&id| cluster.kill(id));
        let status = cluster.status(leader).expect("it runs");
        if status.get("role").and_then(Json::as_str) == Some("leader") {
            return (leader, others);
        }
        // It was deposed in the last moment, as may be on a machine that stood still for a while.
        others.iter().for_each(|&id| cluster.start(id));
    }
}

#[test]
fn candidate_without_a_majority_says_so() {
    let mut cluster = Cluster::new(5, "");
    cluster.start(1);
    let line = cluster.process(1).wait_for_line("1 of 5 votes, 3 needed");
    assert!(line.contains("no majority can be reached"), "{line}");
    let line = cluster.process(1).wait_for_line("n2 is unreachable at localhost:");
    assert!(line.contains("refused"), "{line}");
    cluster.start(2);
    cluster.process(1).wait_for_line("n2 is reachable");
    let told = cluster.process(1).text();
    assert_eq!(told.matches("n2 is unreachable").count(), 1, "once, not every time:\n{told}");
}

#[test]
fn five_nodes_survive_two_deaths() {
    let mut cluster = Cluster::started(5, "");
    for round in 0..2 {
        cluster.set("round", &round.to_string());
        let leader = cluster.leader();
        cluster.kill(leader);
    }
    cluster.set("round", "2");
    assert_eq!(cluster.get("round"), "2");
    assert_eq!(cluster.running().len(), 3);
    cluster.wait_until_equal();
}

#[test]
fn single_node_elects_itself_and_remembers() {
    let mut cluster = Cluster::started(1, "");
    cluster.set("x", "7");
    cluster.kill(1);
    cluster.start(1);
    assert_eq!(cluster.get("x"), "7");
}

#[test]
fn udp_with_heavy_loss_serves_its_clients() {
    let cluster = Cluster::started(3, "[transport]\nkind = \"udp\"\ndrop_percent = 30\n");
    for value in 0..20 {
        cluster.set("x", &value.to_string());
        assert_eq!(cluster.get("x"), value.to_string());
    }
    let body = format!("{{\"command\":\"set x={}\"}}", "v".repeat(100_000));
    let leader = cluster.leader();
    let reply = cluster.http(leader, "POST", "/client_command", Some(&body)).expect("an answer");
    assert_eq!(reply.status, 413, "what fits no datagram must not get into the log");
    cluster.wait_until_equal();
}

/// Writers write without a pause while nodes die at random. What was acknowledged is there in
/// the end: a writer's key counts its writes, so no lower number than the last acknowledged may
/// be read.
#[test]
fn acknowledged_writes_survive_twenty_rounds_of_kill_9() {
    let mut cluster = Cluster::started(3, "");
    cluster.leader();
    let addresses: Vec<String> = (1..=3).map(|id| cluster.address(id)).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (addresses, stop) = (addresses.clone(), Arc::clone(&stop));
            thread::spawn(move || write_until(&stop, addresses, writer))
        })
        .collect();

    let mut random = Random(20);
    for _ in 0..20 {
        let victim = random.between(1, 3);
        cluster.kill(victim);
        cluster.set("round", &victim.to_string()); // a majority is left: it goes on
        cluster.start(victim);
        cluster.process(victim).wait_for_line("recovered ");
    }
    stop.store(true, Ordering::Relaxed);
    for (writer, thread) in writers.into_iter().enumerate() {
        let acknowledged = thread.join().expect("no writer panics");
        assert!(acknowledged > 0, "writer {writer} was never served");
        let found: u64 = cluster.get(&format!("w{writer}")).parse().expect("a number");
        assert!(
            found >= acknowledged,
            "writer {writer}: {acknowledged} acknowledged, {found} left"
        );
    }
    cluster.wait_until_equal();
}

/// Writes 1, 2, 3… to a key of its own, and returns the last that was acknowledged.
fn write_until(stop: &AtomicBool, addresses: Vec<String>, writer: u64) -> u64 {
    let mut client = Client::new(addresses, PATIENCE, |_| {});
    let mut value = 0;
    while !stop.load(Ordering::Relaxed) {
        client.command(&format!("set w{writer}={}", value + 1)).expect("served in the end");
        value += 1;
    }
    value
}

#[test]
fn all_nodes_start_in_one_terminal_and_none_outlives_it() {
    let cluster = Cluster::new(3, "");
    let (config, data) = (cluster.config(), cluster.data());
    let words = ["--fast", "--config", &config, "--data", &data];
    let mut parent = Process::start(&mut raftlet(&words));
    parent.wait_for_line("CANDIDATE → LEADER");
    let members = || (1..=3).filter(|&id| cluster.status(id).is_some()).count();
    wait_for("three nodes that answer", || (members() == 3).then_some(()));
    let line = parent.wait_for_line("Starting n1 (process ");
    let n3 = line.rsplit("(process ").next().and_then(|rest| rest.split(')').next());
    let killed = Command::new("kill").args(["-9", n3.expect("its number")]).status();
    assert!(killed.expect("kill").success());
    let line = parent.wait_for_line("n3  has ended (");
    assert!(line.contains("raftlet 3 --config"), "{line}");
    parent.kill(); // as a terminal that is closed, or worse: nothing tells the children
    wait_for("no node that answers", || (members() == 0).then_some(()));
}

#[test]
fn second_process_of_a_node_is_told() {
    let cluster = Cluster::started(1, "");
    cluster.leader();
    let (config, data) = (cluster.config(), cluster.data());
    let same = run(&["1", "--config", &config, "--data", &data]);
    assert_eq!(same.status.code(), Some(1));
    assert!(text(&same.stderr).contains("is node 1 already running?"), "{}", text(&same.stderr));
    assert_eq!(text(&same.stdout), "", "it invites nobody to the other");

    let elsewhere = format!("{data}-2");
    let port = run(&["1", "--config", &config, "--data", &elsewhere]);
    assert_eq!(port.status.code(), Some(1));
    let told = text(&port.stderr);
    assert!(told.contains(&cluster.address(1)) && told.contains("is node 1 already"), "{told}");
}

#[test]
fn fresh_forgets_nothing_if_the_node_cannot_start() {
    let mut cluster = Cluster::started(1, "");
    cluster.set("x", "1");
    cluster.kill(1);
    let taken = TcpListener::bind(cluster.address(1)).expect("the node has gone");
    let (config, data) = (cluster.config(), cluster.data());
    let output = run(&["1", "--fresh", "--config", &config, "--data", &data]);
    assert_eq!(output.status.code(), Some(1));
    drop(taken);
    cluster.start(1);
    assert_eq!(cluster.get("x"), "1");
}

#[test]
fn torn_log_is_cut_and_damage_stops_the_node() {
    let mut cluster = Cluster::started(1, "");
    cluster.set("x", "1");
    cluster.kill(1);
    let path = cluster.scratch.0.join("data/1/RaftLog.txt");
    let whole = fs::read_to_string(&path).expect("the log is text");

    fs::write(&path, format!("{whole}         1 |    99")).expect("it can be written");
    cluster.start(1);
    cluster.process(1).wait_for_line("only partly written");
    assert_eq!(cluster.get("x"), "1");
    cluster.kill(1);

    fs::write(&path, whole.replace("set x=1", "set x=9")).expect("it can be written");
    cluster.start(1);
    assert_eq!(cluster.process(1).exit_code(), Some(1));
    let line = cluster.process(1).wait_for_line("checksum");
    assert!(line.contains("RaftLog.txt:4") && line.contains("--fresh"), "{line}");

    let (config, data) = (cluster.config(), cluster.data());
    let mut fresh = raftlet(&["1", "--fast", "--fresh", "--config", &config, "--data", &data]);
    let fresh = Process::start(&mut fresh);
    let line = fresh.wait_for_line("recovered an empty log");
    assert!(line.contains("forgotten (--fresh)"), "{line}");
}

#[test]
fn log_of_another_cluster_is_refused() {
    let mut cluster = Cluster::started(1, "[cluster]\nname = \"one\"\n");
    cluster.leader();
    cluster.kill(1);
    let config = cluster.config();
    let text_of_config = fs::read_to_string(&config).expect("we wrote it");
    fs::write(&config, text_of_config.replace("one", "other")).expect("it can be written");
    let output = run(&["1", "--config", &config, "--data", &cluster.data()]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("\"one\"") && told.contains("\"other\""), "{told}");
}

/// Whatever comes over the wire, the node says so and goes on.
#[test]
fn garbage_is_dropped_and_http_shares_the_address() {
    let mut cluster = Cluster::started(1, "");
    cluster.leader();
    let hellos = [
        "{\"type\":\"Hello\",\"cluster\":\"other\",\"from\":1,\"to\":1}\n",
        "{\"type\":\"Hello\"\n",
        "{{{{{{{{{{{{\n",
    ];
    for hello in hellos {
        let mut stream = TcpStream::connect(cluster.address(1)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        stream.write_all(hello.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("one line, then the end");
        assert!(answer.contains("\"Refused\""), "{hello} got {answer}");
    }
    cluster.process(1).wait_for_line("dropped");
    cluster.set("x", "1");
    for (method, path, body, status) in [
        ("GET", "/health", None, 200),
        ("GET", "/nowhere", None, 404),
        ("POST", "/health", Some("{}"), 405),
        ("POST", "/client_command", Some("not JSON"), 400),
        ("POST", "/client_command", Some("{\"command\":\"set x\"}"), 400),
        ("POST", "/client_command", Some("{\"command\":\"\"}"), 400),
        ("POST", "/client_command", Some("{\"command\":\"@c:1 set x=2\"}"), 400),
    ] {
        let reply = cluster.http(1, method, path, body).expect("an answer");
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        let json = Json::parse(&reply.body).expect("JSON");
        assert_eq!(json.get("error").is_some(), status != 200, "{json}");
    }
    assert_eq!(cluster.get("x"), "1");
}

#[test]
fn node_of_another_cluster_is_told_so_on_both_sides() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.process(1).wait_for_line("n2 is unreachable at localhost:");
    let other = format!("{}-other", cluster.config());
    let registry = fs::read_to_string(cluster.config()).expect("we wrote it");
    fs::write(&other, format!("[cluster]\nname = \"other\"\n{registry}")).expect("the scratch");
    let stranger = ["2", "--fast", "--config", &other, "--data", &cluster.data()];
    let stranger = Process::start(&mut raftlet(&stranger));
    cluster.process(1).wait_for_line("refused: this is node 2 of cluster \"other\"");
    stranger.wait_for_line("this is node 2 of cluster \"other\", not node 2 of \"raftlet\"");
}

/// All Servers 2 knows no term that is too far ahead: such a node was alone for long, or somebody
/// has played with it. A cluster that would not believe it could never take it in again.
#[test]
fn term_far_ahead_is_adopted() {
    let mut cluster = Cluster::started(3, "");
    cluster.leader();
    let far_ahead: u64 = 1 << 40;
    let way = "\"from\":2,\"to\":1";
    let hello = format!("{{\"type\":\"Hello\",\"cluster\":\"raftlet\",{way}}}\n");
    let vote = |term: u64| {
        format!("{{\"type\":\"RequestVoteReply\",{way},\"term\":{term},\"vote_granted\":false}}\n")
    };
    let mut stream = TcpStream::connect(cluster.address(1)).expect("it listens");
    stream.write_all((hello + &vote(far_ahead) + &vote(1 << 53)).as_bytes()).expect("it reads");
    // The last term of all is the one after which no server could go on.
    cluster.process(1).wait_for_line("\"term\" must be less than 9007199254740992");
    wait_for("a leader whom all nodes follow", || {
        let terms: Option<Vec<u64>> =
            (1..=3).map(|id| Some(number(&cluster.status(id)?, "current_term"))).collect();
        terms.filter(|terms| terms.iter().all(|&term| term >= far_ahead))
    });
    cluster.set("x", "1");
}

#[test]
fn follower_sends_clients_to_the_leader() {
    let cluster = Cluster::started(3, "");
    cluster.set("x", "1");
    let body = Some(r#"{"command":"set x=2"}"#);
    wait_for("a follower that sends us to the leader", || {
        let leader = cluster.leader();
        let follower = cluster.running().into_iter().find(|&id| id != leader)?;
        let reply = cluster.http(follower, "POST", "/client_command", body)?;
        let location = format!("http://{}/client_command", cluster.address(leader));
        (reply.status == 307 && reply.header("location") == Some(&location[..])).then_some(())
    });
}

#[test]
fn status_and_log_show_the_cluster() {
    let mut cluster = Cluster::started(3, "");
    cluster.set("x", "hello world");
    cluster.leader();
    cluster.wait_until_equal();
    cluster.kill(3);
    let table = text(&cluster.verb(&["status"]).stdout);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows[0].starts_with("node") && rows[3].contains("unreachable"), "{table}");

    let log = text(&cluster.verb(&["log", "1", "--data", &cluster.data()]).stdout);
    assert!(log.contains("Machine ID | Index | Term | Value | Leader Id"), "{log}");
    assert!(log.contains("| set x=\"hello world\"") || log.contains("set x=hello world"), "{log}");
}

#[test]
fn bad_command_lines_get_one_line_and_exit_code_2() {
    let cluster = Cluster::new(3, "");
    let config = cluster.config();
    for (words, named) in [
        (vec!["dance"], "dance"),
        (vec!["--fats"], "--fats"),
        (vec!["4", "--config", &config], "node 4"),
        (vec!["0", "--config", &config], "0"),
        (vec!["1", "--config", "/no/such/file"], "/no/such/file"),
        (vec!["set", "x"], "raftlet set K V"),
        (vec!["get", ""], "the key is empty"),
        (vec!["1", "--transport", "pigeon"], "pigeon"),
        (vec!["status", "--fresh"], "--fresh"),
        (vec!["sim", "--seeds", "5"], "--seeds"),
        (vec!["1", "2", "--config", &config], "no 2"),
        (vec!["log", "99", "--config", &config], "node 99"),
        (vec!["--seed", "5"], "--seed"),
        (vec!["1", "--config"], "--config"),
    ] {
        let output = run(&words);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains(named) && told.lines().count() == 1, "{words:?}: {told}");
    }
    fs::write(&config, "[timing]\nheartbeat_ms = 0\n").expect("it can be written");
    let told = text(&run(&["1", "--config", &config]).stderr);
    assert!(told.contains("cluster.toml:2: "), "{told}");
}

#[test]
fn unusable_data_directory_is_named() {
    let cluster = Cluster::new(1, "");
    let file = cluster.scratch.0.join("file");
    fs::write(&file, "").expect("it can be written");
    let output = run(&["1", "--config", &cluster.config(), "--data", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("file"), "{}", text(&output.stderr));
}

#[test]
fn help_and_version_need_no_registry() {
    let help = run(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("cargo run -- set x 42"));
    let version = text(&run(&["--version"]).stdout);
    assert_eq!(version.trim(), concat!("raftlet ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn reader_who_has_seen_enough_is_no_error() {
    let binary = env!("CARGO_BIN_EXE_raftlet");
    let script = format!("{binary} --help | head -1");
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!(text(&output.stderr), "");
}
