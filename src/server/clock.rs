//! A node's time: milliseconds since it started, less those in which it played dead.

use std::time::{Duration, Instant};

use crate::node::step::Millis;

/// A clock that can be made to stand still.
pub struct Clock {
    started: Instant,
    stopped_at: Option<Instant>,
    stood_still: Duration,
}

impl Clock {
    /// A clock that shows 0 now.
    pub fn start() -> Clock {
        Clock { started: Instant::now(), stopped_at: None, stood_still: Duration::ZERO }
    }

    /// What it shows.
    pub fn now(&self) -> Millis {
        let until = self.stopped_at.unwrap_or_else(Instant::now);
        (until - self.started - self.stood_still).as_millis() as Millis
    }

    /// How long ago it was started, however often it has stood still.
    pub fn uptime_ms(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// Whether it stands still.
    pub fn stands_still(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Lets it stand still.
    pub fn stop(&mut self) {
        self.stopped_at = self.stopped_at.or_else(|| Some(Instant::now()));
    }

    /// Lets it go on from where it stood.
    pub fn go_on(&mut self) {
        if let Some(stopped_at) = self.stopped_at.take() {
            self.stood_still += stopped_at.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn time_in_which_it_stands_still_does_not_count() {
        let mut clock = Clock::start();
        clock.stop();
        let shown = clock.now();
        thread::sleep(Duration::from_millis(300));
        assert_eq!(clock.now(), shown);
        clock.go_on();
        assert!(clock.now() + 300 <= clock.uptime_ms());
    }
}
