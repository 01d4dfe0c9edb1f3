//! What all threads of a transport share: who the peers are, which of them can be reached, and
//! whom to tell.
//!
//! A peer is reachable while messages can be sent to it and something was heard from it in the last
//! seconds; a node that has nothing to say therefore says Hello every second. This finds also
//! the peer that is stopped, or unplugged, whose connection looks well for many minutes.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::read::{self, Letter};
use super::write;
use super::{Kind, Options, Received};
use crate::event::What;
use crate::message::{Message, NodeId};

/// How many messages may wait for a peer.
const MAX_QUEUE: usize = 1024;
/// How often a sending thread looks after its peer.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After how long without a message a Hello is sent.
pub const HELLO_EVERY: Duration = Duration::from_secs(1);
/// After how long without a word a peer is not reachable any more.
const SILENCE: Duration = Duration::from_secs(3);
/// What is said of it then.
pub const SILENT: &str = "nothing heard from it for 3 s";
/// What is dropped is reported at most once in this time.
const REPORT_DROPS_EVERY: Duration = Duration::from_secs(1);

/// Known to every thread.
pub struct Shared {
    /// The cluster's name.
    pub cluster: String,
    /// The number of this node.
    pub me: NodeId,
    /// What carries messages.
    pub kind: Kind,
    peers: BTreeMap<NodeId, Peer>,
    deliver: Box<dyn Fn(Received) + Send + Sync>,
    drops: Mutex<Drops>,
}

struct Peer {
    address: String,
    errands: SyncSender<Errand>,
    /// Since its sending thread last looked.
    was_heard: AtomicBool,
    reach: Mutex<Reach>,
}

/// Whether a peer can be reached, as the student was last told.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Reach {
    /// Before the first attempt.
    #[default]
    Unknown,
    Reachable,
    Lost,
    /// It is there, and has said why it does not listen to us.
    Refused,
}

/// What a sending thread has to do.
pub enum Errand {
    /// Send this.
    Send(Message),
    /// Look after the peer: it is time to, or the peer has just called.
    Look,
}

impl Shared {
    /// The shared state, and an outbox for the sending thread of each peer.
    pub fn new(
        options: Options,
        deliver: impl Fn(Received) + Send + Sync + 'static,
    ) -> (Arc<Shared>, Vec<Outbox>) {
        let Options { cluster, me, nodes, kind, .. } = options;
        let mut peers = BTreeMap::new();
        let mut queues = Vec::new();
        for (id, address) in nodes.into_iter().filter(|(id, _)| *id != me) {
            let (errands, queue) = sync_channel(MAX_QUEUE);
            let (was_heard, reach) = Default::default();
            peers.insert(id, Peer { address, errands, was_heard, reach });
            queues.push((id, queue));
        }
        let (deliver, drops) = (Box::new(deliver), Mutex::default());
        let shared = Arc::new(Shared { cluster, me, kind, peers, deliver, drops });
        let outbox = |(peer, queue)| Outbox::new(Arc::clone(&shared), peer, queue);
        let outboxes = queues.into_iter().map(outbox).collect();
        (shared, outboxes)
    }

    /// Leaves a message for the sending thread, if there is room.
    pub fn send(&self, message: Message) {
        if let Some(peer) = self.peers.get(&message.to) {
            // Full: the peer is slow or gone, and Raft repairs the loss.
            let _ = peer.errands.try_send(Errand::Send(message));
        }
    }

    /// Hands a message to the node.
    pub fn deliver(&self, message: Message) {
        (self.deliver)(Received::Message(message));
    }

    /// Whether a letter that names its cluster comes from a peer and is for us.
    ///
    /// # Errors
    /// If not, what is wrong with it.
    pub fn check(&self, letter: &Letter) -> Result<(), String> {
        let (me, ours) = (self.me.0, read::shown(&self.cluster));
        let (from, to) = (letter.from.0, letter.to.0);
        let theirs = letter.cluster.as_deref().unwrap_or_default();
        if theirs != self.cluster || letter.to != self.me {
            let theirs = read::shown(theirs);
            return Err(format!("this is node {me} of cluster {ours}, not node {to} of {theirs}"));
        }
        match self.peers.contains_key(&letter.from) {
            true => Ok(()),
            false => Err(format!("node {me} of cluster {ours} knows no peer {from}")),
        }
    }

    /// Notes that a peer is alive.
    pub fn heard(&self, peer: NodeId) {
        self.peers[&peer].was_heard.store(true, Ordering::Relaxed);
    }

