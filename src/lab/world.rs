//! The simulated world: servers, their disks and clocks, and the network between them.
//!
//! Here a [`Node`] is driven as `server.rs` drives it, but nothing is real: time is a number, disk
//! and network are lists in memory. So a run depends on nothing but its commands and its seed, can
//! be repeated exactly, and takes microseconds. The world itself decides nothing: a script or the
//! random explorer says what happens next, or lets it happen in the order of time.
//!
//! What a server wants done is done in order. A message waits for the saves that stand before it
//! ("updated on stable storage before responding"). Saves with no message behind them take the
//! disk's time, and a power failure before its end loses them; but a server takes no further step
//! while its vote is not saved.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::lab::checker::{Checker, Violation};
use crate::lab::clock::Clock;
use crate::lab::disk::Disk;
use crate::lab::journal::{Answer, Counts, Happening, Outcome, Power};
use crate::lab::network::{Network, Number, Slot};
use crate::lab::trace::recording::Recording;
use crate::node::Node;
use crate::node::event::{Event, What};
use crate::node::message::{Command, Entry, Index, Message, NodeId};
use crate::node::rules::{Property, Rules};
use crate::node::snapshot::Snapshot;
use crate::node::step::{Input, Millis, Output, Random, RequestId, Saved, Settings, Timing};
use crate::state_machine::Sessions;
use crate::state_machine::kv::{Request, Store};
use crate::storage::trace::record::Cause;

/// What all servers have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many there are.
    pub servers: u64,
    /// How fast time runs for them.
    pub timing: Timing,
    /// The rules that they obey.
    pub rules: Rules,
    /// Most entries in one message.
    pub max_entries: usize,
    /// Most bytes of a snapshot in one message.
    pub max_chunk_bytes: usize,
    /// Where all that is random begins.
    pub seed: u64,
}

impl Setup {
    /// A cluster of so many servers that obey all rules, with the paper's timing.
    pub fn of(servers: u64) -> Setup {
        let (timing, rules) = (Timing::PAPER, Rules::ALL);
        Setup { servers, timing, rules, max_entries: 64, max_chunk_bytes: 1 << 16, seed: 0 }
    }
}

/// One server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its mind, or none after a crash.
    pub node: Option<Node>,
    /// What survives a crash.
    pub disk: Disk,
    /// Its state machine.
    pub store: Sessions<Store>,
    /// Its clock; when it stands still, so does the server.
    pub clock: Clock,
    settings: Settings,
    /// The reads that wait.
    reads: Vec<(RequestId, Request)>,
}

/// The next thing that time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// A disk finishes.
    Disk(NodeId),
    /// A message arrives.
    Message(Slot),
    /// A timer fires.
    Timer(NodeId),
}

/// What was done to a server. The same to a fresh world, in the same order, is the same run.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum Act {
    DiskFinished(NodeId),
    TimerFired(NodeId),
    Delivered(Message),
    Proposed(NodeId, Command),
    Read(NodeId, Request),
    TookSnapshot(NodeId),
    Crashed(NodeId, Power),
    Restarted(NodeId),
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    /// The time now.
    pub now: Millis,
    /// What lies between the servers.
    pub network: Network,
    /// What clients were told and nobody has taken up yet.
    pub answers: Vec<Answer>,
    /// What happened, if somebody wants to see it.
    pub journal: Option<Vec<Happening>>,
    /// What the run is to leave behind, if anything: see [`World::record`].
    pub recording: Option<Recording>,
    /// What was done, if somebody wants to do it again.
    pub acts: Option<Vec<Act>>,
    /// How often what happened.
    pub counts: Counts,
    /// Least and greatest time that a disk takes.
    pub disk_ms: (Millis, Millis),
    servers: BTreeMap<NodeId, Server>,
    checker: Checker,
    broken: Option<Violation>,
    random: Random,
    /// How many servers stand still.
    paused: usize,
    /// Servers that hear nothing of newer terms.
    misled: Vec<NodeId>,
}

