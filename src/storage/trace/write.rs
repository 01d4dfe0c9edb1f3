//! Records into text: one JSON object a line.
//!
//! `{"time":15,"node":2,"step":"Timeout","currentTerm":1,"state":"Candidate","votedFor":2,…}`.
//! Variables and message fields are named as in `raft.tla`; there `Nil` is `null` here. What the
//! specification does not have (time, events, rounds) is named in the same style.

use super::record::{Cause, Moment, Record, State, Step};
use crate::json::Json;
use crate::node::event::RoleName;
use crate::node::message::{Entry, EntryId, Index, Message, NodeId, Rpc};

type Members = Vec<(&'static str, Json)>;

/// The line of a moment, without its end.
pub fn line(moment: &Moment) -> String {
    let members = match &moment.record {
        Record::Step(step) => of_step(step),
        Record::Crash(id, saves_lost) => vec![
            ("node", id.0.into()),
            ("step", "Crash".into()),
            ("unsavedLost", (*saves_lost).into()),
        ],
        Record::Drop(number, lost, why) => vec![
            ("step", "DropMessage".into()),
            ("message", message(Some(*number), lost)),
            ("why", (*why).into()),
        ],
        Record::Duplicate(original, copy, again) => vec![
            ("step", "DuplicateMessage".into()),
            ("original", (*original).into()),
            ("message", message(Some(*copy), again)),
        ],
        Record::Broken(what) => vec![("step", "Broken".into()), ("why", what.as_str().into())],
    };
    Json::object([("time", moment.time_ms.into())].into_iter().chain(members)).to_string()
}

fn of_step(step: &Step) -> Members {
    let mut members = vec![("node", step.id.0.into()), ("step", cause_name(&step.cause).into())];
    match &step.cause {
        Cause::Receive(number, received) => members.push(("message", message(*number, received))),
        Cause::ClientRequest(commands) => {
            let values = commands.iter().map(|command| command.as_str().into()).collect();
            members.push(("values", Json::Array(values)));
        }
        Cause::Read(reads) => members.push(("reads", (*reads).into())),
        Cause::TakeSnapshot(index) => members.push(("lastIncludedIndex", (*index).into())),
        Cause::Init | Cause::Restart | Cause::Timeout | Cause::Saved => {}
    }
    members.extend(variables(&step.state));
    let sent = step.sent.iter().map(|(number, sent)| message(*number, sent)).collect();
    members.push(("messages", Json::Array(sent)));
    members.push(("applied", entries(&step.applied)));
    let events = step.events.iter().map(|event| event.to_string().into()).collect();
    members.push(("events", Json::Array(events)));
    members
}

/// The name of a step: that of the action in the specification where it has one.
pub fn cause_name(cause: &Cause) -> &'static str {
    match cause {
        Cause::Init => "Init",
        Cause::Restart => "Restart",
        Cause::Timeout => "Timeout",
        Cause::Receive(..) => "Receive",
        Cause::ClientRequest(_) => "ClientRequest",
        Cause::Read(_) => "Read",
        Cause::Saved => "Saved",
        Cause::TakeSnapshot(_) => "TakeSnapshot",
    }
}

/// `Follower`, as the specification writes it.
pub fn role_name(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "Follower",
        RoleName::Candidate => "Candidate",
        RoleName::Leader => "Leader",
    }
}

