//! The server's side of one HTTP connection: read a request, have it answered, and again.
//!
//! The listener is someone else's, since peers use the same address; [`serve`] is handed a
//! connection that has been accepted, and blocks until it ends. Whatever comes in, it answers or
//! closes: it never panics, and no client can hold it longer than [`Deadlines`] allow.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pen::{Exchange, Later};
use super::wire::{self, Buffers, Fault, Framing, HEAD_BYTES, Headers, Lines, Only};
use super::{Body, Header, Manner, Request, Response};
use crate::timed::Timed;

/// The most that a request's body may have, in bytes: two values of a megabyte, or one that has
/// been escaped by a client who trusts nothing but ASCII.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

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

/// Serves one connection until it ends: reads a request, calls `handler`, writes its answer or lets
/// it be written, and again. A request that cannot be read is answered here, with JSON, and ends
/// the connection.
///
/// # Errors
/// When the connection breaks. A client that closes it, or is idle for too long, is no error.
pub fn serve(
    stream: TcpStream,
    deadlines: &Deadlines,
    handler: &dyn Fn(&Request) -> Response,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(Timed::new(stream));
    let exchange = Exchange::new(&connection.get_ref().stream, deadlines.answer);
    let mut buffers = Buffers::default();
    connection.get_mut().allow(deadlines.idle);
    while wait_for_request(&mut connection)? {
        let (response, mut manner) = match read_request(&mut connection, &mut buffers, deadlines) {
            Ok(incoming) => (handler(&incoming.request), incoming.manner),
            Err(fault) => (refuse(fault)?, Manner { keep_alive: false, head_only: false }),
        };
        buffers.clear();
        manner.keep_alive &= !matches!(response.body, Body::Stream(..));
        let answered_at = respond(&mut connection, &exchange, response, manner, deadlines)?;
        if !manner.keep_alive {
            return close(connection, deadlines);
        }
        connection.get_mut().allow_since(answered_at, deadlines.idle);
    }
    Ok(())
}

/// Answers, or waits until someone else has; returns when that was.
fn respond(
    connection: &mut BufReader<Timed>,
    exchange: &Arc<Exchange>,
    mut response: Response,
    manner: Manner,
    deadlines: &Deadlines,
) -> io::Result<Instant> {
    if let Body::Later(later) = response.body {
        let (too_late, headers) = (later.too_late, response.headers);
        if let Some(time) = await_answer(connection, exchange, later, manner, &headers)? {
            return Ok(time);
        }
        response = too_late();
        response.headers.extend(headers);
    }
    let mut pieces = Pieces { to: connection.get_mut(), each: deadlines.answer };
    let mut bytes = Vec::new();
    response.append_to(&mut bytes, manner);
    pieces.write_all(&bytes)?;
    if let Body::Stream(_, writer) = response.body
        && !manner.head_only
    {
        writer(&mut pieces)?;
    }
    Ok(Instant::now())
}

