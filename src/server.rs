//! The body: it owns the node, its disk and its state machine, and serves one inbox, turn by turn.
//!
//! Each turn it takes all that waits in the inbox, tells the node (messages one by one, clients'
//! proposals as one batch), and does what the node says, **in order**. All that must be saved in a
//! turn is saved by one write and one fsync: while the disk works, the next turn's batch gathers.
//! That is group commit. A disk error is a crash: the server stops and says why. So is a panic in
//! any thread, in a release build (`Cargo.toml`). Whose thread it is that has the turn, `inbox.rs`
//! decides; here nobody needs to know.
//!
//! `server/asks.rs` is what clients ask of it; `server/gathering.rs` is where that waits for
//! company; `server/snapshots.rs` cuts the log; `server/clock.rs` is its time, which stands still
//! while a student has it play dead.

mod asks;
mod clock;
pub mod console;
mod gathering;
pub mod inbox;
pub mod metrics;
pub mod slot;
mod snapshots;
pub mod status;
pub mod subscribers;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::config::{Config, FaultsFrom};
use crate::http::{self, api::Site, hall::Hall};
use crate::node::Node;
use crate::node::event::{Event, What};
use crate::node::message::{Command, Entry, EntryId, Index, Message, NodeId, Rpc, Term};
use crate::node::role::Role;
use crate::node::rules::Rules;
use crate::node::step::{Input, Millis, Output, Refusal, RequestId, Saved, Settings};
use crate::server::console::Console;
use crate::server::inbox::{Answer, Desk, Incoming, Picture, Serve, Tell, Waiting};
use crate::server::metrics::Metrics;
use crate::server::status::Leader;
use crate::server::subscribers::{Direction, Watchers};
use crate::state_machine::{Sessions, StateMachine};
use crate::storage::trace::Tracer;
use crate::storage::trace::record::Cause;
use crate::storage::{Recovered, Storage};
use crate::transport::{self, Kind, Received, Transport};
use clock::Clock;
use gathering::Gathering;
use snapshots::Writing;

/// The most that one message carries: entries, and bytes of commands.
const MAX_PER_MESSAGE: (usize, usize) = (1024, 1024 * 1024);
/// The same over UDP: with the names around them, entries must fit into a datagram.
const MAX_PER_DATAGRAM: (usize, usize) = (256, 32 * 1024);

/// How many terms a node may have missed: more than all elections of many months.
const MAX_TERMS_MISSED: Term = 10_000_000;

/// The most clients' requests that wait. More come together only where no majority answers: their
/// clients have long gone.
const MAX_CLIENTS: usize = 10_000;

/// How long a server waits at most that has nothing to wait for.
const LONG: Millis = 60 * 60 * 1000;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
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

/// Runs a node until its disk fails. The machine is empty: the node applies its log to it.
///
/// # Errors
/// One line for people: the data cannot be used, the address is taken, or the disk failed.
pub fn run(options: Options, machine: impl StateMachine) -> Result<(), String> {
    let (desk, inbox) = inbox::open();
    // The address comes first: a node that cannot have it should forget nothing.
    let transport = open_transport(&options, &desk)?;
    let forgot = options.fresh && Storage::forget(&options.data, options.id)?;
    let tracer = options.trace.as_deref().map(Tracer::open).transpose()?;
    let (storage, mut recovered) =
        Storage::open(&options.data, &options.config.cluster, options.id)?;
    let note = match forgot {
        true => Some("all that it had saved before is forgotten (--fresh)".to_string()),
        false => recovered.torn.take(),
    };
    let mut server = Server::new(&options, machine, storage, recovered, transport)?;
    server.tell_how_it_starts(note);
    server.begin_trace(tracer);
    inbox.keep(server)
}

