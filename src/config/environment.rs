//! The registry from the environment: what a container has in place of a file.
//!
//! | variable | says |
//! |---|---|
//! | `NODE_ID` | which node this is: 1, 2, 3 and so on. Without it the environment says nothing |
//! | `PORT` | where it listens; if left out, 5000 + `NODE_ID` |
//! | `PEERS` | the others: `node2:5000,node3:5000` or `2=node2:5000`; without it a cluster of one |
//! | `HOST` | what it binds; if left out, loopback if all peers are there, else every interface |
//! | `ADVERTISE` | where clients outside reach it, such as `localhost:5001` |
//! | `FAULTS_FROM` | `loopback` or `anywhere`, as `faults_from` in the file |
//!
//! Peers without an id have the ids that are left, in order: for node 2, `a:5000,b:5000` are nodes
//! 1 and 3. `PEERS` may name this node as well, with its id; so it can be the same for all nodes.
//! A variable that is empty is not set. Each error is one line: the variable, what is wrong, and
//! what to do.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::toml::shown;
use super::{Config, FaultsFrom, is_address, is_host_name, read_node_id};
use crate::node::message::NodeId;

/// What the environment of this process says: which node this is, and the registry. `None` without
/// `NODE_ID`.
///
/// # Errors
/// One line for people.
pub fn of_process() -> Result<Option<(NodeId, Config)>, String> {
    read(|name| match env::var_os(name) {
        Some(value) => Some(value.to_string_lossy().into_owned()),
        // Shells know it, and do not tell their children.
        None if name == "HOSTNAME" => fs::read_to_string("/proc/sys/kernel/hostname").ok(),
        None => None,
    })
}

/// The same of any environment: `lookup` gives the value of a variable. `HOSTNAME` is the name of
/// this machine, for where it is not named otherwise.
///
/// # Errors
/// One line for people.
pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<(NodeId, Config)>, String> {
    let get = |name: &str| {
        let value = lookup(name).map(|value| value.trim().to_string());
        value.filter(|value| !value.is_empty())
    };
    let Some(id) = get("NODE_ID") else {
        return match get("PEERS") {
            Some(_) => Err("PEERS is set, but NODE_ID is not: say which node this is".to_string()),
            None => Ok(None),
        };
    };
    let id = read_node_id(&id).map_err(|problem| format!("NODE_ID: {problem}"))?;
    let mut peers = read_peers(id, get("PEERS"))?;
    let is_local = peers.values().all(|address| is_loopback(host_of(address)));
    let named = peers.remove(&id);
    let port = read_port(id, get("PORT"), named.as_deref())?;
    let host = get("HOST").map(|host| read_host(&host)).transpose()?;

    let mut config = Config { nodes: BTreeMap::new(), ..Config::built_in() };
    config.bind = match &host {
        Some(host) => Some(join(host, port)),
        None if is_local => None,
        None => Some(join(every_interface(&peers), port)),
    };
    let own_host = match host {
        Some(host) if !is_every_interface(&host) => host,
        _ if is_local => "localhost".to_string(),
        _ => get("HOSTNAME").filter(|name| is_host_name(name)).unwrap_or("localhost".to_string()),
    };
    config.nodes.insert(id, named.unwrap_or(join(&own_host, port)));
    config.add_peers(id, peers)?;
    if let Some(address) = get("ADVERTISE") {
        config.advertise = Some(read_address("ADVERTISE", &address)?.to_string());
    }
    if let Some(place) = get("FAULTS_FROM") {
        config.faults_from = FaultsFrom::from_name(&place).ok_or_else(|| {
            format!("FAULTS_FROM is \"{}\": write loopback or anywhere", shown(&place))
        })?;
    }
    Ok(Some((id, config)))
}

impl Config {
    fn add_peers(&mut self, own: NodeId, peers: BTreeMap<NodeId, String>) -> Result<(), String> {
        for (id, address) in peers {
            if is_same_place(&self.nodes[&own], &address) {
                return Err(format!(
                    "PEERS: {address} is this node, {own}, and not {id}: leave it out, \
                     or write {}={address}",
                    own.0
                ));
            }
            if let Some(problem) = self.clash(id, &address) {
                return Err(format!("PEERS: {problem}"));
            }
            self.nodes.insert(id, address);
        }
        Ok(())
    }
}

