//! The state machine: a key-value store that every server applies its log to.
//!
//! A command is a line of text as a person types it: `set x=42`, `get x`, `incr n 5`. It is read
//! into a [`Request`], which does one thing to the value of one key ([`Request::effect`]) and
//! has one [`Reply`]. Nothing here depends on time, chance or memory layout, and nothing fails:
//! a verb that does not go on as it should is answered with an error on every server alike. So
//! servers that applied the same log hold the same pairs (State Machine Safety, Figure 3).
//!
//! A leader may die between applying a command and answering; the client then sends it again.
//! The store therefore keeps, for each client, the last serial number and its reply, and answers
//! a command that comes twice without applying it twice (§8; dissertation 6.3).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::message::Command;
use crate::rules::{Rule, Rules};

mod request;
pub use request::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Request};

/// How many clients are remembered. When one more comes, the one whose last command lies furthest
/// back in the log is forgotten; a retry of its last command would be applied again.
pub const MAX_SESSIONS: usize = 1000;

/// What becomes of the value of a request's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It becomes this.
    Write(String),
    /// It goes, and the key with it.
    Remove,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Ok,
    /// The value that was asked for.
    Value(String),
    /// The value after an increment.
    Number(i64),
    /// The key is gone.
    Deleted,
    /// There is no such key.
    NotFound,
    /// The key had another value, or none, and keeps it.
    NotSwapped(Option<String>),
    /// It cannot be done, and why.
    Error(String),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Reply::Ok => f.write_str("ok"),
            Reply::Value(value) => f.write_str(value),
            Reply::Number(number) => write!(f, "{number}"),
            Reply::Deleted => f.write_str("deleted"),
            Reply::NotFound => f.write_str("not found"),
            Reply::NotSwapped(Some(value)) => write!(f, "not swapped: it is {value}"),
            Reply::NotSwapped(None) => f.write_str("not swapped: not found"),
            Reply::Error(why) => write!(f, "error: {why}"),
        }
    }
}

/// The pairs, and what is remembered of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pairs: BTreeMap<String, String>,
    sessions: BTreeMap<String, Session>,
    /// How many commands came in sessions: by it, "recently" means the same on every server.
    session_commands: u64,
    rules: Rules,
}

/// What is remembered of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    serial: u64,
    reply: Reply,
    /// `session_commands` when it last sent one.
    used: u64,
}

impl Store {
    /// An empty store. The lab leaves out a rule to show what it is for.
    pub fn new(rules: Rules) -> Store {
        Store { pairs: BTreeMap::new(), sessions: BTreeMap::new(), session_commands: 0, rules }
    }

    /// Applies a committed command.
    pub fn apply(&mut self, command: &Command) -> Reply {
        let (session, text) = command.split();
        let Some((client, serial)) = session else { return self.perform(text) };
        self.session_commands += 1;
        // §8: "if it receives a command whose serial number has already been executed, it
        // responds immediately without re-executing the request".
        if self.rules.obeys(Rule::RetryAppliedOnce)
            && let Some(reply) = self.reply_before(client, serial)
        {
            return reply;
        }
        let reply = self.perform(text);
        self.remember(client, serial, reply.clone());
        reply
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    /// All keys and their values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn perform(&mut self, text: &str) -> Reply {
        let request: Request = match text.parse() {
            Ok(request) => request,
            Err(why) => return Reply::Error(why),
        };
        let Some(key) = request.key() else { return Reply::Ok };
        let (change, reply) = request.effect(self.get(key));
        match change {
            Change::Keep => {}
            Change::Write(value) => {
                self.pairs.insert(key.to_string(), value);
            }
            Change::Remove => {
                self.pairs.remove(key);
            }
        }
        reply
    }

    /// What to answer if this serial is not new. The client waits for its last one only: an older
    /// one comes from a message that was long on its way.
    fn reply_before(&mut self, client: &str, serial: u64) -> Option<Reply> {
        let session = self.sessions.get_mut(client)?;
        session.used = self.session_commands;
        match serial.cmp(&session.serial) {
            Ordering::Greater => None,
            Ordering::Equal => Some(session.reply.clone()),
            Ordering::Less => {
                let last = session.serial;
                let why = format!("command {serial} is over: this client has sent {last}");
                Some(Reply::Error(why))
            }
        }
    }

    fn remember(&mut self, client: &str, serial: u64, reply: Reply) {
        let session = Session { serial, reply, used: self.session_commands };
        self.sessions.insert(client.to_string(), session);
        if self.sessions.len() > MAX_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            let (client, _) = oldest.expect("more than MAX_SESSIONS are there");
            self.sessions.remove(&client.clone());
        }
    }
}

