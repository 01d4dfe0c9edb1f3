//! Snapshots (§7): when one is due, how it is written while clients are served, and how one comes
//! from a leader.
//!
//! The state is cloned, which takes no time (`kv.rs`), and a thread writes the clone to the disk,
//! with most of the log that is to follow it. When it has done so, the node is told; what it then
//! wants done is short: the log takes the place of the longer one.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::{Server, Todo};
use crate::node::message::{Entry, EntryId, InstallSnapshot};
use crate::node::role::Role;
use crate::node::snapshot::Snapshot;
use crate::node::step::{Input, Millis};
use crate::state_machine::{Sessions, StateMachine};
use crate::storage::Draft;

/// How often one looks whether the thread has done its work.
pub(super) const LOOK_MS: Millis = 10;

/// Of a log that is as long as it may be, one part of so many stays when the rest is cut.
const TAIL: u64 = 8;

/// How many times as long as it may be a log becomes, while a follower is sent the last snapshot.
const PATIENCE: u64 = 4;

/// How much longer than it may be a log becomes by chance, in percent; it is less than this. The
/// servers of a cluster hold the same log. If they all wrote their snapshots at the same moment, no
/// majority would be quick then. Election timeouts are spread for the like reason (§5.2).
const SPREAD_PERCENT: u64 = 50;

/// More entries than that are freed by another thread.
const MANY_ENTRIES: usize = 10_000;

/// What the thread hands over, once it is done.
pub(super) type Writing = JoinHandle<Result<(Draft, Arc<str>), String>>;

impl<M: StateMachine> Server<M> {
    /// Begins a snapshot if one is due, or takes up the one that is written.
    pub(super) fn attend_to_snapshot(&mut self) -> Result<(), String> {
        self.arrived = None; // what it was for is done
        match self.writing.take_if(|writing| writing.is_finished()) {
            Some(written) => self.take_up(written),
            None if self.writing.is_some() || self.clock.stands_still() => Ok(()),
            None => self.begin_if_due(),
        }
    }

    /// The log has outgrown the state: what it says of applied entries is longer than the last
    /// snapshot. So neither disk, memory nor restart takes more than a few times the state.
    ///
    /// The state is kept for some time before it is written: the entries that follow it stay in
    /// the log, for followers that are a little behind. They need not be sent the whole state.
    fn begin_if_due(&mut self) -> Result<(), String> {
        let longest = self.options.config.snapshot_after_bytes.max(self.node.snapshot.bytes());
        let longest = longest + longest / 100 * self.spread_percent;
        let tail = longest / TAIL;
        let log_bytes = self.storage.bytes_up_to(self.applied);
        // The next snapshot ends all transfers of the last one. On a slow way each would be ended.
        if self.is_sending_one() && log_bytes < PATIENCE * longest {
            self.kept = None;
            return Ok(());
        }
        let Some((id, _)) = &self.kept else {
            if log_bytes > longest - tail {
                self.kept = self.state_now();
            }
            return Ok(());
        };
        let kept_bytes = self.storage.bytes_up_to(id.index);
        if log_bytes.saturating_sub(kept_bytes) > tail { self.begin_snapshot() } else { Ok(()) }
    }

    fn is_sending_one(&self) -> bool {
        match &self.node.role {
            Role::Leader(leader) => leader.followers.values().any(|progress| progress.offset > 0),
            _ => false,
        }
    }

    fn state_now(&self) -> Option<(EntryId, Sessions<M>)> {
        let last_included = self.node.log.entry(self.applied)?.id();
        Some((last_included, self.machine.clone()))
    }

    fn begin_snapshot(&mut self) -> Result<(), String> {
        let Some((last_included, machine)) = self.kept.take() else { return Ok(()) };
        if last_included.index <= self.node.log.base().index {
            return Ok(()); // a leader's has come since
        }
        let plan = self.storage.plan_snapshot(last_included);
        let mut files = self.storage.files.share();
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

    fn take_up(&mut self, written: Writing) -> Result<(), String> {
        let (draft, data) = joined(written)?;
        let index = draft.last_included().index;
        if index <= self.node.log.base().index {
            return Ok(()); // a leader's came in between, and goes further
        }
        self.spread_percent = some_spread();
        self.storage.adopt(draft);
        let outputs = self.step(Input::SnapshotTaken { index, data });
        self.perform(outputs.into_iter().map(Todo::Do).collect())
    }

    /// A snapshot is to be saved: a leader's, or our own, which is saved already.
    pub(super) fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        if let Some(writing) = self.writing.take() {
            joined(writing)?; // it uses the same names
        }
        self.storage.save_snapshot(snapshot)
    }

    // ---- From a leader -------------------------------------------------------------------------

    /// Why a leader's snapshot is none, if this message completes it and it is none. A good one is
    /// kept until the node wants it.
    pub(super) fn objection_to_snapshot(&mut self, rpc: &InstallSnapshot) -> Option<String> {
        let text = self.node.incoming.completed_by(rpc)?;
        let last_included = rpc.last_included();
        let mut machine = self.machine.clone();
        match machine.restore(&text) {
            Ok(()) => self.arrived = Some((last_included, machine)),
            Err(why) => {
                self.node.forget_incoming();
                return Some(format!("its snapshot to {last_included} is none: {why}"));
            }
        }
        None
    }

    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        let last_included = snapshot.last_included;
        let is_it = |arrived: &mut (EntryId, Sessions<M>)| arrived.0 == last_included;
        match self.arrived.take_if(is_it) {
            Some((_, machine)) => self.machine = machine,
            // Another has come since.
            None => self.machine.restore(&snapshot.data).expect("it was looked at when it came"),
        }
        self.applied = last_included.index;
    }
}

fn joined(writing: Writing) -> Result<(Draft, Arc<str>), String> {
    writing.join().unwrap_or_else(|_| Err("the thread that writes snapshots has died".to_string()))
}

/// By how much the next snapshot comes later, in percent.
pub(super) fn some_spread() -> u64 {
    RandomState::new().hash_one(()) % SPREAD_PERCENT
}

/// Entries that nobody needs any more.
pub(super) fn free(entries: Vec<Entry>) {
    if entries.len() > MANY_ENTRIES {
        // If there is no thread to be had, they are freed here.
        let _ = thread::Builder::new().spawn(move || drop(entries));
    }
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
