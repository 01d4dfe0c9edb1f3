//! What servers say to each other: the two RPCs of Figure 2 and the one of Figure 13, with their
//! field names.
//!
//! The paper draws RPCs as calls that return. Here, as in the authors' TLA+ specification, a call
//! and its answer are two one-way messages, because that is what a network really carries: either
//! may be lost, arrive twice, or arrive late. Fields that the figures do not have say `Beyond
//! Figure 2` or `13`, and why.

use std::fmt::{self, Write};
use std::sync::Arc;

/// How much of a command is shown to people.
const MAX_SHOWN_CHARS: usize = 80;

/// A position in the log. The first entry has index 1; 0 stands for "before the first".
pub type Index = u64;

/// A term number: Raft's logical clock (§5.1). The first election is for term 1.
pub type Term = u64;

/// The number of a server in the registry. Shown as `n2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The name of an entry, `index@term`. Two logs that hold an entry of the same name are the same
/// up to it: the Log Matching Property (Figure 3, §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Where in the log.
    pub index: Index,
    /// The term in which a leader created the entry.
    pub term: Term,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// One entry of the replicated log: "each entry contains command for state machine, and term when
/// entry was received by leader" (Figure 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its position in the log.
    pub index: Index,
    /// The term of the leader that created it.
    pub term: Term,
    /// What the state machine will be told.
    pub command: Command,
}

impl Entry {
    /// The entry's name, `index@term`.
    pub fn id(&self) -> EntryId {
        EntryId { index: self.index, term: self.term }
    }
}

/// What a client asks of the state machine, as text. Raft never looks inside.
///
/// A client that wants its command applied exactly once puts a session in front, `@client:serial
/// ` (§8); the state machine reads it. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command(Arc<str>);

impl Command {
    /// The command that changes nothing, which a new leader writes to commit what came before
    /// (§8).
    pub const NO_OP: &str = "no-op";

    /// A command from its text.
    pub fn new(text: &str) -> Command {
        Command(text.into())
    }

    /// The no-op of a new leader.
    pub fn no_op() -> Command {
        Command::new(Command::NO_OP)
    }

    /// A command that carries its client's name and serial number.
    pub fn in_session(client: &str, serial: u64, text: &str) -> Command {
        Command(format!("@{client}:{serial} {text}").into())
    }

    /// The whole text, session included: what is stored and sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client and serial number, if there are any, and what is asked.
    pub fn split(&self) -> (Option<(&str, u64)>, &str) {
        let parse = || {
            let (session, text) = self.0.strip_prefix('@')?.split_once(' ')?;
            let (client, serial) = session.rsplit_once(':')?;
            Some(((client, serial.parse().ok()?), text))
        };
        match parse() {
            Some((session, text)) => (Some(session), text),
            None => (None, &self.0),
        }
    }
}

/// What is asked, for people: its beginning, on one line. Clients may send anything, and none may
/// write lines of its own on a student's terminal.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut text = self.split().1.chars();
        for character in text.by_ref().take(MAX_SHOWN_CHARS) {
            f.write_char(if character.is_control() { '·' } else { character })?;
        }
        if text.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// "Invoked by candidates to gather votes" (Figure 2, §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestVote {
    /// Candidate's term.
    pub term: Term,
    /// Candidate requesting vote.
    pub candidate_id: NodeId,
    /// Index of candidate's last log entry (§5.4).
    pub last_log_index: Index,
    /// Term of candidate's last log entry (§5.4).
    pub last_log_term: Term,
}

impl RequestVote {
    /// The candidate's last entry.
    pub fn last_log(&self) -> EntryId {
        EntryId { index: self.last_log_index, term: self.last_log_term }
    }
}

/// The answer to [`RequestVote`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestVoteReply {
    /// The voter's `current_term`, for the candidate to update itself.
    pub term: Term,
    /// True means the candidate received the vote.
    pub vote_granted: bool,
}

/// "Invoked by leader to replicate log entries (§5.3); also used as heartbeat (§5.2)" (Figure 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendEntries {
    /// Leader's term.
    pub term: Term,
    /// So that a follower can send clients on to the leader.
    pub leader_id: NodeId,
    /// Index of the log entry immediately preceding the new ones.
    pub prev_log_index: Index,
    /// Term of the entry at `prev_log_index`.
    pub prev_log_term: Term,
    /// Log entries to store; empty for a heartbeat.
    pub entries: Vec<Entry>,
    /// Leader's `commit_index`.
    pub leader_commit: Index,
    /// Beyond Figure 2: the leader's round of heartbeats, sent back in its term. An answer to a
    /// round that began after a read arrived proves that the leader still led then (§8).
    pub round: u64,
}

