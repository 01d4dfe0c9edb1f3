//! What happens on the node, as it happens: Server-Sent Events (HTML standard, §9.2), which a
//! browser reads with `EventSource` and a person with `curl -N`.
//!
//! First comes the status, then whatever [`crate::server::subscribers`] tell. The answer has no
//! end. A subscriber that is too slow is let go, and so is one that has gone: now and then the
//! node writes an empty comment, and that fails if nobody is there.

use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::call::{Answered, Call};
use super::refusal::later;
use crate::http::response::{Piece, Response};
use crate::server::inbox::{Answer, ClientRequest};
use crate::server::subscribers::Notice;

/// How many notices may wait for a slow subscriber.
const MAX_WAITING: usize = 1024;

/// How often something is written, if only a comment.
const IDLE: Duration = Duration::from_secs(10);

/// The stream of events.
pub fn events(call: &Call) -> Answered {
    let (sender, notices) = mpsc::sync_channel(MAX_WAITING);
    Ok(call.ask(ClientRequest::Subscribe(sender), |answer| match answer {
        Answer::Status(status) => {
            let first = Notice { name: "status", data: status.to_json().to_string().into() };
            let mut stream = Events { first: Some(first), notices, written_at: Instant::now() };
            let pieces = Box::new(move || Ok(stream.next_piece()));
            let response = Response::stream("text/event-stream", None, pieces);
            Ok(response.with_header("Cache-Control", "no-cache"))
        }
        Answer::Busy => {
            Ok(later("too many subscribers already: try again later, or ask another node"))
        }
        other => Err(other),
    }))
}

/// The events that one subscriber is told.
struct Events {
    /// What it is told first, until it was.
    first: Option<Notice>,
    notices: Receiver<Notice>,
    written_at: Instant,
}

impl Events {
    /// All that waits, as one piece.
    fn next_piece(&mut self) -> Piece {
        if let Some(first) = self.first.take() {
            return Piece::Bytes(as_text(first).into());
        }
        let mut text = match self.notices.try_recv() {
            Ok(notice) => as_text(notice),
            Err(TryRecvError::Empty) if self.written_at.elapsed() < IDLE => return Piece::NotYet,
            Err(TryRecvError::Empty) => ":\n\n".to_string(),
            Err(TryRecvError::Disconnected) => return Piece::End, // it was too slow
        };
        text.extend(self.notices.try_iter().take(MAX_WAITING).map(as_text));
        self.written_at = Instant::now();
        Piece::Bytes(text.into())
    }
}

fn as_text(notice: Notice) -> String {
    format!("event: {}\ndata: {}\n\n", notice.name, notice.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_piece_has_all_that_waits_and_ends_when_the_subscriber_is_let_go() {
        let (sender, notices) = mpsc::sync_channel(2);
        for data in ["1", "2"] {
            sender.send(Notice { name: "event", data: data.into() }).unwrap();
        }
        let first = Some(Notice { name: "status", data: "{}".into() });
        let mut events = Events { first, notices, written_at: Instant::now() };
        let both = "event: event\ndata: 1\n\nevent: event\ndata: 2\n\n";
        assert_eq!(events.next_piece(), Piece::Bytes("event: status\ndata: {}\n\n".into()));
        assert_eq!(events.next_piece(), Piece::Bytes(both.into()));
        assert_eq!(events.next_piece(), Piece::NotYet);
        events.written_at -= IDLE;
        assert_eq!(events.next_piece(), Piece::Bytes(":\n\n".into()), "a sign of life");
        drop(sender);
        assert_eq!(events.next_piece(), Piece::End);
    }
}
