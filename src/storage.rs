//! What a node must not forget: `current_term`, `voted_for` and the log, "updated on stable storage
//! before responding to RPCs" (Figure 2). They live in the node's own directory, in text files that
//! are made to be read with `cat`:
//!
//! ```text
//! $ cat data/2/RaftLog.txt
//! # raftlet cluster demo node 2
//! Machine ID | Index | Term | Value | Leader Id | Checksum
//!          2 |     1 |    1 | no-op | 1 | 73d67645
//!          2 |     2 |    1 | set x=42 | 1 | 80c1fc2a
//!
//! $ cat data/2/vote.txt
//! # raftlet cluster demo node 2
//! current_term = 4
//! voted_for = 3
//! checksum = 8659f950
//! ```
//!
//! When the log has been shortened (§7), `snapshot.txt` holds what stands for its beginning. The
//! file `lock` keeps a second process out.
//!
//! **Space ahead.** To write where a file already has bytes is a third quicker to make durable than
//! to make it longer, for the disk need not note a new length. So a log that has outgrown 64 KiB
//! is filled up with spaces, which the next entries replace. They mean nothing to a reader.
//!
//! **What a crash can leave behind.** The log only grows at its end, or is cut first and then
//! grows; so a crash in mid-write leaves whole lines and then perhaps part of one. That part
//! has no line feed, or else it has only spaces where the disk has not written a sector yet,
//! and more may stand behind them. Nothing from there on was ever acknowledged to anybody, and
//! it is cut off at the next start. Anything else that looks wrong is damage: the node refuses
//! to start, because a server that forgets what it promised can make the cluster lose a
//! committed entry. The vote is replaced whole: written under another name, synced, renamed. A
//! new log has its headers on the disk before the first vote is saved, and a vote is saved
//! before the first entry, so every crash in between leaves a directory that is either new or
//! whole.
//!
//! A snapshot is replaced like the vote, and then the log, by one that begins behind it. Between
//! the two the log is longer than it need be, and the next start shortens it. All but the end of it
//! can be done by another thread, while the log goes on growing ([`Plan::write`]).
//!
//! [`Storage`] decides what is written, and in which order. What the bytes mean, and which bytes
//! are damage, stands in `format`; what is done with real files, in `files`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

mod files;
mod format;
pub mod trace;

use crate::node::message::{Entry, EntryId, Index, NodeId, Term};
use crate::node::snapshot::Snapshot;
pub use files::{Directory, Files, SECTOR};
use format::{Bytes, LOG, NEW_LOG, NEW_SNAPSHOT, NEW_VOTE, SNAPSHOT, VOTE};
pub use format::{Recovered, without_space};
use format::{encode_entry, encode_snapshot, encode_vote, log_headers, recover};

/// The files of one node, open and locked.
///
/// After an error of any method the `Storage` must not be used again: nobody knows what is on the
/// disk now. The body treats a disk error as a crash, and the next start reads what is there. A
/// failed fsync in particular is never tried again: the system may have dropped the unsaved bytes,
/// and the second fsync would then succeed without them.
///
/// The files are those of a [`Directory`], but in the lab, whose disk loses power now and then.
#[derive(Clone, Debug)]
pub struct Storage<F = Directory> {
    /// Where all is kept.
    pub files: F,
    cluster: String,
    id: NodeId,
    /// The entry behind which the log begins: the last that the snapshot stands for.
    base: EntryId,
    /// How many bytes of the log were given to the file; what is in `buffer` comes after them.
    written: u64,
    /// How long the file is, with its space ahead.
    filled: u64,
    /// Told how far the log is synced, while another thread copies the log. A cut of the log ends
    /// this: the copy is of no more use. (A clone of the whole storage, as the lab makes, is made
    /// only while nobody copies.)
    copier: Option<Sender<u64>>,
    /// How often bytes of the log have changed, and not only grown.
    cuts: u64,
    /// The lines of entries that wait for [`Storage::sync`].
    buffer: Vec<u8>,
    /// Where each entry ends, waiting ones too; place 0 is the end of the headers.
    ends: Vec<u64>,
    /// What was written ahead for the log that begins behind the new snapshot.
    draft: Option<Draft>,
}