/// Has someone else answer; returns when that was done, if it was in time.
fn await_answer(
    connection: &mut BufReader<Timed>,
    exchange: &Arc<Exchange>,
    later: Later,
    manner: Manner,
    headers: &[Header],
) -> io::Result<Option<Instant>> {
    let begun_at = Instant::now();
    (later.begin)(exchange.begin(manner, headers.to_vec()));
    // Most clients send their next request when they have the answer to this one. So by its first
    // byte this thread is woken once for both.
    if manner.keep_alive && connection.buffer().is_empty() {
        connection.get_mut().allow_since(begun_at, later.patience);
        match connection.fill_buf() {
            Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
            _ => {}
        }
    }
    exchange.wait(begun_at + later.patience)
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

/// Waits for the first byte of a request; false if none will come.
fn wait_for_request(connection: &mut BufReader<Timed>) -> io::Result<bool> {
    match connection.fill_buf() {
        Ok(bytes) => Ok(!bytes.is_empty()),
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends the connection so that the client can read its last answer. Closing at once, with bytes
/// of the client still unread, would reset the connection and destroy it (RFC 9112 §9.6).
fn close(mut connection: BufReader<Timed>, deadlines: &Deadlines) -> io::Result<()> {
    connection.get_ref().stream.shutdown(Shutdown::Write)?;
    connection.get_mut().allow(deadlines.linger);
    // However this ends, the answer is out.
    let _ = io::copy(&mut connection.take(LINGER_BYTES), &mut io::sink());
    Ok(())
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

/// A request, and what its head says of the exchange.
#[derive(Debug)]
struct Incoming<'a> {
    request: Request<'a>,
    framing: Framing,
    manner: Manner,
    /// The client holds its body back until it is told to go on.
    expects_continue: bool,
}

fn read_request<'a>(
    connection: &mut BufReader<Timed>,
    buffers: &'a mut Buffers,
    deadlines: &Deadlines,
) -> Result<Incoming<'a>, Fault> {
    let Buffers { line, headers, body } = buffers;
    connection.get_mut().allow(deadlines.head);
    let mut incoming = read_head(connection, line, headers)?;
    connection.get_mut().allow(deadlines.body);
    if incoming.expects_continue && connection.buffer().is_empty() {
        connection.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    incoming.request.body = wire::read_body(connection, &incoming.framing, BODY_BYTES, body)?;
    Ok(incoming)
}

/// Reads the request line and the headers. The body stays unread.
fn read_head<'a>(
    reader: &mut impl BufRead,
    line: &'a mut Vec<u8>,
    headers: &'a mut Lines,
) -> Result<Incoming<'a>, Fault> {
    let mut room = HEAD_BYTES;
    // Some clients send an empty line after a body (RFC 9112 §2.2).
    while line.is_empty() {
        wire::read_head_line(reader, &mut room, line)?;
    }
    let Some([method, target, version]) = three_words(wire::as_text(line)) else {
        return wire::bad("the first line must be like `GET /path HTTP/1.1`");
    };
    let at_least_1_1 = wire::is_at_least_1_1(version)?;
    if !wire::is_token(method) {
        return wire::bad("the method must be one word");
    }
    let head_only = method == "HEAD"; // answered as GET, but without the body
    let mut request = Request::new(if head_only { "GET" } else { method }, target)?;
    let headers = wire::read_headers(reader, &mut room, headers)?;
    check_host(&headers, at_least_1_1)?;
    if !at_least_1_1 && headers.get("Transfer-Encoding").is_some() {
        return wire::bad("HTTP/1.0 has no Transfer-Encoding");
    }
    let framing = wire::framing(&headers, BODY_BYTES)?.unwrap_or(Framing::Length(0));
    let expects_continue = expects_continue(&headers)? && at_least_1_1;
    let keep_alive = wire::keeps_alive(&headers, at_least_1_1);
    // A host in the target overrules the header (RFC 9112 §3.2.2).
    request.host = request.host.or_else(|| headers.get("Host"));
    request.headers = headers;
    let manner = Manner { keep_alive, head_only };
    Ok(Incoming { request, framing, manner, expects_continue })
}

fn three_words(line: &str) -> Option<[&str; 3]> {
    let mut words = wire::split(line, b' ');
    let three = [words.next()?, words.next()?, words.next()?];
    words.next().is_none().then_some(three)
}

/// HTTP/1.1 asks for exactly one Host, of the right form; it may be empty (RFC 9112 §3.2).
fn check_host(headers: &Headers, at_least_1_1: bool) -> Result<(), Fault> {
    static HOST: Only = Only::alphanumeric_and(b"-._~%!$&'()*+;=:[]");
    let mut hosts = headers.all("Host");
    match (hosts.next(), hosts.next()) {
        (None, _) if !at_least_1_1 => Ok(()),
        (None, _) => wire::bad("the header Host is missing"),
        (Some(host), None) if HOST.fits(host) => Ok(()),
        (Some(_), None) => wire::bad("the header Host is not a host"),
        _ => wire::bad("there are several headers Host"),
    }
}

