//! The verbs that talk to single nodes: elections, pauses, cut links, and what one node knows.

mod support;

use raftlet::json::Json;
use support::{Cluster, exits, json_lines, number, wait_for};

#[test]
fn menu_elects_proposes_beats_and_prints() {
    let cluster = Cluster::started(3, "");
    let leader = cluster.leader();
    let follower = if leader == 1 { 2 } else { 1 };
    let input = format!("1 {follower}\n3\n2\nhello world\n4\n5\n");
    let (out, err) = exits(&cluster.verb_with(&["client"], &input), 0);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with(&format!("n{follower} stands for election in term ")), "{out}");
    assert!(lines[1].contains(" sends heartbeats of term "), "{out}");
    assert!(lines[2].starts_with("ok (entry ") && lines[3].starts_with("log of n"), "{out}");
    assert!(lines[4].starts_with("index  term  command"), "{out}");
    assert!(lines.iter().any(|line| line.ends_with("  hello world")), "{out}");
    assert_eq!(err, "");
}

#[test]
fn elect_makes_a_new_term() {
    let cluster = Cluster::started(3, "");
    let leader = 1; // so that it is the first to be asked below
    wait_for("n1 to lead", || {
        cluster.leader();
        cluster.verb(&["elect", "1"]);
        (cluster.leader() == leader).then_some(())
    });
    let term = |id| number(&cluster.status(id).expect("it runs"), "current_term");
    let before = term(leader);
    let (out, _) = exits(&cluster.verb(&["elect", "--json"]), 0);
    let candidate = number(&json_lines(&out)[0], "id");
    assert_ne!(candidate, leader, "the leader has nothing to win");
    assert!(number(&json_lines(&out)[0], "current_term") > before, "{out}");
    wait_for("a later term", || (term(cluster.leader()) > before).then_some(()));
    wait_for("a leader that will not stand again", || {
        let output = cluster.verb(&["elect", &cluster.leader().to_string()]);
        (output.status.code() == Some(1)).then_some(())
    });
}

#[test]
fn paused_node_is_seen_to_be_paused_until_it_is_resumed() {
    let cluster = Cluster::started(3, "");
    let old = cluster.leader().to_string();
    let (out, _) = exits(&cluster.verb(&["pause", &old]), 0);
    assert_eq!(out, format!("n{old} plays dead; raftlet resume {old} wakes it\n"));
    let (out, _) = exits(&cluster.verb(&["status"]), 0);
    let row = out.lines().find(|line| line.starts_with(&format!("n{old}"))).expect("its row");
    assert!(row.contains("paused"), "{out}");
    let (out, told) = exits(&cluster.verb(&["health", &old]), 1);
    assert!(out.contains("is paused: ") && told.contains(" is paused"), "{out}{told}");
    exits(&cluster.verb(&["set", "x", "1"]), 0); // the two others elect
    let (out, _) = exits(&cluster.verb(&["resume", &old]), 0);
    assert_eq!(out, format!("n{old} is awake\n"));
    exits(&cluster.verb(&["health", &old]), 0);
    cluster.wait_until_equal();
    exits(&cluster.verb(&["pause", "4"]), 2);
}

#[test]
fn cut_leader_is_replaced_and_heal_brings_it_back() {
    let mut cluster = Cluster::started(3, "");
    let old = cluster.leader();
    let (out, _) = exits(&cluster.verb(&["cut", &old.to_string()]), 0);
    assert_eq!(out, format!("n{old} is all alone: nothing goes to it or comes from it\n"));
    let names_another = |id| {
        let leader = cluster.status(id)?.get("leader")?.as_u64()?;
        (leader != old).then_some(())
    };
    let other = if old == 1 { 2 } else { 1 };
    wait_for("another leader", || names_another(other));
    assert_eq!(number(&cluster.status(old).expect("it runs"), "leader"), old, "it knows nothing");
    exits(&cluster.verb(&["set", "x", "1"]), 0);

    let (out, _) = exits(&cluster.verb(&["heal", "--json"]), 0);
    let links = json_lines(&out);
    assert_eq!(links.len(), 3, "{out}");
    assert!(!out.contains("true"), "{out}");
    cluster.wait_until_equal();

    let (out, _) = exits(&cluster.verb(&["cut", "2", "3", "--json"]), 0);
    assert_eq!((out.matches("true").count(), out.lines().count()), (1, 1), "{out}");
    assert!(out.contains(r#""id":2"#) && out.contains(r#"{"peer":3,"blocked":true"#), "{out}");
    exits(&cluster.verb(&["heal", "2", "3"]), 0);
    cluster.kill(1);
    let (_, told) = exits(&cluster.verb(&["heal"]), 1);
    assert!(told.contains("n1 was not told: cannot reach"), "{told}");
}

#[test]
fn one_node_tells_what_it_has() {
    let mut cluster = Cluster::started(3, "");
    exits(&cluster.verb(&["set", "a key/ü", "7"]), 0);
    cluster.wait_until_equal();
    let (out, told) = exits(&cluster.verb(&["get", "a key/ü", "--local"]), 0);
    assert_eq!(out, "7\n");
    assert!(told.contains("n1 says so"), "{told}");
    cluster.kill(1);
    cluster.kill(2);
    let (out, _) = exits(&cluster.verb(&["get", "a key/ü", "--local", "--json"]), 0);
    let json = &json_lines(&out)[0];
    assert_eq!((number(json, "node"), json.get("local")), (3, Some(&Json::Bool(true))), "{out}");
    exits(&cluster.verb(&["get", "nothing", "--local"]), 1);

    let (out, told) = exits(&cluster.verb(&["log", "--json"]), 0);
    let last = json_lines(&out).pop().expect("an entry");
    let command = last.get("command").and_then(Json::as_str);
    assert_eq!((number(&last, "node"), command), (3, Some(r#"set "a key/ü"=7"#)), "{out}");
    assert!(told.contains("n1: cannot reach"), "{told}");
}
