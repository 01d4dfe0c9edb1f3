//! What a replicated log is for: a state machine, and the clients who command it.
//!
//! Servers that apply the same commands in the same order come to the same state, if the machine
//! is deterministic: nothing in it may depend on time, chance, memory layout or the server it runs
//! on (Figure 1; State Machine Safety, Figure 3). That is all that [`StateMachine`] asks. The
//! key-value store of `state_machine/kv.rs` is built in; `examples/bank.rs` puts another in its
//! place.
//!
//! A leader may die between applying a command and answering; the client then sends it again.
//! [`Sessions`] therefore keep, for each client, the last serial number and its reply, and answer
//! a command that comes twice without applying it twice (§8; dissertation 6.3). They are part of
//! the replicated state: every server remembers the same clients. And so they are part of a
//! snapshot (§7), whose text is the same on every server, too: [`Sessions::snapshot`].

pub mod kv;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::json::{Json, Number, Value};
use crate::node::message::{Command, Entry, EntryId};
use crate::node::rules::{Rule, Rules};

/// How many clients are remembered. When one more comes, the one whose last command lies furthest
/// back in the log is forgotten; a retry of its last command would be applied again.
pub const MAX_SESSIONS: usize = 1000;

/// What every server applies its log to. Deterministic, and it never fails: what cannot be done
/// is a [`Reply::Error`], the same on every server.
///
/// A thread writes a snapshot from a clone, while the machine goes on. Where the state may be
/// large, clones should share it (as [`kv::Store`] does), for the raft thread waits for each clone.
pub trait StateMachine: Clone + Send + 'static {
    /// Applies a committed command.
    fn apply(&mut self, command: &str) -> Reply;

    /// The answer to a command that changes nothing, which then needs no place in the log (§8).
    /// `None` if it may change something.
    fn query(&self, command: &str) -> Option<Reply>;

    /// The whole state.
    fn snapshot(&self) -> Json;

    /// Takes on the state that [`StateMachine::snapshot`] gave.
    ///
    /// # Errors
    /// If it is no snapshot of such a machine: why not. The state is then what it was.
    fn restore(&mut self, snapshot: &Json) -> Result<(), String>;

    /// The whole state as text, for a snapshot (§7): the same text for the same state. A machine
    /// whose state may hold more than [`crate::json::MAX_VALUES`] values must write its own.
    fn to_text(&self) -> String {
        self.snapshot().to_string()
    }

    /// Takes on the state that [`StateMachine::to_text`] gave.
    ///
    /// # Errors
    /// As [`StateMachine::restore`].
    fn restore_text(&mut self, text: &str) -> Result<(), String> {
        let json = Json::parse(text).map_err(|error| error.to_string())?;
        self.restore(&json)
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Ok,
    /// The value that was asked for.
    Value(String),
    /// A number: the value after an increment, a balance.
    Number(i64),
    /// The key is gone.
    Deleted,
    /// There is no such key.
    NotFound,
    /// The key had another value, or none, and keeps it.
    NotSwapped(Option<String>),
    /// It cannot be done, and why. Nothing has changed.
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

/// A state machine, and what is remembered of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions<M> {
    machine: M,
    sessions: BTreeMap<String, Session>,
    /// How many commands came in sessions: by it, "recently" means the same on every server.
    session_commands: u64,
    rules: Rules,
}

/// What is remembered of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    serial: u64,
    /// Of the command's text.
    fingerprint: u64,
    /// The first answer, and the entry that it was given for.
    answer: (EntryId, Reply),
    /// `session_commands` when it last sent one.
    used: u64,
}

