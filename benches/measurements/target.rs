//! What is measured: a cluster of raftlet or of etcd, where its nodes are, and how a write and a
//! read are put to it.
//!
//! Both get the same keys and values, and in both the client talks to the leader. The bytes of a
//! request around its key are made once: to put one together is to copy three pieces.

use std::time::Duration;

use super::{etcd, proc};
use raftlet::cli::cluster::Cluster;
use raftlet::cli::failure::Failure;
use raftlet::cli::node;
use raftlet::json::Json;
use raftlet::node::message::NodeId;
use raftlet::node::step::Random;

/// How many keys there are.
pub const KEYS: u64 = 10_000;

/// How long a node may take to name the leader.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// What clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Writes.
    Set,
    /// Linearizable reads.
    Get,
    /// As many of the one as of the other, in any order.
    Mixed,
}

impl Mix {
    /// All of them.
    pub const ALL: [Mix; 3] = [Mix::Set, Mix::Get, Mix::Mixed];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Mix::Set => "set",
            Mix::Get => "get",
            Mix::Mixed => "mixed",
        }
    }
}

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// This one.
    Raftlet,
    /// etcd, through its JSON gateway.
    Etcd,
}

impl System {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            System::Raftlet => "raftlet",
            System::Etcd => "etcd",
        }
    }
}

/// A cluster that is measured.
pub struct Target {
    /// What it is called.
    pub name: String,
    /// Where its nodes are, `host:port`, the leader first.
    pub addresses: Vec<String>,
    /// The nodes' processes on this machine, as far as they are known, the leader first.
    pub processes: Vec<u32>,
    pub requests: Requests,
}

impl Target {
    /// The cluster of raftlet of which this is a node.
    pub fn raftlet(address: &str, value_bytes: usize) -> Result<Target, Failure> {
        let addresses = nodes(address).map_err(Failure::Running)?;
        Ok(Target::new(System::Raftlet, addresses, value_bytes))
    }

    /// A cluster of our own, once all its nodes know the leader.
    pub fn own(cluster: &mut Cluster, value_bytes: usize) -> Result<Target, Failure> {
        let leader = settled(cluster)?;
        Target::raftlet(&cluster.options.registry()?.nodes[&leader], value_bytes)
    }

    /// The etcd of which this is a member.
    pub fn etcd(address: &str, value_bytes: usize) -> Result<Target, Failure> {
        let addresses = etcd::members(address).map_err(Failure::Running)?;
        Ok(Target::new(System::Etcd, addresses, value_bytes))
    }

    fn new(system: System, addresses: Vec<String>, value_bytes: usize) -> Target {
        let processes = addresses.iter().filter_map(|address| proc::behind(address)).collect();
        let requests = Requests::new(system, value_bytes);
        Target { name: system.name().to_string(), addresses, processes, requests }
    }
}

/// The nodes of a raftlet, the leader first.
fn nodes(address: &str) -> Result<Vec<String>, String> {
    let status = node::ask(address, "GET", "/status", None, TIMEOUT)?;
    let text = |json: &Json| json.as_str().map(str::to_string);
    let Some(leader) = status.get("leader_address").and_then(text) else {
        return Err(format!("{address} knows of no leader: raftlet status shows why"));
    };
    // A node may have more than one name. The node that was asked counts once, by the name used
    // here.
    let is_leader = status.get("id") == status.get("leader");
    let leader = if is_leader { address.to_string() } else { leader };
    let peers = status.get("peers").and_then(Json::as_array).unwrap_or_default();
    let peers = peers.iter().filter_map(|peer| peer.get("address").and_then(text));
    let others = peers.chain([address.to_string()]).filter(|address| *address != leader);
    Ok([leader.clone()].into_iter().chain(others).collect())
}

