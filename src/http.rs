//! A small HTTP/1.1 server and client (RFC 9112): blocking, a thread a connection; but busy
//! clients are looked after by whichever thread is awake.
//!
//! HTTP is text: a first line, header lines `Name: value`, an empty line, then a body. A request's
//! first line says what is asked (`GET /status HTTP/1.1`), an answer's how it went (`HTTP/1.1 200
//! OK`). What both sides read alike is in `wire`; [`server`] answers on one connection until it
//! ends, with the help of whoever has a [`pen`], and busy connections wait in the [`hall`];
//! [`client`] asks. These move bytes and know nothing of Raft. [`origin_guard`] keeps strange web
//! pages out, and [`api`] is what a node answers.
//!
//! The one hard question is where a message ends. Two readers who disagree about it can be made to
//! see different requests in the same bytes ("request smuggling", RFC 9112 §11.2), so whatever
//! could be read in two ways is refused with status 400.

pub mod api;
pub mod client;
pub mod hall;
pub mod origin_guard;
pub mod pen;
pub mod server;

mod incoming;
mod wire;

use std::borrow::Cow;
use std::io::{self, Write};

use crate::json::Json;
use crate::json::text::append_number;
use pen::Later;
use wire::Fault;
pub use wire::Headers;

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
    fn new(method: &'a str, target: &'a str) -> Result<Request<'a>, Fault> {
        let (host, path, query) = split_target(target)?;
        percent_decode(path)?; // so can its parts be
        let mut pairs = Vec::new();
        for pair in wire::split(query, b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = wire::split_once(pair, b'=').unwrap_or((pair, ""));
            pairs.push((form_decode(name)?, form_decode(value)?));
        }
        let (query, headers, body) = (pairs, Headers::default(), &[][..]);
        Ok(Request { method, path, query, host, headers, body })
    }

    /// The decoded parts of the path: `/keys/a%2Fb` has `keys` and `a/b`, `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, str>> {
        let parts = wire::split(self.path.trim_start_matches('/'), b'/');
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
    match wire::split_once(local, b'?').unwrap_or((local, "")) {
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

/// What the server answers. It adds `Content-Length` and `Connection` itself.
pub struct Response {
    /// The status code, `200` for success.
    pub status: u16,
    /// What its body is, for the header `Content-Type`; empty if there is no body.
    pub content_type: &'static str,
    /// The other header lines.
    pub headers: Vec<Header>,
    /// What it says.
    pub body: Body,
}

/// A header line of an answer.
pub type Header = (&'static str, String);

/// What an answer says.
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// What a function writes bit by bit, so many bytes in all if that is known. The end of the
    /// connection is its end (RFC 9112 §6.3).
    Stream(Option<u64>, Writer),
    /// What is not known yet. It will be an answer of its own, with status and headers; those of
    /// this one are added to them.
    Later(Later),
}

/// How an answer is to be written, whatever it says.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The connection goes on.
    pub keep_alive: bool,
    /// The client wants the head alone (RFC 9110 §9.3.2).
    pub head_only: bool,
}

/// Writes a body. Each single write may take as long as a whole answer; an error ends it.
pub type Writer = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()>>;

