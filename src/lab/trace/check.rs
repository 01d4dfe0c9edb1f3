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
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::lab::checker::{Checker, Violation};
use crate::message::Term;
use crate::record::read::{self, Facts, Line};

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
    /// The last line of these files is not finished: it was left out.
    pub unfinished: Vec<Position>,
}

/// Reads these files and judges them.
///
/// # Errors
/// One line that names the file, the line and what is wrong, if one cannot be read.
pub fn files(paths: &[impl AsRef<Path>]) -> Result<Verdict, String> {
    let mut traces = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let name = path.display().to_string();
        let file = File::open(path).map_err(|why| format!("cannot open {name}: {why}"))?;
        traces.push(Trace::new(name, file));
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
        let Some(length) = self.checker.log_length(id).or(facts.starts.then_some(0)) else {
            return Err(format!("lines are missing: {id} has not started before this one"));
        };
        match facts.log {
            Some((from, _)) if !facts.starts && from > length + 1 => Err(format!(
                "lines are missing: the log of {id} goes on at {from}, and ended at {length}"
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
        let Seen { files, lines, servers, elections, committed, applied, unfinished } = self;
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
        unfinished
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
mod tests {
    use super::*;
    use crate::lab::journal::Power;
    use crate::lab::network::Weather;
    use crate::lab::trace::tests::{RUN, record};
    use crate::lab::trace::{Recording, jsonl};
    use crate::lab::world::{Setup, World};
    use crate::message::{Command, NodeId};
    use crate::rules::{Property, Rule, Rules};
    use crate::step::Random;

    fn step(id: u64, step: &str, term: Term, role: &str, more: &str) -> String {
        format!(
            "{{\"time\":{term},\"node\":{id},\"step\":\"{step}\",\"currentTerm\":{term},\
             \"state\":\"{role}\",\"votedFor\":null,{more}\"events\":[]}}\n"
        )
    }

    fn init(id: u64) -> String {
        step(
            id,
            "Init",
            0,
            "Follower",
            "\"commitIndex\":0,\"logFrom\":1,\"log\":[],\"applied\":[],",
        )
    }

    /// A log from index 1 on, with the terms of its entries.
    fn has(commit_index: u64, terms: &[Term]) -> String {
        let entry = |(index, term)| format!("{{\"index\":{index},\"term\":{term},\"value\":\"\"}}");
        let entries: Vec<String> = (1..).zip(terms).map(entry).collect();
        let log = entries.join(",");
        format!("\"commitIndex\":{commit_index},\"logFrom\":1,\"log\":[{log}],\"applied\":[],")
    }

    fn judge_all(files: &[(&str, String)]) -> Result<Verdict, String> {
        let trace = |(name, text): &(&str, String)| {
            Trace::new(name.to_string(), std::io::Cursor::new(text.clone().into_bytes()))
        };
        judge(files.iter().map(trace).collect())
    }

    fn fell(files: &[(&str, String)]) -> (Property, String) {
        match judge_all(files) {
            Ok(Verdict::Fell(violation, at, _)) => (violation.property, at.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_of_a_simulated_run_is_read_back_and_holds() {
        let recording = record(RUN);
        let lines = jsonl::text(&recording);
        let Ok(Verdict::Held(seen)) = text("run", &lines) else { panic!("{lines}") };
        assert_eq!(seen.lines as usize, recording.moments.len());
        assert_eq!((seen.servers, seen.elections, seen.committed), (3, 1, 1), "{seen}");
    }

    #[test]
    fn text_finds_the_line_at_which_the_simulator_saw_a_property_fall() {
        let run = "without OneVotePerTerm\ncluster 3\ntimeout n1\ntimeout n2\ndeliver n1->n3\n\
            deliver n3->n1\ndeliver n2->n3\ndeliver n3->n2";
        let lines = jsonl::text(&record(run));
        let at = lines.lines().position(|line| line.contains("\"step\":\"Broken\"")).unwrap();
        let Ok(Verdict::Fell(violation, position, run_up)) = text("run", &lines) else {
            panic!("{lines}")
        };
        assert_eq!(
            violation.to_string(),
            "Election Safety is broken: n1 and n2 were both elected \
            in term 1"
        );
        assert_eq!(position.line as usize, at, "the one before it");
        let last = run_up.last().unwrap();
        assert!(last.ends_with("n2  term 1  appended 1@1: no-op (§8)"), "{last}");
        assert!(run_up.len() <= RUN_UP);
    }

    #[test]
    fn files_are_merged_by_terms_whatever_the_clocks_say() {
        let leader = |id, term, more: &str| step(id, "Receive", term, "Leader", more);
        // n1 commits 1@1 in term 1; n2 is elected in term 2 without it. By n1's clock that was
        // before.
        let a = init(1) + &leader(1, 1, &has(1, &[1])).replace("\"time\":1", "\"time\":999");
        let b = init(2) + &leader(2, 2, &has(0, &[2]));
        let expected = (Property::LeaderCompleteness, "b:2".to_string());
        assert_eq!(fell(&[("a", a.clone()), ("b", b.clone())]), expected);
        assert_eq!(fell(&[("b", b), ("a", a)]), expected);
    }

    #[test]
    fn each_property_falls_at_its_line() {
        let leader = |id, term, more: &str| step(id, "Receive", term, "Leader", more);
        let follower = |id, term, more: &str| step(id, "Receive", term, "Follower", more);
        let a = init(1) + &leader(1, 1, &has(0, &[1]));
        let both = init(2) + &leader(2, 1, &has(0, &[1]));
        assert_eq!(fell(&[("a", a.clone()), ("b", both)]).0, Property::ElectionSafety);
        let rewrites = a.clone() + &leader(1, 1, &has(0, &[]));
        assert_eq!(fell(&[("a", rewrites)]), (Property::LeaderAppendOnly, "a:3".to_string()));
        let other = init(2) + &follower(2, 1, &has(0, &[1])).replace("\"\"", "\"x\"");
        assert_eq!(fell(&[("a", a), ("b", other)]).0, Property::LogMatching);
        let commits = init(1) + &leader(1, 1, &has(1, &[1]));
        let other = init(2) + &follower(2, 2, &has(1, &[2]));
        assert_eq!(fell(&[("a", commits), ("b", other)]).0, Property::StateMachineSafety);
    }

    #[test]
    fn lines_that_are_missing_or_wrong_are_named() {
        let error = |text: &str| super::text("t", text).unwrap_err();
        assert_eq!(error(""), "there is no line to check");
        assert_eq!(error(&(init(1) + "{}\n")), "t:2: step is missing");
        let later = step(1, "Saved", 1, "Follower", &has(0, &[]));
        assert_eq!(error(&later), "t:1: lines are missing: n1 has not started before this one");
        let gap = later.replace("\"logFrom\":1", "\"logFrom\":3");
        let gap = error(&(init(1) + &gap));
        assert_eq!(gap, "t:2: lines are missing: the log of n1 goes on at 3, and ended at 0");
    }

    #[test]
    fn unfinished_last_line_is_left_out_and_said() {
        let torn = init(1) + "{\"time\":7,\"no";
        let Ok(Verdict::Held(seen)) = text("t", &torn) else { panic!() };
        assert_eq!((seen.lines, seen.unfinished[0].to_string()), (1, "t:2".to_string()));
    }

    /// Random worlds, with and without rules: the lines must tell what the world's own checker saw,
    /// and where.
    #[test]
    fn text_agrees_with_the_simulator_on_random_runs() {
        let left_out = [None, Some(Rule::OneVotePerTerm), Some(Rule::UpToDateLog), None];
        let (mut fell, mut held) = (0, 0);
        for seed in 0..40 {
            let mut rules = Rules::ALL;
            if let Some(rule) = left_out[seed as usize % left_out.len()] {
                rules = rules.without(rule);
            }
            let lines = jsonl::text(&accidents(seed, rules));
            let broken = lines.lines().position(|line| line.contains("\"step\":\"Broken\""));
            let merged = judge_all(&[1, 2, 3].map(|id| ("node", lines_of(id, &lines))));
            let merged_fell = matches!(merged, Ok(Verdict::Fell(..)));
            assert_eq!(merged_fell, broken.is_some(), "seed {seed}: {merged:?}");
            match text("run", &lines).unwrap_or_else(|why| panic!("seed {seed}: {why}")) {
                Verdict::Held(_) => {
                    held += 1;
                    assert_eq!(broken, None, "seed {seed}");
                }
                Verdict::Fell(violation, position, _) => {
                    fell += 1;
                    let broken = broken.unwrap_or_else(|| panic!("seed {seed}: {violation}"));
                    let said = lines.lines().nth(broken).unwrap();
                    assert!(said.contains(&violation.to_string()), "seed {seed}: {said}");
                    // What the step sent may have been lost in the lines between.
                    assert!(position.line as usize <= broken, "seed {seed}");
                }
            }
        }
        assert!(fell > 2 && held > 15, "{fell} fell, {held} held");
    }

    /// What this server would have written of its own.
    fn lines_of(id: u64, lines: &str) -> String {
        let own = lines.lines().filter(|line| line.contains(&format!("\"node\":{id},")));
        own.map(|line| format!("{line}\n")).collect()
    }

    /// Three servers, messages lost, doubled and late, clients, crashes.
    fn accidents(seed: u64, rules: Rules) -> Recording {
        let mut world = World::new(&Setup { rules, seed, ..Setup::of(3) });
        let mut random = Random(seed);
        world.record();
        world.network.weather = Weather {
            delay_ms: (1, 40),
            late_percent: 10,
            late_ms: 400,
            lost_percent: 15,
            doubled_percent: 10,
        };
        world.disk_ms = (0, 20);
        for round in 0..40 {
            world.pass_until(world.now + 100, true);
            let id = NodeId(random.between(1, 3));
            match random.between(1, 4) {
                1 if world.node(id).is_some() => world.crash(id, Power::Fails),
                1 | 2 => world.restart(id),
                _ if world.node(id).is_some() => {
                    world.propose(id, vec![(round, Command::new(&format!("set x={round}")))]);
                }
                _ => {}
            }
        }
        world.recording.expect("it was asked for")
    }
}
