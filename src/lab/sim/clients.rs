//! The clients of a random run.
//!
//! Each does one thing after another. It asks the server that it takes for the leader, tries
//! another if that one refuses or stays silent, with the same serial number, and sometimes gives
//! up without knowing what became of its command. What all of them did and saw is the history that
//! is judged in the end.

use crate::lab::journal::{Answer, Outcome};
use crate::lab::linearizability::Operation;
use crate::lab::sim::fault_profile::pick;
use crate::lab::world::World;
use crate::node::message::{Command, NodeId};
use crate::node::step::{Millis, Random, RequestId};
use crate::state_machine::kv::Request;

/// How long a client waits before it asks another server.
const PATIENCE_MS: Millis = 150;

/// All clients and what they did.
#[derive(Clone, Debug)]
pub struct Clients {
    /// What was asked and answered, in the order of calls.
    pub history: Vec<Operation>,
    /// The operation of each request, in the order of requests.
    requests: Vec<usize>,
    clients: Vec<Client>,
    /// The longest that a client thinks between an answer and its next call.
    think_ms: Millis,
    /// Of a hundred clients whose patience ends, how many give up.
    give_up_percent: u64,
    /// No more new operations.
    closing: bool,
}

#[derive(Clone, Debug)]
struct Client {
    name: String,
    /// Of a hundred operations, how many are reads.
    reads_percent: u64,
    /// The number of its last operation.
    serial: u64,
    /// The operation that it waits for.
    waits_for: Option<usize>,
    /// It has asked and heard nothing yet.
    asked: bool,
    /// When it acts again by itself.
    due: Millis,
    /// Whom it asks.
    server: NodeId,
    /// Whom it asks first, if not the one that answered last.
    home: Option<NodeId>,
}

impl Clients {
    /// Draws a handful of clients.
    pub fn draw(random: &mut Random, world: &World, favourite: NodeId) -> Clients {
        let clients = pick(random, &[1, 3, 5]);
        let mut client = |number: u64| Client {
            name: format!("c{number}"),
            reads_percent: pick(random, &[10, 50, 90]),
            serial: 0,
            waits_for: None,
            asked: false,
            due: 0,
            server: NodeId(1),
            home: match number {
                1 => None,
                2 | 4 => Some(favourite),
                _ => Some(any_server(random, world)),
            },
        };
        Clients {
            history: Vec::new(),
            requests: Vec::new(),
            clients: (1..=clients).map(&mut client).collect(),
            think_ms: pick(random, &[5, 50, 200]),
            give_up_percent: pick(random, &[0, 10, 50]),
            closing: false,
        }
    }

    /// When the next client acts.
    pub fn due(&self) -> Option<Millis> {
        self.clients.iter().map(|client| client.due).min()
    }

    /// The next client acts: it begins something, tries again, or gives up.
    pub fn act(&mut self, random: &mut Random, world: &mut World) {
        let acting = (0..self.clients.len()).min_by_key(|&number| self.clients[number].due);
        let Some(number) = acting else { return };
        let client = &mut self.clients[number];
        world.now = client.due;
        if client.asked {
            client.server = any_server(random, world);
            if !self.closing && random.between(1, 100) <= self.give_up_percent {
                client.waits_for = None;
            }
        }
        let operation = match client.waits_for {
            Some(operation) => operation,
            None if self.closing => {
                client.due = Millis::MAX;
                return;
            }
            None => self.begin(number, random, world.now),
        };
        let client = &mut self.clients[number];
        (client.asked, client.due) = (true, world.now + PATIENCE_MS);
        self.ask(number, operation, world);
    }

    fn begin(&mut self, number: usize, random: &mut Random, now: Millis) -> usize {
        let client = &mut self.clients[number];
        let operation = self.history.len();
        client.serial += 1;
        client.waits_for = Some(operation);
        client.server = client.home.unwrap_or(client.server);
        let request = any_request(random, client.reads_percent, operation);
        let client = client.name.clone();
        self.history.push(Operation { client, request, called: now, answer: None });
        operation
    }

    fn ask(&mut self, number: usize, operation: usize, world: &mut World) {
        let Client { ref name, serial, server, .. } = self.clients[number];
        let id = self.requests.len() as RequestId;
        self.requests.push(operation);
        if world.node(server).is_none() || world.is_paused(server) {
            return; // it will not hear
        }
        let request = &self.history[operation].request;
        // A few reads go through the log, as writes do.
        match request {
            Request::Get { .. } if serial % 5 != 0 => world.read(server, id, request.clone()),
            _ => {
                let command = Command::in_session(name, serial, &request.to_string());
                world.propose(server, vec![(id, command)]);
            }
        }
    }

