//! Figure 13: snapshots, and how a leader sends its own to a follower that is far behind (§7).
//!
//! Each server takes snapshots of its own, and then forgets the entries that they stand for. A
//! follower that needs forgotten entries gets the snapshot instead, chunk by chunk: the next one
//! when the last was answered, and the same again with the next heartbeat if no answer came. The
//! answer says how far the follower has it, so a transfer goes on wherever it broke off.

use std::sync::Arc;

use super::Node;
use crate::node::event::What;
use crate::node::message::{Index, InstallSnapshot, InstallSnapshotReply, NodeId, Rpc};
use crate::node::role::Role;
use crate::node::rules::Rule;
use crate::node::snapshot::{Incoming, Snapshot};
use crate::node::step::{Output, Refusal};

impl Node {
    // ---- Taking snapshots (§7) -----------------------------------------------------------------

    /// "Once a server completes writing a snapshot, it may delete all log entries up through the
    /// last included index, as well as any prior snapshot" (§7).
    pub(super) fn take_snapshot(&mut self, index: Index, data: Arc<str>) {
        // "Each server takes snapshots independently, covering just the committed entries in its
        // log".
        let index = match self.obeys(Rule::SnapshotCommittedOnly) {
            true => index.min(self.last_applied),
            false => self.log.last_index(),
        };
        let Some(entry) = self.log.entry(index) else { return }; // a newer one came in between
        let snapshot = Snapshot { last_included: entry.id(), data };
        let (last_included, bytes) = (snapshot.last_included, snapshot.bytes());
        self.event(What::SnapshotTaken { last_included, bytes });
        self.begin_log_behind(snapshot, true);
        if let Role::Leader(leader) = &mut self.role {
            leader.followers.values_mut().for_each(|progress| progress.offset = 0);
        }
    }

    /// From now on this snapshot stands for all entries up to its last. Those behind stay, or not.
    fn begin_log_behind(&mut self, snapshot: Snapshot, retain: bool) {
        let last_included = snapshot.last_included;
        let discarded = self.log.rebase(last_included, retain);
        self.commit_index = self.commit_index.max(last_included.index);
        self.last_applied = self.last_applied.max(last_included.index);
        self.snapshot = snapshot.clone();
        // The term first, as before entries: no file may be of a later term than the vote's.
        self.save_vote();
        // 5. "Save snapshot file", then 7. "discard the entire log", or the part that is in it.
        if self.obeys(Rule::SaveSnapshot) {
            self.outputs.push(Output::SaveSnapshot(snapshot));
        }
        self.outputs.push(Output::DiscardLog { through: last_included, retain, discarded });
    }

    // ---- InstallSnapshot RPC, receiver ---------------------------------------------------------

    pub(super) fn on_install_snapshot(&mut self, rpc: InstallSnapshot) {
        let (leader, last_included) = (rpc.leader_id, rpc.last_included());
        // 1. "Reply immediately if term < currentTerm". (A second leader of a term is a forgery.)
        let old = rpc.term < self.current_term && self.obeys(Rule::RefuseOldSnapshot);
        if old || matches!(self.role, Role::Leader(_)) {
            self.event(What::SnapshotRefused { leader, term: rpc.term });
            return self.answer_chunk(&rpc, 0, false);
        }
        self.follow(leader);

        // 5. "Discard any existing or partial snapshot with a smaller index": never a newer one.
        let is_older = last_included.index < self.log.base().index;
        // 6. "If existing log entry has same index and term as snapshot's last included entry,
        // retain log entries following it and reply". We look first: then no chunk more need come.
        let has_last = self.log.contains(last_included);
        if is_older && self.obeys(Rule::IgnoreOlderSnapshot)
            || has_last && self.obeys(Rule::RetainMatching)
        {
            self.event(What::SnapshotNotNeeded { leader, last_included });
            self.commit_up_to(last_included.index, Vec::new());
            return self.answer_chunk(&rpc, 0, true);
        }

        // 2, 3. Put the chunk in its place. 4. "Reply and wait for more data chunks if done is
        // false".
        let is_whole = self.write_chunk(&rpc);
        if !is_whole && self.obeys(Rule::WaitForAllChunks) {
            return self.answer_chunk(&rpc, self.incoming.offset(), false);
        }
        self.install(leader);
        self.answer_chunk(&rpc, 0, true);
    }

    fn answer_chunk(&mut self, rpc: &InstallSnapshot, offset: u64, done: bool) {
        let (term, last_included_index) = (self.current_term, rpc.last_included_index);
        let reply = InstallSnapshotReply { term, last_included_index, offset, done };
        self.respond(rpc.leader_id, Rpc::InstallSnapshotReply(reply));
    }