/// Whether the client waits for "100 Continue" before it sends the body (RFC 9110 §10.1.1).
fn expects_continue(headers: &Headers) -> Result<bool, Fault> {
    let is_known = |expectation: &str| expectation.eq_ignore_ascii_case("100-continue");
    let mut expectations = headers.list("Expect");
    match expectations.next() {
        None => Ok(false),
        Some(first) if is_known(first) && expectations.all(is_known) => Ok(true),
        Some(_) => Err(Fault::Bad(417, "the only expectation known is 100-continue".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::super::client;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn read(mut head: &[u8]) -> Result<Incoming<'static>, Fault> {
        let Buffers { line, headers, .. } = Box::leak(Box::default());
        read_head(&mut head, line, headers)
    }

    /// The status that refuses this head; 0 if it ends too early.
    fn refused(head: &str) -> u16 {
        match read(head.as_bytes()) {
            Ok(incoming) => panic!("{head:?} was read as {incoming:?}"),
            Err(Fault::Bad(status, _)) => status,
            Err(Fault::Io(_)) => 0,
        }
    }

    #[test]
    fn read_head_takes_what_is_legal() {
        let head = "\r\nPOST http://n1/a?b=c HTTP/1.1\r\nHost: n1:1\r\nX-Odd:  \u{e9} y\t\r\n\r\n";
        let incoming = read(head.as_bytes()).unwrap();
        assert_eq!(incoming.request.method, "POST");
        assert_eq!(incoming.request.segments().collect::<Vec<_>>(), ["a"]);
        assert_eq!(incoming.request.headers.get("x-odd"), Some("\u{e9} y"));
        assert_eq!(incoming.request.host, Some("n1"), "not the header's");
        assert_eq!(incoming.framing, Framing::Length(0));
        let Manner { keep_alive, head_only } = incoming.manner;
        assert!(keep_alive && !head_only && !incoming.expects_continue);
        assert!(read(b"GET / HTTP/1.9\nHost:\n\n").is_ok());
        assert!(read(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n").is_ok());
    }

    #[test]
    fn read_head_knows_when_the_connection_goes_on() {
        for (version, connection, keep_alive) in [
            ("1.1", "Upgrade, Close", false),
            ("1.1", "x", true),
            ("1.0", "x", false),
            ("1.0", "Keep-Alive", true),
            ("1.0", "keep-alive, close", false),
        ] {
            let head = format!("GET / HTTP/{version}\nHost: a\nConnection: {connection}\n\n");
            assert_eq!(read(head.as_bytes()).unwrap().manner.keep_alive, keep_alive, "{head}");
        }
    }

    #[test]
    fn read_head_refuses_what_is_malformed() {
        let forms =
            "GET /|GET  / HTTP/1.1|GET / HTTP/1.1 |GET /\tHTTP/1.1| / HTTP/1.1|G@T / HTTP/1.1";
        let more =
            "GET a HTTP/1.1|GET / http/1.1|GET / HTTP/1|GET / HTTP/11.1|GET /\u{e9} HTTP/1.1";
        let controls = "GET /\0 HTTP/1.1|GET / HTTP/1.1\r|\u{1}\u{2}\u{3}|GET /\u{7f} HTTP/1.1";
        for line in [forms, more, controls].join("|").split('|') {
            assert_eq!(refused(&format!("{line}\r\nHost: a\r\n\r\n")), 400, "{line:?}");
        }
        for (rest, status) in [
            ("1\r\n\r\n", 400),
            ("1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("1\r\nHost: a/b\r\n\r\n", 400),
            ("1\r\n Host: a\r\n\r\n", 400),
            ("0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("1\r\nHost: a\r\nTransfer-Encoding: br\r\n\r\n", 501),
            ("1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
            ("1\r\nHost: a\r\nContent-Length: 4194305\r\n\r\n", 413),
            ("1\r\nHost: a\r\n", 0),
        ] {
            assert_eq!(refused(&format!("GET / HTTP/1.{rest}")), status, "{rest:?}");
        }
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    }

    #[test]
    fn read_head_allows_16_kib() {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        let head = |size: usize| {
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(size - frame))
        };
        assert!(read(head(HEAD_BYTES).as_bytes()).is_ok());
        assert_eq!(refused(&head(HEAD_BYTES + 1)), 431);
        assert_eq!(refused(&"x".repeat(HEAD_BYTES)), 431);
    }

    /// A server that says what it was asked.
    fn start(deadlines: Deadlines) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let deadlines = deadlines.clone();
                thread::spawn(move || {
                    let _ = serve(stream.unwrap(), &deadlines, &|request| match request.path {
                        "/stream" => Response::stream("text/plain", None, Box::new(endless)),
                        path => {
                            let body = String::from_utf8_lossy(request.body);
                            Response::text(200, format!("{} {path} {body}", request.method))
                        }
                    });
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
        let ended = serve(listener.accept().unwrap().0, &deadlines, &respond);
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