fn open_transport(options: &Options, desk: &Desk) -> Result<Transport, String> {
    let for_peers = desk.clone();
    let Config { cluster, nodes, transport: kind, drop_percent, bind, advertise, .. } =
        options.config.clone();
    let me = options.id;
    let bind = bind.or(nodes.get(&me).cloned()).unwrap_or_default();
    let (site, started) = site(desk.clone(), options);
    let transport = transport::start(
        transport::Options { cluster, me, nodes, kind, drop_percent, bind, advertise },
        move |received| match received {
            // While a turn is taken no datagrams are read, and the system throws them away.
            Received::Messages(messages) if kind == Kind::Udp => {
                for_peers.leave(Incoming::Messages(messages));
            }
            Received::Messages(messages) => for_peers.hand_in(Incoming::Messages(messages)),
            Received::Report(what) => for_peers.leave(Incoming::Report(what)),
        },
        move |stream| http::api::serve(stream, &site),
    )?;
    let _ = started.set(transport.clone()); // the first time, and the only one
    Ok(transport)
}

/// What HTTP needs to know. The transport, which knows best where members are reached, serves HTTP
/// before it can be asked: until then the registry must do.
fn site(desk: Desk, options: &Options) -> (Arc<Site>, Arc<OnceLock<Transport>>) {
    let Options { config, launcher, .. } = options;
    let registry: Vec<String> = config.nodes.values().cloned().collect();
    let started = Arc::new(OnceLock::<Transport>::new());
    let transport = Arc::clone(&started);
    let members = move || transport.get().map_or(registry.clone(), Transport::advertised);
    let faults_from_anywhere = config.faults_from == FaultsFrom::Anywhere;
    let launcher = launcher.clone();
    let hall = Hall::open(&desk);
    let members = Box::new(members);
    let site = Site { desk, hall, members, launcher, faults_from_anywhere };
    (Arc::new(site), started)
}

struct Server<M> {
    node: Node,
    storage: Storage,
    machine: Sessions<M>,
    /// The last entry applied to it. The node's own last_applied may stand for entries that it has
    /// already given out and that wait their turn.
    applied: Index,
    transport: Transport,
    console: Console,
    watchers: Watchers,
    metrics: Metrics,
    /// What is written of every step, unless nobody asked for it or it could not be written.
    tracer: Option<Tracer>,
    options: Options,
    /// Clients that wait, with the numbers that the node knows them by, in order of those. Mostly
    /// who came first is answered first.
    clients: VecDeque<(RequestId, Client)>,
    next_request: RequestId,
    /// Commands that the node has not been told of yet.
    commands: Gathering<(RequestId, Command)>,
    /// Reads of which the same is true.
    reads: Gathering<RequestId>,
    /// The last picture of the state that someone asked for, while anyone has it, and how far the
    /// log was applied then.
    picture: (Index, Weak<Picture>),
    /// The state after an entry, which is to become a snapshot.
    kept: Option<(EntryId, Sessions<M>)>,
    /// A snapshot that is being written.
    writing: Option<Writing>,
    /// By how much the next one comes later than it might.
    spread_percent: u64,
    /// What a leader's snapshot makes of the state machine, which the node may want or not.
    arrived: Option<(EntryId, Sessions<M>)>,
    clock: Clock,
}

/// A client that waits for its command to be applied, or for its read to be confirmed.
struct Client {
    command: Command,
    tell: Tell,
    /// When the server took it up.
    since: Instant,
}

/// One thing to be done.
enum Todo {
    /// What the node wants.
    Do(Output),
    /// Tell a client, whose answer must not overtake what is to be saved before it.
    Tell(Tell, Answer),
}

impl Todo {
    fn is_save(&self) -> bool {
        matches!(self, Todo::Do(output) if output.is_save())
    }

    /// The entry that it wants applied.
    fn entry_to_apply(&self) -> Option<&Entry> {
        match self {
            Todo::Do(Output::Apply { entry, .. }) => Some(entry),
            _ => None,
        }
    }

