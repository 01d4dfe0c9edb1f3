//! What happened, and why.
//!
//! Every line that a student sees is the Display of an [`Event`]: who, in which term, what, and
//! why, with the rule of the paper in brackets. The node reports most of them; the server and
//! the transport report what happens around it. `{}` writes plain text, `{:#}` colours it for a
//! terminal.

use std::fmt;

use crate::node::message::{Command, EntryId, Index, Message, NodeId, Term};
use crate::node::rules::Rule;

/// One thing that happened on one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// On which server.
    pub node: NodeId,
    /// In which term of that server, after it happened.
    pub term: Term,
    /// What.
    pub what: What,
}

/// The three states of Figure 4, as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Passive: answers candidates and leaders.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Serves clients and replicates its log.
    Leader,
}

impl RoleName {
    /// The name in lower case, as `/status` has it.
    pub fn lower(self) -> &'static str {
        match self {
            RoleName::Follower => "follower",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        }
    }

    fn upper(self) -> &'static str {
        match self {
            RoleName::Follower => "FOLLOWER",
            RoleName::Candidate => "CANDIDATE",
            RoleName::Leader => "LEADER",
        }
    }
}

/// Everything that can happen.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are what the line shows, in its order")]
pub enum What {
    /// A server changed its state, Figure 4's arrows.
    Transition { from: RoleName, to: RoleName, why: Why },
    /// An election was not won in time, and why not.
    ElectionFailed { votes: usize, answers: usize, needed: usize, servers: usize },
    /// A voter said yes.
    VoteGranted { candidate: NodeId, candidate_last: EntryId, own_last: EntryId },
    /// A voter said no.
    VoteRefused { candidate: NodeId, why: VoteRefusal },
    /// A candidate heard a voter's answer.
    VoteReceived { voter: NodeId, granted: bool, votes: usize, needed: usize },
    /// A server heard from its term's leader for the first time.
    Follows { leader: NodeId },
    /// A leader's timer told it to say that it is alive.
    SendingHeartbeat { to: Vec<NodeId> },
    /// A leader appended its no-op or clients' commands; a follower, what the leader sent.
    Appended { first: EntryId, last: EntryId, command: Command, leader: Option<NodeId> },
    /// A follower deleted entries that conflict with the leader's.
    Deleted { first: EntryId, last: EntryId, leader: NodeId },
    /// A follower refused AppendEntries.
    AppendRefused { leader: NodeId, why: AppendRefusal },
    /// A leader moved a follower's next_index back after a refusal.
    BackedUp { follower: NodeId, refused: EntryId, next_index: Index },
    /// commit_index moved.
    Committed { first: EntryId, last: EntryId, command: Command, on: Vec<NodeId> },
    /// A server took a snapshot of its own state, of so many bytes.
    SnapshotTaken { last_included: EntryId, bytes: u64 },
    /// A leader sends a chunk of its snapshot.
    SendingSnapshot { to: NodeId, last_included: EntryId, bytes: u64, chunk: u64, chunks: u64 },
    /// A follower refused a leader's snapshot.
    SnapshotRefused { leader: NodeId, term: Term },
    /// A follower has all that a leader's snapshot stands for.
    SnapshotNotNeeded { leader: NodeId, last_included: EntryId },
    /// A leader's snapshot took the place of a follower's log and state.
    SnapshotInstalled { leader: NodeId, last_included: EntryId, bytes: u64 },
    /// An answer to a question of an earlier term came too late to count.
    LateAnswer(NodeId, Term, Rule),
    /// Reads were answered: a majority confirmed that this server leads.
    ReadConfirmed { reads: usize, read_index: Index },
    /// The node's first line.
    Started { address: String, peers: Vec<NodeId>, transport: &'static str, data: String },
    /// What was found on disk.
    Recovered { voted_for: Option<NodeId>, base: EntryId, last: EntryId, note: Option<String> },
    /// A message could not be sent, for the first time since the peer was last heard.
    Unreachable { peer: NodeId, address: String, why: String },
    /// The peer can be reached again, or for the first time.
    Reachable { peer: NodeId },
    /// A message came. Shown to those who ask for every message.
    Receives(Message),
    /// A message goes.
    Sends(Message),
    /// A message or connection was not understood, or not for us, and dropped.
    Dropped { from: String, why: String },
    /// Someone asks for what only a timer does otherwise.
    Asked(&'static str),
    /// The node plays dead, or lives again.
    Paused(bool),
    /// The trace of the node cannot be written, and why. The node goes on without.
    TraceEnds { why: String },
    /// The link to a peer was made worse, or well again.
    Link { peer: NodeId, blocked: bool, drop_percent: u8, delay_ms: u64 },
}

/// Why a server changed its state.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are what the line shows, in its order")]
pub enum Why {
    /// A follower heard nothing for its election timeout.
    NoLeader { silence_ms: u64 },
    /// A candidate tries again.
    NotElected { waited_ms: u64 },
    /// A candidate has its majority.
    Elected { votes: Vec<NodeId>, servers: usize },
    /// A message of a newer term arrived.
    NewerTerm { from: NodeId, message: &'static str },
    /// A candidate heard the leader of its own term.
    LeaderExists { leader: NodeId },
}

/// Why a vote was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what the line shows, in its order")]
pub enum VoteRefusal {
    /// The candidate's term is over.
    OldTerm { term: Term },
    /// This term's vote is given.
    VotedFor { other: NodeId },
    /// The candidate's log is behind.
    LogBehind { candidate_last: EntryId, own_last: EntryId },
}

/// Why AppendEntries were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what the line shows, in its order")]
pub enum AppendRefusal {
    /// The sender's term is over.
    OldTerm { term: Term },
    /// The log ends before the entry that must precede the new ones.
    TooShort { prev: EntryId, last: EntryId },
    /// The log has another entry there.
    Differs { prev: EntryId, own: EntryId },
}

impl What {
    /// The rule of the paper at work, if one is.
    pub fn rule(&self) -> Option<Rule> {
        Some(match self {
            What::Transition { why, .. } => why.rule(),
            What::ElectionFailed { .. } => Rule::CandidatesTimeOut,
            What::VoteGranted { .. } => Rule::UpToDateLog,
            What::VoteRefused { why, .. } => match why {
                VoteRefusal::OldTerm { .. } => Rule::RefuseOldCandidate,
                VoteRefusal::VotedFor { .. } => Rule::OneVotePerTerm,
                VoteRefusal::LogBehind { .. } => Rule::UpToDateLog,
            },
            What::VoteReceived { .. } => Rule::Majority,
            What::Follows { .. } | What::SendingHeartbeat { .. } => Rule::Heartbeats,
            What::Deleted { .. } => Rule::DeleteConflicting,
            What::AppendRefused { why: AppendRefusal::OldTerm { .. }, .. } => Rule::RefuseOldLeader,
            What::AppendRefused { .. } => Rule::MatchPrevLog,
            What::Appended { command, leader: None, .. } if command.as_str() == Command::NO_OP => {
                Rule::NoOp
            }
            What::BackedUp { .. } => Rule::BackUpNextIndex,
            What::Appended { leader: Some(_), .. } => Rule::KeepMatching,
            What::Committed { on, .. } if on.is_empty() => Rule::CommitUpToLastNew,
            What::Committed { .. } => Rule::CommitOwnTermOnly,
            What::LateAnswer(.., rule) => *rule,
            What::SnapshotTaken { .. } => Rule::SnapshotCommittedOnly,
            What::SendingSnapshot { .. } => Rule::SendSnapshot,
            What::SnapshotRefused { .. } => Rule::RefuseOldSnapshot,
            What::SnapshotNotNeeded { .. } => Rule::RetainMatching,
            What::SnapshotInstalled { .. } => Rule::RestoreState,
            What::ReadConfirmed { .. } => Rule::ConfirmLeadership,
            What::Appended { .. }
            | What::Started { .. }
            | What::Recovered { .. }
            | What::Unreachable { .. }
            | What::Reachable { .. }
            | What::Receives(_)
            | What::Sends(_)
            | What::Dropped { .. }
            | What::Asked(_)
            | What::Paused(_)
            | What::TraceEnds { .. }
            | What::Link { .. } => return None,
        })
    }

    /// What kind of thing it is, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Transition { .. } => "transition",
            What::ElectionFailed { .. } => "election_failed",
            What::VoteGranted { .. } => "vote_granted",
            What::VoteRefused { .. } => "vote_refused",
            What::VoteReceived { .. } => "vote_received",
            What::Follows { .. } => "follows",
            What::SendingHeartbeat { .. } => "sending_heartbeat",
            What::Appended { .. } => "appended",
            What::Deleted { .. } => "deleted",
            What::AppendRefused { .. } => "append_refused",
            What::BackedUp { .. } => "backed_up",
            What::Committed { .. } => "committed",
            What::SnapshotTaken { .. } => "snapshot_taken",
            What::SendingSnapshot { .. } => "sending_snapshot",
            What::SnapshotRefused { .. } => "snapshot_refused",
            What::SnapshotNotNeeded { .. } => "snapshot_not_needed",
            What::SnapshotInstalled { .. } => "snapshot_installed",
            What::LateAnswer(..) => "late_answer",
            What::ReadConfirmed { .. } => "read_confirmed",
            What::Started { .. } => "started",
            What::Recovered { .. } => "recovered",
            What::Unreachable { .. } => "unreachable",
            What::Reachable { .. } => "reachable",
            What::Receives(_) => "receives",
            What::Sends(_) => "sends",
            What::Dropped { .. } => "dropped",
            What::Asked(_) => "asked",
            What::Paused(_) => "paused",
            What::TraceEnds { .. } => "trace_ends",
            What::Link { .. } => "link",
        }
    }

    /// Whether the line is worth showing only to those who asked for every message: it repeats
    /// itself with the traffic. Of a large snapshot's many chunks about ten are shown.
    pub fn is_detail(&self) -> bool {
        match self {
            What::ReadConfirmed { .. } | What::Receives(_) | What::Sends(_) => true,
            What::SendingSnapshot { chunk, chunks, .. } => {
                *chunk > 1 && chunk * 10 / chunks == (chunk - 1) * 10 / chunks
            }
            _ => false,
        }
    }
}

impl Why {
    fn rule(&self) -> Rule {
        match self {
            Why::NoLeader { .. } => Rule::ResetTimerSparingly,
            Why::NotElected { .. } => Rule::CandidatesTimeOut,
            Why::Elected { .. } => Rule::Majority,
            Why::NewerTerm { .. } => Rule::AdoptNewerTerm,
            Why::LeaderExists { .. } => Rule::YieldToLeader,
        }
    }
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

impl Event {
    /// What a terminal puts before the line: transitions stand out in the colour of the new
    /// role, routine is dimmed.
    fn colour(&self) -> &'static [&'static str] {
        match &self.what {
            What::Transition { to: RoleName::Leader, .. } => &[BOLD, GREEN],
            What::Transition { to: RoleName::Candidate, .. } => &[BOLD, YELLOW],
            What::Transition { to: RoleName::Follower, .. } => &[BOLD, CYAN],
            What::Unreachable { .. }
            | What::Dropped { .. }
            | What::TraceEnds { .. }
            | What::ElectionFailed { .. } => &[RED],
            What::SendingHeartbeat { .. } => &[DIM],
            _ => &[],
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let colour = if f.alternate() { self.colour() } else { &[] };
        colour.iter().try_for_each(|code| f.write_str(code))?;
        write!(f, "{}  term {}  {}", self.node, self.term, self.what)?;
        if let Some(rule) = self.what.rule() {
            write!(f, " ({rule})")?;
        }
        if colour.is_empty() { Ok(()) } else { f.write_str(RESET) }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            What::Transition { from, to, why } => {
                write!(f, "{:9} → {:9}  {why}", from.upper(), to.upper())
            }
            What::ElectionFailed { votes, answers, needed, servers } => {
                write!(f, "{votes} of {servers} votes, {needed} needed: {}", so(answers < needed))
            }
            What::VoteGranted { candidate, candidate_last, own_last } => {
                // A log that is behind gets a vote only where the lab has left out the rule.
                let position = |id: &EntryId| (id.term, id.index);
                match position(candidate_last) < position(own_last) {
                    true => {
                        write!(f, "voted for {candidate}, whose log {candidate_last} is behind")
                    }
                    false => write!(
                        f,
                        "voted for {candidate}: log {candidate_last} is not behind {own_last}"
                    ),
                }
            }
            What::VoteRefused { candidate, why } => {
                write!(f, "refused its vote to {candidate}: {why}")
            }
            What::VoteReceived { voter, granted, votes, needed } => {
                let said = if *granted { "a vote from" } else { "no vote from" };
                write!(f, "{said} {voter}: has {votes}, needs {needed}")
            }
            What::Follows { leader } => write!(f, "follows {leader}"),
            What::SendingHeartbeat { to } => write!(f, "Sending heartbeat... to {}", names(to)),
            What::Appended { first, last, command, leader } => {
                write!(f, "appended {}", Entries(*first, *last, command))?;
                leader.map_or(Ok(()), |leader| write!(f, " from {leader}"))
            }
            What::Deleted { first, last, leader } => {
                write!(f, "deleted {} to make room for entries of {leader}", range(*first, *last))
            }
            What::AppendRefused { leader, why } => write!(f, "refused entries of {leader}: {why}"),
            What::BackedUp { follower, refused, next_index } => {
                write!(f, "{follower} lacks {refused}: next_index[{follower}] = {next_index}")
            }
            What::Committed { first, last, command, on } => {
                write!(f, "committed {}{}", range(*first, *last), On(on))?;
                if first == last { write!(f, ": {command}") } else { Ok(()) }
            }
            What::LateAnswer(from, term, _) => {
                write!(f, "ignored a late answer of term {term} from {from}")
            }
            What::ReadConfirmed { reads, read_index } => {
                let reads = if *reads == 1 { "1 read".into() } else { format!("{reads} reads") };
                write!(f, "answered {reads} at index {read_index}")
            }
            _ => self.fmt_of_snapshots(f),
        }
    }
}

impl What {
    /// The lines of Figure 13.
    fn fmt_of_snapshots(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            What::SnapshotTaken { last_included, bytes } => {
                write!(f, "took a snapshot to {last_included}, {}", Size(*bytes))?;
                f.write_str(": the log begins behind it")
            }
            What::SendingSnapshot { to, last_included, bytes, chunk, chunks } => {
                write!(f, "sends {to} its snapshot to {last_included}, {}, ", Size(*bytes))?;
                write!(f, "chunk {chunk} of {chunks}")
            }
            What::SnapshotRefused { leader, term } => {
                write!(f, "refused the snapshot of {leader}: its term {term} is over")
            }
            What::SnapshotNotNeeded { leader, last_included } => {
                write!(f, "has all of {leader}'s snapshot to {last_included}, and keeps its log")
            }
            What::SnapshotInstalled { leader, last_included, bytes } => {
                write!(f, "takes on {leader}'s snapshot to {last_included}, {}, ", Size(*bytes))?;
                f.write_str("in place of its log and state")
            }
            _ => self.fmt_of_the_body(f),
        }
    }

