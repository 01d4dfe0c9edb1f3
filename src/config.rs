//! The registry, `cluster.toml`: who is in the cluster, where each node lives, how fast time runs.
//!
//! `config/toml.rs` turns the file's text into tables. Here stand their meaning and their limits:
//! every table and key that raftlet knows, what a value may be, and what holds if it is left out.
//! What is unknown is refused, so that a misspelt key is never passed over in silence. Each error
//! is one line, `cluster.toml:3: …`, which names the thing and says what to do.
//! `config/environment.rs` makes the same of variables, for containers.

pub mod environment;
pub mod nearest;
mod toml;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::config::nearest::unknown;
use crate::node::message::NodeId;
use crate::node::step::Timing;
use crate::transport::options::{self, Kind};
use toml::{Data, Fault, Setting, Table, Value, shown};

/// What `cluster.toml` or the environment says, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's name: 1 to 64 letters, digits, `-`, `_` or `.`. Nodes and logs of a cluster
    /// of another name are refused.
    pub cluster: String,
    /// How fast time runs.
    pub timing: Timing,
    /// What carries the messages.
    pub transport: Kind,
    /// How many of a hundred outgoing messages are thrown away, 0 to 99, to try a bad network.
    pub drop_percent: u8,
    /// The address of each node, `host:port`. 1 to 9 nodes, no address twice.
    pub nodes: BTreeMap<NodeId, String>,
    /// Where this node listens, `host:port`; without it at its address in `nodes`. Only the
    /// environment says it: a file is the same for all nodes.
    pub bind: Option<String>,
    /// Where clients outside reach this node, `host:port`; without it at its address in `nodes`.
    /// Only the environment says it.
    pub advertise: Option<String>,
    /// From where faults may be made: a pause, a cut link.
    pub faults_from: FaultsFrom,
    /// How long a log may grow, in bytes of its file, until a snapshot takes its place; more if the
    /// state itself is larger.
    pub snapshot_after_bytes: u64,
}

/// Who may break a running cluster to see what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultsFrom {
    /// Only who is on the node's own machine.
    Loopback,
    /// Whoever reaches the node.
    Anywhere,
}

impl FaultsFrom {
    const NAMES: [&str; 2] = ["loopback", "anywhere"];

    /// The one of this name: `loopback` or `anywhere`.
    pub fn from_name(name: &str) -> Option<FaultsFrom> {
        match name {
            "loopback" => Some(FaultsFrom::Loopback),
            "anywhere" => Some(FaultsFrom::Anywhere),
            _ => None,
        }
    }
}

const MAX_NODES: usize = 9;
const MAX_NAME_CHARS: usize = 64;
/// One hour: whoever writes more has most likely mistaken the unit.
const MAX_TIME_MS: u64 = 60 * 60 * 1000;
/// What a log may grow to if nobody says otherwise.
const SNAPSHOT_AFTER_BYTES: u64 = 8 << 20;
/// Shorter, and a node would do little else than take snapshots; longer, and it never takes one.
const SNAPSHOT_AFTER_LIMITS: RangeInclusive<u64> = 1024..=1 << 40;

impl Config {
    /// What the transport of this node is told.
    pub fn transport_options(&self, me: NodeId) -> options::Options {
        let Config { cluster, nodes, transport: kind, drop_percent, bind, advertise, .. } =
            self.clone();
        let bind = bind.or(nodes.get(&me).cloned()).unwrap_or_default();
        options::Options { cluster, me, nodes, kind, drop_percent, bind, advertise }
    }

    /// What holds without a file: three nodes on this machine, slow enough to watch.
    pub fn built_in() -> Config {
        Config { cluster: "raftlet".to_string(), ..Config::of(3) }
    }

