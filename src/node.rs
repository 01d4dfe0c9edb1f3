//! The brain: Raft as Figure 2 has it, and nothing else.
//!
//! A [`Node`] is one server's mind. It has no socket, no disk, no clock and no thread. Whoever owns
//! it (the body in `server.rs`, or the simulated world in `lab`) tells it what happened, one
//! [`Input`] at a time, and gets back what to do about it: a list of [`Output`]s, **to be done in
//! order**. So "updated on stable storage before responding" (Figure 2) reads here as: the `Save…`
//! stands before the `Send`.
//!
//! The file follows Figure 2: State, elections, RequestVote, AppendEntries, leaders. Figure 13 has
//! a file of its own, `node/snapshots.rs`, and so have the reads of §8, `node/reads.rs`. Each guard
//! names its [`Rule`], each paragraph of the figure stands above the code that does it. What the
//! figure does not have is marked `Beyond Figure 2`, with the reason.

pub mod event;
pub mod log;
pub mod message;
mod reads;
pub mod role;
pub mod rules;
pub mod snapshot;
mod snapshots;
pub mod step;

use std::collections::BTreeMap;

use crate::node::event::{AppendRefusal, Event, VoteRefusal, What, Why};
use crate::node::log::Log;
use crate::node::message::{
    AppendEntries, AppendEntriesReply, Command, Conflict, Entry, EntryId, Index, Message, NodeId,
    RequestVote, RequestVoteReply, Rpc, Term,
};
use crate::node::role::{Candidate, Leader, Role};
use crate::node::rules::Rule;
use crate::node::snapshot::{Incoming, Snapshot};
use crate::node::step::{Input, Millis, Output, Random, Refusal, RequestId, Saved, Settings};

/// One server's mind. Anyone may look at its state; only [`Node::step`] changes it, but for what is
/// on its way ([`Node::forget_incoming`]).
#[derive(Clone, Debug)]
pub struct Node {
    // Persistent state on all servers
    /// "Latest term server has seen."
    pub current_term: Term,
    /// "CandidateId that received vote in current term."
    pub voted_for: Option<NodeId>,
    /// "Log entries […] (first index is 1)."
    pub log: Log,

    // Volatile state on all servers
    /// "Index of highest log entry known to be committed."
    pub commit_index: Index,
    /// "Index of highest log entry applied to state machine."
    pub last_applied: Index,
    /// Follower, candidate or leader, with what only that one knows.
    pub role: Role,

    // Beyond Figure 2: what its sentences need to be done
    election_deadline: Millis,
    /// When the election timer was last reset, and so how long the silence has been.
    timer_set_at: Millis,
    /// What stands for the entries before the log (§7).
    pub snapshot: Snapshot,
    /// The snapshot that the leader is sending.
    pub incoming: Incoming,
    /// The term and vote that the disk was given last.
    saved_vote: (Term, Option<NodeId>),
    /// Clients whose entries are not committed yet.
    waiting: BTreeMap<EntryId, RequestId>,
    settings: Settings,
    random: Random,
    now: Millis,
    outputs: Vec<Output>,
}

impl Node {
    /// A server that starts, or starts again, with what its disk holds: as a follower (§5.2).
    pub fn new(settings: Settings, saved: Saved, now: Millis) -> Node {
        let mut node = Node {
            current_term: saved.current_term,
            voted_for: saved.voted_for,
            commit_index: saved.snapshot.last_included.index,
            last_applied: saved.snapshot.last_included.index,
            role: Role::Follower { leader: None },
            election_deadline: now,
            timer_set_at: now,
            saved_vote: (saved.current_term, saved.voted_for),
            waiting: BTreeMap::new(),
            random: Random(settings.seed),
            outputs: Vec::new(),
            log: Log::new(saved.snapshot.last_included, saved.entries),
            snapshot: saved.snapshot,
            incoming: Incoming::default(),
            settings,
            now,
        };
        node.reset_election_timer();
        node
    }

