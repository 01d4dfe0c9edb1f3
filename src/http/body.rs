//! The body of a message, as its bytes come: to a given length, in chunks, or to the end of the
//! connection (RFC 9112 §6, §7).

use std::io::BufRead;

use super::wire::{self, Fault, Framing, HEAD_BYTES};

/// The most that the line before a chunk may have, in bytes: room for the size and some of the
/// extensions that nobody uses.
pub const CHUNK_LINE_BYTES: usize = 256;

/// A body that is read bit by bit.
#[derive(Debug)]
pub struct BodyReader {
    /// What has come of it.
    pub bytes: Vec<u8>,
    part: Part,
    limit: usize,
    /// The line that is being read, and how many bytes it and the lines after it may still have.
    line: Vec<u8>,
    room: usize,
}

/// The part that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The body itself: so many bytes are left.
    Length(u64),
    /// The body itself, up to the end of the connection.
    UntilClose,
    /// The line with the size of a chunk.
    ChunkSize,
    /// A chunk: so many bytes are left.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// The header lines behind the last chunk, which mean nothing here (RFC 9112 §7.1).
    Trailers,
    /// The next message.
    None,
}

impl BodyReader {
    /// A body of at most `limit` bytes, of which nothing has come.
    pub fn new(framing: &Framing, limit: usize) -> BodyReader {
        let part = match *framing {
            Framing::Length(0) => Part::None,
            Framing::Length(length) => Part::Length(length),
            Framing::Chunked => Part::ChunkSize,
            Framing::UntilClose => Part::UntilClose,
        };
        BodyReader { bytes: Vec::new(), part, limit, line: Vec::new(), room: CHUNK_LINE_BYTES }
    }

    /// Whether all of it has come.
    pub fn is_whole(&self) -> bool {
        self.part == Part::None
    }

    /// Takes what belongs to the body from the beginning of these bytes; says how many they were.
    ///
    /// # Errors
    /// The body breaks a rule, or is longer than it may be.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_whole() {
            match self.part {
                Part::Length(left) => match self.take_bytes(left, &mut rest) {
                    0 => self.part = Part::None,
                    left => self.part = Part::Length(left),
                },
                Part::Chunk(left) => match self.take_bytes(left, &mut rest) {
                    0 => self.begin_line(Part::ChunkEnd, 2),
                    left => self.part = Part::Chunk(left),
                },
                Part::UntilClose => {
                    self.take_bytes(u64::MAX, &mut rest);
                    wire::check_size(self.bytes.len() as u64, self.limit)?;
                }
                _ => self.take_line(&mut rest)?,
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes up to `left` bytes of the body; returns how many are left then.
    fn take_bytes(&mut self, left: u64, rest: &mut &[u8]) -> u64 {
        let count = left.min(rest.len() as u64) as usize;
        self.bytes.extend_from_slice(&rest[..count]);
        *rest = &rest[count..];
        left - count as u64
    }

    fn begin_line(&mut self, part: Part, room: usize) {
        self.line.clear();
        (self.part, self.room) = (part, room);
    }

    /// Takes bytes of a line, and looks at the line if it has come whole.
    fn take_line(&mut self, rest: &mut &[u8]) -> Result<(), Fault> {
        let is_whole = wire::take_line(rest, &mut self.room, &mut self.line);
        if self.part == Part::ChunkEnd && is_whole.is_err() {
            return wire::bad("a chunk is longer than its size");
        }
        if !is_whole? {
            return Ok(());
        }
        match self.part {
            Part::ChunkSize => self.read_size(),
            Part::ChunkEnd if self.line == b"\r" => {
                self.begin_line(Part::ChunkSize, CHUNK_LINE_BYTES);
                Ok(())
            }
            Part::ChunkEnd => wire::bad("a chunk is longer than its size"),
            _ => self.read_trailer(),
        }
    }

    fn read_size(&mut self) -> Result<(), Fault> {
        if self.line.pop() != Some(b'\r') {
            return wire::bad("the line before a chunk must end in CR LF");
        }
        wire::clean(&mut self.line, 0)?;
        let size = wire::as_text(&self.line).split(';').next().unwrap_or_default();
        match wire::parse_size(wire::trim(size), 16)? {
            0 => self.begin_line(Part::Trailers, HEAD_BYTES),
            size => {
                wire::check_size(size.saturating_add(self.bytes.len() as u64), self.limit)?;
                self.part = Part::Chunk(size);
            }
        }
        Ok(())
    }

    fn read_trailer(&mut self) -> Result<(), Fault> {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        wire::clean(&mut self.line, 0)?;
        match self.line.is_empty() {
            true => self.part = Part::None,
            false => {
                wire::name_length(&self.line)?;
                self.line.clear();
            }
        }
        Ok(())
    }
}

/// Reads a whole body, waiting for its bytes.
///
/// # Errors
/// As [`BodyReader::take`]; or the connection fails, or ends before the body does.
pub fn read(reader: &mut impl BufRead, framing: &Framing, limit: usize) -> Result<Vec<u8>, Fault> {
    let mut body = BodyReader::new(framing, limit);
    while !body.is_whole() {
        let come = reader.fill_buf()?;
        if come.is_empty() {
            return if body.part == Part::UntilClose {
                Ok(body.bytes)
            } else {
                Err(wire::ended_early())
            };
        }
        let count = body.take(come)?;
        reader.consume(count);
    }
    Ok(body.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::super::wire::Lines;
    use super::*;

    /// The body that these header lines and bytes give, or the status that refuses them (0 for a
    /// connection that ends too early).
    fn body(headers: &str, mut rest: &[u8]) -> Result<String, u16> {
        let status = |fault| match fault {
            Fault::Bad(status, _) => status,
            Fault::Io(_) => 0,
        };
        let all = rest;
        let head = format!("{headers}\r\n\r\n");
        let (mut room, mut headers) = (HEAD_BYTES, Lines::default());
        let headers =
            wire::read_headers(&mut head.as_bytes(), &mut room, &mut headers).map_err(status)?;
        let framing = wire::framing(&headers, 10).map_err(status)?.unwrap_or(Framing::UntilClose);
        let whole = read(&mut rest, &framing, 10).map_err(status)?;
        let mut pieces = BufReader::with_capacity(1, all);
        assert_eq!(read(&mut pieces, &framing, 10).map_err(status)?, whole, "byte by byte");
        Ok(String::from_utf8(whole).unwrap())
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