/// Waits until all nodes of a cluster of our own name the same leader, and gives it.
pub fn settled(cluster: &mut Cluster) -> Result<NodeId, Failure> {
    let addresses = cluster.options.registry()?.nodes;
    cluster.wait_for("a leader that all nodes know", |_| {
        let leaders = addresses.values().map(|address| leader_by(address));
        let leaders = leaders.collect::<Option<Vec<NodeId>>>()?;
        leaders.iter().all(|leader| *leader == leaders[0]).then_some(leaders[0])
    })
}

/// The leader, as far as this node knows.
fn leader_by(address: &str) -> Option<NodeId> {
    let health = node::ask(address, "GET", "/health", None, TIMEOUT).ok()?;
    health.get("leader").and_then(Json::as_u64).map(NodeId)
}

/// A request without its key: what stands before the key, and what behind it.
struct Form {
    before: String,
    after: String,
}

/// All requests that clients send.
pub struct Requests {
    set: Form,
    get: Form,
    /// The keys, as they stand in a request. All have one length.
    keys: Vec<String>,
}

impl Requests {
    fn new(system: System, value_bytes: usize) -> Requests {
        let value = value(value_bytes);
        let key = |number| match system {
            System::Raftlet => format!("bench-{number:04}"),
            System::Etcd => etcd::base64(&format!("bench-{number:04}")),
        };
        let keys: Vec<String> = (0..KEYS).map(key).collect();
        let [set, get] = match system {
            System::Raftlet => [
                post("/api/set", &format!(r#"{{"key":"{}","value":"{value}"}}"#, keys[0])),
                "GET /api/get/bench-0000 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_string(),
            ],
            System::Etcd => [
                post("/v3/kv/put", &etcd::put(&keys[0], &value)),
                post("/v3/kv/range", &etcd::range(&keys[0])),
            ],
        };
        let form = |request: String| {
            let (before, after) = request.split_once(&keys[0]).expect("each has its key");
            Form { before: before.to_string(), after: after.to_string() }
        };
        Requests { set: form(set), get: form(get), keys }
    }

    /// Puts into `bytes`, in place of what is there, the request to write this key.
    pub fn set(&self, key: u64, bytes: &mut Vec<u8>) {
        self.fill(&self.set, key, bytes);
    }

    /// The same, to read it.
    pub fn get(&self, key: u64, bytes: &mut Vec<u8>) {
        self.fill(&self.get, key, bytes);
    }

    fn fill(&self, form: &Form, key: u64, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(form.before.as_bytes());
        bytes.extend_from_slice(self.keys[key as usize].as_bytes());
        bytes.extend_from_slice(form.after.as_bytes());
    }
}

/// A POST with this body.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A text of this length.
pub fn value(bytes: usize) -> String {
    let mut random = Random(1);
    let letters = (0..bytes).map(|_| char::from(b'a' + random.between(0, 25) as u8));
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(system: System) -> [String; 2] {
        let requests = Requests::new(system, 3);
        let mut bytes = b"what was there".to_vec();
        let mut text = |fill: fn(&Requests, u64, &mut Vec<u8>)| {
            fill(&requests, 42, &mut bytes);
            String::from_utf8(bytes.clone()).unwrap()
        };
        [text(Requests::set), text(Requests::get)]
    }

    #[test]
    fn requests_differ_in_their_key_alone() {
        let value = value(3);
        let [set, get] = requests(System::Raftlet);
        let body = format!(r#"{{"key":"bench-0042","value":"{value}"}}"#);
        assert_eq!(set, post("/api/set", &body));
        assert_eq!(get, "GET /api/get/bench-0042 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let [set, get] = requests(System::Etcd);
        let key = etcd::base64("bench-0042");
        assert_eq!(set, post("/v3/kv/put", &etcd::put(&key, &value)));
        assert_eq!(get, post("/v3/kv/range", &etcd::range(&key)));
    }

    #[test]
    fn post_tells_the_length_of_its_body() {
        let head = "POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(post("/p", "abc"), format!("{head}abc"));
    }
}
