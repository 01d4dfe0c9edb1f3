//! Text into facts: what a line of a trace says that the properties of Figure 3 are judged by.
//!
//! A line may come from anywhere, so nothing in it is believed before it is checked: whole numbers
//! up to 2^53 (what every reader of JSON can hold), terms and indexes that fit together. Messages
//! are not looked at: what a server is and has done is said by its own variables.

use crate::json::Json;
use crate::node::message::{Command, Entry, EntryId, Index, NodeId, Term};

/// The greatest number in a line.
const MAX_NUMBER: u64 = 1 << 53;

/// How much of a wrong value is shown.
const MAX_SHOWN_CHARS: usize = 40;

/// A line of a trace, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was written.
    pub time_ms: u64,
    /// The name of the step.
    pub step: String,
    /// What a server says of itself; nothing if the line is not of a server's step.
    pub facts: Option<Facts>,
    /// What the line says to people.
    pub told: Vec<String>,
}

/// What a server says of itself after a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Which server.
    pub id: NodeId,
    /// Whether it has just started: then its log is told from its beginning.
    pub starts: bool,
    /// Its term.
    pub current_term: Term,
    /// Its vote in that term.
    pub voted_for: Option<NodeId>,
    /// Whether it leads that term.
    pub leads: bool,
    /// The last entry that its snapshot stands for: the log begins behind it.
    pub snapshot: EntryId,
    /// From this index on its log is these entries, and no others; `None`: it has not changed.
    pub log: Option<(Index, Vec<Entry>)>,
    /// The last entry that it counts as committed.
    pub commit_index: Index,
    /// What it applied in this step, in order.
    pub applied: Vec<Entry>,
}

/// Reads a line. The error says what is wrong with it.
pub fn line(text: &str) -> Result<Line, String> {
    let json = Json::parse(text).map_err(|why| format!("this is not JSON: {why}"))?;
    let step = member(&json, "step", Json::as_str)?.to_string();
    let facts = match step.as_str() {
        "Init" | "Restart" | "Timeout" | "Receive" | "ClientRequest" | "Read" | "Saved"
        | "TakeSnapshot" => Some(facts(&json, &step)?),
        "Crash" | "DropMessage" | "DuplicateMessage" | "Broken" => None,
        _ => return Err(format!("there is no step {step:?}")),
    };
    let events = json.get("events").and_then(Json::as_array).unwrap_or_default();
    let mut told: Vec<String> = events.iter().filter_map(Json::as_str).map(shown).collect();
    match step.as_str() {
        "Crash" => told.push(format!("{}  crashes", NodeId(number(&json, "node")?))),
        "Broken" => told.push(shown(member(&json, "why", Json::as_str)?)),
        _ => {}
    }
    Ok(Line { time_ms: number(&json, "time")?, step, facts, told })
}

/// A text for people, on one line: a file may hold what a terminal would take for commands.
fn shown(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '·' } else { one }).collect()
}

fn facts(json: &Json, step: &str) -> Result<Facts, String> {
    let starts = step == "Init" || step == "Restart";
    let snapshot = match json.get("snapshotIndex") {
        Some(_) => {
            EntryId { index: number(json, "snapshotIndex")?, term: number(json, "snapshotTerm")? }
        }
        None => EntryId::default(),
    };
    let log = match json.get("log") {
        Some(_) => Some((number(json, "logFrom")?, entries(json, "log")?)),
        None if starts => return Err(format!("log is missing in a {step}")),
        None => None,
    };
    if let Some((from, entries)) = &log {
        check_log(*from, entries, starts.then_some(snapshot))?;
    }
    let voted_for = match json.get("votedFor") {
        Some(Json::Null) => None,
        _ => Some(NodeId(number(json, "votedFor")?)),
    };
    let leads = match member(json, "state", Json::as_str)? {
        "Leader" => true,
        "Follower" | "Candidate" => false,
        other => return Err(format!("state is Follower, Candidate or Leader, not {other:?}")),
    };
    Ok(Facts {
        id: NodeId(number(json, "node")?),
        starts,
        current_term: number(json, "currentTerm")?,
        voted_for,
        leads,
        snapshot,
        log,
        commit_index: number(json, "commitIndex")?,
        applied: entries(json, "applied")?,
    })
}

