//! A small HTTP/1.1 server (RFC 9112) on one thread, and a client.
//!
//! HTTP is text: a first line, header lines `Name: value`, an empty line, then a body. A request's
//! first line says what is asked (`GET /status HTTP/1.1`), an answer's how it went (`HTTP/1.1 200
//! OK`). [`request`] and [`response`] are the two, `wire` and `body` are what both sides read
//! alike, [`connection`] is one client's connection, and [`client`] asks. These move bytes and know
//! nothing of Raft. [`origin_guard`] keeps strange web pages out, and [`api`] is what a node
//! answers.
//!
//! The hard question is where a message ends. Two readers who disagree about it can be made to see
//! different requests in the same bytes ("request smuggling", RFC 9112 §11.2), so whatever could be
//! read in two ways is refused with status 400.
//!
//! **The HTTP thread** owns the socket of every client. It sleeps in its channel while there is no
//! connection. With connections it looks at them in turn (`HttpThread::run`), for the standard
//! library cannot wait for many sockets at once: at a client that was active a moment ago again and
//! again, at a silent one ever more rarely. It hands what clients ask to the raft thread, and
//! writes the answers. It waits for nobody else: while the raft thread is stuck, it goes on
//! answering.

pub mod api;
mod body;
pub mod client;
pub mod connection;
pub mod handler;
pub mod origin_guard;
pub mod request;
pub mod response;
mod wire;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::inbox::{Answer, ClientRequest, Event, Ticket, ToHttp};
use crate::server::status::Status;
use connection::{Connection, Deadlines};
use handler::Handler;
use wire::Buffers;

/// How much is read from a connection at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// The pause between two looks at all clients that are silent: 32 times as long as such a look
/// takes, so that silent clients cost less than 5 % of a core; but between these two.
const SWEEP_SHARE: u32 = 32;
const SWEEP_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(40));

/// The thread does not sleep for less, for to wake takes as long. Instead, it lets others run.
const SHORTEST_SLEEP: Duration = Duration::from_micros(50);

/// How long what clients ask is held back at most, so that more goes to the raft thread at once.
/// Each batch costs every node a message, a write and an fsync, however small it is. It waits only
/// while clients that were just answered are likely to ask again, and so is not worth it for a
/// client that is alone (docs/PERFORMANCE.md has the figures).
const GATHER: Duration = Duration::from_micros(200);

/// A client that has asked again within this time after an answer likely does so after the next.
const QUICK: Duration = Duration::from_micros(500);

/// The HTTP thread: takes connections and answers from `inbox`, asks `raft`, and serves all clients
/// until nobody can send connections any more.
pub fn serve(inbox: Receiver<ToHttp>, raft: SyncSender<Event>, handler: impl Handler) {
    HttpThread::new(inbox, raft, handler, Deadlines::default()).run();
}

/// What the thread owns.
struct HttpThread<H> {
    inbox: Receiver<ToHttp>,
    raft: SyncSender<Event>,
    handler: H,
    deadlines: Deadlines,
    connections: BTreeMap<u64, Connection>,
    /// How many connections there were.
    count: u64,
    /// When the thread looks next at all clients that are silent.
    sweep_at: Instant,
    /// What clients ask and the raft thread has not been told of, and since when.
    gathered: Vec<(ClientRequest, Ticket)>,
    gathered_since: Instant,
    /// What the raft thread last said of itself, and when.
    status: Option<(Instant, Box<Status>)>,
    buffers: Buffers,
    scratch: Vec<u8>,
}

impl<H: Handler> HttpThread<H> {
    fn new(
        inbox: Receiver<ToHttp>,
        raft: SyncSender<Event>,
        handler: H,
        deadlines: Deadlines,
    ) -> HttpThread<H> {
        let now = Instant::now();
        HttpThread {
            inbox,
            raft,
            handler,
            deadlines,
            connections: BTreeMap::new(),
            count: 0,
            sweep_at: now,
            gathered: Vec::new(),
            gathered_since: now,
            status: None,
            buffers: Buffers::default(),
            scratch: vec![0; READ_BYTES],
        }
    }

