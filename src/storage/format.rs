//! What the bytes of a node's files mean, and which bytes are damage.
//!
//! These functions know no file: they write and judge bytes.

use std::borrow::Cow;
use std::io::BufRead;
use std::iter;
use std::str::{self, Chars};

use super::files::SECTOR;
use crate::json::text::{self, append_number};
use crate::node::message::{Command, Entry, EntryId, NodeId, Term};
use crate::node::snapshot::Snapshot;

/// The name of the log's file.
pub(super) const LOG: &str = "RaftLog.txt";
/// The name of the file with the term and vote.
pub(super) const VOTE: &str = "vote.txt";
/// The name of the next such file, while it is written.
pub(super) const NEW_VOTE: &str = "vote.txt.new";
/// The name of the file with the snapshot.
pub(super) const SNAPSHOT: &str = "snapshot.txt";
/// The names of the next such file and of the log that goes with it, while they are written.
pub(super) const NEW_SNAPSHOT: &str = "snapshot.txt.new";
pub(super) const NEW_LOG: &str = "RaftLog.txt.new";
/// What the columns of the log are.
pub(super) const COLUMNS: &str = "Machine ID | Index | Term | Value | Leader Id | Checksum\n";
const SEPARATOR: &str = " | ";
/// How the second line of a log begins that begins behind a snapshot.
const BEHIND: &str = "# The log begins behind ";
/// How the last line of the other files begins.
const CHECKSUM: &str = "checksum = ";
/// How wide the column of the machine is. A line may begin with almost as many spaces.
const MACHINE_WIDTH: usize = 10;

/// What to do about damage. To forget is safe only if the others remember: hence the second half.
const FRESH: &str = "Start this node with --fresh to forget its data, and the leader will send it \
                     the log again (one node at a time, the others up and a leader there)";

/// What a node finds when it starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The latest term that the server has seen; 0 in a new directory.
    pub current_term: Term,
    /// Who received its vote in that term.
    pub voted_for: Option<NodeId>,
    /// What stands for the entries before the log.
    pub snapshot: Snapshot,
    /// The log: the entries behind the snapshot's last.
    pub entries: Vec<Entry>,
    /// What a crash in mid-write left at the end of the log and is now cut off, told for people.
    pub note: Option<String>,
}

/// The bytes of a node's files; `None` if there is no such file.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub log: &'a [u8],
    pub vote: Option<&'a [u8]>,
    pub snapshot: Option<&'a [u8]>,
}

/// What the file of the log has.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The entry before its first.
    pub base: EntryId,
    /// Where each entry ends, in bytes; place 0 is the end of the headers. A new log may still lack
    /// them, a torn one goes on after the last of these ends.
    pub ends: Vec<u64>,
}

/// Reads and checks the bytes of a node's files.
///
/// The file of the log may begin before the snapshot ends: the power failed after the snapshot was
/// there and before the log was cut. Figure 13 says what to keep of it.
///
/// # Errors
/// The file and line of the first damage, what is wrong and what to do.
pub(super) fn recover(
    bytes: Bytes,
    cluster: &str,
    id: NodeId,
) -> Result<(Recovered, LogFile), String> {
    let Bytes { log, vote, snapshot } = bytes;
    let headers = log_headers(cluster, id, EntryId::default());
    let is_new = log.len() < headers.len() && headers.as_bytes().starts_with(log);
    let log = if is_new { headers.as_bytes() } else { log };
    let (mut recovered, file) = read_log(log, cluster, id)?;
    match vote {
        Some(_) if is_new => {
            return Err(format!("{LOG}:1: the log is gone, though {VOTE} is there. {FRESH}"));
        }
        Some(vote) => (recovered.current_term, recovered.voted_for) = read_vote(vote, cluster, id)?,
        None if log.len() > headers.len() => {
            return Err(format!("{VOTE}: the file is gone, though {LOG} has entries. {FRESH}"));
        }
        None if snapshot.is_some() => {
            return Err(format!("{VOTE}: the file is gone, though {SNAPSHOT} is there. {FRESH}"));
        }
        None => {}
    }
    if let Some(bytes) = snapshot {
        recovered.snapshot = read_snapshot(bytes, cluster, id)?;
    }
    fit_log_to_snapshot(&mut recovered, file.base)?;
    let last = last_id(&recovered.entries, recovered.snapshot.last_included);
    let (term, last_log_term) = (recovered.current_term, last.term);
    if term < last_log_term {
        return Err(format!(
            "{VOTE}:2: current_term {term} is older than the log's last term, {last_log_term}: one \
             of the two files is an old copy. {FRESH}"
        ));
    }
    Ok((recovered, file))
}

