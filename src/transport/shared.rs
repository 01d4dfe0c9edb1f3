//! What all threads of a transport share: the peers, which of them can be reached, and the inbox
//! of the raft thread.
//!
//! A peer is reachable while messages can be sent to it and something was heard from it in the last
//! seconds; every node therefore says Hello every second. This finds also the peer that is
//! stopped, or unplugged, whose connection looks well for many minutes.
//!
//! A node that is paused hears nothing, says nothing and notices nothing, but keeps its
//! connections.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::codec::read::shown;
use super::codec::{Body, Envelope, Hello, REFUSED, write};
use super::identity::{Identity, SILENCE, Speaker};
use super::options::{Kind, Options};
use super::peer::{Link, Next, Queue, lock};
use crate::node::event::What;
use crate::node::message::{Message, NodeId};
use crate::server::inbox::Event;

/// How often a writer looks after its peer.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often a Hello is sent.
pub const HELLO_EVERY: Duration = Duration::from_secs(1);
/// After an error of the system's, before the next try.
pub const PAUSE: Duration = Duration::from_millis(50);
/// What is said of a peer that was not heard for as long as `SILENCE`.
pub const SILENT: &str = "nothing heard from it for 3 s";
/// What is said of a peer if its link is cut.
pub const BLOCKED: &str = "the link to it is blocked";
/// What to do about two nodes of one number.
pub const OWN_NUMBER: &str = "give each its own number (NODE_ID)";
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
    /// What this node says of itself in its Hello.
    hello: Hello,
    /// Where clients reach this node.
    address: String,
    /// All addresses in the registry, and what this node advertises.
    addresses: BTreeSet<String>,
    paused: AtomicBool,
    peers: BTreeMap<NodeId, Peer>,
    inbox: SyncSender<Event>,
    drops: Mutex<Drops>,
}

struct Peer {
    /// As the registry has it.
    address: String,
    /// Where it says that clients reach it, if it has said so.
    advertised: Mutex<Option<String>>,
    identity: Identity,
    queue: Queue,
    /// Since its writer last looked.
    was_heard: AtomicBool,
    /// Since the same: it has connected to us.
    was_calling: AtomicBool,
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

impl Shared {
    /// The shared state, and an outbox for the writer of each peer.
    pub fn new(options: Options, inbox: SyncSender<Event>) -> (Arc<Shared>, Vec<Outbox>) {
        let Options { cluster, me, nodes, kind, advertise, .. } = options;
        let mut addresses = BTreeSet::new();
        addresses.extend(nodes.values().chain(&advertise).cloned());
        // As many bits as every JSON reader reads exactly.
        let instance = Some(RandomState::new().hash_one(()) >> 11);
        let own = advertise.as_ref().or(nodes.get(&me)).cloned();
        let (hello, address) = (Hello { address: advertise, instance }, own.unwrap_or_default());
        let peer = |address| {
            let (advertised, identity, queue, reach) = Default::default();
            let (was_heard, was_calling) = Default::default();
            Peer { address, advertised, identity, queue, was_heard, was_calling, reach }
        };
        let mut peers = BTreeMap::new();
        for (id, address) in nodes.into_iter().filter(|(id, _)| *id != me) {
            peers.insert(id, peer(address));
        }
        let ids: Vec<NodeId> = peers.keys().copied().collect();
        let (paused, drops) = Default::default();
        #[rustfmt::skip]
        let shared = Shared {
            cluster, me, kind, hello, address, addresses, paused, peers, inbox, drops,
        };
        let shared = Arc::new(shared);
        let outboxes = ids.into_iter().map(|peer| Outbox::new(Arc::clone(&shared), peer));
        let outboxes = outboxes.collect();
        (shared, outboxes)
    }

    /// Leaves a message for the writer of its peer, if the link takes it and there is room.
    pub fn send(&self, message: Message) {
        if let Some(peer) = self.peers.get(&message.to)
            && !self.is_paused()
        {
            peer.queue.push(message);
        }
    }

    /// How good the link to a peer is.
    pub fn link(&self, peer: NodeId) -> Link {
        self.peers.get(&peer).map(|peer| peer.queue.link()).unwrap_or_default()
    }

