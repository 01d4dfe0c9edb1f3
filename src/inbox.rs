//! What reaches a server, and how a client waits for its answer.
//!
//! The body of a node is one thread that reads one inbox. The transport puts messages there, the
//! HTTP threads put clients' requests there through a [`Desk`] and wait, each for its own answer.

use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use crate::event::{RoleName, What};
use crate::kv::Reply;
use crate::message::{Command, Entry, EntryId, Index, Message, NodeId, Term};

/// One thing in the inbox.
#[derive(Debug)]
pub enum Incoming {
    /// A message from a peer.
    Message(Message),
    /// The transport has news for the student.
    Report(What),
    /// A client asks.
    Client(Ask, Sender<Answer>),
}

/// What a client asks.
#[derive(Clone, Debug)]
pub enum Ask {
    /// To write: answered when the command is committed and applied.
    Propose(Command),
    /// To read a key as it is now, by all who asked before (§8).
    Read(String),
    /// How this node is; it answers for itself, at once.
    Status,
}

/// What it is told.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The command was committed as this entry and applied with this result.
    Applied(EntryId, Reply),
    /// The key's value; all up to this index was applied.
    Value(Index, Option<String>),
    /// Only the leader serves clients. Nothing was done.
    NotLeader(Option<Leader>),
    /// Another leader's entry took the command's place: it was not done, and never will be.
    Replaced,
    /// The command does not fit into a datagram. It was not done.
    TooLong,
    /// Too many requests wait already. This one was not done.
    Busy,
    /// How this node is.
    Status(Box<Status>),
}

/// Where clients should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its number.
    pub id: NodeId,
    /// Its address in the registry, `host:port`.
    pub address: String,
}

/// How a node is.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its number.
    pub id: NodeId,
    /// Follower, candidate or leader.
    pub role: RoleName,
    /// Latest term it has seen.
    pub current_term: Term,
    /// Whom it voted for in that term.
    pub voted_for: Option<NodeId>,
    /// Who leads the term, if it knows.
    pub leader: Option<Leader>,
    /// Highest entry known to be committed.
    pub commit_index: Index,
    /// Highest entry applied to the state machine.
    pub last_applied: Index,
    /// The last entry of its log.
    pub last_log: EntryId,
    /// The last entries of its log.
    pub log: Vec<Entry>,
    /// The other servers.
    pub peers: Vec<Peer>,
}

/// What a node knows of another.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its number.
    pub id: NodeId,
    /// Its address in the registry.
    pub address: String,
    /// Whether the transport reaches it.
    pub reachable: bool,
    /// On the leader: `next_index` and `match_index`.
    pub progress: Option<(Index, Index)>,
}

/// How much may wait in an inbox. Whoever brings more waits too, so that a flood of messages fills
/// the network's buffers and not this process's memory.
const MAX_WAITING: usize = 4096;

/// The inbox of a server, and where to hand in what is for it.
pub fn open() -> (Desk, Receiver<Incoming>) {
    let (sender, inbox) = mpsc::sync_channel(MAX_WAITING);
    (Desk(sender), inbox)
}

/// Where the threads of peers and clients hand in what they have. Clones lead to the same inbox.
#[derive(Clone, Debug)]
pub struct Desk(SyncSender<Incoming>);

impl Desk {
    /// Hands in what needs no answer.
    pub fn hand_in(&self, incoming: Incoming) {
        // The inbox lives as long as the process: if it has gone, so has everyone who would care.
        let _ = self.0.send(incoming);
    }

    /// Asks the server and waits; `None` if no answer came in time, or none will ever come. What
    /// was asked may still be done.
    pub fn ask(&self, ask: Ask, patience: Duration) -> Option<Answer> {
        let (sender, answer) = mpsc::channel();
        self.0.send(Incoming::Client(ask, sender)).ok()?;
        answer.recv_timeout(patience).ok()
    }
}