    /// Notes that a peer has connected to us, so that we need not wait to connect to it.
    pub fn heard_first(&self, peer: NodeId) {
        self.heard(peer);
        // Full: then its thread is awake anyway.
        let _ = self.peers[&peer].errands.try_send(Errand::Look);
    }

    /// Whether a peer can be reached now.
    pub fn is_reachable(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| *lock(&peer.reach) == Reach::Reachable)
    }

    /// The peer's address.
    pub fn address_of(&self, peer: NodeId) -> String {
        self.peers.get(&peer).map(|peer| peer.address.clone()).unwrap_or_default()
    }

    /// Notes, and reports if it is news, that a peer can be reached.
    pub fn found(&self, peer: NodeId) {
        let before = mem::replace(&mut *lock(&self.peers[&peer].reach), Reach::Reachable);
        if before != Reach::Reachable {
            (self.deliver)(Received::Report(What::Reachable { peer }));
        }
    }

    /// Notes, and reports if it is news, that a peer cannot be reached. Its own word is news after
    /// a silence, not the other way round.
    pub fn lost(&self, peer: NodeId, why: String) {
        let mut reach = lock(&self.peers[&peer].reach);
        let now = match *reach == Reach::Refused || why.starts_with(read::REFUSED) {
            true => Reach::Refused,
            false => Reach::Lost,
        };
        if mem::replace(&mut *reach, now) != now {
            drop(reach);
            let address = self.peers[&peer].address.clone();
            (self.deliver)(Received::Report(What::Unreachable { peer, address, why }));
        }
    }

    /// Reports what was dropped, unless it did so a moment ago.
    pub fn dropped(&self, from: String, why: String) {
        let Some(unreported) = lock(&self.drops).count(Instant::now()) else { return };
        let why = match unreported {
            0 => why,
            _ => format!("{why} (and {unreported} more since the last such line)"),
        };
        (self.deliver)(Received::Report(What::Dropped { from, why }));
    }
}

/// A thread that panics leaves nothing half done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what is dropped, so that an attacker cannot flood the student's terminal.
#[derive(Default)]
struct Drops {
    reported_at: Option<Instant>,
    unreported: u64,
}

impl Drops {
    /// Counts one more. If it is time to report it: how many there were since the last report.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.reported_at.is_some_and(|then| now < then + REPORT_DROPS_EVERY) {
            self.unreported += 1;
            return None;
        }
        self.reported_at = Some(now);
        Some(mem::take(&mut self.unreported))
    }
}

/// What a sending thread has of its own: the messages for one peer, and how long it was silent.
pub struct Outbox {
    /// What all share.
    pub shared: Arc<Shared>,
    /// Whom the messages are for.
    pub peer: NodeId,
    queue: Receiver<Errand>,
    looked_at: Instant,
    spoke_at: Instant,
    silence: Duration,
}

impl Outbox {
    fn new(shared: Arc<Shared>, peer: NodeId, queue: Receiver<Errand>) -> Outbox {
        let (looked_at, spoke_at) = (Instant::now(), Instant::now());
        Outbox { shared, peer, queue, looked_at, spoke_at, silence: Duration::ZERO }
    }

    /// The peer's address, as the registry has it.
    pub fn address(&self) -> &str {
        &self.shared.peers[&self.peer].address
    }

    /// What to do next. Waits for it.
    pub fn next(&mut self) -> Errand {
        let until_look = LOOK_EVERY.saturating_sub(self.looked_at.elapsed());
        if until_look.is_zero() {
            return Errand::Look;
        }
        // No errand in time (the queue itself lives as long as the program).
        let errand = self.queue.recv_timeout(until_look).unwrap_or(Errand::Look);
        if matches!(errand, Errand::Send(_)) {
            self.spoke_at = Instant::now();
        }
        errand
    }

    /// The next message, if one is waiting.
    pub fn next_message(&mut self) -> Option<Message> {
        let is_message = |errand| match errand {
            Errand::Send(message) => Some(message),
            Errand::Look => None,
        };
        self.queue.try_recv().ok().and_then(is_message)
    }

    /// Throws away what is waiting, and what comes within this time; less if the peer calls.
    pub fn discard_for(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        let rest = || end.saturating_duration_since(Instant::now());
        while let Ok(Errand::Send(_)) = self.queue.recv_timeout(rest()) {}
    }

    /// Forgets how long the peer has been silent: it has a new chance to speak.
    pub fn begin_listening(&mut self) {
        self.looked_at = Instant::now();
        self.silence = Duration::ZERO;
    }