/// Indexes follow one another. At the start, the first follows the snapshot.
fn check_log(from: Index, entries: &[Entry], start: Option<EntryId>) -> Result<(), String> {
    if from == 0 || start.is_some_and(|snapshot| from != snapshot.index + 1) {
        return Err(format!("logFrom cannot be {from} here"));
    }
    match (from..).zip(entries).find(|(index, entry)| *index != entry.index) {
        Some((index, entry)) => Err(format!("log has entry {} where {index} stands", entry.index)),
        None => Ok(()),
    }
}

fn entries(json: &Json, name: &str) -> Result<Vec<Entry>, String> {
    let entries = member(json, name, Json::as_array)?.iter().map(entry);
    entries.collect::<Result<Vec<Entry>, String>>().map_err(|why| format!("{name}: {why}"))
}

fn entry(json: &Json) -> Result<Entry, String> {
    let (index, term) = (number(json, "index")?, number(json, "term")?);
    if index == 0 || term == 0 {
        return Err("index and term of an entry begin at 1".to_string());
    }
    let command = Command::new(member(json, "value", Json::as_str)?);
    Ok(Entry { index, term, command })
}

fn number(json: &Json, name: &str) -> Result<u64, String> {
    match member(json, name, Json::as_u64)? {
        number @ 0..=MAX_NUMBER => Ok(number),
        number => Err(format!("{name} is too great: {number}")),
    }
}

/// A member that must be there, and of this kind.
fn member<'a, T>(
    json: &'a Json,
    name: &str,
    of_kind: impl Fn(&'a Json) -> Option<T>,
) -> Result<T, String> {
    let value = json.get(name).ok_or_else(|| format!("{name} is missing"))?;
    of_kind(value).ok_or_else(|| {
        let mut shown = value.to_string();
        if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN_CHARS) {
            shown.truncate(end);
            shown.push('…');
        }
        format!("{name} cannot be {shown}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: &str = concat!(
        r#"{"time":7,"node":1,"step":"Saved","currentTerm":2,"state":"Leader","votedFor":1,"#,
        r#""commitIndex":1,"logFrom":2,"log":[{"index":2,"term":2,"value":"set x=1"}],"#,
        r#""applied":[{"index":1,"term":1,"value":"no-op"}],"events":["n1  term 2  committed"]}"#
    );

    #[test]
    fn line_reads_what_a_server_says_of_itself() {
        let line = line(STEP).unwrap();
        assert_eq!((line.time_ms, &line.step[..]), (7, "Saved"));
        assert_eq!(line.told, ["n1  term 2  committed"]);
        let entry = |index, term, text| Entry { index, term, command: Command::new(text) };
        let expected = Facts {
            id: NodeId(1),
            starts: false,
            current_term: 2,
            voted_for: Some(NodeId(1)),
            leads: true,
            snapshot: EntryId::default(),
            log: Some((2, vec![entry(2, 2, "set x=1")])),
            commit_index: 1,
            applied: vec![entry(1, 1, "no-op")],
        };
        assert_eq!(line.facts, Some(expected));
    }

    #[test]
    fn line_tells_people_nothing_that_a_terminal_obeys() {
        let hostile = STEP.replace("term 2  committed", "\\u001b[2J\\n");
        assert_eq!(line(&hostile).unwrap().told, ["n1  ·[2J·"]);
    }

    #[test]
    fn line_says_what_is_wrong() {
        for (from, to, expected) in [
            ("Saved", "Slept", "there is no step \"Slept\""),
            ("\"node\":1", "\"node\":-1", "node cannot be -1"),
            ("\"time\":7", "\"tame\":7", "time is missing"),
            ("Leader", "Boss", "state is Follower, Candidate or Leader, not \"Boss\""),
            ("\"votedFor\":1,", "", "votedFor is missing"),
            ("\"logFrom\":2", "\"logFrom\":3", "log has entry 2 where 3 stands"),
            ("\"logFrom\":2", "\"logFrom\":0", "logFrom cannot be 0 here"),
            ("Saved", "Restart", "logFrom cannot be 2 here"),
            ("\"index\":1", "\"index\":0", "applied: index and term of an entry begin at 1"),
            (
                "\"commitIndex\":1",
                "\"commitIndex\":9007199254740993",
                "commitIndex is too great: 9007199254740993",
            ),
        ] {
            assert!(STEP.contains(from), "{from}");
            assert_eq!(line(&STEP.replacen(from, to, 1)), Err(expected.to_string()), "{to}");
        }
        assert!(line("{").unwrap_err().starts_with("this is not JSON: "));
    }
}
