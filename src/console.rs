//! What a node prints: one event a line, after the time of day.
//!
//! A thread of its own writes to stdout, so that a terminal that stands still (a student marks some
//! text, a pipe is not read) never stops a node from doing its work. If it stands still for long,
//! lines are dropped, and their number is told.

use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::event::Event;

/// Lines that may wait to be written.
const WAITING_LINES: usize = 10_000;

/// How long a node that stops waits for its last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The node's stdout.
pub struct Console {
    /// None once it is closed.
    lines: Option<SyncSender<String>>,
    /// Ends when all lines are written.
    written: Receiver<()>,
    colour: bool,
    dropped: u64,
}

impl Console {
    /// Begins to write to stdout: in colour on a terminal, unless `NO_COLOR` is set.
    pub fn open() -> Console {
        let (lines, waiting) = mpsc::sync_channel(WAITING_LINES);
        let (done, written) = mpsc::channel();
        thread::spawn(move || write_lines(&waiting, done));
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stdout().is_terminal() && !no_colour;
        Console { lines: Some(lines), written, colour, dropped: 0 }
    }

    /// Shows an event; one that repeats with the traffic only if details are wanted.
    pub fn show(&mut self, event: &Event, details: bool) {
        if event.what.is_detail() && !details {
            return;
        }
        match self.colour {
            true => self.line(&format!("{event:#}")),
            false => self.line(&event.to_string()),
        }
    }

    /// Shows any other line.
    pub fn line(&mut self, text: &str) {
        let Some(lines) = &self.lines else { return };
        if self.dropped > 0 {
            let note = format!("{}  … {} lines not shown\n", time_of_day(), self.dropped);
            if lines.try_send(note).is_ok() {
                self.dropped = 0;
            }
        }
        if lines.try_send(format!("{}  {text}\n", time_of_day())).is_err() {
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
fn write_lines(waiting: &Receiver<String>, done: Sender<()>) {
    while let Ok(mut text) = waiting.recv() {
        text.extend(waiting.try_iter().take(100));
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
            Err(error) => {
                eprintln!("raftlet: cannot write to stdout: {error}");
                process::exit(1);
            }
        }
    }
    drop(done);
}

/// `12:00:03.412`, in UTC: the standard library knows no time zones.
fn time_of_day() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, ms) = (since_1970.as_secs(), since_1970.subsec_millis());
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}
