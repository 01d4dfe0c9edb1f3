//! The body: one thread that owns the node, its disk and its state machine, and serves one inbox.
//!
//! Each turn it takes all that waits in the inbox, tells the node (messages one by one, clients'
//! proposals as one batch), and does what the node says, **in order**. All that must be saved in a
//! turn is saved by one write and one fsync: while the disk works, the next turn's batch gathers.
//! That is group commit. A disk error is a crash: the server stops and says why.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::console::Console;
use crate::event::{Event, What};
use crate::http;
use crate::inbox::{self, Answer, Ask, Desk, Incoming, Leader, Peer, Status};
use crate::kv::Store;
use crate::message::{Index, Message, NodeId, Term};
use crate::node::Node;
use crate::role::Role;
use crate::rules::Rules;
use crate::step::{Input, Millis, Output, Refusal, RequestId, Saved, Settings};
use crate::storage::{Recovered, Storage};
use crate::transport::{self, Kind, Received, Transport};

/// The most that one turn takes from the inbox: a flood of requests must not keep the node from
/// its timers.
const MAX_INCOMING_PER_TURN: usize = 4096;

/// The most that one message carries: entries, and bytes of commands.
const MAX_PER_MESSAGE: (usize, usize) = (1024, 1024 * 1024);
/// The same over UDP: with the names around them, entries must fit into a datagram.
const MAX_PER_DATAGRAM: (usize, usize) = (256, 32 * 1024);

/// How many terms a node may have missed: more than all elections of many months.
const MAX_TERMS_MISSED: Term = 10_000_000;

/// The most clients' requests that wait. More come together only where no majority answers: their
/// clients have long gone.
const MAX_CLIENTS: usize = 10_000;

/// How many of the last entries `/status` shows.
const ENTRIES_IN_STATUS: u64 = 100;

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
}

/// Runs a node until its disk fails.
///
/// # Errors
/// One line for people: the data cannot be used, the address is taken, or the disk failed.
pub fn run(options: Options) -> Result<(), String> {
    let (desk, inbox) = inbox::open();
    // The address comes first: a node that cannot have it should forget nothing.
    let transport = open_transport(&options, &desk)?;
    let forgot = options.fresh && Storage::forget(&options.data, options.id)?;
    let (storage, mut recovered) =
        Storage::open(&options.data, &options.config.cluster, options.id)?;
    let note = match forgot {
        true => Some("all that it had saved before is forgotten (--fresh)".to_string()),
        false => recovered.torn.take(),
    };
    let mut server = Server::new(&options, storage, recovered, transport);
    server.tell_how_it_starts(&options, note);
    let outcome = server.serve(&inbox);
    server.console.close();
    outcome
}

fn open_transport(options: &Options, desk: &Desk) -> Result<Transport, String> {
    let (for_peers, for_clients) = (desk.clone(), desk.clone());
    let Config { cluster, nodes, transport: kind, drop_percent, bind, .. } = options.config.clone();
    transport::start(
        transport::Options { cluster, me: options.id, nodes, bind, kind, drop_percent },
        move |received| {
            for_peers.hand_in(match received {
                Received::Message(message) => Incoming::Message(message),
                Received::Report(what) => Incoming::Report(what),
            });
        },
        move |stream| http::api::serve(stream, &for_clients),
    )
}

struct Server {
    node: Node,
    storage: Storage,
    store: Store,
    /// The last entry applied to it. The node's own last_applied may stand for entries that it has
    /// already given out and that wait their turn.
    applied: Index,
    transport: Transport,
    console: Console,
    addresses: BTreeMap<NodeId, String>,
    /// Clients that wait, by the number that the node knows them by.
    clients: BTreeMap<RequestId, (Ask, Sender<Answer>)>,
    next_request: RequestId,
    started: Instant,
    verbose: bool,
}