    /// Takes a chunk if it is the next one. True if it was the last.
    fn write_chunk(&mut self, rpc: &InstallSnapshot) -> bool {
        // 2. "Create new snapshot file if first chunk". Beyond Figure 13: pieces of the same
        // snapshot stay, from whichever leader they came, and the answer says how far they reach.
        let last_included = rpc.last_included();
        let is_another = !self.incoming.may_go_on_with(rpc);
        if is_another && self.obeys(Rule::BeginAtFirstChunk) {
            self.incoming = Incoming { last_included, data: String::new() };
        }
        self.incoming.last_included = last_included;
        // 3. "Write data into snapshot file at given offset".
        let is_next = self.incoming.continues_with(rpc) || !self.obeys(Rule::WriteAtOffset);
        if is_next {
            self.incoming.data += &rpc.data;
        }
        is_next && rpc.done
    }

    /// What has come of a leader's snapshot is none, as its owner saw when it was whole: pieces of
    /// two texts, perhaps, one of them forged. It is to come anew.
    pub fn forget_incoming(&mut self) {
        self.incoming = Incoming::default();
    }

    /// The snapshot is here, and takes the place of the log and of the state.
    fn install(&mut self, leader: NodeId) {
        let Incoming { last_included, data } = std::mem::take(&mut self.incoming);
        let snapshot = Snapshot { last_included, data: data.into() };
        let bytes = snapshot.bytes();
        self.event(What::SnapshotInstalled { leader, last_included, bytes });
        // 8. "Reset state machine using snapshot contents".
        if self.obeys(Rule::RestoreState) {
            self.outputs.push(Output::Restore(snapshot.clone()));
        }
        // 7. "Discard the entire log".
        let retain = !self.obeys(Rule::DiscardWholeLog);
        self.begin_log_behind(snapshot, retain);
        (self.commit_index, self.last_applied) = (last_included.index, last_included.index);
        self.forget_clients_up_to(last_included.index);
    }

    /// Nobody can tell any more what became of these clients' entries.
    fn forget_clients_up_to(&mut self, index: Index) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().index <= index
        {
            let request = first.remove();
            self.outputs.push(Output::Refuse { request, why: Refusal::Unknown });
        }
    }

    // ---- InstallSnapshot RPC, leader -----------------------------------------------------------

    /// Sends a follower what it needs next. §7: "the leader must occasionally send snapshots to
    /// followers that lag behind", when it "has already discarded the next log entry that it needs
    /// to send".
    pub(super) fn replicate(&mut self, to: NodeId, max_entries: usize) {
        let base = self.log.base().index;
        let needs_discarded = |next_index| next_index <= base;
        let lags = self.role.progress(to).is_some_and(|row| needs_discarded(row.next_index));
        match lags && self.obeys(Rule::SendSnapshot) {
            true => self.send_chunk(to),
            false => self.send_append_entries(to, max_entries),
        }
    }

    fn send_chunk(&mut self, to: NodeId) {
        let Some(progress) = self.role.progress(to) else { return };
        progress.probing = true; // and no entries until the snapshot is there
        let offset = progress.offset;
        let (snapshot, max_bytes) = (&self.snapshot, self.settings.max_chunk_bytes);
        let data: Arc<str> = snapshot.chunk(offset, max_bytes).into();
        let (last_included, bytes) = (snapshot.last_included, snapshot.bytes());
        let done = offset + data.len() as u64 == bytes;
        let chunk = offset / max_bytes as u64 + 1;
        let chunks = chunk + (bytes - offset).saturating_sub(1) / max_bytes as u64;
        self.event(What::SendingSnapshot { to, last_included, bytes, chunk, chunks });
        let rpc = InstallSnapshot {
            term: self.current_term,
            leader_id: self.settings.id,
            last_included_index: last_included.index,
            last_included_term: last_included.term,
            offset,
            data,
            done,
        };
        self.send(to, Rpc::InstallSnapshot(rpc));
    }

    /// The next chunk follows an answer that brings news. A follower that has less than we thought
    /// has lost it, or the answer is old: the next heartbeat will go on from there.
    ///
    /// Answers of earlier terms count: what a follower has of a snapshot is committed.
    pub(super) fn on_install_snapshot_reply(
        &mut self,
        follower: NodeId,
        reply: InstallSnapshotReply,
    ) {
        let (base, bytes) = (self.log.base().index, self.snapshot.bytes());
        let Some(progress) = self.role.progress(follower) else { return };
        let lags = progress.next_index <= base;
        if reply.last_included_index != base || !lags {
            return; // it is about an earlier snapshot, or known
        }
        if reply.done {
            progress.offset = 0;
            progress.agree(base);
            self.advance_commit_index();
            return self.send_what_is_missing(follower);
        }
        let offset = reply.offset.min(bytes); // a follower that has more will find out
        let is_news = offset > progress.offset;
        progress.offset = offset;
        if is_news {
            self.send_chunk(follower);
        }
    }
}
