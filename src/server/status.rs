//! How a node is, as it tells those who ask: `GET /status`, and the notice `state` of `/events`.
//!
//! A [`State`] is all that may change from one moment to the next, and is cheap to look up: a page
//! that subscribes is told it many times a second. A [`Status`] adds what takes longer, the last
//! entries of the log and the size of the files.

use crate::json::Json;
use crate::node::event::RoleName;
use crate::node::message::{Entry, EntryId, Index, NodeId, Term};
use crate::node::step::Millis;
use crate::transport::peer::Link;

/// How much of each command a status shows.
const MAX_STATUS_CHARS: usize = 200;

/// How a node is.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The cluster's name.
    pub cluster: String,
    /// Its number.
    pub id: NodeId,
    /// Follower, candidate or leader.
    pub role: RoleName,
    /// It plays dead.
    pub paused: bool,
    /// How long ago it was so: 0, unless its disk keeps the raft thread waiting.
    pub stalled_ms: Millis,
    /// Latest term it has seen.
    pub current_term: Term,
    /// Whom it voted for in that term.
    pub voted_for: Option<NodeId>,
    /// Who leads the term, if it knows.
    pub leader: Option<Leader>,
    /// It and the peers that it can reach are a majority.
    pub quorum: bool,
    /// When its election timer runs out, by its own clock; a leader has none.
    pub election_deadline: Option<Millis>,
    /// What its clock shows, which stands still while it plays dead.
    pub now: Millis,
    /// How long it has been running.
    pub uptime_ms: Millis,
    /// Highest entry known to be committed.
    pub commit_index: Index,
    /// Highest entry applied to the state machine.
    pub last_applied: Index,
    /// The last entry of its log.
    pub last_log: EntryId,
    /// The last entry that its snapshot stands for; `0@0` if it has none.
    pub snapshot: EntryId,
    /// The first entry of each of the last terms in its log.
    pub log_terms: Vec<EntryId>,
    /// The other servers.
    pub peers: Vec<Peer>,
    /// What it has counted.
    pub counters: Counters,
    /// Where the process that started it kills and restarts nodes, `host:port`, if it does.
    pub launcher: Option<String>,
}

/// Where clients should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its number.
    pub id: NodeId,
    /// Where clients reach it, `host:port`.
    pub address: String,
}

/// What a node knows of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Its number.
    pub id: NodeId,
    /// Where clients reach it.
    pub address: String,
    /// Whether the transport reaches it.
    pub reachable: bool,
    /// How good the link to it is.
    pub link: Link,
    /// On the leader: `next_index` and `match_index`.
    pub progress: Option<(Index, Index)>,
}

/// What a node has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Elections that it started.
    pub elections: u64,
    /// Clients' commands that it answered.
    pub commands: u64,
    /// Clients' reads that it answered.
    pub reads: u64,
    /// How long the commands took, from when the server took each up until it was answered,
    /// all together.
    pub command_seconds: f64,
}

/// How a node is, and what it holds.
#[derive(Clone, Debug)]
pub struct Status {
    /// How it is.
    pub state: State,
    /// The last entries of its log.
    pub log: Vec<Entry>,
    /// How much its files hold.
    pub data_bytes: u64,
}

impl State {
    /// As the notice `state` has it.
    pub fn to_json(&self) -> Json {
        Json::object(self.members())
    }

    /// Whether the other differs by more than the time that has passed. A timer that runs down is
    /// no change; one that was reset is.
    pub fn differs_from(&self, other: &State) -> bool {
        let (now, uptime_ms) = (self.now, self.uptime_ms);
        *self != State { now, uptime_ms, ..other.clone() }
    }

    fn members(&self) -> Vec<(&'static str, Json)> {
        let leader = self.leader.as_ref();
        let log_terms: Vec<Json> = self.log_terms.iter().map(id_to_json).collect();
        let peers: Vec<Json> = self.peers.iter().map(peer_to_json).collect();
        let timeout_ms = self.election_deadline.map(|deadline| deadline.saturating_sub(self.now));
        vec![
            ("cluster", self.cluster.as_str().into()),
            ("id", self.id.0.into()),
            ("role", self.role.lower().into()),
            ("paused", self.paused.into()),
            ("stalled_ms", self.stalled_ms.into()),
            ("current_term", self.current_term.into()),
            ("voted_for", self.voted_for.map(|id| id.0).into()),
            ("leader", leader.map(|leader| leader.id.0).into()),
            ("leader_address", leader.map(|leader| leader.address.as_str()).into()),
            ("quorum", self.quorum.into()),
            ("election_timeout_ms", timeout_ms.into()),
            ("uptime_ms", self.uptime_ms.into()),
            ("commit_index", self.commit_index.into()),
            ("last_applied", self.last_applied.into()),
            ("last_log_index", self.last_log.index.into()),
            ("last_log_term", self.last_log.term.into()),
            ("snapshot_index", self.snapshot.index.into()),
            ("snapshot_term", self.snapshot.term.into()),
            ("log_terms", log_terms.into()),
            ("peers", peers.into()),
            ("counters", counters_to_json(&self.counters)),
            ("launcher", self.launcher.as_deref().into()),
        ]
    }
}

