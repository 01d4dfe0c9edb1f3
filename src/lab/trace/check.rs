//! Judges traces: did the properties of Figure 3 hold in a run that left JSON lines behind?
//!
//! The checker of the simulated world is told what the lines say, one by one. Several files, from
//! several machines, are merged by **terms**, Raft's own clock (§5.1), never by the machines'
//! clocks: all that servers did in term 4 comes before anything that any did in term 5, and each
//! server's own lines keep their order. That is enough. Who was elected in a term, what an entry's
//! name stands for, what is committed at an index and in which term: these are facts that no order
//! within a term can change. There the time only decides which of two lines is read first.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::lab::checker::{Checker, Violation};
use crate::node::message::Term;
use crate::storage::trace::read::{self, Facts, Line};

/// How many things that happened last are shown.
const RUN_UP: usize = 15;

/// Where a line stands: `trace-1.jsonl:7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, as it was named.
    pub file: String,
    /// The line's number, from 1.
    pub line: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What came of it when every line could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All properties held, as far as the lines go.
    Held(Seen),
    /// A property fell: which and how, at which line, and what was read before it, for people.
    Fell(Violation, Position, Vec<String>),
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each counts what its name says")]
pub struct Seen {
    pub files: usize,
    pub lines: u64,
    pub servers: usize,
    pub elections: usize,
    pub committed: usize,
    pub applied: u64,
    /// What the simulator saw fall and these lines do not show, such as what clients were told.
    pub reported: Vec<String>,
    /// The last line of these files is not finished: it was left out.
    pub unfinished: Vec<Position>,
}

/// Reads these files and judges them; `-` is stdin.
///
/// # Errors
/// One line that names the file, the line and what is wrong, if one cannot be read.
pub fn files(paths: &[impl AsRef<Path>]) -> Result<Verdict, String> {
    let mut traces = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if path == Path::new("-") {
            traces.push(Trace::new("stdin".to_string(), Box::new(io::stdin()) as Box<dyn Read>));
            continue;
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|why| format!("cannot open {name}: {why}"))?;
        traces.push(Trace::new(name, Box::new(file)));
    }
    judge(traces)
}

/// Judges a text, as if it were a file of this name.
///
/// # Errors
/// As for [`files`].
pub fn text(name: &str, text: &str) -> Result<Verdict, String> {
    judge(vec![Trace::new(name.to_string(), text.as_bytes())])
}

fn judge<R: Read>(mut traces: Vec<Trace<R>>) -> Result<Verdict, String> {
    for trace in &mut traces {
        trace.advance()?;
    }
    let mut judge = Judge::default();
    while let Some(trace) = earliest(&mut traces) {
        let line = trace.head.take().expect("the earliest has a line");
        let position = trace.position();
        if let Some(violation) = judge.take(&line, &position)? {
            return Ok(Verdict::Fell(violation, position, judge.run_up.into()));
        }
        trace.advance()?;
    }
    let mut seen = judge.seen;
    (seen.servers, seen.elections, seen.committed) = judge.checker.counts();
    seen.files = traces.len();
    seen.unfinished = traces
        .iter()
        .filter(|trace| trace.is_torn)
        .map(|trace| Position { line: trace.number + 1, ..trace.position() })
        .collect();
    match seen.lines {
        0 => Err("there is no line to check".to_string()),
        _ => Ok(Verdict::Held(seen)),
    }
}

/// The trace whose next line comes first: in the earliest term, and there the oldest.
fn earliest<R>(traces: &mut [Trace<R>]) -> Option<&mut Trace<R>> {
    let waiting = traces.iter_mut().filter(|trace| trace.head.is_some());
    waiting.min_by_key(|trace| (trace.term, trace.head.as_ref().map(|line| line.time_ms)))
}

/// A file that is being read.
struct Trace<R> {
    name: String,
    reader: BufReader<R>,
    /// The number of the line in `head`, or of the last line.
    number: u64,
    /// The next line, until the end.
    head: Option<Line>,
    /// The greatest term up to that line.
    term: Term,
    /// Whether it ended in the midst of a line.
    is_torn: bool,
}