    /// Makes the link to a peer better or worse.
    pub fn set_link(&self, peer: NodeId, link: Link) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.queue.set_link(link);
        }
    }

    /// Whether the node plays dead.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Makes the node play dead, or wakes it. What waited to be sent is forgotten.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        for peer in self.peers.values() {
            if paused {
                peer.queue.clear();
            }
            peer.queue.wake();
        }
    }

    /// Where clients reach a node: what it advertises, or else its address in the registry.
    pub fn address_of(&self, node: NodeId) -> String {
        match self.peers.get(&node) {
            Some(peer) => lock(&peer.advertised).clone().unwrap_or(peer.address.clone()),
            None if node == self.me => self.address.clone(),
            None => String::new(),
        }
    }

    /// All addresses by which a node of the cluster is known.
    pub fn advertised(&self) -> Vec<String> {
        let mut all = self.addresses.clone();
        all.extend(self.peers.values().filter_map(|peer| lock(&peer.advertised).clone()));
        all.into_iter().collect()
    }

    /// Sends an event to the raft thread. Waits while the inbox is full.
    pub fn deliver(&self, event: Event) {
        if !self.is_paused() {
            // If the raft thread has ended, so does the process.
            let _ = self.inbox.send(event);
        }
    }

    /// Whether an envelope that names its cluster comes from a peer and is for us.
    ///
    /// # Errors
    /// If not, what is wrong with it.
    pub fn check(&self, envelope: &Envelope) -> Result<(), String> {
        let (me, ours) = (self.me.0, shown(&self.cluster));
        let (from, to) = (envelope.from.0, envelope.to.0);
        let theirs = envelope.cluster.as_deref().unwrap_or_default();
        if theirs != self.cluster || envelope.to != self.me {
            let theirs = shown(theirs);
            return Err(format!("this is node {me} of cluster {ours}, not node {to} of {theirs}"));
        }
        if envelope.from == self.me {
            return Err(format!("there is another node {me}: {OWN_NUMBER}"));
        }
        match self.peers.contains_key(&envelope.from) {
            true => Ok(()),
            false => Err(format!("node {me} of cluster {ours} knows no peer {from}")),
        }
    }

    /// A connection begins with this Hello. Nobody can say who speaks if it names no instance.
    ///
    /// # Errors
    /// If another node speaks for this peer: what to do.
    pub fn enter(
        &self,
        peer: NodeId,
        hello: Hello,
        source: SocketAddr,
    ) -> Result<Option<Speaker<'_>>, String> {
        let enter = |instance| self.peers[&peer].identity.enter(instance, source);
        let speaker = hello.instance.map(enter).transpose();
        let speaker = speaker.map_err(|other| refuse_namesake(peer, other))?;
        self.note_address(peer, hello);
        Ok(speaker)
    }

    /// A line came in a connection that this speaker began.
    ///
    /// # Errors
    /// If another node now speaks for this peer: what to do.
    pub fn check_speaker(&self, peer: NodeId, speaker: &Speaker) -> Result<(), String> {
        speaker.speaks().map_err(|other| refuse_namesake(peer, other))
    }

    /// A datagram came from this source.
    ///
    /// # Errors
    /// If another node speaks for the peer that it names: what to do.
    pub fn check_source(&self, envelope: &Envelope, source: SocketAddr) -> Result<(), String> {
        let identity = &self.peers[&envelope.from].identity;
        let outcome = match &envelope.body {
            Body::Hello(Hello { instance: None, .. }) => Ok(()),
            Body::Hello(Hello { instance, .. }) => identity.hear(*instance, source),
            _ => identity.hear(None, source),
        };
        outcome.map_err(|other| refuse_namesake(envelope.from, other))
    }

    /// Notes where clients reach a peer, if a real node says so.
    pub fn note_address(&self, peer: NodeId, hello: Hello) {
        if hello.instance.is_some() && hello.address.is_some() {
            *lock(&self.peers[&peer].advertised) = hello.address;
        }
    }

    /// Notes that a peer is alive.
    pub fn heard(&self, peer: NodeId) {
        if !self.is_paused() {
            self.peers[&peer].was_heard.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that a peer has connected to us, so that we need not wait to connect to it.
    pub fn heard_first(&self, peer: NodeId) {
        self.heard(peer);
        self.peers[&peer].was_calling.store(true, Ordering::Relaxed);
        self.peers[&peer].queue.wake();
    }

    /// Whether a peer can be reached now.
    pub fn is_reachable(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| *lock(&peer.reach) == Reach::Reachable)
    }

    /// Notes, and reports if it is news, that a peer can be reached.
    pub fn found(&self, peer: NodeId) {
        if self.is_paused() {
            return;
        }
        let before = mem::replace(&mut *lock(&self.peers[&peer].reach), Reach::Reachable);
        if before != Reach::Reachable {
            self.deliver(Event::Report(What::Reachable { peer }));
        }
    }

    /// Notes, and reports if it is news, that a peer cannot be reached. Its own word is news after
    /// a silence, not the other way round.
    pub fn lost(&self, peer: NodeId, why: String) {
        if self.is_paused() {
            return;
        }
        let mut reach = lock(&self.peers[&peer].reach);
        let now = match *reach == Reach::Refused || why.starts_with(REFUSED) {
            true => Reach::Refused,
            false => Reach::Lost,
        };
        if mem::replace(&mut *reach, now) != now {
            drop(reach);
            let address = self.peers[&peer].address.clone();
            self.deliver(Event::Report(What::Unreachable { peer, address, why }));
        }
    }

    /// Reports what was dropped, unless it did so a moment ago. Whether it was reported.
    pub fn dropped(&self, from: String, why: String) -> bool {
        if self.is_paused() {
            return false;
        }
        let Some(unreported) = lock(&self.drops).count(Instant::now()) else { return false };
        let why = match unreported {
            0 => why,
            _ => format!("{why} (and {unreported} more since the last such line)"),
        };
        self.deliver(Event::Report(What::Dropped { from, why }));
        true
    }
}

