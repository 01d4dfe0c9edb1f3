//! The text of a whole state, for clients that ask for it.
//!
//! The state may be large, and the raft thread would hear nobody while it made the text. So a
//! thread of its own makes it from a clone, which shares the state until one of the two changes,
//! and sends it to the HTTP thread as the answer. Clients that ask for the same state share one
//! text.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread;

use super::inbox::{Answer, Ticket, ToHttp};
use crate::node::message::Index;
use crate::state_machine::StateMachine;

/// Makes texts, on a thread that starts with the first request for one.
pub struct StateText<M> {
    http: Sender<ToHttp>,
    thread: Option<Sender<Job<M>>>,
}

/// A text that is asked for: of this machine, which has applied the log up to this index.
struct Job<M> {
    applied: Index,
    machine: M,
    ticket: Ticket,
}

impl<M: StateMachine> StateText<M> {
    /// A maker of texts that answers clients through this channel.
    pub fn new(http: Sender<ToHttp>) -> StateText<M> {
        StateText { http, thread: None }
    }

    /// Has the text made and sent as an answer. If the system has no more threads, the client waits
    /// in vain, and is told so by the HTTP thread.
    pub fn ask(&mut self, applied: Index, machine: &M, ticket: Ticket) {
        if self.thread.is_none() {
            let (sender, jobs) = mpsc::channel();
            let http = self.http.clone();
            let thread = thread::Builder::new().name("state text".to_string());
            self.thread = thread.spawn(move || answer_all(&jobs, &http)).is_ok().then_some(sender);
        }
        if let Some(jobs) = &self.thread {
            let _ = jobs.send(Job { applied, machine: machine.clone(), ticket });
        }
    }
}

fn answer_all<M: StateMachine>(jobs: &Receiver<Job<M>>, http: &Sender<ToHttp>) {
    let mut last: Option<(Index, Weak<str>)> = None;
    for Job { applied, machine, ticket } in jobs {
        let same = last.as_ref().filter(|last| last.0 == applied);
        let known = same.and_then(|(_, text)| text.upgrade());
        let text = known.unwrap_or_else(|| machine.snapshot().to_string().into());
        last = Some((applied, Arc::downgrade(&text)));
        let _ = http.send(ToHttp::Answer(ticket, Answer::StateMachine(applied, text)));
    }
}
