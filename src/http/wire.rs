//! What both sides of HTTP/1.1 read alike: lines, header fields, and where a body ends (RFC 9112
//! §2, §5, §6).
//!
//! The readers take any [`BufRead`]. The HTTP thread feeds them the bytes that have come; the
//! client reads from a socket with a time for the whole.

use std::fmt;
use std::io::{self, BufRead, ErrorKind};

/// The most that a first line and its headers may have, in bytes.
pub const HEAD_BYTES: usize = 16 * 1024;

/// The most that a buffer keeps between two messages, in bytes.
pub const KEPT_BYTES: usize = 4 * 1024;

/// Where the head of a message is read to. A thread that reads many messages reads all of them to
/// the same buffers, and allocates nothing for their texts.
#[derive(Default)]
pub struct Buffers {
    /// The first line.
    pub line: Vec<u8>,
    /// The header lines.
    pub headers: Lines,
}

/// Header lines, one behind the other.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    /// Where the name of each ends, and where all of it does.
    ends: Vec<(usize, usize)>,
}

/// Makes a buffer empty, and small if it has become large.
pub fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_BYTES);
}

/// Why a message could not be read.
#[derive(Debug)]
pub enum Fault {
    /// It breaks a rule: the status with which a server refuses it, and what is wrong.
    Bad(u16, String),
    /// The connection failed, ended too early, or was too slow (`ErrorKind::TimedOut`).
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fault::Bad(_, why) => f.write_str(why),
            Fault::Io(error) => write!(f, "{error}"),
        }
    }
}

/// Refuses a malformed message.
pub fn bad<T>(why: &str) -> Result<T, Fault> {
    Err(Fault::Bad(400, why.to_string()))
}

/// Appends what comes up to the next line feed, which is left out, to `line`, and takes the bytes
/// read from `room`.
fn read_line(reader: &mut impl BufRead, room: &mut usize, line: &mut Vec<u8>) -> Result<(), Fault> {
    loop {
        let mut come = reader.fill_buf()?;
        let count = come.len();
        if count == 0 {
            return Err(ended_early());
        }
        let is_whole = take_line(&mut come, room, line)?;
        let count = count - come.len();
        reader.consume(count);
        if is_whole {
            return Ok(());
        }
    }
}

/// Takes the bytes of a line from the beginning of `rest`, and as many from `room`; true if the
/// line is whole now. The line feed is left out of `line`.
pub fn take_line(rest: &mut &[u8], room: &mut usize, line: &mut Vec<u8>) -> Result<bool, Fault> {
    let come = &rest[..rest.len().min(*room)];
    let end = come.iter().position(|&byte| byte == b'\n');
    line.extend_from_slice(&come[..end.unwrap_or(come.len())]);
    let count = end.map_or(come.len(), |end| end + 1);
    *rest = &rest[count..];
    *room -= count;
    match end {
        None if *room == 0 => Err(Fault::Bad(431, "the header lines are too long".to_string())),
        end => Ok(end.is_some()),
    }
}

/// The connection ended before the message did; or what has come of it does.
pub fn ended_early() -> Fault {
    Fault::Io(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended in mid-message"))
}

/// Appends a line of a head, without its end. A lone line feed ends a line too (RFC 9112 §2.2), so
/// that people can type a request into `nc`.
pub fn read_head_line(
    reader: &mut impl BufRead,
    room: &mut usize,
    text: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = text.len();
    read_line(reader, room, text)?;
    if text[start..].last() == Some(&b'\r') {
        text.pop();
    }
    clean(text, start)
}

/// Makes UTF-8 of a line that begins here: other bytes are legal in values that nobody reads.
pub fn clean(text: &mut Vec<u8>, start: usize) -> Result<(), Fault> {
    let line = &text[start..];
    if line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return bad("a header line has a control character");
    }
    let line = String::from_utf8_lossy(line).into_owned();
    text.truncate(start);
    text.extend_from_slice(line.as_bytes());
    Ok(())
}

/// Lines that have been read, as text.
pub fn as_text(lines: &[u8]) -> &str {
    str::from_utf8(lines).expect("no line is added that is not UTF-8")
}

/// Reads header lines up to the empty one that ends them.
pub fn read_headers<'a>(
    reader: &mut impl BufRead,
    room: &mut usize,
    Lines { text, ends }: &'a mut Lines,
) -> Result<Headers<'a>, Fault> {
    text.clear();
    ends.clear();
    let mut start = 0;
    loop {
        read_head_line(reader, room, text)?;
        if text.len() == start {
            break;
        }
        ends.push((start + name_length(&text[start..])?, text.len()));
        start = text.len();
    }
    let (text, mut start) = (as_text(text), 0);
    let mut header = |&(colon, end): &(usize, usize)| {
        let name = &text[start..colon];
        start = end;
        (name, trim(&text[colon + 1..end]))
    };
    Ok(Headers(ends.iter().map(&mut header).collect()))
}

/// How long the name in a header line is. A space is no part of a name. This refuses the two old
/// traps as well: a space before the colon, and a line that begins with one to continue the last
/// (RFC 9112 §5.1, §5.2).
pub fn name_length(line: &[u8]) -> Result<usize, Fault> {
    let name = line.iter().take_while(|&&byte| TOKEN.has(byte)).count();
    match line.get(name) {
        Some(b':') if name > 0 => Ok(name),
        _ => bad("a header line must be `Name: value`"),
    }
}

