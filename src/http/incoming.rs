//! How a server reads a request.

use std::io::{BufRead, BufReader, Write};

use super::server::Deadlines;
use super::wire::{self, Buffers, Fault, Framing, HEAD_BYTES, Headers, Lines, Only};
use super::{Manner, Request};
use crate::transport::timed::Timed;

/// The most that a request's body may have, in bytes: two values of a megabyte, or one that has
/// been escaped by a client who trusts nothing but ASCII.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

/// A request, and what its head says of the exchange.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// What the client asks.
    pub request: Request<'a>,
    /// How it is to be answered.
    pub manner: Manner,
    framing: Framing,
    /// The client holds its body back until it is told to go on.
    expects_continue: bool,
}

/// Reads a request from a client who has so much time for each of its parts.
///
/// # Errors
/// It breaks a rule, or is not all there.
pub fn read<'a>(
    connection: &mut BufReader<Timed>,
    buffers: &'a mut Buffers,
    deadlines: &Deadlines,
) -> Result<Incoming<'a>, Fault> {
    buffers.clear();
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

/// The request with which these bytes begin, if it has come whole, and how many of them it has.
pub fn read_at_once<'a>(
    mut bytes: &[u8],
    buffers: &'a mut Buffers,
) -> Option<(Incoming<'a>, usize)> {
    buffers.clear();
    let Buffers { line, headers, body } = buffers;
    let come = bytes.len();
    let mut incoming = read_head(&mut bytes, line, headers).ok()?;
    incoming.request.body =
        wire::read_body(&mut bytes, &incoming.framing, BODY_BYTES, body).ok()?;
    Some((incoming, come - bytes.len()))
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
    use super::*;

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

    #[test]
    fn read_at_once_takes_what_is_whole_and_no_more() {
        let head = "POST /a HTTP/1.1\r\nHost: x\r\n";
        let first = format!("{head}Content-Length: 2\r\n\r\nhi");
        let two = format!("{first}{head}");
        let mut buffers = Buffers::default();
        let (incoming, length) = read_at_once(two.as_bytes(), &mut buffers).unwrap();
        assert_eq!((incoming.request.body, length), (&b"hi"[..], first.len()));
        for length in 0..first.len() {
            assert!(read_at_once(&first.as_bytes()[..length], &mut buffers).is_none(), "{length}");
        }
    }
}
