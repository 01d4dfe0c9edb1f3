//! What a client asks, and how the server reads it.

use std::borrow::Cow;
use std::io::BufRead;

use super::response::Manner;
use super::wire::{self, Buffers, Fault, Framing, HEAD_BYTES, Headers, Only};

/// The most that a request's body may have, in bytes: two values of a megabyte, or one that has
/// been escaped by a client who trusts nothing but ASCII.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

/// What a client asks. It borrows the text that the connection has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`, `POST`, … Our server shows HEAD as GET and leaves the body out of the answer itself.
    pub method: &'a str,
    /// The path as it came, still percent-encoded: `/keys/a%2Fb`.
    pub path: &'a str,
    /// The decoded names and values after `?`.
    pub query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whom it is for, `host:port`: what the target says, else the header Host; only HTTP/1.0
    /// may leave it out.
    pub host: Option<&'a str>,
    /// The header lines.
    pub headers: Headers<'a>,
    /// The body; empty if there is none.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request without headers and body, from a request line's method and target.
    pub fn new(method: &'a str, target: &'a str) -> Result<Request<'a>, Fault> {
        let (host, path, query) = split_target(target)?;
        percent_decode(path)?; // so can its parts be
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((form_decode(name)?, form_decode(value)?));
        }
        let (query, headers, body) = (pairs, Headers::default(), &[][..]);
        Ok(Request { method, path, query, host, headers, body })
    }

    /// The decoded parts of the path: `/keys/a%2Fb` has `keys` and `a/b`, `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, str>> {
        let parts = self.path.trim_start_matches('/').split('/');
        let count = if self.path == "/" { 0 } else { usize::MAX };
        parts.take(count).map(|part| percent_decode(part).expect("the whole path could be decoded"))
    }

    /// The value of the first parameter of this name after `?`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|pair| pair.0 == name).map(|pair| &*pair.1)
    }
}

/// The host, path and query of a request target: `/path?query`, `http://host/path?query`, or `*`
/// (RFC 9112 §3.2).
fn split_target(target: &str) -> Result<(Option<&str>, &str, &str), Fault> {
    if !wire::is_target(target) {
        return wire::bad("the request target must be printable ASCII; write the rest as %XX");
    }
    let (mut host, mut local) = (None, target);
    if !target.starts_with('/')
        && let Some((scheme, rest)) = target.split_once("://")
        && scheme.eq_ignore_ascii_case("http")
        && rest.starts_with(|first| first != '/' && first != '?')
    {
        let (name, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        (host, local) = (Some(name), rest);
    }
    match local.split_once('?').unwrap_or((local, "")) {
        ("", query) if host.is_some() => Ok((host, "/", query)),
        (path, query) if path.starts_with('/') || target == "*" => Ok((host, path, query)),
        _ => wire::bad("the request target must begin with / or http://"),
    }
}

/// The text that `%XX` escapes stand for.
fn percent_decode(text: &str) -> Result<Cow<'_, str>, Fault> {
    if !text.bytes().any(|byte| byte == b'%') {
        return Ok(text.into());
    }
    let unescape = || {
        let mut decoded = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                decoded.push(byte);
                continue;
            }
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push((high * 16 + low) as u8);
        }
        String::from_utf8(decoded).ok()
    };
    match unescape() {
        Some(decoded) => Ok(decoded.into()),
        None => wire::bad("a % in the path or query must begin %XX, and all must be UTF-8"),
    }
}

/// The same of a text behind `?`: HTML forms send a space as `+`, and a plus as `%2B`.
fn form_decode(text: &str) -> Result<Cow<'_, str>, Fault> {
    match text.contains('+') {
        false => percent_decode(text),
        true => Ok(percent_decode(&text.replace('+', " "))?.into_owned().into()),
    }
}

