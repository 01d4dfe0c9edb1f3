//! Snapshots with real processes (§7): a node that was away catches up by one, over TCP and over
//! UDP; all start again from snapshot and log; and kill -9 around them loses nothing that a client
//! was told.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raftlet::client::Client;
use raftlet::node::step::Random;
use support::{Cluster, number, wait_for};

/// How long a client tries. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn addresses(cluster: &Cluster, nodes: u64) -> Vec<String> {
    (1..=nodes).map(|id| cluster.address(id)).collect()
}

/// Writes so many entries, by many clients at once.
fn write(addresses: &[String], entries: u64, clients: u64) {
    thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || {
                let mut connection = Client::new(addresses.to_vec(), PATIENCE, |_| {});
                for entry in 0..entries / clients {
                    let (key, value) = (format!("k{client}-{}", entry % 50), entry.to_string());
                    connection.set(&key, &value).expect("a majority is there");
                }
            });
        }
    });
}

/// Waits until all nodes have applied the same, and none has its whole log.
fn wait_until_settled(cluster: &Cluster) -> u64 {
    wait_for("all have applied the same, and have snapshots", || {
        let statuses = cluster.running().into_iter().map(|id| cluster.status(id));
        let statuses = statuses.collect::<Option<Vec<_>>>()?;
        let applied = number(&statuses[0], "last_applied");
        let settled = statuses.iter().all(|status| {
            number(status, "last_applied") == applied
                && number(status, "last_log_index") == applied
                && number(status, "snapshot_index") > 0
        });
        settled.then_some(applied)
    })
}

fn state(cluster: &Cluster, id: u64) -> String {
    let reply = cluster.http(id, "GET", "/api/state_machine", None).expect("an answer");
    reply.text().to_string()
}

fn all_have_the_same_state(cluster: &Cluster) {
    wait_until_settled(cluster);
    let states: Vec<String> = cluster.running().iter().map(|&id| state(cluster, id)).collect();
    assert!(states[0].contains("\"last_applied\""), "{}", states[0]);
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "states differ");
}

/// Node 3 is away while so many entries are written. It gets a snapshot, and then the rest.
fn catches_up(transport: &str, snapshot_after_bytes: u64, entries: u64) {
    let log = format!("[log]\nsnapshot_after_bytes = {snapshot_after_bytes}\n");
    let mut cluster = Cluster::started(3, &format!("[transport]\nkind = \"{transport}\"\n{log}"));
    let addresses = addresses(&cluster, 3);
    cluster.leader();
    cluster.set("first", "1");
    cluster.kill(3);
    write(&addresses, entries, 16);
    cluster.start(3);
    let applied = wait_until_settled(&cluster);
    assert!(applied > entries, "{applied} of {entries}");
    let line = cluster.process(3).wait_for_line("takes on n");
    assert!(line.contains("snapshot to ") && line.contains("(InstallSnapshot 8, §7)"), "{line}");
    let leader = cluster.leader();
    let line = cluster.process(leader).wait_for_line("sends n3 its snapshot to ");
    assert!(line.contains(", chunk 1 of ") && line.ends_with("(§7)"), "{line}");
    all_have_the_same_state(&cluster);

    // All start again, from snapshot and log.
    (1..=3).for_each(|id| cluster.kill(id));
    (1..=3).for_each(|id| cluster.start(id));
    cluster.leader();
    assert_eq!(cluster.get("first"), "1");
    assert_eq!(cluster.get("k7-1").parse::<u64>().expect("a number") % 50, 1);
    for id in 1..=3 {
        cluster.process(id).wait_for_line("recovered a snapshot to ");
    }
    all_have_the_same_state(&cluster);
    let status = cluster.status(1).expect("it answers");
    let log = cluster.http(1, "GET", "/log?from=1&limit=1", None).expect("an answer");
    let next = number(&status, "snapshot_index") + 1;
    assert!(log.text().contains(&format!("\"index\":{next}")), "{next}: {}", log.text());
}

#[test]
fn follower_that_was_away_catches_up_by_snapshot_over_tcp() {
    catches_up("tcp", 20_000, 2_000);
}

