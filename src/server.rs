//! The body: it owns the node, its disk and its state machine, and does what the node says.
//!
//! One thread, the raft thread, runs [`Server::run`]: it waits for events or a deadline, takes all
//! events that are there, tells the node of them, and does what the node wants done, **in order**.
//! Entries that must be saved in a round are saved by one write and one fsync: while the disk
//! works, the inbox fills, and the next round takes all of it. That is group commit. (The term and
//! the vote have a file of their own.) A disk error is a crash: the server stops and says why.
//!
//! While the disk stalls, the readers of peers go on reading. So the thread then takes in all the
//! messages that are there before it lets the node look at its timer: a heartbeat that was
//! delivered in time counts as heard.
//!
//! `server/inbox.rs` has the events and the answers; `server/requests.rs` is what clients ask;
//! `server/snapshots.rs` cuts the log; `server/clock.rs` is the node's time, which stands still
//! while a student has the node play dead; `server/state_text.rs` makes the text of a whole state.

mod clock;
pub mod console;
pub mod inbox;
pub mod metrics;
mod requests;
mod snapshots;
mod state_text;
pub mod status;
pub mod subscribers;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::node::Node;
use crate::node::event::{Event, What};
use crate::node::message::{Command, Entry, EntryId, Index, Message, NodeId, Rpc};
use crate::node::rules::Rules;
use crate::node::step::{Input, Millis, Output, Refusal, RequestId, Saved, Settings};
use crate::state_machine::{Sessions, StateMachine};
use crate::storage::trace::Trace;
use crate::storage::trace::record::Cause;
use crate::storage::{Recovered, Storage};
use crate::transport::Transport;
use crate::transport::options::Kind;
use clock::Clock;
use console::Console;
use inbox::{Answer, Inbox, PATIENCE, Ticket, ToHttp};
use metrics::Metrics;
use snapshots::Snapshots;
use state_text::StateText;
use status::Leader;
use subscribers::{Direction, Subscribers};

/// The most that one message carries: entries, and bytes of commands.
const MAX_PER_MESSAGE: (usize, usize) = (1024, 1024 * 1024);
/// The same over UDP: with the names around them, entries must fit into a datagram.
const MAX_PER_DATAGRAM: (usize, usize) = (256, 32 * 1024);

/// How long a server waits at most if it has no deadline.
const LONG: Millis = 60 * 60 * 1000;

/// How often the HTTP thread is told how the node is, at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Which node of the registry this is.
    pub id: NodeId,
    /// The registry.
    pub config: Config,
    /// The directory of this node's files.
    pub data: PathBuf,
    /// Forget what it has saved before.
    pub fresh: bool,
    /// Show every message.
    pub verbose: bool,
    /// Where to write every step, if anywhere.
    pub trace: Option<PathBuf>,
    /// Where the process that started this one kills and restarts nodes, `host:port`, if it does.
    pub launcher: Option<String>,
    /// What it prints first, if it could be started.
    pub greeting: Option<String>,
}

/// A node with all that it needs to act: disk, network, state machine, clients.
pub struct Server<M> {
    node: Node,
    storage: Storage,
    machine: Sessions<M>,
    /// The last entry applied to it. The node's own last_applied may stand for entries that it has
    /// already given out and that wait to be applied.
    applied: Index,
    snapshots: Snapshots<M>,
    transport: Transport,
    http: Sender<ToHttp>,
    /// Clients whose command or read is with the node, in the order of their numbers there. Mostly
    /// the first to come is the first to be answered.
    clients: VecDeque<(RequestId, Client)>,
    next_request: RequestId,
    state_text: StateText<M>,
    console: Console,
    subscribers: Subscribers,
    metrics: Metrics,
    /// What is written of every step, if a trace was asked for and could be written so far.
    trace: Option<Trace>,
    options: NodeOptions,
    clock: Clock,
    /// When the HTTP thread was last told how the node is.
    published_at: Option<Instant>,
}

