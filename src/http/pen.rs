//! Answers that any thread may write.
//!
//! A command waits for a majority. If its connection's thread slept until then, it would wake twice
//! a request, to write the answer and to read the next request; and to wake a thread costs more
//! than all else that is done for a small command. So whoever has the answer writes it, with the
//! [`Pen`] for this one request, while the connection's thread waits for the next, or sleeps.
//!
//! Nobody who writes may be held up by a client that does not read. A socket takes a short answer
//! at once, unless the client has left older ones unread. What it does not take at once is written
//! by a thread made for the purpose.
//!
//! Nor should the client's next request be held up by whoever writes. Some clients have the answer,
//! and have asked again, before the system returns to the thread that wrote it. So there are two
//! locks: one for the paper, which is held while an answer is written, and one for the turn, which
//! is held for moments.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::wire;
use super::{Body, Header, Manner, Response};
use crate::server::inbox::Incoming;
use crate::transport::timed::Timed;

/// The longest answer of which as much is written at once as the socket takes: to hand a longer one
/// to the system would hold up the node, too.
const SHORT_BYTES: usize = 256 * 1024;

/// The longest that is kept until whoever begins the next frees it.
const KEPT_BYTES: usize = 16 * 1024;

/// What a node is to do to find an answer. HTTP hands it on and does not look at it.
pub type Errand = Incoming;

/// An answer that someone will have later.
pub struct Later {
    /// What is to be done to find the answer; this pen writes it.
    pub errand: Box<dyn FnOnce(Pen) -> Errand>,
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
    /// Counts it among those that are waited for.
    awaited: Option<Arc<()>>,
}

/// What a connection shares with whoever has the pen for its request.
pub struct Exchange {
    stream: Arc<TcpStream>,
    /// How long the client may take to read an answer.
    time_to_read: Duration,
    /// Strong once for each pen.
    awaited: Weak<()>,
    /// Locked by whoever writes. Who needs the turn as well locks that later.
    paper: Mutex<Paper>,
    turn: Mutex<Turn>,
}

/// What is to be written.
#[derive(Default)]
struct Paper {
    bytes: Vec<u8>,
    /// The client is slow to take what was written before: the thread that waits for it will write
    /// this, too.
    is_slow: bool,
}

/// The request that is to be answered now.
struct Turn {
    number: u64,
    state: State,
    /// The thread that sleeps until it is answered, if one does.
    sleeper: Option<Thread>,
    /// The connection is in the hall: whoever reads from it or writes to it never waits. A client
    /// that is slow to take an answer ends that.
    is_in_hall: bool,
    manner: Manner,
    /// What the head of the answer has besides its own.
    headers: Vec<Header>,
    /// What the last answer said, if it was short. Whoever begins the next frees it, and mostly has
    /// begun it: memory goes back with least effort to the thread that has taken it.
    told: Vec<u8>,
}

/// How far an answer is.
#[derive(Clone, Copy)]
pub enum State {
    /// Someone will have it.
    Awaited,
    /// The client is slow to take it.
    BeingWritten,
    /// The client was told then, or is being told.
    WrittenAt(Instant),
    /// The client could not be told. Nor can it be told anything more.
    Failed(ErrorKind),
    /// The client has waited for too long, and been told so.
    GivenUp,
}

impl Exchange {
    /// For a connection. `awaited` counts the pens of this and perhaps of others.
    pub fn new(
        stream: &Arc<TcpStream>,
        time_to_read: Duration,
        awaited: Weak<()>,
    ) -> Arc<Exchange> {
        let stream = Arc::clone(stream);
        let turn = Mutex::new(Turn {
            number: 0,
            state: State::GivenUp,
            sleeper: None,
            is_in_hall: false,
            manner: Manner { keep_alive: false, head_only: false },
            headers: Vec::new(),
            told: Vec::new(),
        });
        let paper = Mutex::default();
        Arc::new(Exchange { stream, time_to_read, awaited, paper, turn })
    }

    /// How far the last answer is that was begun; `None` if whoever reads might wait, for a slow
    /// client has made the connection leave the hall.
    pub fn state_in_hall(&self) -> Option<State> {
        let turn = self.turn();
        turn.is_in_hall.then_some(turn.state)
    }

