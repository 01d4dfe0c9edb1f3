//! What concurrent clients saw of a real cluster, whose leader is killed or plays dead again and
//! again, is judged by the lab's checker: one consistent store, however often a client was left
//! without an answer.

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raftlet::http::client;
use raftlet::json::Json;
use raftlet::lab::linearizability::{self, Operation};
use raftlet::node::step::{Millis, Random};
use raftlet::state_machine::Reply;
use raftlet::state_machine::kv::Request;
use support::{Cluster, wait_for};

const CLIENTS: u64 = 6;

/// How often the leader is struck, and how many operations must be answered between two blows.
const BLOWS: usize = 6;
const OPERATIONS_BETWEEN: usize = 60;

/// What all clients do and see.
struct History {
    addresses: Vec<String>,
    began: Instant,
    operations: Mutex<Vec<Operation>>,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl History {
    /// In microseconds: the checker only compares them.
    fn now(&self) -> Millis {
        self.began.elapsed().as_micros() as Millis
    }

    /// One client, which asks any node for anything, once, until it is all over.
    fn write(&self, number: u64) {
        let mut random = Random(number);
        while !self.is_over.load(Ordering::Relaxed) {
            let request = draw(&mut random);
            let first = random.between(0, self.addresses.len() as u64 - 1) as usize;
            let called = self.now();
            let answer = match ask(&self.addresses[first], &request) {
                Fate::Done(reply) => Some((self.now(), reply)),
                Fate::Unknown => None,
                Fate::NotDone => continue,
            };
            self.answered.fetch_add(usize::from(answer.is_some()), Ordering::Relaxed);
            let operation = Operation { client: format!("c{number}"), request, called, answer };
            self.operations.lock().expect("no client panics").push(operation);
        }
    }
}

/// Few keys, so that clients meet; values that tell who wrote them.
fn draw(random: &mut Random) -> Request {
    let key = format!("k{}", random.between(1, 3));
    let mut value = || random.between(1, 20).to_string();
    let (old, new) = (value(), value());
    match random.between(0, 9) {
        0..=3 => Request::Get { key },
        4..=6 => Request::Set { key, value: new },
        7 => Request::Increment { key, by: 1 },
        8 => Request::CompareAndSet { key, old, new },
        _ => Request::Delete { key },
    }
}

/// What is known of a request.
enum Fate {
    Done(Reply),
    NotDone,
    Unknown,
}

/// Asks a node, and the leader if it names one.
fn ask(address: &str, request: &Request) -> Fate {
    let body = Json::object([("command", request.to_string().into())]).to_string();
    let patience = Duration::from_secs(20);
    let mut address = address.to_string();
    for _ in 0..3 {
        let reply = client::request("POST", &address, "/client_command", Some(&body), patience);
        let reply = match reply {
            Ok(reply) => reply,
            Err(client::Error::NoAnswer(_)) => return Fate::Unknown,
            Err(_) => return Fate::NotDone,
        };
        let json = Json::parse(&reply.body).expect("every answer is JSON");
        match (reply.status, json.get("leader_address").and_then(Json::as_str)) {
            (200, _) => return Fate::Done(read(request, json.get("result"))),
            (307, Some(leader)) => address = leader.to_string(),
            (503, _) => return Fate::NotDone,
            (504, _) => return Fate::Unknown,
            _ => panic!("{request}: {} {}", reply.status, reply.text()),
        }
    }
    Fate::NotDone
}

/// The reply that a result stands for.
fn read(request: &Request, result: Option<&Json>) -> Reply {
    let text = result.and_then(Json::as_str);
    match (request, text) {
        (_, None) => Reply::NotFound,
        (Request::Get { .. }, Some(value)) => Reply::Value(value.to_string()),
        (Request::Increment { .. }, Some(sum)) => Reply::Number(sum.parse().expect("a number")),
        (_, Some("ok")) => Reply::Ok,
        (_, Some("deleted")) => Reply::Deleted,
        (_, Some("not found")) => Reply::NotFound,
        (_, Some(other)) => {
            let found = other.strip_prefix("not swapped: it is ").map(str::to_string);
            assert!(found.is_some() || other == "not swapped: not found", "{request}: {other}");
            Reply::NotSwapped(found)
        }
    }
}

#[test]
fn clients_see_one_store_while_leaders_die() {
    let mut cluster = Cluster::started(3, "");
    let history = History {
        addresses: (1..=3).map(|id| cluster.address(id)).collect(),
        began: Instant::now(),
        operations: Mutex::default(),
        answered: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    cluster.leader();
    thread::scope(|scope| {
        let over = Over(&history.is_over);
        for number in 1..=CLIENTS {
            let history = &history;
            scope.spawn(move || history.write(number));
        }
        for blow in 1..=BLOWS {
            let enough = history.answered.load(Ordering::Relaxed) + OPERATIONS_BETWEEN;
            let answered = || history.answered.load(Ordering::Relaxed);
            wait_for("answers", || (answered() >= enough).then_some(()));
            strike(&mut cluster, blow);
        }
        drop(over);
    });
    let operations = history.operations.into_inner().expect("no client panicked");
    let reads = operations.iter().filter(|one| matches!(one.request, Request::Get { .. })).count();
    assert!(reads > BLOWS && operations.len() > BLOWS * OPERATIONS_BETWEEN, "{operations:?}");
    linearizability::check(&operations).unwrap_or_else(|why| panic!("{why}"));
}

/// Ends the clients' work, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The leader is killed and comes back; or plays dead until there is another.
fn strike(cluster: &mut Cluster, blow: usize) {
    let leader = cluster.leader();
    if blow % 2 == 1 {
        cluster.kill(leader);
        return cluster.start(leader);
    }
    let pause = |body| cluster.http(leader, "POST", "/api/pause", Some(body)).map(|r| r.status);
    assert_eq!(pause(r#"{"paused":true}"#), Some(200));
    let others: Vec<u64> = cluster.running().into_iter().filter(|&id| id != leader).collect();
    wait_for("another leader", || {
        let leads = |&id: &u64| {
            let status = cluster.status(id)?;
            (status.get("role")?.as_str()? == "leader").then_some(())
        };
        others.iter().find_map(leads)
    });
    assert_eq!(pause(r#"{"paused":false}"#), Some(200));
}
