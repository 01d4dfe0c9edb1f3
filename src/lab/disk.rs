//! The simulated disk: what is safe, and what a power failure would still take.
//!
//! A save takes time. Until the disk has finished, what it was given is only in its write cache.
//! A server that answers must wait for it ("updated on stable storage before responding",
//! Figure 2); a leader's own entries need not. So the difference between a server that obeys the
//! rule and one that does not is what a power failure finds in the cache.
//!
//! The storage of real nodes (`storage.rs`) writes and reads here, on files in memory
//! ([`MemoryFiles`]). After each crash it must find again what was safe, however the power failed.
//! The disk remembers beside it what was safe, and compares.

use crate::lab::checker::Violation;
use crate::lab::memory_files::MemoryFiles;
use crate::node::message::{Entry, EntryId, Index, NodeId, Term};
use crate::node::rules::Property;
use crate::node::snapshot::Snapshot;
use crate::node::step::{Millis, Random, Saved};
use crate::storage::{Recovered, Storage};

/// One server's disk.
#[derive(Clone, Debug)]
pub struct Disk {
    id: NodeId,
    storage: Storage<MemoryFiles>,
    /// What the storage will find.
    safe: Saved,
    /// What it said of a record that it had to cut off.
    torn: Option<String>,
    cache: Vec<Write>,
    due: Millis,
}

#[derive(Clone, Debug)]
enum Write {
    Vote { current_term: Term, voted_for: Option<NodeId> },
    Entries { after: Index, entries: Vec<Entry>, leader_id: NodeId },
    Snapshot(Snapshot),
    Discard { through: EntryId, retain: bool },
}

/// What the storage writes on top of its files.
const CLUSTER: &str = "lab";

/// Why the storage has no errors while the power lasts.
const POWERED: &str = "only a power failure makes the files of the lab fail";

impl Disk {
    /// The disk of this server, on which nothing was written.
    pub fn new(id: NodeId) -> Disk {
        let (storage, _) = Storage::on(MemoryFiles::default(), CLUSTER, id).expect(POWERED);
        Disk { id, storage, safe: Saved::default(), torn: None, cache: Vec::new(), due: 0 }
    }

    /// A disk that holds this.
    pub fn holding(id: NodeId, saved: Saved) -> Disk {
        let mut disk = Disk::new(id);
        disk.save_vote(saved.current_term, saved.voted_for, 0);
        disk.save_entries(0, saved.entries, id, 0);
        disk.finish();
        disk
    }

    /// What a restart will find.
    pub fn safe(&self) -> &Saved {
        &self.safe
    }

    /// What the storage said when it had to cut off a record that the last crash tore.
    pub fn torn(&self) -> Option<&String> {
        self.torn.as_ref()
    }

    /// Takes a term and vote to save.
    pub fn save_vote(&mut self, current_term: Term, voted_for: Option<NodeId>, due: Millis) {
        self.write(Write::Vote { current_term, voted_for }, due);
    }

    /// Takes entries to save: behind `after` the log holds these and no others.
    pub fn save_entries(
        &mut self,
        after: Index,
        entries: Vec<Entry>,
        leader_id: NodeId,
        due: Millis,
    ) {
        self.write(Write::Entries { after, entries, leader_id }, due);
    }

    /// Takes a snapshot to save.
    pub fn save_snapshot(&mut self, snapshot: Snapshot, due: Millis) {
        self.write(Write::Snapshot(snapshot), due);
    }

    /// The log is to begin behind the snapshot's last entry, with what follows it or with nothing.
    pub fn discard_log(&mut self, through: EntryId, retain: bool, due: Millis) {
        self.write(Write::Discard { through, retain }, due);
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
        if self.cache.is_empty() {
            return None;
        }
        write_all(&mut self.storage, &self.cache).expect(POWERED);
        let entries_saved = self.cache.iter().any(|write| matches!(write, Write::Entries { .. }));
        self.cache.drain(..).for_each(|write| write.happen(&mut self.safe));
        entries_saved.then(|| last(&self.safe))
    }

    // ---- Crashes: each ends with the storage started again, which must find what was safe ------

    /// The process ends, and the disk finishes what it was given.
    pub fn end(&mut self) -> Result<(), Violation> {
        self.finish();
        let safe = self.safe.clone();
        self.reopen(|found| *found == safe)
    }