    /// From now on whoever reads from the connection or writes to it never waits. False if that
    /// cannot be, since a thread waits for the client to take its last answer.
    ///
    /// # Errors
    /// The system does not do it.
    pub fn enter_hall(&self) -> io::Result<bool> {
        let (paper, mut turn) = (self.paper(), self.turn());
        if paper.is_slow || !matches!(turn.state, State::Awaited | State::WrittenAt(_)) {
            return Ok(false);
        }
        turn.is_in_hall = true;
        self.stream.set_nonblocking(true).map(|()| true)
    }

    /// From now on whoever reads from the connection or writes to it may wait again.
    ///
    /// # Errors
    /// The system does not do it.
    pub fn leave_hall(&self) -> io::Result<()> {
        let (_paper, mut turn) = (self.paper(), self.turn());
        turn.is_in_hall = false;
        self.stream.set_nonblocking(false)
    }

    /// The pen for the next request. Those for the ones before write nothing any more.
    pub fn begin(self: &Arc<Exchange>, manner: Manner, headers: Vec<Header>) -> Pen {
        let mut turn = self.turn();
        turn.number += 1;
        (turn.manner, turn.headers) = (manner, headers);
        if !matches!(turn.state, State::Failed(_)) {
            turn.state = State::Awaited;
        }
        turn.told = Vec::new();
        let (exchange, awaited) = (Arc::downgrade(self), self.awaited.upgrade());
        Pen { exchange, number: turn.number, awaited }
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
                    turn.sleeper = Some(thread::current());
                    drop(turn);
                    thread::park(); // the client has only so much time to read it
                }
                State::Awaited => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        turn.state = State::GivenUp;
                    }
                    turn.sleeper = Some(thread::current());
                    drop(turn);
                    thread::park_timeout(left);
                }
            }
        }
    }

    /// Waits until nobody writes any more; true if that was for a slow client. Then whoever reads
    /// from the connection waits again as it should, and whoever writes to it comes last.
    ///
    /// # Errors
    /// The client could not be told.
    pub fn settle(&self) -> io::Result<bool> {
        let mut was_slow = false;
        loop {
            let (paper, mut turn) = (self.paper(), self.turn());
            match turn.state {
                _ if paper.is_slow => turn.sleeper = Some(thread::current()),
                State::Failed(kind) => return Err(kind.into()),
                _ => return Ok(was_slow),
            }
            drop((paper, turn));
            thread::park(); // the client has only so much time to read it
            was_slow = true;
        }
    }

    fn paper(&self) -> MutexGuard<'_, Paper> {
        self.paper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is on the paper, and has a thread write what the socket has no room for now. How
    /// far the answer is then, unless it is written.
    fn write(self: &Arc<Exchange>, paper: &mut Paper, is_in_hall: bool) -> Option<State> {
        if paper.is_slow {
            return Some(State::BeingWritten);
        }
        let taken = match paper.bytes.len() {
            ..=SHORT_BYTES => self.write_at_once(&paper.bytes, is_in_hall),
            _ => Ok(0),
        };
        match taken {
            Ok(count) if count < paper.bytes.len() => {
                paper.bytes.drain(..count);
                let exchange = Arc::clone(self);
                let thread = thread::Builder::new().name("slow client".to_string());
                match thread.spawn(move || exchange.write_rest()) {
                    Ok(_) => {
                        paper.is_slow = true;
                        Some(State::BeingWritten)
                    }
                    Err(error) => Some(State::Failed(error.kind())),
                }
            }
            Ok(_) => {
                wire::empty(&mut paper.bytes);
                None
            }
            Err(error) => Some(State::Failed(error.kind())),
        }
    }

    /// Writes what the socket has room for now. Outside the hall, the connection's thread may read
    /// meanwhile: it may then be told that there is nothing yet.
    fn write_at_once(&self, bytes: &[u8], is_in_hall: bool) -> io::Result<usize> {
        if !is_in_hall {
            self.stream.set_nonblocking(true)?;
        }
        let taken = (&*self.stream).write(bytes);
        if !is_in_hall {
            self.stream.set_nonblocking(false)?;
        }
        match taken {
            Err(error)
                if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) =>
            {
                Ok(0)
            }
            taken => taken,
        }
    }

    /// Writes what the client did not take at once, and what comes to it meanwhile.
    fn write_rest(&self) {
        let mut written = self.leave_hall();
        loop {
            let mut paper = self.paper();
            if paper.bytes.is_empty() || written.is_err() {
                paper.is_slow = false;
                return self.turn().end(written);
            }
            let rest = mem::take(&mut paper.bytes);
            drop(paper);
            let mut timed = Timed::again(&self.stream);
            timed.allow(self.time_to_read);
            written = timed.write_all(&rest);
        }
    }
}

