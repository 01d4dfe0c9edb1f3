//! One request on its way to its handler, and what all handlers share.

use std::time::Duration;

use super::Api;
use super::refusal::refusal;
use crate::http::handler::{Outcome, Question};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::json::{ObjectWriter, Value};
use crate::server::inbox::{Answer, ClientRequest, PATIENCE};

/// How long a client waits for the node's status before it is told what the node said last.
const STATUS_PATIENCE: Duration = Duration::from_millis(500);

/// Room for most answers, in bytes.
const MEMBERS_ROOM: usize = 256;

/// One request.
pub struct Call<'a> {
    /// What the client asks.
    pub request: &'a Request<'a>,
    /// What is known of the node.
    pub api: &'a Api,
    /// It comes from the node's own machine.
    pub is_from_here: bool,
}

/// Makes a response of the raft thread's answer, or a refusal.
type Then = Box<dyn FnOnce(Answer) -> Result<Response, Answer>>;

impl Call<'_> {
    /// Asks the raft thread. `then` makes the response of the answer, or gives the answer back if
    /// it is none that was asked for: then the client is told why.
    pub fn ask(
        &self,
        request: ClientRequest,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Outcome {
        self.ask_within(PATIENCE, || refusal("", None), request, Box::new(then))
    }

    /// Asks how the node is.
    pub fn ask_status(
        &self,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Outcome {
        let too_late = || refusal("", None);
        match self.ask_within(STATUS_PATIENCE, too_late, ClientRequest::Status, Box::new(then)) {
            Outcome::Ask(request, question) => {
                Outcome::Ask(request, Question { takes_old_status: true, ..question })
            }
            answer => answer,
        }
    }

    /// Asks the raft thread, and tells the client `too_late` if no answer comes in time.
    pub fn ask_or(
        &self,
        too_late: fn() -> Response,
        request: ClientRequest,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Outcome {
        self.ask_within(PATIENCE, too_late, request, Box::new(then))
    }

    fn ask_within(
        &self,
        patience: Duration,
        too_late: fn() -> Response,
        request: ClientRequest,
        then: Then,
    ) -> Outcome {
        let path = self.request.path.to_string();
        let respond = move |answer| match answer {
            Some(answer) => then(answer).unwrap_or_else(|other| refusal(&path, Some(other))),
            None => too_late(),
        };
        let then = Box::new(respond);
        Outcome::Ask(
            request,
            Question { patience, then, takes_old_status: false, headers: Vec::new() },
        )
    }
}

/// An answer with these members.
pub fn json<const N: usize>(status: u16, members: [(&'static str, Value); N]) -> Response {
    Members::new(members).answer(status)
}

/// Members of an object, as text: some may be known before the others, and to another thread.
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
