//! The log in memory.
//!
//! "log entries; first index is 1" (Figure 2). The log is a plain vector; the only care taken
//! here is that readers of `node.rs` meet the paper's indexes, which begin at 1, and that "the
//! entry before the first" has a name: the base. At first that is index 0 in term 0, which every
//! log holds. When a snapshot has taken the place of entries, it is the last of those (§7): its
//! term is known, its command is not.

use crate::node::message::{Command, Entry, EntryId, Index, Term};

/// The entries of one server behind its last snapshot, first to last, without a gap.
#[derive(Clone, Debug, Default, Hash)]
pub struct Log {
    /// The last entry that the snapshot stands for; `0@0` if there is none.
    base: EntryId,
    entries: Vec<Entry>,
    /// The first entry that changed since [`Log::take_unsaved`].
    unsaved_from: Option<Index>,
    saved_index: Index,
}

impl Log {
    /// The log as the disk has it: the entries that follow the base, one by one.
    pub fn new(base: EntryId, entries: Vec<Entry>) -> Log {
        let saved_index = base.index + entries.len() as Index;
        Log { base, saved_index, entries, unsaved_from: None }
    }

    /// The entry before the first.
    pub fn base(&self) -> EntryId {
        self.base
    }

    /// The name of the last entry, that of the base if there is none.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, Entry::id)
    }

    /// Index of the last entry, that of the base if there is none.
    pub fn last_index(&self) -> Index {
        self.base.index + self.entries.len() as Index
    }

    /// The entry at an index, if the log has it.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        let behind_base = index.checked_sub(self.base.index)?;
        self.entries.get(behind_base.checked_sub(1)? as usize)
    }

    /// The term of the entry at an index: also of the base, but of none before it, and `None`
    /// behind the last.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        match index == self.base.index {
            true => Some(self.base.term),
            false => self.entry(index).map(|entry| entry.term),
        }
    }

    /// Whether the log holds the entry of this name; by Log Matching, then also all before it.
    pub fn contains(&self, id: EntryId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// Whether the entry of this name is in the log, or stands before its base: those are
    /// committed, and so the same on every server that has come so far.
    pub fn covers(&self, id: EntryId) -> bool {
        id.index < self.base.index || self.contains(id)
    }

    /// All entries from an index on, as far as the log has them.
    pub fn entries_from(&self, index: Index) -> &[Entry] {
        let behind_base = index.saturating_sub(self.base.index + 1) as usize;
        &self.entries[behind_base.min(self.entries.len())..]
    }

    /// The entries from an index on that one message may carry, at most so many, of so many
    /// bytes of commands. A first one that is too long goes alone.
    pub fn batch_from(&self, index: Index, max_entries: usize, max_bytes: usize) -> Vec<Entry> {
        let entries = self.entries_from(index);
        let mut bytes = 0;
        let fits = entries.iter().take_while(|entry| {
            bytes += entry.command.as_str().len();
            bytes <= max_bytes
        });
        let count = fits.count().max(1).min(max_entries).min(entries.len());
        entries[..count].to_vec()
    }

    /// Writes a new entry behind the last and returns its name.
    pub fn append(&mut self, term: Term, command: Command) -> EntryId {
        let entry = Entry { index: self.last_index() + 1, term, command };
        let id = entry.id();
        self.push(entry);
        id
    }

    /// Takes over an entry that another server wrote, if it is the next one.
    pub fn push(&mut self, entry: Entry) {
        if entry.index == self.last_index() + 1 {
            self.changes_from(entry.index);
            self.entries.push(entry);
        }
    }

    /// Deletes the entry at an index and every one behind it.
    pub fn delete_from(&mut self, index: Index) {
        if self.entry(index).is_some() {
            self.changes_from(index);
            self.entries.truncate((index - self.base.index) as usize - 1);
        }
    }

    /// A snapshot stands for all entries up to this one (§7). Those that follow it stay, or all go.
    /// Returns what the log held before it.
    pub fn rebase(&mut self, base: EntryId, retain: bool) -> Vec<Entry> {
        let gone = match retain {
            true => base.index.saturating_sub(self.base.index) as usize,
            false => self.entries.len(),
        };
        let rest = self.entries.split_off(gone.min(self.entries.len()));
        self.base = base;
        let discarded = std::mem::replace(&mut self.entries, rest);
        self.saved_index = self.saved_index.clamp(base.index, self.last_index());
        discarded
    }

    fn changes_from(&mut self, index: Index) {
        self.unsaved_from = Some(self.unsaved_from.map_or(index, |first| first.min(index)));
        self.saved_index = self.saved_index.min(index - 1);
    }

    /// What the disk must be told: behind this index the log now holds these entries and no others.
    pub fn take_unsaved(&mut self) -> Option<(Index, Vec<Entry>)> {
        let first = self.unsaved_from.take()?;
        Some((first - 1, self.entries_from(first).to_vec()))
    }

    /// The disk has saved the log up to this entry, if the log still holds it.
    pub fn saved(&mut self, last: EntryId) {
        if self.contains(last) {
            self.saved_index = self.saved_index.max(last.index);
        }
    }

    /// Index of the last entry that is known to be on this server's disk.
    pub fn saved_index(&self) -> Index {
        self.saved_index
    }

    /// The first index of a term, or where it would be: the first entry whose term is not smaller.
    pub fn first_index_of(&self, term: Term) -> Index {
        self.base.index + self.entries.partition_point(|entry| entry.term < term) as Index + 1
    }

    /// The first entry of each term, of so many of the last terms at most.
    pub fn terms(&self, most: usize) -> Vec<EntryId> {
        let mut found = Vec::new();
        let mut last = self.last();
        while last.index > self.base.index && found.len() < most {
            let index = self.first_index_of(last.term);
            found.push(EntryId { index, term: last.term });
            let term = self.term_at(index - 1).unwrap_or_default();
            last = EntryId { index: index - 1, term };
        }
        found.reverse();
        found
    }

    /// The last index of a term, if the log has any entry of it, or its base is one.
    pub fn last_index_of(&self, term: Term) -> Option<Index> {
        let behind_base = self.entries.partition_point(|entry| entry.term <= term) as Index;
        let index = self.base.index + behind_base;
        (index > 0 && self.term_at(index) == Some(term)).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(terms: &[Term]) -> Log {
        let mut log = Log::default();
        for &term in terms {
            log.append(term, Command::no_op());
        }
        log
    }

    #[test]
    fn empty_log_holds_the_entry_before_the_first() {
        let log = log(&[]);
        assert_eq!(log.last(), EntryId { index: 0, term: 0 });
        assert!(log.contains(EntryId { index: 0, term: 0 }));
        assert_eq!(log.term_at(1), None);
        assert!(log.entry(0).is_none());
        assert!(log.entries_from(1).is_empty());
    }

    #[test]
    fn append_numbers_entries_from_one() {
        let log = log(&[1, 3]);
        assert_eq!(log.last(), EntryId { index: 2, term: 3 });
        assert_eq!((log.term_at(1), log.term_at(2), log.term_at(3)), (Some(1), Some(3), None));
        assert_eq!(log.entries_from(0).len(), 2);
        assert_eq!(log.entries_from(2)[0].id(), EntryId { index: 2, term: 3 });
        assert!(log.entries_from(9).is_empty());
        assert!(!log.contains(EntryId { index: 2, term: 1 }));
    }

    #[test]
    fn push_never_leaves_a_gap() {
        let mut copy = log(&[1]);
        copy.push(Entry { index: 3, term: 1, command: Command::no_op() });
        assert_eq!(copy.last_index(), 1);
        copy.push(Entry { index: 2, term: 1, command: Command::no_op() });
        assert_eq!(copy.last_index(), 2);
    }

    #[test]
    fn delete_from_keeps_what_is_before() {
        let mut log = log(&[1, 1, 2]);
        log.delete_from(2);
        assert_eq!(log.last(), EntryId { index: 1, term: 1 });
        log.delete_from(2);
        log.delete_from(0);
        assert_eq!(log.last_index(), 1);
    }

    #[test]
    fn batch_from_is_cut_by_count_and_by_bytes() {
        let log = log(&[1, 1, 1]); // three times "no-op", 5 bytes
        let lengths = |entries, bytes| log.batch_from(1, entries, bytes).len();
        assert_eq!([lengths(9, 15), lengths(9, 14), lengths(2, 99), lengths(0, 99)], [3, 2, 2, 0]);
        assert_eq!(lengths(9, 1), 1, "an entry longer than a message goes alone");
        assert!(log.batch_from(4, 9, 99).is_empty());
    }

    #[test]
    fn take_unsaved_tells_the_lowest_change_once() {
        let mut log = Log::new(EntryId::default(), log(&[1, 1, 1]).entries);
        assert_eq!(log.take_unsaved(), None);
        log.delete_from(2);
        log.append(2, Command::no_op());
        let (after, entries) = log.take_unsaved().unwrap();
        assert_eq!((after, entries.len(), entries[0].id()), (1, 1, EntryId { index: 2, term: 2 }));
        assert_eq!(log.take_unsaved(), None);
    }

    #[test]
    fn saved_index_counts_only_what_the_disk_holds() {
        let mut log = Log::new(EntryId::default(), log(&[1, 1]).entries);
        assert_eq!(log.saved_index(), 2);
        log.append(1, Command::no_op());
        assert_eq!(log.saved_index(), 2);
        log.saved(EntryId { index: 3, term: 1 });
        assert_eq!(log.saved_index(), 3);
        log.delete_from(2);
        log.append(2, Command::no_op());
        log.saved(EntryId { index: 2, term: 1 });
        assert_eq!(log.saved_index(), 1, "an answer about an entry that is gone");
    }

    #[test]
    fn terms_begin_where_they_begin() {
        let log = log(&[1, 1, 1, 4, 4, 5]);
        let [first, fourth, fifth] =
            [(1, 1), (4, 4), (6, 5)].map(|(index, term)| EntryId { index, term });
        assert_eq!(log.terms(100), [first, fourth, fifth]);
        assert_eq!(log.terms(2), [fourth, fifth]);
        assert_eq!(Log::default().terms(2), []);
    }

    #[test]
    fn terms_are_found_at_both_ends() {
        let log = log(&[1, 1, 1, 4, 4, 5]); // the front of Figure 7's leader
        assert_eq!([1, 2, 4, 5, 6].map(|term| log.first_index_of(term)), [1, 4, 4, 6, 7]);
        assert_eq!(log.last_index_of(1), Some(3));
        assert_eq!(log.last_index_of(4), Some(5));
        assert_eq!(log.last_index_of(5), Some(6));
        assert_eq!(log.last_index_of(0), None);
        assert_eq!(log.last_index_of(2), None);
        assert_eq!(log.last_index_of(9), None);
    }

    /// 1@1 to 3@1 are in a snapshot, 4@4 to 6@5 behind it.
    fn over_base() -> Log {
        let mut log = log(&[1, 1, 1, 4, 4, 5]);
        log.rebase(EntryId { index: 3, term: 1 }, true);
        log
    }

    #[test]
    fn rebase_forgets_what_is_before_and_keeps_the_indexes() {
        let mut log = over_base();
        assert_eq!((log.base(), log.last()), (EntryId { index: 3, term: 1 }, log.entries[2].id()));
        assert_eq!(log.entries.len(), 3);
        assert_eq!(
            [2, 3, 4, 6, 7].map(|index| log.term_at(index)),
            [None, Some(1), Some(4), Some(5), None]
        );
        assert!(log.entry(3).is_none() && log.entry(4).is_some());
        assert_eq!([0, 4, 5, 9].map(|index| log.entries_from(index).len()), [3, 3, 2, 0]);
        assert_eq!([1, 2, 4, 5, 6].map(|term| log.first_index_of(term)), [4, 4, 4, 6, 7]);
        assert_eq!(
            [1, 2, 4, 5].map(|term| log.last_index_of(term)),
            [Some(3), None, Some(5), Some(6)]
        );
        let covers = |index, term| log.covers(EntryId { index, term });
        assert!(covers(2, 9) && covers(3, 1) && covers(4, 4));
        assert!(!covers(3, 2) && !covers(4, 5) && !covers(7, 5));
        log.delete_from(3);
        assert_eq!(log.last_index(), 6, "what is before the base cannot be deleted");
        log.delete_from(5);
        assert_eq!(log.append(6, Command::no_op()), EntryId { index: 5, term: 6 });
    }

    #[test]
    fn rebase_over_another_log_leaves_nothing() {
        let mut log = over_base();
        log.rebase(EntryId { index: 5, term: 9 }, false);
        assert_eq!((log.last(), log.saved_index()), (EntryId { index: 5, term: 9 }, 5));
        assert!(log.entries.is_empty());
        log.rebase(EntryId { index: 8, term: 9 }, true);
        assert_eq!(log.last(), EntryId { index: 8, term: 9 }, "it ends before");
    }
}
