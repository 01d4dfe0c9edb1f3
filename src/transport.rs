//! The mouth: messages out, messages in. One face, two voices, TCP and UDP.
//!
//! A node has one address. Peers' connections, clients' HTTP and peers' datagrams all come there;
//! `listener.rs` tells them apart. Messages are text (`codec.rs`), so that a student can read them
//! with `tcpdump -A` or write one with `nc`; what comes in is checked, since anyone may write
//! anything.
//!
//! Each connection of a peer has a reader, a thread that sends what it hears to the inbox of the
//! raft thread. Each peer has a writer, a thread with a queue of messages (`peer.rs`), and
//! [`Transport::send`] waits for nobody: what finds no room in the queue is lost, as it might be on
//! the way. `tcp.rs` and `udp.rs` are readers and writers, `identity.rs` tells which process speaks
//! for a peer, and `shared.rs` is what the threads have in common.

mod codec;
mod identity;
mod listener;
pub mod options;
pub mod peer;
mod shared;
mod tcp;
pub mod timed;
mod udp;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::thread;

use crate::json::Value;
use crate::node::message::{Command, Message, NodeId, Rpc};
use crate::server::inbox::{Event, ToHttp};
use listener::{Limits, Listener};
use options::{Kind, Options};
use peer::Link;
use shared::Shared;

/// Takes messages for all peers. The threads behind it end with the process.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    drop_percent: u8,
}

/// Opens the node's address and starts to connect to its peers. Messages and lines for the student
/// go to `inbox`, HTTP connections to `http`.
///
/// # Errors
/// If the address cannot be opened, or what is advertised is no address: one line that says why.
pub fn start(
    options: Options,
    inbox: SyncSender<Event>,
    http: Sender<ToHttp>,
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
        codec::read::check_address(address)
            .map_err(|why| format!("node {} cannot advertise this: {why}", me.0))?;
    }
    let sockets = Arc::new(sockets);
    let (shared, outboxes) = Shared::new(options, inbox);
    for outbox in outboxes {
        let (name, sockets) = (format!("{me} to {}", outbox.peer), Arc::clone(&sockets));
        spawn(name, move || match kind {
            Kind::Tcp => tcp::write_all(outbox),
            Kind::Udp => udp::write_all(outbox, sockets),
        })?;
    }
    for number in 0..sockets.len() {
        let (shared, sockets) = (Arc::clone(&shared), Arc::clone(&sockets));
        spawn(format!("{me} datagrams"), move || udp::read_all(&shared, &sockets[number]))?;
    }
    let listener = Listener {
        shared: Arc::clone(&shared),
        http,
        limits: Limits::new(listener::max_open_files()),
        open: Arc::default(),
    };
    let listener = Arc::new(listener);
    for socket in listeners {
        let listener = Arc::clone(&listener);
        spawn(format!("{me} listener"), move || listener.accept_all(&socket))?;
    }
    Ok(Transport { shared, drop_percent })
}

/// Reads one of the two RPCs from the members that Figure 2 has, as a student writes them by hand.
///
/// # Errors
/// If it is no RPC that a server could have sent: the reason, in one line.
pub fn read_rpc(kind: &str, json: &Value) -> Result<Rpc, String> {
    codec::read::rpc_by_hand(kind, json)
}

/// What a reply says, as JSON: the answer to an RPC that was written by hand.
pub fn reply_fields(reply: &Rpc) -> String {
    codec::write::reply_fields(reply)
}

impl Transport {
    /// Leaves a message for the writer of the peer that it names. It may be lost.
    pub fn send(&self, message: Message) {
        if !peer::chance(self.drop_percent) {
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

    /// Makes the link to a peer better or worse, one way. It can delay by [`peer::MAX_DELAY_MS`] at
    /// most.
    pub fn set_link(&self, peer: NodeId, link: Link) {
        self.shared.set_link(peer, link);
    }

    /// Makes the node play dead, or wakes it. While it is paused it hears nothing, says nothing,
    /// and notices nothing; its connections stay open.
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