impl World {
    /// Servers n1, n2, … that start with empty disks.
    pub fn new(setup: &Setup) -> World {
        let mut random = Random(setup.seed);
        let mut world = World {
            now: 0,
            network: Network::new(random.bits()),
            answers: Vec::new(),
            journal: None,
            recording: None,
            acts: None,
            counts: Counts::default(),
            disk_ms: (0, 0),
            servers: BTreeMap::new(),
            checker: Checker::default(),
            broken: None,
            random,
            paused: 0,
            misled: Vec::new(),
        };
        let ids: Vec<NodeId> = (1..=setup.servers).map(NodeId).collect();
        for &id in &ids {
            let settings = Settings {
                id,
                peers: ids.iter().copied().filter(|&peer| peer != id).collect(),
                timing: setup.timing,
                rules: setup.rules,
                max_entries: setup.max_entries,
                max_bytes: 1 << 20,
                max_chunk_bytes: setup.max_chunk_bytes,
                seed: world.random.bits(),
            };
            world.servers.insert(id, Server::new(settings));
            world.start(id);
        }
        world
    }

    /// The numbers of all servers.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.servers.len() as u64).map(NodeId)
    }

    /// A server, if it exists.
    pub fn server(&self, id: NodeId) -> Option<&Server> {
        self.servers.get(&id)
    }

    /// A server's mind, if it exists and runs.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.servers.get(&id)?.node.as_ref()
    }

    /// The first property that fell, if one did.
    pub fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }

    /// A property fell. Only the first counts: what comes after follows from it.
    pub fn breaks(&mut self, violation: Violation) {
        if self.broken.is_none() {
            self.broken = Some(violation.clone());
            self.note(|| Happening::Broke(violation));
        }
    }

    /// Begins to record the run from here on, every step with the state after it.
    pub fn record(&mut self) {
        self.recording = Some(Recording::default());
        for id in self.ids() {
            self.record_start(id, Cause::Init);
        }
    }

    /// Records that a server has started, if it has.
    fn record_start(&mut self, id: NodeId, cause: Cause) {
        if let (Some(recording), Some(node)) = (&mut self.recording, &self.servers[&id].node) {
            recording.step(self.now, node, cause, &[]);
        }
    }

    /// Notes what happened, if somebody wants to see it.
    fn note(&mut self, happening: impl FnOnce() -> Happening) {
        if self.journal.is_none() && self.recording.is_none() {
            return;
        }
        let happening = happening();
        if let Some(recording) = &mut self.recording {
            recording.note(self.now, &happening);
        }
        if let Some(journal) = &mut self.journal {
            journal.push(happening);
        }
    }

    // ---- What can happen -----------------------------------------------------------------------

    /// The message at this place arrives, if its link is whole and its server runs.
    pub fn deliver(&mut self, slot: Slot) {
        let Some(message) = self.network.take(slot) else { return };
        let (number, to) = (slot.1, message.to);
        if self.network.is_cut(message.from, to) {
            return self.lose(number, message, "the link is cut");
        }
        if self.node(to).is_none() {
            return self.lose(number, message, "the server is down");
        }
        self.note(|| Happening::Arrived(number, message.clone()));
        self.step(to, Input::Receive(message));
    }

    /// The message at this place never arrives.
    pub fn drop_message(&mut self, slot: Slot) {
        if let Some(message) = self.network.take(slot) {
            self.lose(slot.1, message, "dropped");
        }
    }

    /// The message at this place is in flight once more.
    pub fn duplicate(&mut self, slot: Slot) {
        if let Some((number, copy)) = self.network.duplicate(slot) {
            self.note(|| Happening::Sent(number, copy));
        }
    }

    fn lose(&mut self, number: Number, message: Message, why: &'static str) {
        self.counts.messages_lost += 1;
        self.note(|| Happening::Lost(number, message, why));
    }

    /// A server's timer fires now: its clock runs ahead to that moment.
    pub fn fire_timer(&mut self, id: NodeId) {
        let now = self.now;
        let server = self.server_mut(id);
        if let Some(node) = &server.node {
            server.clock.jump_to(now, node.deadline());
            self.step(id, Input::TimerFires);
        }
    }

    /// A server's timer fires now, and its clock stays as it is: for those who look at all that can
    /// happen, and not at when.
    pub fn fire_timer_out_of_time(&mut self, id: NodeId) {
        self.step(id, Input::TimerFires);
    }

    /// A number for this world, the same for worlds in which the same can happen from now on. Time
    /// is left out, and so are the numbers of messages and the order in which they were sent.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for server in self.servers.values() {
            let Server { node, disk, reads, .. } = server;
            let node = node.as_ref();
            let part = node.map(|node| {
                let Node { current_term, voted_for, log, commit_index, role, .. } = node;
                let snapshots = (&node.snapshot, &node.incoming);
                (current_term, voted_for, log, commit_index, node.last_applied, role, snapshots)
            });
            part.hash(&mut hasher);
            if part.is_none() {
                let Saved { current_term, voted_for, snapshot, entries } = disk.safe();
                (current_term, voted_for, snapshot, entries).hash(&mut hasher);
            }
            (reads, disk.due().is_some()).hash(&mut hasher);
        }
        self.network.fingerprint().hash(&mut hasher);
        self.checker.hash_memory(&mut hasher);
        hasher.finish()
    }

    /// A server's clock runs fast or slow from now on: 100 is right.
    pub fn set_clock_rate(&mut self, id: NodeId, percent: u64) {
        let now = self.now;
        self.server_mut(id).clock.set_rate(now, percent);
    }

    /// A server stands still, and all that comes to it waits.
    pub fn pause(&mut self, id: NodeId) {
        let now = self.now;
        let is_running = self.node(id).is_some() && !self.is_paused(id);
        if is_running {
            self.server_mut(id).clock.stand_still(now, true);
            self.paused += 1;
            self.counts.pauses += 1;
        }
    }

    /// A server that stood still goes on, with its clock where it stopped.
    pub fn resume(&mut self, id: NodeId) {
        let now = self.now;
        if self.is_paused(id) {
            self.server_mut(id).clock.stand_still(now, false);
            self.paused -= 1;
        }
    }

    /// From now on a server hears nothing of terms that are newer than its own: such messages wait.
    /// So a leader that was deposed goes on believing that it leads.
    pub fn mislead(&mut self, id: NodeId) {
        self.misled.push(id);
    }

    /// What a misled server should have heard comes to it.
    pub fn enlighten(&mut self, id: NodeId) {
        self.misled.retain(|misled| *misled != id);
    }

    fn comes_through(&self, message: &Message) -> bool {
        let (to, term) = (message.to, message.rpc.term());
        let is_newer = || self.node(to).is_some_and(|node| term > node.current_term);
        let waits = self.is_paused(to) || self.misled.contains(&to) && is_newer();
        !waits
    }

    /// Whether a server stands still.
    pub fn is_paused(&self, id: NodeId) -> bool {
        self.paused > 0 && self.servers[&id].clock.stands_still()
    }

    /// A server goes down. Its state machine and its clients' connections are gone.
    pub fn crash(&mut self, id: NodeId, power: Power) {
        self.resume(id);
        let server = self.server_mut(id);
        if server.node.take().is_none() {
            return;
        }
        self.note_act(Act::Crashed(id, power));
        let server = self.server_mut(id);
        server.reads.clear();
        let saves_lost = server.disk.due().is_some() && power != Power::Stays;
        let found = match power {
            Power::Stays => server.disk.end(),
            Power::Fails => server.disk.lose_cache(),
            Power::FailsMidway(number) => server.disk.lose_power(number),
        };
        let torn = server.disk.torn().is_some();
        self.counts.crashes += 1;
        self.counts.saves_lost += u64::from(saves_lost);
        self.counts.torn += u64::from(torn);
        self.note(|| Happening::Crashed(id, saves_lost));
        // A server that leaves out a rule may leave files behind that no real server does, and the
        // storage refuses them. The lab wants to see what comes of the rule: it goes on with what
        // was safe.
        let obeys_all = self.servers[&id].settings.rules == Rules::ALL;
        if let (Err(violation), true) = (found, obeys_all) {
            self.breaks(violation);
        }
    }

    /// A server that is down starts again, with what its disk holds.
    pub fn restart(&mut self, id: NodeId) {
        if self.node(id).is_some() {
            return;
        }
        self.note_act(Act::Restarted(id));
        self.server_mut(id).settings.seed = self.random.bits();
        self.start(id);
        self.counts.restarts += 1;
        self.record_start(id, Cause::Restart);
        let Server { node, disk, .. } = &self.servers[&id];
        let Saved { current_term: term, voted_for, .. } = *disk.safe();
        let last = node.as_ref().map(|node| node.log.last()).unwrap_or_default();
        let base = disk.safe().snapshot.last_included;
        let what = What::Recovered { voted_for, base, last, note: disk.torn().cloned() };
        self.note(|| Happening::Event(Event { node: id, term, what }));
    }

    fn start(&mut self, id: NodeId) {
        let now = self.now;
        let server = self.server_mut(id);
        let saved = server.disk.safe().clone();
        server.store = Sessions::new(Store::default(), server.settings.rules);
        server.restore(&saved.snapshot);
        server.node = Some(Node::new(server.settings.clone(), saved, server.clock.read(now)));
        self.checker.restarted(id, self.servers[&id].disk.safe());
    }

    /// Clients propose commands to a server.
    pub fn propose(&mut self, id: NodeId, batch: Vec<(RequestId, Command)>) {
        self.step(id, Input::Propose(batch));
    }

    /// A client wants a server to answer a read without writing it to the log.
    pub fn read(&mut self, id: NodeId, request: RequestId, what: Request) {
        self.server_mut(id).reads.push((request, what));
        self.step(id, Input::Read(vec![request]));
    }

    /// A snapshot of a server's state is taken, and given to it.
    pub fn take_snapshot(&mut self, id: NodeId) {
        let server = &self.servers[&id];
        if let Some(node) = &server.node {
            let (index, data) = (node.last_applied, server.store.snapshot().into());
            self.step(id, Input::SnapshotTaken { index, data });
        }
    }

    /// A server is to have this term and vote, and this log, as if history had brought it there.
    pub fn lay(&mut self, id: NodeId, saved: Saved) {
        if let Err(violation) = self.checker.laid(id, &saved) {
            self.breaks(violation);
        }
        self.server_mut(id).disk = Disk::holding(id, saved);
        if self.node(id).is_some() {
            self.start(id);
            self.record_start(id, Cause::Init);
        }
    }

    /// All servers are to obey these rules, and to send no more in one message than this says. Only
    /// before the first step: they start afresh.
    pub fn change_settings(&mut self, setup: &Setup) {
        for id in self.ids() {
            let settings = &mut self.server_mut(id).settings;
            (settings.rules, settings.max_entries) = (setup.rules, setup.max_entries);
            settings.max_chunk_bytes = setup.max_chunk_bytes;
            if self.node(id).is_some() {
                self.start(id);
            }
        }
    }

    /// Servers that have applied the same entries are in the same state, by whatever way they came
    /// there.
    pub fn check_states_agree(&self) -> Result<(), Violation> {
        let mut states: BTreeMap<Index, (NodeId, String)> = BTreeMap::new();
        for (&id, Server { node, store, .. }) in &self.servers {
            let Some(Node { last_applied, .. }) = *node else { continue };
            let state = store.snapshot();
            let (other, first) = states.entry(last_applied).or_insert((id, state.clone()));
            if *first != state {
                let what = format!("{other} and {id} differ after {last_applied} entries");
                return Err(Violation::new(Property::StateMachineSafety, what));
            }
        }
        Ok(())
    }

    // ---- Time ----------------------------------------------------------------------------------

    /// What time brings next, and when. Messages count if they travel by themselves, and unless
    /// they wait for a server that stands still or is misled.
    pub fn next(&self, messages: bool) -> Option<(Millis, Next)> {
        let message = match self.paused + self.misled.len() {
            _ if !messages => None,
            0 => self.network.first(),
            _ => self.network.first_of(|message| self.comes_through(message)),
        };
        let mut next = message.map(|slot| (slot.0, Next::Message(slot)));
        for (&id, server) in self.servers.iter().filter(|(_, server)| !server.clock.stands_still())
        {
            let disk = server.disk.due().map(|due| (due, Next::Disk(id)));
            let timer = server.timer_due().map(|due| (due, Next::Timer(id)));
            for other in [disk, timer] {
                if other.is_some() && (next.is_none() || other < next) {
                    next = other;
                }
            }
        }
        next.map(|(due, what)| (due.max(self.now), what))
    }

    /// Time goes on to this moment, and what it brings happens.
    pub fn happen(&mut self, (due, next): (Millis, Next)) {
        self.now = due;
        match next {
            Next::Disk(id) => self.finish_disk(id),
            Next::Message(slot) => self.deliver(slot),
            Next::Timer(id) => self.step(id, Input::Tick),
        }
    }

    /// Time passes, and all happens that it brings.
    pub fn pass_until(&mut self, end: Millis, messages: bool) {
        while let Some(next) = self.next(messages).filter(|&(due, _)| due <= end) {
            self.happen(next);
        }
        self.now = end;
    }

    /// Every disk that has had its time finishes.
    pub fn finish_disks(&mut self) {
        for id in self.ids() {
            if self.servers[&id].disk.due().is_some_and(|due| due <= self.now) {
                self.finish_disk(id);
            }
        }
    }

    // ---- A step of a server --------------------------------------------------------------------

    fn server_mut(&mut self, id: NodeId) -> &mut Server {
        self.servers.get_mut(&id).expect("whoever commands the world knows its servers")
    }

    /// A server takes in what happened to it, once its disk has done what must come before.
    fn step(&mut self, id: NodeId, input: Input) {
        self.finish_disk_if_awaited(id);
        if self.acts.is_some() {
            self.note_input(id, &input);
        }
        self.take_step(id, input);
    }

    /// Remembers what a server takes in.
    fn note_input(&mut self, id: NodeId, input: &Input) {
        match input {
            Input::Tick | Input::TimerFires => self.note_act(Act::TimerFired(id)),
            Input::Receive(message) => self.note_act(Act::Delivered(message.clone())),
            Input::Propose(batch) => {
                for (_, command) in batch {
                    self.note_act(Act::Proposed(id, command.clone()));
                }
            }
            Input::Read(requests) => {
                for request in requests {
                    let mut reads = self.servers[&id].reads.iter();
                    let what = reads.find(|(waiting, _)| waiting == request);
                    if let Some(what) = what.map(|(_, what)| what.clone()) {
                        self.note_act(Act::Read(id, what));
                    }
                }
            }
            Input::SnapshotTaken { .. } => self.note_act(Act::TookSnapshot(id)),
            Input::Saved(_) => {}
        }
    }

    /// Remembers what is done, if somebody wants to do it again.
    fn note_act(&mut self, act: Act) {
        if let Some(acts) = &mut self.acts {
            acts.push(act);
        }
    }

    fn finish_disk_if_awaited(&mut self, id: NodeId) {
        if self.servers[&id].disk.is_awaited(self.now) {
            self.finish_disk(id);
        }
    }

    /// A server's disk has finished what it was given.
    pub fn finish_disk(&mut self, id: NodeId) {
        self.note_act(Act::DiskFinished(id));
        if let Some(last) = self.server_mut(id).disk.finish() {
            self.take_step(id, Input::Saved(last));
        }
    }

    fn take_step(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        let cause = self.recording.is_some().then(|| Cause::of(&input));
        let server = self.server_mut(id);
        let Some(node) = &mut server.node else { return };
        let outputs = node.step(server.clock.read(now), input);
        self.counts.steps += 1;
        self.record_step(id, cause, &outputs);
        let fallen = self.check(id, &outputs);
        let mut saved = None;
        for output in outputs {
            // A message waits for the disk.
            if let Output::Send(_) = output {
                saved = self.server_mut(id).disk.finish().or(saved);
            }
            self.perform(id, output);
        }
        if let Some(violation) = fallen {
            self.breaks(violation);
        }
        if let Some(last) = saved {
            self.take_step(id, Input::Saved(last));
        }
    }

    fn record_step(&mut self, id: NodeId, cause: Option<Cause>, outputs: &[Output]) {
        if let (Some(recording), Some(cause), Some(node)) =
            (&mut self.recording, cause, &self.servers[&id].node)
        {
            recording.step(self.now, node, cause, outputs);
        }
    }

    /// The property that fell in this step, if it is the first.
    fn check(&mut self, id: NodeId, outputs: &[Output]) -> Option<Violation> {
        let node = self.servers[&id].node.as_ref().filter(|_| self.broken.is_none())?;
        self.checker.after_step(node, outputs).err()
    }

    fn perform(&mut self, id: NodeId, output: Output) {
        match output {
            Output::SaveVote { current_term, voted_for } => {
                let due = self.disk_due();
                self.server_mut(id).disk.save_vote(current_term, voted_for, due);
            }
            Output::SaveEntries { after, entries, leader_id } => {
                let due = self.disk_due();
                self.server_mut(id).disk.save_entries(after, entries, leader_id, due);
            }
            Output::SaveSnapshot(snapshot) => {
                let due = self.disk_due();
                self.server_mut(id).disk.save_snapshot(snapshot, due);
            }
            Output::DiscardLog { through, retain, .. } => {
                let due = self.disk_due();
                self.server_mut(id).disk.discard_log(through, retain, due);
            }
            Output::Restore(snapshot) => self.server_mut(id).restore(&snapshot),
            Output::Send(message) => self.send(message),
            Output::Apply { entry, request } => self.apply(id, &entry, request),
            Output::AnswerRead { request } => {
                let server = self.server_mut(id);
                if let Some(what) = server.take_read(request) {
                    let get = |key| server.store.machine().get(key);
                    let (_, reply) = what.effect(|| what.key().and_then(get));
                    self.answer(Answer { by: id, request, outcome: Outcome::Read(reply) });
                }
            }
            Output::Refuse { request, why } => {
                self.server_mut(id).take_read(request);
                self.answer(Answer { by: id, request, outcome: Outcome::Refused(why) });
            }
            Output::Event(event) => {
                self.counts.event(&event);
                self.note(|| Happening::Event(event));
            }
        }
    }

    fn disk_due(&mut self) -> Millis {
        self.now + self.random.between(self.disk_ms.0, self.disk_ms.1)
    }

    fn send(&mut self, message: Message) {
        self.counts.messages += 1;
        let is_noted = self.journal.is_some() || self.recording.is_some();
        let copy = is_noted.then(|| message.clone());
        let (number, lost) = self.network.send(self.now, message);
        self.counts.messages_lost += u64::from(lost.is_some());
        let Some(message) = copy else { return };
        self.note(|| match lost {
            None => Happening::Sent(number, message.clone()),
            Some(why) => Happening::Lost(number, message.clone(), why),
        });
        // By chance it may be in flight twice.
        for copy in number + 1..=self.network.last_number() {
            self.note(|| Happening::Sent(copy, message.clone()));
        }
    }

    fn apply(&mut self, id: NodeId, entry: &Entry, request: Option<RequestId>) {
        let (done_by, reply) = self.server_mut(id).store.apply(entry);
        if let Some(request) = request {
            let outcome = Outcome::Applied(done_by, reply);
            self.answer(Answer { by: id, request, outcome });
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.counts.answers += 1;
        self.note(|| Happening::Answered(answer.clone()));
        self.answers.push(answer);
    }
}

