//! The text of a whole state, for clients that ask for it.
//!
//! The state may be large, and the raft thread would hear nobody while it made the text. So a
//! thread of its own makes it from a clone, which shares the state until one of the two changes,
//! and sends it to the HTTP thread as the answer. Clients that ask meanwhile share the
//! next text.

use std::iter;
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
        let job = Job { applied, machine: machine.clone(), ticket };
        // If the thread has died, the next request starts a new one.
        self.thread.take_if(|thread| thread.send(job).is_err());
    }
}

fn answer_all<M: StateMachine>(jobs: &Receiver<Job<M>>, http: &Sender<ToHttp>) {
    let mut last: Option<(Index, Weak<str>)> = None;
    while let Ok(first) = jobs.recv() {
        // All clients that wait get the newest state, so the texts never lag behind the requests.
        let waiting: Vec<Job<M>> = iter::once(first).chain(jobs.try_iter()).collect();
        let Some(Job { applied, machine, .. }) = waiting.last() else { continue };
        let same = last.as_ref().filter(|last| last.0 == *applied);
        let known = same.and_then(|(_, text)| text.upgrade());
        let text = known.unwrap_or_else(|| machine.snapshot().to_string().into());
        last = Some((*applied, Arc::downgrade(&text)));
        for Job { ticket, .. } in &waiting {
            let answer = Answer::StateMachine(*applied, Arc::clone(&text));
            let _ = http.send(ToHttp::Answer(*ticket, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_machine::kv::Store;

    #[test]
    fn every_client_that_asks_gets_a_state_that_is_no_older_than_its_request() {
        let (http, answers) = mpsc::channel();
        let mut texts = StateText::new(http);
        let mut store = Store::default();
        for applied in 1..=20 {
            store.apply(&format!("set x={applied}"));
            texts.ask(applied, &store, Ticket { connection: applied, request: 1 });
        }
        drop(texts);
        let mut found = Vec::new();
        for answer in answers {
            let ToHttp::Answer(ticket, Answer::StateMachine(applied, text)) = answer else {
                panic!("no state")
            };
            assert_eq!(*text, format!(r#"{{"x":"{applied}"}}"#));
            assert!(applied >= ticket.connection);
            found.push(ticket.connection);
        }
        assert_eq!(found, (1..=20).collect::<Vec<_>>());
    }
}
