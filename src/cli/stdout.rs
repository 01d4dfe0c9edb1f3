//! What verbs print.

use std::io::{self, Write};

use super::failure::Failure;
use crate::json::Json;

/// Writes to stdout. A reader that closes the pipe early (`| head`) is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Running(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a value to stdout, on a line of its own.
pub fn print_json(json: Json) -> Result<(), Failure> {
    print(&format!("{json}\n"))
}

/// Writes to stdout at once. Any error is the caller's affair, also a closed pipe.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
