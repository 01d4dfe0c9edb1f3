//! Raft by hand: a student votes with `curl`, calls an election, has heartbeats sent.

use super::body::Body;
use super::call::{Answered, Call};
use super::members::json;
use crate::http::response::Response;
use crate::server::inbox::{Answer, ClientRequest};
use crate::server::status::State;
use crate::transport;

/// RequestVote with Figure 2's fields, in the name of the candidate.
pub fn request_vote(call: &Call) -> Answered {
    let example = r#"{"term":4,"candidate_id":2,"last_log_index":8,"last_log_term":3}"#;
    take_rpc(call, "RequestVote", example)
}

/// AppendEntries with Figure 2's fields, in the name of the leader.
pub fn append_entries(call: &Call) -> Answered {
    let example = concat!(
        r#"{"term":4,"leader_id":2,"prev_log_index":8,"prev_log_term":3,"#,
        r#""entries":[{"term":4,"command":"set x=42"}],"leader_commit":8}"#
    );
    take_rpc(call, "AppendEntries", example)
}

fn take_rpc(call: &Call, kind: &str, example: &'static str) -> Answered {
    let body = Body::read(call.request, example)?;
    let rpc = transport::read_rpc(kind, &body.json).map_err(|why| body.bad(&why))?;
    Ok(call.ask(ClientRequest::Rpc(rpc), |answer| match answer {
        Answer::Rpc(reply) => Ok(Response::json(200, transport::reply_fields(&reply))),
        other => Err(other),
    }))
}

/// An election, now. The leader has nothing to gain from one.
pub fn start_election(call: &Call) -> Answered {
    Ok(call.ask(ClientRequest::StartElection, |answer| match answer {
        Answer::State(state) => Ok(role(&state)),
        Answer::Refused(why) => Ok(Response::error(409, &why)),
        other => Err(other),
    }))
}

/// Heartbeats, now, from the leader.
pub fn send_heartbeats(call: &Call) -> Answered {
    Ok(call.ask(ClientRequest::SendHeartbeats, |answer| match answer {
        Answer::State(state) => Ok(role(&state)),
        other => Err(other),
    }))
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