impl Server {
    fn new(settings: Settings) -> Server {
        Server {
            node: None,
            disk: Disk::new(settings.id),
            store: Sessions::new(Store::default(), settings.rules),
            clock: Clock::default(),
            settings,
            reads: Vec::new(),
        }
    }

    /// Takes on the state of a snapshot, if it is one. Only where a rule is left out it may not be,
    /// and then the checker has seen that it is another's.
    fn restore(&mut self, snapshot: &Snapshot) {
        if snapshot.last_included.index > 0 {
            let _ = self.store.restore(&snapshot.data);
        }
    }

    fn take_read(&mut self, request: RequestId) -> Option<Request> {
        let place = self.reads.iter().position(|&(waiting, _)| waiting == request)?;
        Some(self.reads.remove(place).1)
    }

    /// When its timer fires, in the world's time.
    fn timer_due(&self) -> Option<Millis> {
        self.clock.moment(self.node.as_ref()?.deadline())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::{EntryId, Index};
    use crate::node::rules::Rule;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);

    fn deliver_all(world: &mut World) {
        for _ in 0..100 {
            world.network.first().into_iter().for_each(|first| world.deliver(first));
        }
        assert_eq!(world.network.first(), None, "it is quiet");
        world.finish_disks();
    }

    /// Three servers, n1 leads term 1.
    fn led_by_n1(rules: Rules) -> World {
        let mut world = World::new(&Setup { rules, ..Setup::of(3) });
        world.fire_timer(N1);
        deliver_all(&mut world);
        assert_eq!(world.node(N1).and_then(Node::leader), Some(N1));
        world
    }

