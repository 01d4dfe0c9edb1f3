//! The verbs that make something happen at one node: `elect`, `pause`, `resume`; and the heartbeat
//! of the menu.

use std::thread;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::options::Options;
use super::stdout::{print, print_json};
use super::{ask, node, show};
use crate::json::Json;
use crate::node::message::NodeId;

/// How long to wait before the nodes are asked again who leads.
const PAUSE: Duration = Duration::from_millis(100);

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

/// Has the leader send heartbeats now; waits for one if there is none.
pub fn heartbeat(options: &Options) -> Result<(), Failure> {
    let deadline = Instant::now() + options.timeout_or(ask::TIMEOUT);
    loop {
        let why = match show::leader(&show::look(options)?) {
            None => "no node that answers leads".to_string(),
            Some(leader) => {
                let address = address(options, leader)?;
                match post(options, &address, "/api/heartbeat", &Json::object([])) {
                    Ok(answer) => {
                        let line = format!("{leader} sends heartbeats of term ");
                        return tell(options, &line, answer);
                    }
                    Err(why) => format!("{leader}: {why}"),
                }
            }
        };
        if Instant::now() > deadline {
            return Err(Failure::NoAnswer(why));
        }
        thread::sleep(PAUSE);
    }
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
    Ok(options.registry_with(id)?.nodes[&id].clone())
}
