//! The three states of Figure 4, and what a server knows only while it is in one of them.
//!
//! A candidate counts votes. A leader keeps Figure 2's "volatile state on leaders":
//! `next_index`, a guess at what to send (any guess is safe), and `match_index`, knowledge on
//! which commitment rests (it must never be too high). To these come numbers of ours for each
//! follower: whether the guess has been confirmed (then entries are pipelined), the last round of
//! heartbeats that it answered (then reads are safe, §8), and how far it has the snapshot that it
//! is being sent (§7).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::node::event::RoleName;
use crate::node::message::{Index, NodeId};
use crate::node::step::{Millis, RequestId};

/// What a server is at the moment.
#[derive(Clone, Debug, Hash)]
pub enum Role {
    /// Follows its term's leader, if it has heard from one.
    Follower {
        /// Where clients are sent.
        leader: Option<NodeId>,
    },
    /// Asks for votes.
    Candidate(Candidate),
    /// Serves clients and replicates its log.
    Leader(Leader),
}

impl Role {
    /// Its name.
    pub fn name(&self) -> RoleName {
        match self {
            Role::Follower { .. } => RoleName::Follower,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// What a leader knows of this follower.
    pub fn progress(&mut self, follower: NodeId) -> Option<&mut Progress> {
        match self {
            Role::Leader(leader) => leader.followers.get_mut(&follower),
            _ => None,
        }
    }
}

/// The state of a candidate.
#[derive(Clone, Debug, Hash)]
pub struct Candidate {
    /// Who voted for it, itself first. (A set but for the lab, which may leave out
    /// `CountVotersOnce`.)
    pub votes: Vec<NodeId>,
    /// Who answered at all, itself included: can a majority be reached?
    pub answers: BTreeSet<NodeId>,
}

impl Candidate {
    /// A candidate that has voted for itself.
    pub fn new(id: NodeId) -> Candidate {
        Candidate { votes: vec![id], answers: BTreeSet::from([id]) }
    }
}

/// How many entries may be on their way to a follower before the leader waits for an answer.
const MAX_ENTRIES_IN_FLIGHT: Index = 4096;

/// The state of a leader. It is "reinitialized after election" (Figure 2) by being made then.
#[derive(Clone, Debug, Hash)]
pub struct Leader {
    /// What it knows of each other server: the rows of `next_index[]` and `match_index[]`.
    pub followers: BTreeMap<NodeId, Progress>,
    /// When the next heartbeat is due.
    pub heartbeat_deadline: Millis,
    /// Where its own term's entries begin.
    pub first_index: Index,
    /// The last round of heartbeats begun.
    pub round: u64,
    /// Reads that are not answered yet.
    pub reads: Vec<Read>,
}

/// What a leader knows of one follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    /// "Index of the next log entry to send to that server."
    pub next_index: Index,
    /// "Index of highest log entry known to be replicated on server."
    pub match_index: Index,
    /// It is not known where the follower's log ends: send, then wait for the answer.
    pub probing: bool,
    /// The last round of heartbeats that the follower answered.
    pub round: u64,
    /// How far it has the leader's snapshot, in bytes, while it is being sent one (§7).
    pub offset: u64,
}

/// A client's read.
#[derive(Clone, Debug, Hash)]
pub struct Read {
    /// Whom to answer.
    pub request: RequestId,
    /// What the state machine must have applied before (dissertation 6.4).
    pub read_index: Index,
    /// The round that must be answered by a majority before.
    pub round: u64,
}

impl Leader {
    /// A leader newly elected: next_index is "initialized to leader last log index + 1",
    /// match_index to 0.
    pub fn new(peers: &[NodeId], last_index: Index, heartbeat_deadline: Millis) -> Leader {
        let first_index = last_index + 1;
        let row = Progress {
            next_index: first_index,
            match_index: 0,
            probing: true,
            round: 0,
            offset: 0,
        };
        let followers = peers.iter().map(|&peer| (peer, row.clone())).collect();
        Leader { followers, heartbeat_deadline, first_index, round: 0, reads: Vec::new() }
    }

