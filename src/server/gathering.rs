//! Commands that wait a moment for company.
//!
//! Each batch of entries costs every node a message, a write and an fsync, however small it is. So
//! while a leader's entries are on their way to a majority, what else comes in is gathered. When
//! the clients who wait for those entries have their answers, all that is gathered follows as one
//! batch, and the next commands of those clients are in time for it, if they ask again at once: it
//! waits for them, too. A client that is alone never waits, for then nothing is on its way and
//! nobody else is expected; and where an answer takes long, on a slow network or a busy disk, the
//! next batch goes without it after [`MOST_MS`].

use crate::message::Command;
use crate::step::{Millis, RequestId};

/// How long a command waits at most: no more than a round trip in a data centre and an fsync.
const MOST_MS: Millis = 2;

/// The commands that wait.
#[derive(Debug, Default)]
pub struct Gathering {
    commands: Vec<(RequestId, Command)>,
    /// When the first of them came.
    since: Millis,
}

impl Gathering {
    /// Takes in what has come.
    pub fn add(&mut self, commands: Vec<(RequestId, Command)>, now: Millis) {
        if self.commands.is_empty() {
            self.since = now;
        }
        self.commands.extend(commands);
    }

    /// All that is gathered, if it is to go now: there is nothing to wait for, or it has waited
    /// enough.
    pub fn take_due(&mut self, may_wait: bool, now: Millis) -> Vec<(RequestId, Command)> {
        match self.wait(may_wait, now) {
            Some(0) => std::mem::take(&mut self.commands),
            _ => Vec::new(),
        }
    }

    /// How long until it is to go, if it does not go before; `None` if there is nothing.
    pub fn wait(&self, may_wait: bool, now: Millis) -> Option<Millis> {
        let most = (self.since + MOST_MS).saturating_sub(now);
        (!self.commands.is_empty()).then_some(if may_wait { most } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(requests: &[RequestId]) -> Vec<(RequestId, Command)> {
        requests.iter().map(|&request| (request, Command::new("set x=1"))).collect()
    }

    #[test]
    fn what_comes_alone_goes_at_once() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.wait(false, 10), None);
        gathering.add(commands(&[1]), 10);
        assert_eq!(gathering.take_due(false, 10), commands(&[1]));
        assert_eq!(gathering.take_due(false, 10), []);
    }

    #[test]
    fn others_wait_and_go_together() {
        let mut gathering = Gathering::default();
        gathering.add(commands(&[1]), 10);
        gathering.add(commands(&[2, 3]), 11);
        assert_eq!((gathering.take_due(true, 11), gathering.wait(true, 11)), (vec![], Some(1)));
        assert_eq!(gathering.take_due(false, 11), commands(&[1, 2, 3]));
    }

    #[test]
    fn nobody_waits_for_long() {
        let mut gathering = Gathering::default();
        gathering.add(commands(&[1]), 10);
        gathering.add(commands(&[2]), 11);
        assert_eq!(gathering.wait(true, 10), Some(MOST_MS));
        assert_eq!(gathering.take_due(true, 10 + MOST_MS), commands(&[1, 2]));
        gathering.add(commands(&[3]), 50);
        assert_eq!(gathering.wait(true, 50), Some(MOST_MS), "the time begins anew");
    }
}
