//! The verbs that cut and mend what lies between nodes: `cut`, `heal`.
//!
//! A link goes one way, and is the sender's: to be all alone, a node must send nothing and be sent
//! nothing, so the others are told as well.

use super::failure::Failure;
use super::options::Options;
use super::stdout::{print, print_json};
use super::{ask, node};
use crate::json::Json;
use crate::node::message::NodeId;

/// `cut A [B]`.
pub fn cut(options: &Options) -> Result<(), Failure> {
    let told = match nodes(options)? {
        (Some(a), Some(b)) => format!("nothing goes from {a} to {b} any more"),
        (Some(a), None) => format!("{a} is all alone: nothing goes to it or comes from it"),
        (None, _) => unreachable!("the words were counted"),
    };
    change(options, true, &told)
}

/// `heal [A [B]]`.
pub fn heal(options: &Options) -> Result<(), Failure> {
    let told = match nodes(options)? {
        (Some(a), Some(b)) => format!("{a} sends to {b} again"),
        (Some(a), None) => format!("all links from and to {a} are whole"),
        (None, _) => "all links are whole".to_string(),
    };
    change(options, false, &told)
}

/// The nodes that the words name.
fn nodes(options: &Options) -> Result<(Option<NodeId>, Option<NodeId>), Failure> {
    let nodes = (options.node(0)?, options.node(1)?);
    for id in [nodes.0, nodes.1].into_iter().flatten() {
        options.registry_with(id)?;
    }
    match nodes {
        (Some(a), Some(b)) if a == b => {
            Err(Failure::Usage(format!("there is no link from {a} to itself")))
        }
        _ => Ok(nodes),
    }
}

/// Do the words name the link from one node to another?
fn is_meant(named: (Option<NodeId>, Option<NodeId>), from: NodeId, to: NodeId) -> bool {
    match named {
        (Some(a), Some(b)) => (from, to) == (a, b),
        (Some(a), None) => from != to && (from == a || to == a),
        (None, _) => from != to,
    }
}

/// Blocks or frees all links that are meant. A node that cannot be told is named, and does not keep
/// the others from it.
fn change(options: &Options, blocked: bool, told: &str) -> Result<(), Failure> {
    let named = nodes(options)?;
    let nodes = options.registry()?.nodes;
    let mut troubles = Vec::new();
    for (&from, address) in &nodes {
        let mut answer = Ok(Json::Null);
        for &to in nodes.keys().filter(|&&to| is_meant(named, from, to)) {
            let body = Json::object([("peer", to.0.into()), ("blocked", blocked.into())]);
            let timeout = options.timeout_or(ask::TIMEOUT);
            answer = node::ask(address, "POST", "/api/links", Some(&body), timeout);
            if answer.is_err() {
                break;
            }
        }
        match answer {
            Ok(Json::Null) => {}
            Ok(answer) if options.json => print_json(answer)?,
            Ok(_) => {}
            Err(why) => troubles.push(format!("{from} was not told: {why}")),
        }
    }
    match troubles.is_empty() {
        true if options.json => Ok(()),
        true => print(&format!("{told}\n")),
        false => Err(Failure::Running(troubles.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_meant_knows_one_way_from_both() {
        let [a, b, c] = [NodeId(1), NodeId(2), NodeId(3)];
        let meant = |named| {
            let pairs = [(a, a), (a, b), (b, a), (b, c), (c, a)];
            pairs.map(|(from, to)| is_meant(named, from, to))
        };
        assert_eq!(meant((Some(a), Some(b))), [false, true, false, false, false]);
        assert_eq!(meant((Some(a), None)), [false, true, true, false, true]);
        assert_eq!(meant((None, None)), [false, true, true, true, true]);
    }
}