    /// Power fails before the disk has begun: the cache is gone.
    pub fn lose_cache(&mut self) -> Result<(), Violation> {
        self.cache.clear();
        self.end()
    }

    /// Power fails in the midst of the disk's work; the number picks when, and what is left.
    pub fn lose_power(&mut self, number: u64) -> Result<(), Violation> {
        let mut random = Random(number);
        let (safe, cache) = (self.safe.clone(), std::mem::take(&mut self.cache));
        let operations = 3 + cache.iter().map(Write::operations).sum::<u64>();
        self.storage.files.limit_power(random.between(0, operations));
        // An error is what is wanted, but the power may last long enough.
        let _ = write_all(&mut self.storage, &cache);
        self.storage.files.lose_unsynced(&mut random);
        self.reopen(|found| may_be_left(&safe, &cache, found))
    }

    fn reopen(&mut self, may_be: impl FnOnce(&Saved) -> bool) -> Result<(), Violation> {
        let files = std::mem::take(&mut self.storage.files);
        let why = match Storage::on(files, CLUSTER, self.id) {
            Ok((storage, recovered)) => {
                let Recovered { current_term, voted_for, snapshot, entries, note } = recovered;
                let found = Saved { current_term, voted_for, snapshot, entries };
                if may_be(&found) {
                    (self.storage, self.safe, self.torn) = (storage, found, note);
                    return Ok(());
                }
                let last = last(&found);
                format!("it finds term {current_term} and a log that ends at {last}")
            }
            Err(damage) => damage,
        };
        // Whoever forgets a vote votes twice; whoever forgets an entry may lead without it.
        let property = match why.starts_with("vote.txt") {
            true => Property::ElectionSafety,
            false => Property::LeaderCompleteness,
        };
        *self = Disk::holding(self.id, std::mem::take(&mut self.safe));
        let what = format!("the disk of {} does not hold what was safe: {why}", self.id);
        Err(Violation::new(property, what))
    }
}

impl Write {
    /// What it does to what is saved.
    fn happen(self, saved: &mut Saved) {
        match self {
            Write::Vote { current_term, voted_for } => {
                (saved.current_term, saved.voted_for) = (current_term, voted_for);
            }
            Write::Entries { after, entries, .. } => {
                saved.entries.retain(|entry| entry.index <= after);
                // Behind a gap they are of no use.
                if after == last(saved).index {
                    saved.entries.extend(entries);
                }
            }
            // Before the log is shortened, a start would do it.
            Write::Snapshot(snapshot) => {
                let last = snapshot.last_included;
                let retain = saved.entries.iter().any(|entry| entry.id() == last);
                saved.entries.retain(|entry| retain && entry.index > last.index);
                saved.snapshot = snapshot;
            }
            // Entries that follow what was not saved are of no use.
            Write::Discard { through, retain } => {
                let retain = retain && saved.snapshot.last_included == through;
                saved.entries.retain(|entry| retain && entry.index > through.index);
            }
        }
    }

    /// How many operations on files it takes, but for the end of all writes.
    fn operations(&self) -> u64 {
        match self {
            Write::Vote { .. } => 5,
            Write::Entries { .. } => 1,
            Write::Snapshot(_) => 9,
            Write::Discard { .. } => 6,
        }
    }
}

/// As the body does it (`server.rs`): all entries with one sync.
fn write_all(storage: &mut Storage<MemoryFiles>, cache: &[Write]) -> Result<(), String> {
    for write in cache {
        match write {
            Write::Vote { current_term, voted_for } => {
                storage.save_vote(*current_term, *voted_for)?;
            }
            Write::Entries { after, entries, leader_id } => {
                storage.save_entries(*after, entries, *leader_id)?;
            }
            Write::Snapshot(snapshot) => storage.save_snapshot(snapshot)?,
            Write::Discard { through, retain } => storage.discard_log(*through, *retain)?,
        }
    }
    storage.sync()
}

/// The last entry of a log.
fn last(saved: &Saved) -> EntryId {
    saved.entries.last().map_or(saved.snapshot.last_included, Entry::id)
}