/// A client that waits for its command to be applied, or for its read to be confirmed.
struct Client {
    command: Command,
    ticket: Ticket,
    /// When the server took it up.
    since: Instant,
}

/// One thing to be done.
enum Todo {
    /// What the node wants.
    Do(Output),
    /// Answer a client. The answer must not overtake what is to be saved before it.
    Answer(Ticket, Answer),
}

impl Todo {
    fn is_save(&self) -> bool {
        matches!(self, Todo::Do(output) if output.is_save())
    }
}

/// What one round gathers from the inbox.
#[derive(Default)]
struct Batch {
    todo: Vec<Todo>,
    proposals: Vec<(RequestId, Command)>,
    reads: Vec<RequestId>,
}

impl Batch {
    fn add(&mut self, outputs: Vec<Output>) {
        self.todo.extend(outputs.into_iter().map(Todo::Do));
    }
}

impl<M: StateMachine> Server<M> {
    /// A server that goes on from what was recovered. The machine is empty: the server applies the
    /// snapshot and the log to it. Opens the trace, and prints the first lines.
    ///
    /// # Errors
    /// One line for people: the snapshot is damaged, or another machine's; or the trace cannot be
    /// written.
    pub fn new(
        options: NodeOptions,
        machine: M,
        (storage, recovered): (Storage, Recovered),
        transport: Transport,
        http: Sender<ToHttp>,
    ) -> Result<Server<M>, String> {
        let trace = options.trace.as_deref().map(Trace::open).transpose()?;
        let Recovered { current_term, voted_for, snapshot, entries, note } = recovered;
        let saved = Saved { current_term, voted_for, snapshot, entries };
        let mut machine = Sessions::new(machine, Rules::ALL);
        let last_included = saved.snapshot.last_included;
        if last_included.index > 0 {
            let restored = machine.restore(&saved.snapshot.data);
            restored
                .map_err(|why| format!("the snapshot up to {last_included} is damaged: {why}"))?;
        }
        let mut server = Server {
            node: Node::new(settings(&options), saved, 0),
            storage,
            machine,
            applied: last_included.index,
            snapshots: Snapshots::new(options.config.snapshot_after_bytes),
            transport,
            state_text: StateText::new(http.clone()),
            http,
            clients: VecDeque::new(),
            next_request: 0,
            console: Console::open(),
            subscribers: Subscribers::default(),
            metrics: Metrics::default(),
            trace,
            options,
            clock: Clock::start(),
            published_at: None,
        };
        server.tell_how_it_starts(note);
        Ok(server)
    }

    /// The first lines, and the first record of the trace. `note` is what else there is to say of
    /// what was recovered.
    fn tell_how_it_starts(&mut self, note: Option<String>) {
        let NodeOptions { id, config, data, greeting, .. } = &self.options;
        if let Some(greeting) = greeting {
            self.console.line(greeting);
        }
        self.report(What::Started {
            address: config.nodes[id].clone(),
            peers: self.peer_ids().collect(),
            transport: config.transport.name(),
            data: data.display().to_string(),
        });
        let (base, last) = (self.node.log.base(), self.node.log.last());
        self.report(What::Recovered { voted_for: self.node.voted_for, base, last, note });
        if let Some(trace) = &mut self.trace {
            trace.start(&self.node);
        }
        self.tell_state();
    }

    /// The raft thread: serves the inbox until it cannot go on.
    ///
    /// # Errors
    /// Why not, in one line for people: mostly the disk has failed.
    pub fn run(mut self, inbox: &Inbox) -> Result<(), String> {
        loop {
            let events = inbox.wait(self.time_to_deadline());
            let todo = self.take_in(events);
            let done = self.perform(todo).and_then(|()| self.attend_to_snapshot());
            if let Err(why) = done {
                self.console.close(); // with the last lines in it
                return Err(why);
            }
            self.tell_state();
        }
    }

