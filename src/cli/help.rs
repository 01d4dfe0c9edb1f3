//! What `--help` prints, read off the tables of verbs and options.

use std::fmt::Write;

use super::options::{KNOWN, Known};
use super::verbs::{GROUPS, Verb};

const END: &str = "
Every verb explains itself and its options: raftlet set --help, raftlet 1 --help.
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no leader or nobody knows whether it was done.
With cargo, put -- first: cargo run -- set x 42
A word that begins with -- is an option, unless it stands behind a lone --.

Environment, where there is no file: NODE_ID (which node this is), PEERS (node2:5000,node3:5000
or 2=node2:5000), PORT (default: 5000 + NODE_ID), HOST (what to bind), ADVERTISE (host:port
where clients outside reach this node), FAULTS_FROM (loopback or anywhere)
";

/// `raftlet --help`: all verbs.
pub fn overview() -> String {
    let mut text = "raftlet: Raft you can watch, break and read\n".to_string();
    let verbs = || GROUPS.iter().flat_map(|group| group.verbs);
    let width = verbs().map(|verb| verb.usage().len()).max().unwrap_or_default();
    for group in &GROUPS {
        let _ = writeln!(text, "\n{}", group.title);
        for verb in group.verbs {
            let _ = writeln!(text, "  {:width$}  {}", verb.usage(), verb.summary);
        }
    }
    text + END
}

/// `raftlet set --help`: one verb.
pub fn of(verb: &Verb) -> String {
    let title = format!("{}: {}", verb.usage(), verb.summary);
    let options: Vec<&Known> = KNOWN
        .iter()
        .filter(|known| verb.options.contains(&known.name) || known.name == "--help")
        .collect();
    page(&title, verb.help, &options, verb.example)
}

/// A page of help: what is done, the options in a table, and a command line to try.
pub fn page(title: &str, help: &str, options: &[&Known], example: &str) -> String {
    let mut text = format!("{title}\n");
    if !help.is_empty() {
        text += &format!("\n{help}\n");
    }
    text += "\nOptions\n";
    let shown = |known: &Known| format!("{} {}", known.name, known.value);
    let width = options.iter().map(|known| shown(known).len()).max().unwrap_or_default();
    for known in options {
        let _ = writeln!(text, "  {:width$}  {}", shown(known), known.help);
    }
    text + &format!("\nExample\n  {example}\n")
}