impl Request {
    /// What it does to its key, given the key's value, and what the client is told.
    pub fn effect(&self, value: Option<&str>) -> (Change, Reply) {
        match (self, value) {
            (Request::Set { value, .. }, _) => (Change::Write(value.clone()), Reply::Ok),
            (Request::Get { .. }, Some(value)) => (Change::Keep, Reply::Value(value.to_string())),
            (Request::Delete { .. }, Some(_)) => (Change::Remove, Reply::Deleted),
            (Request::Get { .. } | Request::Delete { .. }, None) => (Change::Keep, Reply::NotFound),
            (Request::Increment { by, .. }, value) => match add(value.unwrap_or("0"), *by) {
                Ok(sum) => (Change::Write(sum.to_string()), Reply::Number(sum)),
                Err(why) => (Change::Keep, Reply::Error(format!("{self}: {why}"))),
            },
            (Request::CompareAndSet { old, new, .. }, Some(value)) if value == old => {
                (Change::Write(new.clone()), Reply::Ok)
            }
            (Request::CompareAndSet { .. }, found) => {
                (Change::Keep, Reply::NotSwapped(found.map(String::from)))
            }
            (Request::Other(_), _) => (Change::Keep, Reply::Ok),
        }
    }
}

fn add(value: &str, by: i64) -> Result<i64, &'static str> {
    let number: i64 = value.parse().map_err(|_| "the value is not a whole number of 64 bits")?;
    number.checked_add(by).ok_or("the sum does not fit into 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(store: &mut Store, text: &str) -> String {
        store.apply(&Command::new(text)).to_string()
    }

    #[test]
    fn apply_does_what_each_verb_says() {
        let mut store = Store::new(Rules::ALL);
        for (text, reply) in [
            ("get x", "not found"),
            ("set x=3", "ok"),
            ("get x", "3"),
            ("cas x 1 2", "not swapped: it is 3"),
            ("cas x 3 4", "ok"),
            ("incr x", "5"),
            ("incr x -7", "-2"),
            ("delete x", "deleted"),
            ("delete x", "not found"),
            ("cas x 3 4", "not swapped: not found"),
            ("incr new 5", "5"),
            (Command::NO_OP, "ok"),
            ("any text", "ok"),
            ("set a", "error: set: the value is missing; write set KEY=VALUE"),
        ] {
            assert_eq!(apply(&mut store, text), reply, "{text}");
        }
        apply(&mut store, "set a=last");
        assert_eq!(store.iter().collect::<Vec<_>>(), [("a", "last"), ("new", "5")]);
        assert_eq!(store.get("x"), None);
    }

    #[test]
    fn increment_of_no_number_or_beyond_64_bits_changes_nothing() {
        let mut store = Store::new(Rules::ALL);
        apply(&mut store, "set x=a");
        apply(&mut store, "set n=9223372036854775807");
        let why = "error: incr x: the value is not a whole number of 64 bits";
        assert_eq!(apply(&mut store, "incr x"), why);
        assert_eq!(apply(&mut store, "incr n"), "error: incr n: the sum does not fit into 64 bits");
        assert_eq!(store.get("x"), Some("a"));
        assert_eq!(store.get("n"), Some("9223372036854775807"));
    }

    /// §8: "if the leader crashes after committing the log entry but before responding to the
    /// client, the client will retry the command with a new leader".
    #[test]
    fn apply_counts_a_retried_increment_once_or_without_the_rule_twice() {
        let retried = Command::in_session("c1", 1, "incr n");
        for (rules, n) in [(Rules::ALL, "1"), (Rules::ALL.without(Rule::RetryAppliedOnce), "2")] {
            let mut store = Store::new(rules);
            store.apply(&retried);
            assert_eq!(store.apply(&retried).to_string(), n);
            assert_eq!(store.get("n"), Some(n));
        }
    }

    #[test]
    fn apply_answers_a_retry_as_the_first_time_and_refuses_older_serials() {
        let mut store = Store::new(Rules::ALL);
        assert_eq!(apply(&mut store, "@c1:4 get x"), "not found");
        assert_eq!(apply(&mut store, "@c2:4 set x=1"), "ok");
        assert_eq!(apply(&mut store, "@c1:4 get x"), "not found");
        assert_eq!(
            apply(&mut store, "@c1:3 set x=2"),
            "error: command 3 is over: this client has sent 4"
        );
        assert_eq!(apply(&mut store, "@c1:7 get x"), "1");
    }

    #[test]
    fn apply_forgets_the_client_that_was_used_least_recently() {
        let mut store = Store::new(Rules::ALL);
        for client in 0..MAX_SESSIONS {
            apply(&mut store, &format!("@c{client}:1 incr n"));
        }
        apply(&mut store, "@c0:1 incr n"); // used again: now c1 is the one
        apply(&mut store, "@new:1 incr n");
        assert_eq!(store.get("n"), Some("1001"));
        for (retry, n) in [("@c0:1 incr n", "1"), ("@c2:1 incr n", "3"), ("@c1:1 incr n", "1002")] {
            assert_eq!(apply(&mut store, retry), n, "{retry}");
        }
        assert_eq!(store.sessions.len(), MAX_SESSIONS);
    }
}
