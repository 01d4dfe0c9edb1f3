//! The rules of the paper, by name.
//!
//! Raft is safe because every server obeys a few dozen small rules, most of them a sentence in
//! Figure 2. Here each has a name, its place, one sentence in our own words, and the property
//! that falls if it is left out. The log cites this table to say why something happened, the
//! code asks `self.obeys(Rule::…)` where it enforces a rule, and the lab switches one off to
//! show what it is for.

use std::fmt;

/// What Raft promises. The first five are Figure 3; the last two are what clients see of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// "At most one leader can be elected in a given term" (§5.2).
    ElectionSafety,
    /// "A leader never overwrites or deletes entries in its log; it only appends new entries"
    /// (§5.3).
    LeaderAppendOnly,
    /// "If two logs contain an entry with the same index and term, then the logs are identical
    /// in all entries up through the given index" (§5.3).
    LogMatching,
    /// "If a log entry is committed in a given term, then that entry will be present in the logs
    /// of the leaders for all higher-numbered terms" (§5.4).
    LeaderCompleteness,
    /// "If a server has applied a log entry at a given index to its state machine, no other
    /// server will ever apply a different log entry for the same index" (§5.4.3); and none
    /// applies one twice.
    StateMachineSafety,
    /// Each operation seems to take effect at one moment between its call and its answer (§8).
    Linearizability,
    /// A majority that can talk elects a leader and serves its clients, soon (§5.2, §9.3).
    Liveness,
}

impl Property {
    /// All of them, in the order of Figure 3.
    pub const ALL: [Property; 7] = [
        Property::ElectionSafety,
        Property::LeaderAppendOnly,
        Property::LogMatching,
        Property::LeaderCompleteness,
        Property::StateMachineSafety,
        Property::Linearizability,
        Property::Liveness,
    ];

    /// The name that scripts use: `LogMatching`.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The property of this name, letter case aside.
    pub fn named(name: &str) -> Option<Property> {
        Property::ALL.into_iter().find(|property| property.name().eq_ignore_ascii_case(name))
    }

    /// What it promises, in one sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Property::ElectionSafety => "at most one leader is elected in a term.",
            Property::LeaderAppendOnly => "a leader never deletes entries of its log.",
            Property::LogMatching => "logs that share an entry are the same up to it.",
            Property::LeaderCompleteness => {
                "what is committed is in the log of every later leader."
            }
            Property::StateMachineSafety => "all apply the same entries in the same order, once.",
            Property::Linearizability => {
                "a command takes effect at one moment between its call and its answer."
            }
            Property::Liveness => "a majority that can talk elects a leader and serves, soon.",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Property::ElectionSafety => "Election Safety",
            Property::LeaderAppendOnly => "Leader Append-Only",
            Property::LogMatching => "Log Matching",
            Property::LeaderCompleteness => "Leader Completeness",
            Property::StateMachineSafety => "State Machine Safety",
            Property::Linearizability => "Linearizability",
            Property::Liveness => "Liveness",
        })
    }
}

/// A rule that servers obey, in the order of Figure 2, then of Figure 13. [`Rule::about`] says what
/// each one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table below says what each rule asks")]
pub enum Rule {
    SaveVote,
    KeepVoteForTerm,
    SaveEntries,
    RefuseOldCandidate,
    OneVotePerTerm,
    UpToDateLog,
    CompareLastTerm,
    CompareLastIndex,
    CompareAsPair,
    RefuseOldLeader,
    MatchPrevLog,
    MatchPrevLogInHeartbeats,
    DeleteConflicting,
    KeepMatching,
    CommitUpToLastNew,
    ApplyInOrder,
    AdoptNewerTerm,
    ResetTimerSparingly,
    IgnoreOldLeadersTimer,
    IncrementTerm,
    CountVotesOfThisTerm,
    CountVotersOnce,
    Majority,
    YieldToLeader,
    CandidatesTimeOut,
    RandomTimeouts,
    HeartbeatAtOnce,
    Heartbeats,
    NoOp,
    AnswerByIndexAndTerm,
    BackUpNextIndex,
    FastBackup,
    MatchIndexFromAnswer,
    IgnoreOldAnswers,
    CommitOwnTermOnly,
    SnapshotCommittedOnly,
    RefuseOldSnapshot,
    BeginAtFirstChunk,
    WriteAtOffset,
    WaitForAllChunks,
    SaveSnapshot,
    IgnoreOlderSnapshot,
    RetainMatching,
    DiscardWholeLog,
    RestoreState,
    SendSnapshot,
    RetryAppliedOnce,
    ConfirmLeadership,
    ReadAfterOwnCommit,
}

