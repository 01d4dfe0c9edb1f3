//! What a node must not forget: `current_term`, `voted_for` and the log, "updated on stable storage
//! before responding to RPCs" (Figure 2). They live in the node's own directory, in two text files
//! that are made to be read with `cat`:
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
//! A third file, `lock`, keeps a second process out.
//!
//! **What a crash can leave behind.** The log only grows at its end, or is cut first and then
//! grows; so a crash in mid-write leaves whole lines and then perhaps part of one. That part has
//! no line feed, was never acknowledged to anybody, and is cut off at the next start. Anything
//! else that looks wrong is damage: the node refuses to start, because a server that forgets what
//! it promised can make the cluster lose a committed entry. The vote is replaced whole: written
//! under another name, synced, renamed. A new log has its headers on the disk before the first
//! vote is saved, and a vote is saved before the first entry, so every crash in between leaves a
//! directory that is either new or whole.
//!
//! [`Storage`] is the half of this module that knows files. The other half, from [`recover`] on,
//! only writes and judges bytes, so that the lab can run it over a simulated disk.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::{self, Chars};

use crate::message::{Command, Entry, EntryId, Index, NodeId, Term};

const LOG: &str = "RaftLog.txt";
const VOTE: &str = "vote.txt";
const COLUMNS: &str = "Machine ID | Index | Term | Value | Leader Id | Checksum\n";
const SEPARATOR: &str = " | ";

/// What to do about damage. To forget is safe only if the others remember: hence the second half.
const FRESH: &str = "Start this node with --fresh to forget its data, and a leader will send it \
                     the log again (one node at a time, the others up)";

/// What a node finds when it starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The latest term that the server has seen; 0 in a new directory.
    pub current_term: Term,
    /// Who received its vote in that term.
    pub voted_for: Option<NodeId>,
    /// The whole log, from index 1.
    pub entries: Vec<Entry>,
    /// What a crash in mid-write left at the end of the log and is now cut off, told for people.
    pub torn: Option<String>,
}

/// The files of one node, open and locked.
///
/// After an error of any method the `Storage` must not be used again: nobody knows what is on the
/// disk now. The body treats a disk error as a crash, and the next start reads what is there. A
/// failed fsync in particular is never tried again: the system may have dropped the unsaved bytes,
/// and the second fsync would then succeed without them.
#[derive(Debug)]
pub struct Storage {
    dir: PathBuf,
    cluster: String,
    id: NodeId,
    log: File,
    /// How many bytes of the log were given to the file; what is in `buffer` comes after them.
    written: u64,
    /// The lines of entries that wait for [`Storage::sync`].
    buffer: String,
    /// Where each entry ends, waiting ones too; place 0 is the end of the headers.
    ends: Vec<u64>,
    /// Held, not used: the lock lasts as long as this file is open.
    _lock: File,
}

impl Storage {
    /// Opens (or creates) the directory of one node, locks it, reads and checks everything.
    ///
    /// # Errors
    /// Another process has the directory, it cannot be written, it is another cluster's or
    /// node's, or it is damaged: one line that says so.
    pub fn open(dir: &Path, cluster: &str, id: NodeId) -> Result<(Storage, Recovered), String> {
        let lock = lock(dir, id)?;
        let in_dir = |text: String| dir.join(text).display().to_string();
        let path = log_path(dir);
        let mut log = open_log(&path).map_err(failed("open", &path))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).map_err(failed("read", &path))?;
        let vote = read_if_there(&dir.join(VOTE))?;
        let (mut recovered, ends) =
            recover(&bytes, vote.as_deref(), cluster, id).map_err(in_dir)?;
        recovered.torn = recovered.torn.map(in_dir);

