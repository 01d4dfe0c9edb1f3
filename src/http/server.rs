//! The server's side of one HTTP connection: read a request (`incoming.rs`), have it answered, and
//! again.
//!
//! The listener is someone else's, since peers use the same address; [`serve`] is handed a
//! connection that has been accepted, and blocks until it ends. Whatever comes in, it answers or
//! closes: it never panics, and no client can hold it longer than [`Deadlines`] allow. While its
//! client is busy, a thread lends its connection to the [`Hall`].

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hall::Hall;
use super::incoming;
use super::pen::{Errand, Exchange, Later, State};
use super::wire::{Buffers, Fault};
use super::{Body, Header, Manner, Request, Response};
use crate::transport::timed::Timed;

/// The most that is read, unused, from a connection that is being closed, in bytes.
const LINGER_BYTES: u64 = 8 * 1024 * 1024;

/// How long a client may take. Each is for the whole part, not for a single read.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// Until the first byte of the next request.
    pub idle: Duration,
    /// From there to the end of its headers.
    pub head: Duration,
    /// From there to the end of its body.
    pub body: Duration,
    /// To take the answer; if that is a stream, each piece of it.
    pub answer: Duration,
    /// To close its side of the connection after the last answer.
    pub linger: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            idle: Duration::from_secs(5),
            head: Duration::from_secs(5),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            linger: Duration::from_secs(1),
        }
    }
}

/// Whoever answers requests.
pub trait Handler: Send {
    /// The answer to this request.
    fn answer(&self, request: &Request) -> Response;

    /// Hands in what was found to be done for an answer that comes later.
    fn hand_in(&self, _: Errand) {}

    /// Where connections are looked after while their clients are busy, if anywhere.
    fn hall(&self) -> Option<Arc<Hall>> {
        None
    }

    /// The same answer, if to find it, or the errand for it, waits for nothing. So much can be done
    /// in the hall.
    fn answer_quickly(&self, _: &Request) -> Option<Response> {
        None
    }
}

impl<F: Fn(&Request) -> Response + Send> Handler for F {
    fn answer(&self, request: &Request) -> Response {
        self(request)
    }
}

/// Serves one connection until it ends: reads a request, has `handler` answer it, writes the answer
/// or lets it be written, and again. A request that cannot be read is answered here, with JSON, and
/// ends the connection.
///
/// # Errors
/// When the connection breaks. A client that closes it, or is idle for too long, is no error.
pub fn serve(stream: TcpStream, deadlines: Deadlines, handler: Box<dyn Handler>) -> io::Result<()> {
    let mut connection = Connection::new(stream, deadlines, handler)?;
    while connection.wait_for_request()? {
        let goes_on = match connection.begin_quickly() {
            Some(errand) => {
                connection.handler.hand_in(errand);
                if let Some(hall) = connection.better_place() {
                    connection = hall.look_after(connection)?;
                }
                true
            }
            None => connection.answer_next()?,
        };
        connection.await_answer()?;
        if !goes_on {
            return connection.close();
        }
    }
    Ok(())
}

/// A connection, whoever serves it just now: its own thread, or who goes round in the hall.
pub struct Connection {
    reader: BufReader<Timed>,
    exchange: Arc<Exchange>,
    buffers: Buffers,
    deadlines: Deadlines,
    handler: Box<dyn Handler>,
    hall: Option<Arc<Hall>>,
    /// The answer that someone else writes, if one is on its way.
    awaited: Option<Awaited>,
    /// When the client was last answered by someone else, until it asks again.
    answered_at: Option<Instant>,
    /// How long after that it asked again.
    pause: Option<Duration>,
}

/// An answer that someone else writes, and what is to be said if nobody does.
struct Awaited {
    since: Instant,
    patience: Duration,
    too_late: fn() -> Response,
    manner: Manner,
    headers: Vec<Header>,
}

