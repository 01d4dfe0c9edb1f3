//! What happens in the simulated world, for people to read, and for tests to count.
//!
//! A [`Happening`] is one line of a script's output. Writing lines takes more time than taking
//! steps, so the world notes them only when somebody wants to see them; [`Counts`] are always kept.

use std::fmt;

use crate::lab::checker::Violation;
use crate::lab::linearizability::Operation;
use crate::lab::network::Number;
use crate::node::event::{Event, RoleName, What};
use crate::node::message::{EntryId, Message, NodeId};
use crate::node::rules::Rule;
use crate::node::step::{Refusal, RequestId};
use crate::state_machine::Reply;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A server says what it did, and why.
    Event(Event),
    /// A message was sent.
    Sent(Number, Message),
    /// A message came to its server.
    Arrived(Number, Message),
    /// A message will never arrive.
    Lost(Number, Message, &'static str),
    /// A server answered a client.
    Answered(Answer),
    /// A server went down; whether its disk lost something.
    Crashed(NodeId, bool),
    /// A property fell, the first in this run.
    Broke(Violation),
}

/// How a server goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The process ends; the disk finishes what it was given.
    Stays,
    /// The power fails; what the disk had not finished is lost.
    Fails,
    /// The power fails in the midst of it. The number picks the moment, and what is left.
    FailsMidway(u64),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// By whom.
    pub by: NodeId,
    /// Which of its requests is meant.
    pub request: RequestId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied as this entry, with this reply.
    Applied(EntryId, Reply),
    /// It was a read, and this is the value.
    Read(Reply),
    /// It was not served.
    Refused(Refusal),
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Happening::Event(event) => write!(f, "{event}"),
            Happening::Sent(number, message) => write!(f, "[{number}] {message}"),
            Happening::Arrived(number, Message { to, rpc, .. }) => {
                write!(f, "[{number}] reaches {to}: {}", rpc.name())
            }
            Happening::Lost(number, message, why) => {
                write!(f, "[{number}] {message}: lost, {why}")
            }
            Happening::Answered(answer) => write!(f, "{answer}"),
            Happening::Crashed(id, false) => write!(f, "{id} crashes"),
            Happening::Crashed(id, true) => {
                write!(f, "{id} crashes, and its disk loses what it had not finished")
            }
            Happening::Broke(violation) => write!(f, "*** {violation}"),
        }
    }
}

impl Answer {
    /// How it reads when one knows what was asked.
    pub fn to(&self, operation: &Operation) -> String {
        let Operation { client, request, .. } = operation;
        format!("{} answers {client}, {request}: {}", self.by, self.outcome)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Answer { by, request, outcome } = self;
        write!(f, "{by} answers request {request}: {outcome}")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Outcome::Applied(entry, reply) => write!(f, "{reply} (applied {entry})"),
            Outcome::Read(reply) => write!(f, "{reply}"),
            Outcome::Refused(Refusal::NotLeader) => f.write_str("refused, it does not lead"),
            Outcome::Refused(Refusal::Replaced) => {
                f.write_str("refused, another entry took its place")
            }
            Outcome::Refused(Refusal::Unknown) => {
                f.write_str("refused, a snapshot took its place: it may be done")
            }
        }
    }
}

/// How often things happened: what an exploration has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each counts what its name says")]
pub struct Counts {
    pub steps: u64,
    pub elections: u64,
    pub commits: u64,
    /// Followers that deleted entries of theirs.
    pub truncations: u64,
    /// Snapshots that servers took of their own state.
    pub snapshots: u64,
    /// Snapshots of leaders that took the place of followers' logs.
    pub installed: u64,
    pub crashes: u64,
    /// Crashes that took something from a disk's cache.
    pub saves_lost: u64,
    /// Crashes that tore a record, which the storage cut off.
    pub torn: u64,
    pub restarts: u64,
    /// Servers that stood still for a while.
    pub pauses: u64,
    /// Clocks that jumped, or ran fast or slow.
    pub clock_faults: u64,
    /// Links that were cut, or stalled.
    pub cuts: u64,
    pub messages: u64,
    pub messages_lost: u64,
    pub answers: u64,
    /// How often an event cited each rule, in the order of [`Rule::all`].
    pub cited: [u64; Rule::COUNT],
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            steps: 0,
            elections: 0,
            commits: 0,
            truncations: 0,
            snapshots: 0,
            installed: 0,
            crashes: 0,
            saves_lost: 0,
            torn: 0,
            restarts: 0,
            pauses: 0,
            clock_faults: 0,
            cuts: 0,
            messages: 0,
            messages_lost: 0,
            answers: 0,
            cited: [0; Rule::COUNT],
        }
    }
}

impl Counts {
    /// Counts an event of a server.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::Transition { to: RoleName::Leader, .. } => self.elections += 1,
            What::Committed { on, .. } if !on.is_empty() => self.commits += 1,
            What::Deleted { .. } => self.truncations += 1,
            What::SnapshotTaken { .. } => self.snapshots += 1,
            What::SnapshotInstalled { .. } => self.installed += 1,
            _ => {}
        }
        if let Some(rule) = event.what.rule() {
            self.cited[rule as usize] += 1;
        }
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Counts) {
        self.steps += other.steps;
        self.elections += other.elections;
        self.commits += other.commits;
        self.truncations += other.truncations;
        self.snapshots += other.snapshots;
        self.installed += other.installed;
        self.crashes += other.crashes;
        self.saves_lost += other.saves_lost;
        self.torn += other.torn;
        self.restarts += other.restarts;
        self.pauses += other.pauses;
        self.clock_faults += other.clock_faults;
        self.cuts += other.cuts;
        self.messages += other.messages;
        self.messages_lost += other.messages_lost;
        self.answers += other.answers;
        for (sum, more) in self.cited.iter_mut().zip(other.cited) {
            *sum += more;
        }
    }

    /// How many faults struck.
    pub fn faults(&self) -> u64 {
        self.messages_lost + self.crashes + self.cuts + self.pauses + self.clock_faults
    }

    /// How often events cited a rule.
    pub fn cited(&self, rule: Rule) -> u64 {
        self.cited[rule as usize]
    }
}
