//! What both sides of HTTP/1.1 read alike: lines, header fields, and bodies that end at a given
//! length, in chunks, or with the connection (RFC 9112 §2, §5–7).
//!
//! The readers take any [`BufRead`], so tests feed them plain bytes. On a socket they read through
//! [`Timed`](crate::transport::timed::Timed), which holds one deadline for a whole part of the
//! exchange.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};
use std::iter;

use crate::json::text;

/// The most that a first line and its headers may have, in bytes.
pub const HEAD_BYTES: usize = 16 * 1024;

/// The most that the line before a chunk may have, in bytes: room for the size and some of the
/// extensions that nobody uses.
const CHUNK_LINE_BYTES: usize = 256;

/// The most that a buffer keeps between two messages, in bytes.
const KEPT_BYTES: usize = 4 * 1024;

/// Where the parts of a message are read to. Whoever reads many messages, one after another, has
/// them all read to the same buffers, and nothing need be allocated for their texts.
#[derive(Default)]
pub struct Buffers {
    /// The first line.
    pub line: Vec<u8>,
    /// The header lines.
    pub headers: Lines,
    /// The body.
    pub body: Vec<u8>,
}

/// Header lines, one behind the other.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    /// Where the name of each ends, and where all of it does.
    ends: Vec<(usize, usize)>,
}

impl Buffers {
    /// Makes them empty, and small if they have become large.
    pub fn clear(&mut self) {
        [&mut self.line, &mut self.headers.text, &mut self.body].into_iter().for_each(empty);
    }
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
/// read from `room`. True if all is plain, but perhaps for a CR at the end.
fn read_line(
    reader: &mut impl BufRead,
    room: &mut usize,
    line: &mut Vec<u8>,
) -> Result<bool, Fault> {
    let mut is_plain = true;
    loop {
        if *room == 0 {
            return Err(Fault::Bad(431, "the header lines are too long".to_string()));
        }
        let come = reader.fill_buf()?;
        if come.is_empty() {
            return Err(ended_early());
        }
        let come = &come[..come.len().min(*room)];
        let plain = text::plain(come);
        is_plain &= matches!(come[plain..], [] | [b'\n', ..] | [b'\r', b'\n', ..]);
        let end = come[plain..].iter().position(|&byte| byte == b'\n').map(|more| plain + more);
        line.extend_from_slice(&come[..end.unwrap_or(come.len())]);
        let count = end.map_or(come.len(), |end| end + 1);
        reader.consume(count);
        *room -= count;
        if end.is_some() {
            return Ok(is_plain);
        }
    }
}

fn ended_early() -> Fault {
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
    let is_plain = read_line(reader, room, text)?;
    if text[start..].last() == Some(&b'\r') {
        text.pop();
    }
    if is_plain { Ok(()) } else { clean(text, start) }
}

/// Makes UTF-8 of a line that begins here: other bytes are legal in values that nobody reads.
fn clean(text: &mut Vec<u8>, start: usize) -> Result<(), Fault> {
    let line = &text[start..];
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
        // A space is no part of a name. This refuses the two old traps as well: a space before
        // the colon, and a line that begins with one to continue the last (RFC 9112 §5.1, §5.2).
        let name = text[start..].iter().take_while(|&&byte| TOKEN.has(byte)).count();
        if name == 0 || text.get(start + name) != Some(&b':') {
            return bad("a header line must be `Name: value`");
        }
        ends.push((start + name, text.len()));
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

/// HTTP's white space is the space and the tab; `str::trim` would take Unicode's too, and see
/// `chunked` where others do not.
fn trim(text: &str) -> &str {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let text = &text[text.bytes().take_while(is_white).count()..];
    &text[..text.len() - text.bytes().rev().take_while(is_white).count()]
}

/// The parts between these (ASCII) bytes. Short texts are looked through faster so than by
/// `str::split`, and below than by `str::split_once`.
pub fn split(text: &str, byte: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let (part, others) = match split_once(rest?, byte) {
            Some((part, others)) => (part, Some(others)),
            None => (rest?, None),
        };
        rest = others;
        Some(part)
    })
}

/// What stands before and behind the first of these (ASCII) bytes.
pub fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((&text[..at], &text[at + 1..]))
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
        let (mut values, mut rest) = (self.all(name), None);
        iter::from_fn(move || {
            let text = rest.take().or_else(|| values.next())?;
            let Some((member, others)) = split_once(text, b',') else { return Some(trim(text)) };
            rest = Some(others);
            Some(trim(member))
        })
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
fn parse_size(digits: &str, radix: u32) -> Result<u64, Fault> {
    // The check is not idle: Rust's own parser takes a plus sign.
    if digits.is_empty() || !digits.bytes().all(|digit| char::from(digit).is_digit(radix)) {
        return bad("the length of the body is not a number");
    }
    Ok(u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
}

fn check_size(size: u64, limit: usize) -> Result<(), Fault> {
    if size > limit as u64 {
        return Err(Fault::Bad(413, format!("the body has more than {limit} bytes")));
    }
    Ok(())
}

/// Reads a body of at most `limit` bytes.
pub fn read_body<'a>(
    reader: &mut impl BufRead,
    framing: &Framing,
    limit: usize,
    body: &'a mut Vec<u8>,
) -> Result<&'a [u8], Fault> {
    body.clear();
    match framing {
        Framing::Length(length) => read_part(reader, *length, body)?,
        Framing::Chunked => read_chunks(reader, limit, body)?,
        Framing::UntilClose => {
            reader.take(limit as u64 + 1).read_to_end(body)?;
            check_size(body.len() as u64, limit)?;
        }
    }
    Ok(body)
}

