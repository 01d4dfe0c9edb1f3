//! The mouth: messages out, messages in. One face, two voices, TCP and UDP.
//!
//! A node has one address. Peers' connections, clients' HTTP and peers' datagrams all come
//! there; `door.rs` tells them apart. Messages are text (`write.rs`), so that a student can read
//! them with `tcpdump -A` or write one with `nc`; what comes in is checked (`read.rs`), since
//! anyone may write anything. [`Transport::send`] never waits: each peer has a thread of its own
//! (`tcp.rs`, `udp.rs`) with a queue of messages, and what finds no room is lost, as it might be
//! on the way. `shared.rs` is what the threads have in common.

mod door;
mod read;
mod shared;
mod tcp;
mod udp;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread;

use crate::event::What;
use crate::message::{Command, Message, NodeId};
use door::{Door, HURRY, Limits, PATIENCE};
use shared::Shared;

/// With these limits a node keeps within the 1,024 open files that most systems allow a process,
/// and always has some left for its storage.
const LIMITS: Limits = Limits { all: 960, http: 896, patience: (PATIENCE, HURRY) };

/// What carries the messages between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One connection a direction, one message a line.
    Tcp,
    /// One message a datagram; any may be lost.
    Udp,
}

impl Kind {
    /// Its name: `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Udp => "udp",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        [Kind::Tcp, Kind::Udp].into_iter().find(|kind| kind.name() == name)
    }
}

/// Who the node is, who its peers are, and how they talk.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name. What comes from another is refused.
    pub cluster: String,
    /// The number of this node.
    pub me: NodeId,
    /// The registry: the address of every node, this one included, as `host:port`.
    pub nodes: BTreeMap<NodeId, String>,
    /// Where to listen, `host:port`, if not at this node's address in the registry.
    pub bind: Option<String>,
    /// What carries the messages.
    pub kind: Kind,
    /// How many of a hundred outgoing messages are thrown away, to try a bad network.
    pub drop_percent: u8,
}

/// What is wrong with the way from this node to a peer: nothing, unless someone made it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing gets through.
    pub blocked: bool,
    /// How many of a hundred messages are thrown away.
    pub drop_percent: u8,
    /// How much later a message goes.
    pub delay_ms: u64,
}

/// What a transport has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A message came, from a peer and for this node.
    Message(Message),
    /// A line for the student: [`What::Unreachable`], [`What::Reachable`] or [`What::Dropped`].
    Report(What),
}

/// Takes messages for all peers. The threads behind it end with the process.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    drop_percent: u8,
}

/// Opens the node's address and starts to connect to its peers.
///
/// `deliver` is called for whatever is received, from any thread. While it waits, peers wait.
/// `http` is called with each HTTP connection, nothing of it read, on a thread of its own; it
/// returns when the connection is over.
///
/// # Errors If the address cannot be opened: one line that says why.
pub fn start(
    options: Options,
    deliver: impl Fn(Received) + Send + Sync + 'static,
    http: impl Fn(TcpStream) + Send + Sync + 'static,
) -> Result<Transport, String> {
    let Options { me, kind, drop_percent, .. } = options;
    let listeners = bind(&options, TcpListener::bind)?;
    let sockets = match kind {
        Kind::Tcp => Vec::new(),
        Kind::Udp => bind(&options, UdpSocket::bind)?,
    };
    let sockets = Arc::new(sockets);
    let (shared, outboxes) = Shared::new(options, deliver);
    for outbox in outboxes {
        let (name, sockets) = (format!("{me} to {}", outbox.peer), Arc::clone(&sockets));
        spawn(name, move || match kind {
            Kind::Tcp => tcp::send_all(outbox),
            Kind::Udp => udp::send_all(outbox, sockets),
        })?;
    }
    for number in 0..sockets.len() {
        let (shared, sockets) = (Arc::clone(&shared), Arc::clone(&sockets));
        spawn(format!("{me} datagrams"), move || udp::hear_all(&shared, &sockets[number]))?;
    }
    let http = Box::new(http);
    let door = Door { shared: Arc::clone(&shared), http, limits: LIMITS, open: 0.into() };
    let door = Arc::new(door);
    for listener in listeners {
        let door = Arc::clone(&door);
        spawn(format!("{me} connections"), move || door.keep(listener))?;
    }
    Ok(Transport { shared, drop_percent })
}

impl Transport {
    /// Sends a message to the peer that it names, if it can be: it may be lost. Never waits.
    pub fn send(&self, message: Message) {
        // The standard library's one source of chance.
        let is_lost = || RandomState::new().hash_one(()) % 100 < u64::from(self.drop_percent);
        if self.drop_percent == 0 || !is_lost() {
            self.shared.send(message);
        }
    }

    /// Whether a command can be sent at all. What fits no datagram would never reach anybody.
    pub fn carries(&self, command: &Command) -> bool {
        self.shared.kind == Kind::Tcp || udp::carries(command)
    }

    /// Makes the way to a peer so.
    pub fn set_link(&self, _peer: NodeId, _link: Link) {}

    /// How the way to a peer was made.
    pub fn link(&self, _peer: NodeId) -> Link {
        Link::default()
    }

    /// Plays dead, or lives again.
    pub fn set_paused(&self, _paused: bool) {}

    /// Where clients reach a peer.
    pub fn address_of(&self, peer: NodeId) -> String {
        self.shared.address_of(peer)
    }

    /// Whether a peer can be reached now.
    pub fn is_reachable(&self, peer: NodeId) -> bool {
        self.shared.is_reachable(peer)
    }
}

/// Opens this node's port at every address of this machine to which its name leads: `localhost`
/// may be 127.0.0.1 or ::1 or both, and peers may use either.
fn bind<S>(options: &Options, open: fn(SocketAddr) -> io::Result<S>) -> Result<Vec<S>, String> {
    let me = options.me.0;
    let Some(name) = options.bind.as_ref().or(options.nodes.get(&options.me)) else {
        return Err(format!("node {me} is not in the registry"));
    };
    let addresses = name.to_socket_addrs().map_err(|error| {
        format!("cannot find the host of node {me} at {name}: {error}: correct the registry")
    })?;
    let mut opened = Vec::new();
    let mut failure = format!("{name}, the name of node {me}, has no address");
    for address in addresses.collect::<BTreeSet<_>>() {
        match open(address) {
            Ok(socket) => opened.push(socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(format!("{name} is in use: is node {me} already running?"));
            }
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                failure = format!("{name} is not on this machine: start node {me} where it is");
            }
            Err(error) => failure = format!("cannot open {name} for node {me}: {error}"),
        }
    }
    if opened.is_empty() { Err(failure) } else { Ok(opened) }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let spawned = thread::Builder::new().name(name).spawn(work);
    spawned.map(|_| ()).map_err(|error| format!("cannot start a thread: {error}"))
}

#[cfg(test)]
mod tests;