    /// The highest index that a majority has stored, and on which servers.
    pub fn stored_on_majority(
        &self,
        own: (NodeId, Index),
        majority: usize,
    ) -> (Index, Vec<NodeId>) {
        let copies = self.followers.iter().map(|(&id, progress)| (id, progress.match_index));
        let copies = copies.chain([own]);
        let mut indexes: Vec<Index> = copies.clone().map(|(_, index)| index).collect();
        indexes.sort_unstable();
        let stored = indexes[indexes.len() - majority];
        let who_has_it = copies.filter(|&(_, index)| index >= stored).map(|(id, _)| id);
        let mut servers: Vec<NodeId> = who_has_it.collect();
        servers.sort_unstable();
        (stored, servers)
    }

    /// The latest round that a majority has answered. The leader answers its own at once.
    pub fn confirmed_round(&self, majority: usize) -> u64 {
        let rounds = self.followers.values().map(|progress| progress.round);
        let mut rounds: Vec<u64> = rounds.chain([self.round]).collect();
        rounds.sort_unstable();
        rounds[rounds.len() - majority]
    }

    /// Whether a new round of heartbeats is to begin: reads wait for it, and the last one is
    /// over. So all reads that come during a round share the next.
    pub fn wants_round(&self, majority: usize) -> bool {
        let waiting = self.reads.iter().any(|read| read.round > self.round);
        waiting && self.confirmed_round(majority) == self.round
    }

    /// Whom to ask in a new round: with the leader itself they are a majority. First come those
    /// that answered the latest round, and of these who has most of the log: a follower that has
    /// died is asked once more, and then others are.
    pub fn likeliest_to_answer(&self, majority: usize) -> Vec<NodeId> {
        let mut rows: Vec<(&NodeId, &Progress)> = self.followers.iter().collect();
        rows.sort_by_key(|(_, row)| Reverse((row.round, row.match_index)));
        rows.into_iter().take(majority - 1).map(|(&id, _)| id).collect()
    }

    /// Takes out the reads that may be answered: their round is confirmed, and the state machine
    /// has applied what they must see.
    pub fn take_ready(&mut self, confirmed_round: u64, last_applied: Index) -> Vec<Read> {
        let reads = std::mem::take(&mut self.reads);
        let ready = |read: &Read| read.round <= confirmed_round && read.read_index <= last_applied;
        let (ready, waiting) = reads.into_iter().partition(ready);
        self.reads = waiting;
        ready
    }
}

impl Progress {
    /// Whether entries up to `last_index` can be sent now.
    pub fn wants(&self, last_index: Index) -> bool {
        let in_flight = self.next_index.saturating_sub(self.match_index + 1);
        !self.probing && self.next_index <= last_index && in_flight < MAX_ENTRIES_IN_FLIGHT
    }

    /// The follower's log is known to agree up to this index.
    pub fn agree(&mut self, match_index: Index) {
        self.match_index = self.match_index.max(match_index);
        self.next_index = self.next_index.max(self.match_index + 1);
        self.probing = false;
    }

    /// Whether a refusal of entries behind `refused` says anything new. With several messages in
    /// flight one gap is refused several times, and refusals may come late: what counts is the
    /// answer to the last message, or the first news of a gap.
    pub fn is_news(&self, refused: Index) -> bool {
        refused + 1 == self.next_index || !self.probing && refused > self.match_index
    }

