//! Commands and reads: what the cluster is for.
//!
//! Each becomes a command in text, as the log has it. A client may add `"client"` and `"serial"`:
//! then it is done once, however often it is sent (§8). Reads go the same way and are answered by
//! the leader once it knows that it still leads; `?local=true` is answered by any node from what
//! it has applied, which may be old.

use super::body::{Body, check_key};
use super::call::{Answered, Call};
use super::members::{Members, json};
use super::refusal::{bad, unknown};
use crate::http::response::Response;
use crate::json::Value;
use crate::node::message::{Command, EntryId, Index};
use crate::server::inbox::{Answer, ClientRequest};
use crate::state_machine::Reply;
use crate::state_machine::kv::Request;

/// `{"command":"set x=42"}`: any command in text.
pub fn client_command(call: &Call) -> Answered {
    let body = Body::read(call.request, r#"{"command":"set x=42"}"#)?;
    let command = body.command(body.text("command")?)?;
    if command.split().1.trim().is_empty() {
        return Err(body.bad("\"command\" is empty"));
    }
    let too_late = if is_read(&command) { no_answer_to_a_read } else { unknown };
    perform(call, command, too_late, |done| {
        let (index, term, result) = match done {
            Done::Read(_, Reply::Error(why)) => return bad(&why),
            Done::Read(index, Reply::NotFound) => (index, None, None),
            Done::Read(index, reply) => (index, None, Some(reply.to_string())),
            Done::Applied(entry, reply) => (entry.index, Some(entry.term), Some(reply.to_string())),
        };
        let members = [("index", index.into()), ("term", term.into()), ("result", result.into())];
        json(200, members)
    })
}

/// `{"key":"x","value":"42"}`.
pub fn set(call: &Call) -> Answered {
    let body = Body::read(call.request, r#"{"key":"x","value":"42"}"#)?;
    let (key, value) = (body.key()?, body.value("value")?);
    let answer = Members::new([("key", Value::borrowed(key)), ("value", Value::borrowed(&value))]);
    let request = Request::Set { key, value: &*value };
    apply(call, &body, &request, |entry, reply| match reply {
        Reply::Ok => applied(answer, entry),
        other => conflict(entry, other),
    })
}

/// `/api/get/x`, perhaps with `?local=true`.
pub fn get(call: &Call) -> Answered {
    let key = &*call.request.segments().last().unwrap_or_default();
    check_key(key).map_err(|why| bad(&format!("{why}; ask for /api/get/x")))?;
    let is_local = match call.request.parameter("local") {
        Some("true") => true,
        None | Some("false") => false,
        _ => return Err(bad("\"local\" must be true or false; ask for /api/get/x?local=true")),
    };
    let text = Request::Get { key }.text();
    let ask = if is_local {
        ClientRequest::Local(text)
    } else {
        ClientRequest::Query(Command::new(&text))
    };
    let answer = Members::new([("key", Value::borrowed(key))]);
    Ok(call.ask_or(no_answer_to_a_read, ask, move |told| {
        let (last_applied, value) = match told {
            Answer::Read(last_applied, Reply::Value(value)) => (last_applied, Some(value)),
            Answer::Read(last_applied, Reply::NotFound) => (last_applied, None),
            Answer::Read(_, reply) => return Ok(bad(&reply.to_string())),
            other => return Err(other),
        };
        let found = value.is_some().into();
        let answer =
            answer.and([("value", value.as_deref().map(Value::borrowed).into()), ("found", found)]);
        let answer = match is_local {
            true => answer.and([("local", true.into()), ("last_applied", last_applied.into())]),
            false => answer,
        };
        Ok(answer.answer(200))
    }))
}

/// `{"key":"x"}`.
pub fn delete(call: &Call) -> Answered {
    let body = Body::read(call.request, r#"{"key":"x"}"#)?;
    let key = body.key()?;
    let answer = Members::new([("key", Value::borrowed(key))]);
    let request = Request::Delete { key };
    apply(call, &body, &request, |entry, reply| {
        let found = match reply {
            Reply::Deleted => true,
            Reply::NotFound => false,
            other => return conflict(entry, other),
        };
        applied(answer.and([("found", found.into())]), entry)
    })
}

/// `{"key":"x","old":"1","new":"2"}`: if it is 1, make it 2.
pub fn compare_and_set(call: &Call) -> Answered {
    let body = Body::read(call.request, r#"{"key":"x","old":"1","new":"2"}"#)?;
    let (key, old, new) = (body.key()?, body.value("old")?, body.value("new")?);
    let answer = Members::new([("key", Value::borrowed(key))]);
    let request = Request::CompareAndSet { key, old: &*old, new: &*new };
    let new = new.to_string();
    apply(call, &body, &request, |entry, reply| {
        let (swapped, value) = match reply {
            Reply::Ok => (true, Some(new)),
            Reply::NotSwapped(value) => (false, value),
            other => return conflict(entry, other),
        };
        applied(answer.and([("swapped", swapped.into()), ("value", value.into())]), entry)
    })
}

/// `{"key":"n","by":5}`; by 1 if that is left out.
pub fn increment(call: &Call) -> Answered {
    let body = Body::read(call.request, r#"{"key":"n","by":1}"#)?;
    let (key, by) = (body.key()?, body.integer("by", 1)?);
    let answer = Members::new([("key", Value::borrowed(key))]);
    let request = Request::Increment { key, by };
    apply(call, &body, &request, |entry, reply| match reply {
        Reply::Number(value) => applied(answer.and([("value", value.into())]), entry),
        other => conflict(entry, other),
    })
}

/// A command that was done, or a read that was answered.
enum Done {
    Applied(EntryId, Reply),
    /// By a node that had applied the log so far.
    Read(Index, Reply),
}

/// Has the command done. `then` makes the answer of what came of it.
fn perform(
    call: &Call,
    command: Command,
    too_late: fn() -> Response,
    then: impl FnOnce(Done) -> Response + 'static,
) -> Answered {
    Ok(call.ask_or(too_late, ClientRequest::Command(command), move |answer| match answer {
        Answer::Applied(entry, reply) => Ok(then(Done::Applied(entry, reply))),
        Answer::Read(index, reply) => Ok(then(Done::Read(index, reply))),
        other => Err(other),
    }))
}

fn is_read(command: &Command) -> bool {
    matches!(Request::read(command.split().1), Ok(Request::Get { .. }))
}

/// Has the store do this, in the session that the body names. `then` makes the answer.
fn apply(
    call: &Call,
    body: &Body,
    request: &Request<&str>,
    then: impl FnOnce(EntryId, Reply) -> Response + 'static,
) -> Answered {
    let command = body.command(&request.text())?;
    perform(call, command, unknown, |done| match done {
        Done::Applied(entry, reply) => then(entry, reply),
        Done::Read(_, reply) => bad(&reply.to_string()), // another machine's idea of a read
    })
}

fn no_answer_to_a_read() -> Response {
    Response::error(504, "no majority answered in time: try again")
}

/// The answer, with the entry by which it was done.
fn applied(answer: Members, entry: EntryId) -> Response {
    answer.and([("index", entry.index.into()), ("term", entry.term.into())]).answer(200)
}

/// The command was committed, and the state machine did not do it.
fn conflict(entry: EntryId, reply: Reply) -> Response {
    let why = match reply {
        Reply::Error(why) => why,
        other => format!("this state machine answered {other:.200}"),
    };
    let members =
        [("error", why.into()), ("index", entry.index.into()), ("term", entry.term.into())];
    json(409, members)
}