impl Connection {
    fn new(
        stream: TcpStream,
        deadlines: Deadlines,
        handler: Box<dyn Handler>,
    ) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(Timed::new(stream));
        reader.get_mut().allow(deadlines.idle);
        let hall = handler.hall();
        let counted = hall.as_ref().map(|hall| hall.awaited()).unwrap_or_default();
        let exchange = Exchange::new(&reader.get_ref().stream, deadlines.answer, counted);
        let buffers = Buffers::default();
        let (awaited, answered_at, pause) = (None, None, None);
        Ok(Connection {
            reader,
            exchange,
            buffers,
            deadlines,
            handler,
            hall,
            awaited,
            answered_at,
            pause,
        })
    }

    /// Waits for the first byte of a request; false if none will come.
    fn wait_for_request(&mut self) -> io::Result<bool> {
        if self.reader.buffer().is_empty() && self.exchange.settle()? {
            self.reader.get_mut().allow(self.deadlines.idle);
        }
        let asks = match self.reader.fill_buf() {
            Ok(bytes) => !bytes.is_empty(),
            Err(error) if error.kind() == ErrorKind::TimedOut => false,
            Err(error) => return Err(error),
        };
        self.pause = self.answered_at.take().map(|time| time.elapsed());
        Ok(asks)
    }

    /// Reads a request and answers it, or has that begun; false if it is the last.
    fn answer_next(&mut self) -> io::Result<bool> {
        self.exchange.settle()?;
        let read = incoming::read(&mut self.reader, &mut self.buffers, &self.deadlines);
        let (response, mut manner) = match read {
            Ok(incoming) => (self.handler.answer(&incoming.request), incoming.manner),
            Err(fault) => (refuse(fault)?, Manner { keep_alive: false, head_only: false }),
        };
        self.buffers.clear();
        manner.keep_alive &= !matches!(response.body, Body::Stream(..));
        match response.body {
            Body::Later(later) => {
                let errand = self.begin(later, manner, response.headers);
                self.handler.hand_in(errand);
            }
            _ => self.write(response, manner)?,
        }
        Ok(manner.keep_alive)
    }

    /// What is to be done for an answer that someone else will write.
    fn begin(&mut self, later: Later, manner: Manner, headers: Vec<Header>) -> Errand {
        let Later { errand, patience, too_late } = later;
        let pen = self.exchange.begin(manner, headers.clone());
        let since = Instant::now();
        self.awaited = Some(Awaited { since, patience, too_late, manner, headers });
        errand(pen)
    }

    /// Waits until someone else has answered, if anyone should.
    fn await_answer(&mut self) -> io::Result<()> {
        let Some(awaited) = self.awaited.take() else { return Ok(()) };
        // Most clients send their next request when they have the answer to this one. So by its
        // first byte this thread is woken once for both.
        if awaited.manner.keep_alive && self.reader.buffer().is_empty() {
            self.exchange.settle()?; // whoever wrote the last answer
            self.reader.get_mut().allow_since(awaited.since, awaited.patience);
            match self.reader.fill_buf() {
                Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
                _ => {}
            }
        }
        if let Some(time) = self.exchange.wait(awaited.since + awaited.patience)? {
            self.answered_at = Some(time);
            self.reader.get_mut().allow_since(time, self.deadlines.idle);
            return Ok(());
        }
        self.exchange.settle()?;
        let mut response = (awaited.too_late)();
        response.headers.extend(awaited.headers);
        self.write(response, awaited.manner)
    }

    fn write(&mut self, response: Response, manner: Manner) -> io::Result<()> {
        let mut pieces = Pieces { to: self.reader.get_mut(), each: self.deadlines.answer };
        let mut bytes = Vec::new();
        response.append_to(&mut bytes, manner);
        pieces.write_all(&bytes)?;
        if let Body::Stream(_, writer) = response.body
            && !manner.head_only
        {
            writer(&mut pieces)?;
        }
        self.reader.get_mut().allow_since(Instant::now(), self.deadlines.idle);
        Ok(())
    }

    /// Ends the connection so that the client can read its last answer. Closing at once, with bytes
    /// of the client still unread, would reset the connection and destroy it (RFC 9112 §9.6).
    fn close(mut self) -> io::Result<()> {
        self.reader.get_ref().stream.shutdown(Shutdown::Write)?;
        self.reader.get_mut().allow(self.deadlines.linger);
        // However this ends, the answer is out.
        let _ = io::copy(&mut self.reader.take(LINGER_BYTES), &mut io::sink());
        Ok(())
    }

    // ---- In the hall ---------------------------------------------------------------------------

    /// The hall, if it is better off there.
    fn better_place(&self) -> Option<Arc<Hall>> {
        let pause = self.pause?;
        self.hall.as_ref().filter(|hall| hall.is_worth_it(pause)).cloned()
    }

    /// See [`Exchange::enter_hall`].
    pub(super) fn enter_hall(&self) -> io::Result<bool> {
        self.exchange.enter_hall()
    }

    /// See [`Exchange::leave_hall`].
    pub(super) fn leave_hall(&self) -> io::Result<()> {
        self.exchange.leave_hall()
    }

    /// How long after the answer before its client asked what it asked last, if that was seen.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// Whether its client awaits an answer.
    pub(super) fn awaits(&self) -> bool {
        matches!(self.exchange.state_in_hall(), Some(State::Awaited))
    }

    /// Reads what has come since the last answer.
    pub(super) fn glance(&mut self) -> Glance {
        let answered_at = match (self.exchange.state_in_hall(), &self.awaited) {
            (Some(State::WrittenAt(time)), _) => time,
            (Some(State::Awaited), Some(awaited)) => return Glance::Awaits(awaited.since),
            _ => return Glance::Leaves, // the client is slow to take the answer
        };
        self.reader.get_mut().allow(self.deadlines.idle);
        match self.reader.fill_buf() {
            Ok(bytes) if !bytes.is_empty() => Glance::Asks(answered_at),
            Err(error) if error.kind() == ErrorKind::TimedOut => Glance::Silent(answered_at),
            _ => Glance::Leaves,
        }
    }

    /// Begins to answer what was asked, if that has come whole and is quick to begin. If not,
    /// nothing has happened, and [`Connection::answer_next`] has all of it before it; so it has if
    /// the request is refused, for to write that may take a while.
    pub(super) fn begin_quickly(&mut self) -> Option<Errand> {
        let bytes = self.reader.buffer();
        let (incoming, length) = incoming::read_at_once(bytes, &mut self.buffers)?;
        let manner = incoming.manner;
        if !manner.keep_alive {
            return None;
        }
        let response = self.handler.answer_quickly(&incoming.request)?;
        let Body::Later(later) = response.body else { return None };
        self.reader.consume(length);
        self.buffers.clear();
        Some(self.begin(later, manner, response.headers))
    }
}

