//! The node's one address: who knocks, and where they are led.
//!
//! A connection that begins with `{` is a peer's; any other is HTTP and is passed on with nothing
//! read. Each has a thread of its own, which also waits for that first byte, so that nobody can
//! hold up the others. How many there may be is bounded, also by what the system allows: whatever
//! comes, storage and the connections to peers find a file to open.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::shared::Shared;
use super::tcp;
use crate::transport::timed::Timed;

/// How long a connection may take for its first byte; a peer's, for its first line.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The same when there is little room left.
pub const HURRY: Duration = Duration::from_millis(200);
/// How long the last words to a client may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// After an error of the system's, before the next try.
pub const PAUSE: Duration = Duration::from_millis(50);

/// How many HTTP connections may be open at once, if the system allows so many.
const MAX_HTTP: usize = 1024;
/// How many files are kept for others: beyond HTTP for peers who call, and beyond these for storage
/// and for calling peers.
const KEPT_FILES: usize = 64;

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\n\
    Retry-After: 1\r\n\
    Content-Length: 53\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections are open: try again\"}\n";

/// How many connections may be open at once.
#[derive(Clone, Copy)]
pub struct Limits {
    /// In all. The next one is closed.
    pub all: usize,
    /// Beyond this, HTTP is told 503, and all must be quick to begin, so that peers find room.
    pub http: usize,
    /// How long a connection may take for its first byte: while there is room, and beyond that.
    pub patience: (Duration, Duration),
}

impl Limits {
    /// As many as the system's limit of open files has room for, if there is one.
    pub fn new(max_open_files: Option<usize>) -> Limits {
        let most = MAX_HTTP + KEPT_FILES;
        let all = max_open_files.map_or(most, |max| most.min(max.saturating_sub(KEPT_FILES)));
        // Where next to nothing is allowed, the peers' share is half.
        let http = all.saturating_sub(KEPT_FILES).max(all / 2);
        Limits { all, http, patience: (PATIENCE, HURRY) }
    }
}

/// How many files this process may have open, where the system tells it (Linux) and sets a limit.
pub fn max_open_files() -> Option<usize> {
    soft_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    files.split_whitespace().next()?.parse().ok()
}

/// Who may come in, and where HTTP is served.
pub struct Door {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Serves an HTTP connection until it ends.
    pub http: Box<dyn Fn(TcpStream) + Send + Sync>,
    /// How many may come in.
    pub limits: Limits,
    /// How many are in.
    pub open: AtomicUsize,
}

impl Door {
    /// Lets in everyone who knocks, for ever.
    pub fn keep(self: Arc<Door>, listener: TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => Arc::clone(&self).let_in(stream),
                // Such as: too many files are open. Some will be closed again.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn let_in(self: Arc<Door>, stream: TcpStream) {
        let place = Place::take(self);
        if place.number <= place.door.limits.all {
            let thread = thread::Builder::new().name("connection".to_string());
            // If the system has no more threads, the connection is closed.
            let _ = thread.spawn(move || place.door.serve(stream, place.number));
        }
    }

    fn serve(&self, stream: TcpStream, number: usize) {
        let mut first = [0];
        let (patience, hurried) = self.limits.patience;
        let patience = if number > self.limits.http { hurried } else { patience };
        let peeked = stream.set_read_timeout(Some(patience)).and_then(|()| stream.peek(&mut first));
        if !matches!(peeked, Ok(1)) {
            return;
        }
        if first == *b"{" {
            tcp::hear(&self.shared, stream);
        } else if number > self.limits.http {
            farewell(Timed::new(stream), BUSY);
        } else if stream.set_read_timeout(None).is_ok() {
            (self.http)(stream);
        }
    }
}

/// The place of one connection among those that are open; free again when dropped.
struct Place {
    door: Arc<Door>,
    number: usize,
}

impl Place {
    fn take(door: Arc<Door>) -> Place {
        let number = door.open.fetch_add(1, Ordering::Relaxed) + 1;
        Place { door, number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says a last word and waits for the other side to close. Closing first, with bytes still unread,
/// would reset the connection and destroy what was said (RFC 9293 §3.10.4).
pub fn farewell(mut timed: Timed, words: &str) {
    timed.allow(FAREWELL);
    let said = timed.write_all(words.as_bytes());
    if said.and_then(|()| timed.stream.shutdown(Shutdown::Write)).is_ok() {
        timed.allow(FAREWELL);
        let _ = io::copy(&mut timed.take(1 << 20), &mut io::sink());
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use super::super::Kind;
    use super::super::tests::options;
    use super::*;

    /// Connects and asks; tells the first word of the answer, "" if there is none.
    fn ask(stream: &mut TcpStream) -> String {
        let mut answer = [0; 12];
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let count = stream.write_all(b"GET").and_then(|()| stream.read(&mut answer)).unwrap_or(0);
        String::from_utf8_lossy(&answer[..count]).to_string()
    }

    /// A door that lets in three, of which two may be HTTP and are told "served".
    fn small_door() -> SocketAddr {
        let nodes = ["localhost:1".to_string()];
        let (shared, _) = Shared::new(options(Kind::Tcp, 1, &nodes), |_| {});
        let http = Box::new(|mut stream: TcpStream| {
            stream.write_all(b"served").unwrap();
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        let patience = (Duration::from_secs(60), Duration::from_secs(60));
        let limits = Limits { all: 3, http: 2, patience };
        let door = Door { shared, http, limits, open: 0.into() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || Arc::new(door).keep(listener));
        address
    }

    #[test]
    fn connections_are_counted() {
        let address = small_door();
        let connect = || TcpStream::connect(address).unwrap();
        let [mut first, mut second, mut third, mut fourth] = [(); 4].map(|()| connect());
        assert_eq!([ask(&mut first), ask(&mut second)], ["served", "served"]);
        assert_eq!(ask(&mut fourth), "", "the third is silent, but there");
        assert_eq!(ask(&mut third), "HTTP/1.1 503");
        drop(first);
        let end = Instant::now() + Duration::from_secs(30);
        while ask(&mut connect()) != "served" {
            assert!(Instant::now() < end, "the place of the first is never free again");
        }
    }

    #[test]
    fn limits_keep_files_for_others() {
        let limits = |max| {
            let Limits { all, http, .. } = Limits::new(max);
            (all, http)
        };
        assert_eq!([None, Some(20_000)].map(limits), [(1088, 1024); 2]);
        let some = |max| limits(Some(max));
        assert_eq!([1024, 1151, 1152].map(some), [(960, 896), (1087, 1023), (1088, 1024)]);
        assert_eq!([0, 100].map(some), [(0, 0), (36, 18)]);
    }

    #[test]
    fn soft_limit_is_the_first_number() {
        let limits = "Limit                     Soft Limit           Hard Limit     Units     \n\
            Max processes             9                    99             processes \n\
            Max open files            1024                 524288         files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024     ", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert_eq!(max_open_files().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn busy_is_http() {
        let (head, body) = BUSY.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{BUSY}");
        assert!(crate::json::Json::parse(body).unwrap().get("error").is_some());
    }
}
