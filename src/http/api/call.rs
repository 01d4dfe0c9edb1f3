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

impl Call<'_> {
    /// Asks the raft thread. `then` makes the response of the answer. An answer that it does not
    /// expect, such as `NotLeader`, it gives back, and the client is told what that means.
    pub fn ask(
        &self,
        request: ClientRequest,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Outcome {
        self.ask_or(no_answer, request, then)
    }

    /// Asks the raft thread, and tells the client `too_late` if no answer comes in time.
    pub fn ask_or(
        &self,
        too_late: fn() -> Response,
        request: ClientRequest,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Outcome {
        Outcome::Ask(request, self.question(too_late, then))
    }

    /// Asks how the node is.
    pub fn ask_status(
        &self,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Outcome {
        let question = self.question(no_answer, then);
        let question = Question { patience: STATUS_PATIENCE, takes_old_status: true, ..question };
        Outcome::Ask(ClientRequest::Status, question)
    }

    fn question(
        &self,
        too_late: fn() -> Response,
        then: impl FnOnce(Answer) -> Result<Response, Answer> + 'static,
    ) -> Question {
        let path = self.request.path.to_string();
        let respond = move |answer| match answer {
            Some(answer) => then(answer).unwrap_or_else(|other| refusal(&path, Some(other))),
            None => too_late(),
        };
        let (patience, then, headers) = (PATIENCE, Box::new(respond), Vec::new());
        Question { patience, then, takes_old_status: false, headers }
    }
}

/// What a client is told if the raft thread gave no answer in time.
fn no_answer() -> Response {
    refusal("", None)
}
