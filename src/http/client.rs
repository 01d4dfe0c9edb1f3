//! The client's side of HTTP: connect, ask, read the answer.
//!
//! What matters to a client of a replicated log is not that a request failed but whether it may
//! have taken effect all the same; [`Error`] tells the two apart.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::body;
use super::wire::{self, Buffers, Fault, Framing, HEAD_BYTES, Headers};
use crate::transport::timed::Timed;

/// The most that an answer's body may have, in bytes.
pub const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code, `200` for success.
    pub status: u16,
    /// The header lines in the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of the first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| &*header.1)
    }

    /// The body as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Why there is no answer, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing was sent: the server surely did nothing, and asking again is safe.
    NotSent(String),
    /// The request went out, at least in part: the server may have done what it asks.
    NoAnswer(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::NotSent(why) | Error::NoAnswer(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

/// One exchange: connects to `address` (`host:port`), sends, reads the answer, closes. Redirects
/// are not followed. `timeout` is for all of it.
///
/// # Errors
/// [`Error`] says whether the request may have taken effect.
pub fn request(
    method: &str,
    address: &str,
    path: &str,
    body: Option<&str>,
    timeout: Duration,
) -> Result<Reply, Error> {
    let start = Instant::now();
    let mut connection = Connection::open(address, timeout)?;
    connection.request(method, path, body, timeout.saturating_sub(start.elapsed()))
}

/// A connection for many exchanges, one after another.
pub struct Connection {
    address: String,
    reader: BufReader<Timed>,
    /// False once the server will close the connection, or an exchange on it has failed.
    is_open: bool,
}

impl Connection {
    /// Connects to `address` (`host:port`), trying all that the name stands for.
    ///
    /// # Errors
    /// [`Error::NotSent`] if that fails or takes longer than `timeout`.
    pub fn open(address: &str, timeout: Duration) -> Result<Connection, Error> {
        let start = Instant::now();
        let stream = resolve(address, timeout)
            .and_then(|found| connect(&found, timeout.saturating_sub(start.elapsed())))
            .map(Timed::new)
            .map_err(|error| Error::NotSent(format!("cannot reach {address}: {error}")))?;
        let reader = BufReader::new(stream);
        Ok(Connection { address: address.to_string(), reader, is_open: true })
    }

    /// Sends a request and reads its answer, within `timeout` for both. A body is sent as JSON.
    ///
    /// # Errors
    /// [`Error`] says whether the request may have taken effect. After the server has closed the
    /// connection, or an exchange has failed, it is [`Error::NotSent`]: open another.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        let address = &self.address;
        if !self.is_open {
            return Err(Error::NotSent(format!("the connection to {address} is closed")));
        }
        if !wire::is_token(method) || !path.starts_with('/') || !wire::is_target(path) {
            return Err(Error::NotSent(format!("cannot ask for {method:?} {path:?}")));
        }
        let message = compose(method, address, path, body);
        self.is_open = false;
        self.reader.get_mut().allow(timeout);
        // A server may refuse a body before it has taken all of it. So there may be an answer even
        // where sending fails; if there is none, reading says so.
        let _ = self.reader.get_mut().write_all(message.as_bytes());
        let (reply, keep_alive) = read_reply(&mut self.reader, method == "HEAD")
            .map_err(|fault| Error::NoAnswer(format!("no answer from {address}: {fault}")))?;
        // Bytes that nobody asked for would be taken for the next answer.
        self.is_open = keep_alive && self.reader.buffer().is_empty();
        Ok(reply)
    }
}

/// The bytes of a request, in one piece, so that they leave in one write.
fn compose(method: &str, address: &str, path: &str, body: Option<&str>) -> String {
    let start = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
    match body {
        None => start + "\r\n",
        Some(body) => {
            let length = body.len();
            format!(
                "{start}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        }
    }
}

/// Connects to the first of a name's addresses that takes us: `localhost` may mean 127.0.0.1 and
/// ::1, and the server listen on one of them.
fn connect(addresses: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    let start = Instant::now();
    let mut last_error = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for (tried, socket_address) in addresses.iter().enumerate() {
        // Each gets a fair share of the time left, or a silent first would use up all of it. (The
        // standard library takes no timeout of zero.)
        let left = timeout.saturating_sub(start.elapsed());
        let share = left / (addresses.len() - tried) as u32;
        match TcpStream::connect_timeout(socket_address, share.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// Looks a name up. The system gives this no timeout and may take many seconds, so a thread does
/// it, and is left behind if it takes too long.
fn resolve(address: &str, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let (sender, found) = mpsc::channel();
    let name = address.to_string();
    thread::Builder::new().spawn(move || {
        // Nobody may wait for it any more.
        let _ = sender.send(name.to_socket_addrs().map(Iterator::collect));
    })?;
    found.recv_timeout(timeout).unwrap_or_else(|_| {
        Err(io::Error::new(ErrorKind::TimedOut, "the name could not be looked up in time"))
    })
}

/// Reads an answer, and whether the connection may be used again.
fn read_reply(reader: &mut impl BufRead, head_only: bool) -> Result<(Reply, bool), Fault> {
    let Buffers { mut line, mut headers } = Buffers::default();
    let (mut status, mut at_least_1_1, mut room) = read_status(reader, &mut line)?;
    let mut fields = wire::read_headers(reader, &mut room, &mut headers)?;
    // "100 Continue" and its like only announce the answer.
    while status < 200 {
        (status, at_least_1_1, room) = read_status(reader, &mut line)?;
        fields = wire::read_headers(reader, &mut room, &mut headers)?;
    }
    let framing = if head_only || !wire::may_have_body(status) {
        Framing::Length(0)
    } else {
        wire::framing(&fields, REPLY_BYTES)?.unwrap_or(Framing::UntilClose)
    };
    let keep_alive = framing != Framing::UntilClose && wire::keeps_alive(&fields, at_least_1_1);
    let Headers(fields) = fields;
    let fields = fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into()));
    let headers = fields.collect();
    let body = body::read(reader, &framing, REPLY_BYTES)?;
    Ok((Reply { status, headers, body }, keep_alive))
}

/// Reads the first line of an answer: its status, whether its version is at least 1.1, and how much
/// room it leaves for the rest of the head.
fn read_status(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<(u16, bool, usize), Fault> {
    let mut room = HEAD_BYTES;
    line.clear();
    wire::read_head_line(reader, &mut room, line)?;
    let line = wire::as_text(line);
    let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
    let at_least_1_1 = wire::is_at_least_1_1(version)?;
    // The words after the number are for people, and may be missing.
    let code = rest.split(' ').next().unwrap_or_default();
    match code.parse() {
        Ok(status @ 100..=599) if code.len() == 3 => Ok((status, at_least_1_1, room)),
        _ => wire::bad("the answer has no status"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn reply(bytes: &str, head_only: bool) -> Option<(u16, String, bool)> {
        let (reply, keep_alive) = read_reply(&mut bytes.as_bytes(), head_only).ok()?;
        Some((reply.status, reply.text().into_owned(), keep_alive))
    }

    #[test]
    fn read_reply_reads_every_kind_of_body() {
        for (bytes, status, body, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", true),
            ("HTTP/1.1 404\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 404, "", false),
            ("HTTP/1.1 200\nTransfer-Encoding: chunked\n\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", true),
            ("HTTP/1.1 200 OK\r\n\r\nall of it", 200, "all of it", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ] {
            let expected = (status, body.to_string(), keep_alive);
            assert_eq!(reply(bytes, false), Some(expected), "{bytes}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(reply(head, true), Some((200, String::new(), true)));
    }

    #[test]
    fn read_reply_refuses_what_is_no_answer() {
        for line in "|HTTP/2.0 200|HTTP/1.1 OK|HTTP/1.1 +20|HTTP/1.1 0200|HTTP/1.1 600".split('|') {
            assert_eq!(reply(&format!("{line}\r\n\r\n"), false), None, "{line:?}");
        }
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n",
            "{\"cluster\":\"raftlet\"}\n",
        ] {
            assert_eq!(reply(bytes, false), None, "{bytes:?}");
        }
    }

    #[test]
    fn request_tells_not_sent_from_no_answer() {
        // Nobody can listen on port 0.
        let refused = request("GET", "127.0.0.1:0", "/", None, PATIENCE);
        assert!(matches!(refused, Err(Error::NotSent(_))), "{refused:?}");
        let nameless = request("GET", "no address", "/", None, PATIENCE);
        assert!(matches!(nameless, Err(Error::NotSent(_))), "{nameless:?}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        for path in ["/a b", "/a\r\nX: y", "", "a"] {
            let broken = request("GET", &address, path, None, PATIENCE);
            assert!(matches!(broken, Err(Error::NotSent(_))), "{broken:?}");
        }

        let mut connection = Connection::open(&address, PATIENCE).unwrap();
        let silent = connection.request("GET", "/", None, Duration::from_millis(20));
        let words = format!("no answer from {address}: the time allowed has passed");
        assert_eq!(silent, Err(Error::NoAnswer(words)));
        let closed = connection.request("GET", "/", None, PATIENCE);
        assert!(matches!(closed, Err(Error::NotSent(_))), "{closed:?}");
    }

    /// A server that gives these answers on one connection, each to a request without a body, and
    /// then gives back what it was asked.
    fn start<const N: usize>(answers: [&'static str; N]) -> (u16, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = thread::spawn(move || {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            let mut requests = Vec::new();
            for answer in answers {
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    assert_ne!(reader.read_line(&mut request).unwrap(), 0);
                }
                requests.push(request);
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        (port, served)
    }

    #[test]
    fn request_finds_a_server_by_name() {
        let (port, served) = start(["HTTP/1.1 307 \r\nLocation: http://n2/\r\n\r\n"]);
        let address = format!("localhost:{port}");
        let reply = request("DELETE", &address, "/keys/x?a=b", None, PATIENCE).unwrap();
        assert_eq!((reply.status, reply.header("location")), (307, Some("http://n2/")));
        let expected = format!("DELETE /keys/x?a=b HTTP/1.1\r\nHost: {address}\r\n\r\n");
        assert_eq!(served.join().unwrap(), [expected]);
    }

    #[test]
    fn connect_tries_every_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        assert!(connect(&[nobody, listener.local_addr().unwrap()], PATIENCE).is_ok());
        assert!(connect(&[nobody, nobody], PATIENCE).is_err());
        assert!(connect(&[], PATIENCE).is_err());
    }

    #[test]
    fn connection_serves_until_the_server_closes() {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
        let two = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\ntwo";
        let two_and_more = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo and more";
        for answers in [[one, two], [one, two_and_more]] {
            let (port, served) = start(answers);
            let mut connection = Connection::open(&format!("127.0.0.1:{port}"), PATIENCE).unwrap();
            assert_eq!(connection.request("GET", "/1", None, PATIENCE).unwrap().text(), "one");
            assert_eq!(connection.request("GET", "/2", None, PATIENCE).unwrap().text(), "two");
            let closed = connection.request("GET", "/3", None, PATIENCE);
            assert!(matches!(closed, Err(Error::NotSent(_))), "{closed:?}");
            assert_eq!(served.join().unwrap().len(), 2);
        }
    }
}
