//! Writes what a node does to a file, a line each step, for `raftlet check`.
//!
//! The lines of a turn are gathered, and written before anything of that turn is done: whatever
//! left the node is in its trace, even if the node is killed in the next moment. The file is not
//! synced: a power failure may take the last lines. A node that starts again goes on in the same
//! file. It is a file for people, so an error of it stops the trace and never the node.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::message::Index;
use crate::node::Node;
use crate::record::{Cause, Moment, Record, Step, write};
use crate::step::Output;

/// The trace of a node.
pub struct Tracer {
    path: PathBuf,
    file: File,
    /// Lines that are not written yet.
    lines: String,
}

impl Tracer {
    /// Opens the file, or makes it. A line that the node could not finish, when it was killed, is
    /// cut off.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn open(path: &Path) -> Result<Tracer, String> {
        let open = || {
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
            let end = end_of_last_line(&mut file)?;
            file.set_len(end)?;
            Ok(file)
        };
        let file = open().map_err(|error| cannot_write(path, &error))?;
        Ok(Tracer { path: path.to_path_buf(), file, lines: String::new() })
    }

    /// The node has started, with what it found on its disk.
    pub fn start(&mut self, node: &Node) {
        let cause = if node.current_term == 0 { Cause::Init } else { Cause::Restart };
        self.add(Step::of(node, cause, &[], Some(1)));
    }

    /// The node has taken a step. One in which nothing came, and nothing came of it, is left out.
    pub fn step(&mut self, node: &Node, cause: Cause, outputs: &[Output]) {
        let quiet = matches!(cause, Cause::Timeout | Cause::Saved) && outputs.is_empty();
        if !quiet {
            self.add(Step::of(node, cause, outputs, saved_from(outputs)));
        }
    }

    fn add(&mut self, step: Step) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = since_1970.as_millis() as u64;
        self.lines += &write::line(&Moment { time_ms, record: Record::Step(step) });
        self.lines.push('\n');
    }

    /// Writes the lines that wait.
    ///
    /// # Errors
    /// One line that names the file. The trace is of no more use: it has a gap.
    pub fn flush(&mut self) -> Result<(), String> {
        let written = self.file.write_all(self.lines.as_bytes());
        self.lines.clear();
        written.map_err(|error| cannot_write(&self.path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write the trace {}: {error}", path.display())
}

/// From which index on the log has changed.
fn saved_from(outputs: &[Output]) -> Option<Index> {
    let from = outputs.iter().filter_map(|output| match output {
        Output::SaveEntries { after, .. } => Some(after + 1),
        _ => None,
    });
    from.min()
}

/// Where the last whole line ends.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