    fn set(world: &mut World, request: RequestId, text: &str) {
        world.propose(N1, vec![(request, Command::new(text))]);
    }

    fn log_on_disk(world: &World, id: NodeId) -> Index {
        world.server(id).expect("it exists").disk.safe().entries.len() as Index
    }

    #[test]
    fn client_is_answered_when_its_entry_is_applied() {
        let mut world = led_by_n1(Rules::ALL);
        set(&mut world, 7, "set x=1");
        assert!(world.answers.is_empty());
        deliver_all(&mut world);
        let entry = EntryId { index: 2, term: 1 };
        let outcome = Outcome::Applied(entry, crate::state_machine::Reply::Ok);
        assert_eq!(world.answers, [Answer { by: N1, request: 7, outcome }]);
        world.answers.clear();
        world.read(N1, 8, Request::Get { key: "x".to_string() });
        deliver_all(&mut world);
        let outcome = Outcome::Read(crate::state_machine::Reply::Value("1".to_string()));
        assert_eq!(world.answers, [Answer { by: N1, request: 8, outcome }]);
        world.read(N2, 9, Request::Get { key: "x".to_string() });
        assert!(matches!(world.answers[1].outcome, Outcome::Refused(_)));
    }

    #[test]
    fn same_seed_gives_the_same_run() {
        let run = |seed| {
            let mut world = World::new(&Setup { seed, ..Setup::of(5) });
            world.network.weather.delay_ms = (1, 30);
            world.pass_until(2000, true);
            (world.counts, world.network.first())
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn cut_link_loses_what_is_in_flight_and_what_is_sent_one_way() {
        let mut world = led_by_n1(Rules::ALL);
        set(&mut world, 1, "set x=1");
        world.network.cut(N1, N2);
        deliver_all(&mut world);
        assert_eq!(log_on_disk(&world, N2), 1);
        assert_eq!(log_on_disk(&world, N3), 2);
        set(&mut world, 2, "set x=2");
        assert_eq!(world.network.in_flight().len(), 1, "only to n3");
        let from_n2 = |world: &World| world.network.in_flight().iter().any(|m| m.1.from == N2);
        world.fire_timer(N2);
        assert!(from_n2(&world), "the other way is whole");
    }

    #[test]
    fn message_to_a_crashed_server_is_lost() {
        let mut world = led_by_n1(Rules::ALL);
        set(&mut world, 1, "set x=1");
        world.crash(N2, Power::Stays);
        world.journal = Some(Vec::new());
        deliver_all(&mut world);
        let journal = world.journal.take().unwrap();
        let lost = |happening: &Happening| matches!(happening, Happening::Lost(..));
        assert_eq!(journal.iter().filter(|happening| lost(happening)).count(), 1);
        assert_eq!(world.answers.len(), 1, "two of three suffice");
    }

    #[test]
    fn duplicate_message_arrives_twice() {
        let mut world = World::new(&Setup::of(3));
        world.fire_timer(N1);
        let first = world.network.first().unwrap();
        world.duplicate(first);
        assert_eq!(world.network.in_flight().len(), 3);
        deliver_all(&mut world);
        assert_eq!(
            world.counts.cited(crate::node::rules::Rule::UpToDateLog),
            3,
            "n2 answers twice"
        );
        assert_eq!(world.broken(), None);
    }

    #[test]
    fn leaders_own_entry_waits_for_its_disk_and_is_lost_with_the_power() {
        let mut world = led_by_n1(Rules::ALL);
        let mut stays = world.clone();
        set(&mut world, 1, "set x=1");
        assert_eq!(log_on_disk(&world, N1), 1);
        world.crash(N1, Power::Fails);
        assert_eq!((log_on_disk(&world, N1), world.counts.saves_lost), (1, 1));
        set(&mut stays, 1, "set x=1");
        stays.crash(N1, Power::Stays);
        assert_eq!((log_on_disk(&stays, N1), stays.counts.saves_lost), (2, 0));
        stays.restart(N1);
        assert_eq!(stays.node(N1).map(|node| node.log.last_index()), Some(2));
    }

    #[test]
    fn leader_counts_itself_only_when_its_disk_has_finished() {
        let mut world = led_by_n1(Rules::ALL);
        world.disk_ms = (1000, 1000);
        world.network.cut(N1, N3);
        set(&mut world, 1, "set x=1");
        deliver_all(&mut world);
        assert_eq!(world.node(N1).map(|node| node.commit_index), Some(1), "only n2 has saved it");
        world.pass_until(1000, false);
        assert_eq!(world.node(N1).map(|node| node.commit_index), Some(2));
    }

    /// The story `forgotten-vote` depends on this.
    #[test]
    fn vote_is_lost_with_the_power_only_if_it_was_not_saved_before_the_reply() {
        for (rules, vote) in [(Rules::ALL, Some(N1)), (Rules::ALL.without(Rule::SaveVote), None)] {
            let mut world = World::new(&Setup { rules, ..Setup::of(3) });
            world.fire_timer(N1);
            let to_n3 = world.network.in_flight()[1].0;
            world.deliver(to_n3);
            world.crash(N3, Power::Fails);
            world.restart(N3);
            assert_eq!(world.node(N3).and_then(|node| node.voted_for), vote);
        }
    }

    #[test]
    fn crash_forgets_the_state_machine_and_a_restart_applies_the_log_again() {
        let mut world = led_by_n1(Rules::ALL);
        set(&mut world, 1, "set x=1");
        deliver_all(&mut world);
        world.crash(N1, Power::Stays);
        world.restart(N1);
        assert_eq!(world.server(N1).and_then(|server| server.store.machine().get("x")), None);
        world.fire_timer(N1);
        deliver_all(&mut world);
        assert_eq!(world.server(N1).and_then(|server| server.store.machine().get("x")), Some("1"));
        assert_eq!(world.broken(), None);
    }

    #[test]
    fn restart_begins_a_new_timeout_by_the_servers_own_clock() {
        let mut world = led_by_n1(Rules::ALL);
        world.pass_until(1000, true);
        world.crash(N1, Power::Stays);
        world.restart(N1);
        let due = world.server(N1).and_then(Server::timer_due).unwrap();
        assert!((1150..=1300).contains(&due), "{due}");
    }

    #[test]
    fn counts_tell_what_happened() {
        let mut world = led_by_n1(Rules::ALL);
        world.network.cut(N1, N3);
        for request in 0..2 {
            set(&mut world, request, "set x=1");
            deliver_all(&mut world);
        }
        world.crash(N3, Power::Fails);
        world.restart(N3);
        world.fire_timer(N1);
        let heartbeat = world.network.first().unwrap();
        world.drop_message(heartbeat);
        let Counts { elections, commits, messages, messages_lost, answers, .. } = world.counts;
        assert_eq!((elections, commits, answers), (1, 3, 2));
        // Two questions for votes and two no-ops, with their answers; two entries to n2, with
        // theirs; the same two to n3, lost; and two heartbeats, one lost on the cut link, one
        // dropped.
        assert_eq!((messages, messages_lost), (8 + 4 + 2 + 2, 2 + 2));
        let Counts { crashes, saves_lost, restarts, .. } = world.counts;
        assert_eq!((crashes, saves_lost, restarts), (1, 0, 1));
    }

    #[test]
    fn paused_server_takes_no_step_until_it_goes_on() {
        let mut world = led_by_n1(Rules::ALL);
        world.pause(N1);
        world.pass_until(2000, true);
        let led = |world: &World| world.node(N1).is_some_and(|node| node.leader() == Some(N1));
        assert!(led(&world), "it has not heard of the others' elections");
        assert!(world.node(N2).is_some_and(|node| node.current_term > 1));
        assert!(world.network.first().is_some_and(|(due, _)| due < 2000), "its messages wait");
        world.resume(N1);
        world.pass_until(2001, true);
        assert!(!led(&world));
        world.pause(N1);
        world.crash(N1, Power::Stays);
        assert!(!world.is_paused(N1), "a restart begins anew");
        assert_eq!((world.counts.pauses, world.paused), (2, 0));
    }

    #[test]
    fn misled_leader_hears_answers_of_its_term_and_nothing_newer() {
        let mut world = led_by_n1(Rules::ALL);
        world.mislead(N1);
        world.network.cut(N1, N2);
        world.network.cut(N1, N3);
        world.pass_until(1000, true);
        let leads = |world: &World, id| world.node(id).is_some_and(|n| n.leader() == Some(id));
        assert!(leads(&world, N1), "it does not know");
        assert!(leads(&world, N2) || leads(&world, N3));
        world.enlighten(N1);
        world.pass_until(1001, true);
        assert!(!leads(&world, N1));
    }

    #[test]
    fn fire_timer_moves_one_clock_and_leaves_the_others() {
        let mut world = World::new(&Setup::of(3));
        world.fire_timer(N1);
        assert_eq!(world.now, 0);
        assert!(world.server(N1).expect("it exists").clock.read(0) >= 150);
        assert_eq!(world.server(N2).expect("it exists").clock.read(0), 0);
        assert!(matches!(world.next(false), Some((150..=300, Next::Timer(_)))));
    }
}