impl AppendEntries {
    /// The entry that must precede the new ones.
    pub fn prev_log(&self) -> EntryId {
        EntryId { index: self.prev_log_index, term: self.prev_log_term }
    }
}

/// The answer to [`AppendEntries`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendEntriesReply {
    /// The follower's `current_term`, for the leader to update itself.
    pub term: Term,
    /// True if the follower contained the entry matching `prev_log_index` and `prev_log_term`.
    pub success: bool,
    /// On success, the last index that the message vouched for: `prev_log_index` plus the number
    /// of entries. Beyond Figure 2: the paper's leader remembers what it had sent; one-way
    /// messages carry it.
    pub match_index: Index,
    /// Beyond Figure 2: on refusal, where the logs may part. See [`Conflict`].
    pub conflict: Option<Conflict>,
    /// The `round` of the message that this answers, if that was of this term.
    pub round: u64,
}

impl AppendEntriesReply {
    /// "Reply false" to a leader of an older term: it gets no hint, and no round, which would be
    /// one of that term. If it leads again by now, it must not take it for one of this term's.
    pub fn refusal(term: Term) -> AppendEntriesReply {
        AppendEntriesReply { term, success: false, match_index: 0, conflict: None, round: 0 }
    }
}

/// Beyond Figure 2, but in §5.3: what a follower that refuses tells its leader, so that the
/// leader backs up by a whole term and not by one entry a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    /// The `prev_log_index` that was refused, so that a late answer is told from a new one.
    pub prev_log_index: Index,
    /// The term of the follower's entry at that place; 0 if its log is too short to have one.
    pub term: Term,
    /// The first index that the follower stores for that term; or the one after its last entry.
    pub index: Index,
}

/// "Invoked by leader to send chunks of a snapshot to a follower. Leaders always send chunks in
/// order" (Figure 13, §7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallSnapshot {
    /// Leader's term.
    pub term: Term,
    /// So that a follower can send clients on to the leader.
    pub leader_id: NodeId,
    /// The snapshot replaces all entries up through and including this index.
    pub last_included_index: Index,
    /// The term of the entry at `last_included_index`.
    pub last_included_term: Term,
    /// Byte offset where the chunk is positioned in the snapshot.
    pub offset: u64,
    /// The chunk, starting at `offset`: a piece of text, whole characters.
    pub data: Arc<str>,
    /// True if this is the last chunk.
    pub done: bool,
}

impl InstallSnapshot {
    /// The last entry that the snapshot stands for.
    pub fn last_included(&self) -> EntryId {
        EntryId { index: self.last_included_index, term: self.last_included_term }
    }
}

/// The answer to [`InstallSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallSnapshotReply {
    /// The follower's `current_term`, for the leader to update itself.
    pub term: Term,
    /// Beyond Figure 13, like the rest: which snapshot is meant. One-way messages may be late.
    pub last_included_index: Index,
    /// How far the follower has it: where the next chunk is to begin.
    pub offset: u64,
    /// True if the follower has all that the snapshot stands for.
    pub done: bool,
}

/// Any message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// A candidate asks for a vote.
    RequestVote(RequestVote),
    /// A voter answers.
    RequestVoteReply(RequestVoteReply),
    /// A leader replicates, or says that it is alive.
    AppendEntries(AppendEntries),
    /// A follower answers.
    AppendEntriesReply(AppendEntriesReply),
    /// A leader sends a chunk of its snapshot.
    InstallSnapshot(InstallSnapshot),
    /// A follower answers.
    InstallSnapshotReply(InstallSnapshotReply),
}

impl Rpc {
    /// The sender's term, which every message carries (§5.1).
    pub fn term(&self) -> Term {
        match self {
            Rpc::RequestVote(rpc) => rpc.term,
            Rpc::RequestVoteReply(rpc) => rpc.term,
            Rpc::AppendEntries(rpc) => rpc.term,
            Rpc::AppendEntriesReply(rpc) => rpc.term,
            Rpc::InstallSnapshot(rpc) => rpc.term,
            Rpc::InstallSnapshotReply(rpc) => rpc.term,
        }
    }

