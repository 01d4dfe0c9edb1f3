//! A client of the cluster, as a library: finds the leader by itself and asks until it has an
//! answer. The command line is written on it.
//!
//! Any node will do to begin with: one that does not lead names the one that does. While there
//! is no leader the client goes round the nodes. Each command bears the client's name and a
//! serial number, so that one that is sent twice, because the first answer was lost, is done
//! once (§8). What is left to the caller is [`Error`]: a command may have been refused, surely
//! not done, or lost on its way with its fate unknown.
//!
//! The keys and values of the built-in store have methods of their own. [`Client::command`] and
//! [`Client::query`] take any text, for the commands of another state machine.
//!
//! ```no_run
//! use std::time::Duration;
//! use raftlet::client::{Client, Error};
//!
//! let addresses = (5001..=5003).map(|port| format!("localhost:{port}")).collect();
//! let on_trouble = |why: &str| eprintln!("{why}; trying again");
//! let mut client = Client::new(addresses, Duration::from_secs(10), on_trouble);
//!
//! client.set("greeting", "hello")?;
//! assert_eq!(client.get("greeting")?.as_deref(), Some("hello"));
//! let visits = client.increment("visits", 1)?;
//! println!("visit {}, in the log as {}", visits.result, visits.entry);
//! match client.delete("greeting") {
//!     Ok(deleted) => println!("{}", if deleted.result { "deleted" } else { "was not there" }),
//!     Err(Error::Refused(why)) => println!("never ask that again: {why}"),
//!     Err(Error::NotDone(why)) => println!("ask again later: {why}"),
//!     Err(Error::Unknown(why)) => println!("read, to see whether it was done: {why}"),
//! }
//! # Ok::<(), Error>(())
//! ```

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::client::{self, Connection, Reply};
use crate::json::Json;
use crate::node::message::{EntryId, Index, Term};
use crate::state_machine::kv::Request;

/// How long to wait before the next node is asked, when the last had no answer. An election may
/// take no more than some 200 ms, and a client should not make much more of it.
const PAUSE: Duration = Duration::from_millis(20);

/// With less time left than this nobody is asked any more.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// How long one node may take. It gives up by itself a little before.
const ATTEMPT: Duration = Duration::from_secs(6);

/// A connection that was idle for longer is not used again: nodes close theirs after 5 s.
const MAX_IDLE: Duration = Duration::from_secs(2);

/// How often in a row the nodes may send us on, before we take a rest: while they elect, two may
/// name each other.
const MAX_REDIRECTS: u32 = 5;

/// A client, with its session. It keeps its connection to the leader, and may be used for any
/// number of commands, one after another.
pub struct Client {
    addresses: Vec<String>,
    /// Where the next request goes.
    current: String,
    /// Which address comes after that, if it has no answer for us.
    next: usize,
    /// To `current`, from the request before, and when that was.
    kept: Option<(Connection, Instant)>,
    name: String,
    serial: u64,
    timeout: Duration,
    on_trouble: fn(&str),
}

/// Why a command has no answer. `Display` is one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request is wrong, or the state machine has refused it: it was not done, and never
    /// will be, however often it is sent.
    Refused(String),
    /// No leader took it in time: it was not done.
    NotDone(String),
    /// It was sent, and the answer is lost: it may have been done, or still be.
    Unknown(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Refused(why) | Error::NotDone(why) | Error::Unknown(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

/// A command that was done, or a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The index of the command's entry; of a query, how far the answer had applied the log.
    pub index: Index,
    /// The term of the command's entry; none for a query, which has no entry.
    pub term: Option<Term>,
    /// What the state machine answered; none if a key was not found.
    pub result: Option<String>,
}

/// A write that was done: its entry in the log, and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The entry that holds the command.
    pub entry: EntryId,
    /// What came of it.
    pub result: T,
}

/// What came of a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The key had the old value, and has the new one.
    Swapped,
    /// The key has this value, or does not exist. It was left as it is.
    Kept(Option<String>),
}

impl Client {
    /// A client of the cluster with these addresses (`host:port`, at least one), which asks for
    /// at most `timeout`, and tells `on_trouble` why it has to ask again. Its name is drawn at
    /// random.
    pub fn new(addresses: Vec<String>, timeout: Duration, on_trouble: fn(&str)) -> Client {
        let current = addresses.first().cloned().unwrap_or_default();
        let name = format!("c{:016x}", RandomState::new().hash_one(0));
        Client { addresses, current, next: 1, kept: None, name, serial: 0, timeout, on_trouble }
    }

