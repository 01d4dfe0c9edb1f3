//! The state machine that is built in: a key-value store.
//!
//! A command is a line of text as a person types it: `set x=42`, `get x`, `incr n 5`. It is read
//! into a [`Request`], which does one thing to the value of one key ([`Request::effect`]) and
//! has one [`Reply`]. Nothing here depends on time, chance or memory layout, and nothing fails:
//! a verb that does not go on as it should is answered with an error on every server alike. So
//! servers that applied the same log hold the same pairs (State Machine Safety, Figure 3).
//!
//! A clone of the store takes no time, however large it is: the two share their pairs until one
//! of them changes. So a snapshot can be written from a clone while the store goes on. The pairs
//! lie in a thousand shards: what is copied at a change is one shard, without the texts in it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::json::Json;
use crate::state_machine::{self, Reply, StateMachine};

mod request;
pub use request::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Request};

/// What becomes of the value of a request's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// It stays as it is.
    Keep,
    /// It becomes this.
    Write(Cow<'a, str>),
    /// It goes, and the key with it.
    Remove,
}

/// How many shards there are. With a million keys each has a thousand, and to copy one takes some
/// dozen microseconds; with ten thousand all but the texts fits into a processor's cache.
const SHARDS: usize = 1024;

/// Some pairs, in the order of their fingerprints, and then of their keys.
type Shard = Vec<Pair>;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    /// The key's. It tells the pairs of a shard apart without a look at their keys, which lie all
    /// over the memory; but two keys may have the same.
    fingerprint: u32,
    key_bytes: u32,
    /// The key, and the value behind it: who has found the one has the other at hand.
    text: Arc<str>,
}

impl Pair {
    fn new(fingerprint: u32, key: &str, value: &str) -> Pair {
        Pair { fingerprint, key_bytes: key.len() as u32, text: [key, value].concat().into() }
    }

    fn key(&self) -> &str {
        &self.text[..self.key_bytes as usize]
    }

    fn value(&self) -> &str {
        &self.text[self.key_bytes as usize..]
    }
}

/// The pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    shards: Vec<Arc<Shard>>,
}

impl Default for Store {
    /// No pairs. All shards are the same one, until they are written to.
    fn default() -> Store {
        Store { shards: vec![Arc::default(); SHARDS] }
    }
}

impl Store {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let fingerprint = fingerprint_of(key);
        let shard = &self.shards[place_of(fingerprint)];
        find(shard, fingerprint, key).ok().map(|place| shard[place].value())
    }

    /// All keys and their values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().into_iter()
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.shards.iter().flat_map(|shard| shard.iter());
        let mut pairs: Vec<(&str, &str)> = pairs.map(|pair| (pair.key(), pair.value())).collect();
        pairs.sort_unstable_by_key(|&(key, _)| key);
        pairs
    }

    fn set(&mut self, key: &str, value: &str) {
        let fingerprint = fingerprint_of(key);
        let shard = self.shard(fingerprint);
        let pair = Pair::new(fingerprint, key, value);
        match find(shard, fingerprint, key) {
            Ok(place) => shard[place] = pair,
            Err(place) => shard.insert(place, pair),
        }
    }

    fn remove(&mut self, key: &str) {
        let fingerprint = fingerprint_of(key);
        let shard = self.shard(fingerprint);
        if let Ok(place) = find(shard, fingerprint, key) {
            shard.remove(place);
        }
    }

    /// The shard of a key, to be written to: a copy, if a clone shares it.
    fn shard(&mut self, fingerprint: u32) -> &mut Shard {
        Arc::make_mut(&mut self.shards[place_of(fingerprint)])
    }
}

fn fingerprint_of(key: &str) -> u32 {
    state_machine::fingerprint(key) as u32 // half of it is enough, and a pair is a quarter smaller
}

/// In which shard a key is.
fn place_of(fingerprint: u32) -> usize {
    fingerprint as usize % SHARDS
}

/// Where in its shard a key is; or, as an error, where it would be.
fn find(shard: &[Pair], fingerprint: u32, key: &str) -> Result<usize, usize> {
    shard.binary_search_by(|pair| (pair.fingerprint, pair.key()).cmp(&(fingerprint, key)))
}