        let written = ends[ends.len() - 1];
        let headers = log_headers(cluster, id);
        mend(&mut log, bytes.len() as u64, written, &headers).map_err(failed("write", &path))?;
        sync_dir(dir)?;
        let (dir, cluster, buffer) = (dir.into(), cluster.into(), String::new());
        Ok((Storage { dir, cluster, id, log, written, buffer, ends, _lock: lock }, recovered))
    }

    /// Forgets all that the node in this directory has saved: `--fresh`.
    ///
    /// # Errors
    /// Another process has the directory, or it cannot be written.
    pub fn forget(dir: &Path, id: NodeId) -> Result<(), String> {
        let _lock = lock(dir, id)?;
        for path in [dir.join(VOTE), dir.join(LOG)] {
            if path.exists() {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        sync_dir(dir)
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
        let (path, new) = (self.dir.join(VOTE), self.dir.join("vote.txt.new"));
        let text = encode_vote(&self.cluster, self.id, current_term, voted_for);
        write_synced(&new, &text).map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("replace", &path))?;
        sync_dir(&self.dir)
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
        assert!(after < self.ends.len() as u64, "a gap before the entry after {after}");
        self.truncate(after)?;
        for entry in entries {
            assert_eq!(entry.index, self.ends.len() as u64, "entries are saved in their order");
            encode_entry(&mut self.buffer, self.id, entry, leader_id);
            self.ends.push(self.written + self.buffer.len() as u64);
        }
        Ok(())
    }

    /// Writes and syncs all entries that wait: one write and one fsync, however many they are.
    ///
    /// # Errors
    /// The disk failed: see [`Storage`].
    pub fn sync(&mut self) -> Result<(), String> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let saved = self.log.write_all(self.buffer.as_bytes()).and_then(|()| self.log.sync_data());
        saved.map_err(failed("write", &self.dir.join(LOG)))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Drops the entries after `after`.
    ///
    /// If they are in the file, the cut is on the disk before new bytes are written to the place.
    /// Otherwise a power failure could leave the file at its old length, part new and part old:
    /// whole lines of dropped entries after the new ones, or a line of both, which no longer looks
    /// like one torn line at the end. Conflicts are rare, so the extra fsync costs little.
    fn truncate(&mut self, after: Index) -> Result<(), String> {
        self.ends.truncate(after as usize + 1);
        let end = self.ends[after as usize];
        if end >= self.written {
            self.buffer.truncate((end - self.written) as usize);
            return Ok(());
        }
        self.buffer.clear();
        self.written = end;
        cut(&mut self.log, end).map_err(failed("cut", &self.dir.join(LOG)))
    }
}

/// Where the log of the node in a directory is.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join(LOG)
}

/// Takes the directory for this process, and creates it if need be.
fn lock(dir: &Path, id: NodeId) -> Result<File, String> {
    create_dir(dir)?;
    let path = dir.join("lock");
    let lock = File::create(&path).map_err(failed("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        Err(TryLockError::WouldBlock) => Err(format!(
            "{} is in use by another process: is node {} already running?",
            dir.display(),
            id.0
        )),
    }
}

/// Creates a directory and those above it, so that they are still there after a power failure.
fn create_dir(dir: &Path) -> Result<(), String> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    missing.iter().filter_map(|dir| dir.parent()).try_for_each(sync_dir)
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(failed("read", path)),
    }
}

/// Gives a log of `len` bytes its headers if it lacks them, and cuts off what is torn after `end`.
///
/// Whole or not, it is synced: if the last process was killed between its write and its fsync, we
/// read entries that are only in the system's memory, and must not acknowledge them as they are.
/// The caller syncs the directory for the same reason, for the rename of the vote.
fn mend(log: &mut File, len: u64, end: u64, headers: &str) -> io::Result<()> {
    if len < end {
        log.rewind()?;
        log.write_all(headers.as_bytes())?;
    }
    cut(log, end)
}

/// Cuts a file off at `end`, durably, and goes on writing there.
fn cut(file: &mut File, end: u64) -> io::Result<()> {
    file.set_len(end)?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(end)).map(|_| ())
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes names in a directory durable: new files, renamed ones, removed ones. Only Unix opens a
/// directory as a file.
fn sync_dir(dir: &Path) -> Result<(), String> {
    if !cfg!(unix) {
        return Ok(());
    }
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

/// One line for people about a file that would not do.
fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let place = format!("cannot {what} {}", path.display());
    move |error| format!("{place}: {error}. Mend the disk or its permissions and start again")
}

