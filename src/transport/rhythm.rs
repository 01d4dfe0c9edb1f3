//! How often a peer speaks, and whether it is waited for asleep or awake.
//!
//! Whether a leader still leads is a question that needs no disk (§8). A node answers it in the time
//! that the system takes to wake the thread that hears it; and the leader's thread must wake for the
//! answer, too. So while one question follows another, these threads stay awake and look. As soon
//! as the peer is silent for a moment, they sleep, as all others do.

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use crate::timed::Timed;

/// Who speaks again within this time may well do so once more. With entries it does not: they go to
/// a disk, which takes longer.
const OFTEN: Duration = Duration::from_micros(200);

/// How often a peer speaks.
pub struct Rhythm {
    last: Instant,
    is_quick: bool,
}

impl Rhythm {
    /// Of a peer that has just said its first word.
    pub fn new() -> Rhythm {
        Rhythm { last: Instant::now(), is_quick: false }
    }

    /// Waits until something has come, or the connection is over.
    ///
    /// # Errors
    /// Nothing came in the time that the reader allows, or the connection failed.
    pub fn wait(&mut self, reader: &mut BufReader<Timed>) -> io::Result<()> {
        if self.is_quick {
            self.look(reader)?;
        }
        reader.fill_buf()?;
        self.beat(Instant::now());
        Ok(())
    }

    /// Looks whether something comes, as long as that would be quick.
    fn look(&self, reader: &mut BufReader<Timed>) -> io::Result<()> {
        let is_none = |error: io::Error| error.kind() == ErrorKind::TimedOut;
        reader.get_ref().stream.set_nonblocking(true)?;
        while self.is_quick_at(Instant::now()) && reader.fill_buf().is_err_and(is_none) {
            thread::yield_now(); // perhaps to the one that is to speak
        }
        reader.get_ref().stream.set_nonblocking(false)
    }

    /// Something has come.
    fn beat(&mut self, now: Instant) {
        self.is_quick = self.is_quick_at(now);
        self.last = now;
    }

    fn is_quick_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < OFTEN
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::timed::tests::pair;

    #[test]
    fn beat_is_quick_if_it_soon_follows_another() {
        let mut rhythm = Rhythm::new();
        for (pause_us, is_quick) in
            [(199, true), (0, true), (200, false), (50_000, false), (9, true)]
        {
            rhythm.beat(rhythm.last + Duration::from_micros(pause_us));
            assert_eq!(rhythm.is_quick, is_quick, "{pause_us}");
        }
    }

    #[test]
    fn wait_sleeps_until_a_slow_peer_speaks() {
        let ((mut peer, stream), pause) = (pair(), Duration::from_millis(50));
        let mut reader = BufReader::new(Timed::new(stream));
        reader.get_mut().allow(Duration::from_secs(30));
        let mut rhythm = Rhythm { last: Instant::now(), is_quick: true };
        let speaks = thread::spawn(move || {
            thread::sleep(pause);
            peer.write_all(b"x").unwrap();
            peer
        });
        rhythm.wait(&mut reader).unwrap();
        assert_eq!((reader.buffer(), rhythm.is_quick), (&b"x"[..], false));

        let _silent = speaks.join().unwrap();
        reader.consume(1);
        reader.get_mut().allow(pause);
        let start = Instant::now();
        assert_eq!(rhythm.wait(&mut reader).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= pause, "who only looks is back at once");
    }
}