/// A snapshot that is to be written, perhaps by another thread, while the log goes on growing.
#[derive(Debug)]
pub struct Plan {
    cluster: String,
    id: NodeId,
    /// Where in the log's file the entries begin that stay, if it has the snapshot's last.
    start: Option<u64>,
    /// How far the log's file is synced, as far as this thread was told.
    synced: u64,
    /// Tells more of it; closed when the log is cut.
    progress: Receiver<u64>,
    cuts: u64,
}

/// A snapshot that is in its place. Most of the log that is to begin behind it is written, too,
/// under another name than its own.
#[derive(Clone, Debug)]
pub struct Draft {
    last_included: EntryId,
    start: Option<u64>,
    /// How far the log's file was copied.
    copied: u64,
    cuts: u64,
}

/// How many bytes of a large file are written at a time, and synced: an fsync of the log has to
/// wait for what the disk was given before, and so does the client whose entry it is.
const PIECE: u64 = 256 * 1024;

/// How often at most a copy of the log is brought up to its end. Each time there is less to copy,
/// unless the disk is slower than the clients.
const MAX_ROUNDS: usize = 10;

impl Plan {
    /// Puts the snapshot in the place of the one before; it is durable when this returns. Then
    /// writes and syncs the log that is to begin behind it, but for its end.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(mut self, files: &mut impl Files, snapshot: &Snapshot) -> Result<Draft, String> {
        let last_included = snapshot.last_included;
        files.create(NEW_SNAPSHOT)?;
        let text = encode_snapshot(&self.cluster, self.id, snapshot);
        for piece in text.as_bytes().chunks(PIECE as usize) {
            files.append(NEW_SNAPSHOT, piece)?;
            files.sync(NEW_SNAPSHOT)?;
        }
        files.rename(NEW_SNAPSHOT, SNAPSHOT)?;
        files.sync_names()?;
        let mut copied = self.start.unwrap_or_default();
        if self.start.is_some() {
            files.create(NEW_LOG)?;
            let headers = log_headers(&self.cluster, self.id, last_included);
            files.append(NEW_LOG, headers.as_bytes())?;
            for _ in 0..MAX_ROUNDS {
                let Some(end) = self.synced_now() else { break };
                self.copy(files, copied, end)?;
                copied = copied.max(end);
                if self.synced_now().is_none_or(|synced| synced < copied + PIECE) {
                    break;
                }
            }
        }
        Ok(Draft { last_included, start: self.start, copied, cuts: self.cuts })
    }

    /// How far the log is synced now; `None` if it was cut since.
    fn synced_now(&mut self) -> Option<u64> {
        loop {
            match self.progress.try_recv() {
                Ok(synced) => self.synced = synced,
                Err(TryRecvError::Empty) => return Some(self.synced),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// Copies the log up to where it was synced. It may be cut meanwhile, and end before: then this
    /// copy will not be used.
    fn copy(&mut self, files: &mut impl Files, from: u64, to: u64) -> Result<(), String> {
        match copy_log(files, from, to) {
            Err(_) if self.synced_now().is_none() => Ok(()),
            copied => copied,
        }
    }
}

impl Draft {
    /// The last entry that the snapshot stands for.
    pub fn last_included(&self) -> EntryId {
        self.last_included
    }
}

/// Appends these bytes of the log to the log that is to take its place.
fn copy_log(files: &mut impl Files, from: u64, to: u64) -> Result<(), String> {
    let mut from = from;
    while from < to {
        let end = to.min(from + PIECE);
        let bytes = files.read_part(LOG, from, end)?;
        files.append(NEW_LOG, &bytes)?;
        files.sync(NEW_LOG)?;
        from = end;
    }
    Ok(())
}

impl Storage {
    /// Opens (or creates) the directory of one node, locks it, reads and checks everything.
    ///
    /// # Errors
    /// Another process has the directory, it cannot be written, it is another cluster's or
    /// node's, or it is damaged: one line that says so.
    pub fn open(dir: &Path, cluster: &str, id: NodeId) -> Result<(Storage, Recovered), String> {
        Storage::on(Directory::open(dir, id)?, cluster, id)
    }

    /// The same; if it is to be `fresh`, all that was there before is forgotten first.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn open_or_forget(
        dir: &Path,
        cluster: &str,
        id: NodeId,
        fresh: bool,
    ) -> Result<(Storage, Recovered), String> {
        let forgot = fresh && Storage::forget(dir, id)?;
        let (storage, mut recovered) = Storage::open(dir, cluster, id)?;
        if forgot {
            let note = "all that it had saved before is forgotten (--fresh)";
            recovered.note = Some(note.to_string());
        }
        Ok((storage, recovered))
    }

    /// Forgets all that the node in this directory has saved: `--fresh`. True if there was
    /// anything.
    ///
    /// # Errors
    /// Another process has the directory, or it cannot be written.
    pub fn forget(dir: &Path, id: NodeId) -> Result<bool, String> {
        let mut files = Directory::open(dir, id)?;
        let (vote, log) = (files.remove(VOTE)?, files.remove(LOG)?);
        let snapshot = files.remove(SNAPSHOT)?;
        files.sync_names()?;
        Ok(vote || log || snapshot)
    }
}

impl<F: Files> Storage<F> {
    /// Reads and checks what these files hold, and goes on with them.
    ///
    /// Whole or not, the log is cut and synced: if the last process was killed between its write
    /// and its fsync, we read entries that are only in the system's memory, and must not
    /// acknowledge them as they are. The names are synced for the same reason, for the rename of
    /// the vote.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn on(mut files: F, cluster: &str, id: NodeId) -> Result<(Self, Recovered), String> {
        let (log, vote) = (files.read(LOG)?.unwrap_or_default(), files.read(VOTE)?);
        let snapshot = files.read(SNAPSHOT)?;
        let at = |text: String| files.path(&text).display().to_string();
        let bytes = Bytes { log: &log, vote: vote.as_deref(), snapshot: snapshot.as_deref() };
        let (mut recovered, file) = recover(bytes, cluster, id).map_err(at)?;
        recovered.note = recovered.note.map(at);

        let ends = file.ends;
        let written = ends[ends.len() - 1];
        let headers = log_headers(cluster, id, EntryId::default());
        if log.len() < headers.len() {
            files.append(LOG, &headers.as_bytes()[log.len()..])?;
        } else if log.get(written as usize - 1) != Some(&b'\n') {
            files.cut(LOG, written - 1)?;
            files.append(LOG, b"\n")?; // all that the last line lacks
        }
        files.cut(LOG, written)?;
        files.sync_names()?;
        let (cluster, buffer, base) = (cluster.to_string(), Vec::new(), file.base);
        let (copier, cuts, draft, filled) = (None, 0, None, written);
        let mut storage = Storage {
            files,
            cluster,
            id,
            base,
            written,
            filled,
            copier,
            cuts,
            buffer,
            ends,
            draft,
        };
        let last_included = recovered.snapshot.last_included;
        if base != last_included {
            storage.discard_log(last_included, !recovered.entries.is_empty())?;
        }
        Ok((storage, recovered))
    }

    /// Saves `current_term` and `voted_for`; they are durable when this returns.
    ///
    /// # Errors
    /// The disk failed: see [`Storage`].
    pub fn save_vote(
        &mut self,
        current_term: Term,
        voted_for: Option<NodeId>,
    ) -> Result<(), String> {
        let text = encode_vote(&self.cluster, self.id, current_term, voted_for);
        self.files.create(NEW_VOTE)?;
        self.files.append(NEW_VOTE, text.as_bytes())?;
        self.files.sync(NEW_VOTE)?;
        self.files.rename(NEW_VOTE, VOTE)?;
        self.files.sync_names()
    }

    /// From now on the log after index `after` is exactly `entries`; older entries there are
    /// dropped. The new ones wait for [`Storage::sync`] and are durable after it.
    ///
    /// # Errors
    /// The disk failed: see [`Storage`].
    ///
    /// # Panics
    /// If the entries do not follow one another from `after + 1`, or that leaves a gap.
    pub fn save_entries(
        &mut self,
        after: Index,
        entries: &[Entry],
        leader_id: NodeId,
    ) -> Result<(), String> {
        assert!(after <= self.last_index(), "a gap before the entry after {after}");
        self.truncate(after)?;
        for entry in entries {
            assert_eq!(entry.index, self.last_index() + 1, "entries are saved in their order");
            encode_entry(&mut self.buffer, self.id, entry, leader_id);
            self.ends.push(self.written + self.buffer.len() as u64);
        }
        Ok(())
    }

    // ---- Snapshots -----------------------------------------------------------------------------

    /// Saves a snapshot in the place of the one before, unless another thread has done it; it is
    /// durable when this returns. The log must be shortened next: until then [`Storage::open`]
    /// would do it.
    ///
    /// # Errors
    /// The disk failed: see [`Storage`].
    pub fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let last_included = snapshot.last_included;
        if self.draft.as_ref().is_none_or(|draft| draft.last_included != last_included) {
            let plan = self.plan_snapshot(last_included);
            self.draft = Some(plan.write(&mut self.files, snapshot)?);
        }
        Ok(())
    }

    /// [`Storage::save_snapshot`], to be done by another thread, on files that it shares: see
    /// [`Plan::write`].
    pub fn plan_snapshot(&mut self, last_included: EntryId) -> Plan {
        let behind_base = last_included.index.checked_sub(self.base.index);
        let start = behind_base.and_then(|place| self.ends.get(place as usize)).copied();
        let (copier, progress) = mpsc::channel();
        self.copier = Some(copier);
        let (cluster, id, synced) = (self.cluster.clone(), self.id, self.written);
        Plan { cluster, id, start, synced, progress, cuts: self.cuts }
    }

    /// Another thread has done so.
    pub fn adopt(&mut self, draft: Draft) {
        self.draft = Some(draft);
    }

    /// Lets the log begin behind an entry, the snapshot's last: with the entries that follow it, or
    /// with none. All of it is durable when this returns, entries that waited for [`Storage::sync`]
    /// too.
    ///
    /// # Errors
    /// The disk failed: see [`Storage`].
    pub fn discard_log(&mut self, base: EntryId, retain: bool) -> Result<(), String> {
        let headers = log_headers(&self.cluster, self.id, base);
        let place = base.index.checked_sub(self.base.index).filter(|_| retain);
        let kept = place.map_or(self.ends.len() - 1, |place| place as usize);
        let kept = kept.min(self.ends.len() - 1);
        let start = self.ends[kept];
        let draft = self.draft.take().filter(|draft| {
            draft.last_included == base && draft.cuts == self.cuts && draft.start == Some(start)
        });
        let copied = match draft {
            Some(draft) => draft.copied,
            None => {
                self.files.create(NEW_LOG)?;
                self.files.append(NEW_LOG, headers.as_bytes())?;
                start
            }
        };
        copy_log(&mut self.files, copied, self.written)?;
        let waiting = start.saturating_sub(self.written) as usize;
        self.files.append(NEW_LOG, &self.buffer[waiting..])?;
        self.files.sync(NEW_LOG)?;
        self.files.rename(NEW_LOG, LOG)?;
        self.files.sync_names()?;

        self.ends.drain(..kept);
        self.ends.iter_mut().for_each(|end| *end = *end - start + headers.len() as u64);
        (self.base, self.written) = (base, self.ends[self.ends.len() - 1]);
        self.filled = self.written;
        self.buffer.clear();
        self.cuts += 1;
        self.copier = None;
        Ok(())
    }

    /// How many bytes of the log stand for the entries up to this one.
    pub fn bytes_up_to(&self, index: Index) -> u64 {
        let place = index.saturating_sub(self.base.index) as usize;
        self.ends.get(place).map_or(0, |end| end - self.ends[0])
    }

    fn last_index(&self) -> Index {
        self.base.index + self.ends.len() as Index - 1
    }

    /// Writes and syncs all entries that wait: one write and one fsync, however many they are.
    ///
    /// # Errors
    /// The disk failed: see [`Storage`].
    pub fn sync(&mut self) -> Result<(), String> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.files.append(LOG, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written > self.filled {
            self.fill()?;
        }
        self.files.sync(LOG)?;
        // A thread that has copied all it wanted hears no more.
        self.copier.take_if(|copier| copier.send(self.written).is_err());
        Ok(())
    }

    /// How long the log's file is, without its space ahead and without what waits.
    pub fn log_bytes(&self) -> u64 {
        self.written
    }

    /// The space ahead is used up: makes new one, if the log is long enough to be worth it. It ends
    /// where a sector does, so that no sector is partly new to the file and partly space.
    fn fill(&mut self) -> Result<(), String> {
        self.filled = self.written;
        if self.written <= F::SPACE_AHEAD {
            return Ok(());
        }
        self.filled = (self.written / F::SPACE_AHEAD + 2) * F::SPACE_AHEAD;
        self.files.fill(LOG, self.filled - self.written)
    }

    /// Drops the entries after `after`.
    ///
    /// If they are in the file, the cut is on the disk before new bytes are written to the place.
    /// Otherwise a power failure could leave the file at its old length, part new and part old:
    /// whole lines of dropped entries after the new ones, or a line of both, which no longer looks
    /// like one torn line at the end. Conflicts are rare, so the extra fsync costs little.
    fn truncate(&mut self, after: Index) -> Result<(), String> {
        let kept = (after - self.base.index) as usize;
        self.ends.truncate(kept + 1);
        let end = self.ends[kept];
        if end >= self.written {
            self.buffer.truncate((end - self.written) as usize);
            return Ok(());
        }
        self.buffer.clear();
        (self.written, self.filled) = (end, end);
        self.cuts += 1;
        self.copier = None;
        self.files.cut(LOG, end)
    }
}