/// What the table says of a rule.
pub struct About {
    /// Which rule this is.
    pub rule: Rule,
    /// Its box in Figure 2 or 13 and the number there; empty where only the text has it.
    pub place: &'static str,
    /// The paper's section (or the dissertation's, marked "dissertation").
    pub section: &'static str,
    /// What it asks, in one sentence.
    pub sentence: &'static str,
    /// The property that falls if it is left out.
    pub falls: Property,
}

impl Rule {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();

    /// All rules, in the order of Figures 2 and 13.
    pub fn all() -> impl Iterator<Item = Rule> {
        TABLE.iter().map(|about| about.rule)
    }

    /// The table's row for this rule.
    pub fn about(self) -> &'static About {
        &TABLE[self as usize]
    }

    /// The name that scripts and the command line use, as in the code: `UpToDateLog`.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// How the names of its tests in `tests/paper.rs` begin: `up_to_date_log`.
    pub fn test_name(self) -> String {
        let mut snake = String::new();
        for character in self.name().chars() {
            if character.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(character.to_ascii_lowercase());
        }
        snake
    }

    /// The rule of this name, letter case aside.
    pub fn named(name: &str) -> Option<Rule> {
        Rule::all().find(|rule| rule.name().eq_ignore_ascii_case(name))
    }
}

/// How the log cites a rule: `RequestVote 2, §5.4.1`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let About { place, section, .. } = self.about();
        match place.is_empty() {
            true => write!(f, "{section}"),
            false => write!(f, "{place}, {section}"),
        }
    }
}

/// The set of rules that a server obeys: all of them, unless the lab says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    left_out: u64,
}

impl Rules {
    /// Every rule of the paper.
    pub const ALL: Rules = Rules { left_out: 0 };

    /// The same, less one.
    #[must_use]
    pub fn without(self, rule: Rule) -> Rules {
        Rules { left_out: self.left_out | 1 << rule as u64 }
    }

    /// Whether this rule is in force.
    pub fn obeys(self, rule: Rule) -> bool {
        self.left_out & (1 << rule as u64) == 0
    }
}

const fn rule(
    rule: Rule,
    place: &'static str,
    section: &'static str,
    falls: Property,
    sentence: &'static str,
) -> About {
    About { rule, place, section, sentence, falls }
}

use Property::*;
use Rule::*;

