//! How we say no: whose fault it is, what became of the request, and what to do now.

use super::members::json;
use crate::http::response::Response;
use crate::server::inbox::Answer;
use crate::server::status::Leader;

/// The request is wrong.
pub fn bad(why: &str) -> Response {
    Response::error(400, why)
}

/// Not now; soon perhaps.
pub fn later(why: &str) -> Response {
    retry_soon(Response::error(503, why))
}

fn retry_soon(response: Response) -> Response {
    response.with_header("Retry-After", "1")
}

/// What to say instead of what this path was asked for. `None` stands for a node that did not
/// answer.
pub fn refusal(path: &str, answer: Option<Answer>) -> Response {
    match answer {
        Some(Answer::NotLeader(leader)) => elsewhere(leader, path),
        Some(Answer::Paused) => later("this node is paused: wake it, or ask another"),
        Some(Answer::Busy) => later("too many requests wait for a majority: try again later"),
        Some(Answer::Replaced) => retry_soon(json(
            503,
            [
                ("error", "another leader took over; the command was not done: try again".into()),
                ("outcome", "not done".into()),
            ],
        )),
        Some(Answer::Unknown) => {
            nobody_knows("another leader's snapshot came; the command may have been done")
        }
        Some(Answer::TooLong) => Response::error(
            413,
            "as JSON it fits no datagram (59,000 bytes): shorten it, or start all nodes with TCP",
        ),
        Some(Answer::Refused(why)) => bad(&why),
        _ => later("the node is busy or stopping: try again"),
    }
}

/// Nobody can tell whether the command will be done.
pub fn unknown() -> Response {
    nobody_knows("no majority answered in time; the command may still be done")
}

fn nobody_knows(why: &str) -> Response {
    json(504, [("error", why.into()), ("outcome", "unknown".into())])
}

/// Only the leader serves clients: there it is, or there is none.
fn elsewhere(leader: Option<Leader>, path: &str) -> Response {
    let Some(Leader { id, address }) = leader else {
        return later("no leader is known now: try again in a moment, or start a majority");
    };
    let location = format!("http://{address}{path}");
    let error = format!("this node does not lead; {id} does, at {address}");
    let members =
        [("error", error.into()), ("leader", id.0.into()), ("leader_address", address.into())];
    json(307, members).with_header("Location", location)
}
