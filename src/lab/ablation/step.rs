//! One command of a run that may still change: be left out, moved, or given to other servers.
//!
//! A script names a message by its place on its link or by its number. Both change when a command
//! before it is left out. So here a message is known by what it says, and becomes a line of script
//! only in the world in which it is in flight.

use std::collections::BTreeMap;

use crate::lab::network::Number;
use crate::lab::script::Lab;
use crate::node::message::{Message, NodeId, Rpc};

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A line about a server: the verb, the server, and what else it says.
    Server(&'static str, NodeId, String),
    /// A line about a message in flight: `deliver` or `duplicate`.
    Message(&'static str, Message),
}

/// New names for servers.
pub type Names = BTreeMap<NodeId, NodeId>;

impl Step {
    /// The command as a line of script, in this world; none if no such message is in flight, or
    /// the server is not up (to be restarted: not down). A command that fails is not tried, since
    /// every command first lets the disks finish.
    pub fn line(&self, lab: &Lab) -> Option<String> {
        match self {
            Step::Server(verb, id, rest) => {
                let is_up = lab.world.node(*id).is_some();
                let line = || format!("{verb} {id} {rest}").trim_end().to_string();
                (is_up == (*verb != "restart")).then(line)
            }
            Step::Message(verb, message) => {
                let (number, is_oldest) = find(lab, message)?;
                Some(match is_oldest {
                    true => format!("{verb} {}->{}", message.from, message.to),
                    false => format!("{verb} {number}"),
                })
            }
        }
    }

    /// The servers that it is about.
    pub fn servers(&self) -> Vec<NodeId> {
        match self {
            Step::Server(_, id, _) => vec![*id],
            Step::Message(_, message) => vec![message.from, message.to],
        }
    }

    /// The same with other servers.
    pub fn renamed(&self, names: &Names) -> Step {
        let name = |id: NodeId| names.get(&id).copied().unwrap_or(id);
        match self {
            Step::Server(verb, id, rest) => Step::Server(verb, name(*id), rest.clone()),
            Step::Message(verb, Message { from, to, rpc }) => {
                let mut rpc = rpc.clone();
                match &mut rpc {
                    Rpc::RequestVote(rpc) => rpc.candidate_id = name(rpc.candidate_id),
                    Rpc::AppendEntries(rpc) => rpc.leader_id = name(rpc.leader_id),
                    Rpc::InstallSnapshot(rpc) => rpc.leader_id = name(rpc.leader_id),
                    Rpc::RequestVoteReply(_)
                    | Rpc::AppendEntriesReply(_)
                    | Rpc::InstallSnapshotReply(_) => {}
                }
                Step::Message(verb, Message { from: name(*from), to: name(*to), rpc })
            }
        }
    }
}

/// The number of the message in flight that says this, or else of the newest of its kind on its
/// link; and whether it is the oldest there.
fn find(lab: &Lab, wanted: &Message) -> Option<(Number, bool)> {
    let link = lab.world.network.on_link(wanted.from, wanted.to);
    let same = link.iter().position(|(_, message)| *message == wanted);
    let like = || link.iter().rposition(|(_, message)| message.rpc.name() == wanted.rpc.name());
    let place = same.or_else(like)?;
    Some((link[place].0, place == 0))
}

/// Plays a run until a property falls, passing over what cannot be done. The world as it is then,
/// and the commands that were done.
pub fn play(start: &Lab, steps: &[Step]) -> (Lab, Vec<Step>) {
    let mut lab = start.clone();
    let mut done = Vec::new();
    for step in steps {
        if lab.world.broken().is_some() {
            break;
        }
        if step.line(&lab).is_some_and(|line| lab.command(&line).is_ok()) {
            done.push(step.clone());
        }
    }
    (lab, done)
}

/// A run as lines of script; what cannot be done is a comment.
pub fn lines(start: &Lab, steps: &[Step]) -> Vec<String> {
    let mut lab = start.clone();
    let line = |step: &Step| match step.line(&lab) {
        Some(line) => match lab.command(&line) {
            Ok(_) => line,
            Err(why) => format!("# {line}: {why}"),
        },
        None => match step {
            Step::Message(verb, Message { from, to, rpc }) => {
                format!("# {verb} {from}->{to}: no such {} is in flight", rpc.name())
            }
            Step::Server(verb @ "restart", id, _) => format!("# {verb} {id}: it is up"),
            Step::Server(verb, id, _) => format!("# {verb} {id}: it is down"),
        },
    };
    steps.iter().map(line).collect()
}
