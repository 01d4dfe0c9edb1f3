//! What the threads of a node send each other: events to the raft thread, answers to the HTTP
//! thread.
//!
//! Each of the two threads owns the receiving end of one channel. The threads of the transport and
//! the HTTP thread send an [`Event`] to the raft thread. The listener sends new connections to the
//! HTTP thread, and the raft thread sends its answers there ([`ToHttp`]), each with the [`Ticket`]
//! that came with the request: by it the HTTP thread knows which connection waits.

use std::fs::File;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::status::{Leader, State, Status};
use super::subscribers::Notice;
use crate::node::event::What;
use crate::node::message::{Command, Entry, EntryId, Index, Message, NodeId, Rpc};
use crate::state_machine::Reply;
use crate::transport::peer::Link;

/// How many events may wait. The reader of a peer then waits, and the network's buffers fill
/// instead of this process's memory; a client is told that the node is busy.
const MAX_EVENTS: usize = 4096;

/// How long a client waits for its answer. After that it is told that nobody knows.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long the raft thread looks for an event before it sleeps. A sleeping thread takes 20 to 50
/// µs to wake, and the sender pays 7 µs for it; a look costs 0.1 µs. The answers of followers and
/// the next request of a client that was just answered often come within this time: one client does
/// a fifth more sets so (docs/PERFORMANCE.md).
const LOOK: Duration = Duration::from_micros(50);

/// One thing that the raft thread is told.
pub enum Event {
    /// Messages came from a peer, in this order.
    Messages(Vec<Message>),
    /// The transport has a line for the student: a peer is reachable, or a message was dropped.
    Report(What),
    /// Clients ask.
    Requests(Vec<(ClientRequest, Ticket)>),
}

/// One thing that the HTTP thread is told.
pub enum ToHttp {
    /// A client has connected. While the second value lives, the connection counts as open.
    Connection(TcpStream, Arc<()>),
    /// The answer to a request.
    Answer(Ticket, Answer),
    /// How the node is, from time to time: in case that its disk keeps the raft thread waiting.
    Status(Box<Status>),
}

/// Says which request of which connection an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The number of the connection.
    pub connection: u64,
    /// The number of the request on it.
    pub request: u64,
}

/// The events that wait for the raft thread.
pub struct Inbox(Receiver<Event>);

impl Inbox {
    /// An empty inbox, and the sender of events to it.
    pub fn open() -> (SyncSender<Event>, Inbox) {
        let (sender, events) = mpsc::sync_channel(MAX_EVENTS);
        (sender, Inbox(events))
    }

    /// Waits for an event, for this long at most, and takes all that are there then.
    pub fn wait(&self, longest: Duration) -> Vec<Event> {
        let first = match self.look(LOOK.min(longest)) {
            Some(event) => Ok(event),
            None => self.0.recv_timeout(longest),
        };
        if let Err(RecvTimeoutError::Disconnected) = first {
            // All senders have gone, and nothing will come. A node's transport never goes.
            thread::sleep(longest);
        }
        first.into_iter().chain(self.0.try_iter().take(MAX_EVENTS)).collect()
    }

    /// Looks for an event again and again, for this long.
    fn look(&self, time: Duration) -> Option<Event> {
        let start = Instant::now();
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(_) if start.elapsed() >= time => return None,
                Err(_) => thread::yield_now(),
            }
        }
    }
}

/// What a client asks.
#[derive(Debug)]
pub enum ClientRequest {
    /// To have a command done, once a majority has it; or, if it changes nothing, to have it
    /// answered from the state as it is now, by all who asked before (§8).
    Command(Command),
    /// To have a command that changes nothing answered from the state as it is now; never written.
    Query(Command),
    /// To have a command that changes nothing answered by this node alone, at once.
    Local(String),
    /// How this node is, and what it holds.
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
    Subscribe(SyncSender<Notice>),
    /// The node's counters, in the text format of Prometheus.
    Metrics,
}

impl ClientRequest {
    /// Whether it only asks how the node is.
    pub fn is_status(&self) -> bool {
        matches!(self, ClientRequest::Status)
    }
}

/// What a client is told.
#[derive(Debug)]
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
    /// It will not do this, and says why.
    Refused(String),
    /// The answer to an RPC.
    Rpc(Rpc),
    /// How the node is.
    State(Box<State>),
    /// How the node is, and what it holds.
    Status(Box<Status>),
    /// The state machine's whole state as JSON; all up to this index was applied.
    StateMachine(Index, Arc<str>),
    /// The file that holds the log, and how long it is; or why it cannot be read.
    LogFile(Result<File, String>, u64),
    /// Plain text.
    Text(String),
    /// How the links of this node to its peers are.
    Links(NodeId, Vec<(NodeId, Link)>),
    /// A part of the log.
    Log {
        /// The entries that were asked for, as far as there are any.
        entries: Vec<Entry>,
        /// Up to here they are committed.
        commit_index: Index,
        /// The index of the last entry in the whole log.
        last_log_index: Index,
        /// The index of the last entry that the snapshot stands for: none before is there.
        snapshot_index: Index,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &'static str) -> Event {
        Event::Report(What::Asked(text))
    }

    fn words(events: Vec<Event>) -> Vec<&'static str> {
        let word = |event| match event {
            Event::Report(What::Asked(text)) => text,
            _ => "something else",
        };
        events.into_iter().map(word).collect()
    }

    #[test]
    fn wait_takes_all_that_wait_in_order() {
        let (sender, inbox) = Inbox::open();
        ["a", "b", "c"].into_iter().for_each(|text| sender.send(report(text)).unwrap());
        assert_eq!(words(inbox.wait(Duration::ZERO)), ["a", "b", "c"]);
        assert_eq!(words(inbox.wait(Duration::ZERO)), [""; 0]);
    }

    #[test]
    fn wait_ends_when_an_event_comes_or_the_time_is_over() {
        let (sender, inbox) = Inbox::open();
        let start = Instant::now();
        assert!(inbox.wait(Duration::from_millis(20)).is_empty());
        assert!(start.elapsed() >= Duration::from_millis(20));
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(report("late")).unwrap();
        });
        assert_eq!(words(inbox.wait(Duration::from_secs(600))), ["late"]);
    }

    #[test]
    fn full_inbox_refuses_one_more() {
        let (sender, inbox) = Inbox::open();
        (0..MAX_EVENTS).for_each(|_| sender.try_send(report("one")).unwrap());
        assert!(sender.try_send(report("too many")).is_err());
        assert_eq!(inbox.wait(Duration::ZERO).len(), MAX_EVENTS);
    }
}