    /// Asks whether the peer has been silent for too long. If it was heard since the last look, it
    /// is reachable.
    ///
    /// A thread that could not look for a while, because the whole machine slept, does not count
    /// that as the peer's silence.
    pub fn finds_silence(&mut self) -> bool {
        self.silence += self.looked_at.elapsed().min(LOOK_EVERY);
        self.looked_at = Instant::now();
        if self.shared.peers[&self.peer].was_heard.swap(false, Ordering::Relaxed) {
            self.silence = Duration::ZERO;
            self.shared.found(self.peer);
        }
        self.silence >= SILENCE
    }

    /// The text of a Hello, which is to be sent now.
    pub fn hello(&mut self) -> String {
        self.spoke_at = Instant::now();
        write::hello(&self.shared.cluster, self.shared.me, self.peer)
    }

    /// A Hello, if nothing else was to be said for a while.
    pub fn hello_if_idle(&mut self) -> Option<String> {
        (self.spoke_at.elapsed() >= HELLO_EVERY).then(|| self.hello())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::write::tests::messages;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What node 1 shares, its outbox for node 2, and what is delivered to it.
    fn node_1() -> (Arc<Shared>, Outbox, Receiver<Received>) {
        let nodes = [1, 2].map(|id| (NodeId(id), format!("localhost:{id}")));
        let (cluster, me, nodes) = ("a".to_string(), NodeId(1), nodes.into());
        let options = Options { cluster, me, nodes, bind: None, kind: Kind::Tcp, drop_percent: 0 };
        let (deliver, received) = sync_channel(100);
        let (shared, mut outboxes) = Shared::new(options, move |what| deliver.send(what).unwrap());
        (shared, outboxes.remove(0), received)
    }

    fn to_node_2() -> Message {
        let [(rpc, _), ..] = messages();
        Message { from: NodeId(1), to: NodeId(2), rpc }
    }

    #[test]
    fn send_waits_for_nobody() {
        let (shared, mut outbox, _received) = node_1();
        let (done, sent) = sync_channel(1);
        thread::spawn(move || {
            (0..2 * MAX_QUEUE).for_each(|_| shared.send(to_node_2()));
            done.send(()).unwrap();
        });
        sent.recv_timeout(PATIENCE).expect("nobody to be waited for");
        assert_eq!(std::iter::from_fn(|| outbox.next_message()).count(), MAX_QUEUE);
    }

    #[test]
    fn news_of_a_peer_is_told_once() {
        let (shared, _outbox, received) = node_1();
        let peer = NodeId(2);
        assert!(!shared.is_reachable(peer));
        for _ in 0..2 {
            (0..3).for_each(|_| shared.found(peer));
            assert!(shared.is_reachable(peer));
            (0..3).for_each(|_| shared.lost(peer, "cut".to_string()));
            assert!(!shared.is_reachable(peer));
        }
        let (address, why) = ("localhost:2".to_string(), "cut".to_string());
        let lost = Received::Report(What::Unreachable { peer, address, why });
        let found = Received::Report(What::Reachable { peer });
        assert_eq!(
            received.try_iter().collect::<Vec<_>>(),
            [&found, &lost, &found, &lost].map(Clone::clone)
        );
    }

    #[test]
    fn silence_is_counted_while_awake() {
        let (shared, mut outbox, _received) = node_1();
        outbox.looked_at = Instant::now() - LOOK_EVERY * 2;
        assert!(!outbox.finds_silence(), "the machine slept");
        assert_eq!(outbox.silence, LOOK_EVERY);
        outbox.silence = SILENCE;
        assert!(outbox.finds_silence());
        shared.heard(NodeId(2));
        assert!(!outbox.finds_silence());
        assert_eq!(outbox.silence, Duration::ZERO);
    }

    #[test]
    fn pause_throws_messages_away_until_the_peer_calls() {
        let (shared, mut outbox, _received) = node_1();
        (0..3).for_each(|_| shared.send(to_node_2()));
        outbox.discard_for(Duration::ZERO);
        assert!(outbox.next_message().is_none());
        shared.send(to_node_2());
        shared.heard_first(NodeId(2));
        shared.send(to_node_2());
        outbox.discard_for(PATIENCE);
        assert_eq!(outbox.next_message(), Some(to_node_2()), "which came after the call");
    }

    #[test]
    fn drops_are_reported_once_a_second() {
        let (mut drops, start) = (Drops::default(), Instant::now());
        let mut count_at = |ms| drops.count(start + Duration::from_millis(ms));
        assert_eq!([count_at(0), count_at(1), count_at(999)], [Some(0), None, None]);
        assert_eq!([count_at(1000), count_at(1999)], [Some(2), None]);
        assert_eq!([count_at(5000), count_at(6000)], [Some(1), Some(0)]);
    }
}