    /// How long until something is due.
    fn time_to_deadline(&self) -> Duration {
        let for_node = match self.clock.stands_still() {
            true => LONG,
            false => self.node.deadline().saturating_sub(self.clock.now()),
        };
        let uptime_ms = self.clock.uptime_ms();
        let for_subscribers =
            self.subscribers.deadline().map_or(LONG, |deadline| deadline.saturating_sub(uptime_ms));
        let for_snapshot = self.snapshots.time_to_look();
        Duration::from_millis(for_node.min(for_subscribers).min(for_snapshot))
    }

    /// Tells the node all that has come, messages one by one and clients' requests as one batch,
    /// and then that time has passed.
    fn take_in(&mut self, events: Vec<inbox::Event>) -> Vec<Todo> {
        let mut batch = Batch::default();
        for event in events {
            match event {
                inbox::Event::Messages(messages) => {
                    messages.into_iter().for_each(|message| self.take_message(message, &mut batch));
                }
                inbox::Event::Report(what) => batch.add(vec![self.event(what)]),
                inbox::Event::Requests(requests) => {
                    let take = |(request, ticket)| self.take_request(request, ticket, &mut batch);
                    requests.into_iter().for_each(take);
                }
            }
        }
        let (proposals, reads) = (batch.proposals.split_off(0), batch.reads.split_off(0));
        if !proposals.is_empty() {
            batch.add(self.step(Input::Propose(proposals)));
        }
        if !reads.is_empty() {
            batch.add(self.step(Input::Read(reads)));
        }
        if !self.clock.stands_still() {
            batch.add(self.step(Input::Tick));
        }
        batch.todo
    }

    /// Tells the node one thing, and writes to the trace what came of it.
    fn step(&mut self, input: Input) -> Vec<Output> {
        let cause = self.trace.as_ref().map(|_| Cause::of(&input));
        let outputs = self.node.step(self.clock.now(), input);
        if let (Some(trace), Some(cause)) = (&mut self.trace, cause) {
            trace.step(&self.node, cause, &outputs);
        }
        outputs
    }

    fn take_message(&mut self, message: Message, batch: &mut Batch) {
        if self.clock.stands_still() {
            return;
        }
        let why = self.objection_to_entries(&message.rpc).or_else(|| match &message.rpc {
            Rpc::InstallSnapshot(rpc) => {
                self.snapshots.objection_to(rpc, &mut self.node, &self.machine)
            }
            _ => None,
        });
        if let Some(why) = why {
            let from = message.from.to_string();
            return batch.add(vec![self.event(What::Dropped { from, why })]);
        }
        self.note_message(Direction::Received, &message);
        if self.options.verbose {
            batch.add(vec![self.event(What::Receives(message.clone()))]);
        }
        batch.add(self.step(Input::Receive(message)));
    }

    /// Says that no leader can have sent this, if it would replace a committed entry: every leader
    /// holds all that is committed (Leader Completeness, Figure 3).
    fn objection_to_entries(&self, rpc: &Rpc) -> Option<String> {
        let Node { current_term, commit_index, log, .. } = &self.node;
        let contradicts = |id: &EntryId| id.index <= *commit_index && !log.covers(*id);
        let id = match rpc {
            _ if rpc.term() < *current_term => None,
            Rpc::AppendEntries(rpc) => {
                let ids = rpc.entries.iter().map(Entry::id);
                ids.take_while(|id| id.index <= *commit_index).find(contradicts)
            }
            Rpc::InstallSnapshot(rpc) => Some(rpc.last_included()).filter(contradicts),
            _ => None,
        }?;
        Some(format!("entry {id} contradicts a committed one: no leader sends that (§5.4)"))
    }

    fn note_message(&mut self, direction: Direction, message: &Message) {
        self.metrics.message(direction, message);
        self.subscribers.message(self.clock.uptime_ms(), direction, message);
    }

    fn event(&self, what: What) -> Output {
        let (node, term) = (self.node.id(), self.node.current_term);
        Output::Event(Event { node, term, what })
    }