/// Adds exactly so many bytes to `body`, which grows only as they come.
fn read_part(reader: &mut impl BufRead, mut length: u64, body: &mut Vec<u8>) -> Result<(), Fault> {
    while length > 0 {
        let come = reader.fill_buf()?;
        let count = length.min(come.len() as u64) as usize;
        if count == 0 {
            return Err(ended_early());
        }
        body.extend_from_slice(&come[..count]);
        reader.consume(count);
        length -= count as u64;
    }
    Ok(())
}

/// Reads chunks, each after a line with its size, to the one of size 0 and the header lines that
/// may follow it, which mean nothing here (RFC 9112 §7.1).
fn read_chunks(reader: &mut impl BufRead, limit: usize, body: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut line, mut end, mut trailers) = (Vec::new(), Vec::new(), Lines::default());
    loop {
        let mut room = CHUNK_LINE_BYTES;
        line.clear();
        read_line(reader, &mut room, &mut line)?;
        if line.pop() != Some(b'\r') {
            return bad("the line before a chunk must end in CR LF");
        }
        clean(&mut line, 0)?;
        let size = as_text(&line).split(';').next().unwrap_or_default();
        let size = parse_size(trim(size), 16)?;
        if size == 0 {
            room = HEAD_BYTES;
            return read_headers(reader, &mut room, &mut trailers).map(drop);
        }
        check_size(size.saturating_add(body.len() as u64), limit)?;
        read_part(reader, size, body)?;
        end.clear();
        read_part(reader, 2, &mut end)?;
        if end != b"\r\n" {
            return bad("a chunk is longer than its size");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// The body that these header lines and bytes give, or the status that refuses them (0 for a
    /// connection that ends too early).
    fn body(headers: &str, mut rest: &[u8]) -> Result<String, u16> {
        let status = |fault| match fault {
            Fault::Bad(status, _) => status,
            Fault::Io(_) => 0,
        };
        let head = format!("{headers}\r\n\r\n");
        let (mut room, Buffers { mut headers, mut body, .. }) = (HEAD_BYTES, Buffers::default());
        let headers =
            read_headers(&mut head.as_bytes(), &mut room, &mut headers).map_err(status)?;
        let framing = framing(&headers, 10).map_err(status)?.unwrap_or(Framing::UntilClose);
        let body = read_body(&mut rest, &framing, 10, &mut body).map_err(status)?;
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

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

    #[test]
    fn read_body_ends_where_the_headers_say() {
        let chunked = "Transfer-Encoding: Chunked";
        assert_eq!(body("content-length:\t3 ", b"abcd"), Ok("abc".into()));
        assert_eq!(body("Content-Length: 3, 3\r\nContent-Length: 3", b"abcd"), Ok("abc".into()));
        let chunks = b"3\r\nabc\r\n02 ;x=y\r\nde\r\n0\r\nT: t\r\n\r\nf";
        assert_eq!(body(chunked, chunks), Ok("abcde".into()));
        assert_eq!(body("A: b", b"0123456789"), Ok("0123456789".into()));
    }

    #[test]
    fn read_body_refuses_what_can_be_read_in_two_ways() {
        let chunked = "Transfer-Encoding: chunked";
        for (headers, bytes, status) in [
            ("Content-Length: 3\r\nContent-Length: 4", "abcd", 400),
            ("Content-Length: 3, 4", "abcd", 400),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 400),
            ("Content-Length: +3", "abc", 400),
            ("Content-Length: -1", "", 400),
            ("Content-Length: 0x3", "abc", 400),
            ("Content-Length:", "", 400),
            ("Content-Length: 11", "", 413),
            ("Content-Length: 99999999999999999999999", "", 413),
            ("Content-Length: 3", "ab", 0),
            ("A: b", "01234567890", 413),
            ("Transfer-Encoding: gzip, chunked", "", 501),
            ("Transfer-Encoding: \u{a0}chunked", "", 501),
            ("Transfer-Encoding : chunked", "", 400),
            ("A: b\r\n c", "", 400),
            ("A: b\rC: d", "", 400),
            ("A: \0", "", 400),
            ("A", "", 400),
            (chunked, "3\nabc\r\n0\r\n\r\n", 400),
            (chunked, "3\r\nabcde0\r\n\r\n", 400),
            (chunked, "3;\rx\r\nabc\r\n0\r\n\r\n", 400),
            (chunked, "-3\r\nabc\r\n0\r\n\r\n", 400),
            (chunked, "\r\n", 400),
            (chunked, "fffffffffffffffff\r\n", 413),
            (chunked, "6\r\nabcdef\r\n5\r\nabcde", 413),
            (chunked, "3\r\nab", 0),
            (chunked, "0\r\n", 0),
        ] {
            assert_eq!(body(headers, bytes.as_bytes()), Err(status), "{headers:?} {bytes:?}");
        }
        assert_eq!(body(chunked, &[b'0'; CHUNK_LINE_BYTES + 1]), Err(431));
    }
}
