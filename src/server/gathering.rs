//! What clients ask, while it waits a moment for company.
//!
//! Each batch of entries costs every node a message, a write and an fsync, however small it is. So
//! while a leader's entries are on their way to a majority, what else comes in is gathered. When
//! the clients who wait for those entries have their answers, all that is gathered follows as one
//! batch, and the next commands of those clients are in time for it, if they ask again at once: it
//! waits for them, too. A client that is alone never waits, for then nothing is on its way and
//! nobody else is expected; and where an answer takes long, on a slow network or a busy disk, the
//! next batch goes without it after [`MOST_MS`]. Reads, which share a round of messages, wait for
//! who asks again in the same way, but not for what is on its way: those that come during a round
//! share the next one anyway (`node/reads.rs`).

use crate::node::step::Millis;

/// How long a thing waits at most: no more than a round trip in a data centre and an fsync.
const MOST_MS: Millis = 2;

/// The things that wait.
#[derive(Debug)]
pub struct Gathering<T> {
    things: Vec<T>,
    /// When the first of them came.
    since: Millis,
}

impl<T> Default for Gathering<T> {
    fn default() -> Gathering<T> {
        Gathering { things: Vec::new(), since: 0 }
    }
}

impl<T> Gathering<T> {
    /// Takes in what has come.
    pub fn add(&mut self, things: Vec<T>, now: Millis) {
        if self.things.is_empty() {
            self.since = now;
        }
        self.things.extend(things);
    }

    /// All that is gathered, if it is to go now: there is nothing to wait for, or it has waited
    /// enough.
    pub fn take_due(&mut self, may_wait: bool, now: Millis) -> Vec<T> {
        match self.wait(may_wait, now) {
            Some(0) => std::mem::take(&mut self.things),
            _ => Vec::new(),
        }
    }

    /// How long until it is to go, if it does not go before; `None` if there is nothing.
    pub fn wait(&self, may_wait: bool, now: Millis) -> Option<Millis> {
        let most = (self.since + MOST_MS).saturating_sub(now);
        (!self.things.is_empty()).then_some(if may_wait { most } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_alone_goes_at_once() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.wait(false, 10), None);
        gathering.add(vec!["a"], 10);
        assert_eq!(gathering.take_due(false, 10), ["a"]);
        assert_eq!(gathering.take_due(false, 10), [""; 0]);
    }

    #[test]
    fn others_wait_and_go_together() {
        let mut gathering = Gathering::default();
        gathering.add(vec!["a"], 10);
        gathering.add(vec!["b", "c"], 11);
        assert_eq!((gathering.take_due(true, 11), gathering.wait(true, 11)), (vec![], Some(1)));
        assert_eq!(gathering.take_due(false, 11), ["a", "b", "c"]);
    }

    #[test]
    fn nobody_waits_for_long() {
        let mut gathering = Gathering::default();
        gathering.add(vec!["a"], 10);
        gathering.add(vec!["b"], 11);
        assert_eq!(gathering.wait(true, 10), Some(MOST_MS));
        assert_eq!(gathering.take_due(true, 10 + MOST_MS), ["a", "b"]);
        gathering.add(vec!["c"], 50);
        assert_eq!(gathering.wait(true, 50), Some(MOST_MS), "the time begins anew");
    }
}