impl Turn {
    /// A thread that wrote what the client was slow to take has ended.
    fn end(&mut self, written: io::Result<()>) {
        match (written, self.state) {
            (Err(error), _) => self.state = State::Failed(error.kind()),
            (Ok(()), State::BeingWritten) => self.state = State::WrittenAt(Instant::now()),
            (Ok(()), _) => {} // another request was begun since
        }
        if let Some(thread) = self.sleeper.take() {
            thread.unpark();
        }
    }

    fn keep(&mut self, body: Body) {
        if let Body::Whole(body) = body
            && body.capacity() <= KEPT_BYTES
        {
            self.told = body;
        }
    }
}

impl Pen {
    /// Writes the answer, if the client still waits for it; false if it does not.
    pub fn write(self, mut response: Response) -> bool {
        let Pen { exchange, number, awaited } = self;
        let Some(exchange) = exchange.upgrade() else { return false };
        let mut paper = exchange.paper();
        let mut turn = exchange.turn();
        if turn.number != number || !matches!(turn.state, State::Awaited) {
            return false;
        }
        response.headers.append(&mut turn.headers);
        response.append_to(&mut paper.bytes, turn.manner);
        turn.keep(response.body);
        // The client may ask again before the system returns to us, and should find all done.
        turn.state = State::WrittenAt(Instant::now());
        let sleeper = turn.sleeper.take();
        drop(awaited);
        // Who reads in the hall must know before whether the client is slow, and so must who is to
        // end the connection; and some are sure to be.
        let is_in_hall = turn.is_in_hall;
        let is_slow = paper.is_slow || paper.bytes.len() > SHORT_BYTES;
        let turn = (is_in_hall || !turn.manner.keep_alive || is_slow).then_some(turn);
        if let Some(state) = exchange.write(&mut paper, is_in_hall) {
            let mut turn = turn.unwrap_or_else(|| exchange.turn());
            if turn.number == number || matches!(state, State::Failed(_)) {
                turn.state = state;
            }
        }
        if let Some(thread) = sleeper {
            thread.unpark();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::Shutdown;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::super::Request;
    use super::super::server::{Deadlines, Handler, serve};
    use super::*;
    use crate::server::inbox::{Answer, Ask, Tell};
    use crate::transport::timed::tests::pair;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Leaves every answer to whoever has the pen, for so long.
    struct Scribe {
        pens: Sender<Tell>,
        patience: Duration,
    }

    impl Handler for Scribe {
        fn answer(&self, _: &Request) -> Response {
            let tell = |pen: Pen| {
                Box::new(move |answer| match answer {
                    Answer::Text(text) => pen.write(Response::text(200, text)),
                    _ => unreachable!(),
                })
            };
            let errand = Box::new(move |pen| Incoming::Client(Ask::State, tell(pen)));
            let too_late = || Response::text(504, "too late");
            let later = Later { errand, patience: self.patience, too_late };
            Response::later(later).with_header("X", "y")
        }

        fn hand_in(&self, errand: Errand) {
            let Incoming::Client(_, tell) = errand else { unreachable!() };
            self.pens.send(tell).unwrap();
        }
    }

    /// A client of a server that leaves every answer to whoever has the pen, for so long.
    fn client(patience: Duration) -> (TcpStream, Receiver<Tell>) {
        let (stream, other_end) = pair();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (sender, pens) = channel();
        let scribe = Box::new(Scribe { pens: sender, patience });
        thread::spawn(move || serve(other_end, Deadlines::default(), scribe));
        (stream, pens)
    }

    /// Writes this with a pen; false if nobody waits for it any more.
    fn write(pen: Tell, text: &str) -> bool {
        pen(Answer::Text(text.to_string()))
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
            write(pens.recv().unwrap(), body);
            expect(&mut stream, &answer("200 OK", body));
        }
        ask(&mut stream, "HEAD");
        write(pens.recv().unwrap(), "six");
        expect(&mut stream, answer("200 OK", "six").trim_end_matches("six"));
        // A client that says no more still gets its answer.
        ask(&mut stream, "GET");
        stream.shutdown(Shutdown::Write).unwrap();
        write(pens.recv().unwrap(), "end");
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
            write(pen, body);
            expect(&mut stream, &answer("200 OK", body));
        }
    }

