//! Keeps the house tidy: who may know whom, how long things may grow, and that every rule of the
//! paper is cited in the code and held by a test. What it checks is text, so it is quick and a
//! failure names the file and line.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use raftlet::node::rules::Rule;
use support::sources::{Source, assert_none, page_files, rust_files, sources};

const MAX_LINE_CHARS: usize = 100;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_NODE_LINES: usize = 700;

/// The rooms, and what each may look into: whole rooms, or single files of one (`server::inbox`).
const ROOMS: [(&str, &str); 13] = [
    ("node", ""),
    ("json", ""),
    ("storage", "json node"),
    ("state_machine", "json node"),
    ("transport", "json node server::inbox"),
    ("config", "node transport"),
    ("server", "config json node state_machine storage transport"),
    ("http", "json node server::inbox server::status server::subscribers state_machine transport"),
    ("client", "http json node state_machine"),
    ("lab", "config::nearest json node state_machine storage"),
    ("cli", "client config http json lab node server state_machine storage transport"),
    ("main", ""),
    ("lib", ""),
];

/// The rooms in which no file may name these.
const WITHOUT_LOCKS: [&str; 5] = ["node", "server", "http", "storage", "state_machine"];
const LOCKS: &str = "Mutex RwLock Condvar Atomic Barrier OnceLock LazyLock";

/// What no file of the brain may name: the world outside, and an order that changes from run to
/// run.
const IMPURE: &str = "std::net std::fs std::io std::thread std::time std::env std::process Instant \
                      SystemTime HashMap HashSet println! mpsc";

/// All Rust files that follow the rules of form.
fn all_rust_files() -> Vec<Source> {
    sources().into_iter().chain(rust_files("benches")).chain(rust_files("tests")).collect()
}

#[test]
fn rooms_know_only_whom_they_may() {
    let mut offences = Vec::new();
    for source in sources() {
        let room = source.room();
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            offences.push(format!("{room} is a new room: say in tests/tidy.rs whom it may know"));
            continue;
        };
        for (number, line) in source.code().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (at, _) in code.match_indices("crate::") {
                let path = &code[at + "crate::".len()..];
                let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let path = path.split(|c| !is_path(c)).next().unwrap_or_default();
                let name = path.split("::").next().unwrap_or_default();
                let file = path.split("::").take(2).collect::<Vec<_>>().join("::");
                let is_allowed = |allowed: &str| allowed == name || allowed == file;
                if name != room && !allowed.split_whitespace().any(is_allowed) {
                    let path = source.path.display();
                    offences.push(format!("{path}:{}: {room} may not know {name}", number + 1));
                }
            }
        }
    }
    assert_none("rooms that know too much", offences);
}

/// Threads meet in channels. A lock or an atomic anywhere else would be a second way to meet.
#[test]
fn rooms_without_locks_have_none() {
    let mut offences = Vec::new();
    let is_without = |source: &&Source| WITHOUT_LOCKS.contains(&source.room().as_str());
    for source in sources().iter().filter(is_without) {
        for (number, line) in source.code().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in LOCKS.split(' ').filter(|word| code.contains(word)) {
                offences.push(format!("{}:{}: {word}", source.path.display(), number + 1));
            }
        }
    }
    assert_none("locks outside the transport", offences);
}

#[test]
fn brain_is_pure() {
    let mut offences = Vec::new();
    for source in sources().iter().filter(|source| source.room() == "node") {
        for (number, line) in source.code().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in IMPURE.split(' ').filter(|word| code.contains(word)) {
                offences.push(format!("{}:{}: {word}", source.path.display(), number + 1));
            }
        }
    }
    assert_none("the brain touches the world", offences);
}

