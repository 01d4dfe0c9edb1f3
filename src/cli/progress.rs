//! A line on the terminal that says how far a long piece of work is. In a pipe there is none.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is renewed.
const EVERY: Duration = Duration::from_millis(200);

/// The line.
#[derive(Default)]
pub struct Progress {
    shown: Option<Instant>,
}

impl Progress {
    /// Shows how far it is, if that is due.
    pub fn show(&mut self, how_far: impl FnOnce() -> String) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= EVERY);
        if is_due && io::stderr().is_terminal() {
            eprint!("\r\x1b[K{}", how_far());
            self.shown = Some(Instant::now());
        }
    }
}

impl Drop for Progress {
    /// What is printed next takes the line's place.
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
            // A terminal that is gone needs no clearing.
            let _ = io::stderr().flush();
        }
    }
}