    fn run(mut self) {
        while self.rest() {
            self.look_at_all(Instant::now());
            self.hand_over(Instant::now());
        }
    }

    /// Waits for the inbox until a connection is to be looked at, and takes all that is there;
    /// false if nothing will come any more.
    fn rest(&mut self) -> bool {
        let looks = self.connections.values().map(|one| one.look_at.unwrap_or(self.sweep_at));
        let wait = match looks.min() {
            None => Duration::MAX,
            Some(at) => at.saturating_duration_since(Instant::now()),
        };
        let wait = if wait < SHORTEST_SLEEP { Duration::ZERO } else { wait };
        match self.inbox.recv_timeout(wait) {
            Ok(first) => self.take(first),
            Err(RecvTimeoutError::Timeout) => thread::yield_now(),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        while let Ok(next) = self.inbox.try_recv() {
            self.take(next);
        }
        true
    }

    fn take(&mut self, what: ToHttp) {
        match what {
            ToHttp::Connection(stream, open) => self.take_connection(stream, open),
            ToHttp::Status(status) => self.status = Some((Instant::now(), status)),
            ToHttp::Answer(Ticket { connection, request }, answer) => {
                // If the connection is not there or waits no more, the client was told so.
                let connection = self.connections.get_mut(&connection);
                if let Some(connection) = connection.filter(|one| one.awaits(request)) {
                    connection.answer(Some(answer), Instant::now());
                }
            }
        }
    }

    fn take_connection(&mut self, stream: TcpStream, open: Arc<()>) {
        // A connection that is broken already is the client's affair.
        if let Ok(connection) = Connection::new(stream, open, self.deadlines) {
            self.count += 1;
            self.connections.insert(self.count, connection);
        }
    }

    /// Looks at every connection whose time has come.
    fn look_at_all(&mut self, now: Instant) {
        let is_sweep = self.sweep_at <= now;
        let mut has_closed = false;
        for (&id, connection) in &mut self.connections {
            if connection.look_at.map_or(!is_sweep, |at| at > now) {
                continue;
            }
            if connection.takes_old_status(now) {
                let old =
                    self.status.as_ref().map(|(then, status)| old_status(status, now - *then));
                connection.answer(old, now);
            }
            let (buffers, scratch) = (&mut self.buffers, &mut self.scratch);
            if let Some(request) = connection.look(now, &self.handler, buffers, scratch) {
                if self.gathered.is_empty() {
                    self.gathered_since = now;
                }
                let ticket = Ticket { connection: id, request: connection.requests };
                self.gathered.push((request, ticket));
            }
            has_closed |= connection.is_closed();
        }
        if is_sweep {
            let (shortest, longest) = SWEEP_PAUSES;
            self.sweep_at = now + (SWEEP_SHARE * now.elapsed()).clamp(shortest, longest);
        }
        if has_closed {
            self.connections.retain(|_, connection| !connection.is_closed());
        }
    }

    /// Hands what clients ask to the raft thread, all of it at once.
    fn hand_over(&mut self, now: Instant) {
        if self.gathered.is_empty() || now < self.gathered_since + GATHER && self.expects_more(now)
        {
            return;
        }
        let requests = std::mem::take(&mut self.gathered);
        if let Err(TrySendError::Full(event)) = self.raft.try_send(Event::Requests(requests))
            && let Event::Requests(requests) = event
        {
            // A status need not come from there (`old_status`).
            let others = requests.into_iter().filter(|(what, _)| !what.is_status());
            others.for_each(|(_, ticket)| self.take(ToHttp::Answer(ticket, Answer::Busy)));
        }
    }

    /// Whether a client that was just answered is likely to ask again in a moment: it did so the
    /// last time.
    fn expects_more(&self, now: Instant) -> bool {
        self.connections.values().any(|connection| {
            connection.pause.is_some_and(|pause| pause < QUICK)
                && connection.answered_at.is_some_and(|then| now < then + QUICK)
        })
    }
}

/// What is answered while the raft thread is stuck: what it last said of itself, and how long ago.
fn old_status(status: &Status, age: Duration) -> Answer {
    let mut status = status.clone();
    status.state.stalled_ms = age.as_millis() as u64;
    Answer::Status(Box::new(status))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpListener};
    use std::sync::mpsc;

