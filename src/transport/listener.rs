//! The node's one address: takes the connections that come there, and tells peers from clients.
//!
//! A connection that begins with `{` is a peer's; any other is HTTP, and goes to the HTTP thread
//! with nothing read. Each new connection has a thread, which waits for that first byte, so that
//! nobody can hold up the others. For a peer this thread is the reader; for HTTP it ends there. How
//! many connections there may be is bounded, also by what the system allows: whatever comes,
//! storage and the connections to peers find a file to open.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::shared::{PAUSE, Shared};
use super::tcp::{self, PATIENCE, farewell};
use super::timed::Timed;
use crate::server::inbox::ToHttp;

/// How long a connection may take for its first byte when there is little room left; else it is
/// [`PATIENCE`].
const HURRY: Duration = Duration::from_millis(200);

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

/// Takes connections at one or more listeners.
pub struct Listener {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Where HTTP connections go.
    pub http: Sender<ToHttp>,
    /// How many may be open.
    pub limits: Limits,
    /// Held once by the listener, and once for each open connection.
    pub open: Arc<()>,
}

impl Listener {
    /// Takes every connection, for ever.
    pub fn accept_all(&self, socket: &TcpListener) {
        loop {
            match socket.accept() {
                Ok((stream, _)) => self.accept(stream),
                // Such as: too many files are open. Some will be closed again.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn accept(&self, stream: TcpStream) {
        let open = Arc::clone(&self.open);
        let number = Arc::strong_count(&open) - 1;
        if number <= self.limits.all {
            let (shared, http, limits) = (Arc::clone(&self.shared), self.http.clone(), self.limits);
            let thread = thread::Builder::new().name("connection".to_string());
            // If the system has no more threads, the connection is closed.
            let _ = thread.spawn(move || lead(&shared, &http, limits, stream, number, open));
        }
    }
}

/// Waits for the first byte, and then reads what a peer says, or sends the connection to the HTTP
/// thread. `open` counts the connection as open while it lives.
fn lead(
    shared: &Shared,
    http: &Sender<ToHttp>,
    limits: Limits,
    stream: TcpStream,
    number: usize,
    open: Arc<()>,
) {
    let mut first = [0];
    let (patience, hurried) = limits.patience;
    let patience = if number > limits.http { hurried } else { patience };
    let peeked = stream.set_read_timeout(Some(patience)).and_then(|()| stream.peek(&mut first));
    if !matches!(peeked, Ok(1)) {
        return;
    }
    if first == *b"{" {
        tcp::read_all(shared, stream);
    } else if number > limits.http {
        farewell(Timed::new(stream), BUSY);
    } else {
        let _ = http.send(ToHttp::Connection(stream, open));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::SocketAddr;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::super::options::Kind;
    use super::super::tests::options;
    use super::*;

    /// Connects and asks; tells the first word of the answer, "" if there is none.
    fn ask(stream: &mut TcpStream) -> String {
        let mut answer = [0; 12];
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let count = stream.write_all(b"GET").and_then(|()| stream.read(&mut answer)).unwrap_or(0);
        String::from_utf8_lossy(&answer[..count]).to_string()
    }

    /// Takes three connections, of which two may be HTTP and are told "served".
    fn small_listener() -> SocketAddr {
        let nodes = ["localhost:1".to_string()];
        let (inbox, _) = mpsc::sync_channel(1);
        let (shared, _) = Shared::new(options(Kind::Tcp, 1, &nodes), inbox);
        let (http, connections) = mpsc::channel();
        thread::spawn(move || {
            for connection in connections {
                let ToHttp::Connection(mut stream, open) = connection else { unreachable!() };
                thread::spawn(move || {
                    stream.set_read_timeout(None).unwrap();
                    stream.write_all(b"served").unwrap();
                    let _ = io::copy(&mut stream, &mut io::sink());
                    drop(open);
                });
            }
        });
        let patience = (Duration::from_secs(60), Duration::from_secs(60));
        let limits = Limits { all: 3, http: 2, patience };
        let listener = Listener { shared, http, limits, open: Arc::default() };
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || listener.accept_all(&socket));
        address
    }

    #[test]
    fn connections_are_counted() {
        let address = small_listener();
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
