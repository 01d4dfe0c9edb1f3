//! `cargo bench -- --kill N`: the leader dies again and again under load. How long is it until the
//! next write is acknowledged, and is every acknowledged write there?
//!
//! Each client counts on a key of its own, one `incr` after another, so a write that was lost or
//! done twice shows at once: the sum in the next answer must be the number of writes that this
//! client was told of, or more by no more than those of which it was told nothing. It is `kill -9`
//! at a random moment, and what counts is the first write that was sent after it and was
//! acknowledged. The killed node starts again and catches up; then the next leader is killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::options::Options;
use super::report::rounded;
use super::target::{self, post};
use raftlet::cli::cluster::Cluster;
use raftlet::cli::failure::Failure;
use raftlet::cli::node;
use raftlet::cli::progress::Progress;
use raftlet::cli::stdout::{print, print_json};
use raftlet::json::Json;
use raftlet::lab::experiment::times::Times;
use raftlet::node::message::NodeId;
use raftlet::node::step::{Random, Timing};

/// The number of clients, unless the command line has one.
const CLIENTS: usize = 8;

/// The least pause before the next kill; the longest is twice as long.
const REST_MS: u64 = 250;

/// After this no write will come any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a node may take to tell how far it is.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A write that was acknowledged.
struct Acknowledged {
    sent: Instant,
    at: Instant,
}

/// What one client was told in all.
#[derive(Clone, Copy, Default)]
struct Told {
    acknowledged: u64,
    /// Asked, and no answer that says it was done: so perhaps it was.
    unknown: u64,
}

impl Told {
    /// Takes up an answer: the sum, if there was one.
    fn hear(&mut self, sum: Option<u64>) -> Result<(), String> {
        let Some(sum) = sum else {
            self.unknown += 1;
            return Ok(());
        };
        self.acknowledged += 1;
        self.check(sum)
    }

    /// The sum is that of all acknowledged writes, and of some of the others.
    fn check(self, sum: u64) -> Result<(), String> {
        let Told { acknowledged, unknown } = self;
        match sum {
            _ if sum < acknowledged => {
                Err(format!("of {acknowledged} acknowledged writes {sum} are there"))
            }
            _ if sum > acknowledged + unknown => Err(format!(
                "{sum} writes are there, but {acknowledged} were acknowledged, and {unknown} had \
                 no answer"
            )),
            _ => Ok(()),
        }
    }
}

/// Kills the leader `kills` times, and prints how long no write was done.
pub fn run(options: &Options, kills: usize) -> Result<(), Failure> {
    let clients = options.single_client_count(CLIENTS)?;
    let nodes = options.single_node_count()?.unwrap_or(super::NODES);
    let mut cluster = super::own_cluster(options, nodes, Timing::PAPER)?;
    target::settled(&mut cluster)?;
    let addresses: Vec<String> = cluster.options.registry()?.nodes.into_values().collect();
    let is_over = AtomicBool::new(false);
    let (sender, acknowledged) = mpsc::channel();
    let (outages_ms, told) = thread::scope(|scope| {
        let spawn = |client| {
            let (sender, addresses, is_over) = (sender.clone(), &addresses, &is_over);
            scope.spawn(move || count(client, addresses, &sender, is_over))
        };
        let clients: Vec<_> = (0..clients).map(spawn).collect();
        let outages_ms = kill_leaders(&mut cluster, kills, &acknowledged);
        is_over.store(true, Ordering::Relaxed);
        let told = clients.into_iter().map(|client| client.join().expect("no client panics"));
        (outages_ms, told.collect::<Result<Vec<Told>, String>>())
    });
    let told = told.map_err(Failure::Running)?;
    for (client, told) in told.iter().enumerate() {
        let sum = read(&addresses, client)?;
        told.check(sum).map_err(|why| Failure::Running(format!("bench-kill-{client}: {why}")))?;
    }
    report(options, outages_ms?, &told)
}

