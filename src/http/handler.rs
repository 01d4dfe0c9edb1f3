//! What the HTTP thread asks of the part of the program that knows the answers.

use std::net::IpAddr;
use std::time::Duration;

use super::request::Request;
use super::response::{Header, Response};
use crate::server::inbox::{Answer, ClientRequest};

/// Answers requests. It is asked on the HTTP thread, and must not wait for anything.
pub trait Handler: Send {
    /// The answer to this request, or whom to ask for it.
    fn answer(&self, request: &Request, client: &Client) -> Outcome;
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// From where the client has connected.
    pub peer: IpAddr,
    /// To which address of ours.
    pub own: IpAddr,
}

/// What a handler makes of a request.
pub enum Outcome {
    /// This is the answer.
    Answer(Response),
    /// The raft thread is to be asked this.
    Ask(ClientRequest, Question),
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Outcome {
        Outcome::Answer(response)
    }
}

/// What becomes of the raft thread's answer.
pub struct Question {
    /// How long the client waits for it.
    pub patience: Duration,
    /// Makes the answer for the client; `None` if the raft thread gave none in time.
    pub then: Box<dyn FnOnce(Option<Answer>) -> Response>,
    /// If none comes in time, what the raft thread last said of itself will do.
    pub takes_old_status: bool,
    /// More header lines for the answer.
    pub headers: Vec<Header>,
}
