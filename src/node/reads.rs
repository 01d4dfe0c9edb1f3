//! Reads that do not go through the log (§8).
//!
//! "Read-only operations can be handled without writing anything into the log", with two
//! precautions against a leader that was deposed and does not know it yet.

use super::Node;
use crate::node::event::What;
use crate::node::role::{Read, Role};
use crate::node::rules::Rule;
use crate::node::step::{Output, RequestId};

impl Node {
    /// Clients want to read.
    pub(super) fn read(&mut self, requests: Vec<RequestId>) {
        let commit_index = self.commit_index;
        let after_own_commit = self.obeys(Rule::ReadAfterOwnCommit);
        let Role::Leader(leader) = &mut self.role else { return self.refuse(requests) };
        // First, "a leader must have the latest information on which entries are committed": wait
        // for an entry of its own term.
        let read_index = match after_own_commit {
            true => commit_index.max(leader.first_index),
            false => commit_index,
        };
        // Second, "a leader must check whether it has been deposed": only answers to heartbeats
        // sent from now on can tell.
        let round = leader.round + 1;
        let reads = requests.into_iter().map(|request| Read { request, read_index, round });
        leader.reads.extend(reads);
    }

    /// Answers those that may be answered now. A round of heartbeats begins if others wait for one.
    pub(super) fn answer_reads(&mut self) {
        let (majority, last_applied) = (self.majority(), self.last_applied);
        let confirms = self.obeys(Rule::ConfirmLeadership);
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.wants_round(majority) {
            leader.round += 1;
            // No more than a majority need be asked. If one of them does not answer, the next
            // heartbeat asks all, for it belongs to the same round.
            for peer in leader.likeliest_to_answer(majority) {
                self.send_append_entries(peer, 0);
            }
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let confirmed = if confirms { leader.confirmed_round(majority) } else { u64::MAX };
        let ready = leader.take_ready(confirmed, last_applied);
        if let Some(&Read { read_index, .. }) = ready.last() {
            self.event(What::ReadConfirmed { reads: ready.len(), read_index });
        }
        for Read { request, .. } in ready {
            self.outputs.push(Output::AnswerRead { request });
        }
    }
}
