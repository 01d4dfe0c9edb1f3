//! Snapshots (§7): when one is due, how it is written while clients are served, and how one comes
//! from a leader.
//!
//! The raft thread clones the state, which takes no time (`state_machine/kv.rs`). A thread of its
//! own writes the clone to the disk, with most of the log that is to follow it. Then the raft
//! thread tells the node, and what the node wants done is short: that log takes the place of the
//! longer one.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::node::Node;
use crate::node::message::{Entry, EntryId, Index, InstallSnapshot};
use crate::node::role::Role;
use crate::node::snapshot::Snapshot;
use crate::node::step::Millis;
use crate::state_machine::{Sessions, StateMachine};
use crate::storage::{Draft, Storage};

/// How often the raft thread looks whether the snapshot is written.
const LOOK_MS: Millis = 10;

/// Of a log that is as long as it may be, one part of so many stays when the rest is cut.
const TAIL: u64 = 8;

/// How many times as long as it may be a log becomes, while a follower is sent the last snapshot.
const PATIENCE: u64 = 4;

/// How much longer than it may be a log becomes by chance, in percent; it is less than this. The
/// servers of a cluster hold the same log. If they all wrote their snapshots at the same moment, no
/// majority would be quick then. Election timeouts are spread for the like reason (§5.2).
const SPREAD_PERCENT: u64 = 50;

/// A thread of its own frees more entries than this.
const MANY_ENTRIES: usize = 10_000;

/// What the thread hands over when it has written a snapshot.
type Written = Result<(Draft, Arc<str>), String>;

/// The snapshots of one server.
pub struct Snapshots<M> {
    /// A log may be this long, in bytes, however small the state is.
    after_bytes: u64,
    /// How much later than it might the next snapshot comes, in percent.
    spread_percent: u64,
    /// The state after an entry, which is to become a snapshot.
    kept: Option<(EntryId, Sessions<M>)>,
    /// The thread that writes a snapshot.
    writing: Option<JoinHandle<Written>>,
    /// What a leader's snapshot makes of the state machine, until the node wants it or not.
    arrived: Option<(EntryId, Sessions<M>)>,
}

impl<M: StateMachine> Snapshots<M> {
    /// No snapshot is written yet.
    pub fn new(after_bytes: u64) -> Snapshots<M> {
        let spread_percent = some_spread();
        Snapshots { after_bytes, spread_percent, kept: None, writing: None, arrived: None }
    }

    /// How long until the raft thread should look again.
    pub fn time_to_look(&self) -> Millis {
        if self.writing.is_some() { LOOK_MS } else { Millis::MAX }
    }

    /// The snapshot that is written and that the node is to be told of, if there is one: the index
    /// of its last entry, and its text.
    ///
    /// # Errors
    /// The disk failed.
    pub fn take_written(
        &mut self,
        node: &Node,
        storage: &mut Storage,
    ) -> Result<Option<(Index, Arc<str>)>, String> {
        self.arrived = None; // the node has wanted it by now, or never will
        let Some(thread) = self.writing.take_if(|thread| thread.is_finished()) else {
            return Ok(None);
        };
        let (draft, data) = joined(thread)?;
        let index = draft.last_included().index;
        if index <= node.log.base().index {
            return Ok(None); // a leader's came in between, and goes further
        }
        self.spread_percent = some_spread();
        storage.adopt(draft);
        Ok(Some((index, data)))
    }