impl StateMachine for Store {
    fn apply(&mut self, command: &str) -> Reply {
        let request = match Request::read(command) {
            Ok(request) => request,
            Err(why) => return Reply::Error(why),
        };
        let Some(key) = request.key() else { return Reply::Ok };
        let (change, reply) = request.effect(|| self.get(key));
        match change {
            Change::Keep => {}
            Change::Write(value) => self.set(key, &value),
            Change::Remove => self.remove(key),
        }
        reply
    }

    fn query(&self, command: &str) -> Option<Reply> {
        match Request::read(command) {
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
        let mut store = Store::default();
        for (key, value) in members {
            let text = value.as_str().ok_or(format!("the value of {key:?} is not a text"))?;
            store.set(key, text);
        }
        *self = store;
        Ok(())
    }

    /// The shortest log that leads to this state: `set x=42`, a line for each key.
    fn to_text(&self) -> String {
        let pairs = self.pairs();
        let room = pairs.iter().map(|(key, value)| "set =\n".len() + key.len() + value.len());
        let mut text = String::with_capacity(room.sum());
        for (key, value) in pairs {
            Request::Set { key, value }.append_to(&mut text);
            text.push('\n');
        }
        text
    }

    fn restore_text(&mut self, text: &str) -> Result<(), String> {
        let mut store = Store::default();
        for line in text.split_terminator('\n') {
            match Request::read(line) {
                Ok(Request::Set { key, value }) => store.set(&key, &value),
                _ => {
                    let shown: String = line.chars().take(40).collect();
                    return Err(format!("{shown:?} is no line of a snapshot"));
                }
            }
        }
        *self = store;
        Ok(())
    }
}

impl<Text: AsRef<str>> Request<Text> {
    /// What it does to its key, and what the client is told. `value` looks for the key's value: a
    /// set does what it does whatever that was, and need not know.
    pub fn effect<'a>(&self, value: impl FnOnce() -> Option<&'a str>) -> (Change<'_>, Reply) {
        match self {
            Request::Set { value, .. } => (Change::Write(value.as_ref().into()), Reply::Ok),
            Request::Get { .. } => match value() {
                Some(value) => (Change::Keep, Reply::Value(value.to_string())),
                None => (Change::Keep, Reply::NotFound),
            },
            Request::Delete { .. } => match value() {
                Some(_) => (Change::Remove, Reply::Deleted),
                None => (Change::Keep, Reply::NotFound),
            },
            Request::Increment { by, .. } => match add(value().unwrap_or("0"), *by) {
                Ok(sum) => (Change::Write(sum.to_string().into()), Reply::Number(sum)),
                Err(why) => (Change::Keep, Reply::Error(format!("{self}: {why}"))),
            },
            Request::CompareAndSet { old, new, .. } => match value() {
                Some(value) if value == old.as_ref() => {
                    (Change::Write(new.as_ref().into()), Reply::Ok)
                }
                found => (Change::Keep, Reply::NotSwapped(found.map(String::from))),
            },
            Request::Other(_) => (Change::Keep, Reply::Ok),
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

    #[test]
    fn clone_shares_what_neither_changes() {
        let mut store = Store::default();
        (0..100).for_each(|n| drop(store.apply(&format!("set k{n}={n}"))));
        let clone = store.clone();
        store.apply("set k7=other");
        store.apply("delete k8");
        assert_eq!((clone.get("k7"), clone.get("k8")), (Some("7"), Some("8")));
        assert_eq!((store.get("k7"), store.get("k8")), (Some("other"), None));
        let shared = |(one, other)| Arc::ptr_eq(one, other);
        let shards = store.shards.iter().zip(&clone.shards);
        assert_eq!(shards.filter(|both| !shared(*both)).count(), 2);
    }

    #[test]
    fn keys_of_the_same_fingerprint_are_told_apart() {
        let pair = |key: &str| Pair::new(7, key, "");
        let shard = vec![pair("a"), pair("c"), Pair { fingerprint: 8, ..pair("b") }];
        let places = ["a", "b", "c", "d"].map(|key| find(&shard, 7, key));
        assert_eq!(places, [Ok(0), Err(1), Ok(1), Err(2)]);
        assert_eq!(find(&shard, 8, "b"), Ok(2));
    }
}
