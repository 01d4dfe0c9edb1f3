//! A socket with a time for the whole, however many reads and writes share it.
//!
//! The system knows only how long a single read or write may wait. A peer that sends a byte a
//! second stays within every one of those. [`Timed`] allows a time for a whole part of an exchange,
//! such as a line or the head of a request, and tells the system each time how much of it is left.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// By so much a read may overstay the time allowed: to tell the system another one is a call of
/// its own.
const READ_SLACK: Duration = Duration::from_millis(100);

/// A socket that fails with `ErrorKind::TimedOut` once the time last allowed has passed.
pub struct Timed {
    /// The socket itself.
    pub stream: TcpStream,
    allowed: Duration,
    /// From when on; if nothing was said, from the first read or write on.
    since: Option<Instant>,
    /// What was set for reading.
    read_timeout: Duration,
}

impl Timed {
    /// Allows no time yet.
    pub fn new(stream: TcpStream) -> Timed {
        Timed { stream, allowed: Duration::ZERO, since: None, read_timeout: Duration::ZERO }
    }

    /// Allows this much, from the next read or write on.
    pub fn allow(&mut self, time: Duration) {
        (self.allowed, self.since) = (time, None);
    }

    fn left(&mut self) -> io::Result<Duration> {
        let spent = match self.since {
            Some(since) => since.elapsed(),
            None => {
                self.since = Some(Instant::now());
                Duration::ZERO
            }
        };
        let left = self.allowed.saturating_sub(spent);
        if left.is_zero() { Err(timed_out()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.left()?;
            if self.read_timeout < left || self.read_timeout > left + READ_SLACK {
                self.stream.set_read_timeout(Some(left))?;
                self.read_timeout = left;
            }
            match (&self.stream).read(buffer) {
                // Ctrl+Z and `fg` break off a read that has a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Unix's word for a timeout.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(timed_out()),
                result => return result,
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        self.stream.set_write_timeout(Some(left))?;
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(timed_out()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn timed_out() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the time allowed has passed")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Both ends of a connection: of who connected, and of who accepted.
    pub fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (peer, listener.accept().unwrap().0)
    }

    fn timed_pair() -> (TcpStream, Timed) {
        let (peer, stream) = pair();
        (peer, Timed::new(stream))
    }

    #[test]
    fn allow_starts_the_time_anew() {
        let (_peer, mut timed) = timed_pair();
        let patience = Duration::from_secs(20);
        timed.allow(Duration::ZERO);
        assert_eq!(timed.write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        timed.allow(patience);
        assert_eq!(timed.write(b"x").unwrap(), 1);
    }

    #[test]
    fn read_has_one_time_for_all_that_trickles_in() {
        let (mut peer, mut timed) = timed_pair();
        let trickle = thread::spawn(move || {
            while peer.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        timed.allow(Duration::from_millis(300));
        let mut timed = timed.take(10_000);
        let error = io::copy(&mut timed, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(timed);
        trickle.join().unwrap();
    }
}
