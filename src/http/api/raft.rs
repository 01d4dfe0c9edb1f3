//! Raft by hand: a student votes with `curl`, calls an election, has heartbeats sent.

use super::body::Body;
use super::refusal::refusal;
use super::{Call, Outcome, json};
use crate::http::Response;
use crate::server::inbox::{Answer, Ask};
use crate::server::status::State;
use crate::transport;

/// RequestVote with Figure 2's fields, in the name of the candidate.
pub fn request_vote(call: &Call) -> Outcome {
    let example = r#"{"term":4,"candidate_id":2,"last_log_index":8,"last_log_term":3}"#;
    take_rpc(call, "RequestVote", example)
}

/// AppendEntries with Figure 2's fields, in the name of the leader.
pub fn append_entries(call: &Call) -> Outcome {
    let example = concat!(
        r#"{"term":4,"leader_id":2,"prev_log_index":8,"prev_log_term":3,"#,
        r#""entries":[{"term":4,"command":"set x=42"}],"leader_commit":8}"#
    );
    take_rpc(call, "AppendEntries", example)
}

fn take_rpc(call: &Call, kind: &str, example: &'static str) -> Outcome {
    let body = Body::read(call.request, example)?;
    let rpc = transport::read_rpc(kind, &body.json).map_err(|why| body.bad(&why))?;
    match call.ask(Ask::Rpc(rpc)) {
        Some(Answer::Rpc(reply)) => Ok(Response::json(200, transport::reply_fields(&reply))),
        other => Err(refusal(call.request.path, other)),
    }
}

/// An election, now. The leader has nothing to gain from one.
pub fn start_election(call: &Call) -> Outcome {
    match call.ask(Ask::StartElection) {
        Some(Answer::State(state)) => Ok(role(&state)),
        Some(Answer::Refused(why)) => Err(Response::error(409, &why)),
        other => Err(refusal(call.request.path, other)),
    }
}

/// Heartbeats, now, from the leader.
pub fn send_heartbeats(call: &Call) -> Outcome {
    match call.ask(Ask::SendHeartbeats) {
        Some(Answer::State(state)) => Ok(role(&state)),
        other => Err(refusal(call.request.path, other)),
    }
}

fn role(state: &State) -> Response {
    json(
        200,
        [
            ("id", state.id.0.into()),
            ("role", state.role.lower().into()),
            ("current_term", state.current_term.into()),
        ],
    )
}
