//! How often a peer speaks, and whether it is waited for asleep or awake.
//!
//! Whether a leader still leads is a question that needs no disk (§8). To answer it takes no longer
//! than to wake the thread that hears it; and the leader's thread must wake for the answer, too. So
//! while one question follows another, these threads stay awake and look. As soon as the peer is
//! silent for a moment, they sleep, as all others do.

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use crate::transport::timed::Timed;

/// Who speaks again within this time does so quickly. With entries hardly anybody can: they go to
/// disks.
const QUICKLY: Duration = Duration::from_micros(200);

/// Who has done so many times in a row may well do it once more. Where reads and writes alternate
/// it is rare, and to stay awake would only be in the way of those who write.
const OFTEN: u32 = 50;

/// How often a peer speaks.
pub struct Rhythm {
    /// When it last spoke.
    last: Instant,
    /// So many times in a row it had spoken shortly before.
    quick: u32,
}

impl Rhythm {
    /// Of a peer that has just said its first word.
    pub fn new() -> Rhythm {
        Rhythm { last: Instant::now(), quick: 0 }
    }

    /// Waits until something has come, or the connection is over.
    ///
    /// # Errors
    /// Nothing came in the time that the reader allows, or the connection failed.
    pub fn wait(&mut self, reader: &mut BufReader<Timed>) -> io::Result<()> {
        if self.quick >= OFTEN && self.is_quick_at(Instant::now()) {
            self.look(reader)?;
        }
        reader.fill_buf()?;
        self.beat(Instant::now());
        Ok(())
    }

    /// Looks whether something comes, as long as that would be quick. An end or a failure ends it,
    /// too; whoever reads next meets it.
    fn look(&self, reader: &mut BufReader<Timed>) -> io::Result<()> {
        let nothing_yet = |error: io::Error| error.kind() == ErrorKind::TimedOut;
        reader.get_ref().stream.set_nonblocking(true)?;
        while self.is_quick_at(Instant::now()) && reader.fill_buf().is_err_and(nothing_yet) {
            thread::yield_now(); // perhaps to the one that is to speak
        }
        reader.get_ref().stream.set_nonblocking(false)
    }

    /// Something has come.
    fn beat(&mut self, now: Instant) {
        self.quick = if self.is_quick_at(now) { self.quick.saturating_add(1) } else { 0 };
        self.last = now;
    }

    fn is_quick_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < QUICKLY
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;
    use std::thread::JoinHandle;

    use super::*;
    use crate::transport::timed::tests::pair;

    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(50);

    #[test]
    fn beat_counts_how_often_one_soon_follows_another() {
        let mut rhythm = Rhythm::new();
        let pauses_us = [199, 0, 200, 9, 50_000, 9, 9, 9];
        let counts = pauses_us.map(|pause_us| {
            rhythm.beat(rhythm.last + Duration::from_micros(pause_us));
            rhythm.quick
        });
        assert_eq!(counts, [1, 2, 0, 1, 0, 1, 2, 3]);
    }

    /// Of a peer that is looked for as long as a test may take.
    fn awaited() -> Rhythm {
        Rhythm { last: Instant::now() + PATIENCE, quick: OFTEN }
    }

    /// A connection to a peer, which says a word after a pause.
    fn who_speaks() -> (BufReader<Timed>, JoinHandle<TcpStream>) {
        let (mut peer, stream) = pair();
        let mut reader = BufReader::new(Timed::new(stream));
        reader.get_mut().allow(PATIENCE);
        let speaks = thread::spawn(move || {
            thread::sleep(PAUSE);
            peer.write_all(b"x").unwrap();
            peer
        });
        (reader, speaks)
    }

    #[test]
    fn look_finds_what_comes_and_the_end() {
        let (mut reader, speaks) = who_speaks();
        awaited().look(&mut reader).unwrap();
        assert_eq!(reader.buffer(), b"x");
        reader.consume(1);
        drop(speaks.join().unwrap());
        awaited().wait(&mut reader).unwrap();
        assert!(reader.buffer().is_empty(), "nothing more will come");
    }

    #[test]
    fn wait_sleeps_until_a_slow_peer_speaks() {
        let mut rhythm = Rhythm { last: Instant::now(), quick: OFTEN };
        let (mut reader, speaks) = who_speaks();
        rhythm.wait(&mut reader).unwrap();
        assert_eq!((reader.buffer(), rhythm.quick), (&b"x"[..], 0));

        let _silent = speaks.join().unwrap();
        reader.consume(1);
        reader.get_mut().allow(PAUSE);
        let start = Instant::now();
        assert_eq!(rhythm.wait(&mut reader).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= PAUSE / 2, "who only looks is back at once");
    }
}