    /// So many nodes on this machine, 1 to 9, without a file: `localhost:5001` and on. The count is
    /// in the cluster's name, so that no node takes up the log of a cluster of another size.
    pub fn of(count: u64) -> Config {
        let mut nodes = BTreeMap::new();
        for id in 1..=count {
            nodes.insert(NodeId(id), format!("localhost:{}", 5000 + id));
        }
        Config {
            cluster: format!("raftlet-of-{count}"),
            timing: Timing::WATCHABLE,
            transport: Kind::Tcp,
            drop_percent: 0,
            nodes,
            bind: None,
            advertise: None,
            faults_from: FaultsFrom::Loopback,
            snapshot_after_bytes: SNAPSHOT_AFTER_BYTES,
        }
    }

    /// Reads a file. The error is one line for people: `cannot read …` with the system's reason,
    /// or the file, the line and what is wrong there.
    pub fn load(path: &Path) -> Result<Config, String> {
        let file_name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| format!("cannot read {file_name}: {error}"))?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            let good = &bytes[..error.valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            format!("{file_name}:{line}: this is not UTF-8 text: save the file as UTF-8")
        })?;
        Config::parse(&file_name, text)
    }

    /// Reads the text of a file; `file_name` is for the error, which is one line as in
    /// [`Config::load`]. Tables and keys that are left out have the value of
    /// [`Config::built_in`].
    pub fn parse(file_name: &str, text: &str) -> Result<Config, String> {
        Config::from_toml(text)
            .map_err(|fault| format!("{file_name}:{}: {}", fault.line, fault.problem))
    }

    /// Where a process on the same machine reaches this node: at what it binds.
    pub fn local_address(&self, id: NodeId) -> Option<String> {
        let Some(bind) = &self.bind else { return self.nodes.get(&id).cloned() };
        match bind.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_unspecified() => {
                Some(format!("localhost:{}", address.port()))
            }
            _ => Some(bind.clone()),
        }
    }

    fn from_toml(text: &str) -> Result<Config, Fault> {
        let mut config = Config::built_in();
        for table in toml::read(text)? {
            match table.name.as_str() {
                "cluster" => config.read_cluster(&table)?,
                "timing" => config.read_timing(&table)?,
                "transport" => config.read_transport(&table)?,
                "log" => config.read_log(&table)?,
                "http" => config.read_http(&table)?,
                "nodes" => config.read_nodes(&table)?,
                name => {
                    let known = ["cluster", "timing", "transport", "log", "http", "nodes"];
                    let problem = unknown(&format!("table [{}]", shown(name)), name, &known);
                    return Err(Fault { line: table.line, problem });
                }
            }
        }
        Ok(config)
    }

    fn read_cluster(&mut self, table: &Table) -> Result<(), Fault> {
        for Setting { name, value } in &table.settings {
            match name.as_str() {
                "name" => self.cluster = read_cluster_name(value)?,
                _ => return Err(value.fault(unknown_key(table, name, &["name"]))),
            }
        }
        Ok(())
    }

    fn read_timing(&mut self, table: &Table) -> Result<(), Fault> {
        for Setting { name, value } in &table.settings {
            match name.as_str() {
                "heartbeat_ms" => self.timing.heartbeat_ms = read_milliseconds(name, value)?,
                "election_timeout_ms" => self.timing.election_timeout_ms = read_timeout(value)?,
                _ => {
                    let known = ["heartbeat_ms", "election_timeout_ms"];
                    return Err(value.fault(unknown_key(table, name, &known)));
                }
            }
        }
        check_heartbeat(self.timing, table)
    }

    fn read_transport(&mut self, table: &Table) -> Result<(), Fault> {
        for Setting { name, value } in &table.settings {
            match name.as_str() {
                "kind" => self.transport = read_kind(value)?,
                "drop_percent" => self.drop_percent = read_integer(name, value, 0..=99)? as u8,
                _ => {
                    let known = ["kind", "drop_percent"];
                    return Err(value.fault(unknown_key(table, name, &known)));
                }
            }
        }
        Ok(())
    }

    fn read_log(&mut self, table: &Table) -> Result<(), Fault> {
        for Setting { name, value } in &table.settings {
            match name.as_str() {
                "snapshot_after_bytes" => {
                    self.snapshot_after_bytes = read_integer(name, value, SNAPSHOT_AFTER_LIMITS)?;
                }
                _ => return Err(value.fault(unknown_key(table, name, &["snapshot_after_bytes"]))),
            }
        }
        Ok(())
    }

    fn read_http(&mut self, table: &Table) -> Result<(), Fault> {
        for Setting { name, value } in &table.settings {
            match name.as_str() {
                "faults_from" => self.faults_from = read_faults_from(value)?,
                _ => return Err(value.fault(unknown_key(table, name, &["faults_from"]))),
            }
        }
        Ok(())
    }

    fn read_nodes(&mut self, table: &Table) -> Result<(), Fault> {
        self.nodes.clear();
        for Setting { name, value } in &table.settings {
            let id = read_node_id(name).map_err(|problem| value.fault(problem))?;
            let address = read_address(name, value)?;
            if let Some(problem) = self.clash(id, address) {
                return Err(value.fault(problem));
            }
            self.nodes.insert(id, address.to_string());
        }
        if self.nodes.is_empty() {
            let problem = "[nodes] is empty: add a node, such as 1 = \"localhost:5001\"".into();
            return Err(Fault { line: table.line, problem });
        }
        Ok(())
    }

    /// Why a node cannot join those before it. (An id that stands twice is a key that stands
    /// twice, which TOML forbids.)
    fn clash(&self, id: NodeId, address: &str) -> Option<String> {
        if self.nodes.len() == MAX_NODES {
            return Some(format!("{id} is one node too many: a cluster has 1 to {MAX_NODES}"));
        }
        let same = |other: &str| comparable(other) == comparable(address);
        let (other, _) = self.nodes.iter().find(|(_, other)| same(other))?;
        Some(format!("{id} has the address of {other}, \"{address}\": give each node its own"))
    }
}

