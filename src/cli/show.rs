//! The verbs that look: `status` and `log`.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::options::Options;
use super::{Failure, print};
use crate::http::client;
use crate::json::Json;
use crate::message::{EntryId, NodeId};
use crate::storage;

/// How long a node may take to tell how it is.
const TIMEOUT: Duration = Duration::from_secs(2);

/// `status`: a table of all nodes. Done if any of them answered.
pub fn status(options: &Options) -> Result<(), Failure> {
    let nodes = options.registry()?.nodes;
    let answers: Vec<Option<Json>> = thread::scope(|scope| {
        let asking: Vec<_> =
            nodes.values().map(|address| scope.spawn(|| status_of(address))).collect();
        asking.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let mut rows = vec![HEADER.map(String::from)];
    for ((id, address), answer) in nodes.iter().zip(&answers) {
        rows.push(row(*id, address, answer.as_ref()));
    }
    print(&table(&rows))?;
    match answers.iter().any(Option::is_some) {
        true => Ok(()),
        false => Err(Failure::Running("no node answers: start one with raftlet 1".to_string())),
    }
}

fn status_of(address: &str) -> Option<Json> {
    let reply = client::request("GET", address, "/status", None, TIMEOUT).ok()?;
    Json::parse(&reply.body).ok().filter(|_| reply.status == 200)
}

const HEADER: [&str; 8] =
    ["node", "address", "role", "term", "leader", "last entry", "committed", "applied"];

fn row(id: NodeId, address: &str, status: Option<&Json>) -> [String; 8] {
    let Some(status) = status else {
        let none = String::new;
        let role = "unreachable".to_string();
        return [id.to_string(), address.into(), role, none(), none(), none(), none(), none()];
    };
    let number = |name| status.get(name).and_then(Json::as_u64);
    let shown = |name| number(name).map(|number| number.to_string()).unwrap_or_default();
    let leader = number("leader").map_or("none".to_string(), |leader| NodeId(leader).to_string());
    let index = number("last_log_index").unwrap_or_default();
    let term = number("last_log_term").unwrap_or_default();
    let role = status.get("role").and_then(Json::as_str).unwrap_or_default();
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
fn table(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
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

/// `log`: the log files of all nodes of the registry that have one here.
pub fn logs(options: &Options) -> Result<(), Failure> {
    let mut found = false;
    for id in options.registry()?.nodes.into_keys() {
        if storage::log_path(&options.data_of(id)).exists() {
            log(options, id)?;
            found = true;
        }
    }
    match found {
        true => Ok(()),
        false => Err(no_log(&options.data_of(NodeId(1)))),
    }
}

/// `log N`: the log file of one node, as it is on the disk.
pub fn log(options: &Options, id: NodeId) -> Result<(), Failure> {
    options.registry_with(id)?;
    let path = storage::log_path(&options.data_of(id));
    match fs::read(&path) {
        Ok(text) => print(&String::from_utf8_lossy(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_log(&path)),
        Err(error) => Err(Failure::Running(format!("cannot read {}: {error}", path.display()))),
    }
}

fn no_log(path: &Path) -> Failure {
    Failure::Running(format!("no log at {}: has the node run here? see --data", path.display()))
}
