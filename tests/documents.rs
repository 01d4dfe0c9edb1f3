//! Keeps the documents true: each `$ curl` line in docs/PROTOCOL.md and README.md is run on a real
//! cluster, and the answer compared with the one that is printed; and docs/PROTOCOL.md leaves out
//! no route, field, metric, status or kind of event.
//!
//! A number in a document is that of one run, so runs of digits and checksums count as equal; the
//! names of JSON's members, their order and their types must be the same. A line `…` stands for
//! any lines, `…` in a line for any text, `[…]` for any array. JSON may be broken into lines.

mod support;

use std::collections::BTreeSet;
use std::fs;

use raftlet::http::api;
use raftlet::json::Json;
use support::curl::{self, Curl};
use support::{Cluster, Process, number, raftlet, wait_for};

const PROTOCOL: &str = include_str!("../docs/PROTOCOL.md");
const README: &str = include_str!("../README.md");

// ---- Reading a document ------------------------------------------------------------------------

/// A command, what stands below it, and where.
#[derive(Debug)]
struct Example {
    line: usize,
    command: String,
    printed: Vec<String>,
}

/// The blocks of commands in a document, command by command.
fn blocks(document: &str) -> Vec<Vec<Example>> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(document.lines());
    while lines.by_ref().any(|(_, line)| line == "```console") {
        let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        blocks.push(examples(&block));
    }
    blocks
}

fn examples(block: &[(usize, &str)]) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for &(line, text) in block {
        if let Some(command) = text.strip_prefix("$ ") {
            let (command, printed) = (command.to_string(), Vec::new());
            examples.push(Example { line, command, printed });
            continue;
        }
        let example = examples.last_mut().unwrap_or_else(|| panic!("{line}: what prints this?"));
        if curl::words(&example.command).is_none() {
            example.command += &format!("\n{text}"); // the command goes on
        } else {
            example.printed.push(text.to_string());
        }
    }
    examples
}

fn is_curl(example: &Example) -> bool {
    example.command.starts_with("curl ")
}

// ---- Comparing answers -------------------------------------------------------------------------

/// The same text for all that may differ from run to run.
fn levelled(line: &str) -> String {
    if line.starts_with("HTTP/") {
        return line.to_string();
    }
    let is_checksum = |word: &str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let mut level = String::new();
    for piece in line.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
        let piece =
            if is_checksum(word) { piece.replacen(word, "0", 1) } else { piece.to_string() };
        for c in piece.chars() {
            match c.is_ascii_digit() {
                true if level.ends_with('0') => {}
                true => level.push('0'),
                false => level.push(c),
            }
        }
    }
    level
}

/// Whether a line is as printed.
fn fits(printed: &str, line: &str) -> bool {
    let (printed, line) = (levelled(printed), levelled(line));
    match printed.split_once('…') {
        None => printed == line,
        Some((start, end)) => line.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// Whether these lines are as printed, where a line `…` stands for any.
fn all_fit(printed: &[&str], lines: &[&str]) -> bool {
    match (printed, lines) {
        ([], []) => true,
        (["…", rest @ ..], _) => {
            (0..=lines.len()).any(|skipped| all_fit(rest, &lines[skipped..]))
        }
        ([first, rest @ ..], [line, others @ ..]) => fits(first, line) && all_fit(rest, others),
        _ => false,
    }
}

/// Where the JSON that was found has another form than what is printed.
fn difference(printed: &Json, found: &Json) -> Option<String> {
    match (printed, found) {
        (Json::Number(_), Json::Number(_)) => None,
        (Json::String(a), Json::String(b)) if levelled(a) == levelled(b) => None,
        (Json::Array(a), Json::Array(_)) if *a == [Json::from("…")] => None,
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|(a, b)| difference(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            let names = |json: &[(_, Json)]| json.iter().map(|(name, _)| name).cloned().collect();
            let (printed, found): (Vec<_>, Vec<_>) = (names(a), names(b));
            if printed != found {
                return Some(format!("{printed:?} is printed, {found:?} was found"));
            }
            let mut members = a.iter().zip(b);
            members.find_map(|((name, a), (_, b))| {
                difference(a, b).map(|what| format!("in {name:?}: {what}"))
            })
        }
        _ if printed == found => None,
        _ => Some(format!("{printed} is printed, {found} was found")),
    }
}

/// JSON as a document prints it.
fn printed_json(text: &str) -> Option<Json> {
    let is_object = text.trim_start().starts_with('{');
    let text = text.replace("[…]", "[\"…\"]");
    is_object.then(|| Json::parse(&text).unwrap_or_else(|error| panic!("{error} in {text}")))
}

/// Compares all that a command has printed with what the document says.
fn check(printed: &[&str], output: &str) -> Result<(), String> {
    let begins_body = |line: &str| line.starts_with('{');
    let at = printed.iter().position(|line| begins_body(line)).unwrap_or(printed.len());
    let (head, body) = (&printed[..at], printed[at..].join("\n"));
    let body = printed_json(&body);
    let mut lines: Vec<&str> = output.lines().collect();
    let last = lines.pop_if(|line| body.is_some() && begins_body(line));
    if !all_fit(trimmed(head), trimmed(&lines)) {
        return Err(format!("these lines are printed:\n{}\n", head.join("\n")));
    }
    let Some(body) = body else { return Ok(()) };
    let found = Json::parse(last.ok_or("JSON is printed")?).map_err(|error| error.to_string())?;
    difference(&body, &found).map_or(Ok(()), Err)
}

fn trimmed<'a, 'b>(mut lines: &'a [&'b str]) -> &'a [&'b str] {
    while let [rest @ .., ""] = lines {
        lines = rest;
    }
    lines
}

