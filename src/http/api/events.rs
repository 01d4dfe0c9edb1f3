//! What happens on the node, as it happens: Server-Sent Events (HTML standard, §9.2), which a
//! browser reads with `EventSource` and a person with `curl -N`.
//!
//! First comes the status, then whatever [`crate::watchers`] tell. The answer has no end. Who is
//! too slow to read it is let go, and so is who has gone: now and then an empty comment is
//! written, and that fails if nobody is there.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::look::{ask_status, status_to_json};
use super::refusal::{later, refusal};
use super::{Call, Outcome};
use crate::http::Response;
use crate::inbox::{Answer, Ask};
use crate::watchers::Notice;

/// How many notices may wait for a slow watcher.
const MAX_WAITING: usize = 1024;

/// How often something is written, if only a comment.
const IDLE: Duration = Duration::from_secs(10);

/// The stream of events.
pub fn events(call: &Call) -> Outcome {
    let (sender, told) = mpsc::sync_channel(MAX_WAITING);
    // The first word comes later than the watch begins: so nothing is missed between the two.
    match call.ask(Ask::Watch(sender)) {
        Some(Answer::Watched) => {}
        Some(Answer::Busy) => {
            return Err(later("too many watch this node already: try again later"));
        }
        other => return Err(refusal(&call.request.path, other)),
    }
    let status = status_to_json(&*ask_status(call)?);
    let first = Notice { name: "status", data: status.to_string().into() };
    let tell = move |to: &mut dyn Write| tell_all(to, first, &told);
    let response = Response::stream("text/event-stream", None, Box::new(tell));
    Ok(response.with_header("Cache-Control", "no-cache"))
}

fn tell_all(to: &mut dyn Write, first: Notice, told: &Receiver<Notice>) -> io::Result<()> {
    let mut next = Some(first);
    loop {
        to.write_all(next.map_or(":\n\n".to_string(), as_text).as_bytes())?;
        next = match told.recv_timeout(IDLE) {
            Ok(notice) => Some(notice),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()), // too slow
        };
    }
}

fn as_text(notice: Notice) -> String {
    format!("event: {}\ndata: {}\n\n", notice.name, notice.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tell_all_ends_when_the_watcher_is_let_go() {
        let (sender, told) = mpsc::sync_channel(1);
        sender.send(Notice { name: "event", data: "1".into() }).unwrap();
        drop(sender);
        let mut text = Vec::new();
        tell_all(&mut text, Notice { name: "status", data: "{}".into() }, &told).unwrap();
        let expected = "event: status\ndata: {}\n\nevent: event\ndata: 1\n\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
