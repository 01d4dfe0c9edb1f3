//! What happens on the node, as it happens: Server-Sent Events (HTML standard, §9.2), which a
//! browser reads with `EventSource` and a person with `curl -N`.
//!
//! First comes the status, then whatever [`crate::server::subscribers`] tell. The answer has no
//! end. Who is too slow to read it is let go, and so is who has gone: now and then an empty
//! comment is written, and that fails if nobody is there.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::refusal::{later, refusal};
use super::{Call, Outcome};
use crate::http::Response;
use crate::server::inbox::{Answer, Ask};
use crate::server::subscribers::Notice;

/// How many notices may wait for a slow watcher.
const MAX_WAITING: usize = 1024;

/// How often something is written, if only a comment.
const IDLE: Duration = Duration::from_secs(10);

/// How long notices gather after a write. No screen shows more than sixty pictures a second, and a
/// busy node has many times as much to tell.
const GATHER: Duration = Duration::from_millis(16);

/// The stream of events.
pub fn events(call: &Call) -> Outcome {
    let (sender, told) = mpsc::sync_channel(MAX_WAITING);
    let status = match call.ask(Ask::Watch(sender)) {
        Some(Answer::Status(status)) => status,
        Some(Answer::Busy) => {
            return Err(later("too many watch this node already: try again later"));
        }
        other => return Err(refusal(call.request.path, other)),
    };
    let first = Notice { name: "status", data: status.to_json().to_string().into() };
    let tell = move |to: &mut dyn Write| tell_all(to, first, &told);
    let response = Response::stream("text/event-stream", None, Box::new(tell));
    Ok(response.with_header("Cache-Control", "no-cache"))
}

/// Writes the first notice, and then all that comes; what has gathered, with one write.
fn tell_all(to: &mut dyn Write, first: Notice, told: &Receiver<Notice>) -> io::Result<()> {
    let mut text = as_text(first);
    loop {
        to.write_all(text.as_bytes())?;
        thread::sleep(GATHER);
        text = match told.recv_timeout(IDLE) {
            Ok(notice) => as_text(notice),
            Err(RecvTimeoutError::Timeout) => ":\n\n".to_string(),
            Err(RecvTimeoutError::Disconnected) => return Ok(()), // too slow
        };
        text.extend(told.try_iter().take(MAX_WAITING).map(as_text));
    }
}

fn as_text(notice: Notice) -> String {
    format!("event: {}\ndata: {}\n\n", notice.name, notice.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each write by itself.
    #[derive(Default)]
    struct Writes(Vec<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn tell_all_writes_what_waits_at_once_and_ends_when_the_watcher_is_let_go() {
        let (sender, told) = mpsc::sync_channel(2);
        for data in ["1", "2"] {
            sender.send(Notice { name: "event", data: data.into() }).unwrap();
        }
        drop(sender);
        let mut writes = Writes::default();
        tell_all(&mut writes, Notice { name: "status", data: "{}".into() }, &told).unwrap();
        let waiting = "event: event\ndata: 1\n\nevent: event\ndata: 2\n\n";
        assert_eq!(writes.0, ["event: status\ndata: {}\n\n", waiting]);
    }
}