    /// Sets a key to a value.
    ///
    /// # Errors
    /// [`Error`]: as of all the methods that write.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Written<()>, Error> {
        self.write(&Request::Set { key: key.into(), value: value.into() }, |reply| {
            (reply == "ok").then_some(())
        })
    }

    /// The value of a key as it is now, by all who asked before (§8); none if it is not set.
    ///
    /// # Errors
    /// [`Error`], but never [`Error::Unknown`], as of [`Client::query`].
    pub fn get(&mut self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.query(&Request::Get { key }.to_string())?.result)
    }

    /// Deletes a key; the result tells whether it was there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn delete(&mut self, key: &str) -> Result<Written<bool>, Error> {
        self.write(&Request::Delete { key: key.into() }, |reply| match reply {
            "deleted" => Some(true),
            "not found" => Some(false),
            _ => None,
        })
    }

    /// Sets a key to a new value if it has the old one.
    ///
    /// # Errors
    /// [`Error`].
    pub fn compare_and_set(
        &mut self,
        key: &str,
        old: &str,
        new: &str,
    ) -> Result<Written<Swap>, Error> {
        let (key, old, new) = (key.to_string(), old.to_string(), new.to_string());
        self.write(&Request::CompareAndSet { key, old, new }, |reply| match reply {
            "ok" => Some(Swap::Swapped),
            "not swapped: not found" => Some(Swap::Kept(None)),
            _ => Some(Swap::Kept(Some(reply.strip_prefix("not swapped: it is ")?.to_string()))),
        })
    }

    /// Adds to a number; a key that is not there counts from 0. The result is the sum.
    ///
    /// # Errors
    /// [`Error`].
    pub fn increment(&mut self, key: &str, by: i64) -> Result<Written<i64>, Error> {
        let request = Request::Increment { key: key.into(), by };
        self.write(&request, |reply| reply.parse().ok())
    }

    /// Has any command of the state machine done, exactly once: `set x=42`. Its result is the
    /// machine's own, also where that says `error: …`.
    ///
    /// # Errors
    /// [`Error`]. A command that turns out to be a query may be said to have an unknown fate; ask
    /// with [`Client::query`].
    pub fn command(&mut self, text: &str) -> Result<Done, Error> {
        self.serial += 1;
        let body = Json::object([
            ("command", text.into()),
            ("client", self.name.as_str().into()),
            ("serial", self.serial.into()),
        ]);
        self.ask_around(&body.to_string(), false)
    }

    /// Asks the state machine what changes nothing: `get x`.
    ///
    /// # Errors
    /// [`Error`], but never [`Error::Unknown`]: what changes nothing cannot "still be done".
    pub fn query(&mut self, text: &str) -> Result<Done, Error> {
        let body = Json::object([("command", text.into())]);
        self.ask_around(&body.to_string(), true)
    }

    /// A write to the built-in store; `read` knows the replies that mean it was done.
    fn write<T>(
        &mut self,
        request: &Request,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Written<T>, Error> {
        let done = self.command(&request.to_string())?;
        let reply = done.result.unwrap_or_default();
        let entry = EntryId { index: done.index, term: done.term.unwrap_or_default() };
        match read(&reply) {
            Some(result) => Ok(Written { entry, result }),
            None => Err(Error::Refused(reply.trim_start_matches("error: ").to_string())),
        }
    }

    /// Sends a request to one node after another, until one has an answer or time is up.
    fn ask_around(&mut self, body: &str, is_query: bool) -> Result<Done, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut troubles = Troubles::default();
        let mut redirects = 0;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.ask(body, left.min(ATTEMPT)) {
                Outcome::Done(done) => return Ok(done),
                Outcome::Refused(why) => return Err(Error::Refused(why)),
                Outcome::Stale { unknown } => {
                    troubles.may_be_done |= unknown;
                    continue;
                }
                Outcome::Leader(address) if redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    self.go_to(address);
                    continue;
                }
                Outcome::Leader(_) => {}
                Outcome::Trouble(trouble) => {
                    if let Some(news) = troubles.add(trouble) {
                        (self.on_trouble)(&news);
                    }
                }
            }
            redirects = 0;
            self.go_on();
            // Whoever asks with hardly any time left does not hear the answer, and knows less than
            // before.
            if Instant::now() + LAST_MOMENT > deadline {
                break;
            }
            thread::sleep(PAUSE);
        }
        Err(self.gave_up(troubles, is_query))
    }

    fn gave_up(&self, troubles: Troubles, is_query: bool) -> Error {
        let seconds = self.timeout.as_secs_f64();
        let Troubles { may_be_done, .. } = troubles;
        let why = troubles.worst();
        match (is_query, may_be_done) {
            (true, _) => Error::NotDone(format!("gave up after {seconds} s: {why}")),
            (false, false) => {
                Error::NotDone(format!("gave up after {seconds} s, it was not done: {why}"))
            }
            (false, true) => {
                Error::Unknown(format!("gave up after {seconds} s, it may still be done: {why}"))
            }
        }
    }

    /// To the next node in turn.
    fn go_on(&mut self) {
        let next = self.next % self.addresses.len().max(1);
        self.next += 1;
        self.go_to(self.addresses.get(next).cloned().unwrap_or_default());
    }

    fn go_to(&mut self, address: String) {
        if address != self.current {
            self.kept = None;
            self.current = address;
        }
    }

    /// Asks the current node, over the connection of the request before if that is still open.
    fn ask(&mut self, body: &str, timeout: Duration) -> Outcome {
        let start = Instant::now();
        let kept = self.kept.take().filter(|(_, used)| used.elapsed() < MAX_IDLE);
        let was_kept = kept.is_some();
        let connection = match kept {
            Some((connection, _)) => Ok(connection),
            None => Connection::open(&self.current, timeout),
        };
        let reply = connection.and_then(|mut connection| {
            let left = timeout.saturating_sub(start.elapsed());
            let reply = connection.request("POST", "/client_command", Some(body), left)?;
            self.kept = Some((connection, Instant::now()));
            Ok(reply)
        });
        match reply {
            Ok(reply) => judge(&self.current, &reply),
            Err(error) => {
                let unknown = matches!(error, client::Error::NoAnswer(_));
                match was_kept && start.elapsed() < timeout {
                    true => Outcome::Stale { unknown },
                    false => Outcome::Trouble(Trouble {
                        why: error.to_string(),
                        unknown,
                        said_by_node: false,
                    }),
                }
            }
        }
    }
}