#[test]
fn lines_are_not_too_long() {
    let mut offences = Vec::new();
    for source in all_rust_files().iter().chain(&page_files()) {
        for (number, line) in source.text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > MAX_LINE_CHARS {
                offences.push(format!("{}:{}: {chars}", source.path.display(), number + 1));
            }
        }
    }
    assert_none("lines over 100 characters", offences);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut offences = Vec::new();
    for source in all_rust_files().iter().chain(&page_files()) {
        let mut begun: Vec<(usize, usize)> = Vec::new(); // line, indentation
        for (number, line) in source.text.lines().enumerate() {
            let indentation = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let rust = ["fn ", "pub fn ", "const fn ", "pub const fn ", "pub(crate) fn "];
            let javascript = ["function ", "async function "];
            let starts = rust.iter().chain(&javascript);
            if starts.into_iter().any(|start| code.starts_with(start)) && !code.ends_with(';') {
                begun.push((number, indentation));
            }
            let ends = begun.last().is_some_and(|&(_, of_fn)| of_fn == indentation);
            if ends && (code == "}" || code.ends_with(" }") || code.ends_with("{}")) {
                let (first, _) = begun.pop().expect("it was just looked at");
                let lines = number + 1 - first;
                if lines > MAX_FUNCTION_LINES {
                    let path = source.path.display();
                    offences.push(format!("{path}:{}: {lines} lines", first + 1));
                }
            }
        }
    }
    assert_none("functions over 60 lines", offences);
}

#[test]
fn node_is_short_enough_to_be_read_at_one_sitting() {
    let sources = sources();
    let node =
        sources.iter().find(|source| source.path == Path::new("src/node.rs")).expect("node.rs");
    let lines = node.code().lines().count();
    assert!(lines <= MAX_NODE_LINES, "node.rs has {lines} lines without its tests");
}

#[test]
fn every_file_opens_with_a_paragraph() {
    let without = |source: &&Source| !source.text.starts_with("//! ");
    let files = all_rust_files();
    let offences = files.iter().filter(without).map(|source| source.path.display().to_string());
    assert_none("files that do not say what they are", offences.collect());
    for page in page_files() {
        let start: String = page.text.lines().take(3).collect();
        let openings = ["<!doctype html><!--", "/*", "\"use strict\";// "];
        let opens = openings.iter().any(|opening| start.starts_with(opening));
        assert!(opens, "{} does not say what it is", page.path.display());
    }
}

/// What comes from keys, values or peers is text. Only these would make markup or code of it.
#[test]
fn page_makes_no_markup_of_data() {
    let ways =
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"];
    for page in page_files() {
        let used: Vec<_> = ways.iter().filter(|way| page.text.contains(**way)).collect();
        assert!(used.is_empty(), "{}: {used:?}", page.path.display());
    }
}

/// What README quotes of the code and of the registry is what stands there.
#[test]
fn readme_quotes_what_is_there() {
    let read = |path: &str| fs::read_to_string(path).expect(path);
    let readme = read("README.md");
    let block = |fence: &str| {
        let blocks = readme.split(fence).skip(1);
        blocks.map(|rest| rest.split("```").next().expect("a part")).collect::<Vec<_>>()
    };
    let unindented = |text: String| -> String {
        text.lines().map(|line| format!("{}\n", line.trim_start())).collect()
    };
    let code = unindented(read("src/node.rs"));
    let quoted = block("```rust\n");
    assert!(!quoted.is_empty() && code.contains(&unindented(quoted[0].to_string())), "{quoted:?}");
    assert!(read("cluster.toml").ends_with(block("```toml\n")[0]), "cluster.toml");
}

/// Each guard stands under the rule that it enforces, once.
#[test]
fn every_rule_is_obeyed_in_one_place() {
    let mut offences = Vec::new();
    let code: String = sources()
        .iter()
        .filter(|source| ["node", "state_machine"].contains(&source.room().as_str()))
        .map(|source| source.code().to_string())
        .collect();
    for rule in Rule::all() {
        let guard = format!("obeys(Rule::{})", rule.name());
        let guards = code.matches(&guard).count();
        if guards != 1 {
            offences.push(format!("{guard} stands {guards} times"));
        }
    }
    assert_none("rules that are not enforced just once", offences);
}

/// `UpToDateLog` is held by `fn up_to_date_log…` in `tests/paper.rs`.
#[test]
fn every_rule_has_its_test() {
    let paper = fs::read_to_string("tests/paper.rs").expect("tests/paper.rs");
    let tests: BTreeSet<&str> = paper.lines().filter_map(|line| line.strip_prefix("fn ")).collect();
    let mut offences = Vec::new();
    for rule in Rule::all() {
        let name = rule.test_name();
        if !tests.iter().any(|test| test.starts_with(&name)) {
            offences.push(format!("{} has no test whose name begins with {name}", rule.name()));
        }
    }
    assert_none("rules without a test in tests/paper.rs", offences);
}
