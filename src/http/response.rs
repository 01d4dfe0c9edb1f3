//! What the server answers, and how it is written.

use std::io;

use super::wire;
use crate::json::Json;
use crate::json::text::append_number;

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
    /// What comes piece by piece, so many bytes in all if that is known. The end of the connection
    /// is its end (RFC 9112 §6.3).
    Stream(Option<u64>, Pieces),
}

/// How an answer is to be written, whatever it says.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The connection goes on.
    pub keep_alive: bool,
    /// The client wants the head alone (RFC 9110 §9.3.2).
    pub head_only: bool,
}

/// Gives the next piece of a body each time it is called. It waits for nothing; an error ends the
/// connection.
pub type Pieces = Box<dyn FnMut() -> io::Result<Piece>>;

/// The next piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing yet, but more is to come.
    NotYet,
    /// Nothing more.
    End,
}

impl Response {
    /// An answer of any type of content.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        let (headers, body) = (Vec::new(), Body::Whole(body.into()));
        Response { status, content_type, headers, body }
    }

    /// An answer that comes piece by piece; its length, if it is known.
    pub fn stream(content_type: &'static str, length: Option<u64>, pieces: Pieces) -> Response {
        let body = Body::Stream(length, pieces);
        Response { body, ..Response::new(200, content_type, "") }
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

    /// Appends what goes to the client, but for a body that comes piece by piece.
    pub fn append_to(&self, bytes: &mut Vec<u8>, manner: Manner) {
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
        let stream = |length| head(Response::stream("a/b", length, Box::new(|| Ok(Piece::End))));
        let start = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n";
        assert_eq!(stream(None), format!("{start}Connection: keep-alive\r\n\r\n"));
        assert_eq!(
            stream(Some(3)),
            format!("{start}Content-Length: 3\r\nConnection: keep-alive\r\n\r\n")
        );
    }

    #[test]
    fn document_has_every_status() {
        let document = include_str!("../../docs/PROTOCOL.md");
        let rows = document.lines().filter_map(|row| row.strip_prefix("| ")?.split(' ').next());
        let explained: Vec<u16> = rows.filter_map(|cell| cell.parse().ok()).collect();
        let known: Vec<u16> = (200..600).filter(|&status| !reason(status).is_empty()).collect();
        assert_eq!(explained, known);
    }
}
