//! The way to a peer: the messages that wait to be sent, and how good the link is.
//!
//! A link is one way, from this node to one peer. It can be made bad, to see what the cluster does
//! then: cut it, lose a share of what is sent, or let everything come late. A late message waits
//! here, with all that come after it, so the order stays. A message that finds the queue full is
//! lost, as it might be on the way: Raft repairs loss.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// What the writer of a peer does next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Send this.
    Send(Message),
    /// Look after the peer: it is time to, or the peer has just connected to us.
    Look,
}

/// Messages for one peer. The raft thread puts them in, the peer's writer takes them out.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    link: Link,
    /// Each with the time when it was put in.
    waiting: VecDeque<(Instant, Message)>,
    /// When the writer was asked to look after its peer, if it has not done so yet.
    woken_at: Option<Instant>,
}

impl Queue {
    /// Puts a message in, if the link takes it and there is room.
    pub fn push(&self, message: Message) {
        let mut state = lock(&self.state);
        let Link { blocked, drop_percent, .. } = state.link;
        if blocked || state.waiting.len() >= MAX_QUEUE || chance(drop_percent) {
            return;
        }
        state.waiting.push_back((Instant::now(), message));
        let is_first = state.waiting.len() == 1;
        drop(state); // or the writer would wake to wait for it
        if is_first {
            self.changed.notify_one(); // else the writer knows already what it waits for
        }
    }

    /// Asks the writer to look after its peer now.
    pub fn wake(&self) {
        self.ask_to_look(&mut lock(&self.state));
    }

    fn ask_to_look(&self, state: &mut State) {
        state.woken_at = Some(Instant::now());
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
        self.ask_to_look(&mut state);
    }

    /// Throws away what is waiting.
    pub fn clear(&self) {
        lock(&self.state).waiting.clear();
    }

    /// What to do next. Waits for it, but not beyond this time: then it is to look.
    pub fn next(&self, until: Instant) -> Next {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            if state.woken_at.take().is_some() || now >= until {
                return Next::Look;
            }
            if let Some(message) = state.take_due(now) {
                return Next::Send(message);
            }
            let next = state.first_due_at().map_or(until, |due| due.min(until));
            state = self.wait(state, next - now);
        }
    }

    /// The next message, if it is its time.
    pub fn next_message(&self) -> Option<Message> {
        lock(&self.state).take_due(Instant::now())
    }

    /// Throws away what is waiting, and what comes until this time; less if the writer is woken.
    pub fn discard_until(&self, end: Instant) {
        let mut state = lock(&self.state);
        loop {
            if let Some(woken_at) = state.woken_at.take() {
                return state.waiting.retain(|&(put_in, _)| put_in >= woken_at);
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
    /// When the first message is to be sent.
    fn first_due_at(&self) -> Option<Instant> {
        let delay = Duration::from_millis(self.link.delay_ms);
        self.waiting.front().map(|&(put_in, _)| put_in + delay)
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

/// Locks a mutex. A thread that panics leaves nothing half done behind the transport's locks.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::codec::write::tests::messages;
    use super::*;
    use crate::node::message::NodeId;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn message(number: usize) -> Message {
        let rpc = messages()[number].0.clone();
        Message { from: NodeId(1), to: NodeId(2), rpc }
    }

    fn push(queue: &Queue, number: usize) {
        queue.push(message(number));
    }

    fn next(queue: &Queue) -> Next {
        queue.next(Instant::now() + PATIENCE)
    }

    #[test]
    fn blocked_link_carries_nothing() {
        let queue = Queue::default();
        push(&queue, 0);
        queue.set_link(Link { blocked: true, ..Link::default() });
        push(&queue, 1);
        assert_eq!((next(&queue), queue.next_message()), (Next::Look, None));
        queue.set_link(Link::default());
        push(&queue, 2);
        assert_eq!([next(&queue), next(&queue)], [Next::Look, Next::Send(message(2))]);
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
        assert_eq!(next(&queue), Next::Look);
        assert_eq!([next(&queue), next(&queue)], [1, 2].map(message).map(Next::Send));
    }

    #[test]
    fn discard_until_keeps_what_came_after_the_call() {
        let queue = Queue::default();
        (0..3).for_each(|number| push(&queue, number));
        queue.discard_until(Instant::now());
        assert_eq!(queue.next_message(), None);
        push(&queue, 0);
        queue.wake();
        push(&queue, 1);
        queue.discard_until(Instant::now() + PATIENCE);
        assert_eq!((queue.next_message(), queue.next_message()), (Some(message(1)), None));
    }
}
