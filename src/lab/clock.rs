//! A server's clock: it may run fast or slow, jump ahead, or stand still with its server.
//!
//! Servers never tell each other the time, and Raft's safety needs no clock at all (§5.6). What
//! clocks do to it is bring timers early or late.

use crate::node::step::Millis;

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Since this moment of the world's time
    since: Millis,
    /// it has gone on from here,
    from: Millis,
    /// and so many of its hours are a hundred of the world's.
    percent: u64,
    stands_still: bool,
}

impl Default for Clock {
    /// A clock that shows the world's time.
    fn default() -> Clock {
        Clock { since: 0, from: 0, percent: 100, stands_still: false }
    }
}

impl Clock {
    /// What it shows at a moment of the world's time.
    pub fn read(&self, now: Millis) -> Millis {
        match (self.stands_still, self.percent) {
            (true, _) => self.from,
            (false, 100) => self.from + (now - self.since),
            (false, percent) => self.from + (now - self.since) * percent / 100,
        }
    }

    /// The first moment at which it shows this; none if it stands still.
    pub fn moment(&self, shown: Millis) -> Option<Millis> {
        let left = shown.saturating_sub(self.from);
        match (self.stands_still, self.percent) {
            (true, _) => None,
            (false, 100) => Some(self.since + left),
            (false, percent) => Some(self.since + (left * 100).div_ceil(percent)),
        }
    }

    /// It jumps ahead, until it shows this.
    pub fn jump_to(&mut self, now: Millis, shown: Millis) {
        (self.since, self.from) = (now, self.read(now).max(shown));
    }

    /// From now on it runs fast or slow: 100 is right.
    pub fn set_rate(&mut self, now: Millis, percent: u64) {
        (self.since, self.from, self.percent) = (now, self.read(now), percent);
    }

    /// It stands still from now on, or no longer.
    pub fn stand_still(&mut self, now: Millis, still: bool) {
        (self.since, self.from, self.stands_still) = (now, self.read(now), still);
    }

    /// Whether it stands still.
    pub fn stands_still(&self) -> bool {
        self.stands_still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_is_the_first_at_which_the_time_is_shown() {
        let mut clock = Clock::default();
        for (at, percent) in [(10, 50), (25, 200), (31, 33), (80, 100), (90, 147)] {
            clock.set_rate(at, percent);
            for shown in clock.read(at) + 1..clock.read(at) + 50 {
                let moment = clock.moment(shown).expect("it runs");
                assert!(clock.read(moment) >= shown, "{percent} %: {shown} at {moment}");
                assert!(clock.read(moment - 1) < shown, "{percent} %: {shown} before {moment}");
            }
        }
    }

    #[test]
    fn clock_runs_fast_and_slow_jumps_and_stands_still() {
        let mut clock = Clock::default();
        assert_eq!((clock.read(7), clock.moment(7)), (7, Some(7)));
        clock.set_rate(10, 200);
        assert_eq!(clock.read(20), 30);
        clock.set_rate(20, 50);
        assert_eq!(clock.read(40), 40);
        clock.jump_to(40, 100);
        assert_eq!((clock.read(60), clock.moment(110)), (110, Some(60)));
        clock.jump_to(60, 5);
        assert_eq!(clock.read(60), 110, "it never goes back");
        clock.stand_still(60, true);
        assert_eq!((clock.read(500), clock.moment(111)), (110, None));
        clock.stand_still(500, false);
        assert_eq!(clock.read(502), 111);
    }
}
