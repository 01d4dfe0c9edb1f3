//! The command line, as a student and a script use it: real processes, their output, and their exit
//! codes.

mod support;

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use raftlet::client::Client;
use raftlet::json::Json;
use support::{
    Cluster, PATIENCE, Port, Process, Scratch, exits, json_lines, number, output_of, raftlet, run,
    wait_for,
};

/// The first word of each line of a table, without its header.
fn first_column(table: &str) -> Vec<&str> {
    table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn every_verb_explains_itself() {
    let (overview, _) = exits(&run(&["--help"]), 0);
    let usages = overview.lines().filter_map(|line| line.strip_prefix("  raftlet "));
    let names: Vec<&str> = usages.filter_map(|usage| usage.split_whitespace().next()).collect();
    let verbs = "up demo set get delete cas incr status watch log health elect pause resume cut \
                 heal client lab replay break sim check rules quiz experiment";
    for verb in verbs.split_whitespace() {
        assert!(names.contains(&verb), "{verb} is not in\n{overview}");
        let (help, _) = exits(&run(&[verb, "--help"]), 0);
        assert!(help.starts_with(&format!("raftlet {verb}")), "{help}");
        assert!(help.contains("\nOptions\n") && help.contains("\nExample\n"), "{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{help}");
        assert_eq!(exits(&run(&["help", verb]), 0).0, help);
    }
    assert!(exits(&run(&["1", "--help"]), 0).0.starts_with("raftlet N: "));
    exits(&run(&["dance", "--help"]), 2);
}

#[test]
fn verbs_write_and_read_and_say_what_came_of_it() {
    let cluster = Cluster::started(3, "");
    cluster.leader();
    for (words, code, told) in [
        ("set x 42", 0, "ok (entry "),
        ("get x", 0, "42\n"),
        ("cas x 42 43", 0, "ok (entry "),
        ("cas x 42 44", 1, "x was not swapped: it is 43"),
        ("cas y 1 2", 1, "y was not swapped: it is not set"),
        ("incr n", 0, "1 (entry "),
        ("incr n -11", 0, "-10 (entry "),
        ("set t text", 0, "ok (entry "),
        ("incr t", 1, "not a whole number"),
        ("incr t 1.5", 2, "1.5 is not a whole number"),
        ("delete t", 0, "deleted (entry "),
        ("delete t", 0, "not found (entry "),
        ("get t", 1, "t is not set"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let (out, err) = exits(&cluster.verb(&words), code);
        let (heard, silent) = if code == 0 { (out, err) } else { (err, out) };
        assert!(heard.contains(told) && heard.lines().count() == 1, "{words:?}: {heard}");
        assert_eq!(silent, "", "{words:?}");
    }
    assert_eq!(cluster.get("x"), "43");
}

#[test]
fn json_is_an_object_a_line() {
    let cluster = Cluster::started(3, "");
    cluster.set("before", "1"); // there is a leader, and it has written
    cluster.wait_until_equal();
    let verb = |words: &str, code| {
        let words: Vec<&str> = words.split(' ').chain(["--json"]).collect();
        let (out, _) = exits(&cluster.verb(&words), code);
        let lines = json_lines(&out);
        assert_eq!(lines.len(), 1, "{out}");
        lines[0].clone()
    };
    let members = |json: &Json, names: &[&str]| {
        let values = names.iter().map(|name| json.get(name).map(Json::to_string));
        values.map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")
    };
    let set = verb("set x 42", 0);
    assert_eq!(members(&set, &["key", "value"]), r#""x" "42""#);
    let next = |json: &Json| (number(json, "index"), number(json, "term"));
    let (index, term) = next(&set);
    assert_eq!(members(&verb("get x", 0), &["key", "value", "found"]), r#""x" "42" true"#);
    assert_eq!(members(&verb("get y", 1), &["key", "value", "found"]), r#""y" null false"#);
    let swapped = verb("cas x 42 43", 0);
    assert_eq!(members(&swapped, &["swapped", "value"]), r#"true "43""#);
    assert_eq!(next(&swapped), (index + 1, term));
    assert_eq!(members(&verb("cas x 42 44", 1), &["swapped", "value"]), r#"false "43""#);
    assert_eq!(members(&verb("incr n -3", 0), &["key", "value"]), r#""n" -3"#);
    assert_eq!(members(&verb("delete x", 0), &["key", "found"]), r#""x" true"#);
    assert_eq!(members(&verb("health 2", 0), &["status", "id"]), r#""ok" 2"#);
}

#[test]
fn status_and_health_see_who_is_there() {
    let mut cluster = Cluster::started(3, "");
    let leader = cluster.leader();
    cluster.kill(leader);
    let (out, _) = exits(&cluster.verb(&["status", "--json"]), 0);
    for (id, status) in (1..).zip(json_lines(&out)) {
        assert_eq!((number(&status, "id"), id == leader), (id, status.get("log").is_none()));
        let reachable = status.get("reachable").and_then(Json::as_bool);
        assert_eq!(reachable, Some(id != leader), "{status}");
    }
    let (out, _) = exits(&cluster.verb(&["status"]), 0);
    assert_eq!(first_column(&out), ["n1", "n2", "n3"]);
    let row = out.lines().find(|line| line.contains("unreachable")).expect("the one that died");
    assert!(row.starts_with(&format!("n{leader}")), "{out}");

    let (_, told) = exits(&cluster.verb(&["health", &leader.to_string()]), 1);
    assert!(told.contains("cannot reach"), "{told}");
    let other = cluster.running()[0];
    let (line, _) = exits(&cluster.verb(&["health", &other.to_string()]), 0);
    assert!(line.starts_with(&format!("n{other} is ok: ")), "{line}");
    cluster.running().into_iter().for_each(|id| cluster.kill(id));
    exits(&cluster.verb(&["status"]), 1);
}

#[test]
fn values_come_from_stdin() {
    let cluster = Cluster::started(1, "");
    let value = "two lines,\nand “quotes” \\ \t";
    exits(&cluster.verb_with(&["set", "x", "-"], &format!("{value}\n")), 0);
    assert_eq!(cluster.get("x"), value);
    exits(&cluster.verb_with(&["cas", "x", "-", "short"], value), 0);
    assert_eq!(exits(&cluster.verb(&["get", "x"]), 0).0, "short\n");
    exits(&cluster.verb(&["cas", "x", "-", "-"]), 2);
}

#[test]
fn no_leader_and_an_unknown_outcome_have_their_own_exit_code() {
    let mut cluster = Cluster::new(3, "");
    cluster.start(1);
    let (_, told) = exits(&cluster.verb(&["set", "x", "1", "--timeout", "0.4"]), 3);
    assert!(told.contains("gave up after 0.4 s, it was not done: "), "{told}");
    let (_, told) = exits(&cluster.verb(&["get", "x", "--timeout=0.4"]), 3);
    assert!(told.contains("gave up after 0.4 s: "), "{told}");

    cluster.start(2);
    cluster.leader();
    wait_for("a write that its leader took and could not commit", || {
        let leader = cluster.leader();
        let other = 3 - leader;
        cluster.kill(other);
        let (_, told) = exits(&cluster.verb(&["set", "x", "1", "--timeout", "1"]), 3);
        let last = told.lines().last().unwrap_or_default().to_string();
        let (_, read) = exits(&cluster.verb(&["get", "x", "--timeout", "1"]), 3);
        assert!(!read.contains("still be done"), "{read}");
        cluster.start(other);
        last.contains("gave up after 1 s, it may still be done: ").then_some(())
    });
}

/// Counts up while the leader dies again and again: no increment may be lost, and none done twice
/// because its answer was.
#[test]
fn each_increment_is_done_once_over_the_deaths_of_leaders() {
    let mut cluster = Cluster::started(3, "");
    cluster.leader();
    let addresses: Vec<String> = (1..=3).map(|id| cluster.address(id)).collect();
    let counted = AtomicI64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::new(addresses, PATIENCE, |_| {});
            for count in 1..=1000 {
                let sum = client.increment("n", 1).unwrap_or_else(|why| panic!("{why}")).result;
                assert_eq!(sum, count);
                counted.store(sum, Ordering::Relaxed);
            }
        });
        for enough in [100, 300, 500, 700] {
            wait_for("increments", || (counted.load(Ordering::Relaxed) >= enough).then_some(()));
            let leader = cluster.leader();
            cluster.kill(leader);
            cluster.start(leader);
        }
    });
    let (out, _) = exits(&cluster.verb(&["incr", "n"]), 0);
    assert!(out.starts_with("1001 (entry "), "{out}");
}

#[test]
fn client_reads_commands_from_a_pipe() {
    let cluster = Cluster::started(3, "");
    cluster.leader();
    let input = "set x 42\n\n get x \nset \"a key\"=\"a\\nb\"\nget \"a key\"\nincr x 8\n2\nhello\n\
                 2 world\ncas x 50 51\nstatus\nexit\nset x never\n";
    let (out, err) = exits(&cluster.verb_with(&["client"], input), 0);
    let lines: Vec<&str> = out.lines().map(|line| line.split(" (entry").next().unwrap()).collect();
    assert_eq!(lines[..9], ["ok", "42", "ok", "a", "b", "50", "ok", "ok", "ok"], "{out}");
    assert_eq!(first_column(&lines[9..].join("\n")), ["n1", "n2", "n3"]);
    assert_eq!(err, "");
    assert_eq!(cluster.get("x"), "51");
    cluster.wait_until_equal();
    let log = cluster.status(1).and_then(|status| status.get("log").cloned());
    let log = log.expect("a log").to_string();
    assert!(log.contains(r#""hello""#) && log.contains(r#""world""#), "{log}");

    // A long value, with what could command a terminal: in the log it is the beginning of a line.
    let long = format!("set long \x1b[31m{}\n4\n", "v".repeat(70_000));
    let (out, _) = exits(&cluster.verb_with(&["client"], &long), 0);
    assert!(out.lines().all(|line| line.chars().count() < 120) && !out.contains('\x1b'), "{out}");

    let (out, err) = exits(&cluster.verb_with(&["client"], "get y\nset z\nset z 1\npause\n"), 1);
    assert!(out.starts_with("ok (entry ") && out.lines().count() == 1, "{out}");
    for part in ["y is not set", "set KEY=VALUE", "pause N", "3 of 4 commands failed"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn demo_tells_its_story_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let mut demo = raftlet(&["demo", "--brief"]);
    let (out, err) = exits(&output_of(demo.env("TMPDIR", &scratch.0), ""), 0);
    assert_eq!(err, "");
    let mut steps = out.lines().filter_map(|line| line.split_once(". "));
    for number in 1..=6 {
        let number = number.to_string();
        assert!(steps.any(|(first, _)| first == number), "step {number}\n{out}");
    }
    for line in ["CANDIDATE → LEADER", "set x=42", "kill -9", "set x=43", "recovered 2 entries"] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert_gone(&scratch, &addresses_in(&out));
}

/// The demo is killed in the middle, as a terminal that is closed would do: its nodes notice.
#[test]
fn demo_that_is_killed_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let mut demo = Process::start(raftlet(&["demo"]).env("TMPDIR", &scratch.0));
    demo.wait_for_line("→ LEADER");
    let mut registries = fs::read_dir(&scratch.0).expect("a directory");
    let registry = registries.next().expect("the demo's").expect("an entry").path();
    let registry = fs::read_to_string(registry.join("cluster.toml")).expect("a registry");
    demo.kill();
    assert_gone(&scratch, &addresses_in(&registry));
}

/// What looks like `localhost:20001` in a text.
fn addresses_in(text: &str) -> Vec<String> {
    let parts = text.split("localhost:").skip(1);
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    parts.map(|part| format!("localhost:{}", digits(part))).collect()
}

fn assert_gone(scratch: &Scratch, addresses: &[String]) {
    assert!(addresses.len() >= 3, "{addresses:?}");
    wait_for("an empty directory", || {
        fs::read_dir(&scratch.0).ok()?.next().is_none().then_some(())
    });
    let is_gone = |address: &String| TcpStream::connect(address).is_err();
    wait_for("no node that listens", || addresses.iter().all(is_gone).then_some(()));
}

/// The ports are given: 5001 and on. If anybody has one of them, all that can be seen is that it
/// is this one that was wanted.
#[test]
fn cluster_of_five_needs_no_file() {
    let scratch = Scratch::new();
    let here = |words: &str| {
        let mut command = raftlet(&words.split(' ').collect::<Vec<_>>());
        command.current_dir(&scratch.0);
        command
    };
    let (_, told) = exits(&output_of(&mut here("6 --of 5"), ""), 2);
    assert!(told.contains("node 6 is none of 1, 2, 3, 4, 5"), "{told}");

    let ports: Vec<Option<Port>> = (5001..=5005).map(Port::claim).collect();
    if let Some(taken) = ports.iter().position(Option::is_none) {
        let id = taken + 1;
        let (_, told) = exits(&output_of(&mut here(&format!("{id} --of 5")), ""), 1);
        assert!(told.contains(&format!("localhost:500{id}")), "{told}");
        return;
    }
    let mut up = Process::start(&mut here("up 5 --fast"));
    up.wait_for_line("raftlet status --of 5");
    up.wait_for_line("CANDIDATE → LEADER");
    let set = output_of(&mut here("set x 1 --of 5"), "");
    assert!(exits(&set, 0).0.starts_with("ok (entry "));
    let (table, _) = exits(&output_of(&mut here("status --of 5"), ""), 0);
    assert_eq!(first_column(&table), ["n1", "n2", "n3", "n4", "n5"]);
    assert!(!table.contains("unreachable"), "{table}");
    up.kill();
    let is_gone = |id: u16| TcpStream::connect(("localhost", 5000 + id)).is_err();
    wait_for("no node that listens", || (1..=5).all(is_gone).then_some(()));

    let two = Process::start(&mut here("2 --of 5 --fast"));
    let line = two.wait_for_line("started on localhost:5002");
    assert!(line.contains("data in data/of-5/2, peers n1 n3 n4 n5"), "{line}");
    assert!(two.wait_for_line("recovered ").contains("entr"), "its log of before");
}

#[test]
fn watch_goes_on_until_nobody_reads_it() {
    let cluster = Cluster::started(3, "");
    cluster.leader();
    let config = cluster.config();
    let watch = Process::start(&mut raftlet(&["watch", "--config", &config]));
    wait_for("three tables", || (watch.text().matches("node  address").count() >= 3).then_some(()));
    let tables = watch.text();
    assert!(tables.contains("\n\nnode  address") && !tables.contains('\x1b'), "{tables}");
    let binary = env!("CARGO_BIN_EXE_raftlet");
    let script = format!("{binary} watch --config {config} | head -1");
    let (out, err) = exits(&output_of(Command::new("sh").args(["-c", &script]), ""), 0);
    assert!(out.starts_with("node  address") && err.is_empty(), "{out}{err}");
}
