//! What a run leaves behind, for other tools and other eyes.
//!
//! A [`Recording`] is every step of a run with the state after it. From it come, as pure functions
//! from a recording to a text: a sequence diagram for Mermaid, a space-time diagram as SVG, a log
//! with vector clocks for ShiViz, and JSON lines for everything else. The last can be read back:
//! [`check`] judges such lines, from here or from real nodes.

pub mod check;
pub mod jsonl;
pub mod mermaid;
pub mod shiviz;
pub mod svg;
mod ways;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::lab::journal::Happening;
use crate::lab::network::Number;
use crate::node::Node;
use crate::node::event::RoleName;
use crate::node::message::{Message, NodeId};
use crate::node::step::{Millis, Output};
use crate::storage::trace::record::{Cause, Moment, Record, State, Step};

/// All that happened in a world, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Moment by moment.
    pub moments: Vec<Moment>,
    /// The message that has come to its server, which takes its step next.
    arriving: Option<Number>,
}

impl Recording {
    /// A server has taken a step, or started.
    pub fn step(&mut self, now: Millis, node: &Node, cause: Cause, outputs: &[Output]) {
        let cause = match cause {
            Cause::Receive(None, message) => Cause::Receive(self.arriving.take(), message),
            other => other,
        };
        let step = Step::of(node, cause, outputs, Some(1));
        self.push(now, Record::Step(step));
    }

    /// Something happened around the servers' steps.
    pub fn note(&mut self, now: Millis, happening: &Happening) {
        match happening {
            Happening::Sent(number, message) => {
                if !self.give_number(*number, message) {
                    let original = self.original(message).unwrap_or(*number);
                    self.push(now, Record::Duplicate(original, *number, message.clone()));
                }
            }
            Happening::Arrived(number, _) => self.arriving = Some(*number),
            Happening::Lost(number, message, why) => {
                self.give_number(*number, message); // if it was lost as soon as it was sent
                self.push(now, Record::Drop(*number, message.clone(), why));
            }
            Happening::Crashed(id, saves_lost) => {
                self.push(now, Record::Crash(*id, *saves_lost));
            }
            Happening::Broke(violation) => self.push(now, Record::Broken(violation.to_string())),
            // These the step itself has recorded, or they are the clients'.
            Happening::Event(_) | Happening::Answered(_) => {}
        }
    }

    fn push(&mut self, now: Millis, record: Record) {
        self.moments.push(Moment { time_ms: now, record });
    }

    /// The first message of the sender's last step that has no number yet gets it. False if all
    /// have one: it is a copy, or was sent before.
    fn give_number(&mut self, number: Number, message: &Message) -> bool {
        let last = self.moments.iter_mut().rev().find_map(|moment| match &mut moment.record {
            Record::Step(step) if step.id == message.from => Some(&mut step.sent),
            _ => None,
        });
        let mut unnumbered = last.into_iter().flatten().filter(|(number, _)| number.is_none());
        match unnumbered.find(|(_, sent)| sent == message) {
            Some((its_number, _)) => {
                *its_number = Some(number);
                true
            }
            None => false,
        }
    }

    /// The number of the message that was sent last with these words.
    fn original(&self, message: &Message) -> Option<Number> {
        let mut sent = self.steps().rev().flat_map(|step| step.sent.iter());
        sent.find(|(_, sent)| sent == message).and_then(|(number, _)| *number)
    }

    /// Whether anything has happened yet, but that servers are there.
    pub fn has_begun(&self) -> bool {
        self.moments.iter().any(|moment| match &moment.record {
            Record::Step(step) => step.cause != Cause::Init,
            _ => true,
        })
    }

    fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.moments.iter().filter_map(|moment| match &moment.record {
            Record::Step(step) => Some(step),
            _ => None,
        })
    }

    /// All servers that are in it.
    /// In the order of their numbers.
    fn servers(&self) -> Vec<NodeId> {
        let mut servers = Vec::new();
        for id in self.steps().map(|step| step.id) {
            if let Err(place) = servers.binary_search(&id) {
                servers.insert(place, id);
            }
        }
        servers
    }
}

/// A step in a few words: what clients asked, and what is new about the server. Mostly nothing.
fn note(before: Option<&State>, step: &Step) -> String {
    let mut words = Vec::new();
    let mut before = before;
    match &step.cause {
        Cause::Restart => {
            words.push("starts again".to_string());
            before = None;
        }
        Cause::ClientRequest(commands) => {
            words.extend(commands.iter().map(|command| format!("client: {command}")));
        }
        _ => {}
    }
    let State { current_term, role, commit_index, .. } = step.state;
    let old = before.map_or((0, RoleName::Follower), |state| (state.current_term, state.role));
    if old != (current_term, role) {
        words.push(format!("term {current_term}, {}", role.lower()));
    }
    if commit_index > before.map_or(0, |before| before.commit_index) {
        words.push(format!("commits {commit_index}"));
    }
    words.join(", ")
}