/// The nodes that PEERS names, this one perhaps among them, each with an id.
fn read_peers(own: NodeId, text: Option<String>) -> Result<BTreeMap<NodeId, String>, String> {
    let mut peers = BTreeMap::new();
    let mut without_id = Vec::new();
    let text = text.unwrap_or_default();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let Some((id, address)) = entry.split_once('=') else {
            without_id.push(read_address("PEERS", entry)?.to_string());
            continue;
        };
        let id = read_node_id(id.trim()).map_err(|problem| format!("PEERS: {problem}"))?;
        let address = read_address("PEERS", address.trim())?.to_string();
        if let Some(first) = peers.insert(id, address) {
            let id = id.0;
            return Err(format!("PEERS has two nodes {id}, the first at {first}: write each once"));
        }
    }
    let mut next = 1;
    for address in without_id {
        while NodeId(next) == own || peers.contains_key(&NodeId(next)) {
            next += 1;
        }
        peers.insert(NodeId(next), address);
    }
    Ok(peers)
}

/// The port of this node; `named` is its address, if PEERS has it.
fn read_port(id: NodeId, port: Option<String>, named: Option<&str>) -> Result<u16, String> {
    let named = named.map(|address| (address, port_of(address)));
    let Some(text) = port else {
        let default = id.0.checked_add(5000).and_then(|port| u16::try_from(port).ok());
        return named.map(|(_, port)| port).or(default).ok_or_else(|| {
            format!("PORT is not set, and 5000 + NODE_ID, {}, is no port: set PORT", id.0)
        });
    };
    let Some(port) = text.parse::<u16>().ok().filter(|&port| port > 0) else {
        return Err(format!("PORT is \"{}\": write a number from 1 to 65535", shown(&text)));
    };
    match named {
        Some((address, other)) if other != port => Err(format!(
            "PORT is {port}, but PEERS has this node, {id}, at {address}: correct one of them"
        )),
        _ => Ok(port),
    }
}

/// What HOST says, which is a name or an IP address; IPv6 may stand in brackets.
fn read_host(text: &str) -> Result<String, String> {
    let host = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if host.parse::<IpAddr>().is_ok() || is_host_name(host) {
        return Ok(host.to_string());
    }
    Err(format!(
        "HOST is \"{}\": write a name or an IP address without a port, such as 0.0.0.0",
        shown(text)
    ))
}

fn read_address<'a>(variable: &str, text: &'a str) -> Result<&'a str, String> {
    let text_shown = shown(text);
    if !is_address(text) {
        return Err(format!(
            "{variable} has \"{text_shown}\", which is no address: write host:port, \
             such as node2:5000"
        ));
    }
    if is_every_interface(host_of(text)) {
        return Err(format!(
            "{variable} has \"{text_shown}\", which leads nowhere: write a name or address that \
             others can reach"
        ));
    }
    Ok(text)
}

/// IPv6 if a peer needs it. Most networks of containers have no more than IPv4.
fn every_interface(peers: &BTreeMap<NodeId, String>) -> &'static str {
    let needs_ipv6 = |address: &String| host_of(address).parse::<Ipv6Addr>().is_ok();
    if peers.values().any(needs_ipv6) { "::" } else { "0.0.0.0" }
}