    /// Clients take up what they were told.
    pub fn hear(&mut self, random: &mut Random, world: &mut World) {
        while let Some(Answer { by, request, outcome }) = world.answers.pop() {
            let operation = self.requests[request as usize];
            let waiting = |client: &&mut Client| client.waits_for == Some(operation);
            let Some(client) = self.clients.iter_mut().find(waiting) else { continue };
            client.asked = false;
            match outcome {
                Outcome::Applied(_, reply) | Outcome::Read(reply) => {
                    self.history[operation].answer = Some((world.now, reply));
                    client.waits_for = None;
                    client.due = world.now + random.between(1, self.think_ms);
                    client.server = by;
                }
                Outcome::Refused(_) => {
                    let leader = world.node(by).and_then(|node| node.leader());
                    client.due = world.now + random.between(10, 60);
                    client.server = leader.unwrap_or(client.server);
                }
            }
        }
    }

    /// How an answer reads in an account.
    pub fn line(&self, answer: &Answer) -> String {
        answer.to(&self.history[self.requests[answer.request as usize]])
    }

    /// Clients begin nothing new.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// An operation that has no answer and is still waited for.
    pub fn waiting(&self) -> Option<&Operation> {
        let operation = self.clients.iter().find_map(|client| client.waits_for)?;
        Some(&self.history[operation])
    }
}

fn any_server(random: &mut Random, world: &World) -> NodeId {
    NodeId(random.between(1, world.ids().count() as u64))
}

/// After so many operations clients turn to other keys. Each key is judged alone, and an operation
/// without answer may take effect at any later time: so to judge a long run takes no longer, step
/// by step, than a short one.
const OPERATIONS_PER_KEYS: usize = 60;

/// Few keys, so that clients get into each other's way. Most values are written once only, so that
/// a read tells which write it saw.
fn any_request(random: &mut Random, reads_percent: u64, number: usize) -> Request {
    let mut key = ["x", "y"][random.between(0, 1) as usize].to_string();
    let earlier_keys = number / OPERATIONS_PER_KEYS;
    if earlier_keys > 0 {
        key += &earlier_keys.to_string();
    }
    if random.between(1, 100) <= reads_percent {
        return Request::Get { key };
    }
    match random.between(0, 8) {
        0..=3 => Request::Set { key, value: (10 + number).to_string() },
        4 => Request::Set { key, value: "1".to_string() },
        5 => Request::Delete { key },
        6..=7 => Request::Increment { key, by: 1 },
        _ => Request::CompareAndSet { key, old: "1".to_string(), new: "2".to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::Setup;

    /// One client, which asks n1 first, in a cluster without a leader.
    fn draw() -> (Random, World, Clients) {
        let (mut random, world) = (Random(1), World::new(&Setup::of(3)));
        let mut clients = Clients::draw(&mut random, &world, NodeId(1));
        clients.clients.truncate(1);
        (clients.clients[0].home, clients.give_up_percent) = (None, 0);
        (random, world, clients)
    }

    #[test]
    fn client_tries_again_with_the_same_operation_until_it_is_served() {
        let (mut random, mut world, mut clients) = draw();
        for _ in 0..5 {
            clients.act(&mut random, &mut world);
            clients.hear(&mut random, &mut world);
        }
        assert_eq!((clients.history.len(), clients.requests.len()), (1, 5));
        assert_eq!(clients.waiting().map(|operation| &*operation.client), Some("c1"));
        world.pass_until(world.now + 2000, true);
        for _ in 0..20 {
            if clients.waiting().is_none() {
                break;
            }
            clients.act(&mut random, &mut world);
            world.pass_until(world.now + 100, true);
            clients.hear(&mut random, &mut world);
        }
        assert_eq!(clients.history.len(), 1);
        assert!(clients.history[0].answer.is_some());
        assert_eq!(clients.clients[0].serial, 1, "it was one operation all the time");
    }

    #[test]
    fn client_that_gives_up_leaves_an_operation_without_answer() {
        let (mut random, mut world, mut clients) = draw();
        clients.give_up_percent = 100;
        for id in world.ids() {
            world.crash(id, crate::lab::journal::Power::Stays);
        }
        clients.act(&mut random, &mut world);
        clients.act(&mut random, &mut world);
        assert_eq!((clients.history.len(), clients.clients[0].serial), (2, 2));
        assert_eq!(clients.history[0].answer, None);
        assert!(world.now >= PATIENCE_MS);
    }

    #[test]
    fn client_that_is_refused_asks_the_leader_next() {
        let (mut random, mut world, mut clients) = draw();
        world.fire_timer(NodeId(3));
        world.pass_until(100, true);
        clients.act(&mut random, &mut world);
        clients.hear(&mut random, &mut world);
        assert_eq!(clients.clients[0].server, NodeId(3));
        assert!(clients.clients[0].due < world.now + PATIENCE_MS);
    }

    #[test]
    fn closing_client_begins_nothing_new() {
        let (mut random, mut world, mut clients) = draw();
        clients.close();
        clients.act(&mut random, &mut world);
        assert!(clients.history.is_empty());
        assert_eq!(clients.due(), Some(Millis::MAX));
    }
}