/// How one node answered.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done(Done),
    /// The request is wrong: no other node will take it either.
    Refused(String),
    /// Ask there.
    Leader(String),
    /// The connection from before has been closed meanwhile: ask again over a new one. The serial
    /// number makes that safe.
    Stale {
        unknown: bool,
    },
    /// Ask another.
    Trouble(Trouble),
}

/// Why one node had no answer.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    why: String,
    /// This attempt may yet have its effect.
    unknown: bool,
    /// The node itself says so; else it was not heard at all.
    said_by_node: bool,
}

/// Why there was no answer so far. What a node says of the cluster tells more than that another
/// does not answer.
#[derive(Default)]
struct Troubles {
    may_be_done: bool,
    said_by_node: Option<String>,
    other: Option<String>,
}

impl Troubles {
    /// Notes one more; gives it back if it is the first of its kind.
    fn add(&mut self, trouble: Trouble) -> Option<String> {
        let Trouble { why, unknown, said_by_node } = trouble;
        self.may_be_done |= unknown;
        let place = if said_by_node { &mut self.said_by_node } else { &mut self.other };
        let is_news = place.replace(why.clone()).is_none();
        is_news.then_some(why)
    }

    fn worst(self) -> String {
        let circles = || "the nodes send us in circles".to_string();
        self.said_by_node.or(self.other).unwrap_or_else(circles)
    }
}

/// What an answer of the node at `address` means.
fn judge(address: &str, reply: &Reply) -> Outcome {
    let json = Json::parse(&reply.body).unwrap_or(Json::Null);
    let text = |name| json.get(name).and_then(Json::as_str).map(str::to_string);
    let number = |name| json.get(name).and_then(Json::as_u64);
    let error = text("error").unwrap_or_else(|| format!("it answered {}", reply.status));
    match (reply.status, number("index"), text("leader_address")) {
        (200, Some(index), _) => {
            Outcome::Done(Done { index, term: number("term"), result: text("result") })
        }
        (307, _, Some(leader)) => Outcome::Leader(leader),
        (400 | 409 | 413, ..) => Outcome::Refused(error),
        (status, ..) => {
            let why = format!("{address}: {error}");
            // Who does not do it says so with one of these; all else may mean anything.
            let unknown = !matches!(status, 307 | 403 | 404 | 405 | 503);
            Outcome::Trouble(Trouble { why, unknown, said_by_node: true })
        }
    }
}

#[cfg(test)]
mod tests;