    /// The lines that are not the brain's: of the server, its transport, and what a student did.
    fn fmt_of_the_body(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            What::Started { address, peers, transport, data } => {
                write!(f, "started on {address} ({transport}), data in {data}, ")?;
                if peers.is_empty() {
                    f.write_str("alone")
                } else {
                    write!(f, "peers {}", names(peers))
                }
            }
            What::Recovered { voted_for, base, last, note } => {
                recovered(f, *voted_for, (*base, *last), note)
            }
            What::Unreachable { peer, address, why } => {
                write!(f, "{peer} is unreachable at {address}: {why}")
            }
            What::Reachable { peer } => write!(f, "{peer} is reachable"),
            What::Receives(message) => write!(f, "receives  {message}"),
            What::Sends(message) => write!(f, "sends     {message}"),
            What::Dropped { from, why } => write!(f, "dropped a message from {from}: {why}"),
            What::Asked(what) => write!(f, "is asked to {what} now"),
            What::Paused(true) => {
                f.write_str("paused: hears nothing, says nothing, time stands still")
            }
            What::Paused(false) => f.write_str("resumed"),
            What::TraceEnds { why } => write!(f, "the trace ends here: {why}"),
            What::Link { peer, blocked: true, .. } => write!(f, "the link to {peer} is cut"),
            What::Link { peer, drop_percent: 0, delay_ms: 0, .. } => {
                write!(f, "the link to {peer} is well")
            }
            What::Link { peer, drop_percent, delay_ms, .. } => {
                write!(f, "the link to {peer} loses {drop_percent} % and takes {delay_ms} ms")
            }
            // All others are the brain's.
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Why::NoLeader { silence_ms } => {
                write!(f, "no word from a leader for {}", Seconds(*silence_ms))
            }
            Why::NotElected { waited_ms } => {
                write!(f, "not elected in {}, tries again", Seconds(*waited_ms))
            }
            Why::Elected { votes, servers } => {
                write!(f, "votes from {}: {} of {servers}", names(votes), votes.len())
            }
            Why::NewerTerm { from, message } => {
                write!(f, "newer term in {message} from {from}")
            }
            Why::LeaderExists { leader } => write!(f, "{leader} leads this term"),
        }
    }
}