    use super::handler::{Client, Outcome, Question};
    use super::request::{BODY_BYTES, Request};
    use super::response::{Piece, Response};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    const BRIEFLY: Duration = Duration::from_millis(50);

    /// Says what it was asked. `/stream` never ends, and what is asked at `/ask` the raft thread
    /// has to say.
    struct Echo;

    impl Handler for Echo {
        fn answer(&self, request: &Request, _: &Client) -> Outcome {
            let body = String::from_utf8_lossy(request.body);
            match request.path {
                "/stream" => Response::stream("text/plain", None, Box::new(endless())).into(),
                path @ ("/ask" | "/ask-briefly") => Outcome::Ask(
                    ClientRequest::Metrics,
                    Question {
                        patience: if path == "/ask" { PATIENCE } else { BRIEFLY },
                        then: Box::new(|answer| match answer {
                            Some(Answer::Text(text)) => Response::text(200, text),
                            Some(_) => Response::text(503, "busy"),
                            None => Response::text(504, "too late"),
                        }),
                        takes_old_status: false,
                        headers: Vec::new(),
                    },
                ),
                path => Response::text(200, format!("{} {path} {body}", request.method)).into(),
            }
        }
    }

    /// Three short pieces, then long ones for ever.
    fn endless() -> impl FnMut() -> io::Result<Piece> {
        let mut number = 0;
        move || {
            number += 1;
            Ok(Piece::Bytes(match number {
                ..=3 => format!("{}\n", number - 1).into(),
                _ => vec![b'x'; 1 << 16],
            }))
        }
    }