#[rustfmt::skip]
static TABLE: [About; 49] = [
    // State
    rule(SaveVote, "State", "§5.2", ElectionSafety,
        "A server saves its term and vote before it answers, so that a restart forgets neither."),
    rule(KeepVoteForTerm, "State", "§5.2", ElectionSafety,
        "A vote stands for the whole term: only a newer term clears voted_for."),
    rule(SaveEntries, "State", "§5.3", LeaderCompleteness,
        "A follower saves entries before it acknowledges them: the leader counts on it."),
    // RequestVote RPC
    rule(RefuseOldCandidate, "RequestVote 1", "§5.1", Liveness,
        "A candidate of an older term gets no vote: that election is over."),
    rule(OneVotePerTerm, "RequestVote 2", "§5.2", ElectionSafety,
        "A server votes for one candidate a term, the first that asks."),
    rule(UpToDateLog, "RequestVote 2", "§5.4.1", LeaderCompleteness,
        "A server votes only for a candidate whose log is at least as up to date as its own."),
    rule(CompareLastTerm, "RequestVote 2", "§5.4.1", LeaderCompleteness,
        "Of two logs, the one that ends in the later term is more up to date, however short."),
    rule(CompareLastIndex, "RequestVote 2", "§5.4.1", LeaderCompleteness,
        "Of two logs that end in the same term, the longer is more up to date."),
    rule(CompareAsPair, "RequestVote 2", "§5.4.1", Liveness,
        "Lengths count only when the last terms are equal, or nobody may be left to elect."),
    // AppendEntries RPC
    rule(RefuseOldLeader, "AppendEntries 1", "§5.1", LeaderCompleteness,
        "AppendEntries of an older term are refused: their sender no longer leads."),
    rule(MatchPrevLog, "AppendEntries 2", "§5.3", LogMatching,
        "A follower takes entries only where its log holds the entry that precedes them."),
    rule(MatchPrevLogInHeartbeats, "AppendEntries 2", "§5.3", StateMachineSafety,
        "A heartbeat is checked like any AppendEntries: it, too, vouches for what precedes it."),
    rule(DeleteConflicting, "AppendEntries 3", "§5.3", LeaderCompleteness,
        "An entry that conflicts with the leader's is deleted, and all that follow it."),
    rule(KeepMatching, "AppendEntries 4", "§5.3", LeaderCompleteness,
        "Entries already in the log stay, with those behind them: the message may be old."),
    rule(CommitUpToLastNew, "AppendEntries 5", "§5.3", StateMachineSafety,
        "A follower commits no further than the last entry that the message vouches for."),
    // Rules for Servers: All Servers
    rule(ApplyInOrder, "All Servers 1", "§5.3", StateMachineSafety,
        "Committed entries are applied one by one, in order, each once."),
    rule(AdoptNewerTerm, "All Servers 2", "§5.1", Liveness,
        "A newer term in any message, answers too, makes a follower with a fresh vote."),
    // Followers
    rule(ResetTimerSparingly, "Followers 2", "§5.2", Liveness,
        "Only the current leader's AppendEntries, or granting a vote, resets the timer."),
    rule(IgnoreOldLeadersTimer, "Followers 2", "§5.2", Liveness,
        "AppendEntries of an old leader do not reset the election timer."),
    // Candidates
    rule(IncrementTerm, "Candidates 1", "§5.2", ElectionSafety,
        "Every election is for a new term."),
    rule(CountVotesOfThisTerm, "Candidates 2", "§5.2", ElectionSafety,
        "A vote counts only in the term in which it was given."),
    rule(CountVotersOnce, "Candidates 2", "§5.2", ElectionSafety,
        "A candidate counts voters, not answers: the network may deliver one vote twice."),
    rule(Majority, "Candidates 2", "§5.2", ElectionSafety,
        "More than half of all servers must agree, so that any two majorities share a server."),
    rule(YieldToLeader, "Candidates 3", "§5.2", Liveness,
        "A candidate that hears from the leader of its own term has lost, and follows."),
    rule(CandidatesTimeOut, "Candidates 4", "§5.2", Liveness,
        "A candidate that neither wins nor loses in time starts another election."),
    rule(RandomTimeouts, "", "§5.2", Liveness,
        "Election timeouts are random, so that split votes are rare and soon over."),
    // Leaders
    rule(HeartbeatAtOnce, "Leaders 1", "§5.2", Liveness,
        "A new leader says so at once, before another server's timer runs out."),
    rule(Heartbeats, "Leaders 1", "§5.2", Liveness,
        "A leader with nothing to send sends heartbeats, so that nobody starts an election."),
    rule(NoOp, "", "§8", Liveness,
        "A new leader appends a no-op, to commit what earlier leaders left behind."),
    rule(AnswerByIndexAndTerm, "Leaders 2", "§5.3", Linearizability,
        "A client is told \"done\" only for the very entry it waits for: same index, same term."),
    rule(BackUpNextIndex, "Leaders 3", "§5.3", Liveness,
        "When a follower refuses, the leader moves next_index back and tries again."),
    rule(FastBackup, "", "§5.3", Liveness,
        "The leader moves back by a whole term at a time, with the hint in the refusal."),
    rule(MatchIndexFromAnswer, "Leaders 3", "§5.3", LeaderCompleteness,
        "match_index counts what the message carried, not what the log has grown to since."),
    rule(IgnoreOldAnswers, "", "dissertation B", LeaderCompleteness,
        "An answer to an earlier term's AppendEntries says nothing about this term's log."),
    rule(CommitOwnTermOnly, "Leaders 4", "§5.3 §5.4", LeaderCompleteness,
        "A leader counts copies only of its own term's entries; older ones commit with them."),
    // Snapshots: Figure 13
    rule(SnapshotCommittedOnly, "", "§7", StateMachineSafety,
        "A snapshot stands for entries that are committed and applied, and for no others."),
    rule(RefuseOldSnapshot, "InstallSnapshot 1", "§7", Liveness,
        "A snapshot of an older term is refused: its sender no longer leads."),
    rule(BeginAtFirstChunk, "InstallSnapshot 2", "§7", StateMachineSafety,
        "Another snapshot begins with its first chunk: pieces of two are never put together."),
    rule(WriteAtOffset, "InstallSnapshot 3", "§7", StateMachineSafety,
        "A chunk goes to its own place: one that comes twice is not written twice."),
    rule(WaitForAllChunks, "InstallSnapshot 4", "§7", StateMachineSafety,
        "A snapshot is taken on when its last chunk is there, and not before."),
    rule(SaveSnapshot, "InstallSnapshot 5", "§7", LeaderCompleteness,
        "A server saves a snapshot before it discards the entries that it stands for."),
    rule(IgnoreOlderSnapshot, "InstallSnapshot 5", "§7", StateMachineSafety,
        "A snapshot that ends before a server's own is old: a state never goes back."),
    rule(RetainMatching, "InstallSnapshot 6", "§7", LeaderCompleteness,
        "A log that holds the snapshot's last entry stays, with what follows that entry."),
    rule(DiscardWholeLog, "InstallSnapshot 7", "§7", LogMatching,
        "A log that does not hold the snapshot's last entry goes, all of it."),
    rule(RestoreState, "InstallSnapshot 8", "§7", StateMachineSafety,
        "With the snapshot comes its state: the entries that led to it are never applied here."),
    rule(SendSnapshot, "", "§7", Liveness,
        "A leader sends its snapshot to a follower that needs entries which it has discarded."),
    // Client interaction
    rule(RetryAppliedOnce, "", "§8", Linearizability,
        "A command that a client sends again, with the same serial number, is applied once."),
    rule(ConfirmLeadership, "", "§8", Linearizability,
        "A leader hears from a majority before it answers a read: it may have been deposed."),
    rule(ReadAfterOwnCommit, "", "§8", Linearizability,
        "A leader answers reads only once its own no-op is committed: its commit_index may lag."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (position, rule) in Rule::all().enumerate() {
            assert_eq!(rule as usize, position, "{rule:?}");
        }
        const { assert!(Rule::COUNT <= u64::BITS as usize) };
    }

    #[test]
    fn rules_without_one_obey_all_others() {
        let rules = Rules::ALL.without(Rule::NoOp);
        for rule in Rule::all() {
            assert_eq!(rules.obeys(rule), rule != Rule::NoOp);
            assert!(Rules::ALL.obeys(rule));
        }
    }

    #[test]
    fn rule_display_cites_figure_2_where_it_stands_there() {
        assert_eq!(Rule::UpToDateLog.to_string(), "RequestVote 2, §5.4.1");
        assert_eq!(Rule::NoOp.to_string(), "§8");
    }

    #[test]
    fn named_finds_every_rule_in_any_case() {
        for rule in Rule::all() {
            assert_eq!(Rule::named(&rule.name().to_lowercase()), Some(rule));
        }
        assert_eq!(Rule::named("NoSuchRule"), None);
        for property in Property::ALL {
            assert_eq!(Property::named(&property.name().to_uppercase()), Some(property));
        }
    }
}