/// What is to be written, and where: `-` is stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the file of the format it is named after")]
pub struct Options {
    pub mermaid: Option<PathBuf>,
    pub svg: Option<PathBuf>,
    pub shiviz: Option<PathBuf>,
    pub jsonl: Option<PathBuf>,
}

impl Options {
    /// Whether anything is to be written, and so a run to be recorded.
    pub fn any(&self) -> bool {
        *self != Options::default()
    }

    /// Whether stdout is taken: nothing else may be written to it.
    pub fn take_stdout(&self) -> bool {
        let Options { mermaid, svg, shiviz, jsonl } = self;
        [mermaid, svg, shiviz, jsonl].into_iter().flatten().any(|path| path == Path::new("-"))
    }
}

/// Writes runs in every form that is asked for. If there are several, each gets a file of its own:
/// `run-1.svg`, `run-2.svg`.
///
/// # Errors
/// One line that names the file.
pub fn write(options: &Options, recordings: &[&Recording]) -> Result<(), String> {
    type Form = fn(&Recording) -> String;
    let Options { mermaid, svg, shiviz, jsonl } = options;
    let forms: [(&Option<PathBuf>, Form); 4] =
        [(mermaid, mermaid::text), (svg, svg::text), (shiviz, shiviz::text), (jsonl, jsonl::text)];
    if options.take_stdout() && recordings.len() > 1 {
        let count = recordings.len();
        return Err(format!("the run has {count} clusters, and - takes one: name a file"));
    }
    for (path, form) in forms {
        let Some(path) = path else { continue };
        for (before, recording) in recordings.iter().enumerate() {
            let number = (recordings.len() > 1).then_some(before + 1);
            let path = numbered(path, number);
            write_file(&path, &form(recording))?;
            if path != Path::new("-") {
                eprintln!("raftlet: {} is written", path.display());
            }
        }
    }
    Ok(())
}

/// `run-2.svg` for `run.svg`.
fn numbered(path: &Path, number: Option<usize>) -> PathBuf {
    let Some(number) = number else { return path.to_path_buf() };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    let ending = extension.map_or(String::new(), |extension| format!(".{extension}"));
    path.with_file_name(format!("{stem}-{number}{ending}"))
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    let written = match path == Path::new("-") {
        true => io::stdout().lock().write_all(text.as_bytes()),
        false => fs::write(path, text),
    };
    match written {
        // A reader who has seen enough (`| head`) is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lab::script::Lab;

    /// How many messages were lost, and how many arrived.
    pub fn lost_and_arrived(recording: &Recording) -> (usize, usize) {
        let ways = ways::ways(recording);
        let count =
            |fits: fn(&ways::End) -> bool| ways.values().filter(|way| fits(&way.end)).count();
        let lost = count(|end| matches!(end, ways::End::Lost(..)));
        (lost, count(|end| matches!(end, ways::End::Arrived(_))))
    }

    /// What is left of a script.
    pub fn record(script: &str) -> Recording {
        let mut lab = Lab::default();
        lab.world.record();
        for line in script.lines() {
            lab.command(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        }
        lab.world.recording.expect("it was asked for")
    }

    /// An election with a message lost on a cut link, one dropped, one doubled, a crash, a restart,
    /// and two messages that are in flight at the end.
    pub const RUN: &str = "cluster 3\ntimeout n1\ncut n1->n3\nduplicate n1->n2\ndeliver n1->n2\n\
        drop 2\nrun\nheal\ncrash n2\nrestart n2\ntimeout n1";

    #[test]
    fn numbered_keeps_the_ending() {
        for (path, expected) in [("a/run.svg", "a/run-2.svg"), ("run", "run-2")] {
            assert_eq!(numbered(Path::new(path), Some(2)), Path::new(expected));
            assert_eq!(numbered(Path::new(path), None), Path::new(path));
        }
    }

    #[test]
    fn recording_numbers_every_message_and_knows_copies() {
        let recording = record(RUN);
        let sent = recording.steps().flat_map(|step| step.sent.iter());
        let numbers: Vec<Option<Number>> = sent.map(|(number, _)| *number).collect();
        assert!(numbers.iter().all(Option::is_some), "{numbers:?}");
        let duplicates = recording.moments.iter().filter_map(|moment| match moment.record {
            Record::Duplicate(original, copy, _) => Some((original, copy)),
            _ => None,
        });
        assert_eq!(duplicates.collect::<Vec<_>>(), [(1, 3)]);
        let mut all: Vec<Number> = numbers.into_iter().flatten().chain([3]).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=all.len() as Number).collect::<Vec<_>>(), "each once");
    }
}