/// Reads and checks the bytes of a node's two files; `vote` is `None` if that file does not exist.
///
/// Also returns where in the log each entry ends, in bytes; place 0 is the end of the headers. A
/// new log may still lack them, a torn one goes on after the last of these ends.
///
/// # Errors
/// The file and line of the first damage, what is wrong and what to do.
pub fn recover(
    log: &[u8],
    vote: Option<&[u8]>,
    cluster: &str,
    id: NodeId,
) -> Result<(Recovered, Vec<u64>), String> {
    let headers = log_headers(cluster, id);
    let is_new = log.len() < headers.len() && headers.as_bytes().starts_with(log);
    let log = if is_new { headers.as_bytes() } else { log };
    let (mut recovered, ends) = read_log(log, cluster, id)?;
    match vote {
        Some(_) if is_new => {
            return Err(format!("{LOG}:1: the log is gone, though {VOTE} is there. {FRESH}"));
        }
        Some(vote) => (recovered.current_term, recovered.voted_for) = read_vote(vote, cluster, id)?,
        None if log.len() > headers.len() => {
            return Err(format!("{VOTE}: the file is gone, though {LOG} has entries. {FRESH}"));
        }
        None => {}
    }
    let (term, last_log_term) = (recovered.current_term, last_id(&recovered.entries).term);
    if term < last_log_term {
        return Err(format!(
            "{VOTE}:2: current_term {term} is older than the log's last term, {last_log_term}: one \
             of the two files is an old copy. {FRESH}"
        ));
    }
    Ok((recovered, ends))
}

fn read_log(log: &[u8], cluster: &str, id: NodeId) -> Result<(Recovered, Vec<u64>), String> {
    check_title(LOG, log, cluster, id)?;
    let headers = log_headers(cluster, id);
    let Some(lines) = log.strip_prefix(headers.as_bytes()) else {
        return Err(format!("{LOG}:2: the header was damaged. {FRESH}"));
    };
    let mut recovered = Recovered::default();
    let mut ends = vec![headers.len() as u64];
    for (number, line) in (3..).zip(lines.split_inclusive(|&byte| byte == b'\n')) {
        let previous = last_id(&recovered.entries);
        let Some(whole_line) = line.strip_suffix(b"\n") else {
            let index = previous.index + 1;
            recovered.torn = Some(format!(
                "{LOG}:{number}: entry {index} was only partly written when the node stopped, and \
                 is cut off"
            ));
            break;
        };
        let entry = read_entry(whole_line, id, previous)
            .map_err(|damage| format!("{LOG}:{number}: {damage}. {FRESH}"))?;
        recovered.entries.push(entry);
        ends.push(ends[ends.len() - 1] + line.len() as u64);
    }
    Ok((recovered, ends))
}

/// The entry of a line, if it can follow the entry `previous` in the log of node `id`.
fn read_entry(line: &[u8], id: NodeId, previous: EntryId) -> Result<Entry, String> {
    let text = without_checksum(line).ok_or("the checksum does not match, the file was damaged")?;
    let (machine, entry) = parse_columns(text).ok_or("this is not an entry")?;
    if machine != id {
        return Err(format!("the entry belongs to node {}, not {}", machine.0, id.0));
    }
    if entry.index != previous.index + 1 {
        return Err(format!("entry {} cannot follow {previous}: indexes go up by one", entry.id()));
    }
    if entry.term < previous.term {
        return Err(format!("entry {} cannot follow {previous}: terms never go down", entry.id()));
    }
    Ok(entry)
}

/// The line up to its last separator. The checksum is compared as it is written, so that a small
/// letter turned into a capital one is seen too.
fn without_checksum(line: &[u8]) -> Option<&[u8]> {
    let (rest, found) = line.split_last_chunk::<8>()?;
    let text = rest.strip_suffix(SEPARATOR.as_bytes())?;
    (*found == checksum(text)).then_some(text)
}

/// The value may contain the separator and the numbers around it cannot: so the columns are
/// counted from both ends.
fn parse_columns(text: &[u8]) -> Option<(NodeId, Entry)> {
    let text = str::from_utf8(text).ok()?;
    let (machine, text) = text.split_once(SEPARATOR)?;
    let (index, text) = text.split_once(SEPARATOR)?;
    let (term, text) = text.split_once(SEPARATOR)?;
    let (value, leader) = text.rsplit_once(SEPARATOR)?;
    leader.parse::<u64>().ok()?;
    let number = |column: &str| column.trim_start().parse().ok();
    let command = match value.contains('\\') {
        true => Command::new(&unescape(value)?),
        false => Command::new(value),
    };
    Some((NodeId(number(machine)?), Entry { index: number(index)?, term: number(term)?, command }))
}