impl<M: StateMachine> Sessions<M> {
    /// A machine that nobody has commanded yet. The lab leaves out a rule to show what it is for.
    pub fn new(machine: M, rules: Rules) -> Sessions<M> {
        Sessions { machine, sessions: BTreeMap::new(), session_commands: 0, rules }
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// All of it as text, for a snapshot (§7): a line that counts, a line for each client, and then
    /// the machine's own text. What is applied to the same log is the same text on every server.
    pub fn snapshot(&self) -> String {
        let head = Json::object([
            ("sessions", (self.sessions.len() as u64).into()),
            ("session_commands", self.session_commands.into()),
        ]);
        let mut text = head.to_string();
        for (client, session) in &self.sessions {
            text.push('\n');
            session.to_json(client).append_to(&mut text);
        }
        text.push('\n');
        text + &self.machine.to_text()
    }

    /// Takes on the state that [`Sessions::snapshot`] gave.
    ///
    /// # Errors
    /// If it is none: why not. The state is then what it was.
    pub fn restore(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text;
        let head = parse(take_line(&mut rest))?;
        let number = |name| member(&head, name, Json::as_u64);
        let (count, session_commands) = (number("sessions")?, number("session_commands")?);
        let mut sessions = BTreeMap::new();
        for _ in 0..count {
            let (client, session) = Session::from_json(&parse(take_line(&mut rest))?)?;
            sessions.insert(client, session);
        }
        self.machine.restore_text(rest)?;
        (self.sessions, self.session_commands) = (sessions, session_commands);
        Ok(())
    }

    /// Applies a committed entry. The answer names the entry that did it: of a retry, the first.
    pub fn apply(&mut self, entry: &Entry) -> (EntryId, Reply) {
        let (session, text) = entry.command.split();
        let Some((client, serial)) = session else { return (entry.id(), self.perform(text)) };
        self.session_commands += 1;
        // §8: "if it receives a command whose serial number has already been executed, it
        // responds immediately without re-executing the request".
        if self.rules.obeys(Rule::RetryAppliedOnce)
            && let Some(answer) = self.answer_before(client, serial, entry)
        {
            return answer;
        }
        let answer = (entry.id(), self.perform(text));
        self.remember(client, serial, fingerprint(text), answer.clone());
        answer
    }

    /// The no-op of a new leader is Raft's own: no machine sees it.
    fn perform(&mut self, text: &str) -> Reply {
        if text == Command::NO_OP { Reply::Ok } else { self.machine.apply(text) }
    }

    /// What to answer if this serial is not new. The client waits for its last one only: an older
    /// one comes from a message that was long on its way.
    fn answer_before(
        &mut self,
        client: &str,
        serial: u64,
        entry: &Entry,
    ) -> Option<(EntryId, Reply)> {
        let session = self.sessions.get_mut(client)?;
        session.used = self.session_commands;
        let why = match serial.cmp(&session.serial) {
            Ordering::Greater => return None,
            Ordering::Equal if session.fingerprint == fingerprint(entry.command.split().1) => {
                return Some(session.answer.clone());
            }
            Ordering::Equal => format!("serial {serial} was another command's: raise it"),
            Ordering::Less => {
                format!("command {serial} is over: this client has sent {}", session.serial)
            }
        };
        Some((entry.id(), Reply::Error(why)))
    }

    fn remember(&mut self, client: &str, serial: u64, fingerprint: u64, answer: (EntryId, Reply)) {
        let session = Session { serial, fingerprint, answer, used: self.session_commands };
        self.sessions.insert(client.to_string(), session);
        if self.sessions.len() > MAX_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            let (client, _) = oldest.expect("more than MAX_SESSIONS are there");
            self.sessions.remove(&client.clone());
        }
    }
}

// ---- A snapshot's text ------------------------------------------------------------------------

impl Session {
    fn to_json<'a>(&'a self, client: &'a str) -> Value<'a> {
        let (entry, reply) = &self.answer;
        Value::object([
            ("client", Value::borrowed(client)),
            ("serial", self.serial.into()),
            ("fingerprint", self.fingerprint.into()),
            ("used", self.used.into()),
            ("index", entry.index.into()),
            ("term", entry.term.into()),
            ("reply", reply.to_json()),
        ])
    }

    fn from_json(json: &Json) -> Result<(String, Session), String> {
        let number = |name| member(json, name, Json::as_u64);
        let entry = EntryId { index: number("index")?, term: number("term")? };
        let reply = member(json, "reply", Reply::from_json)?;
        let session = Session {
            serial: number("serial")?,
            fingerprint: number("fingerprint")?,
            answer: (entry, reply),
            used: number("used")?,
        };
        Ok((member(json, "client", Json::as_str)?.to_string(), session))
    }
}

