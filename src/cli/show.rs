//! The verbs that look: `status`, `watch` and `log`.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::failure::Failure;
use super::node;
use super::options::Options;
use super::stdout::{print, print_json, write};
use crate::json::Json;
use crate::node::message::{Command, EntryId, NodeId};
use crate::storage;

/// How long a node may take to tell how it is.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How often `watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// To the first column of the first line, and nothing below.
const CLEAR_SCREEN: &str = "\x1b[H\x1b[J";

/// How many entries to ask for at once.
const LOG_LIMIT: u64 = 1000;

/// What a node says of itself, if it says anything.
pub struct Seen {
    pub id: NodeId,
    pub address: String,
    pub status: Option<Json>,
}

/// `status`: a table of all nodes. Done if any of them answered.
pub fn status(options: &Options) -> Result<(), Failure> {
    let seen = look(options)?;
    print(&shown(options, &seen))?;
    match seen.iter().any(|seen| seen.status.is_some()) {
        true => Ok(()),
        false => Err(Failure::Running("no node answers: start one with raftlet 1".to_string())),
    }
}

/// `watch`: the same each second, until Ctrl+C, or until nobody reads it any more.
pub fn watch(options: &Options) -> Result<(), Failure> {
    let clear = if io::stdout().is_terminal() { CLEAR_SCREEN } else { "" };
    loop {
        let text = shown(options, &look(options)?);
        let end = if clear.is_empty() && !options.json { "\n" } else { "" };
        match write(&format!("{clear}{text}{end}")) {
            Ok(()) => thread::sleep(WATCH_EVERY),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                return Err(Failure::Running(format!("cannot write to stdout: {error}")));
            }
        }
    }
}

/// Asks all nodes at once how they are.
pub fn look(options: &Options) -> Result<Vec<Seen>, Failure> {
    let timeout = options.timeout_or(TIMEOUT);
    let nodes = options.registry()?.nodes;
    Ok(thread::scope(|scope| {
        let ask = |address: &str| node::ask(address, "GET", "/status", None, timeout).ok();
        let asking: Vec<_> = nodes
            .into_iter()
            .map(|(id, address)| scope.spawn(move || Seen { id, status: ask(&address), address }))
            .collect();
        asking.into_iter().map(|thread| thread.join().expect("asking never panics")).collect()
    }))
}

/// The node that leads. Of two that say so, it is the one in the later term.
pub fn leader(seen: &[Seen]) -> Option<NodeId> {
    let leaders = seen.iter().filter_map(|seen| {
        let status = seen.status.as_ref()?;
        let leads = status.get("role").and_then(Json::as_str) == Some("leader");
        let term = status.get("current_term").and_then(Json::as_u64)?;
        leads.then_some((term, seen.id))
    });
    leaders.max().map(|(_, id)| id)
}

fn shown(options: &Options, seen: &[Seen]) -> String {
    if options.json {
        return seen.iter().map(|seen| format!("{}\n", status_to_json(seen))).collect();
    }
    table_of(seen)
}

/// A line for each node.
pub fn table_of(seen: &[Seen]) -> String {
    let mut rows = vec![HEADER.map(String::from)];
    rows.extend(seen.iter().map(row));
    table(&rows)
}

/// A line for each entry of a log, as nodes tell of it.
pub fn table_of_entries(entries: &[Json]) -> String {
    let mut rows = vec![["index", "term", "command"].map(String::from)];
    for entry in entries {
        let number = |name| entry.get(name).and_then(Json::as_u64).unwrap_or_default().to_string();
        let command = entry.get("command").and_then(Json::as_str).unwrap_or_default();
        // On one line, and not too long: clients may have sent anything.
        rows.push([number("index"), number("term"), Command::new(command).to_string()]);
    }
    table(&rows)
}

/// All that the node says of itself, where it lives, and whether it can be reached.
fn status_to_json(seen: &Seen) -> Json {
    let more =
        [("address", seen.address.as_str().into()), ("reachable", seen.status.is_some().into())];
    let none = || Json::object([("id", seen.id.0.into())]);
    node::with_members(seen.status.clone().unwrap_or_else(none), more)
}

