//! Figure 16 with real processes: the leader of a cluster on this machine is killed again and
//! again.
//!
//! It is `kill -9` at a random point of the heartbeat interval. Then the survivors are asked,
//! every millisecond, until one of them names another leader; then a write is sent to that one.
//! The killed node starts again, and once all five have the same log, it is the next one's turn.

use std::thread;
use std::time::{Duration, Instant};

use super::super::cluster::{Cluster, Settled};
use super::super::failure::Failure;
use super::super::progress::Progress;
use super::super::{ask, child};
use crate::client::Client;
use crate::http::client::Connection;
use crate::json::Json;
use crate::lab::experiment::election_timeout::ROWS;
use crate::lab::experiment::table::{Measured, table};
use crate::lab::experiment::times::Times;
use crate::node::message::NodeId;
use crate::node::step::{Random, Timing};

const SERVERS: u64 = 5;

/// As in the paper: the heartbeat interval is half the least timeout.
const TIMING: Timing = Timing { heartbeat_ms: 75, election_timeout_ms: (150, 300) };

/// How often to ask whether there is a new leader.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long a survivor may take to tell who leads.
const TIMEOUT: Duration = Duration::from_secs(2);

const ABOUT: &str = "\
From kill -9 of the leader until a survivor names another, and until that one has acknowledged a
write. Five processes on this machine, each with a disk that it waits for; heartbeat 75 ms. Their
logs are equal, and a message takes far less than the paper's 15 ms there and back: so votes are
split less often.
";

/// What so many kills of the leader cost.
pub fn election_timeout(kills: usize) -> Result<String, Failure> {
    let mut cluster = Cluster::new(child::program()?, SERVERS, TIMING)?;
    cluster.start_all()?;
    let (mut elected, mut written) = (Vec::new(), Vec::new());
    // Only the moments of the kills come from here.
    let mut random = Random(1);
    let mut progress = Progress::default();
    for kill in 1..=kills {
        progress.show(|| format!("kill {kill} of {kills}"));
        let (new_leader_ms, write_ms) = kill_leader(&mut cluster, &mut random)?;
        elected.push(new_leader_ms);
        written.push(write_ms);
    }
    let measured = |name: &str, times: Vec<f64>, paper| Measured {
        name: name.to_string(),
        times: Times::new(times.into_iter()),
        paper,
    };
    let row = ROWS.iter().find(|row| row.timeout_ms == TIMING.election_timeout_ms);
    let rows = [
        measured("a new leader", elected, row.map(|row| row.paper)),
        measured("a write", written, None),
    ];
    let title =
        "Milliseconds without a leader after kill -9, real processes, election timeout 150–300";
    Ok(format!("{title}\n\n{}\n{ABOUT}", table(&rows, ["", ""])))
}

/// Kills the leader and starts it again: milliseconds until there is a new one, and until that one
/// has acknowledged a write.
fn kill_leader(cluster: &mut Cluster, random: &mut Random) -> Result<(f64, f64), Failure> {
    let settled = |cluster: &Cluster| cluster.settled();
    cluster.wait_for("five equal logs", settled)?;
    thread::sleep(Duration::from_micros(random.between(0, TIMING.heartbeat_ms * 1000 - 1)));
    let Settled { leader: old, .. } = cluster.wait_for("five equal logs", settled)?;
    let addresses = cluster.options.registry()?.nodes;
    let mut survivors = Vec::new();
    for (_, address) in addresses.iter().filter(|&(&id, _)| id != old) {
        let connection = Connection::open(address, TIMEOUT);
        survivors.push(connection.map_err(|error| Failure::Running(error.to_string()))?);
    }

    let killed = Instant::now();
    let elapsed_ms = || killed.elapsed().as_secs_f64() * 1000.0;
    cluster.kill(old);
    let new = cluster.wait_closely(LOOK_EVERY, "a new leader", |_| {
        survivors.iter_mut().filter_map(leader_by).find(|&leader| leader != old)
    })?;
    let new_leader_ms = elapsed_ms();
    let mut client = Client::new(vec![addresses[&new].clone()], ask::TIMEOUT, |_| {});
    client.set("killed", &old.to_string())?;
    let write_ms = elapsed_ms();
    cluster.start(old)?;
    Ok((new_leader_ms, write_ms))
}

/// Who leads, as far as this node knows.
fn leader_by(node: &mut Connection) -> Option<NodeId> {
    let reply = node.request("GET", "/status", None, TIMEOUT).ok()?;
    Json::parse(&reply.body).ok()?.get("leader").and_then(Json::as_u64).map(NodeId)
}
