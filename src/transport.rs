//! The mouth: messages out, messages in. One face, two voices, TCP and UDP.
//!
//! A node has one address. Peers' connections, clients' HTTP and peers' datagrams all come
//! there; `door.rs` tells them apart. Messages are text (`write.rs`), so that a student can read
//! them with `tcpdump -A` or write one with `nc`; what comes in is checked (`read.rs`), since
//! anyone may write anything. [`Transport::send`] waits for nobody for longer than a few
//! milliseconds: each peer has a thread of its own (`tcp.rs`, `udp.rs`) with a queue of messages,
//! and what finds no room is lost, as it might be on the way. `links.rs` is that queue, and what
//! makes a link bad; `identity.rs` tells who speaks for a peer, and `rhythm.rs` whether a peer is
//! waited for asleep or awake; `shared.rs` is what the threads have in common.

mod door;
mod identity;
mod links;
mod read;
mod rhythm;
mod shared;
mod tcp;
pub mod timed;
mod udp;
mod write;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread;

use crate::node::event::What;
use crate::node::message::{Command, Message, NodeId};
use door::{Door, Limits};
pub use links::{Link, MAX_DELAY_MS};
pub use read::read_rpc;
use shared::Shared;
pub use write::reply_fields;

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
    /// What carries the messages.
    pub kind: Kind,
    /// How many of a hundred outgoing messages are thrown away, to try a bad network.
    pub drop_percent: u8,
    /// Where this node listens, as `host:port`: mostly its address in the registry.
    pub bind: String,
    /// Where clients reach this node, as `host:port`, if not at the address that each peer's own
    /// registry has for it.
    pub advertise: Option<String>,
}

/// What a transport has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// Messages came, from a peer and for this node, in this order.
    Messages(Vec<Message>),
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
/// # Errors
/// If the address cannot be opened, or what is advertised is none: one line that says why.
pub fn start(
    options: Options,
    deliver: impl Fn(Received) + Send + Sync + 'static,
    http: impl Fn(TcpStream) + Send + Sync + 'static,
) -> Result<Transport, String> {
    let Options { me, kind, drop_percent, .. } = options;
    if !options.nodes.contains_key(&me) {
        return Err(format!("node {} is not in the registry", me.0));
    }
    let listeners = bind(&options, TcpListener::bind)?;
    let sockets = match kind {
        Kind::Tcp => Vec::new(),
        Kind::Udp => bind(&options, UdpSocket::bind)?,
    };
    if let Some(address) = &options.advertise {
        read::check_address(address)
            .map_err(|why| format!("node {} cannot advertise this: {why}", me.0))?;
    }
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
    let (http, limits) = (Box::new(http), Limits::new(door::max_open_files()));
    let door = Door { shared: Arc::clone(&shared), http, limits, open: 0.into() };
    let door = Arc::new(door);
    for listener in listeners {
        let door = Arc::clone(&door);
        spawn(format!("{me} connections"), move || door.keep(listener))?;
    }
    Ok(Transport { shared, drop_percent })
}

impl Transport {
    /// Sends a message to the peer that it names, if it can be: it may be lost. A peer that reads
    /// nothing may take a few milliseconds.
    pub fn send(&self, message: Message) {
        if !links::chance(self.drop_percent) {
            self.shared.send(message);
        }
    }

    /// Whether a command can be sent at all. What fits no datagram would never reach anybody.
    pub fn carries(&self, command: &Command) -> bool {
        self.shared.kind == Kind::Tcp || udp::carries(command)
    }

    /// Whether a peer can be reached now: messages can be sent to it, and it was heard of late.
    pub fn is_reachable(&self, peer: NodeId) -> bool {
        self.shared.is_reachable(peer)
    }

    /// How good the link to a peer is, one way. To any other node it is healthy.
    pub fn link(&self, peer: NodeId) -> Link {
        self.shared.link(peer)
    }

    /// Makes the link to a peer better or worse, one way. It can delay by [`MAX_DELAY_MS`] at most.
    pub fn set_link(&self, peer: NodeId, link: Link) {
        self.shared.set_link(peer, link);
    }

    /// Makes the node play dead, or wakes it. While it is paused it hears nothing, says nothing,
    /// and does not notice who comes and goes; its connections stay open.
    pub fn set_paused(&self, paused: bool) {
        self.shared.set_paused(paused);
    }

    /// Where clients reach a node: what it advertises, or else its address in the registry. Empty
    /// if there is no such node.
    pub fn address_of(&self, node: NodeId) -> String {
        self.shared.address_of(node)
    }

    /// All addresses of the cluster's nodes, in the registry or advertised, this node's included.
    pub fn advertised(&self) -> Vec<String> {
        self.shared.advertised()
    }
}

/// Opens this node's port at every address of this machine to which its name leads: `localhost`
/// may be 127.0.0.1 or ::1 or both, and peers may use either.
fn bind<S>(options: &Options, open: fn(SocketAddr) -> io::Result<S>) -> Result<Vec<S>, String> {
    let (me, name) = (options.me.0, &options.bind);
    let addresses = name.to_socket_addrs().map_err(|error| {
        format!("cannot find the host of node {me} at {name}: {error}: correct the address")
    })?;
    let mut opened = Vec::new();
    let mut tried = Vec::new();
    let mut failure = format!("{name}, the name of node {me}, has no address");
    for address in addresses {
        if tried.contains(&address) {
            continue;
        }
        tried.push(address);
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
