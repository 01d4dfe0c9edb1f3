//! Writes what a node does to a file, a line each step, for `raftlet check`.
//!
//! The raft thread writes the lines of a round before it does anything that the round asks for. So
//! whatever left the node is in its trace, even if the node is killed in the next moment. The file
//! is not synced: a power failure may take the last lines. A node that starts again goes on in the
//! same file. It is a file for people, so an error of it stops the trace and never the node.
//!
//! `trace/record.rs` is what a step was; `trace/write.rs` and `trace/read.rs` are its text, a line
//! of JSON each. The lab keeps records of its simulated servers in the same form.

pub mod read;
pub mod record;
pub mod write;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::node::Node;
use crate::node::message::Index;
use crate::node::step::Output;
use record::{Cause, Moment, Record, Step};

/// The trace of a node.
pub struct Trace {
    path: PathBuf,
    file: File,
    /// Lines that are not written yet.
    lines: String,
}

impl Trace {
    /// Opens the file, or makes it. A line that the node could not finish, when it was killed, is
    /// cut off.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn open(path: &Path) -> Result<Trace, String> {
        let open = || {
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
            let (end, length) = (end_of_last_line(&mut file)?, file.seek(SeekFrom::End(0))?);
            if end < length {
                file.set_len(end)?;
            }
            Ok(file)
        };
        let file = open().map_err(|error| cannot_write(path, &error))?;
        Ok(Trace { path: path.to_path_buf(), file, lines: String::new() })
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
        Output::DiscardLog { through, retain: false, .. } => Some(through.index + 1),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::node::message::{Command, NodeId};
    use crate::node::rules::Rules;
    use crate::node::step::{Input, Saved, Settings, Timing};
    use crate::storage::trace::read::{self, Facts};

    /// A file that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("raftlet-tracer-{}-{name}", std::process::id());
            Scratch(std::env::temp_dir().join(name))
        }

        fn facts(&self) -> Vec<Facts> {
            let text = fs::read_to_string(&self.0).expect("it was written");
            text.lines().filter_map(|line| read::line(line).expect(line).facts).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn alone() -> Node {
        let settings = Settings {
            id: NodeId(1),
            peers: Vec::new(),
            timing: Timing::PAPER,
            rules: Rules::ALL,
            max_entries: 1,
            max_bytes: 1,
            max_chunk_bytes: 1 << 20,
            seed: 1,
        };
        Node::new(settings, Saved::default(), 0)
    }

    #[test]
    fn step_tells_what_is_new_of_the_log() {
        let scratch = Scratch::new("step");
        let mut trace = Trace::open(&scratch.0).unwrap();
        let mut node = alone();
        trace.start(&node);
        let inputs =
            [Input::Tick, Input::TimerFires, Input::Propose(vec![(7, Command::new("set x=1"))])];
        for input in inputs {
            let cause = Cause::of(&input);
            let outputs = node.step(0, input);
            trace.step(&node, cause, &outputs);
        }
        assert_eq!(fs::read(&scratch.0).unwrap(), b"", "nothing before it is flushed");
        trace.flush().unwrap();
        let facts = scratch.facts();
        let logs: Vec<_> = facts.iter().map(|facts| facts.log.clone()).collect();
        let entries = node.log.entries_from(1);
        let expected = [(1, vec![]), (1, entries[..1].to_vec()), (2, entries[1..].to_vec())];
        assert_eq!(logs, expected.map(Some), "the tick in which nothing came is left out");
        assert_eq!(facts.iter().map(|facts| facts.leads).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn open_goes_on_behind_the_last_whole_line() {
        let scratch = Scratch::new("torn");
        for (before, after) in [
            ("", ""),
            ("one\n", "one\n"),
            ("one\ntwo", "one\n"),
            ("torn", ""),
            (&format!("one\n{}", "x".repeat(10_000)), "one\n"),
        ] {
            fs::write(&scratch.0, before).unwrap();
            let mut trace = Trace::open(&scratch.0).unwrap();
            trace.lines = "next\n".to_string();
            trace.flush().unwrap();
            assert_eq!(fs::read_to_string(&scratch.0).unwrap(), format!("{after}next\n"));
        }
    }

    #[test]
    fn open_names_the_file_that_cannot_be_written() {
        let why = Trace::open(Path::new("/no/such/place")).err().unwrap();
        assert!(why.starts_with("cannot write the trace /no/such/place: "), "{why}");
    }
}
