//! What clients ask of a server.
//!
//! Commands and reads go to the node, and the server answers them when the node says so. All else
//! is answered at once: how the node is, what its log and state hold, and what a student does to it
//! (an election now, a cut link, playing dead).

use std::sync::mpsc::SyncSender;
use std::time::Instant;

use super::inbox::{Answer, ClientRequest, Ticket};
use super::status::{Peer, State, Status};
use super::subscribers::Notice;
use super::{Batch, Client, Server, Todo};
use crate::node::event::What;
use crate::node::message::{Command, Index, Message, NodeId, Rpc};
use crate::node::role::Role;
use crate::node::step::{Input, Output};
use crate::state_machine::StateMachine;
use crate::storage;
use crate::transport::peer::Link;

/// The most clients' commands and reads that wait. More come together only where no majority
/// answers, and then the clients are told that the node is busy.
const MAX_CLIENTS: usize = 10_000;

/// How many of the last entries `/status` shows.
const ENTRIES_IN_STATUS: u64 = 100;

/// How many of the last terms in its log it tells where they begin.
const TERMS_IN_STATUS: usize = 100;

impl<M: StateMachine> Server<M> {
    /// Takes in what a client asks: answers it, or gives it to the node.
    pub(super) fn take_request(
        &mut self,
        request: ClientRequest,
        ticket: Ticket,
        batch: &mut Batch,
    ) {
        let answer = match request {
            ClientRequest::Status => Answer::Status(Box::new(self.status())),
            ClientRequest::StateMachine => {
                return self.state_text.ask(self.applied, self.machine.machine(), ticket);
            }
            ClientRequest::Local(command) => self.answer_alone(&command),
            ClientRequest::Log(from, limit) => self.part_of_the_log(from, limit),
            ClientRequest::LogFile => {
                Answer::LogFile(storage::open_log(&self.options.data), self.storage.log_bytes())
            }
            ClientRequest::Metrics => Answer::Text(self.metrics.text(&self.status())),
            ClientRequest::Subscribe(subscriber) => self.subscribe(subscriber),
            ClientRequest::Pause(paused) => self.pause(paused, batch),
            ClientRequest::Links => self.links(),
            ClientRequest::SetLink(peer, link) => self.set_link(peer, link, batch),
            _ if self.clock.stands_still() => Answer::Paused,
            ClientRequest::Query(command) | ClientRequest::Command(command)
                if self.is_query(&command) =>
            {
                return self.take_command(command, true, ticket, batch);
            }
            ClientRequest::Query(_) => not_a_query(),
            ClientRequest::Command(command) => {
                return self.take_command(command, false, ticket, batch);
            }
            ClientRequest::Rpc(rpc) => return self.take_rpc(rpc, ticket, batch),
            ClientRequest::StartElection => self.start_election(batch),
            ClientRequest::SendHeartbeats => self.send_heartbeats(batch),
        };
        batch.todo.push(Todo::Answer(ticket, answer));
    }

    // ---- For the node --------------------------------------------------------------------------

    fn take_command(
        &mut self,
        command: Command,
        is_query: bool,
        ticket: Ticket,
        batch: &mut Batch,
    ) {
        let refusal = match command {
            _ if self.clients.len() >= MAX_CLIENTS => Some(Answer::Busy),
            _ if !self.transport.carries(&command) => Some(Answer::TooLong),
            _ => None,
        };
        if let Some(answer) = refusal {
            return batch.todo.push(Todo::Answer(ticket, answer));
        }
        self.next_request += 1;
        match is_query {
            true => batch.reads.push(self.next_request),
            false => batch.proposals.push((self.next_request, command.clone())),
        }
        let client = Client { command, ticket, since: Instant::now() };
        self.clients.push_back((self.next_request, client));
    }

    /// Whether it changes nothing, and the state says something to it as it is.
    fn is_query(&self, command: &Command) -> bool {
        self.machine.machine().query(command.split().1).is_some()
    }

    /// An RPC written by hand is a message like any other, but for where its answer goes.
    fn take_rpc(&mut self, rpc: Rpc, ticket: Ticket, batch: &mut Batch) {
        let from = match &rpc {
            Rpc::RequestVote(rpc) => rpc.candidate_id,
            Rpc::AppendEntries(rpc) => rpc.leader_id,
            _ => return, // The HTTP side makes no others.
        };
        if let Some(why) = self.objection(from, &rpc) {
            return batch.todo.push(Todo::Answer(ticket, Answer::Refused(why)));
        }
        let mut asked = Batch::default();
        self.take_message(Message { from, to: self.node.id(), rpc }, &mut asked);
        let mut is_answered = false;
        for one in asked.todo {
            match one {
                Todo::Do(Output::Send(Message { to, rpc, .. }))
                    if to == from && rpc.is_reply() && !is_answered =>
                {
                    is_answered = true;
                    batch.todo.push(Todo::Answer(ticket, Answer::Rpc(rpc)));
                }
                other => batch.todo.push(other),
            }
        }
    }

    fn objection(&self, from: NodeId, rpc: &Rpc) -> Option<String> {
        let me = self.node.id();
        if from == me || !self.options.config.nodes.contains_key(&from) {
            return Some(format!("{from} is no peer of {me}: speak in the name of another node"));
        }
        self.objection_to_entries(rpc)
    }