/// A request without its body, and what its head says of the exchange.
#[derive(Debug)]
pub struct Head<'a> {
    /// What the client asks.
    pub request: Request<'a>,
    /// How it is to be answered.
    pub manner: Manner,
    /// Where the body ends.
    pub framing: Framing,
    /// The client holds its body back until it is told to go on.
    pub expects_continue: bool,
}

/// Reads the request line and the headers. The body stays unread.
///
/// # Errors
/// It breaks a rule, or is not all there.
pub fn read_head<'a>(
    reader: &mut impl BufRead,
    buffers: &'a mut Buffers,
) -> Result<Head<'a>, Fault> {
    let Buffers { line, headers } = buffers;
    wire::empty(line);
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
    Ok(Head { request, framing, manner, expects_continue })
}

fn three_words(line: &str) -> Option<[&str; 3]> {
    let mut words = line.split(' ');
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

    fn read(mut head: &[u8]) -> Result<Head<'static>, Fault> {
        read_head(&mut head, Box::leak(Box::default()))
    }

    /// The status that refuses this head; 0 if it ends too early.
    fn refused(head: &str) -> u16 {
        match read(head.as_bytes()) {
            Ok(head) => panic!("it was read as {head:?}"),
            Err(Fault::Bad(status, _)) => status,
            Err(Fault::Io(_)) => 0,
        }
    }

    #[test]
    fn read_head_takes_what_is_legal() {
        let head = "\r\nPOST http://n1/a?b=c HTTP/1.1\r\nHost: n1:1\r\nX-Odd:  \u{e9} y\t\r\n\r\n";
        let found = read(head.as_bytes()).unwrap();
        assert_eq!(found.request.method, "POST");
        assert_eq!(found.request.segments().collect::<Vec<_>>(), ["a"]);
        assert_eq!(found.request.headers.get("x-odd"), Some("\u{e9} y"));
        assert_eq!(found.request.host, Some("n1"), "not the header's");
        assert_eq!(found.framing, Framing::Length(0));
        let Manner { keep_alive, head_only } = found.manner;
        assert!(keep_alive && !head_only && !found.expects_continue);
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
    fn request_new_decodes_path_and_query() {
        let request = Request::new("GET", "/keys/a%2Fb/%C3%A9?q=1+2%2B3&flag&&q=4").unwrap();
        assert_eq!(request.path, "/keys/a%2Fb/%C3%A9");
        assert_eq!(request.segments().collect::<Vec<_>>(), ["keys", "a/b", "é"]);
        assert_eq!(request.parameter("q"), Some("1 2+3"));
        assert_eq!(request.parameter("flag"), Some(""));
        assert_eq!(request.parameter("absent"), None);
    }

    #[test]
    fn request_new_reads_every_form_of_target() {
        for (target, host, path, query) in [
            ("/", None, "/", ""),
            ("/a/?x", None, "/a/", "x"),
            ("/a?x=http://n1/", None, "/a", "x=http://n1/"),
            ("http://n1:5001/a?b=/c", Some("n1:5001"), "/a", "b=/c"),
            ("HTTP://n1", Some("n1"), "/", ""),
            ("http://n1?x=1", Some("n1"), "/", "x=1"),
            ("*", None, "*", ""),
        ] {
            assert_eq!(split_target(target).unwrap(), (host, path, query), "{target}");
        }
        let segments = |path| Request::new("GET", path).unwrap().segments().collect::<Vec<_>>();
        assert_eq!(segments("/"), [""; 0]);
        assert_eq!(segments("/a/"), ["a", ""]);
    }

    #[test]
    fn request_new_refuses_what_it_cannot_decode() {
        let forms = ",a,?a,ftp://n1/,http://,http:///a,http://?a,*?a,/a#b,/é";
        let escapes = "/%,/%4,/%+1,/%zz,/%ff,/?a=%C3,/?%C3=a";
        for target in forms.split(',').chain(escapes.split(',')) {
            let refused = Request::new("GET", target);
            assert!(matches!(refused, Err(Fault::Bad(400, _))), "{target}: {refused:?}");
        }
    }
}
