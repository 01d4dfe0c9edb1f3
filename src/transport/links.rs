//! The way to a peer: the messages that wait to be sent, and how good the link is.
//!
//! A link is one way, from this node to one peer. It can be made bad, to see what the cluster does
//! then: cut it, lose a share of what is sent, or let everything come late. A late message waits
//! here, with all that come after it, so the order stays. What finds the queue full is lost, as
//! it might be on the way: Raft repairs loss.
//!
//! To wake the sending thread costs more than to write a message, and takes longer. So while that
//! thread waits it lends its connection, and whoever has a message writes it there at once. What
//! the peer's socket does not take at once is left to the thread after all.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::mem;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::shared::lock;
use super::write::{self, LastEntries};
use crate::node::message::Message;

/// How many messages may wait for a peer.
pub const MAX_QUEUE: usize = 1024;
/// The longest delay of a link, in milliseconds.
pub const MAX_DELAY_MS: u64 = 60_000;

/// How good the link to a peer is. The default is a healthy one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing goes to the peer, not even a Hello.
    pub blocked: bool,
    /// How many of a hundred messages are thrown away.
    pub drop_percent: u8,
    /// How long each message waits before it is sent, in milliseconds.
    pub delay_ms: u64,
}

/// What a sending thread has to do.
#[derive(Debug, PartialEq)]
pub enum Errand {
    /// Send this.
    Send(Message),
    /// Send the rest of a message, which the peer's socket took only in part.
    Finish(Vec<u8>),
    /// Look after the peer: it is time to, or the peer has just called.
    Look,
}

/// Messages for one peer. Many threads put them in, the peer's sending thread takes them out.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    link: Link,
    /// Each with the time when it was handed in.
    waiting: VecDeque<(Instant, Message)>,
    /// When the sending thread was asked to look after its peer, if it has not done so yet.
    stirred_at: Option<Instant>,
    /// The connection, while its thread waits and lends it.
    lent: Option<Arc<TcpStream>>,
    /// What was written to it only in part.
    rest: Vec<u8>,
    /// Where a message becomes text; empty between two.
    text: String,
}

impl Queue {
    /// Writes a message or leaves it for its thread, if the link takes it and there is room. `last`
    /// is what was written to whatever peer before.
    pub fn push(&self, message: Message, last: &mut LastEntries) {
        let mut state = lock(&self.state);
        let Link { blocked, drop_percent, .. } = state.link;
        if blocked || state.waiting.len() >= MAX_QUEUE || chance(drop_percent) {
            return;
        }
        if !state.write_at_once(&message, last) {
            state.waiting.push_back((Instant::now(), message));
        }
        let is_news = state.waiting.len() == 1 || !state.rest.is_empty();
        drop(state); // or the thread would wake to wait for it
        if is_news {
            self.changed.notify_one(); // else the thread knows already what it waits for
        }
    }

    /// Asks the sending thread to look after its peer now.
    pub fn stir(&self) {
        self.wake(&mut lock(&self.state));
    }

    fn wake(&self, state: &mut State) {
        state.stirred_at = Some(Instant::now());
        self.changed.notify_one();
    }

    /// How good the link is.
    pub fn link(&self) -> Link {
        lock(&self.state).link
    }

    /// Makes the link better or worse. What waits is sent at its new time; it is lost if the link
    /// is cut.
    pub fn set_link(&self, link: Link) {
        let mut state = lock(&self.state);
        state.link = Link { delay_ms: link.delay_ms.min(MAX_DELAY_MS), ..link };
        if link.blocked {
            state.waiting.clear();
        }
        self.wake(&mut state);
    }

    /// Throws away what is waiting.
    pub fn clear(&self) {
        lock(&self.state).waiting.clear();
    }

    /// What to do next. Waits for it, but not beyond this time: then it is to look. Meanwhile this
    /// connection is lent; no write to it may wait for long.
    pub fn next(&self, until: Instant, connection: Option<&Arc<TcpStream>>) -> Errand {
        let mut state = lock(&self.state);
        loop {
            state.lent = None;
            let now = Instant::now();
            if !state.rest.is_empty() {
                return Errand::Finish(mem::take(&mut state.rest));
            }
            if state.stirred_at.take().is_some() || now >= until {
                return Errand::Look;
            }
            if let Some(message) = state.take_due(now) {
                return Errand::Send(message);
            }
            let next = state.first_due_at().map_or(until, |due| due.min(until));
            state.lent = connection.cloned();
            state = self.wait(state, next - now);
        }
    }

    /// The next message, if it is its time.
    pub fn next_message(&self) -> Option<Message> {
        lock(&self.state).take_due(Instant::now())
    }

    /// Throws away what is waiting, and what comes until this time; less if it is stirred.
    pub fn discard_until(&self, end: Instant) {
        let mut state = lock(&self.state);
        loop {
            if let Some(stirred_at) = state.stirred_at.take() {
                return state.waiting.retain(|&(handed_in, _)| handed_in >= stirred_at);
            }
            state.waiting.clear();
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            state = self.wait(state, rest);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        match self.changed.wait_timeout(state, time) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }
}

impl State {
    /// Writes a message to the connection, if that is lent and no other message must go first.
    /// False if the message is still to be sent.
    fn write_at_once(&mut self, message: &Message, last: &mut LastEntries) -> bool {
        let is_first = self.waiting.is_empty() && self.link.delay_ms == 0;
        let Some(connection) = self.lent.as_ref().filter(|_| is_first) else { return false };
        write::append_message(&mut self.text, message, None, last);
        self.text.push('\n');
        let written = (&**connection).write(self.text.as_bytes());
        if let Ok(count) = written
            && count < self.text.len()
        {
            self.rest = self.text.as_bytes()[count..].to_vec();
        }
        self.text.clear();
        if written.is_err() || !self.rest.is_empty() {
            self.lent = None; // its thread will see to it
        }
        written.is_ok()
    }