impl Reply {
    /// Its name, and what else it says.
    fn to_json(&self) -> Value<'_> {
        let text = Value::borrowed;
        Value::Array(match self {
            Reply::Ok => vec![text("ok")],
            Reply::Value(value) => vec![text("value"), text(value)],
            Reply::Number(number) => vec![text("number"), (*number).into()],
            Reply::Deleted => vec![text("deleted")],
            Reply::NotFound => vec![text("not found")],
            Reply::NotSwapped(Some(value)) => vec![text("not swapped"), text(value)],
            Reply::NotSwapped(None) => vec![text("not swapped")],
            Reply::Error(why) => vec![text("error"), text(why)],
        })
    }

    fn from_json(json: &Json) -> Option<Reply> {
        let (name, rest) = json.as_array()?.split_first()?;
        let text = || rest.first().and_then(Json::as_str).map(str::to_string);
        Some(match name.as_str()? {
            "ok" => Reply::Ok,
            "value" => Reply::Value(text()?),
            "number" => Reply::Number(whole(rest.first()?)?),
            "deleted" => Reply::Deleted,
            "not found" => Reply::NotFound,
            "not swapped" => Reply::NotSwapped(text()),
            "error" => Reply::Error(text()?),
            _ => return None,
        })
    }
}

fn whole(json: &Json) -> Option<i64> {
    match json {
        Json::Number(Number::Negative(number)) => Some(*number),
        other => other.as_u64()?.try_into().ok(),
    }
}

/// The next line, which is taken off the text.
fn take_line<'a>(rest: &mut &'a str) -> &'a str {
    let (line, after) = rest.split_once('\n').unwrap_or((*rest, ""));
    *rest = after;
    line
}

fn parse(line: &str) -> Result<Json, String> {
    Json::parse(line).map_err(|why| format!("a line of the sessions is not JSON: {why}"))
}

fn member<'a, T>(
    json: &'a Json,
    name: &str,
    of_kind: impl Fn(&'a Json) -> Option<T>,
) -> Result<T, String> {
    json.get(name).and_then(of_kind).ok_or_else(|| format!("{name} of the sessions is damaged"))
}