    fn start_election(&mut self, batch: &mut Batch) -> Answer {
        if let Role::Leader(_) = self.node.role {
            let (me, term) = (self.node.id(), self.node.current_term);
            return Answer::Refused(format!("{me} leads term {term} already"));
        }
        batch.add(vec![self.event(What::Asked("start an election"))]);
        batch.add(self.step(Input::TimerFires));
        Answer::State(Box::new(self.state()))
    }

    fn send_heartbeats(&mut self, batch: &mut Batch) -> Answer {
        let Role::Leader(_) = self.node.role else { return Answer::NotLeader(self.leader()) };
        batch.add(vec![self.event(What::Asked("send heartbeats"))]);
        batch.add(self.step(Input::TimerFires));
        Answer::State(Box::new(self.state()))
    }

    // ---- What a student does to it -------------------------------------------------------------

    fn pause(&mut self, paused: bool, batch: &mut Batch) -> Answer {
        if paused != self.clock.stands_still() {
            if paused {
                self.clock.stop()
            } else {
                self.clock.go_on()
            }
            self.transport.set_paused(paused);
            batch.add(vec![self.event(What::Paused(paused))]);
        }
        Answer::State(Box::new(self.state()))
    }

    fn set_link(&mut self, peer: NodeId, link: Link, batch: &mut Batch) -> Answer {
        let me = self.node.id();
        if peer == me || !self.options.config.nodes.contains_key(&peer) {
            return Answer::Refused(format!("{me} has no link to {peer}: it is no peer"));
        }
        if link != self.transport.link(peer) {
            self.transport.set_link(peer, link);
            let Link { blocked, drop_percent, delay_ms } = link;
            batch.add(vec![self.event(What::Link { peer, blocked, drop_percent, delay_ms })]);
        }
        self.links()
    }

    fn links(&self) -> Answer {
        let links = self.peer_ids().map(|peer| (peer, self.transport.link(peer)));
        Answer::Links(self.node.id(), links.collect())
    }

    // ---- How it is -----------------------------------------------------------------------------

    fn subscribe(&mut self, subscriber: SyncSender<Notice>) -> Answer {
        let status = self.status();
        match self.subscribers.add(self.clock.uptime_ms(), status.state.clone(), subscriber) {
            true => Answer::Status(Box::new(status)),
            false => Answer::Busy,
        }
    }

    fn answer_alone(&self, command: &str) -> Answer {
        match self.machine.machine().query(command) {
            Some(reply) => Answer::Read(self.applied, reply),
            None => not_a_query(),
        }
    }

    fn part_of_the_log(&self, from: Index, limit: usize) -> Answer {
        let entries = self.node.log.entries_from(from.max(1)).iter().take(limit);
        Answer::Log {
            entries: entries.cloned().collect(),
            commit_index: self.node.commit_index,
            last_log_index: self.node.log.last_index(),
            snapshot_index: self.node.log.base().index,
        }
    }

    pub(super) fn peer_ids(&self) -> impl Iterator<Item = NodeId> {
        let me = self.node.id();
        self.options.config.nodes.keys().copied().filter(move |&id| id != me)
    }

    pub(super) fn status(&self) -> Status {
        let log = &self.node.log;
        let first_shown = log.last_index().saturating_sub(ENTRIES_IN_STATUS - 1).max(1);
        Status {
            state: self.state(),
            log: log.entries_from(first_shown).to_vec(),
            data_bytes: storage::size_bytes(&self.options.data),
        }
    }

    pub(super) fn state(&self) -> State {
        let node = &self.node;
        let peers: Vec<Peer> = self.peer_ids().map(|id| self.peer(id)).collect();
        let reachable = peers.iter().filter(|peer| peer.reachable).count();
        let is_leader = matches!(node.role, Role::Leader(_));
        State {
            cluster: self.options.config.cluster.clone(),
            id: node.id(),
            role: node.role.name(),
            paused: self.clock.stands_still(),
            stalled_ms: 0,
            current_term: node.current_term,
            voted_for: node.voted_for,
            leader: self.leader(),
            quorum: 2 * (reachable + 1) > peers.len() + 1,
            election_deadline: (!is_leader).then_some(node.deadline()),
            now: self.clock.now(),
            uptime_ms: self.clock.uptime_ms(),
            commit_index: node.commit_index,
            last_applied: self.applied,
            last_log: node.log.last(),
            snapshot: node.log.base(),
            log_terms: node.log.terms(TERMS_IN_STATUS),
            peers,
            counters: self.metrics.counters(),
            launcher: self.options.launcher.clone(),
        }
    }

    fn peer(&self, id: NodeId) -> Peer {
        let progress = match &self.node.role {
            Role::Leader(leader) => leader.followers.get(&id),
            _ => None,
        };
        Peer {
            id,
            address: self.transport.address_of(id),
            reachable: self.transport.is_reachable(id),
            link: self.transport.link(id),
            progress: progress.map(|progress| (progress.next_index, progress.match_index)),
        }
    }
}

fn not_a_query() -> Answer {
    Answer::Refused("this state machine knows no such question".to_string())
}