    /// When the first message is to be sent.
    fn first_due_at(&self) -> Option<Instant> {
        let delay = Duration::from_millis(self.link.delay_ms);
        self.waiting.front().map(|&(handed_in, _)| handed_in + delay)
    }

    fn take_due(&mut self, now: Instant) -> Option<Message> {
        let is_due = self.first_due_at().is_some_and(|due| due <= now);
        if is_due { self.waiting.pop_front().map(|(_, message)| message) } else { None }
    }
}

/// True as often as this, of a hundred times.
pub fn chance(percent: u8) -> bool {
    // The standard library's one source of chance.
    percent > 0 && RandomState::new().hash_one(()) % 100 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use super::super::write::tests::messages;
    use super::*;
    use crate::node::message::NodeId;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn message(number: usize) -> Message {
        let rpc = messages()[number].0.clone();
        Message { from: NodeId(1), to: NodeId(2), rpc }
    }

    fn push(queue: &Queue, number: usize) {
        queue.push(message(number), &mut LastEntries::default());
    }

    fn next(queue: &Queue) -> Errand {
        queue.next(Instant::now() + PATIENCE, None)
    }

    #[test]
    fn blocked_link_carries_nothing() {
        let queue = Queue::default();
        push(&queue, 0);
        queue.set_link(Link { blocked: true, ..Link::default() });
        push(&queue, 1);
        assert_eq!((next(&queue), queue.next_message()), (Errand::Look, None));
        queue.set_link(Link::default());
        push(&queue, 2);
        assert_eq!([next(&queue), next(&queue)], [Errand::Look, Errand::Send(message(2))]);
    }

    #[test]
    fn bad_link_loses_its_share() {
        let survivors = |drop_percent| {
            let queue = Queue::default();
            queue.set_link(Link { drop_percent, ..Link::default() });
            (0..1000).for_each(|_| push(&queue, 0));
            std::iter::from_fn(|| queue.next_message()).count()
        };
        assert_eq!([0, 100].map(survivors), [1000, 0]);
        assert!((600..800).contains(&survivors(30)));
    }

    #[test]
    fn delayed_messages_keep_their_order_and_their_time() {
        let queue = Queue::default();
        let begun = Instant::now();
        queue.set_link(Link { delay_ms: u64::MAX, ..Link::default() });
        (0..3).for_each(|number| push(&queue, number));
        let (longest, after) = (Duration::from_millis(MAX_DELAY_MS), Instant::now());
        let mut state = lock(&queue.state);
        assert_eq!(state.take_due(begun + longest - Duration::from_millis(1)), None, "too early");
        assert_eq!(state.take_due(after + longest), Some(message(0)));
        drop(state);
        queue.set_link(Link { delay_ms: 1, ..Link::default() });
        assert_eq!(next(&queue), Errand::Look);
        assert_eq!([next(&queue), next(&queue)], [1, 2].map(message).map(Errand::Send));
    }

    /// The peer reads nothing until its socket is full. Nobody waits for it, and nothing is lost.
    #[test]
    fn lent_connection_is_written_to_at_once_and_the_rest_is_left_to_its_thread() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        stream.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let (queue, text) = (Queue::default(), messages()[2].1.to_string() + "\n");
        let (pushed, errand) = thread::scope(|scope| {
            let thread = scope.spawn(|| queue.next(Instant::now() + PATIENCE, Some(&stream)));
            while lock(&queue.state).lent.is_none() {
                thread::yield_now();
            }
            let mut pushed = 0;
            while lock(&queue.state).lent.is_some() {
                push(&queue, 2);
                pushed += 1;
            }
            (pushed, thread.join().unwrap())
        });
        let (left, rest) = match errand {
            Errand::Finish(rest) => (0, rest),
            Errand::Send(_) => (1, Vec::new()), // the last one ended where the room did
            Errand::Look => panic!("a socket that takes everything"),
        };
        let written = pushed - left - lock(&queue.state).waiting.len();
        let mut found = vec![0; written * text.len() - rest.len()];
        listener.accept().unwrap().0.read_exact(&mut found).unwrap();
        found.extend(rest);
        assert!(written > 100 && found == text.repeat(written).as_bytes());
        assert!(lock(&queue.state).lent.is_none());
    }

    #[test]
    fn discard_until_keeps_what_came_after_the_call() {
        let queue = Queue::default();
        (0..3).for_each(|number| push(&queue, number));
        queue.discard_until(Instant::now());
        assert_eq!(queue.next_message(), None);
        push(&queue, 0);
        queue.stir();
        push(&queue, 1);
        queue.discard_until(Instant::now() + PATIENCE);
        assert_eq!((queue.next_message(), queue.next_message()), (Some(message(1)), None));
    }
}