impl fmt::Display for VoteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            VoteRefusal::OldTerm { term } => write!(f, "its term {term} is over"),
            VoteRefusal::VotedFor { other } => write!(f, "it has voted for {other} in this term"),
            VoteRefusal::LogBehind { candidate_last, own_last } => {
                write!(f, "log {candidate_last} is behind {own_last}")
            }
        }
    }
}

impl fmt::Display for AppendRefusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            AppendRefusal::OldTerm { term } => write!(f, "its term {term} is over"),
            AppendRefusal::TooShort { prev, last } => {
                write!(f, "they follow {prev}, the log ends at {last}")
            }
            AppendRefusal::Differs { prev, own } => {
                write!(f, "they follow {prev}, the log has {own} there")
            }
        }
    }
}

/// What an election failed for: no candidate can win, or this one has not.
fn so(too_few_answer: bool) -> &'static str {
    if too_few_answer { "no majority can be reached" } else { "too few said yes" }
}

fn recovered(
    f: &mut fmt::Formatter,
    voted_for: Option<NodeId>,
    (base, last): (EntryId, EntryId),
    note: &Option<String>,
) -> fmt::Result {
    f.write_str("recovered ")?;
    if base.index > 0 {
        write!(f, "a snapshot to {base} and ")?;
    }
    match last.index - base.index {
        0 => f.write_str("an empty log")?,
        1 => write!(f, "1 entry, {last}")?,
        count => write!(f, "{count} entries up to {last}")?,
    }
    match voted_for {
        Some(candidate) => write!(f, ", voted for {candidate} in this term")?,
        None => f.write_str(", no vote in this term")?,
    }
    note.iter().try_for_each(|what| write!(f, "; {what}"))
}

