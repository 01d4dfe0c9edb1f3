//! One client's connection: where it is, and what happens next.
//!
//! The HTTP thread looks at each of its connections in turn ([`Connection::look`]). No look waits
//! for anything: the connection reads what has come, or writes what the socket takes, and remembers
//! the rest. This is the life of a connection:
//!
//! ```text
//!           ┌───────────────────────────── keep-alive ──────────────────────────────┐
//!           ▼        first byte              whole             answer               │
//!  open → Idle ───────────────► Reading ───────────► Waiting ───────────► Answering ┤
//!           │                      │                 (for the               ▲  │    │
//!           │                      │               raft thread)             │  │    │
//!           │                      └──────────── answered at once ──────────┘  ▼    │ close
//!           │                                                         Streaming ───►│
//!           ▼                                                                       ▼
//!         Closed ◄─────────────────────────────────────────────────────────── Lingering
//! ```
//!
//! Each phase has a deadline, for all of it and not for a single read. A request that came too
//! slowly is answered 408; a client that does not take its answer is cut off.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body::BodyReader;
use super::handler::{Client, Handler, Outcome, Question};
use super::request::{self, BODY_BYTES};
use super::response::{Body, Manner, Piece, Pieces, Response};
use super::wire::{self, Buffers, Fault};
use crate::server::inbox::{Answer, ClientRequest};

/// The most that is read, unused, from a connection that is being closed, in bytes.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// How many pieces of a stream are written before the thread looks at other connections.
const PIECES_A_LOOK: usize = 4;

/// How long a stream with nothing to say waits before it looks again. No screen shows more than
/// sixty pictures a second, and a busy node has many times as much to tell.
const STREAM_PAUSE: Duration = Duration::from_millis(16);

/// A client is looked at again after this part of its silence, until the silence is long: one that
/// was active a moment ago likely asks again in a moment. (For the first 400 µs that is less than
/// the thread may sleep, so it only yields: clients that ask more often keep a core busy.)
const SILENCE_PART: u32 = 8;
const LONG_SILENCE: Duration = Duration::from_millis(8);

/// While the raft thread may answer within this time, the HTTP thread does not sleep: to wake it
/// would take a third of the time of a read.
const QUICK_ANSWER: Duration = Duration::from_micros(100);

/// How long a client may take for each phase.
#[derive(Clone, Copy, Debug)]
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

/// Where a connection is.
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// A part of a request has come.
    Reading,
    /// The raft thread has been asked.
    Waiting(Question, Manner),
    /// An answer is being written. With `false` it is the last.
    Answering(bool),
    /// The head of an answer is written, and its body comes piece by piece.
    Streaming(Pieces),
    /// The last answer is written. To close at once, with bytes of the client still unread, would
    /// reset the connection and destroy the answer (RFC 9112 §9.6). So many bytes may still come.
    Lingering(usize),
    /// It is over.
    Closed,
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    /// Counts it among those that are open.
    _open: Arc<()>,
    client: Client,
    deadlines: Deadlines,
    phase: Phase,
    /// When the phase must be over.
    deadline: Instant,
    /// Bytes that have come and belong to no request that was answered.
    input: Vec<u8>,
    /// `input` was looked at, and is no whole request.
    needs_more: bool,
    /// The body of the request that is being read, once its head has come, and how long the head
    /// is: it waits in `input`.
    body: Option<BodyReader>,
    head_bytes: usize,
    /// Bytes for the client, and how many of them the socket has taken.
    output: Vec<u8>,
    sent: usize,
    /// How many requests were read.
    pub requests: u64,
    /// When its client last did something, or was answered.
    active_at: Instant,
    /// When the HTTP thread looks at it next; `None`: when it looks at all that are silent.
    pub look_at: Option<Instant>,
    /// When its client was last answered, if it has not asked since.
    pub answered_at: Option<Instant>,
    /// How long its client took for its last request, from the answer before it.
    pub pause: Option<Duration>,
}

impl Connection {
    /// A connection that has just been accepted.
    ///
    /// # Errors
    /// It is broken already.
    pub fn new(stream: TcpStream, open: Arc<()>, deadlines: Deadlines) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let client = Client { peer: stream.peer_addr()?.ip(), own: stream.local_addr()?.ip() };
        let now = Instant::now();
        Ok(Connection {
            stream,
            _open: open,
            client,
            deadlines,
            phase: Phase::Idle,
            deadline: now + deadlines.idle,
            input: Vec::new(),
            needs_more: true,
            body: None,
            head_bytes: 0,
            output: Vec::new(),
            sent: 0,
            requests: 0,
            active_at: now,
            look_at: Some(now),
            answered_at: None,
            pause: None,
        })
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether it waits for the answer to this request.
    pub fn awaits(&self, request: u64) -> bool {
        matches!(self.phase, Phase::Waiting(..)) && self.requests == request
    }