    /// What it wants saved of the term and the vote.
    fn vote(&self) -> Option<(Term, Option<NodeId>)> {
        match self {
            Todo::Do(Output::SaveVote { current_term, voted_for }) => {
                Some((*current_term, *voted_for))
            }
            _ => None,
        }
    }
}

/// What one turn gathers from the inbox.
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

impl<M: StateMachine> Serve for Server<M> {
    fn turn(&mut self, waiting: Waiting, more_soon: bool) -> Result<(), String> {
        let done = self.tell_node(waiting, more_soon).and_then(|()| self.attend_to_snapshot());
        match done {
            Ok(()) => self.tell_state(),
            Err(_) => self.console.close(), // this was the last turn
        }
        done
    }

    fn wait(&self) -> Duration {
        let for_node = match self.clock.stands_still() {
            true => LONG,
            false => self.node.deadline().saturating_sub(self.clock.now()),
        };
        let uptime_ms = self.clock.uptime_ms();
        let for_watchers =
            self.watchers.deadline().map_or(LONG, |deadline| deadline.saturating_sub(uptime_ms));
        let for_snapshot = self.writing.as_ref().map_or(LONG, |_| snapshots::LOOK_MS);
        let for_commands = self.commands.wait(self.is_on_the_way(), uptime_ms).unwrap_or(LONG);
        // Reads wait for company alone, from one turn to the next.
        let for_reads = self.reads.wait(false, uptime_ms).unwrap_or(LONG);
        let first = for_node.min(for_watchers).min(for_snapshot).min(for_commands).min(for_reads);
        Duration::from_millis(first)
    }
}

impl<M: StateMachine> Server<M> {
    fn new(
        options: &Options,
        machine: M,
        storage: Storage,
        recovered: Recovered,
        transport: Transport,
    ) -> Result<Server<M>, String> {
        let Recovered { current_term, voted_for, snapshot, entries, .. } = recovered;
        let saved = Saved { current_term, voted_for, snapshot, entries };
        let mut machine = Sessions::new(machine, Rules::ALL);
        let last_included = saved.snapshot.last_included;
        if last_included.index > 0 {
            let restored = machine.restore(&saved.snapshot.data);
            restored.map_err(|why| format!("the snapshot to {last_included} is none: {why}"))?;
        }
        let node = Node::new(settings(options), saved, 0);
        Ok(Server {
            node,
            storage,
            machine,
            applied: last_included.index,
            transport,
            console: Console::open(),
            watchers: Watchers::default(),
            metrics: Metrics::default(),
            tracer: None,
            options: options.clone(),
            clients: VecDeque::new(),
            next_request: 0,
            commands: Gathering::default(),
            reads: Gathering::default(),
            picture: (0, Weak::new()),
            kept: None,
            writing: None,
            spread_percent: snapshots::some_spread(),
            arrived: None,
            clock: Clock::start(),
        })
    }

    /// The first lines, now that it has its address and its files. `note` is what else there is to
    /// say of what was recovered.
    fn tell_how_it_starts(&mut self, note: Option<String>) {
        let Options { id, config, data, greeting, .. } = &self.options;
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
    }

    fn begin_trace(&mut self, tracer: Option<Tracer>) {
        self.tracer = tracer;
        if let Some(tracer) = &mut self.tracer {
            tracer.start(&self.node);
        }
    }

