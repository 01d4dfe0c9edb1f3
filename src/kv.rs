//! The state machine that is built in: a key-value store.
//!
//! A command is a line of text as a person types it: `set x=42`, `get x`, `incr n 5`. It is read
//! into a [`Request`], which does one thing to the value of one key ([`Request::effect`]) and
//! has one [`Reply`]. Nothing here depends on time, chance or memory layout, and nothing fails:
//! a verb that does not go on as it should is answered with an error on every server alike. So
//! servers that applied the same log hold the same pairs (State Machine Safety, Figure 3).

use std::collections::BTreeMap;

use crate::json::{Json, Member};
use crate::machine::{Reply, StateMachine};

mod request;
pub use request::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Request};

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

/// The pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pairs: BTreeMap<String, String>,
}

impl Store {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    /// All keys and their values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl StateMachine for Store {
    fn apply(&mut self, command: &str) -> Reply {
        let request: Request = match command.parse() {
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

    fn query(&self, command: &str) -> Option<Reply> {
        match command.parse() {
            Ok(Request::Get { key }) => Some(match self.get(&key) {
                Some(value) => Reply::Value(value.to_string()),
                None => Reply::NotFound,
            }),
            Ok(_) => None,
            Err(why) => Some(Reply::Error(why)),
        }
    }

    /// An object: each key with its value.
    fn snapshot(&self) -> Json {
        let pair = |(key, value): (&str, &str)| (key.to_string().into(), value.into());
        Json::Object(self.iter().map(pair).collect())
    }

    fn restore(&mut self, snapshot: &Json) -> Result<(), String> {
        let Json::Object(members) = snapshot else { return Err("not an object".to_string()) };
        let pair = |(key, value): &Member| match value.as_str() {
            Some(value) => Ok((key.to_string(), value.to_string())),
            None => Err(format!("the value of {key:?} is not a text")),
        };
        self.pairs = members.iter().map(pair).collect::<Result<_, _>>()?;
        Ok(())
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
        store.apply(text).to_string()
    }

    #[test]
    fn apply_does_what_each_verb_says() {
        let mut store = Store::default();
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
        let mut store = Store::default();
        apply(&mut store, "set x=a");
        apply(&mut store, "set n=9223372036854775807");
        let why = "error: incr x: the value is not a whole number of 64 bits";
        assert_eq!(apply(&mut store, "incr x"), why);
        assert_eq!(apply(&mut store, "incr n"), "error: incr n: the sum does not fit into 64 bits");
        assert_eq!(store.get("x"), Some("a"));
        assert_eq!(store.get("n"), Some("9223372036854775807"));
    }

    #[test]
    fn query_answers_what_changes_nothing() {
        let mut store = Store::default();
        store.apply("set x=1");
        assert_eq!(store.query("get x"), Some(Reply::Value("1".to_string())));
        assert_eq!(store.query("get y"), Some(Reply::NotFound));
        assert_eq!(store.query("set x=2"), None);
        assert_eq!(store.query("any text"), None);
    }

    #[test]
    fn snapshot_restores_the_same_store() {
        let mut store = Store::default();
        store.apply("set b=2");
        store.apply("set \"a \\\"key\\\"\"=\"line\\n\"");
        let snapshot = store.snapshot();
        assert_eq!(snapshot.to_string(), r#"{"a \"key\"":"line\n","b":"2"}"#);
        let mut other = Store::default();
        other.apply("set gone=1");
        assert_eq!(other.restore(&Json::parse(snapshot.to_string()).unwrap()), Ok(()));
        assert_eq!(other, store);
        for wrong in ["[]", r#"{"x":1}"#] {
            assert!(other.restore(&Json::parse(wrong).unwrap()).is_err(), "{wrong}");
            assert_eq!(other, store, "a bad snapshot changes nothing");
        }
    }
}