/// Figure 13: "If existing log entry has same index and term as snapshot's last included entry,
/// retain log entries following it"; else "discard the entire log".
fn fit_log_to_snapshot(recovered: &mut Recovered, log_base: EntryId) -> Result<(), String> {
    let snapshot = recovered.snapshot.last_included;
    if log_base == snapshot {
        return Ok(());
    }
    if log_base.index >= snapshot.index {
        return Err(format!(
            "{LOG}:2: the log begins behind {log_base}, and {SNAPSHOT} ends at {snapshot}: it is \
             gone, or an old copy. {FRESH}"
        ));
    }
    let entries = &mut recovered.entries;
    match entries.iter().position(|entry| entry.id() == snapshot) {
        Some(last_included) => drop(entries.drain(..=last_included)),
        None => entries.clear(),
    }
    Ok(())
}

fn read_log(log: &[u8], cluster: &str, id: NodeId) -> Result<(Recovered, LogFile), String> {
    check_title(LOG, log, cluster, id)?;
    let base = read_base(log).ok_or(format!("{LOG}:2: the header was damaged. {FRESH}"))?;
    let headers = log_headers(cluster, id, base);
    let Some(lines) = log.strip_prefix(headers.as_bytes()) else {
        return Err(format!("{LOG}:2: the header was damaged. {FRESH}"));
    };
    let mut recovered = Recovered::default();
    let mut ends = vec![headers.len() as u64];
    let first_line = headers.lines().count() + 1;
    let mut rest = without_space(lines);
    for (number, line) in (first_line..).zip(iter::from_fn(|| next_line(&mut rest))) {
        let (previous, start) = (last_id(&recovered.entries, base), ends[ends.len() - 1]);
        let whole_line = line.strip_suffix(b"\n").unwrap_or(line);
        let has_no_end = whole_line.len() == line.len();
        let is_torn = || match has_no_end {
            true => read_entry(&line[..line.len() - 1], id, previous).is_err(),
            false => misses_a_sector(line, start as usize),
        };
        match read_entry(whole_line, id, previous) {
            // Whole, even if its line feed is missing: to remember more than was asked is no harm.
            Ok(entry) => {
                recovered.entries.push(entry);
                ends.push(start + whole_line.len() as u64 + 1);
            }
            Err(_) if is_torn() => {
                let index = previous.index + 1;
                recovered.note = Some(format!(
                    "{LOG}:{number}: entry {index} was only partly written when the node stopped, \
                     and is cut off"
                ));
                break;
            }
            Err(damage) => return Err(format!("{LOG}:{number}: {damage}. {FRESH}")),
        }
    }
    Ok((recovered, LogFile { base, ends }))
}

/// The next line, with its line feed if it has one. `skip_until` looks at many bytes at a time.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *rest;
    let length = rest.skip_until(b'\n').expect("memory can always be read");
    (length > 0).then(|| &all[..length])
}

/// The entry behind which a log begins: the second line says it, if it is not the very first.
fn read_base(log: &[u8]) -> Option<EntryId> {
    let second = log.split(|&byte| byte == b'\n').nth(1)?;
    let Some(text) = second.strip_prefix(BEHIND.as_bytes()) else {
        return Some(EntryId::default());
    };
    without_checksum(second)?;
    let (id, _) = str::from_utf8(text).ok()?.split_once(':')?;
    let (index, term) = id.split_once('@')?;
    Some(EntryId { index: index.parse().ok()?, term: term.parse().ok()? })
}