impl Response {
    /// An answer of any type of content.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        let (headers, body) = (Vec::new(), Body::Whole(body.into()));
        Response { status, content_type, headers, body }
    }

    /// An answer that is written bit by bit; its length, if it is known.
    pub fn stream(content_type: &'static str, length: Option<u64>, writer: Writer) -> Response {
        let body = Body::Stream(length, writer);
        Response { body, ..Response::new(200, content_type, "") }
    }

    /// An answer that someone else will write.
    pub fn later(later: Later) -> Response {
        Response { body: Body::Later(later), ..Response::empty() }
    }

    /// An answer without a body.
    pub fn empty() -> Response {
        Response::new(204, "", "")
    }

    /// An answer whose body is JSON text.
    pub fn json(status: u16, text: impl Into<Vec<u8>>) -> Response {
        Response::new(status, "application/json", text)
    }

    /// An answer in plain text.
    pub fn text(status: u16, text: impl Into<Vec<u8>>) -> Response {
        Response::new(status, "text/plain; charset=utf-8", text)
    }

    /// A refusal: JSON with the one field `error`.
    pub fn error(status: u16, message: &str) -> Response {
        Response::json(status, Json::object([("error", message.into())]).text())
    }

    /// The same answer with one more header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// Appends what goes to the client, but for a body that is written bit by bit.
    fn append_to(&self, bytes: &mut Vec<u8>, manner: Manner) {
        self.append_head(bytes, manner.keep_alive);
        let has_body = wire::may_have_body(self.status) && !manner.head_only;
        if let Body::Whole(body) = &self.body
            && has_body
        {
            bytes.extend_from_slice(body); // one write, one packet
        }
    }

    /// The first line and the headers, each with the end of the line before it.
    fn append_head(&self, head: &mut Vec<u8>, keep_alive: bool) {
        append(head, ["HTTP/1.1 "]);
        append_number(head, self.status.into());
        append(head, [" ", reason(self.status)]);
        if !self.content_type.is_empty() {
            append(head, ["\r\nContent-Type: ", self.content_type]);
        }
        for (name, value) in &self.headers {
            // A line end in a value would let its author write headers of his own.
            let harmless = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
            append(head, ["\r\n", name, ": "]);
            head.extend(value.bytes().map(harmless));
        }
        let length = match &self.body {
            Body::Whole(bytes) => Some(bytes.len() as u64),
            Body::Stream(length, _) => *length,
            Body::Later(_) => None,
        };
        if let Some(length) = length.filter(|_| wire::may_have_body(self.status)) {
            append(head, ["\r\nContent-Length: "]);
            append_number(head, length);
        }
        match keep_alive {
            true => append(head, ["\r\nConnection: keep-alive\r\n\r\n"]),
            false => append(head, ["\r\nConnection: close\r\n\r\n"]),
        }
    }
}

fn append<const N: usize>(bytes: &mut Vec<u8>, texts: [&str; N]) {
    texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
}

/// The words beside a status code, for people; programs read the number (RFC 9110 §15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn response_error_escapes_its_message() {
        let message = "no \"x\\y\"\n\u{1}é";
        let Body::Whole(body) = Response::error(400, message).body else { panic!("a stream") };
        let json = Json::parse(body).unwrap();
        assert_eq!(json.get("error").and_then(Json::as_str), Some(message));
    }

    fn head(response: Response) -> String {
        let mut bytes = Vec::new();
        response.append_to(&mut bytes, Manner { keep_alive: true, head_only: true });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn response_head_lets_no_value_begin_a_line() {
        let text = head(Response::json(307, "{}").with_header("Location", "http://n1/\r\nX: y"));
        assert!(text.starts_with("HTTP/1.1 307 Temporary Redirect\r\n"), "{text}");
        assert!(text.contains("\r\nLocation: http://n1/  X: y\r\n"), "{text}");
    }

    #[test]
    fn response_head_gives_no_length_where_there_is_none() {
        assert_eq!(
            head(Response::empty()),
            "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"
        );
        let stream = |length| head(Response::stream("a/b", length, Box::new(|_| Ok(()))));
        let start = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n";
        assert_eq!(stream(None), format!("{start}Connection: keep-alive\r\n\r\n"));
        assert_eq!(
            stream(Some(3)),
            format!("{start}Content-Length: 3\r\nConnection: keep-alive\r\n\r\n")
        );
    }

    #[test]
    fn document_has_every_status() {
        let document = include_str!("../docs/PROTOCOL.md");
        let rows = document.lines().filter_map(|row| row.strip_prefix("| ")?.split(' ').next());
        let explained: Vec<u16> = rows.filter_map(|cell| cell.parse().ok()).collect();
        let known: Vec<u16> = (200..600).filter(|&status| !reason(status).is_empty()).collect();
        assert_eq!(explained, known);
    }
}