    /// The name of the message, as the paper writes it; heartbeats are told from other
    /// AppendEntries.
    pub fn name(&self) -> &'static str {
        match self {
            Rpc::RequestVote(_) => "RequestVote",
            Rpc::RequestVoteReply(_) => "RequestVote reply",
            Rpc::AppendEntries(rpc) if rpc.entries.is_empty() => "heartbeat",
            Rpc::AppendEntries(_) => "AppendEntries",
            Rpc::AppendEntriesReply(_) => "AppendEntries reply",
            Rpc::InstallSnapshot(_) => "InstallSnapshot",
            Rpc::InstallSnapshotReply(_) => "InstallSnapshot reply",
        }
    }

    /// Whether it answers another message.
    pub fn is_reply(&self) -> bool {
        match self {
            Rpc::RequestVote(_) | Rpc::AppendEntries(_) | Rpc::InstallSnapshot(_) => false,
            Rpc::RequestVoteReply(_)
            | Rpc::AppendEntriesReply(_)
            | Rpc::InstallSnapshotReply(_) => true,
        }
    }
}

/// One line for people: `AppendEntries term 4, prev 7@3, entries 8@4 9@4, commit 7`.
impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = self.name();
        let term = self.term();
        match self {
            Rpc::RequestVote(rpc) => write!(f, "{name} term {term}, last log {}", rpc.last_log()),
            Rpc::RequestVoteReply(reply) => {
                let answer = if reply.vote_granted { "yes" } else { "no" };
                write!(f, "{name}: {answer}, term {term}")
            }
            Rpc::AppendEntries(rpc) => {
                write!(f, "{name} term {term}, prev {}, ", rpc.prev_log())?;
                match rpc.entries.as_slice() {
                    [] => {}
                    [entry] => write!(f, "entry {} {}, ", entry.id(), entry.command)?,
                    [first, .., last] => write!(f, "entries {}..{}, ", first.id(), last.id())?,
                }
                write!(f, "commit {}{}", rpc.leader_commit, Round(rpc.round))
            }
            Rpc::AppendEntriesReply(reply) if reply.success => {
                write!(f, "{name}: yes, match {}, term {term}", reply.match_index)?;
                write!(f, "{}", Round(reply.round))
            }
            Rpc::AppendEntriesReply(AppendEntriesReply { conflict, round, .. }) => {
                write!(f, "{name}: no, term {term}{}", Round(*round))?;
                match conflict {
                    Some(Conflict { index, term: 0, .. }) => {
                        write!(f, ", my log ends before {index}")
                    }
                    Some(Conflict { index, term, .. }) => {
                        write!(f, ", my term {term} begins at {index}")
                    }
                    None => Ok(()),
                }
            }
            Rpc::InstallSnapshot(rpc) => {
                let InstallSnapshot { offset, data, done, .. } = rpc;
                let end = if *done { ", the last" } else { "" };
                write!(f, "{name} term {term}, to {}, ", rpc.last_included())?;
                write!(f, "{} bytes at {offset}{end}", data.len())
            }
            Rpc::InstallSnapshotReply(reply) => {
                let InstallSnapshotReply { last_included_index, offset, done, .. } = reply;
                write!(f, "{name}: ")?;
                match done {
                    true => write!(f, "has all up to {last_included_index}, term {term}"),
                    false => {
                        write!(f, "{offset} bytes of that to {last_included_index}, term {term}")
                    }
                }
            }
        }
    }
}

/// The number of a round, once there has been one: it matters only to reads.
struct Round(u64);

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ", round {}", self.0) }
    }
}

/// A message and its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who sent it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// What it says.
    pub rpc: Rpc,
}

/// `n1 → n2  RequestVote term 4, last log 8@3`.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} → {}  {}", self.from, self.to, self.rpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_split_finds_the_session() {
        let command = Command::in_session("c1", 7, "set x=@b:1 y");
        assert_eq!(command.split(), (Some(("c1", 7)), "set x=@b:1 y"));
        for plain in ["set x=1", "@c1 set x", "@c1:x set x", "@", ""] {
            assert_eq!(Command::new(plain).split(), (None, plain));
        }
    }

    #[test]
    fn command_display_is_one_short_line() {
        let hostile = Command::in_session("c1", 1, "set x=1\n12:00  n1\u{1b}[2J");
        assert_eq!(hostile.to_string(), "set x=1·12:00  n1·[2J");
        let long = Command::new(&"é".repeat(81));
        assert_eq!(long.to_string(), format!("{}…", "é".repeat(80)));
        assert_eq!(Command::new(&"é".repeat(80)).to_string(), "é".repeat(80));
    }
}
