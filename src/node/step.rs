//! What goes into a node, and what comes out.
//!
//! `node.rs` never reaches out: it is told what happened, one [`Input`] at a time, and answers
//! with [`Output`]s. Reading these two lists first tells all that a node can see and do. Here is
//! also what it is told once, when it starts: its [`Settings`] and what its disk [`Saved`].

use std::sync::Arc;

use crate::node::event::Event;
use crate::node::message::{Command, Entry, EntryId, Index, Message, NodeId, Term};
use crate::node::rules::Rules;
use crate::node::snapshot::Snapshot;

/// Milliseconds since a moment that the owner of the node chose.
pub type Millis = u64;

/// The owner's number for a client's request, by which it is answered.
pub type RequestId = u64;

/// What can happen to a server.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The timer that is running (election, or a leader's heartbeat) is to fire now.
    TimerFires,
    /// A message came.
    Receive(Message),
    /// Clients propose commands: all that were waiting, as one batch.
    Propose(Vec<(RequestId, Command)>),
    /// Clients want to read the state machine.
    Read(Vec<RequestId>),
    /// The disk holds the log up to this entry.
    Saved(EntryId),
    /// The state machine's state after the entry of this index, which it has applied, is this text.
    /// It can take the place of all entries up to there (§7).
    SnapshotTaken {
        /// The last entry that it stands for.
        index: Index,
        /// The state.
        data: Arc<str>,
    },
}

/// What a server wants done. Outputs are done in order, and a failure to save is a crash.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields bear the names of Figure 2")]
pub enum Output {
    /// Save the term and vote.
    SaveVote { current_term: Term, voted_for: Option<NodeId> },
    /// Save the log: behind index `after` it now holds these entries and no others.
    SaveEntries { after: Index, entries: Vec<Entry>, leader_id: NodeId },
    /// Save the snapshot, in the place of the one before.
    SaveSnapshot(Snapshot),
    /// Let the saved log begin behind this entry, the snapshot's last: with the entries that follow
    /// it (`retain`) or with none. To free the node's own copies takes time, if they are many.
    DiscardLog { through: EntryId, retain: bool, discarded: Vec<Entry> },
    /// Send, without waiting.
    Send(Message),
    /// Apply to the state machine, and give the result to the client who waits for it, if one does.
    Apply { entry: Entry, request: Option<RequestId> },
    /// Forget the state of the state machine, and take on this one.
    Restore(Snapshot),
    /// Answer this client from the state machine as it is now.
    AnswerRead { request: RequestId },
    /// Tell this client no.
    Refuse { request: RequestId, why: Refusal },
    /// Tell the student.
    Event(Event),
}

impl Output {
    /// Whether it is for the disk.
    pub fn is_save(&self) -> bool {
        matches!(
            self,
            Output::SaveVote { .. }
                | Output::SaveEntries { .. }
                | Output::SaveSnapshot(_)
                | Output::DiscardLog { .. }
        )
    }
}

/// Why a client's request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only a leader can. Nothing was done.
    NotLeader,
    /// Another entry was committed in the place of the client's, which therefore never will be.
    Replaced,
    /// A leader's snapshot took the place of the log in which the client's entry was: it may be
    /// among those that the snapshot stands for, or not.
    Unknown,
}

/// How fast time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A leader sends at least this often.
    pub heartbeat_ms: Millis,
    /// Least and greatest election timeout; each is drawn at random between them (§5.2).
    pub election_timeout_ms: (Millis, Millis),
}

impl Timing {
    /// The paper's advice (§9.3), with three heartbeats to the shortest timeout (§5.6).
    pub const PAPER: Timing = Timing { heartbeat_ms: 50, election_timeout_ms: (150, 300) };

    /// Slow enough for a person to follow.
    pub const WATCHABLE: Timing = Timing { heartbeat_ms: 500, election_timeout_ms: (2000, 4000) };
}

/// Who a server is, and how it is to behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own number.
    pub id: NodeId,
    /// All other servers of the cluster.
    pub peers: Vec<NodeId>,
    /// How fast time runs.
    pub timing: Timing,
    /// The rules it obeys: [`Rules::ALL`] but in the lab.
    pub rules: Rules,
    /// Most entries in one message.
    pub max_entries: usize,
    /// Most bytes of commands in one message, but for a single entry that has more.
    pub max_bytes: usize,
    /// Most bytes of a snapshot in one message, at least 4.
    pub max_chunk_bytes: usize,
    /// Where its random numbers begin. Servers of one cluster need different ones.
    pub seed: u64,
}

/// What a server finds on its disk when it starts: nothing, the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The last term it knew.
    pub current_term: Term,
    /// Its vote in that term.
    pub voted_for: Option<NodeId>,
    /// What stands for the entries before the log (§7).
    pub snapshot: Snapshot,
    /// Its log: the entries that follow the snapshot's last.
    pub entries: Vec<Entry>,
}

/// Random numbers that anyone with the seed can repeat: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `least` to `greatest`, both included.
    pub fn between(&mut self, least: u64, greatest: u64) -> u64 {
        least + self.bits() % (greatest.saturating_sub(least).saturating_add(1))
    }
}