fn last_id(entries: &[Entry]) -> EntryId {
    entries.last().map_or(EntryId::default(), Entry::id)
}

fn read_vote(vote: &[u8], cluster: &str, id: NodeId) -> Result<(Term, Option<NodeId>), String> {
    check_title(VOTE, vote, cluster, id)?;
    let parse = || {
        let mut lines = str::from_utf8(vote).ok()?.lines().skip(1);
        let term = lines.next()?.strip_prefix("current_term = ")?.parse().ok()?;
        let voted_for = match lines.next()?.strip_prefix("voted_for = ")? {
            "nobody" => None,
            candidate => Some(NodeId(candidate.parse().ok()?)),
        };
        // Written again, it must come out the same: this checks the checksum and all the rest.
        let is_whole = encode_vote(cluster, id, term, voted_for).as_bytes() == vote;
        is_whole.then_some((term, voted_for))
    };
    parse().ok_or(format!("{VOTE}:4: the checksum does not match, the file was damaged. {FRESH}"))
}

/// The two lines at the top of a node's `RaftLog.txt`.
pub fn log_headers(cluster: &str, id: NodeId) -> String {
    title(cluster, id) + COLUMNS
}

/// Appends to `out` the line of one entry that node `id` was sent by `leader_id`.
pub fn encode_entry(out: &mut String, id: NodeId, entry: &Entry, leader_id: NodeId) {
    let start = out.len();
    write!(out, "{:>10} | {:>5} | {:>4} | ", id.0, entry.index, entry.term)
        .expect("a String takes all");
    escape(entry.command.as_str(), out);
    write!(out, " | {}", leader_id.0).expect("a String takes all");
    let checksum = checksum(&out.as_bytes()[start..]);
    out.push_str(SEPARATOR);
    out.extend(checksum.map(char::from));
    out.push('\n');
}

/// The whole of a node's `vote.txt`.
pub fn encode_vote(cluster: &str, id: NodeId, term: Term, voted_for: Option<NodeId>) -> String {
    let voted_for = voted_for.map_or("nobody".to_string(), |candidate| candidate.0.to_string());
    let mut text = title(cluster, id);
    text += &format!("current_term = {term}\nvoted_for = {voted_for}\n");
    let checksum = checksum(text.as_bytes());
    text += "checksum = ";
    text.extend(checksum.map(char::from));
    text + "\n"
}

/// The first line of both files: whose they are.
fn title(cluster: &str, id: NodeId) -> String {
    let mut line = "# raftlet cluster ".to_string();
    escape(cluster, &mut line);
    line + &format!(" node {}\n", id.0)
}

fn check_title(file: &str, bytes: &[u8], cluster: &str, id: NodeId) -> Result<(), String> {
    if bytes.starts_with(title(cluster, id).as_bytes()) {
        return Ok(());
    }
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let whose = match parse_title(line) {
        Some((found, _)) if found != cluster => format!("cluster {found:?}, not {cluster:?}"),
        Some((_, found)) if found != id => format!("node {}, not {}", found.0, id.0),
        _ => return Err(format!("{file}:1: the first line was damaged. {FRESH}")),
    };
    let remedy = "use another --data directory or --fresh";
    Err(format!("{file}:1: this file belongs to {whose}: {remedy}"))
}

/// The cluster and the node that a title names.
fn parse_title(line: &[u8]) -> Option<(String, NodeId)> {
    let owner = str::from_utf8(line).ok()?.strip_prefix("# raftlet cluster ")?;
    let (cluster, id) = owner.rsplit_once(" node ")?;
    Some((unescape(cluster)?, NodeId(id.parse().ok()?)))
}

/// Makes any text one line of printable text: what would break the line or the terminal is written
/// as in a Rust string, and so is the backslash. All other text stays as it is.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if c == '\\' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { unescape_char(&mut chars)? } else { c });
    }
    Some(plain)
}