/// A log without the space that it has ahead.
pub fn without_space(log: &[u8]) -> &[u8] {
    let end = log.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &log[..end]
}

/// Whether a sector of the disk still has the space that was there before this line, which begins
/// at this place of the file, was to be written over it.
fn misses_a_sector(line: &[u8], start: usize) -> bool {
    let (in_first, behind) = line.split_at((SECTOR - start % SECTOR).min(line.len()));
    let is_space = |part: &[u8]| part.iter().all(|&byte| byte == b' ');
    let misses_first = in_first.len() >= MACHINE_WIDTH && is_space(in_first);
    misses_first || behind.chunks_exact(SECTOR).any(is_space)
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
    let (machine, text) = parted(text.split_once('|')?)?;
    let (index, text) = parted(text.split_once('|')?)?;
    let (term, text) = parted(text.split_once('|')?)?;
    let (value, leader) = parted(text.rsplit_once('|')?)?;
    leader.parse::<u64>().ok()?;
    let number = |column: &str| column.trim_start().parse().ok();
    let command = match value.contains('\\') {
        true => Command::new(&unescape(value)?),
        false => Command::new(value),
    };
    Some((NodeId(number(machine)?), Entry { index: number(index)?, term: number(term)?, command }))
}

/// What stands on both sides of a bar, if that is one of a separator. (To search for a single
/// character is several times as quick as for three.)
fn parted<'a>((before, behind): (&'a str, &'a str)) -> Option<(&'a str, &'a str)> {
    Some((before.strip_suffix(' ')?, behind.strip_prefix(' ')?))
}

