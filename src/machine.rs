//! What a replicated log is for: a state machine, and the clients who command it.
//!
//! Servers that apply the same commands in the same order come to the same state, if the machine
//! is deterministic: nothing in it may depend on time, chance, memory layout or the server it runs
//! on (Figure 1; State Machine Safety, Figure 3). That is all that [`StateMachine`] asks. The
//! key-value store of `kv.rs` is the one built in; `examples/bank.rs` puts another in its place.
//!
//! A leader may die between applying a command and answering; the client then sends it again.
//! [`Sessions`] therefore keep, for each client, the last serial number and its reply, and answer
//! a command that comes twice without applying it twice (§8; dissertation 6.3). They are part of
//! the replicated state: every server remembers the same clients.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::json::Json;
use crate::message::{Command, Entry, EntryId};
use crate::rules::{Rule, Rules};

/// How many clients are remembered. When one more comes, the one whose last command lies furthest
/// back in the log is forgotten; a retry of its last command would be applied again.
pub const MAX_SESSIONS: usize = 1000;

/// What every server applies its log to. Deterministic, and it never fails: what cannot be done
/// is a [`Reply::Error`], the same on every server.
pub trait StateMachine {
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

/// Tells texts apart, the same on every server (FNV-1a).
fn fingerprint(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::Store;
    use crate::message::Index;

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
}