fn is_every_interface(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn is_loopback(host: &str) -> bool {
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    is_localhost || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Do both addresses lead to the same node? `localhost` stands for 127.0.0.1 and for ::1.
fn is_same_place(a: &str, b: &str) -> bool {
    let is_localhost = |address| ["localhost", "127.0.0.1", "::1"].contains(&host_of(address));
    a.eq_ignore_ascii_case(b) || (port_of(a) == port_of(b) && is_localhost(a) && is_localhost(b))
}

/// The host of a `host:port`, without the brackets of IPv6.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The port of an address that was found good.
fn port_of(address: &str) -> u16 {
    let port = address.rsplit_once(':').map(|(_, port)| port);
    port.and_then(|port| port.parse().ok()).unwrap_or_default()
}

fn join(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    /// Reads `NODE_ID=1|PORT=80`.
    fn read_from(variables: &str) -> Result<Option<(NodeId, Config)>, String> {
        let variables = variables.split('|').filter_map(|variable| variable.split_once('='));
        let variables: BTreeMap<&str, &str> = variables.collect();
        read(|name| variables.get(name).map(|value| value.to_string()))
    }

    /// `1 at a:1, 2 at b:2; binds c:3`, the node itself first.
    fn shown_from(variables: &str) -> String {
        let (id, config) = read_from(variables).expect("it is sound").expect("NODE_ID is set");
        let own = (&id, &config.nodes[&id]);
        let others = config.nodes.iter().filter(|(other, _)| **other != id);
        let nodes = std::iter::once(own).chain(others);
        let nodes: Vec<String> = nodes.map(|(id, at)| format!("{} at {at}", id.0)).collect();
        let bind = config.bind.map(|bind| format!("; binds {bind}")).unwrap_or_default();
        format!("{}{bind}", nodes.join(", "))
    }

    #[test]
    fn read_without_node_id_says_nothing() {
        assert_eq!(read_from(""), Ok(None));
        assert_eq!(read_from("NODE_ID= |PORT=x|HOST=zsh%"), Ok(None));
    }

    #[test]
    fn read_gives_ids_addresses_and_what_to_bind() {
        let cases = [
            // A cluster of one.
            ("3 at localhost:5003", "NODE_ID=3"),
            ("1 at localhost:80", "NODE_ID=1|PORT= 80\n|PEERS="),
            ("70000 at localhost:1", "NODE_ID=70000|PORT=1"),
            // Ids: all left out, some left out, all there, the node's own among them.
            (
                "2 at h2:5000, 1 at a:1, 3 at b:2; binds 0.0.0.0:5000",
                "NODE_ID=2|PORT=5000|PEERS=a:1,b:2|HOSTNAME=h2\n",
            ),
            (
                "1 at localhost:5001, 2 at localhost:3, 3 at localhost:4, 4 at localhost:2",
                "NODE_ID=1|PEERS=localhost:3, 4 = localhost:2 ,localhost:4,",
            ),
            (
                "9 at localhost:5009, 5 at 127.0.0.1:1, 7 at [::1]:1",
                "NODE_ID=9|PEERS=7=[::1]:1,5=127.0.0.1:1",
            ),
            (
                "2 at b:6000, 1 at a:6000; binds 0.0.0.0:6000",
                "NODE_ID=2|PEERS=1=a:6000,2=b:6000|HOSTNAME=h2",
            ),
            (
                "2 at LOCALHOST:7, 1 at localhost:6",
                "NODE_ID=2|PEERS=1=localhost:6,2=LOCALHOST:7|PORT=7",
            ),
            // What to bind, and how to call it.
            (
                "1 at localhost:5001, 2 at 10.0.0.2:1; binds 0.0.0.0:5001",
                "NODE_ID=1|PEERS=10.0.0.2:1",
            ),
            (
                "1 at h:5001, 2 at [fd00::2]:1; binds [::]:5001",
                "NODE_ID=1|PEERS=[fd00::2]:1|HOSTNAME=h",
            ),
            ("1 at h:5001, 2 at a:1; binds [::]:5001", "NODE_ID=1|PEERS=a:1|HOST=::|HOSTNAME=h"),
            (
                "1 at 10.0.0.1:5001, 2 at a:1; binds 10.0.0.1:5001",
                "NODE_ID=1|PEERS=a:1|HOST=10.0.0.1|HOSTNAME=h",
            ),
            (
                "1 at localhost:5001, 2 at localhost:1; binds 0.0.0.0:5001",
                "NODE_ID=1|PEERS=localhost:1|HOST=0.0.0.0",
            ),
            ("1 at [::1]:5001; binds [::1]:5001", "NODE_ID=1|HOST=[::1]"),
        ];
        for (expected, variables) in cases {
            assert_eq!(shown_from(variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn read_takes_the_rest_from_what_is_built_in() {
        let (_, plain) = read_from("NODE_ID=1").expect("sound").expect("NODE_ID is set");
        let expected = Config {
            nodes: BTreeMap::from([(NodeId(1), "localhost:5001".to_string())]),
            ..Config::built_in()
        };
        assert_eq!(plain, expected);
        let all = "NODE_ID=1|ADVERTISE=raft.example:80|FAULTS_FROM=anywhere";
        let (_, all) = read_from(all).expect("sound").expect("NODE_ID is set");
        let advertise = Some("raft.example:80".to_string());
        assert_eq!(all, Config { advertise, faults_from: FaultsFrom::Anywhere, ..expected });
    }

    #[test]
    fn document_has_every_variable() {
        let asked = RefCell::new(BTreeSet::new());
        let read = read(|name| {
            asked.borrow_mut().insert(name.to_string());
            let value = [("NODE_ID", "1"), ("PEERS", "a:1")].into_iter().find(|it| it.0 == name);
            value.map(|(_, value)| value.to_string())
        });
        assert!(read.is_ok());
        let document = include_str!("../../docs/PROTOCOL.md");
        let section = document.split("## The environment\n").nth(1).expect("the section");
        let section = section.split("\n## ").next().expect("a part");
        let rows = section.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.map(str::to_string).collect::<BTreeSet<_>>(), asked.into_inner());
    }

    /// Asserts that each environment is refused with this line.
    fn assert_refused(cases: &[(&str, &str)]) {
        for (expected, variables) in cases {
            assert_eq!(read_from(variables), Err(expected.to_string()), "{variables:?}");
        }
    }

    #[test]
    fn read_refuses_a_value_and_names_the_variable() {
        assert_refused(&[
            ("PEERS is set, but NODE_ID is not: say which node this is", "PEERS=localhost:5002"),
            ("NODE_ID: `one` is not a node's id: write 1, 2, 3 and so on", "NODE_ID=one"),
            ("NODE_ID: `0` is not a node's id: write 1, 2, 3 and so on", "NODE_ID=0"),
            ("PORT is \"65536\": write a number from 1 to 65535", "NODE_ID=1|PORT=65536"),
            ("PORT is \"0\": write a number from 1 to 65535", "NODE_ID=1|PORT=0"),
            ("PORT is not set, and 5000 + NODE_ID, 60536, is no port: set PORT", "NODE_ID=60536"),
            (
                "PORT is 5001, but PEERS has this node, n1, at a:5000: correct one of them",
                "NODE_ID=1|PORT=5001|PEERS=1=a:5000,b:5000",
            ),
            (
                "HOST is \"0.0.0.0:5001\": write a name or an IP address without a port, \
                 such as 0.0.0.0",
                "NODE_ID=1|HOST=0.0.0.0:5001",
            ),
            (
                "ADVERTISE has \"5001\", which is no address: write host:port, such as node2:5000",
                "NODE_ID=1|ADVERTISE=5001",
            ),
            (
                "FAULTS_FROM is \"any\\nwhere\": write loopback or anywhere",
                "NODE_ID=1|FAULTS_FROM=any\nwhere",
            ),
        ]);
    }

    #[test]
    fn read_refuses_peers_that_cannot_be() {
        assert_refused(&[
            (
                "PEERS has \"node2\", which is no address: write host:port, such as node2:5000",
                "NODE_ID=1|PEERS=node3:5000,node2",
            ),
            (
                "PEERS has \"\", which is no address: write host:port, such as node2:5000",
                "NODE_ID=1|PEERS=2=",
            ),
            (
                "PEERS has \"0.0.0.0:1\", which leads nowhere: write a name or address that \
                 others can reach",
                "NODE_ID=1|PEERS=2=0.0.0.0:1",
            ),
            ("PEERS: `02` is not a node's id: write 1, 2, 3 and so on", "NODE_ID=1|PEERS=02=a:1"),
            (
                "PEERS has two nodes 2, the first at a:1: write each once",
                "NODE_ID=1|PEERS=2=a:1,3=b:1,2=c:1",
            ),
            (
                "PEERS: n3 has the address of n2, \"A:1\": give each node its own",
                "NODE_ID=1|PEERS=a:1,A:1",
            ),
            (
                "PEERS: 127.0.0.1:5001 is this node, n1, and not n2: leave it out, \
                 or write 1=127.0.0.1:5001",
                "NODE_ID=1|PEERS=127.0.0.1:5001,127.0.0.1:5002",
            ),
            (
                "PEERS: n10 is one node too many: a cluster has 1 to 9",
                "NODE_ID=1|PEERS=a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10",
            ),
        ]);
    }
}