fn refuse_namesake(peer: NodeId, other: SocketAddr) -> String {
    format!("another node {} speaks from {other}: {OWN_NUMBER}", peer.0)
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

/// What the writer of a peer has of its own: the messages for one peer, and how long it was silent.
pub struct Outbox {
    /// What all share.
    pub shared: Arc<Shared>,
    /// The peer that the messages are for.
    pub peer: NodeId,
    looked_at: Instant,
    /// Since when there is a connection, or another way to the peer.
    listening_since: Instant,
    /// When the last Hello was sent.
    greeted_at: Option<Instant>,
    silence: Duration,
}

impl Outbox {
    fn new(shared: Arc<Shared>, peer: NodeId) -> Outbox {
        let (now, greeted_at, silence) = (Instant::now(), None, Duration::ZERO);
        Outbox { shared, peer, looked_at: now, listening_since: now, greeted_at, silence }
    }

    fn at_peer(&self) -> &Peer {
        &self.shared.peers[&self.peer]
    }

    /// The peer's address, as the registry has it.
    pub fn address(&self) -> &str {
        &self.at_peer().address
    }

    /// What to do next. Waits for it.
    pub fn next(&self) -> Next {
        self.at_peer().queue.next(self.looked_at + LOOK_EVERY)
    }

    /// The next message, if one is to be sent now.
    pub fn next_message(&self) -> Option<Message> {
        self.at_peer().queue.next_message()
    }

    /// Throws away what is waiting, and what comes within this time; less if the peer calls.
    pub fn discard_for(&self, pause: Duration) {
        self.at_peer().queue.discard_until(Instant::now() + pause);
    }

    /// Whether anything may be said to the peer.
    ///
    /// # Errors
    /// If not, why.
    pub fn may_speak(&self) -> Result<(), String> {
        if self.shared.is_paused() {
            return Err("this node is paused".to_string());
        }
        if self.at_peer().queue.link().blocked { Err(BLOCKED.to_string()) } else { Ok(()) }
    }

    /// Whether the node is paused, and does not look after its peers. That is not their silence.
    pub fn looks_away(&mut self) -> bool {
        if self.shared.is_paused() {
            self.looked_at = Instant::now();
        }
        self.shared.is_paused()
    }

    /// Forgets how long the peer has been silent: it has a new chance to speak.
    pub fn begin_listening(&mut self) {
        self.looked_at = Instant::now();
        self.listening_since = self.looked_at;
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
        if self.at_peer().was_heard.swap(false, Ordering::Relaxed) {
            self.silence = Duration::ZERO;
            self.shared.found(self.peer);
        }
        self.silence >= SILENCE
    }

    /// Asks whether the peer has connected to us since the last look, long after we have to it.
    ///
    /// Then it may have missed us: what is on its way over our connection may be lost for ever,
    /// if one of us has another address now, as a container has that comes back to its network.
    /// The system would notice only after a quarter of an hour. That the peer is heard says nothing
    /// of this direction.
    pub fn finds_new_call(&mut self) -> bool {
        let was_calling = self.at_peer().was_calling.swap(false, Ordering::Relaxed);
        was_calling && self.listening_since.elapsed() >= SILENCE
    }

    /// From where the peer was heard last, if it has said which process it is.
    pub fn heard_from(&self) -> Option<SocketAddr> {
        self.at_peer().identity.source()
    }

    /// The text of a Hello, which is to be sent now.
    pub fn hello(&mut self) -> String {
        self.greeted_at = Some(Instant::now());
        let shared = &self.shared;
        write::hello(&shared.cluster, shared.me, self.peer, &shared.hello)
    }

    /// A Hello, if it is time for one and it may be said.
    pub fn hello_if_due(&mut self) -> Option<String> {
        let is_due = self.greeted_at.is_none_or(|then| then.elapsed() >= HELLO_EVERY);
        (is_due && self.may_speak().is_ok()).then(|| self.hello())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::thread;

    use super::super::codec::write::tests::messages;
    use super::super::peer::MAX_QUEUE;
    use super::super::tests::options;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What node 1 shares, its outbox for node 2, and what is delivered to it.
    fn node_1() -> (Arc<Shared>, Outbox, Receiver<Event>) {
        let options = options(Kind::Tcp, 1, &[1, 2].map(|id| format!("localhost:{id}")));
        let (inbox, received) = sync_channel(100);
        let (shared, mut outboxes) = Shared::new(options, inbox);
        (shared, outboxes.remove(0), received)
    }

    fn to_node_2() -> Message {
        let [(rpc, _), ..] = messages();
        Message { from: NodeId(1), to: NodeId(2), rpc }
    }

    #[test]
    fn send_waits_for_nobody() {
        let (shared, outbox, _received) = node_1();
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
        let reports = received.try_iter().map(|event| match event {
            Event::Report(What::Reachable { .. }) => "reachable",
            Event::Report(What::Unreachable { .. }) => "unreachable",
            _ => "something else",
        });
        let expected = ["reachable", "unreachable", "reachable", "unreachable"];
        assert_eq!(reports.collect::<Vec<_>>(), expected);
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
    fn paused_node_hears_says_and_notices_nothing() {
        let (shared, mut outbox, received) = node_1();
        let peer = NodeId(2);
        shared.send(to_node_2());
        shared.set_paused(true);
        shared.send(to_node_2());
        shared.heard(peer);
        shared.deliver(Event::Messages(vec![to_node_2()]));
        shared.found(peer);
        shared.lost(peer, "cut".to_string());
        assert!(!shared.dropped("me".to_string(), "nonsense".to_string()));
        assert!(outbox.may_speak().is_err() && outbox.hello_if_due().is_none());
        outbox.looked_at = Instant::now() - LOOK_EVERY;
        assert!(outbox.looks_away());
        shared.set_paused(false);
        assert!(!outbox.looks_away() && outbox.may_speak().is_ok());
        assert!(!outbox.finds_silence() && outbox.silence < LOOK_EVERY, "that was not silence");
        assert_eq!((outbox.next_message(), received.try_iter().count()), (None, 0));
        assert!(outbox.hello_if_due().is_some() && outbox.hello_if_due().is_none());
    }

    #[test]
    fn only_a_hello_by_hand_may_come_from_anywhere() {
        let (shared, ..) = node_1();
        let check = |body, port: u16| {
            let (from, to) = (NodeId(2), NodeId(1));
            let source = SocketAddr::from(([127, 0, 0, 1], port));
            shared.check_source(&Envelope { cluster: None, from, to, body }, source)
        };
        let hello = |instance| Body::Hello(Hello { address: None, instance });
        let [(rpc, _), ..] = messages();
        assert_eq!(check(hello(Some(1)), 1), Ok(()));
        assert_eq!(check(hello(None), 2), Ok(()));
        assert!(check(hello(Some(2)), 2).is_err() && check(Body::Rpc(rpc), 2).is_err());
    }

    #[test]
    fn addresses_are_the_advertised_ones() {
        let nodes = [1, 2, 3].map(|id| format!("localhost:{id}"));
        let advertise = Some("outside:1".to_string());
        let options = Options { advertise, ..options(Kind::Tcp, 1, &nodes) };
        let (shared, _) = Shared::new(options, sync_channel(1).0);
        let by_hand = Hello { address: Some("nowhere:2".to_string()), instance: None };
        let real = Hello { address: Some("outside:2".to_string()), instance: Some(1) };
        [real, by_hand].into_iter().for_each(|hello| shared.note_address(NodeId(2), hello));
        let addresses = [1, 2, 3, 4].map(|id| shared.address_of(NodeId(id)));
        assert_eq!(addresses, ["outside:1", "outside:2", "localhost:3", ""]);
        let all = ["localhost:1", "localhost:2", "localhost:3", "outside:1", "outside:2"];
        assert_eq!(shared.advertised(), all);
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
