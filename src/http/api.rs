//! What a node answers over HTTP: the smallest client's three questions.
//!
//! - `GET /health`: is it alive?
//! - `GET /status`: how is it? Its role, term, log, and what it knows of its peers.
//! - `POST /client_command` `{"command":"set x=42"}`: do this, once a majority has it.
//!
//! Bodies are JSON both ways. A client may add `"client"` and `"serial"` to a command: then it is
//! done once, however often it is sent (§8). Only the leader serves clients; any other node sends
//! them on to it with 307, or says 503 if it knows of none.

use std::net::TcpStream;
use std::time::Duration;

use super::server::Deadlines;
use super::{Request, Response};
use crate::inbox::{Answer, Ask, Desk, Leader, Peer, Status};
use crate::json::Json;
use crate::kv;
use crate::machine::Reply;
use crate::message::{Command, Entry};

/// How long a client waits for the cluster before it is told that nobody knows.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of each command a status shows.
const MAX_STATUS_CHARS: usize = 200;

/// Serves one connection until it ends.
pub fn serve(stream: TcpStream, desk: &Desk) {
    // A connection that breaks is the client's affair.
    let _ = super::server::serve(stream, &Deadlines::default(), &|request| answer(request, desk));
}

fn answer(request: &Request, desk: &Desk) -> Response {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let (allowed, route): (&str, fn(&Request, &Desk) -> Response) = match segments[..] {
        ["health"] => ("GET", health),
        ["status"] => ("GET", status),
        ["client_command"] => ("POST", client_command),
        _ => {
            let known = "GET /health, GET /status, POST /client_command";
            return Response::error(404, &format!("no such path: {}; try {known}", request.path));
        }
    };
    if request.method != allowed {
        let why = format!("{} takes {allowed}, not {}", request.path, request.method);
        return Response::error(405, &why).with_header("Allow", allowed);
    }
    route(request, desk)
}

fn health(_: &Request, desk: &Desk) -> Response {
    with_status(desk, |status| {
        Json::object([
            ("status", "ok".into()),
            ("id", status.id.0.into()),
            ("role", status.role.lower().into()),
            ("current_term", status.current_term.into()),
            ("leader", status.leader.as_ref().map(|leader| leader.id.0).into()),
        ])
    })
}

fn status(_: &Request, desk: &Desk) -> Response {
    with_status(desk, status_to_json)
}

fn with_status(desk: &Desk, to_json: impl Fn(&Status) -> Json) -> Response {
    match desk.ask(Ask::Status, PATIENCE) {
        Some(Answer::Status(status)) => Response::json(200, to_json(&status).to_string()),
        _ => Response::error(503, "the node is busy or stopping; try again"),
    }
}

fn status_to_json(status: &Status) -> Json {
    let leader = status.leader.as_ref();
    Json::object([
        ("id", status.id.0.into()),
        ("role", status.role.lower().into()),
        ("current_term", status.current_term.into()),
        ("voted_for", status.voted_for.map(|id| id.0).into()),
        ("leader", leader.map(|leader| leader.id.0).into()),
        ("leader_address", leader.map(|leader| leader.address.as_str()).into()),
        ("commit_index", status.commit_index.into()),
        ("last_applied", status.last_applied.into()),
        ("last_log_index", status.last_log.index.into()),
        ("last_log_term", status.last_log.term.into()),
        ("log", Json::Array(status.log.iter().map(entry_to_json).collect())),
        ("peers", Json::Array(status.peers.iter().map(peer_to_json).collect())),
    ])
}

fn entry_to_json(entry: &Entry) -> Json {
    Json::object([
        ("index", entry.index.into()),
        ("term", entry.term.into()),
        ("command", beginning(entry.command.split().1).into()),
    ])
}

/// What a status shows of a command: all of it, unless it is very long.
fn beginning(command: &str) -> String {
    match command.char_indices().nth(MAX_STATUS_CHARS) {
        None => command.to_string(),
        Some((end, _)) => format!("{}…", &command[..end]),
    }
}

