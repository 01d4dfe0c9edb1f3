//! What a node counts, for `GET /metrics`: text that Prometheus reads, and people too.
//!
//! Counters only go up, from 0 at each start; gauges say how it is now. Each has a line `# HELP`
//! that says what it is. (The format is Prometheus's "text-based exposition format".)

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::node::event::{Event, RoleName, What};
use crate::node::message::Message;
use crate::server::status::{Counters, Status};
use crate::server::subscribers::Direction;

/// The counters of one node.
#[derive(Debug, Default)]
pub struct Metrics {
    elections: u64,
    elections_won: u64,
    votes_granted: u64,
    entries_deleted: u64,
    snapshots: u64,
    installed: u64,
    messages: BTreeMap<(Direction, &'static str), u64>,
    commands: u64,
    commanding: Duration,
    reads: u64,
    saves: u64,
    saving: Duration,
}

impl Metrics {
    /// Counts what happened.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::Transition { to: RoleName::Candidate, .. } => self.elections += 1,
            What::Transition { to: RoleName::Leader, .. } => self.elections_won += 1,
            What::VoteGranted { .. } => self.votes_granted += 1,
            What::Deleted { first, last, .. } => {
                self.entries_deleted += last.index - first.index + 1;
            }
            What::SnapshotTaken { .. } => self.snapshots += 1,
            What::SnapshotInstalled { .. } => self.installed += 1,
            _ => {}
        }
    }

    /// Counts a message.
    pub fn message(&mut self, direction: Direction, message: &Message) {
        *self.messages.entry((direction, message.rpc.name())).or_default() += 1;
    }

    /// Counts a client's command that was answered so long after it was taken up.
    pub fn command(&mut self, took: Duration) {
        self.commands += 1;
        self.commanding += took;
    }

    /// Counts a client's read.
    pub fn read(&mut self) {
        self.reads += 1;
    }

    /// Counts a save, which took so long.
    pub fn save(&mut self, took: Duration) {
        self.saves += 1;
        self.saving += took;
    }

    /// What a status tells of it.
    pub fn counters(&self) -> Counters {
        Counters {
            elections: self.elections,
            commands: self.commands,
            reads: self.reads,
            command_seconds: self.commanding.as_secs_f64(),
        }
    }

    /// All of it, with what the node's status says.
    pub fn text(&self, status: &Status) -> String {
        let mut page = Page::default();
        append_gauges(&mut page, status);
        self.append_counters(&mut page);
        self.append_messages(&mut page);
        page.text
    }

    fn append_counters(&self, page: &mut Page) {
        page.counter("elections_total", "Elections that it started.", self.elections);
        page.counter("elections_won_total", "Elections that it won.", self.elections_won);
        page.counter("votes_granted_total", "Votes that it gave others.", self.votes_granted);
        page.counter("entries_deleted_total", "Entries that gave way.", self.entries_deleted);
        page.counter("snapshots_total", "Snapshots that it took.", self.snapshots);
        page.counter("snapshots_installed_total", "Those of leaders taken on.", self.installed);
        page.counter("commands_total", "Clients' commands answered.", self.commands);
        let seconds = self.commanding.as_secs_f64();
        page.counter(
            "command_seconds_total",
            "How long those commands took, from when the node took each up.",
            seconds,
        );
        page.counter("reads_total", "Clients' reads answered.", self.reads);
        page.counter("saves_total", "Times that it waited for its disk.", self.saves);
        let seconds = self.saving.as_secs_f64();
        page.counter("save_seconds_total", "How long it waited for its disk.", seconds);
    }

    fn append_messages(&self, page: &mut Page) {
        page.head("messages_total", "Messages to and from peers.", "counter");
        for ((direction, kind), count) in &self.messages {
            let direction = direction.name();
            let labels = format!("{{direction=\"{direction}\",kind=\"{kind}\"}}");
            page.line("messages_total", &labels, count);
        }
    }
}

fn append_gauges(page: &mut Page, status: &Status) {
    let state = &status.state;
    page.gauge("current_term", "Latest term that the node has seen.", state.current_term);
    let leads = state.role == RoleName::Leader;
    page.gauge("is_leader", "1 if the node leads.", leads.into());
    page.gauge("has_leader", "1 if it knows who leads.", state.leader.is_some().into());
    page.gauge("quorum", "1 if it and the peers in reach are a majority.", state.quorum.into());
    page.gauge("paused", "1 if it plays dead.", state.paused.into());
    page.gauge("commit_index", "Highest entry known to be committed.", state.commit_index);
    page.gauge("last_applied", "Highest entry applied.", state.last_applied);
    page.gauge("last_log_index", "Index of the log's last entry.", state.last_log.index);
    page.gauge("snapshot_index", "Highest entry in the snapshot.", state.snapshot.index);
    page.gauge("data_bytes", "Size of the node's files.", status.data_bytes);
    let reachable = state.peers.iter().filter(|peer| peer.reachable).count();
    page.gauge("peers_reachable", "Peers that it can reach.", reachable as u64);
    page.gauge("uptime_seconds", "Since the node started.", state.uptime_ms / 1000);
}

/// The text, line by line.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, help, "counter");
        self.line(name, "", value);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.text, "# HELP raftlet_{name} {help}\n# TYPE raftlet_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "raftlet_{name}{labels} {value}");
    }
}