    /// Does all of it, in order; but all that is to be saved is saved at the place of the first of
    /// it, with one fsync. To save earlier than asked does no harm.
    fn perform(&mut self, mut todo: Vec<Todo>) -> Result<(), String> {
        self.flush_trace();
        let first_save = todo.iter().position(Todo::is_save).unwrap_or(todo.len());
        let rest = todo.split_off(first_save);
        self.perform_all(todo);
        if rest.is_empty() {
            return Ok(());
        }
        self.save(&rest)?;
        self.perform_all(rest);
        // The disk has answered: a leader may now count itself, and commit.
        let saved = Input::Saved(self.node.log.last());
        let outputs = self.step(saved);
        self.perform(outputs.into_iter().map(Todo::Do).collect())
    }

    /// What is about to be done stands in the trace first. If the trace cannot be written, it ends,
    /// and the node goes on.
    fn flush_trace(&mut self) {
        if let Some(Err(why)) = self.trace.as_mut().map(Trace::flush) {
            self.trace = None;
            self.report(What::TraceEnds { why });
        }
    }

    fn save(&mut self, todo: &[Todo]) -> Result<(), String> {
        let began = Instant::now();
        // The last word on the vote is enough: nobody is told of those before until it is saved.
        let last_vote = todo.iter().rev().find_map(|one| match one {
            Todo::Do(Output::SaveVote { current_term, voted_for }) => {
                Some((*current_term, *voted_for))
            }
            _ => None,
        });
        if let Some((current_term, voted_for)) = last_vote {
            self.storage.save_vote(current_term, voted_for)?;
        }
        for one in todo {
            match one {
                Todo::Do(Output::SaveEntries { after, entries, leader_id }) => {
                    self.storage.save_entries(*after, entries, *leader_id)?;
                }
                Todo::Do(Output::SaveSnapshot(snapshot)) => {
                    self.snapshots.save(&mut self.storage, snapshot)?;
                }
                Todo::Do(Output::DiscardLog { through, retain, .. }) => {
                    self.storage.discard_log(*through, *retain)?;
                }
                _ => {}
            }
        }
        self.storage.sync()?;
        self.metrics.save(began.elapsed());
        Ok(())
    }

    /// Does what need not be saved, or is.
    fn perform_all(&mut self, todo: Vec<Todo>) {
        for one in todo {
            match one {
                Todo::Do(output) => self.perform_output(output),
                Todo::Answer(ticket, answer) => self.send_answer(ticket, answer),
            }
        }
    }

    fn perform_output(&mut self, output: Output) {
        match output {
            // Done by `save`.
            Output::SaveVote { .. } | Output::SaveEntries { .. } | Output::SaveSnapshot(_) => {}
            Output::DiscardLog { discarded, .. } => snapshots::free(discarded),
            Output::Restore(snapshot) => {
                self.snapshots.restore(&snapshot, &mut self.machine);
                self.applied = snapshot.last_included.index;
            }
            Output::Send(message) => {
                self.note_message(Direction::Sent, &message);
                if self.options.verbose {
                    self.report(What::Sends(message.clone()));
                }
                self.transport.send(message);
            }
            Output::Apply { entry, request } => self.apply(&entry, request),
            Output::AnswerRead { request } => self.answer_read(request),
            Output::Refuse { request, why: Refusal::NotLeader } => {
                self.answer(request, Answer::NotLeader(self.leader()));
            }
            Output::Refuse { request, why: Refusal::Replaced } => {
                self.answer(request, Answer::Replaced);
            }
            Output::Refuse { request, why: Refusal::Unknown } => {
                self.answer(request, Answer::Unknown);
            }
            Output::Event(event) => self.show(&event),
        }
    }

