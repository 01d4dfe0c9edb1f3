//! How the node is, and what it holds. A node that plays dead still answers these.

use std::fs::File;
use std::io::{self, Read, Take};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TryRecvError};
use std::thread;

use super::call::{Answered, Call};
use super::members::json;
use super::refusal::{bad, later};
use crate::http::request::Request;
use crate::http::response::{Piece, Response};
use crate::json::Json;
use crate::node::message::Entry;
use crate::server::inbox::{Answer, ClientRequest};
use crate::server::status::entry_to_json;

/// How many entries of the log are shown at once, unless a client says how many; and the most.
const LOG_LIMIT: u64 = 100;
const MAX_LOG_LIMIT: u64 = 1000;

/// About how many bytes of commands are shown at once. One entry is shown in any case.
const LOG_BYTES: usize = 4 * 1024 * 1024;

/// How many bytes of a long answer are sent at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How many pieces of a file wait for the client.
const PIECES_AHEAD: usize = 16;

/// Is it alive?
pub fn health(call: &Call) -> Answered {
    Ok(call.ask_status(|answer| {
        let Answer::Status(status) = answer else { return Err(answer) };
        let state = status.state;
        let health = match (state.paused, state.stalled_ms) {
            (true, _) => "paused",
            (false, 0) => "ok",
            _ => "stalled",
        };
        Ok(json(
            200,
            [
                ("status", health.into()),
                ("id", state.id.0.into()),
                ("role", state.role.lower().into()),
                ("current_term", state.current_term.into()),
                ("leader", state.leader.as_ref().map(|leader| leader.id.0).into()),
            ],
        ))
    }))
}

/// How is it? Its role, term and log, and what it knows of its peers.
pub fn status(call: &Call) -> Answered {
    Ok(call.ask_status(|answer| match answer {
        Answer::Status(status) => Ok(Response::json(200, status.to_json().text())),
        other => Err(other),
    }))
}

/// All that the log has made of the state machine so far.
pub fn state_machine(call: &Call) -> Answered {
    Ok(call.ask(ClientRequest::StateMachine, |answer| match answer {
        Answer::StateMachine(last_applied, state) => {
            let end = format!(r#","last_applied":{last_applied}}}"#);
            let begin = r#"{"state_machine":"#;
            let length = begin.len() + state.len() + end.len();
            // Not one text for each client: the state may be large.
            let (mut parts, mut at) = ([begin.into(), state, end.into()].into_iter(), 0);
            let mut part: Arc<str> = Arc::default();
            let pieces = move || {
                if at == part.len() {
                    let Some(next) = parts.next() else { return Ok(Piece::End) };
                    (part, at) = (next, 0);
                }
                let to = part.len().min(at + PIECE_BYTES);
                let piece = part.as_bytes()[at..to].to_vec();
                at = to;
                Ok(Piece::Bytes(piece))
            };
            let length = Some(length as u64);
            Ok(Response::stream("application/json", length, Box::new(pieces)))
        }
        other => Err(other),
    }))
}

/// `/log?from=1&limit=100`: a part of the log.
pub fn log(call: &Call) -> Answered {
    let from = parameter(call.request, "from", 1, u64::MAX)?;
    let limit = parameter(call.request, "limit", LOG_LIMIT, MAX_LOG_LIMIT)?;
    Ok(call.ask(ClientRequest::Log(from, limit as usize), |answer| match answer {
        Answer::Log { entries, commit_index, last_log_index, snapshot_index } => Ok(json(
            200,
            [
                ("log", log_to_json(&entries)),
                ("commit_index", commit_index.into()),
                ("last_log_index", last_log_index.into()),
                ("snapshot_index", snapshot_index.into()),
            ],
        )),
        other => Err(other),
    }))
}

fn parameter(request: &Request, name: &str, default: u64, most: u64) -> Result<u64, Response> {
    let Some(text) = request.parameter(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| {
        bad(&format!("\"{name}\" must be a number from 1 to {most}; ask for /log?from=1&limit=100"))
    })
}

/// As many of the entries as make a bearable answer; a client asks for the rest from there on.
fn log_to_json(entries: &[Entry]) -> Json {
    let mut bytes = 0;
    let shown = entries.iter().take_while(|entry| {
        let is_first = bytes == 0;
        bytes += entry.command.as_str().len();
        is_first || bytes <= LOG_BYTES
    });
    shown.map(|entry| entry_to_json(entry, entry.command.split().1)).collect::<Vec<_>>().into()
}

/// The file that holds the log, as long as it is now.
pub fn log_file(call: &Call) -> Answered {
    Ok(call.ask(ClientRequest::LogFile, |answer| match answer {
        Answer::LogFile(Ok(file), length) => Ok(stream_file(file, length)),
        Answer::LogFile(Err(why), _) => Ok(Response::error(500, &why)),
        other => Err(other),
    }))
}

/// A thread reads the file, for the disk may be slow.
fn stream_file(file: File, length: u64) -> Response {
    let (sender, pieces) = mpsc::sync_channel(PIECES_AHEAD);
    let thread = thread::Builder::new().name("log file".to_string());
    if thread.spawn(move || read_file(file.take(length), &sender)).is_err() {
        return later("the node has no thread to read the file: try again");
    }
    let next = move || match pieces.try_recv() {
        Ok(piece) => piece.map(Piece::Bytes),
        Err(TryRecvError::Empty) => Ok(Piece::NotYet),
        Err(TryRecvError::Disconnected) => Ok(Piece::End),
    };
    Response::stream("text/plain; charset=utf-8", Some(length), Box::new(next))
}

/// Sends a file piece by piece, until its end, an error, or until the client has gone.
fn read_file(mut file: Take<File>, pieces: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; PIECE_BYTES.min(file.limit() as usize)];
        let sent = match file.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => {
                piece.truncate(count);
                pieces.send(Ok(piece))
            }
            Err(error) => pieces.send(Err(error)),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The node's counters, for Prometheus.
pub fn metrics(call: &Call) -> Answered {
    Ok(call.ask(ClientRequest::Metrics, |answer| match answer {
        Answer::Text(text) => {
            Ok(Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text))
        }
        other => Err(other),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::Command;

    #[test]
    fn log_to_json_is_of_a_bearable_size() {
        let entry = |index, bytes| {
            let command = Command::in_session("c", index, &"x".repeat(bytes));
            Entry { index, term: 1, command }
        };
        let shown = |entries: &[Entry]| log_to_json(entries).as_array().map(<[Json]>::len);
        assert_eq!(shown(&[entry(1, LOG_BYTES + 1), entry(2, 1)]), Some(1));
        assert_eq!(shown(&[entry(1, 1), entry(2, LOG_BYTES), entry(3, 1)]), Some(1));
        assert_eq!(shown(&[entry(1, 1), entry(2, 1), entry(3, LOG_BYTES)]), Some(2));
        let small = log_to_json(&[entry(7, 2)]).to_string();
        assert_eq!(small, r#"[{"index":7,"term":1,"command":"xx"}]"#);
    }

    #[test]
    fn parameter_has_a_default_and_limits() {
        let read = |target: &str| {
            let request = Request::new("GET", target).unwrap();
            parameter(&request, "limit", 100, 1000).map_err(|refusal| refusal.status)
        };
        assert_eq!(read("/log"), Ok(100));
        assert_eq!(read("/log?limit=1000"), Ok(1000));
        for target in ["/log?limit=0", "/log?limit=1001", "/log?limit=", "/log?limit=-1"] {
            assert_eq!(read(target), Err(400), "{target}");
        }
    }
}