impl Status {
    /// As `/status` has it.
    pub fn to_json(&self) -> Json {
        let log = self.log.iter().map(|entry| {
            let command = beginning(entry.command.split().1);
            entry_to_json(entry, &command)
        });
        let mut members = self.state.members();
        members.push(("data_bytes", self.data_bytes.into()));
        members.push(("log", log.collect::<Vec<_>>().into()));
        Json::object(members)
    }
}

fn id_to_json(id: &EntryId) -> Json {
    Json::object([("index", id.index.into()), ("term", id.term.into())])
}

fn peer_to_json(peer: &Peer) -> Json {
    let mut members = vec![
        ("id", peer.id.0.into()),
        ("address", peer.address.as_str().into()),
        ("reachable", peer.reachable.into()),
    ];
    members.extend(link_members(peer.link));
    if let Some((next_index, match_index)) = peer.progress {
        members.push(("next_index", next_index.into()));
        members.push(("match_index", match_index.into()));
    }
    Json::object(members)
}

/// How good a link is.
pub fn link_members(link: Link) -> [(&'static str, Json); 3] {
    [
        ("blocked", link.blocked.into()),
        ("drop", u64::from(link.drop_percent).into()),
        ("delay_ms", link.delay_ms.into()),
    ]
}

fn counters_to_json(counters: &Counters) -> Json {
    Json::object([
        ("elections", counters.elections.into()),
        ("commands", counters.commands.into()),
        ("reads", counters.reads.into()),
        ("command_seconds", counters.command_seconds.into()),
    ])
}

/// An entry, with this much of its command.
pub fn entry_to_json(entry: &Entry, command: &str) -> Json {
    let Entry { index, term, .. } = *entry;
    Json::object([("index", index.into()), ("term", term.into()), ("command", command.into())])
}

/// What a status shows of a command: all of it, unless it is very long.
fn beginning(command: &str) -> String {
    match command.char_indices().nth(MAX_STATUS_CHARS) {
        None => command.to_string(),
        Some((end, _)) => format!("{}…", &command[..end]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::json::Member;

    /// A follower that has just been started.
    pub fn state() -> State {
        State {
            cluster: "raftlet".to_string(),
            id: NodeId(1),
            role: RoleName::Follower,
            paused: false,
            stalled_ms: 0,
            current_term: 2,
            voted_for: None,
            leader: None,
            quorum: false,
            election_deadline: Some(3000),
            now: 1000,
            uptime_ms: 1500,
            commit_index: 0,
            last_applied: 0,
            last_log: EntryId { index: 7, term: 2 },
            snapshot: EntryId::default(),
            log_terms: vec![EntryId { index: 1, term: 1 }, EntryId { index: 7, term: 2 }],
            peers: Vec::new(),
            counters: Counters::default(),
            launcher: None,
        }
    }

    #[test]
    fn state_differs_by_more_than_time() {
        let before = state();
        let later = State { now: 1010, uptime_ms: 1510, ..state() };
        assert!(!later.differs_from(&before), "the timer has run down by 10 ms");
        let reset = State { election_deadline: Some(3010), ..later.clone() };
        assert!(reset.differs_from(&before), "it shows what it showed before, and was reset");
        assert_eq!(
            reset.to_json().get("election_timeout_ms"),
            before.to_json().get("election_timeout_ms")
        );
        assert!(State { paused: true, ..later }.differs_from(&before));
    }

    #[test]
    fn status_is_the_state_and_what_takes_longer() {
        let names = |json: Json| {
            let Json::Object(members) = json else { panic!("an object") };
            members.into_iter().map(|(name, _): Member| name.into_owned()).collect::<Vec<_>>()
        };
        let of_state = names(state().to_json());
        let of_status = names(Status { state: state(), log: Vec::new(), data_bytes: 0 }.to_json());
        assert_eq!(of_status, [of_state, vec!["data_bytes".into(), "log".into()]].concat());
    }
}