/// Reads what follows a backslash.
fn unescape_char(chars: &mut Chars) -> Option<char> {
    match chars.next()? {
        '\\' => Some('\\'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => {
            let (hex, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
            *chars = rest.chars();
            char::from_u32(u32::from_str_radix(hex, 16).ok()?)
        }
        _ => None,
    }
}

/// The CRC-32 of the bytes, as eight hexadecimal digits.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let crc = crc32(bytes);
    std::array::from_fn(|place| b"0123456789abcdef"[(crc >> (28 - 4 * place)) as usize & 0xf])
}

/// CRC-32 as in Ethernet, zip and PNG (IEEE 802.3; ISO/IEC 13239): a byte a step, by table.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| CRC_TABLE[(crc as u8 ^ byte) as usize] ^ (crc >> 8))
}

static CRC_TABLE: [u32; 256] = crc_table();

/// What each value of a byte does to the checksum. The polynomial is 0x04c11db7, lowest bit first.
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const N2: NodeId = NodeId(2);
    const LEADER: NodeId = NodeId(1);

    /// A directory of its own for each test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static COUNTER: AtomicU32 = AtomicU32::new(0);
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("raftlet-storage-{}-{number}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir(&dir).expect("a directory of this name is new");
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

    fn entry(index: Index, term: Term, text: &str) -> Entry {
        Entry { index, term, command: Command::new(text) }
    }

    fn hostile_entries() -> Vec<Entry> {
        let look_alike = "         2 |     1 |    1 | no-op | 1 | 73d67645";
        let mut texts: Vec<String> =
            "|, | | |,a |,| b, ,\\,\\n,\\\\u{a},C:\\new,🦀 é,\n,\r\n,\t\0\x7f,\
             \u{85}\u{2028}\u{2029},\u{feff}e\u{301}"
                .split(',')
                .map(str::to_string)
                .collect();
        texts.extend(["".into(), look_alike.into(), format!("\n{look_alike}\n{look_alike}")]);
        (1..).zip(&texts).map(|(index, text)| entry(index, 1 + index / 4, text)).collect()
    }

    fn encode_log(entries: &[Entry]) -> String {
        let mut text = log_headers("demo", N2);
        entries.iter().for_each(|entry| encode_entry(&mut text, N2, entry, LEADER));
        text
    }

    fn recover_demo(log: &[u8]) -> Result<(Recovered, Vec<u64>), String> {
        recover(log, Some(encode_vote("demo", N2, 9, None).as_bytes()), "demo", N2)
    }

    #[test]
    fn crc32_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

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
        assert_eq!(text.lines().count(), entries.len() + 2);
        assert!(!text.contains(|c: char| c != '\n' && c.is_control()));
        assert_eq!(scratch.open().1.entries, entries);
    }

    #[test]
    fn recover_torn_at_every_byte() {
        let entries = hostile_entries();
        let log = encode_log(&entries);
        for (kept, line) in log.split_inclusive('\n').skip(2).enumerate() {
            let start = log[..].find(line).expect("a line of the log");
            for torn_at in start + 1..start + line.len() {
                let (recovered, ends) = recover_demo(&log.as_bytes()[..torn_at]).unwrap();
                assert_eq!(recovered.entries, entries[..kept]);
                assert_eq!(*ends.last().unwrap(), start as u64);
                let said = recovered.torn.expect("a torn line is told");
                let expected =
                    format!("RaftLog.txt:{}: entry {} was only partly", kept + 3, kept + 1);
                assert!(said.starts_with(&expected), "{said}");
            }
        }
    }

    #[test]
    fn open_cuts_torn_line_and_goes_on() {
        let scratch = Scratch::new();
        let entries = hostile_entries();
        let whole = encode_log(&entries[..2]);
        let torn = encode_log(&entries[..3]);
        scratch.write(VOTE, &encode_vote("demo", N2, 9, None));
        scratch.write(LOG, torn.trim_end());
        let (mut storage, recovered) = scratch.open();
        assert_eq!(recovered.entries, entries[..2]);
        let place = scratch.0.join(LOG).display().to_string() + ":5: ";
        assert!(recovered.torn.unwrap().starts_with(&place));
        assert_eq!(scratch.read(LOG), whole);
        storage.save_entries(2, &entries[2..], LEADER).unwrap();
        storage.sync().unwrap();
        assert_eq!(scratch.read(LOG), encode_log(&entries));
    }

    #[test]
    fn recover_every_flipped_bit_is_damage() {
        let entries = hostile_entries();
        let mut log = encode_log(&entries).into_bytes();
        let last = log.len() - 1;
        for place in 0..last {
            let line = log[..place].iter().filter(|&&byte| byte == b'\n').count() + 1;
            for bit in 0..8 {
                log[place] ^= 1 << bit;
                let error = recover_demo(&log).expect_err("damage");
                assert!(error.starts_with(&format!("RaftLog.txt:{line}: ")), "{error}");
                log[place] ^= 1 << bit;
            }
        }
        log[last] ^= 1;
        let (recovered, _) = recover_demo(&log).unwrap();
        assert_eq!(recovered.entries, entries[..entries.len() - 1]);
        assert!(recovered.torn.is_some());
    }

    #[test]
    fn recover_vote_every_flipped_bit_is_damage() {
        for voted_for in [None, Some(NodeId(3))] {
            let mut vote = encode_vote("demo", N2, 4, voted_for).into_bytes();
            let log = log_headers("demo", N2);
            for place in 0..vote.len() * 8 {
                vote[place / 8] ^= 1 << (place % 8);
                let error = recover(log.as_bytes(), Some(&vote), "demo", N2).expect_err("damage");
                assert!(error.starts_with("vote.txt:"), "{error}");
                vote[place / 8] ^= 1 << (place % 8);
            }
            let (recovered, _) = recover(log.as_bytes(), Some(&vote), "demo", N2).unwrap();
            assert_eq!((recovered.current_term, recovered.voted_for), (4, voted_for));
        }
    }

    /// Lines whose checksum is right and which still cannot stand where they stand.
    #[test]
    fn recover_wrong_entry_is_damage() {
        let after_2_at_3 = |line: &str| {
            let mut log = encode_log(&[entry(1, 1, "a"), entry(2, 3, "b")]);
            let checksum = checksum(line.as_bytes()).map(char::from);
            log.extend(line.chars().chain(" | ".chars()).chain(checksum).chain(['\n']));
            recover_demo(log.as_bytes()).map(|(recovered, _)| recovered.entries.len())
        };
        assert_eq!(after_2_at_3("2 | 3 | 3 | c | 1"), Ok(3));
        for (line, said) in [
            ("1 | 3 | 3 | c | 1", "the entry belongs to node 1, not 2"),
            ("2 | 4 | 3 | c | 1", "entry 4@3 cannot follow 2@3: indexes go up by one"),
            ("2 | 2 | 3 | c | 1", "entry 2@3 cannot follow 2@3: indexes go up by one"),
            ("2 | 3 | 2 | c | 1", "entry 3@2 cannot follow 2@3: terms never go down"),
            ("2 | 3 | 3 | c | x", "this is not an entry"),
            ("2 | 3 | 3 | 1", "this is not an entry"),
            ("2 | 3 | 3 | \\q | 1", "this is not an entry"),
            ("2 | 3 | 3 | \\u{d800} | 1", "this is not an entry"),
            ("", "this is not an entry"),
        ] {
            assert_eq!(after_2_at_3(line), Err(format!("RaftLog.txt:5: {said}. {FRESH}")));
        }
    }

    #[test]
    fn recover_files_that_do_not_fit_together() {
        let headers = log_headers("demo", N2);
        let log = encode_log(&[entry(1, 5, "a")]);
        let torn = &log[..log.len() - 1];
        let vote = encode_vote("demo", N2, 4, None);
        for (log, vote, said) in [
            (&log[..], Some(vote.as_bytes()), "vote.txt:2: current_term 4 is older than the log's"),
            (&log, None, "vote.txt: the file is gone"),
            (torn, None, "vote.txt: the file is gone"),
            ("", Some(vote.as_bytes()), "RaftLog.txt:1: the log is gone"),
            (
                &headers[..headers.len() - 1],
                Some(vote.as_bytes()),
                "RaftLog.txt:1: the log is gone",
            ),
            (&headers, Some(b""), "vote.txt:1: the first line was damaged"),
            (&headers, Some(title("demo", N2).trim_end().as_bytes()), "vote.txt:1: the first line"),
        ] {
            let error = recover(log.as_bytes(), vote, "demo", N2).expect_err("damage");
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn open_after_crash_while_creating() {
        let headers = log_headers("demo", N2);
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
                assert_eq!((recovered.entries, recovered.torn), (synced.clone(), None));
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
}