fn read_cluster_name(value: &Value) -> Result<String, Fault> {
    let name = read_string("name", value)?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(is_allowed) {
        return Err(value.fault(format!(
            "the cluster's name must be 1 to {MAX_NAME_CHARS} letters a-z A-Z, digits, \
             `-`, `_` or `.`, not \"{}\"",
            shown(name)
        )));
    }
    Ok(name.to_string())
}

fn read_timeout(value: &Value) -> Result<(u64, u64), Fault> {
    let name = "election_timeout_ms";
    let Data::Array(values) = &value.data else {
        return Err(wrong_type(name, value, "an array, [shortest, longest]"));
    };
    let [shortest, longest] = values.as_slice() else {
        let found = values.len();
        return Err(value
            .fault(format!("`{name}` must have two integers, [shortest, longest], not {found}")));
    };
    let min_ms = read_milliseconds("election_timeout_ms[0]", shortest)?;
    let max_ms = read_milliseconds("election_timeout_ms[1]", longest)?;
    if min_ms > max_ms {
        return Err(shortest.fault(format!(
            "`{name}` is [shortest, longest], but {min_ms} is over {max_ms}: \
             write [{max_ms}, {min_ms}]"
        )));
    }
    Ok((min_ms, max_ms))
}

/// Heartbeats must reach followers well before these lose patience and start elections (§5.6). The
/// limit is the one of the paper's own trials, half of the shortest timeout (§9.3).
fn check_heartbeat(timing: Timing, table: &Table) -> Result<(), Fault> {
    let Timing { heartbeat_ms, election_timeout_ms: (min_ms, _) } = timing;
    if heartbeat_ms * 2 <= min_ms {
        return Ok(());
    }
    // To blame is the heartbeat; or the timeout, if the heartbeat is the built-in one.
    let heartbeat = table.settings.iter().find(|setting| setting.name == "heartbeat_ms");
    let to_blame = heartbeat.or(table.settings.first()).expect("the built-in timing is sound");
    Err(to_blame.value.fault(format!(
        "the heartbeat, {heartbeat_ms} ms, is over half of the shortest election timeout, \
         {min_ms} ms: make it smaller, or late heartbeats will start elections (§5.6)"
    )))
}

fn read_kind(value: &Value) -> Result<Kind, Fault> {
    let name = read_string("kind", value)?;
    Kind::from_name(name).ok_or_else(|| {
        let what = format!("transport kind \"{}\"", shown(name));
        value.fault(unknown(&what, name, &["tcp", "udp"]))
    })
}