/// Whether this may be found after a power failure in the midst of these writes: the vote before
/// or after any of them, and the snapshot with any first part of the log that goes with it, but for
/// what none of them touches.
fn may_be_left(safe: &Saved, cache: &[Write], found: &Saved) -> bool {
    let mut stages = vec![safe.clone()];
    let mut untouched = last(safe).index;
    for write in cache {
        let mut after = stages[stages.len() - 1].clone();
        write.clone().happen(&mut after);
        stages.push(after);
        untouched = untouched.min(match write {
            Write::Vote { .. } | Write::Discard { .. } => Index::MAX,
            Write::Entries { after, .. } => *after,
            Write::Snapshot(snapshot) => snapshot.last_included.index,
        });
    }
    let vote = |saved: &Saved| (saved.current_term, saved.voted_for);
    let has_log = |stage: &Saved| {
        stage.snapshot == found.snapshot && stage.entries.starts_with(&found.entries)
    };
    stages.iter().any(|stage| vote(stage) == vote(found))
        && last(found).index >= untouched
        && stages.iter().any(has_log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::Command;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);

    fn entry(index: Index, term: Term) -> Entry {
        Entry { index, term, command: Command::no_op() }
    }

    #[test]
    fn finish_saves_in_order_and_names_the_last_entry() {
        let mut disk = Disk::new(N1);
        assert_eq!(disk.due(), None);
        disk.save_vote(2, None, 7);
        disk.save_entries(0, vec![entry(1, 1), entry(2, 1)], N2, 7);
        disk.save_entries(1, vec![entry(2, 2)], N2, 9);
        assert_eq!(disk.due(), Some(7));
        assert!(disk.safe().entries.is_empty());
        assert_eq!(disk.finish(), Some(EntryId { index: 2, term: 2 }));
        assert_eq!(disk.safe().entries, [entry(1, 1), entry(2, 2)]);
        assert_eq!(disk.due(), None);
        assert_eq!(disk.end(), Ok(()), "the storage finds the same");
    }

    #[test]
    fn finish_of_a_vote_alone_names_no_entry() {
        let mut disk = Disk::new(N1);
        disk.save_vote(3, Some(N2), 0);
        assert_eq!(disk.finish(), None);
        assert_eq!((disk.safe().current_term, disk.safe().voted_for), (3, Some(N2)));
    }

    #[test]
    fn lose_cache_keeps_what_was_safe() {
        let mut disk = Disk::new(N1);
        disk.save_vote(1, None, 0);
        disk.finish();
        disk.save_vote(2, Some(N1), 0);
        assert_eq!(disk.lose_cache(), Ok(()));
        assert_eq!(disk.safe().current_term, 1);
        assert_eq!(disk.finish(), None);
    }

    /// A disk at work: a new vote, and entries that replace others.
    fn at_work() -> Disk {
        let log = (1..=3).map(|index| entry(index, 1)).collect();
        let saved = Saved { current_term: 1, entries: log, ..Saved::default() };
        let mut disk = Disk::holding(N1, saved);
        disk.save_vote(2, Some(N2), 0);
        disk.save_entries(1, vec![entry(2, 2), entry(3, 2), entry(4, 2)], N2, 0);
        disk
    }

    #[test]
    fn lose_power_leaves_every_stage_of_the_work_and_tears_records() {
        let mut found = std::collections::BTreeSet::new();
        let mut torn = 0;
        for number in 0..300 {
            let mut disk = at_work();
            assert_eq!(disk.lose_power(number), Ok(()));
            let terms: Vec<Term> = disk.safe().entries.iter().map(|entry| entry.term).collect();
            found.insert((disk.safe().current_term, terms));
            torn += u32::from(disk.torn().is_some());
            assert_eq!(disk.lose_cache(), Ok(()), "what was found once is safe");
        }
        let new = |terms: &[Term]| (2, terms.to_vec());
        let stages = [
            (1, vec![1, 1, 1]),
            new(&[1]),
            new(&[1, 1, 1]),
            new(&[1, 2]),
            new(&[1, 2, 2]),
            new(&[1, 2, 2, 2]),
        ];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), stages);
        assert!(torn > 20, "{torn} of 300");
    }

    #[test]
    fn crash_tells_what_the_storage_forgot() {
        let mut disk = at_work();
        disk.finish();
        disk.safe.entries.push(entry(5, 2));
        let violation = disk.lose_cache().expect_err("it was never written");
        let what = "the disk of n1 does not hold what was safe: it finds term 2 and a log that \
            ends at 4@2";
        assert_eq!(violation, Violation::new(Property::LeaderCompleteness, what.to_string()));
        assert_eq!(disk.end(), Ok(()), "that is told once");
    }

    #[test]
    fn may_be_left_refuses_what_no_failure_explains() {
        let disk = at_work();
        let refused = |current_term, entries: &[Entry]| {
            let found = Saved {
                current_term,
                voted_for: Some(N2),
                entries: entries.to_vec(),
                ..Saved::default()
            };
            !may_be_left(&disk.safe, &disk.cache, &found)
        };
        assert!(!refused(2, &[entry(1, 1), entry(2, 2)]));
        assert!(refused(3, &[entry(1, 1)]), "a term that it never had");
        assert!(refused(2, &[]), "an entry is gone that was not touched");
        assert!(refused(2, &[entry(1, 1), entry(2, 1), entry(3, 2)]), "old and new, mixed");
    }

    fn snapshot(index: Index, term: Term) -> Snapshot {
        Snapshot { last_included: EntryId { index, term }, data: format!("at {index}").into() }
    }

    /// A disk that is given a snapshot, behind entries that wait, and another entry.
    fn at_work_on(snapshot: Snapshot, retain: bool) -> Disk {
        let log = (1..=3).map(|index| entry(index, 1)).collect();
        let saved = Saved { current_term: 2, entries: log, ..Saved::default() };
        let mut disk = Disk::holding(N1, saved);
        let next = if retain { 5 } else { snapshot.last_included.index + 1 };
        disk.save_entries(3, vec![entry(4, 1)], N2, 0);
        disk.save_snapshot(snapshot.clone(), 0);
        disk.discard_log(snapshot.last_included, retain, 0);
        disk.save_entries(next - 1, vec![entry(next, 2)], N2, 0);
        disk
    }

    /// All that is found when the power fails anywhere: snapshot, and the log behind it.
    fn left(disk: &Disk) -> Vec<(Index, Vec<Index>)> {
        let mut found = std::collections::BTreeSet::new();
        for number in 0..500 {
            let mut disk = disk.clone();
            assert_eq!(disk.lose_power(number), Ok(()));
            let log = disk.safe().entries.iter().map(|entry| entry.index).collect();
            found.insert((disk.safe().snapshot.last_included.index, log));
            assert_eq!(disk.lose_cache(), Ok(()), "what was found once is safe");
            disk.save_entries(last(disk.safe()).index, vec![], N2, 0);
            disk.finish();
            assert_eq!(disk.end(), Ok(()), "and the files are of use");
        }
        found.into_iter().collect()
    }

    /// Entry 4 waits for its sync when the snapshot comes, and is durable with it.
    #[test]
    fn lose_power_while_a_snapshot_is_saved_leaves_it_or_the_log_before() {
        let disk = at_work_on(snapshot(2, 1), true);
        let expected = [(0, vec![1, 2, 3]), (2, vec![3]), (2, vec![3, 4]), (2, vec![3, 4, 5])];
        assert_eq!(left(&disk), expected);
        let mut finished = disk.clone();
        assert_eq!(finished.finish(), Some(EntryId { index: 5, term: 2 }));
        assert_eq!(finished.end(), Ok(()));
    }

    /// A leader's snapshot, which the log does not lead to.
    #[test]
    fn lose_power_while_a_snapshot_takes_the_logs_place_mixes_nothing() {
        for last in [2, 9] {
            let disk = at_work_on(snapshot(last, 2), false);
            let expected = [(0, vec![1, 2, 3]), (last, vec![]), (last, vec![last + 1])];
            assert_eq!(left(&disk), expected);
        }
    }

    /// The leader's own disk was slower than the others: they committed what it had not saved.
    #[test]
    fn snapshot_may_stand_for_entries_that_were_never_written() {
        let disk = at_work_on(snapshot(4, 1), true);
        assert_eq!(left(&disk), [(0, vec![1, 2, 3]), (4, vec![]), (4, vec![5])]);
    }
}
