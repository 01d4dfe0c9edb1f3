//! The verbs that write and read: `set`, `get`, `delete`, `cas`, `incr`.

use std::fmt::Write;
use std::io::{self, Read};
use std::time::Duration;

use super::failure::Failure;
use super::node;
use super::options::Options;
use super::stdout::{print, print_json};
use crate::client::{Client, Swap};
use crate::json::{Json, Number};
use crate::node::message::EntryId;
use crate::state_machine::kv::MAX_VALUE_BYTES;

/// How long a verb tries before it gives up.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// `set K V`.
pub fn set(options: &Options) -> Result<(), Failure> {
    let (key, value) = (key(options)?, value(options, 1)?);
    let entry = client(options)?.set(&key, &value)?.entry;
    let members = vec![("key", key.into()), ("value", value.into())];
    tell(options, "ok", members, entry)
}

/// `delete K`.
pub fn delete(options: &Options) -> Result<(), Failure> {
    let key = key(options)?;
    let done = client(options)?.delete(&key)?;
    let line = if done.result { "deleted" } else { "not found" };
    tell(options, line, vec![("key", key.into()), ("found", done.result.into())], done.entry)
}

/// `incr K [BY]`.
pub fn increment(options: &Options) -> Result<(), Failure> {
    let (key, by) = (key(options)?, options.word(1).unwrap_or("1"));
    let Ok(by) = by.parse() else {
        return Err(Failure::Usage(format!("{by} is not a whole number of 64 bits")));
    };
    let done = client(options)?.increment(&key, by)?;
    let sum = done.result.to_string();
    let value = match u64::try_from(done.result) {
        Ok(sum) => sum.into(),
        Err(_) => Json::Number(Number::Negative(done.result)),
    };
    tell(options, &sum, vec![("key", key.into()), ("value", value)], done.entry)
}

/// `cas K OLD NEW`: if it was not OLD, that is a failure.
pub fn compare_and_set(options: &Options) -> Result<(), Failure> {
    if options.words[1] == "-" && options.words[2] == "-" {
        return Err(Failure::Usage("only one of OLD and NEW can come from stdin".to_string()));
    }
    let (key, old, new) = (key(options)?, value(options, 1)?, value(options, 2)?);
    let done = client(options)?.compare_and_set(&key, &old, &new)?;
    let (swapped, value, why_not) = match done.result {
        Swap::Swapped => (true, Some(new), String::new()),
        Swap::Kept(None) => (false, None, format!("{key} was not swapped: it is not set")),
        Swap::Kept(Some(now)) => {
            let why = format!("{key} was not swapped: it is {now}");
            (false, Some(now), why)
        }
    };
    let members = vec![("key", key.into()), ("swapped", swapped.into()), ("value", value.into())];
    if swapped || options.json {
        tell(options, "ok", members, done.entry)?;
    }
    if swapped { Ok(()) } else { Err(Failure::Running(why_not)) }
}

/// `get K`: the value alone, for scripts.
pub fn get(options: &Options) -> Result<(), Failure> {
    let key = key(options)?;
    if options.local {
        return get_local(options, &key);
    }
    let value = client(options)?.get(&key)?;
    if options.json {
        print_json(Json::object([
            ("key", key.as_str().into()),
            ("value", value.clone().into()),
            ("found", value.is_some().into()),
        ]))?;
    }
    show_value(options, &key, value.as_deref())
}

/// `get K --local`: from the first node that answers. Which one that is goes to stderr, so that
/// the value stands alone here, too.
fn get_local(options: &Options, key: &str) -> Result<(), Failure> {
    let path = format!("/api/get/{}?local=true", percent_encoded(key));
    let mut troubles = Vec::new();
    for (id, address) in options.registry()?.nodes {
        let timeout = options.timeout_or(Duration::from_secs(2));
        match node::ask(&address, "GET", &path, None, timeout) {
            Err(why) => troubles.push(format!("{id}: {why}")),
            Ok(answer) => {
                let applied = answer.get("last_applied").and_then(Json::as_u64).unwrap_or_default();
                if options.json {
                    print_json(node::with_members(answer.clone(), [("node", id.0.into())]))?;
                } else {
                    eprintln!("raftlet: {id} says so, which has applied up to {applied}");
                }
                return show_value(options, key, answer.get("value").and_then(Json::as_str));
            }
        }
    }
    Err(Failure::Running(troubles.join("; ")))
}

fn show_value(options: &Options, key: &str, value: Option<&str>) -> Result<(), Failure> {
    match value {
        Some(_) if options.json => Ok(()),
        Some(value) => print(&format!("{value}\n")),
        None => Err(Failure::Running(format!("{key} is not set"))),
    }
}

/// What became of a write, and the entry that holds it.
fn tell(
    options: &Options,
    line: &str,
    mut members: Vec<(&'static str, Json)>,
    entry: EntryId,
) -> Result<(), Failure> {
    if options.json {
        members.extend([("index", entry.index.into()), ("term", entry.term.into())]);
        return print_json(Json::object(members));
    }
    print(&format!("{line} (entry {entry})\n"))
}

/// A client of the cluster that the options name.
pub fn client(options: &Options) -> Result<Client, Failure> {
    let addresses = options.registry()?.nodes.into_values().collect();
    let on_trouble = |why: &str| eprintln!("raftlet: {why}; trying again");
    Ok(Client::new(addresses, options.timeout_or(TIMEOUT), on_trouble))
}

fn key(options: &Options) -> Result<String, Failure> {
    match options.word(0).unwrap_or_default() {
        "" => Err(Failure::Usage("the key is empty: give it a name".to_string())),
        key => Ok(key.to_string()),
    }
}

/// The word of this number, or what stdin holds if that is `-`.
fn value(options: &Options, number: usize) -> Result<String, Failure> {
    match options.word(number).unwrap_or_default() {
        "-" => from_stdin(io::stdin().lock()),
        value => Ok(value.to_string()),
    }
}

/// All of a text, without the newline at its end.
fn from_stdin(stdin: impl Read) -> Result<String, Failure> {
    let failed = |why: String| Failure::Running(format!("cannot read the value from stdin: {why}"));
    let mut bytes = Vec::new();
    let most = MAX_VALUE_BYTES as u64 + 2; // with the newline
    stdin.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    let mut text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_string()))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    match text.len() {
        length if length > MAX_VALUE_BYTES => {
            Err(failed(format!("it has more than {MAX_VALUE_BYTES} bytes")))
        }
        _ => Ok(text),
    }
}

/// A key as a part of a path (RFC 3986 §2.1).
fn percent_encoded(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoded_leaves_only_what_is_plain() {
        assert_eq!(percent_encoded("aZ0-_~"), "aZ0-_~");
        assert_eq!(percent_encoded("a b/é?.."), "a%20b%2F%C3%A9%3F%2E%2E");
    }

    #[test]
    fn from_stdin_cuts_one_newline_and_refuses_what_is_no_value() {
        for (text, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", "")]
        {
            assert_eq!(from_stdin(text.as_bytes()), Ok(value.to_string()), "{text:?}");
        }
        let longest = "v".repeat(MAX_VALUE_BYTES);
        assert_eq!(from_stdin(format!("{longest}\r\n").as_bytes()), Ok(longest.clone()));
        for bad in [&b"\xff"[..], format!("{longest}v").as_bytes()] {
            assert!(matches!(from_stdin(bad), Err(Failure::Running(_))));
        }
    }
}
