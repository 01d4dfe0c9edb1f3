//! The verbs that write and read: `set`, `get`, `delete`.

use std::time::Duration;

use super::options::Options;
use super::{Failure, print};
use crate::client::{Client, Done};
use crate::kv::Request;

/// How long a verb tries before it gives up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `set K V`.
pub fn set(options: &Options, key: &str, value: &str) -> Result<(), Failure> {
    let (key, value) = (key.to_string(), value.to_string());
    done(ask(options, &Request::Set { key, value })?)
}

/// `delete K`.
pub fn delete(options: &Options, key: &str) -> Result<(), Failure> {
    done(ask(options, &Request::Delete { key: key.to_string() })?)
}

/// `get K`: the value alone, for scripts.
pub fn get(options: &Options, key: &str) -> Result<(), Failure> {
    match ask(options, &Request::Get { key: key.to_string() })?.result {
        Some(value) => print(&format!("{value}\n")),
        None => Err(Failure::Running(format!("{key} is not set"))),
    }
}

fn ask(options: &Options, request: &Request) -> Result<Done, Failure> {
    if request.key().is_some_and(str::is_empty) {
        return Err(Failure::Usage("the key is empty: give it a name".to_string()));
    }
    let addresses = options.registry()?.nodes.into_values().collect();
    let trouble = |why: &str| {
        eprintln!("raftlet: {why}; trying for up to {} s", TIMEOUT.as_secs());
    };
    let mut client = Client::new(addresses, TIMEOUT, trouble);
    client.command(&request.to_string()).map_err(|e| Failure::Running(e.to_string()))
}

/// What became of a write, and the entry that holds it.
fn done(done: Done) -> Result<(), Failure> {
    let result = done.result.unwrap_or_default();
    let term = done.term.unwrap_or_default();
    print(&format!("{result} (entry {}@{term})\n", done.index))
}
