//! Those who watch a node from outside, over `GET /events`: a browser, or `curl -N`.
//!
//! They are told every event of the node with its rule, how the node is whenever that has changed,
//! and its messages. Messages may be too many to draw: of each kind, on each link, the first few of
//! every tenth of a second are told one by one, the rest as a number when that time is over. The
//! state is told once in that time. A watcher that is too slow is let go, rather than told half; a
//! browser comes again by itself. Without watchers all this costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Event;
use crate::json::Json;
use crate::message::{Message, NodeId, Rpc};
use crate::status::State;
use crate::step::Millis;

/// How many may watch at once: each is told everything, which costs the node its time.
const MAX_WATCHERS: usize = 64;

/// How long messages are counted together; and the state is not told again.
const WINDOW_MS: Millis = 100;

/// How many of each kind are told one by one in that time: sixty a second.
const TOLD_IN_WINDOW: u64 = 6;

/// One thing that watchers are told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What kind of thing: `state`, `event`, `message` or `messages`.
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

/// Messages of one kind on one link.
type Stream = (Direction, NodeId, NodeId, &'static str);

/// All watchers of a node.
#[derive(Debug, Default)]
pub struct Watchers {
    watchers: Vec<SyncSender<Notice>>,
    /// How many messages there were since the window began.
    counts: BTreeMap<Stream, u64>,
    window_ends: Millis,
    /// The state as it was last told, and when it may be told again.
    state: Option<State>,
    next_state: Millis,
    /// Something has happened since, which may have changed it.
    state_waits: bool,
}

impl Watchers {
    /// One more; false if there are too many.
    pub fn add(&mut self, watcher: SyncSender<Notice>) -> bool {
        let has_room = self.watchers.len() < MAX_WATCHERS;
        if has_room {
            self.watchers.push(watcher);
        }
        has_room
    }

    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// When [`Watchers::tick`] has something to do next.
    pub fn deadline(&self) -> Option<Millis> {
        let for_messages = (!self.counts.is_empty()).then_some(self.window_ends);
        let for_state = self.state_waits.then_some(self.next_state);
        for_messages.into_iter().chain(for_state).min()
    }

    /// Something has happened: whether the state is wanted now. If it was told a moment ago it is
    /// not; [`Watchers::deadline`] then says when to come again.
    pub fn want_state(&mut self, now: Millis) -> bool {
        let is_time = now >= self.next_state;
        self.state_waits = !self.is_empty() && !is_time;
        !self.is_empty() && is_time
    }

    /// Tells the state, if it is another than was told last.
    pub fn state(&mut self, now: Millis, state: State) {
        if self.state.as_ref().is_none_or(|told| state.differs_from(told)) {
            self.tell(&Notice::new("state", &state.to_json()));
            self.state = Some(state);
            self.next_state = now + WINDOW_MS;
        }
    }

    /// Tells of an event.
    pub fn event(&mut self, event: &Event) {
        if !self.is_empty() {
            self.tell(&Notice::new("event", &event_to_json(event)));
        }
    }

    /// Tells of a message, or counts it.
    pub fn message(&mut self, now: Millis, direction: Direction, message: &Message) {
        if self.is_empty() {
            return;
        }
        self.tick(now);
        if self.counts.is_empty() {
            self.window_ends = now + WINDOW_MS;
        }
        let stream = (direction, message.from, message.to, message.rpc.name());
        let count = self.counts.entry(stream).or_default();
        *count += 1;
        if *count <= TOLD_IN_WINDOW {
            self.tell(&Notice::new("message", &message_to_json(stream, &message.rpc)));
        }
    }

    /// Tells how many messages there were beside those that were told, if it is time to.
    pub fn tick(&mut self, now: Millis) {
        if now < self.window_ends {
            return;
        }
        for (stream, count) in std::mem::take(&mut self.counts) {
            if count > TOLD_IN_WINDOW {
                let more = Json::from(count - TOLD_IN_WINDOW);
                let members = stream_members(stream).into_iter().chain([("count", more)]);
                self.tell(&Notice::new("messages", &Json::object(members)));
            }
        }
    }

    fn tell(&mut self, notice: &Notice) {
        self.watchers.retain(|watcher| watcher.try_send(notice.clone()).is_ok());
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

fn message_to_json(stream: Stream, rpc: &Rpc) -> Json {
    let told = [("term", rpc.term().into()), ("text", rpc.to_string().into())];
    Json::object(stream_members(stream).into_iter().chain(told))
}

fn stream_members((direction, from, to, kind): Stream) -> Vec<(&'static str, Json)> {
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
    use crate::event::What;
    use crate::message::RequestVoteReply;
    use crate::status;

    fn watched(room: usize) -> (Watchers, Receiver<Notice>) {
        let (sender, told) = sync_channel(room);
        let mut watchers = Watchers::default();
        assert!(watchers.add(sender));
        (watchers, told)
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
        let (mut watchers, told) = watched(10);
        let what = What::Follows { leader: NodeId(2) };
        watchers.event(&Event { node: NodeId(1), term: 4, what });
        let notice = told.recv().unwrap();
        let json = Json::parse(&*notice.data).unwrap();
        let text = |name| json.get(name).and_then(Json::as_str);
        assert_eq!((notice.name, text("kind")), ("event", Some("follows")));
        assert_eq!((text("text"), text("rule")), (Some("follows n2"), Some("Heartbeats")));
        assert_eq!(text("cites"), Some("Leaders 1, §5.2"));
    }

    #[test]
    fn messages_beyond_a_few_are_counted() {
        let (mut watchers, told) = watched(100);
        (0..10).for_each(|_| watchers.message(1000, Direction::Received, &vote()));
        assert_eq!(names(&told).len(), 6);
        watchers.tick(1099);
        assert_eq!(names(&told), [""; 0], "the window is not over");
        assert_eq!(watchers.deadline(), Some(1100));
        watchers.tick(1100);
        let notice = told.recv().unwrap();
        let count = Json::parse(&*notice.data).unwrap().get("count").and_then(Json::as_u64);
        assert_eq!((notice.name, count), ("messages", Some(4)));
        assert_eq!(watchers.deadline(), None);
        watchers.message(1200, Direction::Received, &vote());
        assert_eq!(names(&told), ["message"], "a new window, a new count");
        watchers.tick(1300);
        assert_eq!(names(&told), [""; 0], "all of it was told");
    }

    #[test]
    fn state_is_told_when_it_has_changed_and_not_too_often() {
        let (mut watchers, told) = watched(10);
        let states = || told.try_iter().count();
        let follower = status::tests::state();
        assert!(watchers.want_state(500));
        watchers.state(500, follower.clone());
        assert_eq!(states(), 1);
        assert!(!watchers.want_state(599), "it was just told");
        assert_eq!(watchers.deadline(), Some(600), "but not what happened since");
        assert!(watchers.want_state(600));
        watchers.state(600, State { now: 1100, ..follower.clone() });
        assert_eq!((states(), watchers.deadline()), (0, None), "only time has passed");
        assert!(watchers.want_state(601), "it may change at any time");
        watchers.state(601, State { current_term: 3, ..follower });
        assert_eq!(states(), 1);
        let mut alone = Watchers::default();
        assert!(!alone.want_state(0) && alone.deadline().is_none(), "nobody wants it");
    }

    #[test]
    fn there_are_not_too_many() {
        let (mut watchers, _told) = watched(1);
        for number in 2..=MAX_WATCHERS {
            assert!(watchers.add(sync_channel(1).0), "watcher {number}");
        }
        assert!(!watchers.add(sync_channel(1).0));
    }

    #[test]
    fn slow_watcher_is_let_go() {
        let (mut watchers, told) = watched(2);
        (0..3).for_each(|_| watchers.message(0, Direction::Sent, &vote()));
        assert!(watchers.is_empty());
        assert_eq!(names(&told), ["message"; 2]);
    }
}
