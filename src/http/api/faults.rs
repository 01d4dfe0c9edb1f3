//! What a student does to a running cluster to see what it does: play dead, cut a link, lose
//! messages, delay them.

use super::body::Body;
use super::call::{Answered, Call};
use super::members::json;
use crate::http::response::Response;
use crate::json::{Json, Value};
use crate::node::message::NodeId;
use crate::server::inbox::{Answer, ClientRequest};
use crate::server::status::link_members;
use crate::transport::peer::{Link, MAX_DELAY_MS};

/// `{"paused":true}`: the node hears nothing, says nothing, and its timers stand still.
pub fn pause(call: &Call) -> Answered {
    check_permission(call)?;
    let body = Body::read(call.request, r#"{"paused":true}"#)?;
    let paused = body.json.get("paused").and_then(Value::as_bool);
    let paused = paused.ok_or_else(|| body.bad("\"paused\" must be true or false"))?;
    Ok(call.ask(ClientRequest::Pause(paused), |answer| match answer {
        Answer::State(state) => {
            Ok(json(200, [("id", state.id.0.into()), ("paused", state.paused.into())]))
        }
        other => Err(other),
    }))
}

/// How the links are that lead from this node to its peers.
pub fn links(call: &Call) -> Answered {
    answer_links(call, ClientRequest::Links)
}

/// `{"peer":2,"blocked":true,"drop":30,"delay_ms":200}`: what is left out is well.
pub fn set_link(call: &Call) -> Answered {
    check_permission(call)?;
    let example = r#"{"peer":2,"blocked":true,"drop":30,"delay_ms":200}"#;
    let body = Body::read(call.request, example)?;
    let peer = body.json.get("peer").and_then(Value::as_u64);
    let peer = peer.ok_or_else(|| body.bad("\"peer\" must be the number of a node"))?;
    let blocked = body.json.get("blocked").map_or(Some(false), Value::as_bool);
    let link = Link {
        blocked: blocked.ok_or_else(|| body.bad("\"blocked\" must be true or false"))?,
        drop_percent: body.up_to("drop", 100)? as u8,
        delay_ms: body.up_to("delay_ms", MAX_DELAY_MS)?,
    };
    answer_links(call, ClientRequest::SetLink(NodeId(peer), link))
}

fn answer_links(call: &Call, request: ClientRequest) -> Answered {
    Ok(call.ask(request, |answer| match answer {
        Answer::Links(id, links) => {
            let links: Vec<Json> = links.into_iter().map(link_to_json).collect();
            Ok(json(200, [("id", id.0.into()), ("links", links.into())]))
        }
        other => Err(other),
    }))
}

fn link_to_json((peer, link): (NodeId, Link)) -> Json {
    Json::object([("peer", peer.0.into())].into_iter().chain(link_members(link)))
}

/// Refuses other machines. A user of the node's own machine could stop it in any case.
fn check_permission(call: &Call) -> Result<(), Response> {
    if call.is_from_here || call.api.faults_from_anywhere {
        return Ok(());
    }
    Err(Response::error(
        403,
        "faults are made only from the node's own machine, unless its cluster.toml says \
         [http] faults_from = \"anywhere\", or its environment FAULTS_FROM=anywhere",
    ))
}