/// One client: counts until it is over.
fn count(
    client: usize,
    addresses: &[String],
    acknowledged: &Sender<Acknowledged>,
    is_over: &AtomicBool,
) -> Result<Told, String> {
    let request = post("/api/incr", &format!(r#"{{"key":"bench-kill-{client}"}}"#));
    let mut caller = Caller::new(addresses);
    let mut told = Told::default();
    while !is_over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let sum = caller.ask(request.as_bytes()).and_then(value);
        told.hear(sum).map_err(|why| format!("client {client}: {why}"))?;
        if sum.is_some() {
            // At the end the receiver is gone.
            let _ = acknowledged.send(Acknowledged { sent, at: Instant::now() });
        }
    }
    Ok(told)
}

/// The sum in an answer.
fn value(body: &[u8]) -> Option<u64> {
    Json::parse(body).ok()?.get("value")?.as_u64()
}

/// Kills the leader again and again: milliseconds to the next acknowledged write.
fn kill_leaders(
    cluster: &mut Cluster,
    kills: usize,
    acknowledged: &Receiver<Acknowledged>,
) -> Result<Vec<f64>, Failure> {
    let mut random = Random(1); // only the moments of the kills come from here
    let mut progress = Progress::default();
    let mut outages_ms = Vec::new();
    for kill in 1..=kills {
        progress.show(|| format!("kill {kill} of {kills}"));
        let leader = target::settled(cluster)?;
        thread::sleep(Duration::from_micros(1000 * REST_MS + random.between(0, 1000 * REST_MS)));
        outages_ms.push(kill_leader(cluster, leader, acknowledged)?);
        cluster.start(leader)?;
        catches_up(cluster, leader)?;
    }
    Ok(outages_ms)
}

/// Kills this node: milliseconds to the next acknowledged write.
fn kill_leader(
    cluster: &mut Cluster,
    leader: NodeId,
    acknowledged: &Receiver<Acknowledged>,
) -> Result<f64, Failure> {
    let killed = Instant::now();
    cluster.kill(leader);
    // Before it is dead, it may acknowledge what was sent after our look at the clock.
    let dead = Instant::now();
    while let Ok(write) = acknowledged.recv_timeout(PATIENCE) {
        if write.sent > dead {
            return Ok((write.at - killed).as_secs_f64() * 1000.0);
        }
    }
    let seconds = PATIENCE.as_secs();
    Err(Failure::Running(format!("after {leader} was killed, no write was done for {seconds} s")))
}

/// Waits until a node has applied what was committed when it started.
fn catches_up(cluster: &mut Cluster, id: NodeId) -> Result<(), Failure> {
    let addresses = cluster.options.registry()?.nodes;
    let number = |id: NodeId, name: &str| {
        let status = node::ask(&addresses[&id], "GET", "/status", None, TIMEOUT).ok()?;
        status.get(name).and_then(Json::as_u64)
    };
    let leader = target::settled(cluster)?;
    let goal = number(leader, "commit_index");
    cluster.wait_for("the killed node to catch up", |_| {
        (number(id, "last_applied") >= goal).then_some(())
    })
}

/// The sum of a client's counter, after everything.
fn read(addresses: &[String], client: usize) -> Result<u64, Failure> {
    let request = format!("GET /api/get/bench-kill-{client} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut caller = Caller::new(addresses);
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let sum = caller.ask(request.as_bytes()).and_then(|body| Json::parse(body).ok());
        if let Some(sum) = sum {
            // A client with no acknowledged write may have written nothing.
            let sum = sum.get("value").and_then(Json::as_str).unwrap_or("0").parse();
            return sum.map_err(|_| Failure::Running("a counter is no number".to_string()));
        }
    }
    Err(Failure::NoAnswer("the sums cannot be read: no leader answers".to_string()))
}

fn report(options: &Options, outages_ms: Vec<f64>, told: &[Told]) -> Result<(), Failure> {
    let times = Times::new(outages_ms.into_iter());
    let [p50, p95, max] = [50, 95, 100].map(|percent| times.percentile(percent));
    let (least, most) = Timing::PAPER.election_timeout_ms;
    let acknowledged: u64 = told.iter().map(|told| told.acknowledged).sum();
    let (kills, clients) = (times.sorted().len() as u64, told.len() as u64);
    if options.json {
        return print_json(Json::object([
            ("kind", "failover".into()),
            ("kills", kills.into()),
            ("clients", clients.into()),
            ("p50_ms", rounded(p50)),
            ("p95_ms", rounded(p95)),
            ("max_ms", rounded(max)),
            ("election_timeout_ms", vec![least.into(), most.into()].into()),
            ("acknowledged", acknowledged.into()),
            ("lost", 0_u64.into()),
        ]));
    }
    print(&format!(
        "{}; election timeout {least}–{most} ms\n\n\
         kills of the leader {kills}, clients that write {clients}; from kill -9 to the next \
         acknowledged write\n\
         p50 {p50:.0} ms, p95 {p95:.0} ms, max {max:.0} ms\n\
         {acknowledged} writes were acknowledged, and none of them is lost\n",
        super::own(options)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hear_notices_what_is_lost_and_what_was_done_twice() {
        let mut told = Told::default();
        assert_eq!(told.hear(Some(1)), Ok(()));
        assert_eq!(told.hear(Some(2)), Ok(()));
        let lost = Err("of 3 acknowledged writes 2 are there".to_string());
        assert_eq!(told.clone().hear(Some(2)), lost);
        assert!(told.clone().hear(Some(4)).is_err(), "one was done twice");
        assert_eq!(told.hear(None), Ok(()));
        assert_eq!(told.clone().hear(Some(3)), Ok(()), "the one without an answer was not done");
        assert_eq!(told.clone().hear(Some(4)), Ok(()), "it was done");
        assert!(told.hear(Some(5)).is_err());
    }

    #[test]
    fn value_is_the_sum() {
        assert_eq!(value(br#"{"key":"bench-kill-0","value":7,"index":4,"term":1}"#), Some(7));
        assert_eq!(value(b"{}"), None);
    }
}
