//! The subscribers of a node, which it tells what happens: browsers at `GET /events`, or `curl -N`.
//!
//! They are told the node's events with their rules, its messages, and how the node is whenever
//! that has changed. Under load, events and messages are too many to read or to draw: of each kind
//! the first few of every tenth of a second are told one by one, the rest as a number when that
//! time is over. The state is told once in that time. A subscriber that is too slow is let go; a
//! browser comes again by itself. Without subscribers all this costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::json::Json;
use crate::node::event::Event;
use crate::node::message::{Message, NodeId};
use crate::node::step::Millis;
use crate::server::status::State;

/// How many there may be at once: each is told everything, which costs the node its time.
const MAX_SUBSCRIBERS: usize = 64;

/// How long events and messages are counted together; and the state is not told again.
const WINDOW_MS: Millis = 100;

/// How many of each kind are told one by one in that time: as many as a node can have peers. So
/// what happens once with each, such as their votes or a cut of all links, is never just counted.
const TOLD_IN_WINDOW: u64 = 8;

/// One thing that subscribers are told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What kind of thing: `state`, `event`, `events`, `message` or `messages`.
    pub name: &'static str,
    /// A JSON object.
    pub data: Arc<str>,
}

impl Notice {
    fn new(name: &'static str, data: &Json) -> Notice {
        Notice { name, data: data.to_string().into() }
    }
}

/// A message of this node's went out, or came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// This node sent it.
    Sent,
    /// This node received it.
    Received,
}

