//! What reaches a server, and what it answers.
//!
//! A node has one inbox. The transport's threads put messages there, the HTTP threads put clients'
//! requests there through a [`Desk`]; `inbox/desk.rs` is how that is done, and who then serves
//! them. Some who ask wait for the answer; for commands and reads, which are many, they say what is
//! to be done with it and need not wake. While clients are busy, what they say is fetched from a
//! [`Source`].

mod desk;

use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, LazyLock};

use crate::node::event::What;
use crate::node::message::{Command, Entry, EntryId, Index, Message, NodeId, Rpc};
use crate::server::status::{Leader, State, Status};
use crate::server::subscribers::Notice;
use crate::state_machine::Reply;
use crate::transport::Link;

pub use desk::{Desk, Inbox, Outlook, Serve, Source, Waiting, open};

/// One thing in the inbox.
pub enum Incoming {
    /// Messages from a peer, in the order in which they came.
    Messages(Vec<Message>),
    /// The transport has news for the student.
    Report(What),
    /// A client asks.
    Client(Ask, Tell),
}

/// What is to be done with the answer to a client; false if the client has gone. Whoever has the
/// turn does it: it must not wait for anything.
pub type Tell = Box<dyn FnOnce(Answer) -> bool + Send>;

/// The state of a state machine as JSON. Whoever looks at it first makes the text, which may take
/// long: a server that did so in its turn would hear nobody meanwhile.
pub type Picture = LazyLock<String, Box<dyn FnOnce() -> String + Send>>;

/// What a client asks.
#[derive(Debug)]
pub enum Ask {
    /// To have a command done, once a majority has it; or, if it changes nothing, to have it
    /// answered from the state as it is now, by all who asked before (§8).
    Command(Command),
    /// To have a command that changes nothing answered from the state as it is now; never written.
    Query(Command),
    /// To have a command that changes nothing answered by this node alone, at once.
    Local(String),
    /// How this node is.
    State,
    /// The same, with what it holds.
    Status,
    /// The whole state of its state machine.
    StateMachine,
    /// So many entries of its log, from this index on.
    Log(Index, usize),
    /// The file that holds its log.
    LogFile,
    /// To take in this RPC, which someone has written by hand, and to give its answer.
    Rpc(Rpc),
    /// To start an election now.
    StartElection,
    /// To send heartbeats now.
    SendHeartbeats,
    /// To play dead, or to live again.
    Pause(bool),
    /// How its links to its peers are.
    Links,
    /// To make the link to a peer so.
    SetLink(NodeId, Link),
    /// How this node is, and to be told from now on what happens here.
    Watch(SyncSender<Notice>),
    /// The node's counters, in the text format of Prometheus.
    Metrics,
}

/// What it is told.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The command was committed as this entry and applied with this result; of one that was done
    /// before (§8), the first entry and result.
    Applied(EntryId, Reply),
    /// The answer to a command that changes nothing; all up to this index was applied.
    Read(Index, Reply),
    /// Only the leader does this. Nothing was done.
    NotLeader(Option<Leader>),
    /// Another leader's entry took the command's place: it was not done, and never will be.
    Replaced,
    /// A leader's snapshot took the place of the log in which the command was: nobody can tell any
    /// more whether it was done.
    Unknown,
    /// The command does not fit into a datagram. It was not done.
    TooLong,
    /// Too many requests wait already. This one was not done.
    Busy,
    /// The node plays dead. Nothing was done.
    Paused,
    /// This cannot be done, and why. Nothing was done.
    Refused(String),
    /// How this node is.
    State(Box<State>),
    /// The same, with what it holds. A watcher is told all that comes after it.
    Status(Box<Status>),
    /// The state of the state machine, which has applied the log up to this index.
    StateMachine(Index, Arc<Picture>),
    /// A part of the log, and how far it is committed; the log's last index.
    Log {
        /// The entries that were asked for, as far as there are any.
        entries: Vec<Entry>,
        /// The highest index known to be committed.
        commit_index: Index,
        /// The index of the log's last entry.
        last_log_index: Index,
        /// The last entry that is in the snapshot, and so no longer in the log.
        snapshot_index: Index,
    },
    /// The file that holds the log, and how long it is without its space ahead.
    LogFile(PathBuf, u64),
    /// The answer to an RPC.
    Rpc(Rpc),
    /// This node's links to its peers.
    Links(NodeId, Vec<(NodeId, Link)>),
    /// A text.
    Text(String),
}