impl Server {
    fn new(
        options: &Options,
        storage: Storage,
        recovered: Recovered,
        transport: Transport,
    ) -> Server {
        let Recovered { current_term, voted_for, entries, .. } = recovered;
        let nodes = &options.config.nodes;
        let (max_entries, max_bytes) = match options.config.transport {
            Kind::Tcp => MAX_PER_MESSAGE,
            Kind::Udp => MAX_PER_DATAGRAM,
        };
        let settings = Settings {
            id: options.id,
            peers: nodes.keys().copied().filter(|&id| id != options.id).collect(),
            timing: options.config.timing,
            rules: Rules::ALL,
            max_entries,
            max_bytes,
            seed: RandomState::new().hash_one(options.id.0),
        };
        let node = Node::new(settings, Saved { current_term, voted_for, entries }, 0);
        Server {
            node,
            storage,
            store: Store::new(Rules::ALL),
            applied: 0,
            transport,
            console: Console::open(),
            addresses: nodes.clone(),
            clients: BTreeMap::new(),
            next_request: 0,
            started: Instant::now(),
            verbose: options.verbose,
        }
    }

    /// The first lines. `note` is what else there is to say of what was recovered.
    fn tell_how_it_starts(&mut self, options: &Options, note: Option<String>) {
        let others = self.addresses.keys().copied().filter(|&id| id != options.id);
        self.report(What::Started {
            address: self.addresses[&options.id].clone(),
            peers: others.collect(),
            transport: options.config.transport.name(),
            data: options.data.display().to_string(),
        });
        let (voted_for, last) = (self.node.voted_for, self.node.log.last());
        self.report(What::Recovered { voted_for, last, note });
    }