    /// The follower's log is known to disagree: send from this index on, and wait for the answer. A
    /// follower that lost its disk may even have less than it once acknowledged.
    pub fn back_up(&mut self, next_index: Index) {
        self.next_index = next_index;
        self.match_index = self.match_index.min(next_index - 1);
        self.probing = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leader of n1 whose followers n2, n3… have these match_index.
    fn leader(match_index: &[Index]) -> Leader {
        let peers: Vec<NodeId> = (2..).map(NodeId).take(match_index.len()).collect();
        let mut leader = Leader::new(&peers, 0, 0);
        for (progress, &index) in leader.followers.values_mut().zip(match_index) {
            progress.agree(index);
        }
        leader
    }

    #[test]
    fn stored_on_majority_counts_the_leader_itself() {
        let three = leader(&[5, 2]);
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        assert_eq!(three.stored_on_majority((NodeId(1), 7), 2), (5, ids(&[1, 2])));
        assert_eq!(three.stored_on_majority((NodeId(1), 3), 2), (3, ids(&[1, 2])));
        let five = leader(&[1, 9, 4, 4]);
        assert_eq!(five.stored_on_majority((NodeId(1), 9), 3), (4, ids(&[1, 3, 4, 5])));
        assert_eq!(leader(&[]).stored_on_majority((NodeId(1), 3), 1), (3, ids(&[1])));
    }

    #[test]
    fn likeliest_to_answer_is_who_answered_last_and_has_most() {
        let mut five = leader(&[7, 8, 8, 9]);
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        assert_eq!(five.likeliest_to_answer(3), ids(&[5, 3]));
        five.followers.get_mut(&NodeId(2)).expect("a follower").round = 1;
        assert_eq!(five.likeliest_to_answer(3), ids(&[2, 5]));
        assert_eq!(leader(&[]).likeliest_to_answer(1), ids(&[]), "a leader alone asks nobody");
    }

    #[test]
    fn reads_share_a_round_and_later_ones_the_next() {
        let mut leader = leader(&[0, 0]);
        let read = |request, round| Read { request, read_index: 0, round };
        leader.reads = vec![read(1, 1), read(2, 1)];
        assert!(leader.wants_round(2), "no round is under way");
        leader.round = 1;
        leader.reads.push(read(3, 2));
        assert!(!leader.wants_round(2), "the first is not over");
        leader.followers.get_mut(&NodeId(3)).unwrap().round = 1;
        assert_eq!(leader.confirmed_round(2), 1);
        let ready: Vec<RequestId> =
            leader.take_ready(1, 0).iter().map(|read| read.request).collect();
        assert_eq!(ready, [1, 2]);
        assert!(leader.wants_round(2));
    }

    #[test]
    fn take_ready_waits_for_the_state_machine() {
        let mut leader = leader(&[]);
        leader.reads = vec![Read { request: 1, read_index: 4, round: 0 }];
        assert!(leader.take_ready(0, 3).is_empty());
        assert_eq!(leader.take_ready(0, 4).len(), 1);
        assert!(leader.reads.is_empty());
    }

    #[test]
    fn progress_pipelines_only_what_it_knows() {
        let mut progress = leader(&[0]).followers[&NodeId(2)].clone();
        assert!(progress.wants(1) && !progress.wants(0));
        progress.next_index = MAX_ENTRIES_IN_FLIGHT + 1;
        assert!(!progress.wants(MAX_ENTRIES_IN_FLIGHT * 2), "too many on their way");
        progress.agree(1);
        assert!(progress.wants(MAX_ENTRIES_IN_FLIGHT * 2));
        progress.back_up(3);
        assert!(!progress.wants(9), "it probes");
    }

    #[test]
    fn refusals_are_news_once() {
        let mut progress =
            Progress { next_index: 9, match_index: 4, probing: false, round: 0, offset: 0 };
        assert!(progress.is_news(8), "the answer to the last message");
        assert!(progress.is_news(6), "a gap on the way");
        assert!(!progress.is_news(4), "known to be there since: an old answer");
        progress.back_up(6);
        assert!(!progress.is_news(8), "the same gap again");
        assert!(progress.is_news(5));
        progress.back_up(3);
        assert_eq!(progress.match_index, 2, "it lost what it had");
    }
}