// ---- Running a document ------------------------------------------------------------------------

/// Three nodes of which none starts an election unless it is asked to.
fn patient_cluster() -> Cluster {
    let timing = "heartbeat_ms = 100\nelection_timeout_ms = [3600000, 3600000]";
    let mut cluster = Cluster::new(3, &format!("[timing]\n{timing}\n"));
    let (config, data) = (cluster.config(), cluster.data());
    for id in 1..=3 {
        let words = [&id.to_string(), "--config", &config, "--data", &data];
        cluster.adopt(id, Process::start(&mut raftlet(&words)));
    }
    (1..=3).for_each(|id| drop(wait_for("the node answers", || cluster.status(id))));
    cluster
}

/// Makes the cluster as each block finds it: all awake, all links well, all logs equal, and this
/// node their leader.
fn settle(cluster: &Cluster, leader: u64) {
    for id in 1..=3 {
        cluster.http(id, "POST", "/api/pause", Some("{\"paused\":false}"));
        for peer in (1..=3).filter(|peer| *peer != id) {
            cluster.http(id, "POST", "/api/links", Some(&format!("{{\"peer\":{peer}}}")));
        }
    }
    let mut polls = 0;
    wait_for("the leader of the document leads", || {
        let statuses = (1..=3).map(|id| cluster.status(id)).collect::<Option<Vec<Json>>>()?;
        if statuses.iter().any(|status| status.to_string().contains("\"reachable\":false")) {
            return None;
        }
        let follows = |status: &Json| status.get("leader") == Some(&leader.into());
        if statuses.iter().all(follows) {
            return Some(());
        }
        // An election takes some time, and another one begun meanwhile would spoil it.
        if polls % 100 == 0 {
            cluster.http(leader, "POST", "/api/election", Some(""));
        }
        polls += 1;
        None
    });
    cluster.wait_until_equal();
}

/// The command for this cluster, whose nodes have other ports.
fn parse(cluster: &Cluster, example: &Example) -> Result<Curl, String> {
    let at = |command: String, id| {
        command.replace(&format!("localhost:{}", 5000 + id), &cluster.address(id))
    };
    Curl::parse((1..=3).fold(example.command.clone(), at).as_str())
}

fn run(cluster: &Cluster, example: &Example) -> Result<(), String> {
    let curl = parse(cluster, example)?;
    let printed: Vec<&str> = example.printed.iter().map(String::as_str).collect();
    if !curl.streams {
        let output = curl.output();
        return check(&printed, &output).map_err(|why| format!("{why}\nof:\n{output}"));
    }
    let mut lines = curl.lines();
    let mut told = Vec::new();
    for wanted in printed.into_iter().filter(|line| !["…", ""].contains(line)) {
        loop {
            let line =
                lines.next().ok_or(format!("{wanted} did not come:\n{}", told.join("\n")))?;
            told.push(line.clone());
            if fits(wanted, &line) {
                break;
            }
        }
    }
    Ok(())
}

