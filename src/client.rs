//! A client of the cluster: finds the leader by itself and asks until it has an answer.
//!
//! Any node will do to begin with: one that does not lead names the one that does. While there
//! is no leader the client goes round the nodes. Each command bears the client's name and a
//! serial number, so that one that is sent twice, because the first answer was lost, is done
//! once (§8).

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::client;
use crate::json::Json;
use crate::message::{Index, Term};

/// How long to wait before the next node is asked, when the last had no answer.
const PAUSE: Duration = Duration::from_millis(100);

/// How long one node may take. It gives up by itself a little before.
const ATTEMPT: Duration = Duration::from_secs(6);

/// A client, with its session.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<String>,
    /// Where the next request goes.
    current: String,
    /// Which address comes after that, if it has no answer for us.
    next: usize,
    name: String,
    serial: u64,
    timeout: Duration,
    on_trouble: fn(&str),
}

/// A command that was done, or a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The index of the command's entry; of a read, how far the answer had applied the log.
    pub index: Index,
    /// The term of the command's entry; none for a read, which has no entry.
    pub term: Option<Term>,
    /// What the state machine answered; none if a key was not found.
    pub result: Option<String>,
}

impl Client {
    /// A client of the cluster with these addresses (`host:port`, at least one), which asks for
    /// at most `timeout`, and tells `on_trouble` why it has to ask again. Its name is drawn at
    /// random.
    pub fn new(addresses: Vec<String>, timeout: Duration, on_trouble: fn(&str)) -> Client {
        let current = addresses.first().cloned().unwrap_or_default();
        let name = format!("c{:016x}", RandomState::new().hash_one(0));
        Client { addresses, current, next: 1, name, serial: 0, timeout, on_trouble }
    }

    /// Has a command done, exactly once, or a key read: `set x=42`, `get x`, `delete x`, ….
    ///
    /// # Errors
    /// One line for people: the command was refused, or there was no answer in time. It says
    /// whether the command may still be done.
    pub fn command(&mut self, command: &str) -> Result<Done, String> {
        self.serial += 1;
        let body = Json::object([
            ("command", command.into()),
            ("client", self.name.as_str().into()),
            ("serial", self.serial.into()),
        ]);
        let body = body.to_string();
        let deadline = Instant::now() + self.timeout;
        let mut may_be_done = false;
        let mut troubles = Troubles::default();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match ask(&self.current, &body, left.min(ATTEMPT)) {
                Outcome::Done(done) => return Ok(done),
                Outcome::Refused(why) if may_be_done => {
                    return Err(format!("{why}; an earlier attempt may still be done"));
                }
                Outcome::Refused(why) => return Err(why),
                Outcome::Leader(address) => self.current = address,
                Outcome::Trouble { why, unknown, said_by_node } => {
                    may_be_done |= unknown;
                    if troubles.add(why.clone(), said_by_node) {
                        (self.on_trouble)(&why);
                    }
                    self.current = self.addresses[self.next % self.addresses.len()].clone();
                    self.next += 1;
                    thread::sleep(PAUSE);
                }
            }
        }
        let fate = match may_be_done {
            _ if command.starts_with("get ") => "",
            true => ", it may still be done",
            false => ", it was not done",
        };
        let (seconds, trouble) = (self.timeout.as_secs(), troubles.worst());
        Err(format!("gave up after {seconds} s{fate}: {trouble}"))
    }
}

/// How one node answered.
enum Outcome {
    Done(Done),
    /// The request is wrong: no other node will take it either.
    Refused(String),
    /// Ask there.
    Leader(String),
    /// Ask again. `unknown` if this attempt may yet have its effect.
    Trouble {
        why: String,
        unknown: bool,
        said_by_node: bool,
    },
}

/// Why there was no answer so far. What a node says of the cluster tells more than that another
/// does not answer.
#[derive(Default)]
struct Troubles {
    said_by_node: Option<String>,
    other: Option<String>,
}

impl Troubles {
    /// Notes one more; true for the first of its kind.
    fn add(&mut self, why: String, said_by_node: bool) -> bool {
        let place = if said_by_node { &mut self.said_by_node } else { &mut self.other };
        place.replace(why).is_none()
    }

    fn worst(self) -> String {
        let circles = || "the nodes send us in circles".to_string();
        self.said_by_node.or(self.other).unwrap_or_else(circles)
    }
}

fn ask(address: &str, body: &str, timeout: Duration) -> Outcome {
    let reply = match client::request("POST", address, "/client_command", Some(body), timeout) {
        Ok(reply) => reply,
        Err(error) => {
            let unknown = matches!(error, client::Error::NoAnswer(_));
            return Outcome::Trouble { why: error.to_string(), unknown, said_by_node: false };
        }
    };
    let json = Json::parse(&reply.body).unwrap_or(Json::Null);
    let text = |name| json.get(name).and_then(Json::as_str).map(str::to_string);
    let number = |name| json.get(name).and_then(Json::as_u64);
    let error = text("error").unwrap_or_else(|| format!("{address} answered {}", reply.status));
    match (reply.status, number("index"), text("leader_address")) {
        (200, Some(index), _) => {
            Outcome::Done(Done { index, term: number("term"), result: text("result") })
        }
        (307, _, Some(leader)) => Outcome::Leader(leader),
        (400 | 413, ..) => Outcome::Refused(error),
        (status, ..) => {
            let why = format!("{address}: {error}");
            Outcome::Trouble { why, unknown: status != 503, said_by_node: true }
        }
    }
}