    #[test]
    fn write_does_not_wait_for_a_client_that_does_not_read() {
        let (mut stream, pens) = client(PATIENCE);
        let long = "x".repeat(16 * 1024 * 1024); // more than any socket takes
        ask(&mut stream, "GET");
        write(pens.recv().unwrap(), long.as_str());
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("200 OK", &long));
        write(pens.recv().unwrap(), "next");
        expect(&mut stream, &answer("200 OK", "next"));
    }

    /// An exchange, and the client's end of its connection.
    fn exchange() -> (Arc<Exchange>, TcpStream) {
        let (client, other_end) = pair();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        (Exchange::new(&Arc::new(other_end), PATIENCE, Weak::new()), client)
    }

    /// The connection's thread has found the first answer written, and gone on, just before it
    /// turned out that the client is slow.
    #[test]
    fn answer_follows_one_that_the_client_is_slow_to_take() {
        let (exchange, mut client) = exchange();
        let manner = || Manner { keep_alive: true, head_only: false };
        let long = "x".repeat(16 * 1024 * 1024); // more than any socket takes
        let first = exchange.begin(manner(), Vec::new());
        assert!(first.write(Response::text(200, long.as_str())));
        let second = exchange.begin(manner(), Vec::new());
        assert!(!exchange.enter_hall().unwrap());
        assert!(second.write(Response::text(200, "second")));
        thread::scope(|scope| {
            let settled = scope.spawn(|| exchange.settle());
            thread::sleep(Duration::from_millis(20));
            assert!(!settled.is_finished());
            let expected = [long.as_str(), "second"]
                .map(|body| answer("200 OK", body).replace("X: y\r\n", ""));
            expect(&mut client, &expected.concat());
        });
        assert!(exchange.wait(Instant::now()).unwrap().is_some());
    }

    /// What would follow on a part of an answer would be taken for the rest of it.
    #[test]
    fn nothing_follows_an_answer_that_the_client_did_not_take() {
        let (mut exchange, _client) = exchange();
        Arc::get_mut(&mut exchange).unwrap().time_to_read = Duration::from_millis(10);
        let manner = || Manner { keep_alive: true, head_only: false };
        let first = exchange.begin(manner(), Vec::new());
        assert!(first.write(Response::text(200, "x".repeat(16 * 1024 * 1024))));
        assert!(exchange.settle().is_err());
        let second = exchange.begin(manner(), Vec::new());
        assert!(!second.write(Response::text(200, "second")));
        assert!(exchange.settle().is_err() && exchange.wait(Instant::now()).is_err());
    }

    #[test]
    fn enter_hall_is_refused_while_a_thread_writes() {
        let (exchange, mut client) = exchange();
        assert!(!exchange.enter_hall().unwrap(), "nothing was begun yet");
        let pen = exchange.begin(Manner { keep_alive: false, head_only: false }, Vec::new());
        assert!(exchange.enter_hall().unwrap());
        assert!(matches!(exchange.state_in_hall(), Some(State::Awaited)));
        let body = "x".repeat(16 * 1024 * 1024); // more than any socket takes
        assert!(pen.write(Response::text(200, body.as_str())));
        assert!(!exchange.enter_hall().unwrap());
        let mut taken = 0;
        while taken < body.len() {
            taken += client.read(&mut vec![0; 1 << 20]).unwrap();
        }
        exchange.wait(Instant::now() + PATIENCE).unwrap().expect("it is written");
        assert!(exchange.state_in_hall().is_none(), "it has left");
        assert!(exchange.enter_hall().unwrap());
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
                Ok(pen) => assert!(write(pen, body.as_str())),
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
        assert!(!write(pens.recv().unwrap(), "no"));
    }

    #[test]
    fn answer_that_comes_too_late_is_not_written() {
        let (mut stream, pens) = client(Duration::from_millis(20));
        ask(&mut stream, "GET");
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
        write(pens.recv().unwrap(), "no");
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
        assert!(!write(earlier, "no"));
        expect(&mut stream, &answer("504 Gateway Timeout", "too late"));
    }
}
