//! Answers that any thread may write.
//!
//! A command waits for a majority. If its connection's thread slept until then, it would wake twice
//! a request, to write the answer and to read the next request; and to wake a thread costs more
//! than all else that is done for a small command. So whoever has the answer writes it, with the
//! [`Pen`] for this one request, while the connection's thread waits for the next.
//!
//! Nobody who writes may be held up by a client that does not read. A socket takes a short answer
//! at once, unless the client has left older ones unread. What it does not take at once is written
//! by a thread made for the purpose.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::wire;
use super::{Body, Header, Manner, Response};
use crate::timed::Timed;

/// The longest answer of which as much is written at once as the socket takes: to hand a longer one
/// to the system would hold up the node, too.
const SHORT_BYTES: usize = 256 * 1024;

/// The longest that is kept until the connection's thread frees it.
const KEPT_BYTES: usize = 16 * 1024;

/// An answer that someone will have later.
pub struct Later {
    /// Begins to find the answer; this pen writes it.
    pub begin: Box<dyn FnOnce(Pen)>,
    /// How long the client waits for it.
    pub patience: Duration,
    /// What the client is told then.
    pub too_late: fn() -> Response,
}

/// Writes the answer to one request. It does not keep the connection open: a leader without a
/// majority has pens whose clients have long gone, and the system allows only so many sockets.
pub struct Pen {
    exchange: Weak<Exchange>,
    /// Which request of the connection it is for.
    number: u64,
}

/// What a connection's thread shares with whoever has the pen for its request.
pub struct Exchange {
    stream: Arc<TcpStream>,
    /// How long the client may take to read an answer.
    time_to_read: Duration,
    /// The connection's thread.
    thread: Thread,
    turn: Mutex<Turn>,
}

/// The request that is to be answered now.
struct Turn {
    number: u64,
    state: State,
    manner: Manner,
    /// What the head of the answer has besides its own.
    headers: Vec<Header>,
    /// Where its bytes are put together.
    bytes: Vec<u8>,
    /// What the last answer said, if it was short. The connection's thread, which has begun most
    /// answers, frees it: memory goes back with least effort to the thread that has taken it.
    told: Vec<u8>,
}

enum State {
    Awaited,
    BeingWritten,
    WrittenAt(Instant),
    /// The client could not be told.
    Failed(ErrorKind),
    /// The client has waited for too long, and been told so.
    GivenUp,
}

impl Exchange {
    /// For a connection, whose thread calls it.
    pub fn new(stream: &Arc<TcpStream>, time_to_read: Duration) -> Arc<Exchange> {
        let (stream, thread) = (Arc::clone(stream), thread::current());
        let manner = Manner { keep_alive: false, head_only: false };
        let (headers, bytes, told) = (Vec::new(), Vec::new(), Vec::new());
        let turn = Turn { number: 0, state: State::GivenUp, manner, headers, bytes, told };
        Arc::new(Exchange { stream, time_to_read, thread, turn: Mutex::new(turn) })
    }

    /// The pen for the next request. Those for the ones before write nothing any more.
    pub fn begin(self: &Arc<Exchange>, manner: Manner, headers: Vec<Header>) -> Pen {
        let mut turn = self.turn();
        turn.number += 1;
        (turn.state, turn.manner, turn.headers) = (State::Awaited, manner, headers);
        turn.told = Vec::new();
        Pen { exchange: Arc::downgrade(self), number: turn.number }
    }

    /// Waits for the answer: when it was written, or `None` if it was not begun by this time. Then
    /// the pen will write nothing more.
    ///
    /// # Errors
    /// The client could not be told.
    pub fn wait(&self, until: Instant) -> io::Result<Option<Instant>> {
        loop {
            let mut turn = self.turn();
            match turn.state {
                State::WrittenAt(time) => return Ok(Some(time)),
                State::Failed(kind) => return Err(kind.into()),
                State::GivenUp => return Ok(None),
                State::BeingWritten => {
                    drop(turn);
                    thread::park(); // the client has only so much time to read it
                }
                State::Awaited => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        turn.state = State::GivenUp;
                    }
                    drop(turn);
                    thread::park_timeout(left);
                }
            }
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the client did not take at once.
    fn write_rest(&self, rest: &[u8]) {
        let mut timed = Timed::again(&self.stream);
        timed.allow(self.time_to_read);
        self.turn().state = ended(timed.write_all(rest));
        self.thread.unpark();
    }
}

impl Pen {
    /// Writes the answer, if the client still waits for it; false if it does not.
    pub fn write(self, mut response: Response) -> bool {
        let Some(exchange) = self.exchange.upgrade() else { return false };
        let mut turn = exchange.turn();
        if turn.number != self.number || !matches!(turn.state, State::Awaited) {
            return false;
        }
        let Turn { state, manner, headers, bytes, told, .. } = &mut *turn;
        response.headers.append(headers);
        response.append_to(bytes, *manner);
        let taken = match bytes.len() {
            ..=SHORT_BYTES => write_at_once(&exchange.stream, bytes),
            _ => Ok(0),
        };
        *state = match taken {
            Ok(count) if count < bytes.len() => {
                let mut rest = mem::take(bytes);
                rest.drain(..count);
                let exchange = Arc::clone(&exchange);
                let thread = thread::Builder::new().name("slow client".to_string());
                match thread.spawn(move || exchange.write_rest(&rest)) {
                    Ok(_) => State::BeingWritten,
                    Err(error) => State::Failed(error.kind()),
                }
            }
            taken => ended(taken.map(drop)),
        };
        wire::empty(bytes);
        if let Body::Whole(body) = response.body
            && body.capacity() <= KEPT_BYTES
        {
            *told = body;
        }
        drop(turn);
        exchange.thread.unpark();
        true
    }
}