/// HTTP's white space is the space and the tab; `str::trim` would take Unicode's too, and see
/// `chunked` where others do not.
pub fn trim(text: &str) -> &str {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let text = &text[text.bytes().take_while(is_white).count()..];
    &text[..text.len() - text.bytes().rev().take_while(is_white).count()]
}

/// A kind of bytes, when a text may have no others.
pub struct Only([bool; 256]);

impl Only {
    /// Letters, digits and these.
    pub const fn alphanumeric_and(others: &[u8]) -> Only {
        let mut fit = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            fit[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            fit[others[at] as usize] = true;
            at += 1;
        }
        Only(fit)
    }

    /// Whether this is one of them.
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// Whether a text has none but these.
    pub fn fits(&self, text: &str) -> bool {
        text.bytes().all(|byte| self.has(byte))
    }
}

/// What a method or a header's name is made of (RFC 9110 §5.6.2).
static TOKEN: Only = Only::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Whether this may be a method or a header's name.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && TOKEN.fits(text)
}

/// Whether this may stand in a request line as what is asked for.
pub fn is_target(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Header lines in the order in which they came. In their names, large letters are small ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(pub Vec<(&'a str, &'a str)>);

impl<'a> Headers<'a> {
    /// All values of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        // Most clients write a name as we do.
        let is_it = move |found: &str| found == name || found.eq_ignore_ascii_case(name);
        self.0.iter().filter(move |line| is_it(line.0)).map(|line| line.1)
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The members of a header that is a list, separated by commas or given in several lines.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(trim)
    }
}

/// Whether the version that a first line names is at least 1.1; false for 1.0.
pub fn is_at_least_1_1(version: &str) -> Result<bool, Fault> {
    match version.strip_prefix("HTTP/").map(str::as_bytes) {
        Some(b"1.0") => Ok(false),
        Some([b'1', b'.', b'1'..=b'9']) => Ok(true),
        Some([b'0'..=b'9', b'.', b'0'..=b'9']) => {
            Err(Fault::Bad(505, format!("{version} is not spoken here; use HTTP/1.1")))
        }
        _ => bad("the version must be HTTP/1.1 or HTTP/1.0"),
    }
}

/// Whether another message may follow on the same connection (RFC 9112 §9.3).
pub fn keeps_alive(headers: &Headers, at_least_1_1: bool) -> bool {
    let has = |name: &str| {
        let mut options = headers.list("Connection");
        options.any(|option| option.eq_ignore_ascii_case(name))
    };
    !has("close") && (at_least_1_1 || has("keep-alive"))
}

/// Whether a final answer (200 and above) of this status may have a body at all (RFC 9112 §6.3).
pub fn may_have_body(status: u16) -> bool {
    status != 204 && status != 304
}

/// Where a body ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After a chunk of size 0.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What the headers say of where the body ends, if anything (RFC 9112 §6). A body that is known
/// to exceed `limit` bytes is refused here, before any of it is read.
pub fn framing(headers: &Headers, limit: usize) -> Result<Option<Framing>, Fault> {
    let mut lengths = headers.list("Content-Length");
    let mut codings = headers.list("Transfer-Encoding");
    match (lengths.next(), codings.next(), codings.next()) {
        (None, None, _) => Ok(None),
        (None, Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => {
            Ok(Some(Framing::Chunked))
        }
        (None, Some(_), _) => {
            Err(Fault::Bad(501, "the only transfer coding known is chunked".to_string()))
        }
        (Some(length), None, _) if lengths.all(|other| other == length) => {
            let length = parse_size(length, 10)?;
            check_size(length, limit)?;
            Ok(Some(Framing::Length(length)))
        }
        (Some(_), None, _) => bad("there are several Content-Lengths"),
        _ => bad("Content-Length and Transfer-Encoding exclude each other"),
    }
}

/// The number that these digits write. One too large for its type is too large for any limit.
pub fn parse_size(digits: &str, radix: u32) -> Result<u64, Fault> {
    // The check is not idle: Rust's own parser takes a plus sign.
    if digits.is_empty() || !digits.bytes().all(|digit| char::from(digit).is_digit(radix)) {
        return bad("the length of the body is not a number");
    }
    Ok(u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
}

pub fn check_size(size: u64, limit: usize) -> Result<(), Fault> {
    if size > limit as u64 {
        return Err(Fault::Bad(413, format!("the body has more than {limit} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn read_headers_reads_the_same_in_pieces_of_any_size() {
        let head = "A: a value longer than sixteen bytes\r\nB-c:\td\u{e9}\nE:\r\n\r\n";
        for size in 1..head.len() {
            let read = |head: &str| {
                let (mut room, mut lines) = (HEAD_BYTES, Lines::default());
                let mut pieces = BufReader::with_capacity(size, head.as_bytes());
                read_headers(&mut pieces, &mut room, &mut lines).map(|Headers(all)| {
                    all.iter().map(|line| format!("{}|{}", line.0, line.1)).collect::<Vec<_>>()
                })
            };
            let expected = ["A|a value longer than sixteen bytes", "B-c|d\u{e9}", "E|"];
            assert_eq!(read(head).unwrap(), expected, "{size}");
            for control in ["value\r", "value\u{7f}", "\0value"] {
                assert!(read(&head.replace("value", control)).is_err(), "{size} {control:?}");
            }
        }
    }
}
