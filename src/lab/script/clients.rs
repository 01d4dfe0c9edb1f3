//! The clients of a script: what they asked, what they were told, and whether one store could have
//! told them so.
//!
//! Each proposal or read is an operation of a client of its own, unless it carries a session
//! (`@alice:1 incr x`): the same client and serial number once more is a retry of the same
//! operation. After every answer the whole history is judged.

use std::collections::BTreeMap;

use crate::lab::checker::Violation;
use crate::lab::journal::{Answer, Outcome};
use crate::lab::linearizability::{self, Operation};
use crate::node::message::Command;
use crate::node::rules::Property;
use crate::node::step::{Millis, RequestId};
use crate::state_machine::kv::Request;

/// What clients did, in order.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    operations: Vec<Operation>,
    /// The operation of each request, in the order of requests.
    requests: Vec<usize>,
    sessions: BTreeMap<(String, u64), usize>,
    /// How many calls there were. This is the clients' clock, because in a script no time need pass
    /// between a call and its answer: an answer is before the calls that come after it.
    calls: Millis,
    last_answer: Option<String>,
}

impl Clients {
    /// A client proposes a command or retries one. The number of its request.
    pub fn propose(&mut self, command: &Command) -> Result<RequestId, String> {
        let (session, text) = command.split();
        let request = text.parse()?;
        let Some((client, serial)) = session else { return Ok(self.call(request)) };
        let session = (client.to_string(), serial);
        if let Some(&operation) = self.sessions.get(&session) {
            return Ok(self.request_for(operation));
        }
        let id = self.call(request);
        let operation = self.operations.len() - 1;
        self.operations[operation].client = client.to_string();
        self.sessions.insert(session, operation);
        Ok(id)
    }

    /// A client reads. The number of its request.
    pub fn read(&mut self, request: Request) -> RequestId {
        self.call(request)
    }

    fn call(&mut self, request: Request) -> RequestId {
        self.calls += 1;
        let client = format!("client {}", self.calls);
        self.operations.push(Operation { client, request, called: self.calls, answer: None });
        self.request_for(self.operations.len() - 1)
    }

    fn request_for(&mut self, operation: usize) -> RequestId {
        self.last_answer = None;
        self.requests.push(operation);
        self.requests.len() as RequestId - 1
    }

    /// A client is told something. If no order of what all clients saw explains it, that is a
    /// break of Linearizability.
    pub fn answered(&mut self, answer: Answer) -> Result<(), Violation> {
        let operation = &mut self.operations[self.requests[answer.request as usize]];
        let (Outcome::Applied(_, reply) | Outcome::Read(reply)) = answer.outcome else {
            self.last_answer = Some("refused".to_string());
            return Ok(());
        };
        self.last_answer = Some(reply.to_string());
        if operation.answer.is_none() {
            operation.answer = Some((self.calls, reply));
        }
        // These times are no milliseconds.
        linearizability::check(&self.operations)
            .map_err(|why| Violation::new(Property::Linearizability, why.replace(" ms  ", "  ")))
    }

    /// How an answer reads in the script's output.
    pub fn line(&self, answer: &Answer) -> String {
        answer.to(&self.operations[self.requests[answer.request as usize]])
    }

    /// What the last client that asked was told, or any client since then.
    pub fn last_answer(&self) -> Option<&str> {
        self.last_answer.as_deref()
    }
}
