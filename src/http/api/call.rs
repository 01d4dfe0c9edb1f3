//! One request on its way to its handler, and what all handlers share.

use std::time::Duration;

use super::refusal::refusal;
use crate::http::handler::{Outcome, Question};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::server::inbox::{Answer, ClientRequest, PATIENCE};

/// How long a client waits for the node's status before it is told what the node said last.
const STATUS_PATIENCE: Duration = Duration::from_millis(500);

/// What the handlers need to know of their node.
pub struct Api {
    /// Tells where the members of the cluster are reached, `host:port` each, as known now: their
    /// web pages may ask.
    pub members: Box<dyn Fn() -> Vec<String> + Send>,
    /// Where nodes are killed and restarted, `host:port`, if anywhere: our page may ask there.
    pub launcher: Option<String>,
    /// Every machine may make faults, and not only the node's own.
    pub faults_from_anywhere: bool,
}

/// What a handler gives: an answer or a question for the raft thread, or a refusal.
pub type Answered = Result<Outcome, Response>;

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
    /// Asks the raft thread. `then` makes the response of the answer. An answer that it does not
    /// expect, such as `NotLeader`, it gives back, and the client is told what that means.
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