/// What a glance at a connection shows.
#[derive(Clone, Copy)]
pub(super) enum Glance {
    /// The client awaits an answer since then.
    Awaits(Instant),
    /// It has had one, then, and has said nothing since.
    Silent(Instant),
    /// It has had one, then, and says something.
    Asks(Instant),
    /// It takes more than a glance to deal with it.
    Leaves,
}

/// Writes to a client that has so much time for each piece, however many there are.
struct Pieces<'a> {
    to: &'a mut Timed,
    each: Duration,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.allow(self.each);
        self.to.write(bytes)
    }

    /// One piece, though the system may take it in many.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.allow(self.each);
        self.to.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The answer to a request that could not be read; an error if nobody is left to read it.
fn refuse(fault: Fault) -> io::Result<Response> {
    match fault {
        Fault::Bad(status, why) => Ok(Response::error(status, &why)),
        Fault::Io(error) => match error.kind() {
            ErrorKind::TimedOut => Ok(Response::error(408, "the request took too long to arrive")),
            ErrorKind::UnexpectedEof => Ok(Response::error(400, "the request ends too early")),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::super::client;
    use super::super::incoming::BODY_BYTES;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that says what it was asked.
    fn start(deadlines: Deadlines) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let deadlines = deadlines.clone();
                thread::spawn(move || {
                    let handler = |request: &Request| match request.path {
                        "/stream" => Response::stream("text/plain", None, Box::new(endless)),
                        path => {
                            let body = String::from_utf8_lossy(request.body);
                            Response::text(200, format!("{} {path} {body}", request.method))
                        }
                    };
                    let _ = serve(stream.unwrap(), deadlines, Box::new(handler));
                });
            }
        });
        address
    }

    /// Writes three short pieces, then long ones for ever.
    fn endless(to: &mut dyn Write) -> io::Result<()> {
        (0..3).try_for_each(|number| writeln!(to, "{number}"))?;
        let piece = [b'x'; 1 << 16];
        loop {
            to.write_all(&piece)?;
        }
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends these bytes and nothing more, and gives all that comes back until the server closes.
    fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = connect(address);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// An answer as our test server writes it.
    fn answer(connection: &str, length: usize, body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}"
        )
    }

    #[test]
    fn serve_answers_requests_in_a_row() {
        let requests = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n\
             HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n\
             POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi\
             POST /c HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nho\
             POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhu\r\n0\r\n\r\n\
             GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
             GET /never HTTP/1.1\r\nHost: x\r\n\r\n";
        let expected = answer("keep-alive", 7, "GET /a ")
            + &answer("keep-alive", 7, "")
            + &answer("keep-alive", 10, "POST /b hi")
            + &answer("keep-alive", 10, "POST /c ho")
            + &answer("keep-alive", 10, "POST /d hu")
            + &answer("close", 7, "GET /e ");
        assert_eq!(exchange(start(Deadlines::default()), requests.as_bytes()), expected);
    }

    const GET_STREAM: &[u8] = b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
    const STREAM_HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";

    #[test]
    fn serve_streams_what_is_written_as_it_is_written() {
        let mut stream = connect(start(Deadlines::default()));
        stream.write_all(GET_STREAM).unwrap();
        let expected = format!("{STREAM_HEAD}0\n1\n2\nxxx");
        let mut begun = vec![0; expected.len()];
        stream.read_exact(&mut begun).unwrap();
        assert_eq!(String::from_utf8(begun).unwrap(), expected);
    }

    #[test]
    fn serve_ends_a_stream_that_nobody_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = connect(listener.local_addr().unwrap());
        client.write_all(GET_STREAM).unwrap();
        let deadlines = Deadlines { answer: Duration::from_millis(20), ..Deadlines::default() };
        let respond = |_: &Request| Response::stream("text/plain", None, Box::new(endless));
        let ended = serve(listener.accept().unwrap().0, deadlines, Box::new(respond));
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn serve_gives_head_only_the_head_of_a_stream() {
        let request = b"HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(exchange(start(Deadlines::default()), request), STREAM_HEAD);
    }

    #[test]
    fn serve_refuses_with_json_and_closes() {
        let requests = "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let body = r#"{"error":"the header Host is missing"}"#;
        let expected = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(exchange(start(Deadlines::default()), requests.as_bytes()), expected);
    }

    #[test]
    fn serve_invites_a_body_held_back() {
        let mut stream = connect(start(Deadlines::default()));
        let head = "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nConnection: close\r\n";
        write!(stream, "{head}Content-Length: 2\r\n\r\n").unwrap();
        let mut invitation = [0; 25];
        stream.read_exact(&mut invitation).unwrap();
        assert_eq!(&invitation, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"hi").unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, answer("close", 8, "PUT / hi"));

        let mut stream = connect(start(Deadlines::default()));
        write!(stream, "{head}Content-Length: 4194305\r\n\r\n").unwrap();
        let mut refusal = String::new();
        stream.read_to_string(&mut refusal).unwrap();
        assert!(refusal.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{refusal}");
    }

    #[test]
    fn serve_lets_the_client_read_why_its_body_is_refused() {
        let address = start(Deadlines { linger: PATIENCE, ..Deadlines::default() });
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6291456\r\n\r\n";
        let answer = exchange(address, (head.to_string() + &"x".repeat(6_291_456)).as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{answer}");

        let address = address.to_string();
        let body = "x".repeat(BODY_BYTES);
        let reply = client::request("POST", &address, "/", Some(&body), PATIENCE).unwrap();
        assert_eq!((reply.status, reply.body.len()), (200, BODY_BYTES + "POST / ".len()));
    }

    #[test]
    fn serve_does_not_wait_for_ever() {
        let short = Duration::from_millis(20);
        let never = Duration::from_secs(1000);
        let patient =
            Deadlines { idle: never, head: never, body: never, answer: never, linger: never };
        let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab";
        for (deadlines, bytes, expected) in [
            (Deadlines { idle: short, ..patient.clone() }, "", ""),
            (Deadlines { head: short, ..patient.clone() }, "GET", "HTTP/1.1 408 "),
            (Deadlines { body: short, ..patient.clone() }, post, "HTTP/1.1 408 "),
        ] {
            let mut stream = connect(start(deadlines));
            stream.write_all(bytes.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer.is_empty(), expected.is_empty(), "{answer}");
            assert!(answer.starts_with(expected), "{answer}");
        }
    }

    #[test]
    fn serve_gives_a_slow_client_no_more_time_for_each_byte() {
        let (head, linger) = (Duration::from_millis(100), PATIENCE);
        let mut stream = connect(start(Deadlines { head, linger, ..Deadlines::default() }));
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut answer = [0; 13];
        for _ in 0..4000 {
            // Once the server has answered and gone, writing fails and reading does not.
            let _ = stream.write_all(b"x");
            if stream.read_exact(&mut answer).is_ok() {
                assert_eq!(&answer, b"HTTP/1.1 408 ");
                return;
            }
        }
        panic!("the server still waits");
    }

    #[test]
    fn serve_survives_mangled_requests() {
        let address = start(Deadlines::default());
        let good = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi";
        let mut seed: u32 = 2014;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        for _ in 0..300 {
            let mut bytes = good.to_vec();
            for _ in 0..=random(4) {
                let place = random(bytes.len());
                match random(4) {
                    0 => bytes[place] = random(256) as u8,
                    1 => bytes.insert(place, b"\r\n :;%\0,0\xff"[random(10)]),
                    2 => drop(bytes.drain(place..(place + 5).min(bytes.len() - 1))),
                    _ => bytes.truncate(place + 1),
                }
            }
            let answer = exchange(address, &bytes);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{bytes:?}: {answer}");
            let reply = client::request("GET", &address.to_string(), "/", None, PATIENCE).unwrap();
            assert_eq!((reply.status, reply.text()), (200, "GET / ".into()));
        }
    }
}