    /// The HTTP thread of a node, its address, and what it asks the raft thread.
    fn start_node(deadlines: Deadlines) -> (SocketAddr, mpsc::Sender<ToHttp>, Receiver<Event>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (to_http, inbox) = mpsc::channel();
        let (raft, asked) = mpsc::sync_channel(10);
        thread::spawn(move || HttpThread::new(inbox, raft, Echo, deadlines).run());
        let connections = to_http.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.send(ToHttp::Connection(stream.unwrap(), Arc::default())).unwrap();
            }
        });
        (address, to_http, asked)
    }

    /// The same, where nobody asks the raft thread.
    fn start(deadlines: Deadlines) -> SocketAddr {
        start_node(deadlines).0
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
        let answer = Duration::from_millis(20);
        let mut client = connect(start(Deadlines { answer, ..Deadlines::default() }));
        client.write_all(GET_STREAM).unwrap();
        thread::sleep(10 * answer);
        let mut bytes = vec![0; 1 << 20];
        while client.read(&mut bytes).is_ok_and(|count| count > 0) {} // until it is cut off
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
            (Deadlines { idle: short, ..patient }, "", ""),
            (Deadlines { head: short, ..patient }, "GET", "HTTP/1.1 408 "),
            (Deadlines { body: short, ..patient }, post, "HTTP/1.1 408 "),
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

    // ---- The raft thread ------------------------------------------------------------------------

    fn get(path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into()
    }

    /// Reads until the answer ends like this.
    fn expect(client: &mut TcpStream, end: &str) {
        let mut found = Vec::new();
        while !found.ends_with(end.as_bytes()) {
            let mut bytes = [0; 4096];
            let count = client.read(&mut bytes).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&found));
            found.extend_from_slice(&bytes[..count]);
        }
    }

    fn tickets(event: Event) -> Vec<Ticket> {
        let Event::Requests(requests) = event else { panic!("no request") };
        requests.into_iter().map(|(_, ticket)| ticket).collect()
    }

    fn answer_with(to_http: &mpsc::Sender<ToHttp>, ticket: Ticket, text: &str) {
        to_http.send(ToHttp::Answer(ticket, Answer::Text(text.to_string()))).unwrap();
    }

    #[test]
    fn answers_of_the_raft_thread_go_to_the_connection_that_asked() {
        let (address, to_http, asked) = start_node(Deadlines::default());
        let mut clients = [(); 3].map(|()| connect(address));
        let mut waiting = Vec::new();
        for client in &mut clients {
            client.write_all(&get("/ask")).unwrap();
            waiting.extend(tickets(asked.recv_timeout(PATIENCE).unwrap()));
        }
        for number in [2, 0, 1] {
            answer_with(&to_http, waiting[number], &format!("for {number}"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            expect(client, &format!("for {number}"));
        }
    }

    #[test]
    fn pipelined_requests_are_answered_in_their_order() {
        let (address, to_http, asked) = start_node(Deadlines::default());
        let mut client = connect(address);
        client.write_all(&[get("/ask"), get("/b"), get("/ask")].concat()).unwrap();
        for end in ["first", "second"] {
            let waiting = tickets(asked.recv_timeout(PATIENCE).unwrap());
            assert!(asked.try_recv().is_err(), "the next waits for this answer");
            answer_with(&to_http, waiting[0], end);
        }
        let mut found = String::new();
        while !found.ends_with("second") {
            let mut bytes = [0; 4096];
            let count = client.read(&mut bytes).unwrap();
            found += &String::from_utf8_lossy(&bytes[..count]);
        }
        let places = ["first", "GET /b ", "second"].map(|text| found.find(text).expect(text));
        assert!(places.is_sorted(), "{found}");
    }

    #[test]
    fn client_is_told_if_no_answer_comes_in_time_and_a_late_one_is_dropped() {
        let (address, to_http, asked) = start_node(Deadlines::default());
        let mut client = connect(address);
        for _ in 0..2 {
            client.write_all(&get("/ask-briefly")).unwrap();
            let waiting = tickets(asked.recv_timeout(PATIENCE).unwrap());
            expect(&mut client, "too late");
            answer_with(&to_http, waiting[0], "it comes too late");
        }
        client.write_all(&get("/a")).unwrap();
        expect(&mut client, "GET /a ");
    }

    #[test]
    fn client_is_told_if_the_raft_thread_has_no_room_for_its_request() {
        let (_, inbox) = mpsc::channel();
        let (raft, _asked) = mpsc::sync_channel(0); // which nobody takes anything from
        let mut http = HttpThread::new(inbox, raft, Echo, Deadlines::default());
        let (mut client, stream) = crate::transport::timed::tests::pair();
        http.take_connection(stream, Arc::default());
        client.write_all(&get("/ask")).unwrap();
        while http.gathered.is_empty() {
            http.look_at_all(Instant::now());
        }
        http.hand_over(Instant::now());
        expect(&mut client, "busy");
    }

    #[test]
    fn clients_that_ask_again_at_once_are_waited_for() {
        let (_, inbox) = mpsc::channel();
        let (raft, _asked) = mpsc::sync_channel(10);
        let mut http = HttpThread::new(inbox, raft, Echo, Deadlines::default());
        let (_client, stream) = crate::transport::timed::tests::pair();
        http.take_connection(stream, Arc::default());
        let now = Instant::now();
        let mut expects = |pause: Option<Duration>, answered_at: Option<Instant>| {
            let connection = http.connections.get_mut(&1).unwrap();
            (connection.pause, connection.answered_at) = (pause, answered_at);
            http.expects_more(now)
        };
        assert!(!expects(None, Some(now)), "its first request");
        assert!(!expects(Some(QUICK), Some(now)), "it was slow the last time");
        assert!(expects(Some(QUICK / 2), Some(now)));
        assert!(!expects(Some(QUICK / 2), Some(now - QUICK)), "it should be back by now");
        assert!(!expects(Some(QUICK / 2), None), "it has asked");
    }

    /// A client that says nothing for a while is served as well as before.
    #[test]
    fn silent_clients_are_looked_at_again_and_again() {
        let address = start(Deadlines::default());
        let mut clients: Vec<TcpStream> = (0..50).map(|_| connect(address)).collect();
        for pause_ms in [0, 1, 10, 100] {
            thread::sleep(Duration::from_millis(pause_ms));
            for client in &mut clients {
                client.write_all(&get("/a")).unwrap();
                expect(client, "GET /a ");
            }
        }
    }
}