const HEADER: [&str; 8] =
    ["node", "address", "role", "term", "leader", "last entry", "committed", "applied"];

fn row(Seen { id, address, status }: &Seen) -> [String; 8] {
    let Some(status) = status else {
        let none = String::new;
        let role = "unreachable".to_string();
        return [id.to_string(), address.clone(), role, none(), none(), none(), none(), none()];
    };
    let number = |name| status.get(name).and_then(Json::as_u64);
    let shown = |name| number(name).map(|number| number.to_string()).unwrap_or_default();
    let leader = number("leader").map_or("none".to_string(), |leader| NodeId(leader).to_string());
    let index = number("last_log_index").unwrap_or_default();
    let term = number("last_log_term").unwrap_or_default();
    let role = match status.get("paused").and_then(Json::as_bool) {
        Some(true) => "paused",
        _ => status.get("role").and_then(Json::as_str).unwrap_or_default(),
    };
    [
        id.to_string(),
        address.to_string(),
        role.to_string(),
        shown("current_term"),
        leader,
        EntryId { index, term }.to_string(),
        shown("commit_index"),
        shown("last_applied"),
    ]
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let chars = |cell: &String| cell.chars().count();
    let width = |column: usize| rows.iter().map(|row| chars(&row[column])).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            format!("{cell:width$}")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `log [N]`: the log file of one node, as it is on the disk; or of all that have one here.
pub fn log(options: &Options) -> Result<(), Failure> {
    if options.json {
        return log_of_running(options);
    }
    if let Some(id) = options.node(0)? {
        return log_of(options, id);
    }
    let mut found = false;
    for id in options.registry()?.nodes.into_keys() {
        if storage::log_path(&options.data_of(id)).exists() {
            log_of(options, id)?;
            found = true;
        }
    }
    match found {
        true => Ok(()),
        false => Err(no_log(&options.data_of(NodeId(1)))),
    }
}

fn log_of(options: &Options, id: NodeId) -> Result<(), Failure> {
    options.registry_with(id)?;
    let path = storage::log_path(&options.data_of(id));
    match fs::read(&path) {
        Ok(text) => print(&String::from_utf8_lossy(storage::without_space(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_log(&path)),
        Err(error) => Err(Failure::Running(format!("cannot read {}: {error}", path.display()))),
    }
}

fn no_log(path: &Path) -> Failure {
    Failure::Running(format!("no log at {}: has the node run here? see --data", path.display()))
}

/// `log [N] --json`: each entry of the nodes that run, a line each.
fn log_of_running(options: &Options) -> Result<(), Failure> {
    let mut nodes = options.registry()?.nodes;
    if let Some(only) = options.node(0)? {
        options.registry_with(only)?;
        nodes.retain(|&id, _| id == only);
    }
    let mut troubles = Vec::new();
    let asked = nodes.len();
    for (id, address) in nodes {
        match entries_of(options, &address) {
            Ok(entries) => {
                for entry in entries {
                    print_json(node::with_members(entry, [("node", id.0.into())]))?;
                }
            }
            Err(why) => troubles.push(format!("{id}: {why}")),
        }
    }
    if troubles.len() == asked {
        return Err(Failure::Running(troubles.join("; ")));
    }
    troubles.iter().for_each(|trouble| eprintln!("raftlet: {trouble}"));
    Ok(())
}

/// The log of a node that runs, from its first entry on.
pub fn entries_of(options: &Options, address: &str) -> Result<Vec<Json>, String> {
    let mut entries = Vec::new();
    let mut from = 1;
    loop {
        let path = format!("/log?from={from}&limit={LOG_LIMIT}");
        let answer = node::ask(address, "GET", &path, None, options.timeout_or(TIMEOUT))?;
        let more = answer.get("log").and_then(Json::as_array).unwrap_or_default();
        entries.extend_from_slice(more);
        match more.last().and_then(|entry| entry.get("index")).and_then(Json::as_u64) {
            Some(last) if last >= from => from = last + 1,
            _ => return Ok(entries),
        }
    }
}
