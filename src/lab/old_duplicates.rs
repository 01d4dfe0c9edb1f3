//! Old duplicates: copies of messages that arrive once more when nobody expects them any longer.
//!
//! A network may deliver a message again after any time. By chance alone a very old copy hardly
//! ever comes at the moment that matters. So the network keeps copies of some messages here, and a
//! fault delivers them. Each kind of message has the same room: the rare kinds matter, and the
//! frequent ones would soon push them out.

use crate::node::message::{Message, NodeId, Rpc};
use crate::node::step::Random;

/// How many kinds there are: questions for a vote, entries, heartbeats and snapshots, and their
/// answers, yes or no.
const KINDS: usize = 10;

/// How many messages of a kind are kept at most.
const SIZE: usize = 5;

/// Copies of messages that were sent long ago.
#[derive(Clone, Debug, Default)]
pub struct OldDuplicates {
    kinds: [Vec<Message>; KINDS],
}

impl OldDuplicates {
    /// Keeps a copy; if there are enough of its kind, in the place of any of them.
    pub fn keep(&mut self, copy: Message, random: &mut Random) {
        let same_kind = &mut self.kinds[kind(&copy.rpc)];
        if same_kind.len() < SIZE {
            same_kind.push(copy);
        } else {
            same_kind[random.between(0, SIZE as u64 - 1) as usize] = copy;
        }
    }

    /// What is there for a server.
    pub fn messages_to(&self, id: NodeId) -> impl Iterator<Item = &Message> {
        self.kinds.iter().flatten().filter(move |message| message.to == id)
    }
}

fn kind(rpc: &Rpc) -> usize {
    match rpc {
        Rpc::RequestVote(_) => 0,
        Rpc::RequestVoteReply(reply) => 1 + usize::from(reply.vote_granted),
        Rpc::AppendEntries(rpc) => 3 + usize::from(rpc.entries.is_empty()),
        Rpc::AppendEntriesReply(reply) => 5 + usize::from(reply.success),
        Rpc::InstallSnapshot(_) => 7,
        Rpc::InstallSnapshotReply(reply) => 8 + usize::from(reply.done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::RequestVoteReply;

    #[test]
    fn keep_holds_a_few_of_each_kind() {
        let (mut copies, mut random) = (OldDuplicates::default(), Random(1));
        let answer = |term, vote_granted| Message {
            from: NodeId(1),
            to: NodeId(term % 2 + 1),
            rpc: Rpc::RequestVoteReply(RequestVoteReply { term, vote_granted }),
        };
        copies.keep(answer(1, true), &mut random);
        (2..100).for_each(|term| copies.keep(answer(term, false), &mut random));
        assert!(copies.messages_to(NodeId(2)).any(|message| *message == answer(1, true)));
        let to_both = [1, 2].map(|id| copies.messages_to(NodeId(id)).count());
        assert_eq!(to_both[0] + to_both[1], SIZE + 1);
    }
}