/// Where the document has the launcher of its cluster.
const LAUNCHER: &str = "127.0.0.1:43121";

fn is_for_launcher(block: &[Example]) -> bool {
    block.iter().any(|example| example.command.contains(LAUNCHER))
}

/// Runs the blocks of `curl` lines in a document, with this node as the leader.
fn run_document(document: &str, name: &str, leader: u64) -> Cluster {
    let cluster = patient_cluster();
    let mut failures = Vec::new();
    let blocks = blocks(document);
    let blocks = blocks.iter().filter(|block| block.iter().all(is_curl) && !is_for_launcher(block));
    for block in blocks {
        settle(&cluster, leader);
        for example in block {
            if let Err(why) = run(&cluster, example) {
                failures.push(format!("{name}:{}: {}\n{why}", example.line, example.command));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    cluster
}

// ---- The tests ---------------------------------------------------------------------------------

#[test]
fn protocol_answers_are_as_printed() {
    let cluster = run_document(PROTOCOL, "docs/PROTOCOL.md", 1);
    let page = cluster.http(1, "GET", "/metrics", None).expect("an answer");
    for line in page.text().lines().filter_map(|line| line.strip_prefix("# TYPE raftlet_")) {
        let name = line.split(' ').next().expect("a name");
        assert!(names(name), "the metric {name} is not in docs/PROTOCOL.md");
    }
    assert!(number(&cluster.status(1).expect("it answers"), "last_log_index") > 10);
}

#[test]
fn protocol_answers_of_the_launcher_are_as_printed() {
    let cluster = Cluster::new(3, "");
    let (config, data) = (cluster.config(), cluster.data());
    let _parent = Process::start(&mut raftlet(&["--config", &config, "--data", &data]));
    let launcher = wait_for("a node that names its launcher", || {
        Some(cluster.status(1)?.get("launcher")?.as_str()?.to_string())
    });
    let blocks = blocks(PROTOCOL).into_iter().filter(|block| is_for_launcher(block));
    let examples: Vec<Example> = blocks.flatten().collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for mut example in examples {
        example.command = example.command.replace(LAUNCHER, &launcher);
        if let Err(why) = run(&cluster, &example) {
            panic!("docs/PROTOCOL.md:{}: {}\n{why}", example.line, example.command);
        }
    }
}

#[test]
fn readme_answers_are_as_printed() {
    let runnable = |block: &Vec<Example>| block.iter().all(is_curl);
    assert!(blocks(README).iter().any(runnable), "README has no block of curl lines");
    run_document(README, "README.md", 3);
}

/// Whether the document names this as code.
fn names(name: &str) -> bool {
    PROTOCOL.contains(&format!("`{name}`"))
}

#[test]
fn protocol_has_an_example_of_every_route() {
    let examples = blocks(PROTOCOL);
    let mut asked = BTreeSet::new();
    for example in examples.iter().flatten() {
        let line = example.line;
        let curl = Curl::parse(&example.command);
        let curl = curl.unwrap_or_else(|why| panic!("docs/PROTOCOL.md:{line}: {why}"));
        let path = curl.target.split('?').next().unwrap_or_default().to_string();
        asked.insert((curl.method, path));
    }
    for route in api::routes() {
        let (start, is_whole) = match route.path.split_once('{') {
            Some((start, _)) => (start, false),
            None => (route.path, true),
        };
        let is_asked = asked.iter().any(|(method, path)| {
            let rest = path.strip_prefix(start);
            method == route.method && rest.is_some_and(|rest| rest.is_empty() == is_whole)
        });
        let called = format!("{} {}", route.method, route.path);
        assert!(is_asked, "docs/PROTOCOL.md has no example of {called}");
        let row = match route.alias {
            "" => format!("| `{called}` | | "),
            alias => format!("| `{called}` | `{alias}` | "),
        };
        assert!(PROTOCOL.contains(&row), "docs/PROTOCOL.md has no row {row}");
    }
}

/// All names of members in a JSON value.
fn fields(json: &Json) -> Vec<String> {
    match json {
        Json::Array(items) => items.iter().flat_map(fields).collect(),
        Json::Object(members) => {
            let of = |(name, value): &(_, Json)| [vec![format!("{name}")], fields(value)].concat();
            members.iter().flat_map(of).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn protocol_explains_every_field() {
    let texts = blocks(PROTOCOL).into_iter().flatten().flat_map(|example| {
        let at = example.printed.iter().position(|line| line.starts_with('{'));
        let answer = example.printed[at.unwrap_or(example.printed.len())..].join("\n");
        let notices = example.printed.iter().filter_map(|line| line.strip_prefix("data: "));
        let notices = notices.filter(|data| !data.ends_with(",…}")).map(str::to_string);
        let words = curl::words(&example.command).expect("whole");
        [vec![answer], notices.collect(), words].concat()
    });
    let mut count = 0;
    for json in texts.filter_map(|text| printed_json(&text)) {
        // The keys of the store are no fields.
        for field in fields(&json).iter().filter(|name| !["n", "x", "visits"].contains(&&***name)) {
            assert!(names(field), "docs/PROTOCOL.md does not say what \"{field}\" is");
            count += 1;
        }
    }
    assert!(count > 100, "only {count} fields");
}

/// The texts in quotes in a function.
fn quoted_in(file: &str, function: &str) -> Vec<String> {
    let source = fs::read_to_string(file).expect(file);
    let code = source.split(&format!("fn {function}(")).nth(1).expect(function);
    let code = code.split("\n    }\n").next().expect("a part");
    code.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

#[test]
fn protocol_lists_every_kind_of_event_and_message() {
    let (events, messages) =
        (quoted_in("src/node/event.rs", "kind"), quoted_in("src/node/message.rs", "name"));
    assert!(events.len() > 10 && messages.len() == 7, "{events:?} {messages:?}");
    // No subscriber can be there at the start, and messages are told in another way.
    let untold = ["started", "recovered", "receives", "sends"];
    for kind in events.iter().chain(&messages).filter(|kind| !untold.contains(&&***kind)) {
        assert!(names(kind), "docs/PROTOCOL.md does not list {kind}");
    }
}

/// A file, a limit in it, and what the document says of it.
#[rustfmt::skip]
const LIMITS: &[(&str, &str, &str)] = &[
    ("state_machine/kv/request.rs", "MAX_KEY_BYTES: usize = 1 << 10;", "| key | 1 to 1024 bytes |"),
    ("state_machine/kv/request.rs", "MAX_VALUE_BYTES: usize = 1 << 20;", "| value | 1 MiB;"),
    ("http/wire.rs", "HEAD_BYTES: usize = 16 * 1024;", "line and headers | 16 KiB |"),
    ("http/request.rs", "BODY_BYTES: usize = 4 * 1024 * 1024;", "| request: body | 4 MiB |"),
    ("http/connection.rs", "idle: Duration::from_secs(5),", "for its head | 5 s each |"),
    ("http/connection.rs", "head: Duration::from_secs(5),", "for its head | 5 s each |"),
    ("http/connection.rs", "body: Duration::from_secs(30),", "taking the answer | 30 s each |"),
    ("http/connection.rs", "answer: Duration::from_secs(30),", "taking the answer | 30 s each |"),
    ("server/inbox.rs", "PATIENCE: Duration = Duration::from_secs(5);", "read | 5 s, then 504 |"),
    ("http/api/body.rs", "(1..=64).contains(&name.len())", "| 1 to 64 letters, digits, `-` or"),
    ("http/api/events.rs", "MAX_WAITING: usize = 1024;", "that falls 1024 notices behind"),
    ("http/api/events.rs", "IDLE: Duration = Duration::from_secs(10);", "every 10 s"),
    ("server/status.rs", "MAX_STATUS_CHARS: usize = 200;", "cut after 200 characters"),
    ("http/api/look.rs", "LOG_LIMIT: u64 = 100;", "and 100 if left out"),
    ("http/api/look.rs", "MAX_LOG_LIMIT: u64 = 1000;", "`limit` is 1 to 1000"),
    ("server/requests.rs", "TERMS_IN_STATUS: usize = 100;", "each of the last 100 terms"),
    ("server/requests.rs", "ENTRIES_IN_STATUS: u64 = 100;", "its last 100 entries"),
    ("server/requests.rs", "MAX_CLIENTS: usize = 10_000;", "for a majority | 10,000, then 503 |"),
    ("server.rs", "MAX_PER_MESSAGE: (usize, usize) = (1024, 1024 * 1024);", "| 1024 or 1 MiB of"),
    ("server.rs", "MAX_PER_DATAGRAM: (usize, usize) = (256, 32 * 1024);", "UDP 256 or 32 KiB"),
    ("state_machine.rs", "MAX_SESSIONS: usize = 1000;", "by their serial | 1000;"),
    ("server/subscribers.rs", "WINDOW_MS: Millis = 100;", "in each tenth of a second"),
    ("config.rs", "MAX_NODES: usize = 9;", "1 to 9 nodes"),
    ("server/subscribers.rs", "TOLD_IN_WINDOW: u64 = 8;", "only the first 8 are told"),
    ("server/subscribers.rs", "MAX_SUBSCRIBERS: usize = 64;", "subscribers of `/events` | 64,"),
    ("transport/listener.rs", "MAX_HTTP: usize = 1024;", "| HTTP connections | 1024,"),
    ("transport/tcp.rs", "PATIENCE: Duration = Duration::from_secs(5);", "within 5 s;"),
    ("transport/tcp.rs", "MAX_HELLO_BYTES: u64 = 4096;", "the first 4096 bytes"),
    ("transport/tcp.rs", "MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;", "between nodes | 16 MiB;"),
    ("transport/tcp.rs", "LINE_PATIENCE: Duration = Duration::from_secs(60);", "within 60 s |"),
    ("transport/udp.rs", "MAX_DATAGRAM_BYTES: usize = 60_000;", "| datagram | 60,000 bytes |"),
    ("transport/udp.rs", "MAX_ENVELOPE_BYTES: usize = 1_000;", "as JSON, 59,000 bytes"),
    ("transport/peer.rs", "MAX_QUEUE: usize = 1024;", "for one peer | 1024,"),
    ("transport/peer.rs", "MAX_DELAY_MS: u64 = 60_000;", "0 to 60000 ms"),
    ("transport/codec/read.rs", "MAX_NUMBER: u64 = 1 << 53;", "numbers above 2^53"),
    ("transport/shared.rs", "HELLO_EVERY: Duration = Duration::from_secs(1);", "every second"),
    ("transport/identity.rs", "SILENCE: Duration = Duration::from_secs(3);", "not heard for 3 s"),
];

#[test]
fn protocol_tells_the_limits_that_hold() {
    for (file, limit, said) in LIMITS {
        let source = fs::read_to_string(format!("src/{file}")).expect(file);
        assert!(source.contains(limit), "src/{file} has another limit than {limit}: {said}");
        assert!(PROTOCOL.contains(said), "docs/PROTOCOL.md does not say {said}");
    }
}

/// The checks above can fail.
#[test]
fn comparison_sees_what_differs() {
    let printed = ["HTTP/1.1 200 OK", "Content-Length: 7", "", "{\"a\":1,", " \"b\":\"n1\"}"];
    let head = "HTTP/1.1 200 OK\nContent-Length: 99\n\n";
    for (body, is_same) in [
        (r#"{"a":22,"b":"n3"}"#, true),
        (r#"{"a":"22","b":"n3"}"#, false),
        (r#"{"a":22,"b":"m3"}"#, false),
        (r#"{"b":"n3","a":22}"#, false),
        (r#"{"a":22}"#, false),
        (r#"{"a":22,"b":"n3","c":1}"#, false),
        (r#"{"a":null,"b":"n3"}"#, false),
        ("", false),
    ] {
        assert_eq!(check(&printed, &format!("{head}{body}")).is_ok(), is_same, "{body}");
    }
    let other = head.replace("200", "201") + r#"{"a":1,"b":"n1"}"#;
    assert!(check(&printed, &other).is_err());
    let log = ["1 |  2 | set x=4 | 57f8ae84", "…", "end…."];
    assert!(check(&log, "9 |  8 | set x=77 | 12345678\nany\nthing\nends.\n").is_ok());
    assert!(check(&log, "9 |  8 | set x=77 | 12345678\nends.\n").is_ok());
    assert!(check(&log, "9 |  8 | set y=77 | 12345678\nends.\n").is_err());
    assert!(check(&log, "9 |  8 | set x=77 | 12345678\nends\n").is_err());
    assert!(Curl::parse("curl -k localhost:5001").is_err());
}