/// Entries from the first to the last, with the command if there is but one.
struct Entries<'a>(EntryId, EntryId, &'a Command);

impl fmt::Display for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Entries(first, last, command) = self;
        match first == last {
            true => write!(f, "{first}: {command}"),
            false => write!(f, "{}", range(*first, *last)),
        }
    }
}

/// On which servers an entry is, where that is known: ` on n1 n2`.
struct On<'a>(&'a [NodeId]);

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " on {}", names(self.0)) }
    }
}

/// `8@4`, or `8@4..12@4 (5 entries)`.
fn range(first: EntryId, last: EntryId) -> String {
    match first == last {
        true => first.to_string(),
        false => format!("{first}..{last} ({} entries)", last.index + 1 - first.index),
    }
}

/// `n1 n2 n3`.
fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

/// Milliseconds, in the unit in which people think of them: `180 ms`, `2.62 s`.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            ms @ 0..1000 => write!(f, "{ms} ms"),
            ms => write!(f, "{}.{:02} s", ms / 1000, ms % 1000 / 10),
        }
    }
}

/// Bytes, in the unit in which people think of them: `412 KiB`.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            bytes @ 0..1024 => write!(f, "{bytes} bytes"),
            bytes @ 1024..1_048_576 => write!(f, "{} KiB", bytes / 1024),
            bytes => write!(f, "{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(node: u64, term: Term, what: What) -> Event {
        Event { node: NodeId(node), term, what }
    }

    fn id(index: Index, term: Term) -> EntryId {
        EntryId { index, term }
    }

    #[test]
    fn display_says_who_when_what_and_why() {
        let (follower, candidate, leader) =
            (RoleName::Follower, RoleName::Candidate, RoleName::Leader);
        let why = Why::NoLeader { silence_ms: 2620 };
        let what = What::Transition { from: follower, to: candidate, why };
        let line = "n2  term 4  FOLLOWER  → CANDIDATE  no word from a leader for 2.62 s \
                    (Followers 2, §5.2)";
        assert_eq!(event(2, 4, what).to_string(), line);

        let why = Why::Elected { votes: vec![NodeId(2), NodeId(3)], servers: 3 };
        let what = What::Transition { from: candidate, to: leader, why };
        let line =
            "n2  term 4  CANDIDATE → LEADER     votes from n2 n3: 2 of 3 (Candidates 2, §5.2)";
        assert_eq!(event(2, 4, what).to_string(), line);

        let why = VoteRefusal::LogBehind { candidate_last: id(2, 1), own_last: id(3, 2) };
        let what = What::VoteRefused { candidate: NodeId(3), why };
        let line =
            "n2  term 4  refused its vote to n3: log 2@1 is behind 3@2 (RequestVote 2, §5.4.1)";
        assert_eq!(event(2, 4, what).to_string(), line);

        let (on, command) = (vec![NodeId(2), NodeId(3)], Command::new("set x=42"));
        let what = What::Committed { first: id(8, 4), last: id(8, 4), command, on };
        let line = "n2  term 4  committed 8@4 on n2 n3: set x=42 (Leaders 4, §5.3 §5.4)";
        assert_eq!(event(2, 4, what).to_string(), line);
    }

    #[test]
    fn display_tells_a_split_vote_from_a_lost_majority() {
        let failed = |answers| What::ElectionFailed { votes: 1, answers, needed: 3, servers: 5 };
        assert_eq!(failed(1).to_string(), "1 of 5 votes, 3 needed: no majority can be reached");
        assert_eq!(failed(3).to_string(), "1 of 5 votes, 3 needed: too few said yes");
    }

    #[test]
    fn display_alternate_colours_and_ends_the_colour() {
        let what = What::SendingHeartbeat { to: vec![NodeId(2)] };
        let line = format!("{:#}", event(1, 1, what));
        assert!(line.starts_with(DIM) && line.ends_with(RESET), "{line:?}");
    }

    #[test]
    fn entries_are_shown_by_name_and_number() {
        let command = Command::in_session("c1", 7, "set x=1");
        let one = What::Appended { first: id(2, 1), last: id(2, 1), command, leader: None };
        assert_eq!(one.to_string(), "appended 2@1: set x=1");
        let command = Command::no_op();
        let leader = Some(NodeId(3));
        let more = What::Appended { first: id(2, 1), last: id(4, 2), command, leader };
        assert_eq!(more.to_string(), "appended 2@1..4@2 (3 entries) from n3");
    }

    #[test]
    fn chunks_are_counted_and_about_ten_of_them_shown() {
        let sending = |chunk, chunks| What::SendingSnapshot {
            to: NodeId(3),
            last_included: id(100_000, 3),
            bytes: 412 << 10,
            chunk,
            chunks,
        };
        let line = "n1  term 3  sends n3 its snapshot to 100000@3, 412 KiB, chunk 7 of 13 (§7)";
        assert_eq!(event(1, 3, sending(7, 13)).to_string(), line);
        for (chunks, shown) in [(1, 1), (2, 2), (13, 11), (3000, 11)] {
            let lines = (1..=chunks).filter(|&chunk| !sending(chunk, chunks).is_detail());
            assert_eq!(lines.count(), shown, "of {chunks}");
        }
        let sizes = [999, 1024, 1 << 20, 5 << 19].map(|bytes| Size(bytes).to_string());
        assert_eq!(sizes, ["999 bytes", "1 KiB", "1.0 MiB", "2.5 MiB"]);
    }
}