    /// Tells the node all that is waiting, and does what it says. What clients ask may have to wait
    /// for more.
    fn tell_node(&mut self, waiting: Waiting, more_soon: bool) -> Result<(), String> {
        let may_wait = more_soon || self.is_on_the_way();
        let mut batch = Batch::default();
        for incoming in waiting {
            match incoming {
                Incoming::Messages(messages) => {
                    messages.into_iter().for_each(|message| self.take_message(message, &mut batch));
                }
                Incoming::Report(what) => batch.add(vec![self.event(what)]),
                Incoming::Client(ask, tell) => self.take_ask(ask, tell, &mut batch),
            }
        }
        let Batch { mut todo, proposals, reads } = batch;
        let (mut outputs, uptime_ms) = (Vec::new(), self.clock.uptime_ms());
        self.commands.add(proposals, uptime_ms);
        self.reads.add(reads, uptime_ms);
        let proposals = self.commands.take_due(may_wait, uptime_ms);
        let reads = self.reads.take_due(more_soon, uptime_ms);
        if !proposals.is_empty() {
            outputs.extend(self.step(Input::Propose(proposals)));
        }
        if !reads.is_empty() {
            outputs.extend(self.step(Input::Read(reads)));
        }
        if !self.clock.stands_still() {
            outputs.extend(self.step(Input::Tick));
        }
        todo.extend(outputs.into_iter().map(Todo::Do));
        self.watchers.tick(uptime_ms);
        self.perform(todo)
    }

    /// Whether a leader's entries wait for a majority.
    fn is_on_the_way(&self) -> bool {
        let Node { role, commit_index, log, .. } = &self.node;
        matches!(role, Role::Leader(_)) && *commit_index < log.last_index()
    }

    /// Tells the node one thing, and the trace what came of it.
    fn step(&mut self, input: Input) -> Vec<Output> {
        let cause = self.tracer.as_ref().map(|_| Cause::of(&input));
        let outputs = self.node.step(self.clock.now(), input);
        if let (Some(tracer), Some(cause)) = (&mut self.tracer, cause) {
            tracer.step(&self.node, cause, &outputs);
        }
        outputs
    }