fn read_faults_from(value: &Value) -> Result<FaultsFrom, Fault> {
    let name = read_string("faults_from", value)?;
    FaultsFrom::from_name(name).ok_or_else(|| {
        let what = format!("place \"{}\" for faults_from", shown(name));
        value.fault(unknown(&what, name, &FaultsFrom::NAMES))
    })
}

fn read_node_id(name: &str) -> Result<NodeId, String> {
    match name.parse::<u64>() {
        // One spelling for each id, so `01` and `+1` are none.
        Ok(id) if id > 0 && id.to_string() == name => Ok(NodeId(id)),
        _ => Err(format!("`{}` is not a node's id: write 1, 2, 3 and so on", shown(name))),
    }
}

fn read_address<'a>(name: &str, value: &'a Value) -> Result<&'a str, Fault> {
    let address = read_string(name, value)?;
    if is_address(address) {
        return Ok(address);
    }
    Err(value.fault(format!(
        "\"{}\" is not an address: write host:port, such as localhost:5001 or [::1]:5001, \
         with a port from 1 to 65535",
        shown(address)
    )))
}

/// Is this `host:port`? Nobody is asked whether such a host exists: it may come up later.
fn is_address(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() > 0;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    is_port && is_host_name(host)
}

/// Is this a name for the domain name system (RFC 1123 §2.1)? Underscores are allowed as well, for
/// containers have them in their names. Numbers alone are a mistaken IP address.
fn is_host_name(host: &str) -> bool {
    let in_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(in_label);
    host.len() <= 253
        && host.split('.').all(is_label)
        && host.chars().any(|c| !c.is_ascii_digit() && c != '.')
}

/// One spelling for each address: of names the case does not count, of numbers the form.
fn comparable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => address.to_ascii_lowercase(),
    }
}

fn read_string<'a>(name: &str, value: &'a Value) -> Result<&'a str, Fault> {
    match &value.data {
        Data::String(text) => Ok(text),
        _ => Err(wrong_type(name, value, "a string in quotes")),
    }
}

fn read_milliseconds(name: &str, value: &Value) -> Result<u64, Fault> {
    read_integer(name, value, 1..=MAX_TIME_MS)
}