/// Datagrams are small: the snapshot takes several.
#[test]
fn follower_that_was_away_catches_up_by_snapshot_over_udp() {
    catches_up("udp", 20_000, 2_000);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes long: cargo test --release --test snapshots")]
fn follower_that_was_away_for_100_000_entries_catches_up_over_tcp() {
    catches_up("tcp", 1 << 20, 100_000);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes long: cargo test --release --test snapshots")]
fn follower_that_was_away_for_100_000_entries_catches_up_over_udp() {
    catches_up("udp", 1 << 20, 100_000);
}

/// An eighth of the log stays behind a snapshot: 20 of these entries, or some more. All is written
/// while the follower is away, so that each snapshot is taken then; and enough for two, even if
/// chance lets both come as late as they may.
#[test]
fn follower_that_is_a_little_behind_gets_entries_and_no_snapshot() {
    let mut cluster = Cluster::started(3, "[log]\nsnapshot_after_bytes = 12000\n");
    let addresses = addresses(&cluster, 3);
    let leader = cluster.leader();
    let away = if leader == 3 { 2 } else { 3 };
    for _ in 0..36 {
        cluster.kill(away);
        write(&addresses, 15, 1);
        cluster.start(away);
        wait_for("it has caught up", || {
            let applied = |id| Some(number(&cluster.status(id)?, "last_applied"));
            (applied(away)? == applied(leader)?).then_some(())
        });
    }
    assert!(number(&cluster.status(leader).expect("it answers"), "snapshot_index") > 100);
    let lines = cluster.process(leader).text();
    assert!(lines.matches("took a snapshot to ").count() >= 2, "{lines}");
    assert!(!lines.contains("its snapshot"), "{lines}");
}

/// A leader whom nobody hears has a client's command, and then a new leader's snapshot instead of
/// its log. It takes some tries on a machine so slow that the client's time is over before.
#[test]
fn client_is_told_when_nobody_can_know_any_more() {
    let cluster = Cluster::started(3, "[log]\nsnapshot_after_bytes = 1024\n");
    wait_for("a client is told of the snapshot", || {
        let old = cluster.leader();
        let others: Vec<u64> = (1..=3).filter(|&id| id != old).collect();
        let links = |blocked: bool| {
            for &other in &others {
                for (id, peer) in [(old, other), (other, old)] {
                    let body = format!("{{\"peer\":{peer},\"blocked\":{blocked}}}");
                    cluster.http(id, "POST", "/api/links", Some(&body)).expect("it answers");
                }
            }
        };
        links(true);
        let reply = thread::scope(|scope| {
            let body = r#"{"key":"x","value":"1"}"#;
            let client = scope.spawn(|| cluster.http(old, "POST", "/api/set", Some(body)));
            wait_for("the others have a leader of their own", || {
                let leader = |&id: &u64| cluster.status(id)?.get("leader")?.as_u64();
                let other = |id| leader(id).filter(|&leader| leader != old);
                others.iter().all(|id| other(id).is_some()).then_some(())
            });
            let majority: Vec<String> = others.iter().map(|&id| cluster.address(id)).collect();
            write(&majority, 60, 1);
            links(false);
            client.join().expect("it asked").expect("an answer")
        });
        let is_it = reply.text().contains("another leader's snapshot came");
        assert!(!is_it || reply.status == 504 && reply.text().contains("\"outcome\":\"unknown\""));
        is_it.then_some(())
    });
}

/// Every few dozen entries there is a snapshot, and at random moments a node is killed. Each client
/// counts up, one by one, and tries again until it is told: each of its increments is done once.
#[test]
fn kill_9_around_snapshots_loses_no_acknowledged_write() {
    const CLIENTS: u64 = 6;
    const KILLS: u64 = 12;
    let mut cluster = Cluster::started(3, "[log]\nsnapshot_after_bytes = 2048\n");
    let addresses = addresses(&cluster, 3);
    cluster.leader();
    let (is_over, counted) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut random = Random(u64::from(std::process::id()));
    let counts: Vec<i64> = thread::scope(|scope| {
        let count = |client: u64| {
            let mut connection = Client::new(addresses.clone(), PATIENCE, |_| {});
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                let done = connection.increment(&format!("c{client}"), 1).expect("it is done");
                count += 1;
                assert_eq!(done.result, count, "each increment is done once");
                counted.fetch_add(1, Ordering::Relaxed);
            }
            count
        };
        let clients: Vec<_> = (0..CLIENTS).map(|id| scope.spawn(move || count(id))).collect();
        for _ in 0..KILLS {
            let before = counted.load(Ordering::Relaxed);
            wait_for("clients go on", || {
                (counted.load(Ordering::Relaxed) > before + random.between(40, 120)).then_some(())
            });
            let victim = random.between(1, 3);
            cluster.kill(victim);
            cluster.start(victim);
            wait_for("it is back", || cluster.status(victim));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("it counted")).collect()
    });
    cluster.leader();
    for (client, count) in counts.into_iter().enumerate() {
        assert_eq!(cluster.get(&format!("c{client}")), count.to_string());
    }
    all_have_the_same_state(&cluster);
}

/// A client's slowest write while large snapshots are written.
#[test]
#[cfg_attr(debug_assertions, ignore = "measures: cargo test --release --test snapshots")]
fn snapshot_of_a_large_state_stalls_nobody_for_long() {
    let mut cluster = Cluster::started(1, "[log]\nsnapshot_after_bytes = 4194304\n");
    let addresses = addresses(&cluster, 1);
    cluster.leader();
    let value = "x".repeat(100_000);
    let mut client = Client::new(addresses, PATIENCE, |_| {});
    let mut times = Vec::new();
    for key in 0..1500 {
        client.set(&format!("large{key}"), &value).expect("it is done");
        for small in 0..5 {
            let began = Instant::now();
            client.set(&format!("small{small}"), &key.to_string()).expect("it is done");
            times.push(began.elapsed());
        }
    }
    let text = cluster.process(1).text();
    let snapshots = text.lines().filter(|line| line.contains("took a snapshot")).count();
    times.sort_unstable();
    let (slow, slowest) = (times[times.len() - 20], times[times.len() - 1]);
    println!(
        "{snapshots} snapshots; of 7500 small writes 20 took {slow:?} or more, one {slowest:?}"
    );
    assert!(snapshots >= 3, "{snapshots}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
