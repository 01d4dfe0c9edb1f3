//! The simulated disk: what is safe, and what a power failure would still take.
//!
//! A save takes time. Until the disk has finished, what it was given is only in its write cache.
//! A server that answers must wait for it ("updated on stable storage before responding",
//! Figure 2); a leader's own entries need not. So the difference between a server that obeys the
//! rule and one that does not is what a power failure finds in the cache.

use crate::message::{Entry, EntryId, Index, NodeId, Term};
use crate::step::{Millis, Saved};

/// One server's disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    safe: Saved,
    cache: Vec<Write>,
    due: Millis,
}

#[derive(Clone, Debug)]
enum Write {
    Vote { current_term: Term, voted_for: Option<NodeId> },
    Entries { after: Index, entries: Vec<Entry> },
}

impl Disk {
    /// A disk that holds this.
    pub fn holding(safe: Saved) -> Disk {
        Disk { safe, cache: Vec::new(), due: 0 }
    }

    /// What a restart will find.
    pub fn safe(&self) -> &Saved {
        &self.safe
    }

    /// Takes a term and vote to save.
    pub fn save_vote(&mut self, current_term: Term, voted_for: Option<NodeId>, due: Millis) {
        self.write(Write::Vote { current_term, voted_for }, due);
    }

    /// Takes entries to save: behind `after` the log holds these and no others.
    pub fn save_entries(&mut self, after: Index, entries: Vec<Entry>, due: Millis) {
        self.write(Write::Entries { after, entries }, due);
    }

    fn write(&mut self, write: Write, due: Millis) {
        self.due = if self.cache.is_empty() { due } else { self.due.min(due) };
        self.cache.push(write);
    }

    /// When it will have finished, if it has anything to do.
    pub fn due(&self) -> Option<Millis> {
        (!self.cache.is_empty()).then_some(self.due)
    }

    /// Whether its server must wait for it before it takes another step: a vote is being written,
    /// or the time is up.
    pub fn is_awaited(&self, now: Millis) -> bool {
        let vote = self.cache.iter().any(|write| matches!(write, Write::Vote { .. }));
        vote || self.due().is_some_and(|due| due <= now)
    }

    /// Everything in the cache is safe now. If there were entries, the last entry of the log.
    pub fn finish(&mut self) -> Option<EntryId> {
        let mut entries_saved = false;
        for write in self.cache.drain(..) {
            match write {
                Write::Vote { current_term, voted_for } => {
                    (self.safe.current_term, self.safe.voted_for) = (current_term, voted_for);
                }
                Write::Entries { after, entries } => {
                    self.safe.entries.truncate(after as usize);
                    self.safe.entries.extend(entries);
                    entries_saved = true;
                }
            }
        }
        entries_saved.then(|| self.safe.entries.last().map(Entry::id).unwrap_or_default())
    }

    /// Power fails while the disk is at work, in the order in which `storage.rs` writes: votes and
    /// cuts of the log are safe, and of the new entries the first few.
    pub fn finish_partly(&mut self, entries_kept: usize) {
        let cut = |write: &Write| match write {
            Write::Entries { after, .. } => Some(*after as usize),
            Write::Vote { .. } => None,
        };
        let cut = self.cache.iter().filter_map(cut).min();
        self.finish();
        self.safe.entries.truncate(cut.map_or(usize::MAX, |cut| cut + entries_kept));
    }

    /// Power fails: the cache is gone.
    pub fn lose_cache(&mut self) {
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Command;

    fn entry(index: Index, term: Term) -> Entry {
        Entry { index, term, command: Command::no_op() }
    }

    #[test]
    fn finish_saves_in_order_and_names_the_last_entry() {
        let mut disk = Disk::default();
        assert_eq!(disk.due(), None);
        disk.save_entries(0, vec![entry(1, 1), entry(2, 1)], 7);
        disk.save_entries(1, vec![entry(2, 2)], 9);
        assert_eq!(disk.due(), Some(7));
        assert!(disk.safe().entries.is_empty());
        assert_eq!(disk.finish(), Some(EntryId { index: 2, term: 2 }));
        assert_eq!(disk.safe().entries, [entry(1, 1), entry(2, 2)]);
        assert_eq!(disk.due(), None);
    }

    #[test]
    fn finish_of_a_vote_alone_names_no_entry() {
        let mut disk = Disk::default();
        disk.save_vote(3, Some(NodeId(2)), 0);
        assert_eq!(disk.finish(), None);
        assert_eq!((disk.safe().current_term, disk.safe().voted_for), (3, Some(NodeId(2))));
    }

    #[test]
    fn finish_partly_saves_votes_and_cuts_first() {
        let mut disk = Disk::default();
        disk.save_entries(0, vec![entry(1, 1), entry(2, 1), entry(3, 1)], 0);
        disk.finish();
        disk.save_entries(2, vec![entry(3, 2)], 0);
        disk.save_entries(1, vec![entry(2, 3), entry(3, 3)], 0);
        disk.save_vote(3, None, 0);
        for (kept, log) in [
            (0, vec![entry(1, 1)]),
            (1, vec![entry(1, 1), entry(2, 3)]),
            (9, vec![entry(1, 1), entry(2, 3), entry(3, 3)]),
        ] {
            let mut disk = disk.clone();
            disk.finish_partly(kept);
            assert_eq!((&disk.safe().entries, disk.safe().current_term), (&log, 3));
            assert_eq!(disk.due(), None);
        }
    }

    #[test]
    fn lose_cache_keeps_what_was_safe() {
        let mut disk = Disk::default();
        disk.save_vote(1, None, 0);
        disk.finish();
        disk.save_vote(2, Some(NodeId(1)), 0);
        disk.lose_cache();
        assert_eq!(disk.safe().current_term, 1);
        assert_eq!(disk.finish(), None);
    }
}
