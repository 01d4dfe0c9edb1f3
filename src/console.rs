//! What a node prints: one event a line, after the time of day.
//!
//! A thread of its own writes to stdout, so that a terminal that stands still (a student marks some
//! text, a pipe is not read) never stops a node from doing its work. If it stands still for long,
//! lines are dropped, and their number is told.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Event;

/// Lines that may wait to be written.
const WAITING_LINES: usize = 10_000;

/// The node's stdout.
pub struct Console {
    lines: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    colour: bool,
    dropped: u64,
}

impl Console {
    /// Begins to write to stdout: in colour on a terminal, unless `NO_COLOR` is set.
    pub fn open() -> Console {
        let (lines, waiting) = mpsc::sync_channel(WAITING_LINES);
        let writer = thread::spawn(move || write_lines(&waiting));
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stdout().is_terminal() && !no_colour;
        Console { lines: Some(lines), writer: Some(writer), colour, dropped: 0 }
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

    /// Writes what is waiting, and ends.
    pub fn close(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // It does not panic; and if it did, nobody could be told.
            let _ = writer.join();
        }
    }
}

/// Writes all lines that wait at once, so that several nodes in one terminal mix by whole lines.
fn write_lines(waiting: &Receiver<String>) {
    while let Ok(mut text) = waiting.recv() {
        text.extend(waiting.try_iter().take(100));
        let mut stdout = io::stdout().lock();
        if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            // Whoever was reading has gone, and wants no more.
            std::process::exit(0);
        }
    }
}

/// `12:00:03.412`, in UTC: the standard library knows no time zones.
fn time_of_day() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, ms) = (since_1970.as_secs(), since_1970.subsec_millis());
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}