    /// Takes in one thing that happened and returns what is to be done about it, in order.
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        self.now = now;
        match input {
            Input::Tick if now < self.deadline() => {}
            Input::Tick | Input::TimerFires => self.timer_fires(),
            Input::Receive(message) => self.receive(message),
            Input::Propose(batch) => self.propose(batch),
            Input::Read(requests) => self.read(requests),
            Input::SnapshotTaken { index, data } => self.take_snapshot(index, data),
            Input::Saved(last) => {
                self.log.saved(last);
                self.advance_commit_index();
            }
        }
        self.apply_committed();
        self.answer_reads();
        self.save_vote();
        self.save_entries();
        std::mem::take(&mut self.outputs)
    }

    /// When the node next wants an [`Input::Tick`], if nothing else happens before.
    pub fn deadline(&self) -> Millis {
        match &self.role {
            Role::Leader(leader) => leader.heartbeat_deadline,
            _ => self.election_deadline,
        }
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.settings.id
    }

    /// Who leads this term, as far as this server knows.
    pub fn leader(&self) -> Option<NodeId> {
        match self.role {
            Role::Follower { leader } => leader,
            Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.settings.id),
        }
    }

    fn obeys(&self, rule: Rule) -> bool {
        self.settings.rules.obeys(rule)
    }

    // ---- Rules for all servers -----------------------------------------------------------------

    fn receive(&mut self, message: Message) {
        let Message { from, rpc, .. } = message;
        // All Servers 2: "If RPC request or response contains term T > currentTerm: set
        // currentTerm = T, convert to follower".
        if rpc.term() > self.current_term && self.obeys(Rule::AdoptNewerTerm) {
            self.current_term = rpc.term();
            self.voted_for = None;
            self.become_follower(None, Why::NewerTerm { from, message: rpc.name() });
        }
        match rpc {
            Rpc::RequestVote(rpc) => self.on_request_vote(rpc),
            Rpc::RequestVoteReply(reply) => self.on_request_vote_reply(from, reply),
            Rpc::AppendEntries(rpc) => self.on_append_entries(rpc),
            Rpc::AppendEntriesReply(reply) => self.on_append_entries_reply(from, reply),
            Rpc::InstallSnapshot(rpc) => self.on_install_snapshot(rpc),
            Rpc::InstallSnapshotReply(reply) => self.on_install_snapshot_reply(from, reply),
        }
    }

    /// All Servers 1: "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied]
    /// to state machine".
    fn apply_committed(&mut self) {
        if self.commit_index <= self.last_applied {
            return;
        }
        let first = match self.obeys(Rule::ApplyInOrder) {
            true => self.last_applied + 1,
            false => self.last_applied.max(1),
        };
        for index in first..=self.commit_index {
            let Some(entry) = self.log.entry(index).cloned() else { break };
            let request = self.client_of(entry.id());
            self.outputs.push(Output::Apply { entry, request });
            self.last_applied = index;
        }
    }

    /// The client who waits for this entry. One who waits for another of its index is told no.
    fn client_of(&mut self, committed: EntryId) -> Option<RequestId> {
        let mut client = None;
        while let Some(first) = self.waiting.first_entry() {
            if first.key().index > committed.index {
                break;
            }
            let (id, request) = first.remove_entry();
            if id == committed || !self.obeys(Rule::AnswerByIndexAndTerm) {
                client = Some(request);
            } else {
                self.outputs.push(Output::Refuse { request, why: Refusal::Replaced });
            }
        }
        client
    }

    /// Persistent state is "updated on stable storage before responding to RPCs" (Figure 2).
    fn respond(&mut self, to: NodeId, rpc: Rpc) {
        if self.obeys(Rule::SaveVote) {
            self.save_vote();
        }
        if self.obeys(Rule::SaveEntries) {
            self.save_entries();
        }
        self.send(to, rpc);
    }

    /// Beyond Figure 2: a leader's own entries may be on their way while its disk still writes; it
    /// counts itself when the disk has answered (dissertation 10.2.1).
    fn send(&mut self, to: NodeId, rpc: Rpc) {
        self.outputs.push(Output::Send(Message { from: self.settings.id, to, rpc }));
    }

    fn save_vote(&mut self) {
        let (current_term, voted_for) = (self.current_term, self.voted_for);
        if self.saved_vote != (current_term, voted_for) {
            self.saved_vote = (current_term, voted_for);
            self.outputs.push(Output::SaveVote { current_term, voted_for });
        }
    }

    fn save_entries(&mut self) {
        if let Some((after, entries)) = self.log.take_unsaved() {
            let leader_id = self.leader().unwrap_or(self.settings.id);
            self.outputs.push(Output::SaveEntries { after, entries, leader_id });
        }
    }

    fn event(&mut self, what: What) {
        let event = Event { node: self.settings.id, term: self.current_term, what };
        self.outputs.push(Output::Event(event));
    }

    // ---- Timers and elections (§5.2) -----------------------------------------------------------

    fn timer_fires(&mut self) {
        let silence_ms = self.now.saturating_sub(self.timer_set_at);
        match &self.role {
            // Followers 2: "If election timeout elapses without receiving AppendEntries RPC from
            // current leader or granting vote to candidate: convert to candidate".
            Role::Follower { .. } => self.start_election(Why::NoLeader { silence_ms }),
            // Candidates 4: "If election timeout elapses: start new election".
            Role::Candidate(candidate) => {
                let (votes, answers) = (candidate.votes.len(), candidate.answers.len());
                let (needed, servers) = (self.majority(), self.servers());
                self.event(What::ElectionFailed { votes, answers, needed, servers });
                match self.obeys(Rule::CandidatesTimeOut) {
                    true => self.start_election(Why::NotElected { waited_ms: silence_ms }),
                    false => self.reset_election_timer(),
                }
            }
            // Leaders 1: heartbeats, "repeat during idle periods to prevent election timeouts".
            Role::Leader(_) => {
                if self.obeys(Rule::Heartbeats) && self.servers() > 1 {
                    self.event(What::SendingHeartbeat { to: self.settings.peers.clone() });
                    for peer in self.settings.peers.clone() {
                        self.replicate(peer, 0);
                    }
                }
                self.reset_heartbeat_timer();
            }
        }
    }

    /// Candidates 1: "On conversion to candidate, start election: increment currentTerm, vote for
    /// self, reset election timer, send RequestVote RPCs to all other servers".
    fn start_election(&mut self, why: Why) {
        if self.obeys(Rule::IncrementTerm) {
            self.current_term += 1;
        }
        let (term, candidate_id) = (self.current_term, self.settings.id);
        self.voted_for = Some(candidate_id);
        self.change_role(Role::Candidate(Candidate::new(candidate_id)), why);
        self.reset_election_timer();
        let EntryId { index: last_log_index, term: last_log_term } = self.log.last();
        for peer in self.settings.peers.clone() {
            let rpc = RequestVote { term, candidate_id, last_log_index, last_log_term };
            self.respond(peer, Rpc::RequestVote(rpc));
        }
        self.count_votes();
    }

    fn on_request_vote_reply(&mut self, voter: NodeId, reply: RequestVoteReply) {
        if reply.term < self.current_term && self.obeys(Rule::CountVotesOfThisTerm) {
            return self.event(What::LateAnswer(voter, reply.term, Rule::CountVotesOfThisTerm));
        }
        let (needed, granted) = (self.majority(), reply.vote_granted);
        let once = self.obeys(Rule::CountVotersOnce);
        let Role::Candidate(Candidate { votes, answers }) = &mut self.role else { return };
        answers.insert(voter);
        if granted && !(once && votes.contains(&voter)) {
            votes.push(voter);
        }
        let votes = votes.len();
        self.event(What::VoteReceived { voter, granted, votes, needed });
        self.count_votes();
    }

    /// Candidates 2: "If votes received from majority of servers: become leader".
    fn count_votes(&mut self) {
        let Role::Candidate(Candidate { votes, .. }) = &self.role else { return };
        if votes.len() >= self.majority() {
            let (votes, servers) = (votes.clone(), self.servers());
            self.become_leader(Why::Elected { votes, servers });
        }
    }

    /// More than half of all servers, this one included.
    fn majority(&self) -> usize {
        match self.obeys(Rule::Majority) {
            true => self.servers() / 2 + 1,
            false => (self.servers() / 2).max(1),
        }
    }

    fn servers(&self) -> usize {
        self.settings.peers.len() + 1
    }

    /// "Election timeouts are chosen randomly from a fixed interval" (§5.2).
    fn reset_election_timer(&mut self) {
        let (least, greatest) = self.settings.timing.election_timeout_ms;
        let timeout_ms = match self.obeys(Rule::RandomTimeouts) {
            true => self.random.between(least, greatest),
            false => least,
        };
        self.election_deadline = self.now + timeout_ms;
        self.timer_set_at = self.now;
    }

    fn reset_heartbeat_timer(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.heartbeat_deadline = self.now + self.settings.timing.heartbeat_ms;
        }
    }

    /// An arrow of Figure 4.
    fn change_role(&mut self, role: Role, why: Why) {
        let from = self.role.name();
        let old = std::mem::replace(&mut self.role, role);
        self.event(What::Transition { from, to: self.role.name(), why });
        if let Role::Leader(deposed) = old {
            self.reset_election_timer(); // which has not been running
            self.refuse(deposed.reads.iter().map(|read| read.request).collect());
        }
    }

    fn become_follower(&mut self, leader: Option<NodeId>, why: Why) {
        match self.role {
            Role::Follower { .. } => self.role = Role::Follower { leader },
            _ => self.change_role(Role::Follower { leader }, why),
        }
    }

    /// Leaders 1: "Upon election: send initial empty AppendEntries RPCs (heartbeat) to each
    /// server".
    fn become_leader(&mut self, why: Why) {
        let leader = Leader::new(&self.settings.peers, self.log.last_index(), self.now);
        self.change_role(Role::Leader(leader), why);
        self.reset_heartbeat_timer();
        // Beyond Figure 2: a no-op, which §8 asks for. The first messages carry it.
        if self.obeys(Rule::NoOp) {
            let no_op = self.log.append(self.current_term, Command::no_op());
            self.appended_from(no_op.index, None);
        }
        if self.obeys(Rule::HeartbeatAtOnce) {
            for peer in self.settings.peers.clone() {
                self.send_append_entries(peer, self.settings.max_entries);
            }
        }
    }

    // ---- RequestVote RPC, receiver (§5.1, §5.2, §5.4) ------------------------------------------

    fn on_request_vote(&mut self, rpc: RequestVote) {
        let candidate = rpc.candidate_id;
        let (candidate_last, own_last) = (rpc.last_log(), self.log.last());
        let refusal = self.refusal_of_vote(&rpc);
        let vote_granted = refusal.is_none();
        if vote_granted {
            self.voted_for = Some(candidate);
        }
        if vote_granted || !self.obeys(Rule::ResetTimerSparingly) {
            self.reset_election_timer();
        }
        self.event(match refusal {
            None => What::VoteGranted { candidate, candidate_last, own_last },
            Some(why) => What::VoteRefused { candidate, why },
        });
        let reply = RequestVoteReply { term: self.current_term, vote_granted };
        self.respond(candidate, Rpc::RequestVoteReply(reply));
    }

    fn refusal_of_vote(&self, rpc: &RequestVote) -> Option<VoteRefusal> {
        // 1. "Reply false if term < currentTerm".
        if self.obeys(Rule::RefuseOldCandidate) && rpc.term < self.current_term {
            return Some(VoteRefusal::OldTerm { term: rpc.term });
        }
        // 2. "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as
        // receiver's log, grant vote".
        let other = self.voted_for.filter(|&other| other != rpc.candidate_id);
        if let Some(other) = other
            && self.obeys(Rule::OneVotePerTerm)
        {
            return Some(VoteRefusal::VotedFor { other });
        }
        let (candidate_last, own_last) = (rpc.last_log(), self.log.last());
        if self.obeys(Rule::UpToDateLog) && !self.is_up_to_date(candidate_last, own_last) {
            return Some(VoteRefusal::LogBehind { candidate_last, own_last });
        }
        None
    }

    /// §5.4.1: the log that ends in the later term is more up to date; of two that end in the same
    /// term, the longer.
    fn is_up_to_date(&self, candidate: EntryId, own: EntryId) -> bool {
        if !self.obeys(Rule::CompareLastTerm) {
            return candidate.index >= own.index;
        }
        if !self.obeys(Rule::CompareLastIndex) {
            return candidate.term >= own.term;
        }
        if !self.obeys(Rule::CompareAsPair) {
            return candidate.term >= own.term && candidate.index >= own.index;
        }
        (candidate.term, candidate.index) >= (own.term, own.index)
    }

    // ---- AppendEntries RPC, receiver (§5.3) ----------------------------------------------------

    fn on_append_entries(&mut self, rpc: AppendEntries) {
        let leader = rpc.leader_id;
        let mut reply = AppendEntriesReply::refusal(self.current_term);
        // 1. "Reply false if term < currentTerm". (A second leader of a term is a forgery.)
        let old = rpc.term < self.current_term && self.obeys(Rule::RefuseOldLeader);
        if old || matches!(self.role, Role::Leader(_)) {
            if !self.obeys(Rule::IgnoreOldLeadersTimer) {
                self.reset_election_timer();
            }
            let why = AppendRefusal::OldTerm { term: rpc.term };
            self.event(What::AppendRefused { leader, why });
            return self.respond(leader, Rpc::AppendEntriesReply(reply));
        }
        self.follow(leader);
        reply.round = rpc.round;

        // 2. "Reply false if log doesn't contain an entry at prevLogIndex whose term matches
        // prevLogTerm".
        if let Some((why, conflict)) = self.conflict_with(&rpc) {
            reply.conflict = Some(conflict);
            self.event(What::AppendRefused { leader, why });
            return self.respond(leader, Rpc::AppendEntriesReply(reply));
        }

        // 3, 4. Delete what conflicts, append what is new.
        let last_new = rpc.prev_log_index + rpc.entries.len() as Index;
        self.store(rpc.prev_log_index, rpc.entries, leader);

        // 5. "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new
        // entry)".
        let known = match self.obeys(Rule::CommitUpToLastNew) {
            true => last_new,
            false => self.log.last_index(),
        };
        self.commit_up_to(rpc.leader_commit.min(known), Vec::new());

        reply = AppendEntriesReply { success: true, match_index: last_new, ..reply };
        self.respond(leader, Rpc::AppendEntriesReply(reply));
    }

    /// The sender leads this server's term. Candidates 3: "If AppendEntries RPC received from new
    /// leader: convert to follower".
    fn follow(&mut self, leader: NodeId) {
        if matches!(self.role, Role::Candidate(_)) && !self.obeys(Rule::YieldToLeader) {
            return;
        }
        if self.leader() != Some(leader) {
            self.become_follower(Some(leader), Why::LeaderExists { leader });
            self.event(What::Follows { leader });
        }
        if !self.obeys(Rule::KeepVoteForTerm) {
            self.voted_for = None;
        }
        self.reset_election_timer();
    }

    /// Where this log parts from the one that the message was cut from, if it does, with the hint
    /// of §5.3 by which the leader finds the place fast.
    fn conflict_with(&self, rpc: &AppendEntries) -> Option<(AppendRefusal, Conflict)> {
        let (prev, last) = (rpc.prev_log(), self.log.last());
        let prev_log_index = prev.index;
        if prev.index < self.log.base().index {
            return None; // it is committed: all leaders have the same
        }
        let Some(term) = self.log.term_at(prev.index) else {
            let hint = Conflict { prev_log_index, term: 0, index: last.index + 1 };
            return Some((AppendRefusal::TooShort { prev, last }, hint));
        };
        let unchecked = !self.obeys(Rule::MatchPrevLog)
            || rpc.entries.is_empty() && !self.obeys(Rule::MatchPrevLogInHeartbeats);
        if term == prev.term || unchecked {
            return None;
        }
        let own = EntryId { index: prev.index, term };
        let hint = Conflict { prev_log_index, term, index: self.log.first_index_of(term) };
        Some((AppendRefusal::Differs { prev, own }, hint))
    }

    fn store(&mut self, prev_log_index: Index, entries: Vec<Entry>, leader: NodeId) {
        let keep = self.obeys(Rule::KeepMatching);
        let known = entries.iter().take_while(|entry| keep && self.log.covers(entry.id()));
        let known = known.count();
        let first_new = prev_log_index + 1 + known as Index;
        // 3. "If an existing entry conflicts with a new one (same index but different terms),
        // delete the existing entry and all that follow it".
        let conflict = known < entries.len() || !keep;
        if conflict && self.obeys(Rule::DeleteConflicting) {
            self.delete_from(first_new, leader);
        }
        // 4. "Append any new entries not already in the log".
        let first_appended = self.log.last_index() + 1;
        entries.into_iter().skip(known).for_each(|entry| self.log.push(entry));
        self.appended_from(first_appended, Some(leader));
    }

    fn delete_from(&mut self, index: Index, leader: NodeId) {
        let Some(first) = self.log.entry(index).map(Entry::id) else { return };
        self.event(What::Deleted { first, last: self.log.last(), leader });
        self.log.delete_from(index);
    }

    /// The log has grown from this index on.
    fn appended_from(&mut self, index: Index, leader: Option<NodeId>) {
        let [first, ..] = self.log.entries_from(index) else { return };
        let (first, last, command) = (first.id(), self.log.last(), first.command.clone());
        self.event(What::Appended { first, last, command, leader });
    }

    // ---- Leaders (§5.3, §5.4) ------------------------------------------------------------------

    /// Leaders 2: "If command received from client: append entry to local log, respond after entry
    /// applied to state machine".
    fn propose(&mut self, batch: Vec<(RequestId, Command)>) {
        if !matches!(self.role, Role::Leader(_)) {
            return self.refuse(batch.into_iter().map(|(request, _)| request).collect());
        }
        let first = self.log.last_index() + 1;
        for (request, command) in batch {
            let id = self.log.append(self.current_term, command);
            self.waiting.insert(id, request);
        }
        self.appended_from(first, None);
        for peer in self.settings.peers.clone() {
            self.send_what_is_missing(peer);
        }
    }

    fn refuse(&mut self, requests: Vec<RequestId>) {
        let refuse = |request| Output::Refuse { request, why: Refusal::NotLeader };
        self.outputs.extend(requests.into_iter().map(refuse));
    }

    /// Leaders 3: "If last log index ≥ nextIndex for a follower: send AppendEntries RPC with log
    /// entries starting at nextIndex".
    fn send_what_is_missing(&mut self, to: NodeId) {
        let last_index = self.log.last_index();
        if self.role.progress(to).is_some_and(|progress| progress.wants(last_index)) {
            self.replicate(to, self.settings.max_entries);
        }
    }

    fn send_append_entries(&mut self, to: NodeId, max_entries: usize) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(progress) = leader.followers.get_mut(&to) else { return };
        let prev_log_index = (progress.next_index - 1).max(self.log.base().index);
        let prev_log_term = self.log.term_at(prev_log_index).unwrap_or_default();
        let max_bytes = self.settings.max_bytes;
        let entries = self.log.batch_from(prev_log_index + 1, max_entries, max_bytes);
        if !progress.probing {
            // Beyond Figure 2: the next message does not wait for this one's answer. If this one is
            // lost, the follower refuses the next, and the leader goes back.
            progress.next_index += entries.len() as Index;
        }
        let rpc = AppendEntries {
            term: self.current_term,
            leader_id: self.settings.id,
            prev_log_index,
            prev_log_term,
            entries,
            leader_commit: self.commit_index,
            round: leader.round,
        };
        self.send(to, Rpc::AppendEntries(rpc));
    }

    fn on_append_entries_reply(&mut self, follower: NodeId, reply: AppendEntriesReply) {
        if reply.term < self.current_term && self.obeys(Rule::IgnoreOldAnswers) {
            return self.event(What::LateAnswer(follower, reply.term, Rule::IgnoreOldAnswers));
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(progress) = leader.followers.get_mut(&follower) else { return };
        progress.round = progress.round.max(reply.round.min(leader.round));
        if reply.success {
            self.on_success(follower, reply.match_index);
        } else if let Some(conflict) = reply.conflict {
            self.on_conflict(follower, conflict);
        }
    }

    /// Leaders 3: "If successful: update nextIndex and matchIndex for follower".
    fn on_success(&mut self, follower: NodeId, match_index: Index) {
        let last_index = self.log.last_index();
        let known = match self.obeys(Rule::MatchIndexFromAnswer) {
            true => match_index.min(last_index),
            false => last_index,
        };
        if let Some(progress) = self.role.progress(follower) {
            progress.agree(known);
        }
        self.advance_commit_index();
        self.send_what_is_missing(follower);
    }

    /// Leaders 3: "If AppendEntries fails because of log inconsistency: decrement nextIndex and
    /// retry".
    fn on_conflict(&mut self, follower: NodeId, conflict: Conflict) {
        let index = conflict.prev_log_index;
        let Some(term) = self.log.term_at(index) else { return }; // this leader never sent that
        let next_index = self.next_index_before(conflict);
        let backs_up = self.obeys(Rule::BackUpNextIndex);
        let Some(progress) = self.role.progress(follower) else { return };
        if !progress.is_news(index) || !backs_up {
            return;
        }
        progress.back_up(next_index);
        let refused = EntryId { index, term };
        self.event(What::BackedUp { follower, refused, next_index });
        self.replicate(follower, self.settings.max_entries);
    }

    /// §5.3, end: skip the whole term in which the logs conflict. Beyond the paper: if this log has
    /// entries of that term, the two may agree up to its last one.
    fn next_index_before(&self, conflict: Conflict) -> Index {
        let next_index = match self.log.last_index_of(conflict.term) {
            _ if !self.obeys(Rule::FastBackup) => conflict.prev_log_index,
            Some(last) => last + 1,
            None => conflict.index,
        };
        next_index.clamp(1, conflict.prev_log_index.max(1))
    }

    /// Leaders 4: "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N,
    /// and log[N].term == currentTerm: set commitIndex = N".
    fn advance_commit_index(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let own = (self.settings.id, self.log.saved_index());
        let (n, on) = leader.stored_on_majority(own, self.majority());
        let own_term = self.log.term_at(n) == Some(self.current_term);
        if own_term || !self.obeys(Rule::CommitOwnTermOnly) {
            self.commit_up_to(n, on);
        }
    }

    fn commit_up_to(&mut self, index: Index, on: Vec<NodeId>) {
        let Some(first) = self.log.entry(self.commit_index + 1).map(Entry::id) else { return };
        let Some(Entry { term, command, .. }) = self.log.entry(index) else { return };
        if index > self.commit_index {
            self.commit_index = index;
            let (last, command) = (EntryId { index, term: *term }, command.clone());
            self.event(What::Committed { first, last, command, on });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::event::RoleName;
    use crate::node::message::InstallSnapshot;
    use crate::node::rules::Rules;
    use crate::node::step::Timing;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);

    /// n1 of so many servers, with nothing on its disk.
    fn node_of(servers: u64, seed: u64) -> Node {
        let settings = Settings {
            id: N1,
            peers: (2..=servers).map(NodeId).collect(),
            timing: Timing::PAPER,
            rules: Rules::ALL,
            max_entries: 64,
            max_bytes: 1 << 20,
            max_chunk_bytes: 4,
            seed,
        };
        Node::new(settings, Saved::default(), 0)
    }

    fn from(from: NodeId, rpc: Rpc) -> Input {
        Input::Receive(Message { from, to: N1, rpc })
    }

    fn vote(from_: NodeId, term: Term) -> Input {
        from(from_, Rpc::RequestVoteReply(RequestVoteReply { term, vote_granted: true }))
    }

    fn success(from_: NodeId, term: Term, match_index: Index, round: u64) -> Input {
        let reply = AppendEntriesReply {
            success: true,
            match_index,
            round,
            ..AppendEntriesReply::refusal(term)
        };
        from(from_, Rpc::AppendEntriesReply(reply))
    }

    fn append(leader: NodeId, term: Term, prev: (Index, Term), entries: &[Term]) -> AppendEntries {
        let entry = |(index, &term)| Entry { index, term, command: Command::new("set x=1") };
        AppendEntries {
            term,
            leader_id: leader,
            prev_log_index: prev.0,
            prev_log_term: prev.1,
            entries: (prev.0 + 1..).zip(entries).map(entry).collect(),
            leader_commit: 0,
            round: 0,
        }
    }

    /// n1 leads term 1 of three servers at 200 ms; its no-op is 1@1, and n2 and n3 have it.
    fn leader() -> Node {
        let mut node = node_of(3, 1);
        node.step(200, Input::TimerFires);
        node.step(200, vote(N2, 1));
        node.step(200, Input::Saved(EntryId { index: 1, term: 1 }));
        node.step(200, success(N2, 1, 1, 0));
        node.step(200, success(N3, 1, 1, 0));
        assert_eq!((node.role.name(), node.commit_index), (RoleName::Leader, 1));
        node
    }

    fn sent(outputs: &[Output]) -> Vec<(NodeId, &Rpc)> {
        let mut sent = Vec::new();
        for output in outputs {
            if let Output::Send(message) = output {
                sent.push((message.to, &message.rpc));
            }
        }
        sent
    }

    /// `prev` and number of entries of each AppendEntries that goes to this server.
    fn appends_to(to: NodeId, outputs: &[Output]) -> Vec<(Index, usize)> {
        let append = |(receiver, rpc): &(NodeId, &Rpc)| match rpc {
            Rpc::AppendEntries(rpc) if *receiver == to => {
                Some((rpc.prev_log_index, rpc.entries.len()))
            }
            _ => None,
        };
        sent(outputs).iter().filter_map(append).collect()
    }

    fn place(outputs: &[Output], what: fn(&Output) -> bool) -> usize {
        outputs.iter().position(what).expect("it is among the outputs")
    }

    fn events(outputs: &[Output]) -> Vec<&What> {
        let mut events = Vec::new();
        for output in outputs {
            if let Output::Event(event) = output {
                events.push(&event.what);
            }
        }
        events
    }

    #[test]
    fn tick_before_the_deadline_does_nothing() {
        let mut node = node_of(3, 1);
        let deadline = node.deadline();
        assert_eq!(node.step(deadline - 1, Input::Tick), []);
        let outputs = node.step(deadline, Input::Tick);
        assert_eq!(node.role.name(), RoleName::Candidate);
        let why = Why::NoLeader { silence_ms: deadline };
        let (from, to) = (RoleName::Follower, RoleName::Candidate);
        assert_eq!(events(&outputs), [&What::Transition { from, to, why }]);
    }

    #[test]
    fn election_timeouts_are_drawn_from_the_whole_interval() {
        let deadlines: Vec<Millis> = (0..500).map(|seed| node_of(3, seed).deadline()).collect();
        assert!(deadlines.iter().all(|ms| (150..=300).contains(ms)));
        assert!(deadlines.iter().any(|ms| *ms < 160) && deadlines.iter().any(|ms| *ms > 290));
    }

    #[test]
    fn candidate_tries_again_and_says_why_it_failed() {
        let mut node = node_of(5, 1);
        node.step(200, Input::TimerFires);
        node.step(200, vote(N2, 1));
        let outputs = node.step(node.deadline(), Input::Tick);
        let failed = What::ElectionFailed { votes: 2, answers: 2, needed: 3, servers: 5 };
        assert_eq!(events(&outputs)[0], &failed);
        assert_eq!((node.current_term, sent(&outputs).len()), (2, 4));
    }

    #[test]
    fn single_server_elects_itself_and_needs_no_heartbeats() {
        let mut node = node_of(1, 1);
        node.step(200, Input::TimerFires);
        assert_eq!(node.role.name(), RoleName::Leader);
        assert_eq!(node.step(250, Input::Tick), []);
        assert_eq!(node.deadline(), 300);
    }

    #[test]
    fn leader_sends_heartbeats_when_its_timer_says_so() {
        let mut node = leader();
        assert_eq!(node.deadline(), 250);
        assert_eq!(node.step(249, Input::Tick), []);
        let outputs = node.step(250, Input::Tick);
        assert_eq!(events(&outputs), [&What::SendingHeartbeat { to: vec![N2, N3] }]);
        assert_eq!(
            (appends_to(N2, &outputs), appends_to(N3, &outputs)),
            (vec![(1, 0)], vec![(1, 0)])
        );
        assert_eq!(node.deadline(), 300);
    }

    #[test]
    fn newer_term_deposes_a_leader_and_starts_its_election_timer() {
        let mut node = leader();
        let reply = RequestVoteReply { term: 7, vote_granted: false };
        let outputs = node.step(1000, from(N2, Rpc::RequestVoteReply(reply)));
        assert_eq!((node.current_term, node.voted_for, node.leader()), (7, None, None));
        assert!((1150..=1300).contains(&node.deadline()));
        let save = Output::SaveVote { current_term: 7, voted_for: None };
        assert!(outputs.contains(&save));
    }

    #[test]
    fn candidate_that_steps_down_keeps_its_timer() {
        let mut node = node_of(3, 1);
        node.step(200, Input::TimerFires);
        let deadline = node.deadline();
        let reply = RequestVoteReply { term: 7, vote_granted: false };
        node.step(210, from(N2, Rpc::RequestVoteReply(reply)));
        assert_eq!((node.role.name(), node.deadline()), (RoleName::Follower, deadline));
    }

    #[test]
    fn follower_knows_its_leader_until_the_term_ends() {
        let mut node = node_of(3, 1);
        let outputs = node.step(10, from(N2, Rpc::AppendEntries(append(N2, 1, (0, 0), &[]))));
        assert_eq!(events(&outputs), [&What::Follows { leader: N2 }]);
        let outputs = node.step(60, from(N2, Rpc::AppendEntries(append(N2, 1, (0, 0), &[]))));
        assert_eq!(events(&outputs), Vec::<&What>::new(), "a content follower is silent");
        assert_eq!(node.leader(), Some(N2));
        let request =
            RequestVote { term: 2, candidate_id: N3, last_log_index: 0, last_log_term: 0 };
        node.step(70, from(N3, Rpc::RequestVote(request)));
        assert_eq!((node.leader(), node.voted_for), (None, Some(N3)));
    }

    #[test]
    fn leader_refuses_another_of_its_own_term() {
        let mut node = leader();
        let outputs = node.step(210, from(N2, Rpc::AppendEntries(append(N2, 1, (0, 0), &[1]))));
        let refusal = AppendEntriesReply::refusal(1);
        assert_eq!(sent(&outputs), [(N2, &Rpc::AppendEntriesReply(refusal))]);
        assert_eq!(node.role.name(), RoleName::Leader);
    }

    #[test]
    fn vote_and_entries_are_saved_before_the_answer() {
        let is_send = |output: &Output| matches!(output, Output::Send(_));
        let is_vote = |output: &Output| matches!(output, Output::SaveVote { .. });
        let is_entries = |output: &Output| matches!(output, Output::SaveEntries { .. });
        let mut node = node_of(3, 1);
        let request =
            RequestVote { term: 1, candidate_id: N2, last_log_index: 0, last_log_term: 0 };
        let outputs = node.step(10, from(N2, Rpc::RequestVote(request)));
        assert!(place(&outputs, is_vote) < place(&outputs, is_send));
        let outputs = node.step(20, from(N2, Rpc::AppendEntries(append(N2, 1, (0, 0), &[1]))));
        assert!(place(&outputs, is_entries) < place(&outputs, is_send));
        assert_eq!(
            outputs.iter().filter(|output| output.is_save()).count(),
            1,
            "the vote is saved"
        );
    }

    #[test]
    fn entries_leave_before_the_leaders_own_disk_has_them() {
        let mut node = leader();
        let outputs = node.step(210, Input::Propose(vec![(9, Command::new("set x=1"))]));
        let is_send = |output: &Output| matches!(output, Output::Send(_));
        assert!(place(&outputs, is_send) < place(&outputs, Output::is_save));
        let mut outputs = node.step(211, success(N2, 1, 2, 0));
        assert_eq!(node.commit_index, 1, "n2 has it; the leader's disk has not answered");
        outputs.extend(node.step(212, Input::Saved(EntryId { index: 2, term: 1 })));
        assert_eq!((node.commit_index, node.last_applied), (2, 2));
        let entry = node.log.entry(2).cloned().unwrap();
        assert!(outputs.contains(&Output::Apply { entry, request: Some(9) }));
    }

    #[test]
    fn entries_commit_without_the_leaders_disk() {
        let mut node = leader();
        node.step(210, Input::Propose(vec![(9, Command::new("set x=1"))]));
        node.step(211, success(N2, 1, 2, 0));
        let outputs = node.step(212, success(N3, 1, 2, 0));
        assert_eq!(node.commit_index, 2);
        let on = vec![N2, N3];
        let (first, command) = (EntryId { index: 2, term: 1 }, Command::new("set x=1"));
        assert_eq!(events(&outputs), [&What::Committed { first, last: first, command, on }]);
    }

    #[test]
    fn entries_are_pipelined_once_the_logs_are_known_to_agree() {
        let mut node = leader();
        let first =
            node.step(210, Input::Propose(vec![(1, Command::new("a")), (2, Command::new("b"))]));
        assert_eq!(appends_to(N2, &first), [(1, 2)], "two proposals, one message");
        let id = |index| EntryId { index, term: 1 };
        let command = Command::new("a");
        let appended = What::Appended { first: id(2), last: id(3), command, leader: None };
        assert_eq!(events(&first), [&appended]);
        let second = node.step(211, Input::Propose(vec![(3, Command::new("c"))]));
        assert_eq!(appends_to(N2, &second), [(3, 1)], "without waiting for the answer");
    }

    #[test]
    fn lost_message_is_sent_again_when_the_next_is_refused() {
        let mut node = leader();
        node.step(210, Input::Propose(vec![(1, Command::new("a"))]));
        node.step(211, Input::Propose(vec![(2, Command::new("b"))]));
        let conflict = Some(Conflict { prev_log_index: 2, term: 0, index: 2 });
        let refusal = AppendEntriesReply { conflict, ..AppendEntriesReply::refusal(1) };
        let refusal = || from(N2, Rpc::AppendEntriesReply(refusal.clone()));
        let outputs = node.step(212, refusal());
        assert_eq!(appends_to(N2, &outputs), [(1, 2)]);
        let refused = EntryId { index: 2, term: 1 };
        assert_eq!(events(&outputs), [&What::BackedUp { follower: N2, refused, next_index: 2 }]);
        assert_eq!(node.step(213, refusal()), [], "the same gap again");
        let more = node.step(214, Input::Propose(vec![(3, Command::new("c"))]));
        assert_eq!(appends_to(N2, &more), [], "it probes, and waits for the answer");
        let outputs = node.step(215, success(N2, 1, 3, 0));
        assert_eq!(appends_to(N2, &outputs), [(3, 1)]);
    }

    #[test]
    fn refusal_of_what_was_never_sent_is_not_believed() {
        let mut node = leader();
        let conflict = Some(Conflict { prev_log_index: 1 << 53, term: 0, index: 1 << 53 });
        let refusal = AppendEntriesReply { conflict, ..AppendEntriesReply::refusal(1) };
        assert_eq!(node.step(210, from(N2, Rpc::AppendEntriesReply(refusal))), []);
        let outputs = node.step(250, Input::Tick);
        assert_eq!(appends_to(N2, &outputs), [(1, 0)]);
    }

    #[test]
    fn clients_are_told_what_became_of_their_entries() {
        let mut node = leader();
        let batch = vec![(1, Command::new("a")), (2, Command::new("b"))];
        node.step(210, Input::Propose(batch));
        // n2 leads term 2. It has 2@1, the first client's entry, and another in the second's place.
        let mut rpc = append(N2, 2, (2, 1), &[2]);
        rpc.leader_commit = 3;
        let outputs = node.step(300, from(N2, Rpc::AppendEntries(rpc)));
        let applied = |request, index| {
            let entry = node.log.entry(index).cloned().unwrap();
            outputs.contains(&Output::Apply { entry, request })
        };
        assert!(applied(Some(1), 2) && applied(None, 3));
        assert!(outputs.contains(&Output::Refuse { request: 2, why: Refusal::Replaced }));
        let outputs = node.step(301, Input::Propose(vec![(3, Command::new("c"))]));
        assert_eq!(outputs, [Output::Refuse { request: 3, why: Refusal::NotLeader }]);
    }

    #[test]
    fn follower_keeps_what_it_knows_and_replaces_what_conflicts() {
        let mut node = node_of(3, 1);
        let outputs =
            node.step(10, from(N2, Rpc::AppendEntries(append(N2, 1, (0, 0), &[1, 1, 1]))));
        let id = |index, term| EntryId { index, term };
        let command = Command::new("set x=1");
        let appended = |first, last, leader| What::Appended {
            first,
            last,
            command: command.clone(),
            leader: Some(leader),
        };
        assert_eq!(events(&outputs)[1..], [&appended(id(1, 1), id(3, 1), N2)]);
        let outputs = node.step(20, from(N3, Rpc::AppendEntries(append(N3, 2, (1, 1), &[1, 2]))));
        let deleted = What::Deleted { first: id(3, 1), last: id(3, 1), leader: N3 };
        let told = [&What::Follows { leader: N3 }, &deleted, &appended(id(3, 2), id(3, 2), N3)];
        assert_eq!(events(&outputs), told);
        let terms = node.log.entries_from(1).iter().map(|entry| entry.term);
        assert_eq!(terms.collect::<Vec<_>>(), [1, 1, 2]);
    }

    #[test]
    fn commitment_is_told_once() {
        let mut node = node_of(3, 1);
        let mut rpc = append(N2, 1, (0, 0), &[1, 1]);
        rpc.leader_commit = 1;
        let outputs = node.step(10, from(N2, Rpc::AppendEntries(rpc.clone())));
        let (first, command) = (EntryId { index: 1, term: 1 }, Command::new("set x=1"));
        let committed = What::Committed { first, last: first, command, on: Vec::new() };
        assert_eq!(events(&outputs).last(), Some(&&committed));
        assert_eq!(events(&node.step(20, from(N2, Rpc::AppendEntries(rpc)))), Vec::<&What>::new());
    }

    #[test]
    fn client_of_a_later_entry_goes_on_waiting() {
        let mut node = leader();
        node.step(210, Input::Propose(vec![(1, Command::new("a")), (2, Command::new("b"))]));
        node.step(211, success(N2, 1, 2, 0));
        let outputs = node.step(212, success(N3, 1, 2, 0));
        let entry = |index| node.log.entry(index).cloned().unwrap();
        let (first, second) = (entry(2), entry(3));
        assert!(outputs.contains(&Output::Apply { entry: first, request: Some(1) }));
        node.step(213, success(N2, 1, 3, 0));
        let outputs = node.step(214, success(N3, 1, 3, 0));
        assert!(outputs.contains(&Output::Apply { entry: second, request: Some(2) }));
    }

    #[test]
    fn reads_wait_for_a_round_that_began_after_them() {
        let mut node = leader();
        let outputs = node.step(210, Input::Read(vec![1, 2]));
        assert_eq!(appends_to(N2, &outputs), [(1, 0)], "the round begins at once");
        assert_eq!(appends_to(N3, &outputs), [], "one more server is a majority");
        assert_eq!(node.step(211, Input::Read(vec![3])), [], "it waits for the next round");
        assert_eq!(node.step(212, success(N2, 1, 1, 0)), [], "an answer from before");
        let outputs = node.step(213, success(N2, 1, 1, 1));
        let answers =
            |outputs: &[Output], request| outputs.contains(&Output::AnswerRead { request });
        assert!(answers(&outputs, 1) && answers(&outputs, 2) && !answers(&outputs, 3));
        assert_eq!(appends_to(N2, &outputs), [(1, 0)], "the next round begins");
        let heartbeat = node.step(263, Input::Tick);
        assert_eq!(appends_to(N3, &heartbeat), [(1, 0)], "n2 is silent, and all are asked");
        assert!(answers(&node.step(264, success(N3, 1, 1, 2)), 3));
    }

    /// A leader compacts its log while this server is away: the first it hears of the new term is
    /// the snapshot. At the next start a snapshot of a later term than the vote's is damage.
    #[test]
    fn install_snapshot_saves_the_term_first() {
        let mut node = node_of(3, 1);
        let rpc = InstallSnapshot {
            term: 4,
            leader_id: N2,
            last_included_index: 7,
            last_included_term: 4,
            offset: 0,
            data: "state".into(),
            done: true,
        };
        let outputs = node.step(100, from(N2, Rpc::InstallSnapshot(rpc)));
        let vote = place(&outputs, |output| matches!(output, Output::SaveVote { .. }));
        assert!(vote < place(&outputs, |output| matches!(output, Output::SaveSnapshot(_))));
    }

    /// What n2 has of the snapshot is another's text, shorter or longer than the true one.
    #[test]
    fn spoiled_transfer_begins_anew() {
        for spoiled in ["X", "a long text that is none"] {
            let mut leader = leader();
            leader.step(210, Input::SnapshotTaken { index: 1, data: "0123456789".into() });
            let mut n2 = node_of(3, 2);
            (n2.settings.id, n2.settings.peers) = (N2, vec![N1, N3]);
            let last_included = leader.log.base();
            n2.incoming = Incoming { last_included, data: spoiled.to_string() };
            let conflict = Some(Conflict { prev_log_index: 1, term: 0, index: 1 });
            let refusal = AppendEntriesReply { conflict, ..AppendEntriesReply::refusal(1) };
            let mut outputs = leader.step(211, from(N2, Rpc::AppendEntriesReply(refusal)));
            for _ in 0..100 {
                let to_peer = sent(&outputs).into_iter().find(|(to, _)| [N1, N2].contains(to));
                outputs = match to_peer {
                    Some((N2, Rpc::InstallSnapshot(rpc)))
                        if n2.incoming.completed_by(rpc).is_some_and(|it| it != "0123456789") =>
                    {
                        n2.forget_incoming(); // as the body does with what is none
                        Vec::new()
                    }
                    Some((N2, rpc)) => n2.step(212, from(N1, rpc.clone())),
                    Some((_, rpc)) => leader.step(212, from(N2, rpc.clone())),
                    None => leader.step(212, Input::TimerFires),
                };
            }
            assert_eq!(n2.snapshot, leader.snapshot, "after {spoiled:?}");
        }
    }

    /// The body takes a snapshot of a state that lies a little back.
    #[test]
    fn entries_behind_a_snapshot_are_sent_to_who_is_a_little_behind() {
        let mut node = leader();
        node.step(210, Input::Propose(vec![(1, Command::new("a")), (2, Command::new("b"))]));
        node.step(211, success(N2, 1, 3, 0));
        node.step(212, Input::Saved(EntryId { index: 3, term: 1 }));
        assert_eq!(node.last_applied, 3);
        node.step(213, Input::SnapshotTaken { index: 1, data: "state".into() });
        assert_eq!((node.log.base().index, node.commit_index, node.last_applied), (1, 3, 3));
        let conflict = Some(Conflict { prev_log_index: 3, term: 0, index: 2 });
        let refusal = AppendEntriesReply { conflict, ..AppendEntriesReply::refusal(1) };
        let outputs = node.step(214, from(N3, Rpc::AppendEntriesReply(refusal)));
        assert_eq!(appends_to(N3, &outputs), [(1, 2)]);
    }

    #[test]
    fn deposed_leader_refuses_the_reads_that_wait() {
        let mut node = leader();
        node.step(210, Input::Read(vec![1]));
        let reply = RequestVoteReply { term: 2, vote_granted: false };
        let outputs = node.step(211, from(N2, Rpc::RequestVoteReply(reply)));
        let refusal = |request| Output::Refuse { request, why: Refusal::NotLeader };
        assert!(outputs.contains(&refusal(1)));
        assert_eq!(node.step(212, Input::Read(vec![2])), [refusal(2)]);
    }
}