fn peer_to_json(peer: &Peer) -> Json {
    let mut members = vec![
        ("id", peer.id.0.into()),
        ("address", peer.address.as_str().into()),
        ("reachable", peer.reachable.into()),
    ];
    if let Some((next_index, match_index)) = peer.progress {
        members.push(("next_index", next_index.into()));
        members.push(("match_index", match_index.into()));
    }
    Json::object(members)
}

fn client_command(request: &Request, desk: &Desk) -> Response {
    let command = match read_command(&request.body) {
        Ok(command) => command,
        Err(why) => return Response::error(400, &why),
    };
    let is_write = !matches!(command.split().1.parse(), Ok(kv::Request::Get { .. }));
    match desk.ask(Ask::Command(command), PATIENCE) {
        Some(Answer::Applied(entry, reply)) => result(
            200,
            [
                ("index", entry.index.into()),
                ("term", entry.term.into()),
                ("result", reply.to_string().into()),
            ],
        ),
        Some(Answer::Read(_, Reply::Error(why))) => Response::error(400, &why),
        Some(Answer::Read(index, reply)) => {
            let value = (reply != Reply::NotFound).then(|| reply.to_string());
            result(200, [("index", index.into()), ("term", Json::Null), ("result", value.into())])
        }
        Some(Answer::Paused) => Response::error(503, "this node is paused"),
        Some(Answer::NotLeader(leader)) => elsewhere(leader, &request.path),
        Some(Answer::Busy) => {
            Response::error(503, "too many requests wait for a majority: try again later")
        }
        Some(Answer::TooLong) => Response::error(
            413,
            "the command fits no datagram (59,000 bytes): shorten it, or start all nodes with TCP",
        ),
        Some(Answer::Replaced) => result(
            503,
            [
                ("error", "another leader took over; the command was not done: try again".into()),
                ("outcome", "not done".into()),
            ],
        ),
        _ if is_write => result(
            504,
            [
                ("error", "no majority answered in time; the command may still be done".into()),
                ("outcome", "unknown".into()),
            ],
        ),
        _ => Response::error(504, "no majority answered in time: try again"),
    }
}

fn result<const N: usize>(status: u16, members: [(&'static str, Json); N]) -> Response {
    Response::json(status, Json::object(members).to_string())
}

/// What a body asks; or what is wrong with it.
fn read_command(body: &[u8]) -> Result<Command, String> {
    let example = r#"send {"command":"set x=42"}"#;
    let json = Json::parse(body).map_err(|error| format!("not JSON: {error}; {example}"))?;
    let text = json.get("command").and_then(Json::as_str);
    let text = text.ok_or_else(|| format!("there is no \"command\"; {example}"))?;
    let command = match (json.get("client"), json.get("serial")) {
        (None, None) => match Command::new(text) {
            command if command.split().0.is_none() => command,
            _ => return Err("a session is given as \"client\" and \"serial\"".to_string()),
        },
        (client, serial) => {
            let client = client.and_then(Json::as_str).filter(|name| is_client_name(name));
            let (Some(client), Some(serial)) = (client, serial.and_then(Json::as_u64)) else {
                let needs = "1 to 64 letters, digits, - or _";
                return Err(format!("\"client\" ({needs}) and \"serial\" (a number) go together"));
            };
            Command::in_session(client, serial, text)
        }
    };
    match command.split().1.trim() {
        "" => Err(format!("empty command; {example}")),
        _ => Ok(command),
    }
}

fn is_client_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// Only the leader serves clients: there it is, or there is none.
fn elsewhere(leader: Option<Leader>, path: &str) -> Response {
    match leader {
        Some(Leader { id, address }) => {
            let location = format!("http://{address}{path}");
            let members = [
                ("error", format!("this node does not lead; {id} does, at {address}").into()),
                ("leader", id.0.into()),
                ("leader_address", address.into()),
            ];
            result(307, members).with_header("Location", &location)
        }
        None => Response::error(
            503,
            "no leader is known now: try again in a moment, or start a majority",
        )
        .with_header("Retry-After", "1"),
    }
}