/// Tells texts apart, the same on every server (FNV-1a).
pub fn fingerprint(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::Index;
    use crate::state_machine::kv::Store;

    fn entry(index: Index, text: &str) -> Entry {
        Entry { index, term: 1, command: Command::new(text) }
    }

    fn apply(store: &mut Sessions<Store>, text: &str) -> String {
        store.apply(&entry(1, text)).1.to_string()
    }

    /// §8: "if the leader crashes after committing the log entry but before responding to the
    /// client, the client will retry the command with a new leader".
    #[test]
    fn apply_counts_a_retried_increment_once_or_without_the_rule_twice() {
        for (rules, n) in [(Rules::ALL, "1"), (Rules::ALL.without(Rule::RetryAppliedOnce), "2")] {
            let mut store = Sessions::new(Store::default(), rules);
            apply(&mut store, "@c1:1 incr n");
            assert_eq!(apply(&mut store, "@c1:1 incr n"), n);
            assert_eq!(store.machine().get("n"), Some(n));
        }
    }

    #[test]
    fn apply_answers_a_retry_as_the_first_time_and_refuses_older_serials() {
        let mut store = Sessions::new(Store::default(), Rules::ALL);
        assert_eq!(apply(&mut store, "@c1:4 get x"), "not found");
        assert_eq!(apply(&mut store, "@c2:4 set x=1"), "ok");
        assert_eq!(apply(&mut store, "@c1:4 get x"), "not found");
        assert_eq!(
            apply(&mut store, "@c1:3 set x=2"),
            "error: command 3 is over: this client has sent 4"
        );
        assert_eq!(apply(&mut store, "@c1:7 get x"), "1");
    }

    /// A yes would be a lie: this command is not done.
    #[test]
    fn serial_of_another_command_is_refused() {
        let mut store = Sessions::new(Store::default(), Rules::ALL);
        apply(&mut store, "@c1:4 set x=1");
        let refused = "error: serial 4 was another command's: raise it";
        assert_eq!(apply(&mut store, "@c1:4 set y=1"), refused);
        assert_eq!(store.machine().get("y"), None);
        assert_eq!(apply(&mut store, "@c1:4 set x=1"), "ok");
    }

    #[test]
    fn retry_is_answered_with_the_entry_that_did_it() {
        let mut store = Sessions::new(Store::default(), Rules::ALL);
        let first = store.apply(&entry(1, "@c1:4 incr n"));
        assert_eq!(first, (EntryId { index: 1, term: 1 }, Reply::Number(1)));
        assert_eq!(store.apply(&entry(2, "@c1:4 incr n")), first);
    }

    #[test]
    fn apply_forgets_the_client_that_was_used_least_recently() {
        let mut store = Sessions::new(Store::default(), Rules::ALL);
        for client in 0..MAX_SESSIONS {
            apply(&mut store, &format!("@c{client}:1 incr n"));
        }
        apply(&mut store, "@c0:1 incr n"); // used again: now c1 is the one
        apply(&mut store, "@new:1 incr n");
        assert_eq!(store.machine().get("n"), Some("1001"));
        for (retry, n) in [("@c0:1 incr n", "1"), ("@c2:1 incr n", "3"), ("@c1:1 incr n", "1002")] {
            assert_eq!(apply(&mut store, retry), n, "{retry}");
        }
        assert_eq!(store.sessions.len(), MAX_SESSIONS);
    }

    #[test]
    fn no_op_is_not_for_the_machine() {
        let mut store = Sessions::new(Store::default(), Rules::ALL);
        assert_eq!(apply(&mut store, Command::NO_OP), "ok");
        assert_eq!(store.machine(), &Store::default());
    }

    #[test]
    fn snapshot_restores_state_and_clients() {
        let mut store = Sessions::new(Store::default(), Rules::ALL);
        let commands = [
            "@a:1 set x=1",
            "@b:7 get x",
            "@c:1 incr n -5",
            "@d:1 delete x",
            "@e:1 delete x",
            "@f:1 cas n 1 2",
            "@g:1 cas x 1 2",
            "@h:1 incr n 9223372036854775807",
            "@i:1 incr n a",
            "@\"j\n\\:1 set y=1",
            "set key=\"two\\nlines\"",
        ];
        for (index, text) in (1..).zip(commands) {
            store.apply(&entry(index, text));
        }
        let text = store.snapshot();
        let mut other = Sessions::new(Store::default(), Rules::ALL);
        other.apply(&entry(1, "@gone:1 set gone=1"));
        assert_eq!(other.restore(&text), Ok(()));
        assert_eq!(other, store);
        assert_eq!(other.snapshot(), text);
        assert_eq!(other.apply(&entry(99, "@c:1 incr n -5")), store.apply(&entry(3, commands[2])));
        for (from, to) in [
            ("\"sessions\":10", "\"sessions\":11"),
            ("\"sessions\":10", "\"sessions\":9"),
            ("\"number\"", "\"count\""),
            ("session_commands", "commands"),
            ("set y=1", "fly"),
            ("{", ""),
        ] {
            let before = other.clone();
            assert!(text.contains(from), "{from}: {text}");
            assert!(other.restore(&text.replacen(from, to, 1)).is_err(), "{to}");
            assert_eq!(other, before, "a bad snapshot changes nothing");
        }
    }

    #[test]
    fn snapshot_of_a_machine_that_knows_only_json() {
        #[derive(Clone, Debug, PartialEq)]
        struct Counter(u64);
        impl StateMachine for Counter {
            fn apply(&mut self, _: &str) -> Reply {
                self.0 += 1;
                Reply::Ok
            }
            fn query(&self, _: &str) -> Option<Reply> {
                None
            }
            fn snapshot(&self) -> Json {
                self.0.into()
            }
            fn restore(&mut self, snapshot: &Json) -> Result<(), String> {
                self.0 = snapshot.as_u64().ok_or("not a number")?;
                Ok(())
            }
        }
        let mut counter = Sessions::new(Counter(0), Rules::ALL);
        counter.apply(&entry(1, "@a:1 go"));
        let mut other = Sessions::new(Counter(7), Rules::ALL);
        assert_eq!(other.restore(&counter.snapshot()), Ok(()));
        assert_eq!(other, counter);
        assert!(other.restore("{\"sessions\":0,\"session_commands\":0}\nx").is_err());
    }
}
