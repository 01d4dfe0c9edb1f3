//! Talking to one node, whoever leads; and `health`, which does no more than that.

use std::time::Duration;

use super::failure::Failure;
use super::options::Options;
use super::stdout::{print, print_json};
use crate::http::client;
use crate::json::{Json, Member};

/// How long `health` waits: a check that takes longer has found an answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// One request to one node: the status and the JSON of its answer.
///
/// # Errors
/// There is no answer; one line says why.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Json>,
    timeout: Duration,
) -> Result<(u16, Json), String> {
    let body = body.map(Json::to_string);
    let reply = client::request(method, address, path, body.as_deref(), timeout);
    let reply = reply.map_err(|error| error.to_string())?;
    Ok((reply.status, Json::parse(&reply.body).unwrap_or(Json::Null)))
}

/// The same, where all but a 200 is a failure.
///
/// # Errors
/// One line: there is no answer, or the node's own word on why not.
pub fn ask(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Json>,
    timeout: Duration,
) -> Result<Json, String> {
    match request(address, method, path, body, timeout)? {
        (200, json @ Json::Object(_)) => Ok(json),
        (status, json) => Err(why_not(address, status, &json)),
    }
}

/// What a node says about what it did not do.
pub fn why_not(address: &str, status: u16, json: &Json) -> String {
    let said = json.get("error").and_then(Json::as_str).map(str::to_string);
    said.unwrap_or_else(|| format!("{address} answered {status}, which no node would"))
}

/// An object with some more members at its end.
pub fn with_members<const N: usize>(object: Json, more: [(&'static str, Json); N]) -> Json {
    let Json::Object(mut members) = object else { return object };
    let more: [Member; N] = more.map(|(name, value)| (name.into(), value));
    members.extend(more);
    Json::Object(members)
}

/// `health [N]`: one line, and done only if the node is well.
pub fn health(options: &Options) -> Result<(), Failure> {
    let own = options.environment()?.map(|(id, _)| id);
    let config = options.registry()?;
    let id = options.node(0)?.or(own).or(config.nodes.keys().next().copied());
    let id = id.expect("a registry has a node");
    let config = options.registry_with(id)?;
    // Others know a container by a name, but inside it is enough to know what it binds.
    let address = match own == Some(id) {
        true => config.local_address(id),
        false => config.nodes.get(&id).cloned(),
    };
    let address = address.expect("the registry has this node");
    let timeout = options.timeout_or(HEALTH_TIMEOUT);
    let answer = ask(&address, "GET", "/health", None, timeout)
        .map_err(|why| Failure::Running(format!("{id}: {why}")))?;
    let text = |name| answer.get(name).and_then(Json::as_str).unwrap_or("?");
    let (health, role) = (text("status"), text("role"));
    let term = answer.get("current_term").and_then(Json::as_u64).unwrap_or_default();
    match options.json {
        true => print_json(answer.clone())?,
        false => print(&format!("{id} is {health}: {role} in term {term}\n"))?,
    }
    match health {
        "ok" => Ok(()),
        _ => Err(Failure::Running(format!("{id} is {health}"))),
    }
}