impl<R: Read> Trace<R> {
    fn new(name: String, from: R) -> Trace<R> {
        let reader = BufReader::new(from);
        Trace { name, reader, number: 0, head: None, term: 0, is_torn: false }
    }

    /// Reads the next line. The node may have been killed while it wrote the last one, or be
    /// writing it now.
    fn advance(&mut self) -> Result<(), String> {
        let mut bytes = Vec::new();
        let read = self.reader.read_until(b'\n', &mut bytes);
        read.map_err(|why| format!("cannot read {}: {why}", self.name))?;
        self.head = None;
        if bytes.pop_if(|last| *last == b'\n').is_none() {
            self.is_torn = !bytes.is_empty();
            return Ok(());
        }
        self.number += 1;
        let text = str::from_utf8(&bytes).map_err(|_| "this is not UTF-8".to_string());
        let line =
            text.and_then(read::line).map_err(|why| format!("{}: {why}", self.position()))?;
        let term = line.facts.as_ref().map_or(0, |facts| facts.current_term);
        self.term = self.term.max(term);
        self.head = Some(line);
        Ok(())
    }
}

impl<R> Trace<R> {
    fn position(&self) -> Position {
        Position { file: self.name.clone(), line: self.number }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Judge {
    checker: Checker,
    seen: Seen,
    run_up: VecDeque<String>,
}

impl Judge {
    /// Takes in a line; the property that falls, if one does.
    fn take(&mut self, line: &Line, position: &Position) -> Result<Option<Violation>, String> {
        self.seen.lines += 1;
        if line.step == "Broken" {
            self.seen.reported.push(format!("{position} says: {}", line.told.join(", ")));
        }
        self.run_up.extend(for_people(line).iter().map(|told| format!("{position}  {told}")));
        let too_many = self.run_up.len().saturating_sub(RUN_UP);
        self.run_up.drain(..too_many);
        let Some(facts) = &line.facts else { return Ok(None) };
        self.check_nothing_is_missing(facts).map_err(|why| format!("{position}: {why}"))?;
        self.seen.applied += facts.applied.len() as u64;
        Ok(self.checker.told(facts).err())
    }

    /// A server's lines are of use only from its start on, and without a gap.
    fn check_nothing_is_missing(&self, facts: &Facts) -> Result<(), String> {
        let id = facts.id;
        let Some(last_index) = self.checker.last_index(id).or(facts.starts.then_some(0)) else {
            return Err(format!("lines are missing: {id} has not started before this one"));
        };
        let next = last_index.max(facts.snapshot.index) + 1;
        match facts.log {
            Some((from, _)) if !facts.starts && from > next => Err(format!(
                "lines are missing: the log of {id} goes on at {from}, and ended at {last_index}"
            )),
            _ => Ok(()),
        }
    }
}

/// What a line says, in short: its events, or which step it is.
fn for_people(line: &Line) -> Vec<String> {
    match &line.facts {
        Some(Facts { id, current_term, .. }) if line.told.is_empty() => {
            vec![format!("{id}  term {current_term}  {}", line.step)]
        }
        _ => line.told.clone(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Verdict::Held(seen) => write!(f, "{seen}"),
            Verdict::Fell(violation, position, run_up) => {
                writeln!(f, "{position}: {violation}")?;
                writeln!(f, "what happened last, up to that line:")?;
                run_up.iter().try_for_each(|line| writeln!(f, "  {line}"))
            }
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Seen { files, lines, servers, elections, committed, applied, .. } = self;
        writeln!(f, "All five properties of Figure 3 held.")?;
        writeln!(
            f,
            "Looked at: {lines} lines in {}, {},",
            some(*files, "file"),
            some(*servers, "server")
        )?;
        let (elections, committed) =
            (some(*elections, "elected leader"), some(*committed, "committed entry"));
        writeln!(f, "{elections}, {committed}, applied {applied} times in all.")?;
        for report in &self.reported {
            writeln!(f, "But the simulator saw, which servers cannot: {report}")?;
        }
        self.unfinished
            .iter()
            .try_for_each(|position| writeln!(f, "{position} is not finished, and was left out."))
    }
}

/// `1 file`, `3 files`.
fn some(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests;