    /// Tells the node of the snapshot that is written, or begins one that is due.
    fn attend_to_snapshot(&mut self) -> Result<(), String> {
        let written = self.snapshots.take_written(&self.node, &mut self.storage)?;
        if let Some((index, data)) = written {
            let outputs = self.step(Input::SnapshotTaken { index, data });
            return self.perform(outputs.into_iter().map(Todo::Do).collect());
        }
        if self.clock.stands_still() {
            return Ok(());
        }
        let (node, machine) = (&self.node, &self.machine);
        self.snapshots.begin_if_due(node, &mut self.storage, machine, self.applied)
    }

    fn apply(&mut self, entry: &Entry, request: Option<RequestId>) {
        let (id, reply) = self.machine.apply(entry);
        self.applied = entry.index;
        if let Some(client) = request.and_then(|request| self.take_client(request)) {
            let took = client.since.elapsed();
            if took < PATIENCE {
                self.metrics.command(took); // else its client was told that nobody knows
            }
            self.send_answer(client.ticket, Answer::Applied(id, reply));
        }
    }

    /// Removes a client from those that wait: it is answered now.
    fn take_client(&mut self, request: RequestId) -> Option<Client> {
        let place = self.clients.binary_search_by_key(&request, |&(number, _)| number).ok()?;
        self.clients.remove(place).map(|(_, client)| client)
    }

    /// Answers a client that waits.
    fn answer(&mut self, request: RequestId, answer: Answer) {
        if let Some(client) = self.take_client(request) {
            self.send_answer(client.ticket, answer);
        }
    }

    fn answer_read(&mut self, request: RequestId) {
        let Some(client) = self.take_client(request) else { return };
        if let Some(reply) = self.machine.machine().query(client.command.split().1) {
            self.metrics.read();
            self.send_answer(client.ticket, Answer::Read(self.applied, reply));
        }
    }

    fn send_answer(&self, ticket: Ticket, answer: Answer) {
        self.send_to_http(ToHttp::Answer(ticket, answer));
    }

    fn report(&mut self, what: What) {
        let output = self.event(what);
        self.perform_output(output);
    }

    /// Tells all who want to know.
    fn show(&mut self, event: &Event) {
        self.console.show(event, self.options.verbose);
        self.metrics.event(event);
        if !matches!(event.what, What::Receives(_) | What::Sends(_)) {
            // Subscribers are told of messages in another way.
            self.subscribers.event(self.clock.uptime_ms(), event);
        }
    }

    /// # Panics
    /// If the HTTP thread has panicked: a server of Raft fails by stopping, as a whole.
    fn send_to_http(&self, what: ToHttp) {
        self.http.send(what).expect("the HTTP thread lives as long as the node");
    }

    /// Tells the subscribers how the node is now, and the HTTP thread, which answers with it while
    /// the disk stalls; if it is time to.
    fn tell_state(&mut self) {
        let uptime_ms = self.clock.uptime_ms();
        self.subscribers.tick(uptime_ms);
        if self.subscribers.want_state(uptime_ms) {
            let state = self.state();
            self.subscribers.tell_state(uptime_ms, state);
        }
        if self.published_at.is_none_or(|then| then.elapsed() >= PUBLISH_EVERY) {
            self.published_at = Some(Instant::now());
            self.send_to_http(ToHttp::Status(Box::new(self.status())));
        }
    }

    fn leader(&self) -> Option<Leader> {
        let id = self.node.leader()?;
        Some(Leader { id, address: self.transport.address_of(id) })
    }
}

fn settings(options: &NodeOptions) -> Settings {
    let NodeOptions { id, config, .. } = options;
    let (max_entries, max_bytes) = match config.transport {
        Kind::Tcp => MAX_PER_MESSAGE,
        Kind::Udp => MAX_PER_DATAGRAM,
    };
    Settings {
        id: *id,
        peers: config.nodes.keys().copied().filter(|peer| peer != id).collect(),
        timing: config.timing,
        rules: Rules::ALL,
        max_entries,
        max_bytes,
        max_chunk_bytes: max_bytes,
        seed: RandomState::new().hash_one(id.0),
    }
}
