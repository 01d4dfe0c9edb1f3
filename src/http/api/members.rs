//! Answers that are JSON objects.

use crate::http::response::Response;
use crate::json::{ObjectWriter, Value};

/// Room for most answers, in bytes.
const MEMBERS_ROOM: usize = 256;

/// An answer with these members.
pub fn json<const N: usize>(status: u16, members: [(&'static str, Value); N]) -> Response {
    Members::new(members).answer(status)
}

/// Members of an object, as text. Some are known when the request comes, others only when the raft
/// thread has answered.
pub struct Members(String);

impl Members {
    /// These members.
    pub fn new<const N: usize>(members: [(&'static str, Value); N]) -> Members {
        let mut text = String::with_capacity(MEMBERS_ROOM);
        ObjectWriter::new(&mut text).add(members);
        Members(text)
    }

    /// These as well.
    pub fn and<const N: usize>(mut self, members: [(&'static str, Value); N]) -> Members {
        ObjectWriter::resume(&mut self.0).add(members);
        self
    }

    /// The answer that is made of them.
    pub fn answer(mut self, status: u16) -> Response {
        ObjectWriter::resume(&mut self.0).end();
        Response::json(status, self.0)
    }
}