impl Direction {
    /// `sent` or `received`.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Sent => "sent",
            Direction::Received => "received",
        }
    }
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    /// The node's events of one kind.
    Events(NodeId, &'static str),
    /// Messages of one kind on one link.
    Messages(Direction, NodeId, NodeId, &'static str),
}

impl Stream {
    /// That there were so many more than were told.
    fn more(self, count: u64) -> Notice {
        let (name, mut members) = match self {
            Stream::Events(node, kind) => {
                let members =
                    vec![("time_ms", time_ms()), ("node", node.0.into()), ("kind", kind.into())];
                ("events", members)
            }
            Stream::Messages(direction, from, to, kind) => {
                ("messages", message_members(direction, from, to, kind))
            }
        };
        members.push(("count", count.into()));
        Notice::new(name, &Json::object(members))
    }
}

/// All subscribers of a node.
#[derive(Debug, Default)]
pub struct Subscribers {
    subscribers: Vec<SyncSender<Notice>>,
    /// How many there were since the window began.
    counts: BTreeMap<Stream, u64>,
    window_ends: Millis,
    /// The state as it was last told, and when it may be told again.
    state: Option<State>,
    next_state: Millis,
    /// Something has happened since, which may have changed it.
    state_waits: bool,
}

impl Subscribers {
    /// Adds a subscriber, which has been told this state; false if there are too many.
    ///
    /// The others are told the state, too: from now on, what is a change for one is a change for
    /// all. That also finds the subscribers that have gone; else they would be counted for ever if
    /// nothing happens on this node.
    pub fn add(&mut self, now: Millis, state: State, subscriber: SyncSender<Notice>) -> bool {
        self.state = None;
        self.tell_state(now, state);
        let has_room = self.subscribers.len() < MAX_SUBSCRIBERS;
        if has_room {
            self.subscribers.push(subscriber);
        }
        has_room
    }

    /// Whether there is no subscriber.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// When [`Subscribers::tick`] has something to do next.
    pub fn deadline(&self) -> Option<Millis> {
        let for_counts = (!self.counts.is_empty()).then_some(self.window_ends);
        let for_state = self.state_waits.then_some(self.next_state);
        for_counts.into_iter().chain(for_state).min()
    }

    /// Something has happened: whether the state is wanted now. If it was told a moment ago it is
    /// not; [`Subscribers::deadline`] then says when to come again.
    pub fn want_state(&mut self, now: Millis) -> bool {
        let is_time = now >= self.next_state;
        self.state_waits = !self.is_empty() && !is_time;
        !self.is_empty() && is_time
    }

    /// Tells the state, if it is another than was told last.
    pub fn tell_state(&mut self, now: Millis, state: State) {
        if self.state.as_ref().is_none_or(|told| state.differs_from(told)) {
            self.tell(&Notice::new("state", &state.to_json()));
            self.state = Some(state);
            self.next_state = now + WINDOW_MS;
        }
    }

    /// Tells of an event, or counts it.
    pub fn event(&mut self, now: Millis, event: &Event) {
        if self.is_empty() {
            return;
        }
        if self.is_told(now, Stream::Events(event.node, event.what.kind())) {
            self.tell(&Notice::new("event", &event_to_json(event)));
        }
    }

    /// Tells of a message, or counts it.
    pub fn message(&mut self, now: Millis, direction: Direction, message: &Message) {
        if self.is_empty() {
            return;
        }
        let Message { from, to, rpc } = message;
        if self.is_told(now, Stream::Messages(direction, *from, *to, rpc.name())) {
            self.tell(&Notice::new("message", &message_to_json(direction, message)));
        }
    }

    /// Counts one more, and says whether it is among the few that are told by themselves.
    fn is_told(&mut self, now: Millis, stream: Stream) -> bool {
        self.tick(now);
        if self.counts.is_empty() {
            self.window_ends = now + WINDOW_MS;
        }
        let count = self.counts.entry(stream).or_default();
        *count += 1;
        *count <= TOLD_IN_WINDOW
    }

    /// Tells how many there were beside those that were told, if it is time to.
    pub fn tick(&mut self, now: Millis) {
        if now < self.window_ends {
            return;
        }
        for (stream, count) in std::mem::take(&mut self.counts) {
            if count > TOLD_IN_WINDOW {
                self.tell(&stream.more(count - TOLD_IN_WINDOW));
            }
        }
    }

    fn tell(&mut self, notice: &Notice) {
        self.subscribers.retain(|subscriber| subscriber.try_send(notice.clone()).is_ok());
    }
}

fn event_to_json(event: &Event) -> Json {
    let rule = event.what.rule();
    Json::object([
        ("time_ms", time_ms()),
        ("node", event.node.0.into()),
        ("term", event.term.into()),
        ("kind", event.what.kind().into()),
        ("text", event.what.to_string().into()),
        ("rule", rule.map(|rule| rule.name()).into()),
        ("cites", rule.map(|rule| rule.to_string()).into()),
    ])
}

fn message_to_json(direction: Direction, message: &Message) -> Json {
    let Message { from, to, rpc } = message;
    let mut members = message_members(direction, *from, *to, rpc.name());
    members.extend([("term", rpc.term().into()), ("text", rpc.to_string().into())]);
    Json::object(members)
}

fn message_members(
    direction: Direction,
    from: NodeId,
    to: NodeId,
    kind: &'static str,
) -> Vec<(&'static str, Json)> {
    vec![
        ("time_ms", time_ms()),
        ("direction", direction.name().into()),
        ("from", from.0.into()),
        ("to", to.0.into()),
        ("kind", kind.into()),
    ]
}

/// Milliseconds since 1970.
fn time_ms() -> Json {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Json::from(since_1970.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;
    use crate::node::event::What;
    use crate::node::message::{RequestVoteReply, Rpc};
    use crate::server::status;

    fn subscribed(room: usize) -> (Subscribers, Receiver<Notice>) {
        let (sender, told) = sync_channel(room);
        let mut subscribers = Subscribers::default();
        assert!(subscribers.add(0, status::tests::state(), sender));
        (subscribers, told)
    }

    fn names(told: &Receiver<Notice>) -> Vec<&'static str> {
        told.try_iter().map(|notice| notice.name).collect()
    }

    fn vote() -> Message {
        let reply = RequestVoteReply { term: 4, vote_granted: true };
        Message { from: NodeId(2), to: NodeId(1), rpc: Rpc::RequestVoteReply(reply) }
    }

    #[test]
    fn event_is_told_with_its_rule() {
        let (mut subscribers, told) = subscribed(10);
        let what = What::Follows { leader: NodeId(2) };
        subscribers.event(0, &Event { node: NodeId(1), term: 4, what });
        let notice = told.recv().unwrap();
        let json = Json::parse(&*notice.data).unwrap();
        let text = |name| json.get(name).and_then(Json::as_str);
        assert_eq!((notice.name, text("kind")), ("event", Some("follows")));
        assert_eq!((text("text"), text("rule")), (Some("follows n2"), Some("Heartbeats")));
        assert_eq!(text("cites"), Some("Leaders 1, §5.2"));
    }

    /// Ten at once: what is told of them is a few, and then the number of the others.
    fn tell_ten(mut tell: impl FnMut(&mut Subscribers, Millis), one: &str, many: &str) -> Json {
        let (mut subscribers, told) = subscribed(100);
        (0..10).for_each(|_| tell(&mut subscribers, 1000));
        assert_eq!(names(&told), [one; 8]);
        subscribers.tick(1099);
        assert_eq!(names(&told), [""; 0], "the window is not over");
        assert_eq!(subscribers.deadline(), Some(1100));
        subscribers.tick(1100);
        let notice = told.recv().unwrap();
        assert_eq!((notice.name, subscribers.deadline()), (many, None));
        tell(&mut subscribers, 1200);
        assert_eq!(names(&told), [one], "a new window, a new count");
        subscribers.tick(1300);
        assert_eq!(names(&told), [""; 0], "all of it was told");
        Json::parse(&*notice.data).unwrap()
    }

    /// What is told, but for the time.
    fn without_time(json: &Json) -> String {
        let text = json.to_string();
        let (time, rest) = text.split_once(',').unwrap();
        assert!(time.starts_with("{\"time_ms\":"), "{text}");
        rest.to_string()
    }

    #[test]
    fn messages_beyond_a_few_are_counted() {
        let tell = |subscribers: &mut Subscribers, now| {
            subscribers.message(now, Direction::Received, &vote());
        };
        let more = tell_ten(tell, "message", "messages");
        let rest =
            r#""direction":"received","from":2,"to":1,"kind":"RequestVote reply","count":2}"#;
        assert_eq!(without_time(&more), rest);
    }

    #[test]
    fn events_beyond_a_few_are_counted() {
        let what = What::ReadConfirmed { reads: 1, read_index: 7 };
        let event = Event { node: NodeId(3), term: 4, what };
        let tell = |subscribers: &mut Subscribers, now| subscribers.event(now, &event);
        let more = tell_ten(tell, "event", "events");
        assert_eq!(without_time(&more), r#""node":3,"kind":"read_confirmed","count":2}"#);
    }

    #[test]
    fn each_kind_is_counted_by_itself() {
        let (mut subscribers, told) = subscribed(100);
        let event = |what| Event { node: NodeId(1), term: 4, what };
        let read = event(What::ReadConfirmed { reads: 1, read_index: 7 });
        (0..1000).for_each(|_| subscribers.event(0, &read));
        assert_eq!(told.try_iter().count(), 8);
        subscribers.event(0, &event(What::Paused(true)));
        subscribers.message(0, Direction::Received, &vote());
        assert_eq!(names(&told), ["event", "message"], "the reads do not hide them");
    }

    #[test]
    fn state_is_told_when_it_has_changed_and_not_too_often() {
        let (mut subscribers, told) = subscribed(10);
        let states = || told.try_iter().count();
        let follower = status::tests::state();
        assert!(subscribers.want_state(500));
        subscribers.tell_state(500, follower.clone());
        assert_eq!(states(), 0, "it was told when the subscriber came");
        let paused = State { paused: true, ..follower };
        subscribers.tell_state(500, paused.clone());
        assert_eq!(states(), 1);
        assert!(!subscribers.want_state(599), "it was just told");
        assert_eq!(subscribers.deadline(), Some(600), "but not what happened since");
        assert!(subscribers.want_state(600));
        subscribers.tell_state(600, State { now: 1100, ..paused.clone() });
        assert_eq!((states(), subscribers.deadline()), (0, None), "only time has passed");
        assert!(subscribers.want_state(601), "it may change at any time");
        subscribers.tell_state(601, State { current_term: 3, ..paused });
        assert_eq!(states(), 1);
        let mut alone = Subscribers::default();
        assert!(!alone.want_state(0) && alone.deadline().is_none(), "nobody wants it");
    }

    #[test]
    fn all_are_told_the_state_when_one_comes() {
        let (mut subscribers, told) = subscribed(10);
        let (sender, told_to_second) = sync_channel(10);
        let paused = State { paused: true, ..status::tests::state() };
        assert!(subscribers.add(10, paused, sender));
        assert_eq!((names(&told), names(&told_to_second)), (vec!["state"], vec![]));
        // And back again: to the second, that is news.
        subscribers.tell_state(20, status::tests::state());
        assert_eq!((names(&told), names(&told_to_second)), (vec!["state"], vec!["state"]));
    }

    #[test]
    fn there_are_not_too_many_and_who_has_gone_does_not_count() {
        let mut subscribers = Subscribers::default();
        let come = |subscribers: &mut Subscribers| {
            let (sender, told) = sync_channel(MAX_SUBSCRIBERS);
            subscribers.add(0, status::tests::state(), sender).then_some(told)
        };
        let mut all: Vec<_> = (0..MAX_SUBSCRIBERS).map_while(|_| come(&mut subscribers)).collect();
        assert_eq!(all.len(), MAX_SUBSCRIBERS);
        assert!(come(&mut subscribers).is_none());
        all.pop();
        all.extend(come(&mut subscribers));
        assert_eq!(all.len(), MAX_SUBSCRIBERS);
    }

    #[test]
    fn slow_subscriber_is_let_go() {
        let (mut subscribers, told) = subscribed(2);
        (0..3).for_each(|_| subscribers.message(0, Direction::Sent, &vote()));
        assert!(subscribers.is_empty());
        assert_eq!(names(&told), ["message"; 2]);
    }
}