/// Where the log of the node in a directory is.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join(LOG)
}

/// Opens the log of the node in a directory, to be read.
///
/// # Errors
/// One line that names the file.
pub fn open_log(dir: &Path) -> Result<File, String> {
    let path = log_path(dir);
    File::open(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// How many bytes a node's files have in this directory; what cannot be read counts nothing.
pub fn size_bytes(dir: &Path) -> u64 {
    let size = |name| fs::metadata(dir.join(name)).map_or(0, |file| file.len());
    [LOG, VOTE, SNAPSHOT].into_iter().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::format::COLUMNS;
    use super::format::tests::{LEADER, N2, encode_log, entry, hostile_entries};
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of its own for each test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static COUNTER: AtomicU32 = AtomicU32::new(0);
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("raftlet-storage-{}-{number}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&dir); // left behind by a killed process of the same number
            fs::create_dir(&dir).expect("the temporary directory can be written");
            Scratch(dir)
        }

        fn open(&self) -> (Storage, Recovered) {
            Storage::open(&self.0, "demo", N2).expect("the directory is whole")
        }

        fn open_error(&self) -> String {
            let error = Storage::open(&self.0, "demo", N2).expect_err("this must not open");
            assert!(!error.contains('\n'), "one line: {error}");
            error.replace(&self.0.display().to_string(), "DIR")
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).expect("the file is there")
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.0.join(file), text).expect("the directory is there");
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const DOCUMENT: &str = include_str!("../docs/PROTOCOL.md");

    /// The checksums were computed by zlib.
    #[test]
    fn files_as_documented() {
        let scratch = Scratch::new();
        let (mut storage, recovered) = scratch.open();
        assert_eq!(recovered, Recovered::default());
        storage.save_vote(4, Some(NodeId(3))).unwrap();
        storage.save_entries(0, &[entry(1, 1, "no-op"), entry(2, 1, "set x=42")], LEADER).unwrap();
        storage.sync().unwrap();
        assert_eq!(
            scratch.read(LOG),
            "# raftlet cluster demo node 2\n\
             Machine ID | Index | Term | Value | Leader Id | Checksum\n         \
             2 |     1 |    1 | no-op | 1 | 73d67645\n         \
             2 |     2 |    1 | set x=42 | 1 | 80c1fc2a\n"
        );
        assert_eq!(
            scratch.read(VOTE),
            "# raftlet cluster demo node 2\ncurrent_term = 4\nvoted_for = 3\nchecksum = 8659f950\n"
        );
        for file in [LOG, VOTE] {
            let block = format!("```text\n{}```", scratch.read(file));
            assert!(DOCUMENT.contains(&block), "docs/PROTOCOL.md has another {file}");
            assert!(DOCUMENT.contains(&format!("`{file}`")), "{file}");
        }
        for column in COLUMNS.trim_end().split(" | ") {
            let explains = |row: &str| row.starts_with("| ") && row.contains(column);
            assert!(DOCUMENT.lines().any(explains), "{column} is not explained");
        }
    }

    #[test]
    fn snapshot_and_log_behind_it_as_documented() {
        let scratch = Scratch::new();
        let (mut storage, _) = scratch.open();
        storage.save_vote(4, Some(NodeId(3))).unwrap();
        let entries = [entry(1, 1, "no-op"), entry(2, 1, "set x=42"), entry(3, 1, "set y=1")];
        storage.save_entries(0, &entries, LEADER).unwrap();
        storage.sync().unwrap();
        let snapshot = snapshot_to(2, "{\"sessions\":0,\"session_commands\":0}\nset x=42\n");
        storage.save_snapshot(&snapshot).unwrap();
        storage.discard_log(snapshot.last_included, true).unwrap();
        for file in [LOG, SNAPSHOT] {
            let block = format!("```text\n{}```", scratch.read(file));
            assert!(DOCUMENT.contains(&block), "docs/PROTOCOL.md has another {file}: {block}");
        }
        drop(storage);
        let recovered = scratch.open().1;
        assert_eq!((recovered.snapshot, &recovered.entries[..]), (snapshot, &entries[2..]));
    }

    fn snapshot_to(index: Index, data: &str) -> Snapshot {
        Snapshot { last_included: EntryId { index, term: 1 }, data: data.into() }
    }

    /// As the body does it: another thread writes, while the log grows, or is cut.
    #[test]
    fn plan_is_written_beside_a_log_that_changes() {
        for cut in [false, true] {
            let scratch = Scratch::new();
            let (mut storage, _) = scratch.open();
            storage.save_vote(4, None).unwrap();
            let entries: Vec<Entry> = (1..=9).map(|index| entry(index, 1, "é\n")).collect();
            storage.save_entries(0, &entries[..6], LEADER).unwrap();
            storage.sync().unwrap();
            let snapshot = snapshot_to(4, "state");
            let plan = storage.plan_snapshot(snapshot.last_included);
            let (mut files, written) = (storage.files.share(), snapshot.clone());
            let thread = std::thread::spawn(move || plan.write(&mut files, &written));
            let draft = thread.join().unwrap().unwrap();
            if cut {
                storage.save_entries(5, &[entry(6, 2, "other")], LEADER).unwrap();
            } else {
                storage.save_entries(6, &entries[6..8], LEADER).unwrap();
            }
            storage.sync().unwrap();
            let last = if cut { entry(7, 2, "z") } else { entries[8].clone() };
            storage.save_entries(last.index - 1, std::slice::from_ref(&last), LEADER).unwrap();
            storage.adopt(draft);
            storage.save_snapshot(&snapshot).unwrap();
            storage.discard_log(snapshot.last_included, true).unwrap();
            storage.save_entries(last.index, &[entry(last.index + 1, 3, "on")], N2).unwrap();
            storage.sync().unwrap();
            drop(storage);
            let recovered = scratch.open().1;
            let indexes = recovered.entries.iter().map(|entry| (entry.index, entry.term));
            let expected = match cut {
                true => vec![(5, 1), (6, 2), (7, 2), (8, 3)],
                false => vec![(5, 1), (6, 1), (7, 1), (8, 1), (9, 1), (10, 3)],
            };
            assert_eq!(indexes.collect::<Vec<_>>(), expected);
            assert_eq!(recovered.snapshot, snapshot);
        }
    }

    #[test]
    fn plan_bears_a_cut_while_it_copies() {
        let scratch = Scratch::new();
        let (mut storage, _) = scratch.open();
        storage.save_vote(1, None).unwrap();
        let entries: Vec<Entry> = (1..=9).map(|index| entry(index, 1, "a")).collect();
        storage.save_entries(0, &entries, LEADER).unwrap();
        storage.sync().unwrap();
        let mut plan = storage.plan_snapshot(EntryId { index: 4, term: 1 });
        let (from, to) = (plan.start.unwrap(), plan.synced);
        let mut files = storage.files.share();
        files.create(NEW_LOG).unwrap();
        assert!(plan.copy(&mut files, from, to + 1).is_err(), "the disk has lost the end");
        storage.save_entries(5, &[], LEADER).unwrap();
        assert_eq!(plan.copy(&mut files, from, to), Ok(()));
    }

    #[test]
    fn open_cuts_torn_line_and_goes_on() {
        let scratch = Scratch::new();
        let entries = hostile_entries();
        let whole = encode_log(&entries[..2]);
        let torn = encode_log(&entries[..3]);
        scratch.write(VOTE, &encode_vote("demo", N2, 9, None));
        scratch.write(LOG, &torn[..torn.len() - 2]);
        let (mut storage, recovered) = scratch.open();
        assert_eq!(recovered.entries, entries[..2]);
        let place = scratch.0.join(LOG).display().to_string() + ":5: ";
        assert!(recovered.note.unwrap().starts_with(&place));
        assert_eq!(scratch.read(LOG), whole);
        storage.save_entries(2, &entries[2..], LEADER).unwrap();
        storage.sync().unwrap();
        assert_eq!(scratch.read(LOG), encode_log(&entries));
    }

    #[test]
    fn open_ends_the_last_line_that_is_whole() {
        let entries = hostile_entries();
        for space in ["", " ", "          "] {
            let scratch = Scratch::new();
            scratch.write(VOTE, &encode_vote("demo", N2, 9, None));
            scratch.write(LOG, &(encode_log(&entries[..3]).trim_end().to_string() + space));
            let (mut storage, recovered) = scratch.open();
            assert_eq!((&recovered.entries[..], recovered.note), (&entries[..3], None));
            storage.save_entries(3, &entries[3..], LEADER).unwrap();
            storage.sync().unwrap();
            assert_eq!(scratch.read(LOG), encode_log(&entries));
        }
    }

    #[test]
    fn long_log_is_filled_up_with_spaces_which_entries_replace() {
        let scratch = Scratch::new();
        let size = || fs::metadata(scratch.0.join(LOG)).unwrap().len();
        let (mut storage, _) = scratch.open();
        storage.save_vote(1, None).unwrap();
        let mut entries = Vec::new();
        let mut sizes = Vec::new();
        while storage.log_bytes() < 5 * Directory::SPACE_AHEAD {
            let index = entries.len() as Index + 1;
            entries.push(entry(index, 1, &"x".repeat(1000)));
            storage.save_entries(index - 1, &entries[index as usize - 1..], LEADER).unwrap();
            storage.sync().unwrap();
            sizes.push(size());
            assert!(size() == storage.log_bytes() || size() % SECTOR as u64 == 0);
        }
        let full = encode_log(&entries);
        assert_eq!(scratch.read(LOG).trim_end_matches(' '), full);
        assert_eq!(storage.log_bytes(), full.len() as u64);
        sizes.dedup();
        assert!(sizes.len() < 100, "most entries leave the size as it is");
        storage.save_entries(200, &[], LEADER).unwrap();
        assert_eq!(scratch.read(LOG), encode_log(&entries[..200]), "a cut takes the space, too");
        storage.save_entries(200, &entries[200..], LEADER).unwrap();
        storage.sync().unwrap();
        assert!(size() > full.len() as u64);
        drop(storage);
        let recovered = scratch.open().1;
        assert_eq!((recovered.entries, recovered.note), (entries, None));
        assert_eq!(scratch.read(LOG), full);
    }

    #[test]
    fn open_after_crash_while_creating() {
        let headers = log_headers("demo", N2, EntryId::default());
        for written in 0..=headers.len() {
            let scratch = Scratch::new();
            scratch.write(LOG, &headers[..written]);
            scratch.write("vote.txt.new", "# raft");
            let (mut storage, recovered) = scratch.open();
            assert_eq!(recovered, Recovered::default());
            storage.save_vote(1, Some(N2)).unwrap();
            storage.save_entries(0, &[entry(1, 1, "a")], N2).unwrap();
            storage.sync().unwrap();
            drop(storage);
            assert_eq!(scratch.open().1.entries, [entry(1, 1, "a")]);
        }
    }

    #[test]
    fn open_other_cluster_or_node() {
        let scratch = Scratch::new();
        scratch.open().0.save_vote(1, None).unwrap();
        let error = |cluster, id| Storage::open(&scratch.0, cluster, NodeId(id)).unwrap_err();
        let other =
            |cluster, id| error(cluster, id).replace(&scratch.0.display().to_string(), "DIR");
        let file = "DIR/RaftLog.txt:1: this file belongs to";
        let end = "use another --data directory or --fresh";
        assert_eq!(
            other("two\nlines", 2),
            format!("{file} cluster \"demo\", not \"two\\nlines\": {end}")
        );
        assert_eq!(other("demo", 3), format!("{file} node 2, not 3: {end}"));
        scratch.write(VOTE, &encode_vote("demo", NodeId(3), 1, None));
        assert_eq!(
            scratch.open_error(),
            format!("DIR/vote.txt:1: this file belongs to node 3, not 2: {end}")
        );
    }

    #[test]
    fn save_vote_ignores_temporary_file() {
        let scratch = Scratch::new();
        let (mut storage, _) = scratch.open();
        storage.save_vote(7, Some(NodeId(3))).unwrap();
        drop(storage);
        scratch.write("vote.txt.new", &encode_vote("demo", N2, 8, None));
        let (mut storage, recovered) = scratch.open();
        assert_eq!((recovered.current_term, recovered.voted_for), (7, Some(NodeId(3))));
        storage.save_vote(9, None).unwrap();
        drop(storage);
        let recovered = scratch.open().1;
        assert_eq!((recovered.current_term, recovered.voted_for), (9, None));
    }

    /// Overwrites at every depth, in the file, in the buffer and across both, against a plain list.
    #[test]
    fn save_entries_overwrite_keeps_exactly() {
        let scratch = Scratch::new();
        let (mut storage, _) = scratch.open();
        storage.save_vote(1000, None).unwrap();
        let mut model: Vec<Entry> = Vec::new();
        let mut synced = model.clone();
        let mut seed: u64 = 1;
        let mut below = |limit: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % limit
        };
        for term in 1..=300 {
            let dropped = if below(3) == 0 { below(8) } else { 0 };
            let after = (model.len() as u64).saturating_sub(dropped);
            let text = "é\n".repeat(below(13) as usize);
            let new: Vec<Entry> = (1..=below(5)).map(|n| entry(after + n, term, &text)).collect();
            storage.save_entries(after, &new, LEADER).unwrap();
            model.truncate(after as usize);
            model.extend(new);
            // What was cut is gone at once; what is new waits for `sync`.
            synced.truncate(after as usize);
            if below(3) == 0 {
                storage.sync().unwrap();
                synced = model.clone();
            }
            if below(9) == 0 {
                drop(storage);
                let recovered;
                (storage, recovered) = scratch.open();
                assert_eq!((recovered.entries, recovered.note), (synced.clone(), None));
                model = synced.clone();
            }
        }
        assert!(model.len() > 50, "the test has filled the log");
    }

    #[test]
    #[should_panic(expected = "a gap before")]
    fn save_entries_refuses_gap() {
        let scratch = Scratch::new();
        let _ = scratch.open().0.save_entries(1, &[entry(2, 1, "a")], LEADER);
    }

    #[test]
    fn open_locks_out_a_second() {
        let scratch = Scratch::new();
        let storage = scratch.open().0;
        let in_use = "DIR is in use by another process: is node 2 already running?";
        assert_eq!(scratch.open_error(), in_use);
        assert!(Storage::forget(&scratch.0, N2).unwrap_err().contains("in use"));
        drop(storage);
        scratch.open();
    }

    #[test]
    fn forget_makes_any_directory_new() {
        let scratch = Scratch::new();
        scratch.write(VOTE, "damage");
        scratch.write(LOG, "damage");
        scratch.open_error();
        Storage::forget(&scratch.0, N2).unwrap();
        assert_eq!(scratch.open().1, Recovered::default());
        Storage::forget(&scratch.0.join("not/yet"), N2).unwrap();
    }

    /// Permissions do not bind the superuser, so a plain file stands where a directory should be.
    #[test]
    fn open_unusable_path_names_it() {
        let scratch = Scratch::new();
        scratch.write("file", "");
        let dir = scratch.0.join("file/2");
        let error = Storage::open(&dir, "demo", N2).unwrap_err();
        assert!(error.starts_with(&format!("cannot create {}", dir.display())), "{error}");
        Storage::open(&scratch.0.join("a/b/2"), "demo", N2).unwrap();
        fs::create_dir(scratch.0.join(VOTE)).unwrap();
        assert!(scratch.open_error().starts_with("cannot read DIR/vote.txt: "));
    }

    #[test]
    fn entries_hostile_texts_round_trip() {
        let scratch = Scratch::new();
        let mut entries = hostile_entries();
        let index = entries.len() as u64 + 1;
        entries.push(entry(index, 9, &"\\ \n | 🦀\0".repeat((1 << 20) / 10)));
        let (mut storage, _) = scratch.open();
        storage.save_vote(9, None).unwrap();
        storage.save_entries(0, &entries, LEADER).unwrap();
        storage.sync().unwrap();
        drop(storage);
        let text = scratch.read(LOG);
        assert_eq!(text.trim_end_matches(' ').lines().count(), entries.len() + 2);
        assert!(!text.contains(|c: char| c != '\n' && c.is_control()));
        assert_eq!(scratch.open().1.entries, entries);
    }
}