    /// Does what can be done now. Returns what the raft thread is to be asked, if a request for it
    /// has come whole.
    pub fn look(
        &mut self,
        now: Instant,
        handler: &dyn Handler,
        buffers: &mut Buffers,
        scratch: &mut [u8],
    ) -> Option<ClientRequest> {
        let looked = match self.phase {
            Phase::Idle | Phase::Reading => self.read(now, handler, buffers, scratch),
            Phase::Waiting(..) | Phase::Closed => Ok(None),
            Phase::Answering(_) => self.write(now).map(|()| None),
            Phase::Streaming(_) => self.stream(now).map(|()| None),
            Phase::Lingering(left) => self.linger(left, scratch, now).map(|()| None),
        };
        let request = match looked {
            Ok(None) if now >= self.deadline => {
                self.deadline_is_over(now);
                None
            }
            Ok(request) => request,
            Err(_) => {
                self.phase = Phase::Closed; // a broken connection is the client's affair
                None
            }
        };
        self.look_at = self.next_look(now);
        request
    }

    /// When to look again. A client that is silent is looked at ever more rarely.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let silence = now - self.active_at;
        match self.phase {
            Phase::Waiting(..) if silence >= QUICK_ANSWER => Some(self.deadline),
            Phase::Streaming(_) if self.output.is_empty() => Some(now + STREAM_PAUSE),
            _ if silence < LONG_SILENCE => Some(now + silence / SILENCE_PART),
            _ => None,
        }
    }

    fn deadline_is_over(&mut self, now: Instant) {
        match self.phase {
            Phase::Reading => {
                self.refuse(Response::error(408, "the request took too long to arrive"), now);
            }
            Phase::Waiting(..) => self.answer(None, now),
            _ => self.phase = Phase::Closed,
        }
    }

    // ---- A request ------------------------------------------------------------------------------

    /// Reads what has come, and begins to answer the request if it is whole.
    fn read(
        &mut self,
        now: Instant,
        handler: &dyn Handler,
        buffers: &mut Buffers,
        scratch: &mut [u8],
    ) -> io::Result<Option<ClientRequest>> {
        if self.needs_more {
            match read_at_once(&self.stream, scratch)? {
                None => return Ok(None),
                Some(0) => {
                    self.client_has_closed(now);
                    return Ok(None);
                }
                Some(count) => self.input.extend_from_slice(&scratch[..count]),
            }
        }
        self.active_at = now;
        if let Phase::Idle = self.phase {
            self.pause = self.answered_at.take().map(|answered_at| now - answered_at);
            (self.phase, self.deadline) = (Phase::Reading, now + self.deadlines.head);
        }
        match self.take_request(now, handler, buffers) {
            Ok(request) => Ok(request),
            Err(Fault::Bad(status, why)) => {
                self.refuse(Response::error(status, &why), now);
                Ok(None)
            }
            Err(Fault::Io(error)) => Err(error),
        }
    }

    fn client_has_closed(&mut self, now: Instant) {
        match self.phase {
            Phase::Reading => self.refuse(Response::error(400, "the request ends too early"), now),
            _ => self.phase = Phase::Closed,
        }
    }

    /// Takes a request from the input, if it has come whole, and has it answered.
    fn take_request(
        &mut self,
        now: Instant,
        handler: &dyn Handler,
        buffers: &mut Buffers,
    ) -> Result<Option<ClientRequest>, Fault> {
        self.needs_more = true;
        if let Some(body) = &mut self.body {
            let taken = body.take(&self.input[self.head_bytes..])?;
            self.input.drain(self.head_bytes..self.head_bytes + taken);
            if !body.is_whole() {
                return Ok(None);
            }
        }
        let mut rest = &self.input[..];
        let mut head = match request::read_head(&mut rest, buffers) {
            Err(Fault::Io(_)) => return Ok(None), // more is to come
            head => head?,
        };
        let head_bytes = self.input.len() - rest.len();
        let is_new = self.body.is_none();
        let body = self.body.get_or_insert_with(|| BodyReader::new(&head.framing, BODY_BYTES));
        let taken = if is_new { body.take(rest)? } else { 0 };
        if !body.is_whole() {
            self.deadline = now + self.deadlines.body;
            if head.expects_continue && rest.is_empty() {
                (&self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            self.head_bytes = head_bytes;
            self.input.truncate(head_bytes); // the body has the rest
            return Ok(None);
        }
        head.request.body = &body.bytes;
        let (outcome, manner) = (handler.answer(&head.request, &self.client), head.manner);
        self.body = None;
        self.input.drain(..head_bytes + taken);
        self.input.shrink_to(wire::KEPT_BYTES);
        self.needs_more = self.input.is_empty();
        self.requests += 1;
        Ok(self.begin_answer(outcome, manner, now))
    }

    fn refuse(&mut self, refusal: Response, now: Instant) {
        self.respond(refusal, Manner { keep_alive: false, head_only: false }, now);
    }

    // ---- Its answer -----------------------------------------------------------------------------

    fn begin_answer(
        &mut self,
        outcome: Outcome,
        manner: Manner,
        now: Instant,
    ) -> Option<ClientRequest> {
        match outcome {
            Outcome::Answer(response) => {
                self.respond(response, manner, now);
                None
            }
            Outcome::Ask(request, question) => {
                self.deadline = now + question.patience;
                self.phase = Phase::Waiting(question, manner);
                Some(request)
            }
        }
    }

    /// Whether the question that it waits for may be answered with what the raft thread last said
    /// of itself.
    pub fn takes_old_status(&self, now: Instant) -> bool {
        let is_late = now >= self.deadline;
        matches!(&self.phase, Phase::Waiting(question, _) if question.takes_old_status && is_late)
    }

    /// Writes the answer to the request that waits; `None` if the raft thread gave none in time.
    pub fn answer(&mut self, answer: Option<Answer>, now: Instant) {
        match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Waiting(question, manner) => {
                let mut response = (question.then)(answer);
                response.headers.extend(question.headers);
                self.respond(response, manner, now);
            }
            other => self.phase = other,
        }
    }

    fn respond(&mut self, response: Response, mut manner: Manner, now: Instant) {
        manner.keep_alive &= !matches!(response.body, Body::Stream(..));
        response.append_to(&mut self.output, manner);
        self.phase = match response.body {
            Body::Stream(_, pieces) if !manner.head_only => Phase::Streaming(pieces),
            _ => Phase::Answering(manner.keep_alive),
        };
        (self.active_at, self.deadline) = (now, now + self.deadlines.answer);
        self.look_at = Some(now);
        let written = match self.phase {
            Phase::Answering(_) => self.write(now),
            _ => Ok(()), // at the next look
        };
        if written.is_err() {
            self.phase = Phase::Closed;
        }
    }

    /// Writes the output. When all is written, the connection is idle, or it ends.
    fn write(&mut self, now: Instant) -> io::Result<()> {
        if !self.flush(now)? {
            return Ok(());
        }
        if let Phase::Answering(true) = self.phase {
            (self.phase, self.deadline) = (Phase::Idle, now + self.deadlines.idle);
            self.answered_at = Some(now);
            return Ok(());
        }
        self.end(now)
    }

    /// Writes as much of the output as the socket takes; true if that is all of it.
    fn flush(&mut self, now: Instant) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match (&self.stream).write(&self.output[self.sent..]) {
                Ok(count) => (self.sent, self.active_at) = (self.sent + count, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        wire::empty(&mut self.output);
        self.sent = 0;
        Ok(true)
    }

    fn stream(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..PIECES_A_LOOK {
            if !self.flush(now)? {
                return Ok(());
            }
            let Phase::Streaming(pieces) = &mut self.phase else { return Ok(()) };
            self.deadline = now + self.deadlines.answer;
            match pieces()? {
                Piece::Bytes(bytes) => (self.output, self.active_at) = (bytes, now),
                Piece::NotYet => return Ok(()),
                Piece::End => return self.end(now),
            }
        }
        Ok(())
    }

    /// Has said all, and waits for the client to close.
    fn end(&mut self, now: Instant) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.phase = Phase::Lingering(LINGER_BYTES);
        self.deadline = now + self.deadlines.linger;
        Ok(())
    }

    fn linger(&mut self, left: usize, scratch: &mut [u8], now: Instant) -> io::Result<()> {
        self.phase = match read_at_once(&self.stream, scratch)? {
            None => return Ok(()),
            Some(count) if count == 0 || count > left => Phase::Closed,
            Some(count) => Phase::Lingering(left - count),
        };
        self.active_at = now;
        Ok(())
    }
}

/// Reads what has come; `None` if nothing has, 0 if nothing will.
fn read_at_once(mut stream: &TcpStream, scratch: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.read(scratch) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
