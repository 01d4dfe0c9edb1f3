//! What a node prints: one event a line, after the time of day.
//!
//! A thread of its own writes to stdout, so that a terminal that stands still (a student marks some
//! text, a pipe is not read) never stops a node from doing its work. If it stands still for long,
//! lines are dropped, and their number is told. So it is with lines that come with the traffic, of
//! which a busy node has thousands a second: nobody could read them, and each takes its time.

use std::io::{self, IsTerminal, Write};
use std::iter;
use std::process;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::node::event::{Event, What};

/// Lines that may wait to be written.
const WAITING_LINES: usize = 10_000;

/// How many lines that come with the traffic are shown in a tenth of a second.
const TRAFFIC_LINES: u32 = 50;
const TENTH: Duration = Duration::from_millis(100);

/// After what was written, the thread lets more gather: to wake it for each line would cost a busy
/// node more than to send a message.
const GATHER: Duration = Duration::from_millis(20);

/// How long a node that stops waits for its last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The node's stdout.
pub struct Console {
    /// None once it is closed.
    lines: Option<SyncSender<Line>>,
    /// Ends when all lines are written.
    written: Receiver<()>,
    dropped: u64,
    /// Since when lines of the traffic are counted, and how many there were.
    traffic: (Instant, u32),
}

/// A line that is to be written, and when it happened.
type Line = (SystemTime, Text);

/// What a line says. The thread that writes the lines makes the text.
enum Text {
    Event(Event),
    Other(String),
    NotShown(u64),
}

impl Console {
    /// Begins to write to stdout: in colour on a terminal, unless `NO_COLOR` is set.
    pub fn open() -> Console {
        let (lines, waiting) = mpsc::sync_channel(WAITING_LINES);
        let (done, written) = mpsc::channel();
        thread::spawn(move || write_lines(&waiting, done));
        Console { lines: Some(lines), written, dropped: 0, traffic: (Instant::now(), 0) }
    }

    /// Shows an event; one that repeats with the traffic only if details are wanted.
    pub fn show(&mut self, event: &Event, details: bool) {
        if event.what.is_detail() && !details {
            return;
        }
        if is_traffic(&event.what) && !details && self.is_flooded() {
            self.dropped += 1;
            return;
        }
        self.send(Text::Event(event.clone()));
    }

    /// Counts a line of the traffic; true if it is one too many.
    fn is_flooded(&mut self) -> bool {
        let (since, count) = &mut self.traffic;
        if since.elapsed() >= TENTH {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count > TRAFFIC_LINES
    }

    /// Shows any other line.
    pub fn line(&mut self, text: &str) {
        self.send(Text::Other(text.to_string()));
    }

    fn send(&mut self, text: Text) {
        let (Some(lines), now) = (&self.lines, SystemTime::now()) else { return };
        if self.dropped > 0 && lines.try_send((now, Text::NotShown(self.dropped))).is_ok() {
            self.dropped = 0;
        }
        if lines.try_send((now, text)).is_err() {
            self.dropped += 1;
        }
    }

    /// Writes what is waiting, if that can be done soon, and nothing more.
    pub fn close(&mut self) {
        self.lines = None;
        // Either way there is nothing more to say.
        let _ = self.written.recv_timeout(LAST_WORDS);
    }
}

/// Writes all lines that wait at once, so that several nodes in one terminal mix by whole lines.
/// A node that nobody can watch ends. `done` is dropped when all is written.
fn write_lines(waiting: &Receiver<Line>, done: Sender<()>) {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stdout().is_terminal() && !no_colour;
    while let Ok(first) = waiting.recv() {
        let lines = iter::once(first).chain(waiting.try_iter().take(WAITING_LINES));
        let text: String = lines.map(|line| as_text(line, colour)).collect();
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
            Err(error) => {
                eprintln!("raftlet: cannot write to stdout: {error}");
                process::exit(1);
            }
        }
        thread::sleep(GATHER);
    }
    drop(done);
}

fn as_text((time, text): Line, colour: bool) -> String {
    let time = time_of_day(time);
    match text {
        Text::Event(event) if colour => format!("{time}  {event:#}\n"),
        Text::Event(event) => format!("{time}  {event}\n"),
        Text::Other(text) => format!("{time}  {text}\n"),
        Text::NotShown(count) => format!("{time}  … {count} lines not shown\n"),
    }
}

/// Whether there are as many such events as clients have commands.
fn is_traffic(what: &What) -> bool {
    matches!(what, What::Appended { .. } | What::Committed { .. })
}

/// `12:00:03.412`, in UTC: the standard library knows no time zones.
fn time_of_day(time: SystemTime) -> String {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, ms) = (since_1970.as_secs(), since_1970.subsec_millis());
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::event::RoleName;
    use crate::node::message::{Command, EntryId, NodeId};

    fn event(what: What) -> Event {
        Event { node: NodeId(1), term: 1, what }
    }

    fn appended() -> Event {
        let id = EntryId { index: 1, term: 1 };
        event(What::Appended { first: id, last: id, command: Command::no_op(), leader: None })
    }

    #[test]
    fn show_drops_what_the_traffic_has_too_much_of_and_nothing_else() {
        let (lines, shown) = mpsc::sync_channel(1000);
        let (_, written) = mpsc::channel();
        let never = Instant::now() + Duration::from_secs(3600); // this tenth of a second lasts
        let (lines, traffic) = (Some(lines), (never, 0));
        let mut console = Console { lines, written, dropped: 0, traffic };
        (0..TRAFFIC_LINES + 3).for_each(|_| console.show(&appended(), false));
        assert_eq!(shown.try_iter().count(), TRAFFIC_LINES as usize);
        let (from, to) = (RoleName::Leader, RoleName::Follower);
        let why = crate::node::event::Why::LeaderExists { leader: NodeId(2) };
        console.show(&event(What::Transition { from, to, why }), false);
        let [note, line] = shown
            .try_iter()
            .map(|line| as_text(line, false))
            .collect::<Vec<_>>()
            .try_into()
            .expect("two lines");
        assert!(note.ends_with("… 3 lines not shown\n") && line.contains("FOLLOWER"), "{line}");
        console.show(&appended(), true);
        assert_eq!(shown.try_iter().count(), 1, "who asks for all gets all");
        console.traffic.0 = Instant::now() - TENTH;
        console.show(&appended(), false);
        assert_eq!(shown.try_iter().count(), 1, "the next tenth of a second");
    }
}