    fn take_message(&mut self, message: Message, batch: &mut Batch) {
        if self.clock.stands_still() {
            return;
        }
        let why = self.forgery(&message.rpc).or_else(|| match &message.rpc {
            Rpc::InstallSnapshot(rpc) => self.objection_to_snapshot(rpc),
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

    /// Why no server can have sent this, if none can. Terms only go up: to believe one forged line
    /// of a term that no cluster comes to would use them all up, for good.
    fn forgery(&self, rpc: &Rpc) -> Option<String> {
        let term = rpc.term();
        if term > self.node.current_term + MAX_TERMS_MISSED {
            return Some(format!("term {term} is too far ahead to be true"));
        }
        let id = self.contradiction(rpc)?;
        Some(format!("entry {id} contradicts a committed one: no leader sends that (§5.4)"))
    }

    /// The entry by which a message would replace a committed one. Every leader holds all that is
    /// committed (Leader Completeness, Figure 3): whoever wrote this is none.
    fn contradiction(&self, rpc: &Rpc) -> Option<EntryId> {
        let Node { current_term, commit_index, log, .. } = &self.node;
        if rpc.term() < *current_term {
            return None;
        }
        let contradicts = |id: &EntryId| id.index <= *commit_index && !log.covers(*id);
        match rpc {
            Rpc::AppendEntries(rpc) => {
                let ids = rpc.entries.iter().map(Entry::id);
                ids.take_while(|id| id.index <= *commit_index).find(contradicts)
            }
            Rpc::InstallSnapshot(rpc) => Some(rpc.last_included()).filter(contradicts),
            _ => None,
        }
    }

    fn note_message(&mut self, direction: Direction, message: &Message) {
        self.metrics.message(direction, message);
        self.watchers.message(self.clock.uptime_ms(), direction, message);
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

    /// What is about to be done is in the trace before. If that cannot be written, the trace ends
    /// and the node goes on.
    fn flush_trace(&mut self) {
        if let Some(Err(why)) = self.tracer.as_mut().map(Tracer::flush) {
            self.tracer = None;
            self.report(What::TraceEnds { why });
        }
    }

    fn save(&mut self, todo: &[Todo]) -> Result<(), String> {
        let began = Instant::now();
        // The last word on the vote is enough: nobody is told of those before until it is saved.
        if let Some((current_term, voted_for)) = todo.iter().rev().find_map(Todo::vote) {
            self.storage.save_vote(current_term, voted_for)?;
        }
        for one in todo {
            match one {
                Todo::Do(Output::SaveEntries { after, entries, leader_id }) => {
                    self.storage.save_entries(*after, entries, *leader_id)?;
                }
                Todo::Do(Output::SaveSnapshot(snapshot)) => self.save_snapshot(snapshot)?,
                Todo::Do(Output::DiscardLog { through, retain, .. }) => {
                    self.storage.discard_log(*through, *retain)?;
                }
                _ => {}
            }
        }
        self.storage.sync()?;
        let took = began.elapsed();
        self.metrics.save(took);
        // The thread that reads what a leader sends may be the one that waited for the disk. If
        // that took long, the leader was not silent.
        if !matches!(self.node.role, Role::Leader(_)) {
            self.clock.leave_out(took);
        }
        Ok(())
    }

    /// Does what need not be saved, or is. What the machine is to expect it hears only when the
    /// first entry is to be applied: others wait for what is sent before that.
    fn perform_all(&mut self, todo: Vec<Todo>) {
        let before = todo.iter().take_while(|one| one.entry_to_apply().is_none()).count();
        let mut todo = todo.into_iter();
        todo.by_ref().take(before).for_each(|one| self.perform_one(one));
        self.machine.expect(todo.as_slice().iter().filter_map(Todo::entry_to_apply));
        todo.for_each(|one| self.perform_one(one));
    }

    fn perform_one(&mut self, one: Todo) {
        match one {
            Todo::Do(output) => self.perform_output(output),
            Todo::Tell(tell, answer) => {
                tell(answer);
            }
        }
    }

    fn perform_output(&mut self, output: Output) {
        match output {
            // Done by `save`.
            Output::SaveVote { .. } | Output::SaveEntries { .. } => {}
            Output::SaveSnapshot(_) => {}
            Output::DiscardLog { discarded, .. } => snapshots::free(discarded),
            Output::Restore(snapshot) => self.restore(&snapshot),
            Output::Send(message) => {
                self.note_message(Direction::Sent, &message);
                if self.options.verbose {
                    self.report(What::Sends(message.clone()));
                }
                self.transport.send(message);
            }
            Output::Apply { entry, request } => {
                let (id, reply) = self.machine.apply(&entry);
                self.applied = entry.index;
                if let Some(client) = request.and_then(|request| self.take_client(request)) {
                    let took = client.since.elapsed();
                    if (client.tell)(Answer::Applied(id, reply)) {
                        self.metrics.command(took);
                    }
                }
            }
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

    /// A client that waits no longer, for now it is answered.
    fn take_client(&mut self, request: RequestId) -> Option<Client> {
        let place = self.clients.binary_search_by_key(&request, |&(number, _)| number).ok()?;
        self.clients.remove(place).map(|(_, client)| client)
    }

    /// The last word to a client that waits.
    fn answer(&mut self, request: RequestId, answer: Answer) {
        if let Some(client) = self.take_client(request) {
            (client.tell)(answer);
        }
    }

    fn answer_read(&mut self, request: RequestId) {
        let Some(client) = self.take_client(request) else { return };
        if let Some(reply) = self.machine.machine().query(client.command.split().1)
            && (client.tell)(Answer::Read(self.applied, reply))
        {
            self.metrics.read();
        }
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
            // Those who watch are told of messages in another way.
            self.watchers.event(self.clock.uptime_ms(), event);
        }
    }

    /// Tells those who watch how the node is now, if it is time to.
    fn tell_state(&mut self) {
        let uptime_ms = self.clock.uptime_ms();
        if self.watchers.want_state(uptime_ms) {
            let state = self.state();
            self.watchers.tell_state(uptime_ms, state);
        }
    }

    fn leader(&self) -> Option<Leader> {
        let id = self.node.leader()?;
        Some(Leader { id, address: self.transport.address_of(id) })
    }
}

fn settings(options: &Options) -> Settings {
    let Options { id, config, .. } = options;
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