/// Writes what the socket has room for now. The connection's thread may read meanwhile: it may then
/// be told that there is nothing yet, and waits for this answer instead, which takes the lock that
/// we hold.
fn write_at_once(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    let taken = stream.write(bytes);
    stream.set_nonblocking(false)?;
    match taken {
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {
            Ok(0)
        }
        taken => taken,
    }
}

fn ended(written: io::Result<()>) -> State {
    match written {
        Ok(()) => State::WrittenAt(Instant::now()),
        Err(error) => State::Failed(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Shutdown, TcpListener};
    use std::sync::mpsc::{Receiver, channel};

    use super::super::Request;
    use super::super::server::{Deadlines, serve};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A client of a server that leaves every answer to whoever has the pen, for so long.
    fn client(patience: Duration) -> (TcpStream, Receiver<Pen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (sender, pens) = channel();
        thread::spawn(move || {
            let handler = |_: &Request| {
                let sender = sender.clone();
                let begin = Box::new(move |pen| sender.send(pen).unwrap());
                let too_late = || Response::text(504, "too late");
                Response::later(Later { begin, patience, too_late }).with_header("X", "y")
            };
            serve(listener.accept().unwrap().0, &Deadlines::default(), &handler)
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        (stream, pens)
    }

    fn ask(stream: &mut TcpStream, method: &str) {
        write!(stream, "{method} / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }

    fn answer(status: &str, body: &str) -> String {
        let (length, text) = (body.len(), "Content-Type: text/plain; charset=utf-8");
        format!(
            "HTTP/1.1 {status}\r\n{text}\r\nX: y\r\nContent-Length: {length}\r\n\
             Connection: keep-alive\r\n\r\n{body}"
        )
    }

    /// Reads this and nothing else.
    fn expect(stream: &mut TcpStream, expected: &str) {
        let mut found = vec![0; expected.len()];
        stream.read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    }

    #[test]
    fn write_answers_from_any_thread_and_the_connection_goes_on() {
        let (mut stream, pens) = client(PATIENCE);
        for body in ["one", "two"] {
            ask(&mut stream, "GET");
            pens.recv().unwrap().write(Response::text(200, body));
            expect(&mut stream, &answer("200 OK", body));
        }
        ask(&mut stream, "HEAD");
        pens.recv().unwrap().write(Response::text(200, "six"));
        expect(&mut stream, answer("200 OK", "six").trim_end_matches("six"));
        // A client that says no more still gets its answer.
        ask(&mut stream, "GET");
        stream.shutdown(Shutdown::Write).unwrap();
        pens.recv().unwrap().write(Response::text(200, "end"));
        expect(&mut stream, &answer("200 OK", "end"));
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn requests_in_a_row_are_answered_one_by_one() {
        let (mut stream, pens) = client(PATIENCE);
        for _ in 0..3 {
            ask(&mut stream, "GET");
        }
        for body in ["1", "2", "3"] {
            let pen = pens.recv().unwrap();
            assert!(pens.try_recv().is_err(), "the next is not begun before this one is answered");
            pen.write(Response::text(200, body));
            expect(&mut stream, &answer("200 OK", body));
        }
    }

    #[test]
    fn write_does_not_wait_for_a_client_that_does_not_read() {
        let (mut stream, pens) = client(PATIENCE);
        let long = "x".repeat(16 * 1024 * 1024); // more than any socket takes
        ask(&mut stream, "GET");
        pens.recv().unwrap().write(Response::text(200, long.as_str()));
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("200 OK", &long));
        pens.recv().unwrap().write(Response::text(200, "next"));
        expect(&mut stream, &answer("200 OK", "next"));
    }

    /// A client that asks, and never reads what it is told, fills its socket with short answers.
    #[test]
    fn write_gives_up_a_client_that_never_reads() {
        let (mut stream, pens) = client(PATIENCE);
        let body = "x".repeat(SHORT_BYTES - 1000);
        stream.set_nonblocking(true).unwrap();
        let mut written = 0;
        while written < 16 * 1024 * 1024 {
            ask(&mut stream, "GET");
            match pens.recv_timeout(Duration::from_millis(500)) {
                Ok(pen) => assert!(pen.write(Response::text(200, body.as_str()))),
                Err(_) => return, // the connection's thread waits for the last answer to be read
            }
            written += body.len();
        }
        panic!("a socket that takes everything");
    }

    /// The answer may never come: without a majority there is none.
    #[test]
    fn pen_does_not_keep_the_connection_of_a_client_that_has_gone() {
        let (mut stream, pens) = client(Duration::from_millis(20));
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed on the other side, too");
        assert!(!pens.recv().unwrap().write(Response::text(200, "no")));
    }

    #[test]
    fn answer_that_comes_too_late_is_not_written() {
        let (mut stream, pens) = client(Duration::from_millis(20));
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
        pens.recv().unwrap().write(Response::text(200, "no"));
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
    }

    #[test]
    fn pen_of_an_earlier_request_does_not_answer_the_next() {
        let (mut stream, pens) = client(Duration::from_millis(300));
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
        ask(&mut stream, "GET");
        let (earlier, _next) = (pens.recv().unwrap(), pens.recv().unwrap());
        assert!(!earlier.write(Response::text(200, "no")));
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
    }
}