fn read_integer(name: &str, value: &Value, limits: RangeInclusive<u64>) -> Result<u64, Fault> {
    let Data::Integer(found) = value.data else {
        return Err(wrong_type(name, value, "an integer"));
    };
    match u64::try_from(found) {
        Ok(number) if limits.contains(&number) => Ok(number),
        _ => {
            let (min, max) = limits.into_inner();
            Err(value.fault(format!("`{name}` must be from {min} to {max}, not {found}")))
        }
    }
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Fault {
    let found = match &value.data {
        Data::String(text) => format!("the string \"{}\"", shown(text)),
        Data::Integer(number) => format!("the integer {number}"),
        Data::Boolean(truth) => format!("the boolean {truth}"),
        Data::Array(_) => "an array".to_string(),
    };
    value.fault(format!("`{name}` must be {wanted}, not {found}"))
}

fn unknown_key(table: &Table, name: &str, known: &[&str]) -> String {
    unknown(&format!("key `{}` in [{}]", shown(name), table.name), name, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse("cluster.toml", text)
    }

    /// Asserts that each text is refused with this line.
    fn assert_refused(cases: &[(&str, &str)]) {
        for &(text, expected) in cases {
            assert_eq!(parse(text), Err(expected.to_string()), "{text:?}");
        }
    }

    #[test]
    fn parse_of_the_file_in_the_repository_gives_what_is_built_in() {
        assert_eq!(parse(include_str!("../cluster.toml")), Ok(Config::built_in()));
    }

    #[test]
    fn parse_of_nothing_gives_what_is_built_in() {
        assert_eq!(parse(""), Ok(Config::built_in()));
        assert_eq!(parse("[cluster]\n[timing]\n[transport]"), Ok(Config::built_in()));
    }

    #[test]
    fn of_is_so_many_nodes_under_a_name_of_their_own() {
        let config = Config::of(2);
        let node = |id| (NodeId(id), format!("localhost:500{id}"));
        assert_eq!(config.cluster, "raftlet-of-2");
        assert_eq!(config.nodes, BTreeMap::from([node(1), node(2)]));
    }

    #[test]
    fn local_address_is_what_the_node_binds() {
        let address = |bind: Option<&str>| {
            let config = Config { bind: bind.map(String::from), ..Config::of(1) };
            config.local_address(NodeId(1)).expect("it is in the registry")
        };
        assert_eq!(address(None), "localhost:5001");
        assert_eq!(address(Some("0.0.0.0:80")), "localhost:80");
        assert_eq!(address(Some("[::]:80")), "localhost:80");
        assert_eq!(address(Some("10.0.0.1:80")), "10.0.0.1:80");
        assert_eq!(Config::of(1).local_address(NodeId(2)), None);
    }

    #[test]
    fn parse_reads_every_key() {
        let text = "
            [transport]
            kind = 'udp'
            drop_percent = 99
            [nodes]
            12 = \"raft-a.example_net:1\"
            '1' = \"[::1]:65535\"
            3 = \"192.0.2.1:5001\"
            [timing]
            election_timeout_ms = [
                150,
                3_600_000,
            ]
            heartbeat_ms = 75
            [http]
            faults_from = 'anywhere'
            [log]
            snapshot_after_bytes = 1_048_576
            [cluster]
            name = \"Class-of_20.26\"";
        let node = |id, address: &str| (NodeId(id), address.to_string());
        let expected = Config {
            cluster: "Class-of_20.26".to_string(),
            timing: Timing { heartbeat_ms: 75, election_timeout_ms: (150, 3_600_000) },
            transport: Kind::Udp,
            drop_percent: 99,
            nodes: BTreeMap::from([
                node(1, "[::1]:65535"),
                node(3, "192.0.2.1:5001"),
                node(12, "raft-a.example_net:1"),
            ]),
            bind: None,
            advertise: None,
            faults_from: FaultsFrom::Anywhere,
            snapshot_after_bytes: 1 << 20,
        };
        assert_eq!(parse(text), Ok(expected));
    }

    /// What stands there has every key, and none that there is not.
    #[test]
    fn parse_reads_the_file_of_the_document() {
        let document = include_str!("../docs/PROTOCOL.md");
        let block = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let node = |id, address: &str| (NodeId(id), address.to_string());
        let expected = Config {
            cluster: "class-of-2026".to_string(),
            timing: Timing { heartbeat_ms: 75, election_timeout_ms: (150, 300) },
            transport: Kind::Udp,
            drop_percent: 10,
            nodes: BTreeMap::from([
                node(1, "raft-a:5001"),
                node(2, "192.0.2.1:5001"),
                node(3, "[::1]:5001"),
            ]),
            bind: None,
            advertise: None,
            faults_from: FaultsFrom::Anywhere,
            snapshot_after_bytes: 16 << 20,
        };
        assert_eq!(parse(block.expect("a block")), Ok(expected));
        let keys = block.unwrap_or_default().lines().filter_map(|line| line.split_once(" = "));
        for (key, _) in keys.filter(|(key, _)| key.parse::<u64>().is_err()) {
            assert!(document.contains(&format!("\n| `{key}` | ")), "{key} is not explained");
        }
    }

    #[test]
    fn parse_refuses_unknown_names_and_offers_the_nearest() {
        assert_refused(&[
            (
                "\n[node]\n1 = 2",
                "cluster.toml:2: unknown table [node]: \
                 known are cluster, timing, transport, log, http, nodes; did you mean nodes?",
            ),
            (
                "['a\tb']",
                "cluster.toml:1: unknown table [a\\tb]: \
                 known are cluster, timing, transport, log, http, nodes",
            ),
            (
                "[timing]\nheartbeat = 500",
                "cluster.toml:2: unknown key `heartbeat` in [timing]: \
                 known are heartbeat_ms, election_timeout_ms; did you mean heartbeat_ms?",
            ),
            (
                "[transport]\nkind = 'tcp'\nprotocol = 'udp'",
                "cluster.toml:3: unknown key `protocol` in [transport]: \
                 known are kind, drop_percent",
            ),
            (
                "[http]\nfaults_from = 'loopbak'",
                "cluster.toml:2: unknown place \"loopbak\" for faults_from: \
                 known are loopback, anywhere; did you mean loopback?",
            ),
            (
                "[http]\nfaults = 'loopback'",
                "cluster.toml:2: unknown key `faults` in [http]: known are faults_from",
            ),
            (
                "[log]\nsnapshot_after_bytes = 0",
                "cluster.toml:2: `snapshot_after_bytes` must be from 1024 to 1099511627776, not 0",
            ),
            (
                "[cluster]\nnmae = 'x'",
                "cluster.toml:2: unknown key `nmae` in [cluster]: \
                 known are name; did you mean name?",
            ),
            (
                "[transport]\nkind = \"upd\"",
                "cluster.toml:2: unknown transport kind \"upd\": known are tcp, udp",
            ),
            (
                "[transport]\nkind = \"ucp\"",
                "cluster.toml:2: unknown transport kind \"ucp\": \
                 known are tcp, udp; did you mean tcp?",
            ),
        ]);
    }

    #[test]
    fn parse_refuses_wrong_types() {
        assert_refused(&[
            (
                "[cluster]\nname = 1",
                "cluster.toml:2: `name` must be a string in quotes, not the integer 1",
            ),
            (
                "[timing]\nheartbeat_ms = \"500\"",
                "cluster.toml:2: `heartbeat_ms` must be an integer, not the string \"500\"",
            ),
            (
                "[timing]\nelection_timeout_ms = 2000",
                "cluster.toml:2: `election_timeout_ms` must be an array, [shortest, longest], \
                 not the integer 2000",
            ),
            (
                "[timing]\nelection_timeout_ms = [\n  2000,\n  true\n]",
                "cluster.toml:4: `election_timeout_ms[1]` must be an integer, \
                 not the boolean true",
            ),
            (
                "[timing]\nelection_timeout_ms = [2000]",
                "cluster.toml:2: `election_timeout_ms` must have two integers, \
                 [shortest, longest], not 1",
            ),
            (
                "[transport]\nkind = true",
                "cluster.toml:2: `kind` must be a string in quotes, not the boolean true",
            ),
            (
                "[nodes]\n1 = ['localhost:5001']",
                "cluster.toml:2: `1` must be a string in quotes, not an array",
            ),
            (
                "[nodes]\n1 = 'localhost:5001'\n2 = 5002",
                "cluster.toml:3: `2` must be a string in quotes, not the integer 5002",
            ),
        ]);
    }

    #[test]
    fn parse_refuses_numbers_beyond_their_limits() {
        assert_refused(&[
            (
                "[timing]\nheartbeat_ms = 0",
                "cluster.toml:2: `heartbeat_ms` must be from 1 to 3600000, not 0",
            ),
            (
                "[timing]\nheartbeat_ms = -500",
                "cluster.toml:2: `heartbeat_ms` must be from 1 to 3600000, not -500",
            ),
            (
                "[timing]\nelection_timeout_ms = [0, 4000]",
                "cluster.toml:2: `election_timeout_ms[0]` must be from 1 to 3600000, not 0",
            ),
            (
                "[timing]\nelection_timeout_ms = [2000,\n3600001]",
                "cluster.toml:3: `election_timeout_ms[1]` must be from 1 to 3600000, not 3600001",
            ),
            (
                "[transport]\ndrop_percent = 100",
                "cluster.toml:2: `drop_percent` must be from 0 to 99, not 100",
            ),
        ]);
    }

    #[test]
    fn parse_refuses_timing_that_cannot_work() {
        let late = |heartbeat, min| {
            format!(
                "the heartbeat, {heartbeat} ms, is over half of the shortest election timeout, \
                 {min} ms: make it smaller, or late heartbeats will start elections (§5.6)"
            )
        };
        assert_refused(&[
            (
                "[timing]\nelection_timeout_ms = [\n4000,\n2000]",
                "cluster.toml:3: `election_timeout_ms` is [shortest, longest], \
                 but 4000 is over 2000: write [2000, 4000]",
            ),
            (
                "[timing]\nheartbeat_ms = 101\nelection_timeout_ms = [200, 300]",
                &format!("cluster.toml:2: {}", late(101, 200)),
            ),
            (
                "[timing]\nelection_timeout_ms = [200, 300]\nheartbeat_ms = 101",
                &format!("cluster.toml:3: {}", late(101, 200)),
            ),
            (
                "[timing]\n\nelection_timeout_ms = [999, 4000]",
                &format!("cluster.toml:3: {}", late(500, 999)),
            ),
            ("[timing]\nheartbeat_ms = 1001", &format!("cluster.toml:2: {}", late(1001, 2000))),
        ]);
        // Exactly half will do, and so will a timeout that is not random (the paper's 150–150).
        let text = "[timing]\nheartbeat_ms = 75\nelection_timeout_ms = [150, 150]";
        let expected = Timing { heartbeat_ms: 75, election_timeout_ms: (150, 150) };
        assert_eq!(parse(text).map(|config| config.timing), Ok(expected));
    }

    #[test]
    fn parse_refuses_bad_cluster_names() {
        let longest = "x".repeat(64);
        let text = format!("[cluster]\nname = \"{longest}\"");
        assert_eq!(parse(&text).map(|config| config.cluster), Ok(longest));

        let too_long = "x".repeat(65);
        let shown_too_long = format!("{}…", "x".repeat(40));
        for (name, shown) in [
            ("", ""),
            ("my raft", "my raft"),
            ("räft", "räft"),
            ("a\\nb", "a\\nb"),
            (&too_long, &shown_too_long),
        ] {
            let expected = format!(
                "cluster.toml:2: the cluster's name must be 1 to 64 letters a-z A-Z, digits, \
                 `-`, `_` or `.`, not \"{shown}\""
            );
            assert_eq!(parse(&format!("[cluster]\nname = \"{name}\"")), Err(expected));
        }
    }

    #[test]
    fn parse_refuses_bad_node_ids() {
        for id in ["0", "01", "-1", "a", "''", "'+1'", "1x", "18446744073709551616"] {
            let text = format!("[nodes]\n1 = 'a:1'\n{id} = 'localhost:5001'");
            let shown = id.trim_matches('\'');
            let expected =
                format!("cluster.toml:3: `{shown}` is not a node's id: write 1, 2, 3 and so on");
            assert_eq!(parse(&text), Err(expected));
        }
        assert_refused(&[(
            "[nodes]\n1 = 'a:1'\n\"1\" = 'b:1'",
            "cluster.toml:3: `1` is set twice, first on line 2: remove one of the two",
        )]);
    }

    #[test]
    fn parse_refuses_bad_addresses() {
        let bad = [
            "",
            "localhost",
            "5001",
            ":5001",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:05001",
            "localhost:+5001",
            "localhost:http",
            "local host:5001",
            " localhost:5001",
            "http://localhost:5001",
            "localhost:5001/",
            "a..b:5001",
            ".a:5001",
            "::1:5001",
            "::1",
            "[::1]",
            "[::1]:0",
            "[::1:5001",
            "[localhost]:5001",
            "127.0.0:5001",
            "127.0.0.256:5001",
            "127.0.0.1:0",
            "höst:5001",
        ];
        for address in bad {
            let expected = format!(
                "cluster.toml:3: \"{address}\" is not an address: write host:port, such as \
                 localhost:5001 or [::1]:5001, with a port from 1 to 65535"
            );
            assert_eq!(parse(&format!("[nodes]\n1 = 'a:1'\n2 = '{address}'")), Err(expected));
        }
    }

    #[test]
    fn is_address_knows_the_limits_of_the_domain_name_system() {
        let host = |labels: [usize; 4]| labels.map(|length| "x".repeat(length)).join(".") + ":1";
        assert!(is_address(&host([63, 63, 63, 61])));
        assert!(!is_address(&host([63, 63, 63, 62])));
        assert!(!is_address(&host([1, 1, 64, 1])));
    }

    #[test]
    fn parse_refuses_an_address_that_stands_twice() {
        let pairs =
            [("a:5001", "a:5001"), ("host:5001", "HOST:5001"), ("[::1]:5001", "[0:0::1]:5001")];
        for (first, second) in pairs {
            let text = format!("[nodes]\n1 = '{first}'\n2 = 'b:5001'\n3 = '{second}'");
            let expected = format!(
                "cluster.toml:4: n3 has the address of n1, \"{second}\": give each node its own"
            );
            assert_eq!(parse(&text), Err(expected));
        }
    }

    #[test]
    fn parse_takes_one_to_nine_nodes() {
        let nodes = |count: u64| -> String {
            let lines = (1..=count).map(|id| format!("{id} = 'localhost:{}'\n", 6000 + id));
            "[nodes]\n".to_string() + &lines.collect::<String>()
        };
        for count in [1, 9] {
            let config = parse(&nodes(count)).expect("this many nodes are allowed");
            assert_eq!(config.nodes.len() as u64, count);
        }
        assert_refused(&[
            (
                &nodes(0),
                "cluster.toml:1: [nodes] is empty: add a node, such as 1 = \"localhost:5001\"",
            ),
            (&nodes(10), "cluster.toml:11: n10 is one node too many: a cluster has 1 to 9"),
        ]);
    }

    #[test]
    fn parse_passes_on_what_the_toml_reader_refuses() {
        assert_refused(&[(
            "[timing]\r\nheartbeat_ms = 0.5\r\n",
            "cluster.toml:2: `0.5`: floats are not supported, write an integer",
        )]);
    }

    #[test]
    fn load_reads_a_file_or_says_why_not() {
        let directory = std::env::temp_dir().join(format!("raftlet-config-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for the test");
        let path = directory.join("cluster.toml");
        let missing = Config::load(&path);
        fs::write(&path, "[transport]\r\nkind = 'udp'\r\n").expect("a file for the test");
        let good = Config::load(&path);
        fs::write(&path, b"[transport]\n# M\xfcller\n").expect("a file for the test");
        let latin = Config::load(&path);
        fs::remove_dir_all(&directory).expect("the test's own directory");

        let shown = path.display();
        let missing = missing.expect_err("there is no file yet");
        assert!(missing.starts_with(&format!("cannot read {shown}: ")), "{missing}");
        assert_eq!(good.map(|config| config.transport), Ok(Kind::Udp));
        let expected = format!("{shown}:2: this is not UTF-8 text: save the file as UTF-8");
        assert_eq!(latin, Err(expected));
    }

    /// Cuts, moves and sprinkles parts of a good file at random, always the same way: whatever
    /// comes out must be read or refused with one line.
    #[test]
    fn parse_survives_mangled_files() {
        let sprinkles: Vec<char> = "\n\r\t []{}\"'\\u=,.#-+09xé\0\u{feff}".chars().collect();
        let original: Vec<char> = include_str!("../cluster.toml").chars().collect();
        let mut state: u64 = 1;
        // The random numbers of Knuth's MMIX; the upper bits are the good ones.
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % limit
        };
        for _ in 0..5_000 {
            let mut text = original.clone();
            for _ in 0..1 + below(4) {
                let start = below(text.len());
                let end = start + below((text.len() - start).min(20) + 1);
                let moved = below(text.len());
                let count = below(4);
                let piece: Vec<char> =
                    (0..count).map(|_| sprinkles[below(sprinkles.len())]).collect();
                let cut: Vec<char> = text.splice(start..end, piece).collect();
                let place = moved.min(text.len());
                text.splice(place..place, cut);
            }
            let text: String = text.into_iter().collect();
            if let Err(error) = parse(&text) {
                assert!(error.starts_with("cluster.toml:"), "{error}");
                assert!(!error.contains(char::is_control), "{error:?}");
            }
        }
    }
}