    /// Begins a snapshot if one is due: the log has outgrown the state, for what it says of applied
    /// entries is longer than the last snapshot. So neither disk, memory nor restart takes more
    /// than a few times the state.
    ///
    /// The state is kept for some time before it is written: the entries that follow it stay in
    /// the log, for followers that are a little behind. They need not be sent the whole state.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn begin_if_due(
        &mut self,
        node: &Node,
        storage: &mut Storage,
        machine: &Sessions<M>,
        applied: Index,
    ) -> Result<(), String> {
        if self.writing.is_some() {
            return Ok(());
        }
        let longest = self.after_bytes.max(node.snapshot.bytes());
        let longest = longest + longest / 100 * self.spread_percent;
        let tail = longest / TAIL;
        let log_bytes = storage.bytes_up_to(applied);
        // The next snapshot ends all transfers of the last one. On a slow way each would be ended.
        if is_sending_one(node) && log_bytes < PATIENCE * longest {
            self.kept = None;
            return Ok(());
        }
        let Some((id, _)) = &self.kept else {
            if log_bytes > longest - tail {
                self.kept = node.log.entry(applied).map(|last| (last.id(), machine.clone()));
            }
            return Ok(());
        };
        let kept_bytes = storage.bytes_up_to(id.index);
        if log_bytes.saturating_sub(kept_bytes) > tail { self.begin(node, storage) } else { Ok(()) }
    }

    fn begin(&mut self, node: &Node, storage: &mut Storage) -> Result<(), String> {
        let Some((last_included, machine)) = self.kept.take() else { return Ok(()) };
        if last_included.index <= node.log.base().index {
            return Ok(()); // a leader's has come since
        }
        let plan = storage.plan_snapshot(last_included);
        let mut files = storage.files.share();
        let write = move || {
            let data: Arc<str> = machine.snapshot().into();
            drop(machine);
            let snapshot = Snapshot { last_included, data: Arc::clone(&data) };
            plan.write(&mut files, &snapshot).map(|draft| (draft, data))
        };
        let thread = thread::Builder::new().name("snapshot".to_string()).spawn(write);
        self.writing = Some(thread.map_err(|why| format!("cannot start a thread: {why}"))?);
        Ok(())
    }

    /// Saves a leader's snapshot, or our own, which is saved already.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save(&mut self, storage: &mut Storage, snapshot: &Snapshot) -> Result<(), String> {
        if let Some(thread) = self.writing.take() {
            joined(thread)?; // it uses the same names
        }
        storage.save_snapshot(snapshot)
    }

    // ---- From a leader -------------------------------------------------------------------------

    /// If this message completes a leader's snapshot: says why the snapshot is damaged, if it is. A
    /// good one is kept until the node wants it.
    pub fn objection_to(
        &mut self,
        rpc: &InstallSnapshot,
        node: &mut Node,
        machine: &Sessions<M>,
    ) -> Option<String> {
        let text = node.incoming.completed_by(rpc)?;
        let last_included = rpc.last_included();
        let mut machine = machine.clone();
        match machine.restore(&text) {
            Ok(()) => self.arrived = Some((last_included, machine)),
            Err(why) => {
                node.forget_incoming();
                return Some(format!("its snapshot up to {last_included} is damaged: {why}"));
            }
        }
        None
    }

    /// Sets the state machine to the state of this snapshot.
    pub fn restore(&mut self, snapshot: &Snapshot, machine: &mut Sessions<M>) {
        let last_included = snapshot.last_included;
        match self.arrived.take_if(|arrived| arrived.0 == last_included) {
            Some((_, arrived)) => *machine = arrived,
            // Another has come since.
            None => machine.restore(&snapshot.data).expect("it was checked when it came"),
        }
    }
}

/// Frees entries that are of no more use, on a thread of its own if they are many.
pub fn free(entries: Vec<Entry>) {
    if entries.len() > MANY_ENTRIES {
        // If there is no thread to be had, they are freed here.
        let _ = thread::Builder::new().spawn(move || drop(entries));
    }
}

fn is_sending_one(node: &Node) -> bool {
    match &node.role {
        Role::Leader(leader) => leader.followers.values().any(|progress| progress.offset > 0),
        _ => false,
    }
}

fn joined(thread: JoinHandle<Written>) -> Written {
    thread.join().unwrap_or_else(|_| Err("the thread that writes snapshots has died".to_string()))
}

/// Draws how much later the next snapshot comes, in percent.
fn some_spread() -> u64 {
    RandomState::new().hash_one(()) % SPREAD_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_by_chance_and_has_an_end() {
        let draws: Vec<u64> = (0..500).map(|_| some_spread()).collect();
        assert!(draws.iter().all(|&percent| percent < SPREAD_PERCENT));
        // That 500 draws of 50 miss all of five happens once in 10^22 runs.
        assert!(draws.iter().any(|&percent| percent < 5), "{draws:?}");
        assert!(draws.iter().any(|&percent| percent >= SPREAD_PERCENT - 5), "{draws:?}");
    }
}
