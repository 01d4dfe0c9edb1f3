//! One client's connection, as lean as it can be: the generator shares the machine with what it
//! measures.
//!
//! One request is under way at a time. Of the answer it reads the status, the length, and if
//! another node leads now, which. The buffer is used again and again, and the timeout of a read is
//! set once. [`http::client`](raftlet::http::client), which does all that a client should, would be
//! several times as dear.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::thread;
use std::time::Duration;

/// How long an answer may take; a node gives up a little sooner.
const PATIENCE: Duration = Duration::from_secs(6);

/// How long a client waits before it asks the next node: there may be no leader for a while.
const PAUSE: Duration = Duration::from_millis(2);

/// Room for most answers at once.
const BUFFER_BYTES: usize = 4096;

/// A client.
pub struct Caller<'a> {
    addresses: &'a [String],
    /// Which of them is next.
    next: usize,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What came back.
struct Answer {
    status: u16,
    /// Where it lies in the buffer.
    body: Range<usize>,
    /// The leader, if it is another node, as `host:port`.
    location: Option<String>,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head<'a> {
    status: u16,
    /// How many bytes the head has.
    bytes: usize,
    /// How many the body has; `None` if it comes in chunks.
    length: Option<usize>,
    location: Option<&'a str>,
}

impl<'a> Caller<'a> {
    /// A client that begins with the first of these addresses, and goes on with the others when it
    /// must.
    pub fn new(addresses: &'a [String]) -> Caller<'a> {
        let mut caller = Caller { addresses, next: 0, stream: None, buffer: vec![0; BUFFER_BYTES] };
        // If it fails the first request tells.
        let _ = caller.connect_to_next();
        caller
    }

    /// Sends a request and waits for its answer: the body, if it was done. If not, the client has
    /// gone where the answer sends it, or will go to the next node.
    pub fn ask(&mut self, request: &[u8]) -> Option<&[u8]> {
        let answer = self.exchange(request).ok();
        if let Some(Answer { status: 200, body, .. }) = answer {
            return Some(&self.buffer[body]);
        }
        let leader = answer.and_then(|answer| answer.location);
        self.stream = leader.and_then(|address| open(&address).ok());
        if self.stream.is_none() {
            // There may be no leader for a while, and the nodes that elect one need the processor.
            thread::sleep(PAUSE);
        }
        None
    }

    fn connect_to_next(&mut self) -> io::Result<()> {
        let address = &self.addresses[self.next % self.addresses.len()];
        self.next += 1;
        self.stream = Some(open(address)?);
        Ok(())
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        if self.stream.is_none() {
            self.connect_to_next()?;
        }
        let stream = self.stream.as_mut().expect("it is connected");
        stream.write_all(request)?;
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            match stream.read(&mut self.buffer[filled..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => filled += more,
            }
            let Some(head) = read_head(&self.buffer[..filled])? else { continue };
            let is_whole = match head.length {
                Some(length) => filled - head.bytes >= length,
                None => self.buffer[..filled].ends_with(b"\r\n0\r\n\r\n"),
            };
            if is_whole {
                let (body, location) = (head.bytes..filled, head.location.map(str::to_string));
                return Ok(Answer { status: head.status, body, location });
            }
        }
    }
}

fn open(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The head of an answer, once all of it is there.
fn read_head(bytes: &[u8]) -> io::Result<Option<Head<'_>>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let bad = || io::Error::new(ErrorKind::InvalidData, "no answer of HTTP");
    let text = str::from_utf8(&bytes[..end]).map_err(|_| bad())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut head =
        Head { status: status.ok_or_else(bad)?, bytes: end + 4, length: Some(0), location: None };
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.parse().map_err(|_| bad())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.length = None;
        } else if name.eq_ignore_ascii_case("location") {
            head.location = value.split('/').nth(2);
        }
    }
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn read_head_finds_status_length_and_location() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX: y\r\n\r\n{}";
        let head = Head { status: 200, bytes: 44, length: Some(2), location: None };
        assert_eq!(read_head(whole).unwrap(), Some(head));
        assert_eq!(read_head(&whole[..43]).unwrap(), None);
        let away = b"HTTP/1.1 307 \r\nLocation: http://n2:1/api/set\r\n\r\n";
        let head = read_head(away).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.location), (307, Some(0), Some("n2:1")));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read_head(chunked).unwrap().unwrap().length, None);
        for wrong in ["SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "H 1\r\nContent-Length: x\r\n\r\n"] {
            assert!(read_head(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    /// A server that gives these answers, each in the pieces that stand between the bars.
    fn start(answers: &[&str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers: Vec<String> = answers.iter().map(|answer| answer.to_string()).collect();
        thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.set_nodelay(true).unwrap();
            for answer in answers {
                assert_ne!(stream.read(&mut [0; 100]).unwrap(), 0);
                for piece in answer.split('|') {
                    stream.write_all(piece.as_bytes()).unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn ask_reads_answers_whole_and_goes_where_it_is_sent() {
        let leader = start(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc|de",
            "HTTP/1.1 200 OK\r\nTransfer-|Encoding: chunked\r\n\r\n2\r\nhi|\r\n0\r\n\r\n",
        ]);
        let away = format!("HTTP/1.1 307 \r\nLocation: http://{leader}/api/set\r\n\r\n");
        let addresses = [start(&[&away])];
        let mut caller = Caller::new(&addresses);
        assert_eq!(caller.ask(b"1"), None, "another node leads");
        assert_eq!(caller.ask(b"1"), Some(b"abcde".as_slice()));
        assert_eq!(caller.ask(b"2"), Some(b"2\r\nhi\r\n0\r\n\r\n".as_slice()));
        assert_eq!(caller.ask(b"3"), None, "the server has gone");
    }

    #[test]
    fn ask_turns_to_the_next_node_when_one_has_gone() {
        let done = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        let addresses = [start(&["HTTP/1.1 503 \r\n\r\n"]), start(&[done])];
        let mut caller = Caller::new(&addresses);
        assert_eq!(caller.ask(b"1"), None);
        assert_eq!(caller.ask(b"1"), Some(b"x".as_slice()));
    }
}