fn variables(state: &State) -> Members {
    let mut members = vec![
        ("currentTerm", state.current_term.into()),
        ("state", role_name(state.role).into()),
        ("votedFor", state.voted_for.map(|id| id.0).into()),
        ("commitIndex", state.commit_index.into()),
        ("lastApplied", state.last_applied.into()),
    ];
    let EntryId { index, term } = state.snapshot;
    if index > 0 {
        members.extend([("snapshotIndex", index.into()), ("snapshotTerm", term.into())]);
    }
    if let Some((from, log)) = &state.log {
        members.extend([("logFrom", (*from).into()), ("log", entries(log))]);
    }
    match state.role {
        RoleName::Follower => {}
        RoleName::Candidate => {
            let votes = state.votes.iter().map(|id| id.0.into()).collect();
            members.push(("votesGranted", Json::Array(votes)));
        }
        RoleName::Leader => {
            let row = |column: fn(&(NodeId, Index, Index)) -> Index| {
                let cell =
                    |row: &(NodeId, Index, Index)| (row.0.0.to_string().into(), column(row).into());
                Json::Object(state.followers.iter().map(cell).collect())
            };
            members.extend([("nextIndex", row(|row| row.1)), ("matchIndex", row(|row| row.2))]);
        }
    }
    members
}

fn entries(entries: &[Entry]) -> Json {
    let entry = |entry: &Entry| {
        Json::object([
            ("index", entry.index.into()),
            ("term", entry.term.into()),
            ("value", entry.command.as_str().into()),
        ])
    };
    Json::Array(entries.iter().map(entry).collect())
}

fn message(number: Option<u64>, message: &Message) -> Json {
    let mut members = Members::new();
    members.extend(number.map(|number| ("number", number.into())));
    let kind = match &message.rpc {
        Rpc::RequestVote(_) => "RequestVoteRequest",
        Rpc::RequestVoteReply(_) => "RequestVoteResponse",
        Rpc::AppendEntries(_) => "AppendEntriesRequest",
        Rpc::AppendEntriesReply(_) => "AppendEntriesResponse",
        Rpc::InstallSnapshot(_) => "InstallSnapshotRequest",
        Rpc::InstallSnapshotReply(_) => "InstallSnapshotResponse",
    };
    members.extend([
        ("mtype", kind.into()),
        ("msource", message.from.0.into()),
        ("mdest", message.to.0.into()),
        ("mterm", message.rpc.term().into()),
    ]);
    members.extend(body(&message.rpc));
    Json::object(members)
}

fn body(rpc: &Rpc) -> Members {
    match rpc {
        Rpc::RequestVote(rpc) => vec![
            ("mlastLogIndex", rpc.last_log_index.into()),
            ("mlastLogTerm", rpc.last_log_term.into()),
        ],
        Rpc::RequestVoteReply(reply) => vec![("mvoteGranted", reply.vote_granted.into())],
        Rpc::AppendEntries(rpc) => vec![
            ("mprevLogIndex", rpc.prev_log_index.into()),
            ("mprevLogTerm", rpc.prev_log_term.into()),
            ("mentries", entries(&rpc.entries)),
            ("mcommitIndex", rpc.leader_commit.into()),
            ("mround", rpc.round.into()),
        ],
        Rpc::AppendEntriesReply(reply) => {
            let mut members: Members = vec![
                ("msuccess", reply.success.into()),
                ("mmatchIndex", reply.match_index.into()),
                ("mround", reply.round.into()),
            ];
            members.extend(reply.conflict.into_iter().flat_map(|conflict| {
                [
                    ("mprevLogIndex", conflict.prev_log_index.into()),
                    ("mconflictTerm", conflict.term.into()),
                    ("mconflictIndex", conflict.index.into()),
                ]
            }));
            members
        }
        // Of the text only the length: a state may be large.
        Rpc::InstallSnapshot(rpc) => vec![
            ("mlastIncludedIndex", rpc.last_included_index.into()),
            ("mlastIncludedTerm", rpc.last_included_term.into()),
            ("moffset", rpc.offset.into()),
            ("mbytes", (rpc.data.len() as u64).into()),
            ("mdone", rpc.done.into()),
        ],
        Rpc::InstallSnapshotReply(reply) => vec![
            ("mlastIncludedIndex", reply.last_included_index.into()),
            ("moffset", reply.offset.into()),
            ("mdone", reply.done.into()),
        ],
    }
}
