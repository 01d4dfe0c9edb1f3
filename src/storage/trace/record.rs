//! What a run leaves behind: each step of a server, with its state after it.
//!
//! The lab makes diagrams of records, a real node writes them to a file (`storage/trace.rs`), and
//! `raftlet check` judges them. As text, a record is one line of JSON whose variables bear the
//! names of `raft.tla`, the authors' specification: see `trace/write.rs`, and docs/TRACES.md for
//! the fields.

use crate::node::Node;
use crate::node::event::{Event, RoleName};
use crate::node::message::{Command, Entry, EntryId, Index, Message, NodeId, Term};
use crate::node::role::Role;
use crate::node::step::{Input, Output};

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Milliseconds: since the world began, or for a real node since 1970 (Unix time).
    pub time_ms: u64,
    /// What.
    pub record: Record,
}

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all records are steps")]
pub enum Record {
    /// A server took a step, or started.
    Step(Step),
    /// A server went down; whether its disk lost something.
    Crash(NodeId, bool),
    /// The message of this number will never arrive, and why.
    Drop(u64, Message, &'static str),
    /// The message of the first number is in flight once more, as the second.
    Duplicate(u64, u64, Message),
    /// A property fell: which, and how.
    Broken(String),
}

/// A step of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which server.
    pub id: NodeId,
    /// What made it take the step.
    pub cause: Cause,
    /// What it is afterwards.
    pub state: State,
    /// What it sent, by number where messages have numbers.
    pub sent: Vec<(Option<u64>, Message)>,
    /// What it applied to its state machine.
    pub applied: Vec<Entry>,
    /// What it says of the step, and why.
    pub events: Vec<Event>,
}

/// What made a server take a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// It is there, for the first time.
    Init,
    /// It started again, with what its disk holds.
    Restart,
    /// Its timer fired: an election, or a leader's heartbeat.
    Timeout,
    /// This message came, by number where messages have numbers.
    Receive(Option<u64>, Message),
    /// Clients propose these commands.
    ClientRequest(Vec<Command>),
    /// So many clients want to read.
    Read(u64),
    /// Its disk has finished.
    Saved,
    /// A snapshot was taken of its state after the entry of this index.
    TakeSnapshot(Index),
}

/// The variables of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its term.
    pub current_term: Term,
    /// Its role.
    pub role: RoleName,
    /// Its vote in that term.
    pub voted_for: Option<NodeId>,
    /// The last entry that its snapshot stands for; `0@0` if it has none.
    pub snapshot: EntryId,
    /// From this index on its log is these entries, and no others. What stands before is as it
    /// was; `None`: all of it is.
    pub log: Option<(Index, Vec<Entry>)>,
    /// The last entry that it counts as committed.
    pub commit_index: Index,
    /// The last entry that it applied.
    pub last_applied: Index,
    /// A candidate's votes.
    pub votes: Vec<NodeId>,
    /// A leader's rows: follower, next_index, match_index.
    pub followers: Vec<(NodeId, Index, Index)>,
}

impl Cause {
    /// Why a server takes in this.
    pub fn of(input: &Input) -> Cause {
        match input {
            Input::Tick | Input::TimerFires => Cause::Timeout,
            Input::Receive(message) => Cause::Receive(None, message.clone()),
            Input::Propose(batch) => {
                Cause::ClientRequest(batch.iter().map(|(_, command)| command.clone()).collect())
            }
            Input::Read(requests) => Cause::Read(requests.len() as u64),
            Input::Saved(_) => Cause::Saved,
            Input::SnapshotTaken { index, .. } => Cause::TakeSnapshot(*index),
        }
    }
}

impl Step {
    /// What a server has just done. Its log is recorded from index `log_from` on.
    pub fn of(node: &Node, cause: Cause, outputs: &[Output], log_from: Option<Index>) -> Step {
        let mut step = Step {
            id: node.id(),
            cause,
            state: State::of(node, log_from),
            sent: Vec::new(),
            applied: Vec::new(),
            events: Vec::new(),
        };
        for output in outputs {
            match output {
                Output::Send(message) => step.sent.push((None, message.clone())),
                Output::Apply { entry, .. } => step.applied.push(entry.clone()),
                Output::Event(event) => step.events.push(event.clone()),
                _ => {}
            }
        }
        step
    }
}

impl State {
    fn of(node: &Node, log_from: Option<Index>) -> State {
        let mut state = State {
            current_term: node.current_term,
            role: node.role.name(),
            voted_for: node.voted_for,
            snapshot: node.log.base(),
            log: log_from.map(|from| {
                let from = from.max(node.log.base().index + 1);
                (from, node.log.entries_from(from).to_vec())
            }),
            commit_index: node.commit_index,
            last_applied: node.last_applied,
            votes: Vec::new(),
            followers: Vec::new(),
        };
        match &node.role {
            Role::Follower { .. } => {}
            Role::Candidate(candidate) => state.votes.clone_from(&candidate.votes),
            Role::Leader(leader) => {
                let rows = leader.followers.iter();
                state.followers =
                    rows.map(|(&id, row)| (id, row.next_index, row.match_index)).collect();
            }
        }
        state
    }
}