fn last_id(entries: &[Entry], base: EntryId) -> EntryId {
    entries.last().map_or(base, Entry::id)
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

fn read_snapshot(bytes: &[u8], cluster: &str, id: NodeId) -> Result<Snapshot, String> {
    check_title(SNAPSHOT, bytes, cluster, id)?;
    let parse = || {
        let (text, _) = bytes.split_last_chunk::<{ CHECKSUM.len() + 9 }>()?;
        let text = str::from_utf8(text).ok()?.strip_prefix(&*title(cluster, id))?;
        let (index, text) = text.strip_prefix("last_included_index = ")?.split_once('\n')?;
        let (term, data) = text.strip_prefix("last_included_term = ")?.split_once('\n')?;
        let last_included = EntryId { index: index.parse().ok()?, term: term.parse().ok()? };
        let snapshot = Snapshot { last_included, data: data.strip_suffix('\n')?.into() };
        // Written again, it must come out the same: this checks the checksum and all the rest.
        (encode_snapshot(cluster, id, &snapshot).as_bytes() == bytes).then_some(snapshot)
    };
    parse().ok_or(format!("{SNAPSHOT}: the checksum does not match, the file was damaged. {FRESH}"))
}

/// The whole of a node's `snapshot.txt`. The state stands there as it is, in the midst.
pub(super) fn encode_snapshot(cluster: &str, id: NodeId, snapshot: &Snapshot) -> String {
    let Snapshot { last_included: EntryId { index, term }, data } = snapshot;
    let mut text = title(cluster, id);
    text.reserve(data.len() + 100);
    text += &format!("last_included_index = {index}\nlast_included_term = {term}\n");
    text += data;
    text.push('\n');
    end_with_checksum(text)
}

/// The lines at the top of a node's `RaftLog.txt`: two, or three if it begins behind a snapshot.
pub(super) fn log_headers(cluster: &str, id: NodeId, base: EntryId) -> String {
    let mut headers = title(cluster, id);
    if base.index > 0 {
        let start = headers.len();
        headers += &format!("{BEHIND}{base}: {SNAPSHOT} has all up to there");
        let checksum = checksum(&headers.as_bytes()[start..]);
        headers.push_str(SEPARATOR);
        headers.extend(checksum.map(char::from));
        headers.push('\n');
    }
    headers + COLUMNS
}

/// Appends to `out` the line of one entry that node `id` was sent by `leader_id`.
pub(super) fn encode_entry(out: &mut Vec<u8>, id: NodeId, entry: &Entry, leader_id: NodeId) {
    let start = out.len();
    for (number, width) in [(id.0, MACHINE_WIDTH), (entry.index, 5), (entry.term, 4)] {
        append_column(out, number, width);
        out.extend_from_slice(SEPARATOR.as_bytes());
    }
    out.extend_from_slice(escape(entry.command.as_str()).as_bytes());
    out.extend_from_slice(SEPARATOR.as_bytes());
    append_number(out, leader_id.0);
    let checksum = checksum(&out[start..]);
    out.extend_from_slice(SEPARATOR.as_bytes());
    out.extend_from_slice(&checksum);
    out.push(b'\n');
}

/// Appends a number, with spaces in front if it is narrower than its column.
fn append_column(out: &mut Vec<u8>, number: u64, width: usize) {
    const SPACES: [u8; MACHINE_WIDTH] = [b' '; MACHINE_WIDTH]; // of the widest column
    let digits = number.max(1).ilog10() as usize + 1;
    out.extend_from_slice(&SPACES[..width.saturating_sub(digits)]);
    append_number(out, number);
}

/// The whole of a node's `vote.txt`.
pub(super) fn encode_vote(
    cluster: &str,
    id: NodeId,
    term: Term,
    voted_for: Option<NodeId>,
) -> String {
    let voted_for = voted_for.map_or("nobody".to_string(), |candidate| candidate.0.to_string());
    let mut text = title(cluster, id);
    text += &format!("current_term = {term}\nvoted_for = {voted_for}\n");
    end_with_checksum(text)
}

fn end_with_checksum(mut text: String) -> String {
    let checksum = checksum(text.as_bytes());
    text += CHECKSUM;
    text.extend(checksum.map(char::from));
    text + "\n"
}

/// The first line of every file: whose they are.
fn title(cluster: &str, id: NodeId) -> String {
    format!("# raftlet cluster {} node {}\n", escape(cluster), id.0)
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
fn escape(text: &str) -> Cow<'_, str> {
    // Nearly always nothing is to be done.
    let rest = &text.as_bytes()[text::plain(text.as_bytes())..];
    if rest.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\') {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
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

/// CRC-32 as in Ethernet, zip and PNG (IEEE 802.3; ISO/IEC 13239), by table. With a byte a step,
/// each step must wait for the one before. So eight bytes are taken at a time, and looked up side
/// by side ("slicing by eight", Kounavis and Berry 2005): a node that reads a million entries at
/// its start is ready in 0.6 s instead of 0.74.
fn crc32(bytes: &[u8]) -> u32 {
    let (pieces, rest) = bytes.as_chunks();
    let crc = pieces.iter().fold(!0, |crc: u32, piece: &[u8; 8]| {
        let mixed = (u64::from_le_bytes(*piece) ^ u64::from(crc)).to_le_bytes();
        // Most bytes of the piece follow the first.
        let of = |place: usize| CRC_TABLES[7 - place][usize::from(mixed[place])];
        of(0) ^ of(1) ^ of(2) ^ of(3) ^ of(4) ^ of(5) ^ of(6) ^ of(7)
    });
    !rest.iter().fold(crc, |crc, &byte| CRC_TABLES[0][(crc as u8 ^ byte) as usize] ^ (crc >> 8))
}

static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

/// What each value of a byte does to the checksum, in table n if n more bytes follow. The
/// polynomial is 0x04c11db7, lowest bit first.
const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut step = 0;
        while step < 64 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            step += 1;
            if step % 8 == 0 {
                tables[step / 8 - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::node::message::Index;

    pub const N2: NodeId = NodeId(2);

    pub const LEADER: NodeId = NodeId(1);

    pub fn entry(index: Index, term: Term, text: &str) -> Entry {
        Entry { index, term, command: Command::new(text) }
    }

    pub fn hostile_entries() -> Vec<Entry> {
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

    pub fn encode_log(entries: &[Entry]) -> String {
        encode_log_behind(EntryId::default(), entries)
    }

    fn encode_log_behind(base: EntryId, entries: &[Entry]) -> String {
        let mut log = log_headers("demo", N2, base).into_bytes();
        entries.iter().for_each(|entry| encode_entry(&mut log, N2, entry, LEADER));
        String::from_utf8(log).unwrap()
    }

    fn recover_demo(log: &[u8]) -> Result<(Recovered, Vec<u64>), String> {
        let vote = encode_vote("demo", N2, 9, None);
        let found = recover_files(log, Some(vote.as_bytes()), None);
        found.map(|(recovered, file)| (recovered, file.ends))
    }

    fn recover_files(
        log: &[u8],
        vote: Option<&[u8]>,
        snapshot: Option<&[u8]>,
    ) -> Result<(Recovered, LogFile), String> {
        recover(Bytes { log, vote, snapshot }, "demo", N2)
    }

    #[test]
    fn crc32_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn crc32_is_the_same_by_pieces_as_bit_by_bit() {
        let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
        let bytes: Vec<u8> = (0..100_u8).map(|n| n.wrapping_mul(37)).collect();
        for len in 0..=bytes.len() {
            assert_eq!(crc32(&bytes[..len]), !bytes[..len].iter().fold(!0, byte), "{len} bytes");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_numbers_need() {
        for number in [0, 1, 9, 10, 9_999, 10_000, 99_999, 100_000, u64::MAX] {
            let entry = Entry { index: number, term: number, command: Command::new("a") };
            let mut line = Vec::new();
            encode_entry(&mut line, NodeId(number), &entry, NodeId(number));
            let columns = format!("{number:>10} | {number:>5} | {number:>4} | a | {number} | ");
            assert_eq!(line[..line.len() - 9], *columns.as_bytes());
        }
    }

    #[test]
    fn recover_torn_at_every_byte() {
        let entries = hostile_entries();
        let log = encode_log(&entries);
        for (kept, line) in log.split_inclusive('\n').skip(2).enumerate() {
            let start = log[..].find(line).expect("a line of the log");
            for torn_at in start + 1..start + line.len() - 1 {
                let (recovered, ends) = recover_demo(&log.as_bytes()[..torn_at]).unwrap();
                assert_eq!(recovered.entries, entries[..kept]);
                assert_eq!(*ends.last().unwrap(), start as u64);
                let said = recovered.note.unwrap_or_default();
                let expected = match log.as_bytes()[start..torn_at].trim_ascii() {
                    b"" => String::new(), // it may as well be space
                    _ => format!("RaftLog.txt:{}: entry {} was only partly", kept + 3, kept + 1),
                };
                assert!(said.starts_with(&expected), "{said}");
            }
        }
    }

    /// A disk writes its sectors in any order, and the power fails in the midst of that.
    #[test]
    fn recover_a_batch_of_which_any_sectors_are_missing() {
        let mut seed = 6_u32;
        let mut below = |limit: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % limit
        };
        let mut torn = 0;
        for _ in 0..500 {
            let mut text = || "x".repeat(below(10).pow(3));
            let entries: Vec<Entry> = (1..=30).map(|index| entry(index, 1, &text())).collect();
            let known = below(20);
            let safe = encode_log(&entries[..known]).len();
            let mut log = encode_log(&entries).into_bytes();
            let sectors = safe / SECTOR..log.len().div_ceil(SECTOR);
            log.resize(log.len().next_multiple_of(SECTOR) + SECTOR, b' ');
            for sector in sectors.filter(|_| below(10) == 0) {
                log[safe.max(sector * SECTOR)..(sector + 1) * SECTOR].fill(b' ');
            }
            let (recovered, ends) = recover_demo(&log).unwrap();
            let count = recovered.entries.len();
            assert!(count >= known && entries.starts_with(&recovered.entries), "{count}");
            assert_eq!(*ends.last().unwrap(), encode_log(&entries[..count]).len() as u64);
            torn += u32::from(recovered.note.is_some());
        }
        assert!(torn > 200, "{torn}");
    }

    #[test]
    fn misses_a_sector_sees_only_what_no_line_has() {
        let line = format!("         2 | 1 | 1 | {} | 1 | 00000000\n", "x".repeat(2 * SECTOR));
        let blank = |from: usize, to: usize| {
            let mut line = line.clone().into_bytes();
            line[from..to].fill(b' ');
            line
        };
        assert!(!misses_a_sector(line.as_bytes(), SECTOR - 9), "a line begins with spaces");
        assert!(misses_a_sector(&blank(0, 10), SECTOR - 10));
        assert!(misses_a_sector(&blank(100, 100 + SECTOR), 3 * SECTOR - 100));
        assert!(!misses_a_sector(&blank(100, 100 + SECTOR), 3 * SECTOR - 99));
        assert!(!misses_a_sector(b"", SECTOR));
    }

    #[test]
    fn recover_every_flipped_bit_is_damage_before_space_too() {
        let entries = hostile_entries();
        let mut log = encode_log(&entries).into_bytes();
        let end = log.len();
        log.resize(end + 3 * SECTOR, b' ');
        for place in 0..end - 1 {
            for bit in 0..8 {
                log[place] ^= 1 << bit;
                recover_demo(&log).expect_err("damage");
                log[place] ^= 1 << bit;
            }
        }
        assert_eq!(recover_demo(&log).unwrap().0.note, None);
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
        recover_demo(&log).expect_err("a whole entry, and then not a line feed");
    }

    #[test]
    fn recover_whole_entry_without_its_line_feed() {
        let entries = hostile_entries();
        let log = encode_log(&entries);
        let (recovered, ends) = recover_demo(&log.as_bytes()[..log.len() - 1]).unwrap();
        assert_eq!((recovered.entries, recovered.note), (entries, None));
        assert_eq!(*ends.last().unwrap(), log.len() as u64);
    }

    #[test]
    fn recover_vote_every_flipped_bit_is_damage() {
        for voted_for in [None, Some(NodeId(3))] {
            let mut vote = encode_vote("demo", N2, 4, voted_for).into_bytes();
            let log = log_headers("demo", N2, EntryId::default());
            for place in 0..vote.len() * 8 {
                vote[place / 8] ^= 1 << (place % 8);
                let error = recover_files(log.as_bytes(), Some(&vote), None).expect_err("damage");
                assert!(error.starts_with("vote.txt:"), "{error}");
                vote[place / 8] ^= 1 << (place % 8);
            }
            let (recovered, _) = recover_files(log.as_bytes(), Some(&vote), None).unwrap();
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
            ("2| 3 | 3 | c | 1", "this is not an entry"),
            ("2 | 3 | 3 | c |1", "this is not an entry"),
            ("2 | 3 | 3 | \\q | 1", "this is not an entry"),
            ("2 | 3 | 3 | \\u{d800} | 1", "this is not an entry"),
            ("", "this is not an entry"),
        ] {
            assert_eq!(after_2_at_3(line), Err(format!("RaftLog.txt:5: {said}. {FRESH}")));
        }
    }

    #[test]
    fn recover_files_that_do_not_fit_together() {
        let headers = log_headers("demo", N2, EntryId::default());
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
            let error = recover_files(log.as_bytes(), vote, None).expect_err("damage");
            assert!(error.starts_with(said), "{error}");
        }
    }

    fn snapshot(index: Index, term: Term) -> Snapshot {
        let data = "{\"x\":\"é\",\n\"checksum\":1}".into();
        Snapshot { last_included: EntryId { index, term }, data }
    }

    /// The file of a log that begins behind 7@3.
    fn log_behind(entries: &[Entry]) -> String {
        encode_log_behind(EntryId { index: 7, term: 3 }, entries)
    }

    #[test]
    fn recover_snapshot_and_the_log_behind_it_every_flipped_bit_is_damage() {
        let vote = encode_vote("demo", N2, 9, None);
        let mut file = encode_snapshot("demo", N2, &snapshot(7, 3)).into_bytes();
        let mut log = log_behind(&[entry(8, 3, "a"), entry(9, 4, "b")]).into_bytes();
        let found = |log: &[u8], file: &[u8]| {
            recover_files(log, Some(vote.as_bytes()), Some(file)).map(|(recovered, _)| recovered)
        };
        let recovered = found(&log, &file).unwrap();
        assert_eq!(recovered.snapshot, snapshot(7, 3));
        assert_eq!(recovered.entries, [entry(8, 3, "a"), entry(9, 4, "b")]);
        for place in 0..file.len() * 8 {
            file[place / 8] ^= 1 << (place % 8);
            let error = found(&log, &file).expect_err("damage");
            assert!(error.starts_with("snapshot.txt:"), "{error}");
            file[place / 8] ^= 1 << (place % 8);
        }
        for place in 0..(log.len() - 1) * 8 {
            log[place / 8] ^= 1 << (place % 8);
            let error = found(&log, &file).expect_err("damage");
            assert!(error.starts_with("RaftLog.txt:"), "{error}");
            log[place / 8] ^= 1 << (place % 8);
        }
    }

    /// The power failed when the snapshot was there and the log not yet cut.
    #[test]
    fn recover_keeps_of_an_uncut_log_what_follows_the_snapshot() {
        let vote = encode_vote("demo", N2, 9, None);
        let entries: Vec<Entry> = (1..=4).map(|index| entry(index, 2, "a")).collect();
        let log = encode_log(&entries);
        for (last, kept) in [((2, 2), &entries[2..]), ((4, 2), &[]), ((2, 3), &[]), ((9, 2), &[])] {
            let snapshot = snapshot(last.0, last.1);
            let file = encode_snapshot("demo", N2, &snapshot);
            let vote = Some(vote.as_bytes());
            let found = recover_files(log.as_bytes(), vote, Some(file.as_bytes())).unwrap().0;
            assert_eq!((&found.entries[..], found.snapshot), (kept, snapshot));
        }
    }

    #[test]
    fn recover_snapshot_that_does_not_fit_is_damage() {
        let vote = encode_vote("demo", N2, 9, None);
        let log = log_behind(&[entry(8, 3, "a")]);
        let file = |index, term| encode_snapshot("demo", N2, &snapshot(index, term));
        for (log, vote, file, said) in [
            (&log[..], Some(&vote[..]), None, "RaftLog.txt:2: the log begins behind 7@3"),
            (&log, Some(&vote), Some(file(6, 3)), "RaftLog.txt:2: the log begins behind 7@3"),
            (&log, Some(&vote), Some(file(7, 2)), "RaftLog.txt:2: the log begins behind 7@3"),
            (&encode_log(&[]), None, Some(file(7, 3)), "vote.txt: the file is gone, though snap"),
            (&encode_log(&[]), Some(&vote), Some(file(7, 10)), "vote.txt:2: current_term 9 is"),
            (
                &log.replace("8 |    3", "9 |    3"),
                Some(&vote),
                Some(file(7, 3)),
                "RaftLog.txt:4: ",
            ),
        ] {
            let vote = vote.map(str::as_bytes);
            let file = file.as_deref().map(str::as_bytes);
            let error = recover_files(log.as_bytes(), vote, file).expect_err("damage");
            assert!(error.starts_with(said), "{error}");
        }
    }
}