    /// Serves for ever; returns only when the disk fails.
    fn serve(&mut self, inbox: &Receiver<Incoming>) -> Result<(), String> {
        loop {
            let wait = self.node.deadline().saturating_sub(self.now());
            let first = match inbox.recv_timeout(Duration::from_millis(wait)) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let waiting = first.into_iter().chain(inbox.try_iter());
            self.turn(waiting.take(MAX_INCOMING_PER_TURN))?;
        }
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// Tells the node all that is waiting, and does what it says.
    fn turn(&mut self, waiting: impl Iterator<Item = Incoming>) -> Result<(), String> {
        let now = self.now();
        let (mut outputs, mut proposals, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for incoming in waiting {
            match incoming {
                Incoming::Message(message) if self.leaps(&message) => {
                    let why = format!("term {} is too far ahead to be true", message.rpc.term());
                    let what = What::Dropped { from: message.from.to_string(), why };
                    outputs.push(Output::Event(self.event(what)));
                }
                Incoming::Message(message) => {
                    if self.verbose {
                        outputs.push(Output::Event(self.event(What::Receives(message.clone()))));
                    }
                    outputs.extend(self.node.step(now, Input::Receive(message)));
                }
                Incoming::Report(what) => outputs.push(Output::Event(self.event(what))),
                Incoming::Client(ask, sender) => {
                    if let Some(answer) = self.answer_at_once(&ask) {
                        self.tell(&sender, answer);
                        continue;
                    }
                    self.next_request += 1;
                    match &ask {
                        Ask::Propose(command) => {
                            proposals.push((self.next_request, command.clone()));
                        }
                        _ => reads.push(self.next_request),
                    }
                    self.clients.insert(self.next_request, (ask, sender));
                }
            }
        }
        if !proposals.is_empty() {
            outputs.extend(self.node.step(now, Input::Propose(proposals)));
        }
        if !reads.is_empty() {
            outputs.extend(self.node.step(now, Input::Read(reads)));
        }
        outputs.extend(self.node.step(now, Input::Tick));
        self.perform(outputs)
    }

    /// Whether a message is of a term that no cluster comes to while one of its servers is away.
    /// Terms only go up: to believe one forged line would use them all up, for good.
    fn leaps(&self, message: &Message) -> bool {
        message.rpc.term() > self.node.current_term + MAX_TERMS_MISSED
    }

    /// What can be answered without the node: how it is, and what it cannot take on.
    fn answer_at_once(&self, ask: &Ask) -> Option<Answer> {
        match ask {
            Ask::Status => Some(Answer::Status(Box::new(self.status()))),
            Ask::Propose(command) if !self.transport.carries(command) => Some(Answer::TooLong),
            _ if self.clients.len() >= MAX_CLIENTS => Some(Answer::Busy),
            _ => None,
        }
    }

    fn event(&self, what: What) -> Event {
        Event { node: self.node.id(), term: self.node.current_term, what }
    }

    /// Does what the node wants, in order; but all that is to be saved is saved at the place of the
    /// first of it, with one fsync. To save earlier than asked does no harm.
    fn perform(&mut self, mut outputs: Vec<Output>) -> Result<(), String> {
        let first_save = outputs.iter().position(Output::is_save).unwrap_or(outputs.len());
        let rest = outputs.split_off(first_save);
        outputs.into_iter().for_each(|output| self.perform_one(output));
        if rest.is_empty() {
            return Ok(());
        }
        self.save(&rest)?;
        rest.into_iter().for_each(|output| self.perform_one(output));
        // The disk has answered: a leader may now count itself, and commit.
        let saved = Input::Saved(self.node.log.last());
        let outputs = self.node.step(self.now(), saved);
        self.perform(outputs)
    }

    fn save(&mut self, outputs: &[Output]) -> Result<(), String> {
        for output in outputs {
            match output {
                Output::SaveVote { current_term, voted_for } => {
                    self.storage.save_vote(*current_term, *voted_for)?;
                }
                Output::SaveEntries { after, entries, leader_id } => {
                    self.storage.save_entries(*after, entries, *leader_id)?;
                }
                _ => {}
            }
        }
        self.storage.sync()
    }

    fn perform_one(&mut self, output: Output) {
        match output {
            Output::SaveVote { .. } | Output::SaveEntries { .. } => {} // done by `save`
            Output::Send(message) => {
                if self.verbose {
                    self.report(What::Sends(message.clone()));
                }
                self.transport.send(message);
            }
            Output::Apply { entry, request } => {
                let reply = self.store.apply(&entry.command);
                self.applied = entry.index;
                if let Some(request) = request {
                    self.answer(request, Answer::Applied(entry.id(), reply));
                }
            }
            Output::AnswerRead { request } => {
                if let Some((Ask::Read(key), sender)) = self.clients.remove(&request) {
                    let value = self.store.get(&key).map(str::to_string);
                    self.tell(&sender, Answer::Value(self.applied, value));
                }
            }
            Output::Refuse { request, why: Refusal::NotLeader } => {
                self.answer(request, Answer::NotLeader(self.leader()));
            }
            Output::Refuse { request, why: Refusal::Replaced } => {
                self.answer(request, Answer::Replaced);
            }
            Output::Event(event) => self.console.show(&event, self.verbose),
        }
    }

    /// The last word to a client that waits.
    fn answer(&mut self, request: RequestId, answer: Answer) {
        if let Some((_, sender)) = self.clients.remove(&request) {
            self.tell(&sender, answer);
        }
    }

    fn tell(&self, sender: &Sender<Answer>, answer: Answer) {
        // A client that has stopped waiting is no error.
        let _ = sender.send(answer);
    }

    fn report(&mut self, what: What) {
        self.console.show(&self.event(what), self.verbose);
    }

    fn leader(&self) -> Option<Leader> {
        let id = self.node.leader()?;
        Some(Leader { id, address: self.addresses.get(&id)?.clone() })
    }

    fn status(&self) -> Status {
        let node = &self.node;
        let last_log = node.log.last();
        let first_shown = last_log.index.saturating_sub(ENTRIES_IN_STATUS - 1).max(1);
        Status {
            id: node.id(),
            role: node.role.name(),
            current_term: node.current_term,
            voted_for: node.voted_for,
            leader: self.leader(),
            commit_index: node.commit_index,
            last_applied: node.last_applied,
            last_log,
            log: node.log.entries_from(first_shown).to_vec(),
            peers: self.peers(),
        }
    }

    fn peers(&self) -> Vec<Peer> {
        let others = self.addresses.iter().filter(|&(&id, _)| id != self.node.id());
        let peer = |(&id, address): (&NodeId, &String)| Peer {
            id,
            address: address.clone(),
            reachable: self.transport.is_reachable(id),
            progress: match &self.node.role {
                Role::Leader(leader) => leader.followers.get(&id),
                _ => None,
            }
            .map(|progress| (progress.next_index, progress.match_index)),
        };
        others.map(peer).collect()
    }
}
