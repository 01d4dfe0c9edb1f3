//! The verbs that make something happen at one node: `elect`, `pause`, `resume`; and the heartbeat
//! of the menu.

use super::options::Options;
use super::{Failure, ask, node, print, print_json, show};
use crate::json::Json;
use crate::message::NodeId;

/// `elect [N]`: without N, at the first node that answers and does not lead.
pub fn elect(options: &Options) -> Result<(), Failure> {
    let nodes = match options.node(0)? {
        Some(id) => vec![(id, address(options, id)?)],
        None => options.registry()?.nodes.into_iter().collect(),
    };
    let mut troubles = Vec::new();
    for (id, address) in nodes {
        match post(options, &address, "/api/election", &Json::object([])) {
            Err(why) => troubles.push(format!("{id}: {why}")),
            Ok(answer) => {
                return tell(options, &format!("{id} stands for election in term "), answer);
            }
        }
    }
    Err(Failure::Running(troubles.join("; ")))
}

/// `pause N`.
pub fn pause(options: &Options) -> Result<(), Failure> {
    set_paused(options, true)
}

/// `resume N`.
pub fn resume(options: &Options) -> Result<(), Failure> {
    set_paused(options, false)
}

fn set_paused(options: &Options, paused: bool) -> Result<(), Failure> {
    let id = options.node(0)?.expect("the words were counted");
    let address = address(options, id)?;
    let body = Json::object([("paused", paused.into())]);
    let answer = post(options, &address, "/api/pause", &body)
        .map_err(|why| Failure::Running(format!("{id}: {why}")))?;
    let line = match paused {
        _ if options.json => return print_json(answer),
        true => format!("{id} plays dead; raftlet resume {} wakes it\n", id.0),
        false => format!("{id} is awake\n"),
    };
    print(&line)
}

/// Has the leader send heartbeats now.
pub fn heartbeat(options: &Options) -> Result<(), Failure> {
    let Some(leader) = show::leader(&show::look(options)?) else {
        return Err(Failure::NoAnswer("no node that answers leads".to_string()));
    };
    let address = address(options, leader)?;
    let answer = post(options, &address, "/api/heartbeat", &Json::object([]))
        .map_err(|why| Failure::Running(format!("{leader}: {why}")))?;
    tell(options, &format!("{leader} sends heartbeats of term "), answer)
}

/// The line, which ends with the term; or all that the node answered.
fn tell(options: &Options, line: &str, answer: Json) -> Result<(), Failure> {
    if options.json {
        return print_json(answer);
    }
    let term = answer.get("current_term").and_then(Json::as_u64).unwrap_or_default();
    print(&format!("{line}{term}\n"))
}

fn post(options: &Options, address: &str, path: &str, body: &Json) -> Result<Json, String> {
    node::ask(address, "POST", path, Some(body), options.timeout_or(ask::TIMEOUT))
}

fn address(options: &Options, id: NodeId) -> Result<String, Failure> {
    Ok(options.registry_with(id)?.nodes.remove(&id).expect("it has this node"))
}
