//! What a run leaves behind, in each form: golden files of one small run under `tests/records/`.
//!
//! `run.txt` is the script, and its lines say what must be seen: the counts below are taken from
//! there, not from the golden files. After a change that is meant, `UPDATE_TRACES=1 cargo test
//! --test records` writes the files anew; look at the pictures before you commit them.

use std::fs;
use std::path::{Path, PathBuf};

use raftlet::lab::script::Lab;
use raftlet::lab::trace::check::{self, Verdict};
use raftlet::lab::trace::{Recording, jsonl, mermaid, shiviz, svg};
use raftlet::rules::Property;

type Form = fn(&Recording) -> String;

const FORMS: [(&str, Form); 4] = [
    ("run.mmd", mermaid::text),
    ("run.svg", svg::text),
    ("run.shiviz.log", shiviz::text),
    ("run.jsonl", jsonl::text),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records")
}

/// What is left of a script.
fn record(script: &str) -> Recording {
    let mut lab = Lab::default();
    lab.world.record();
    let commands = script.lines().filter(|line| !line.starts_with(['#', ' ']));
    for line in commands {
        lab.command(line).unwrap_or_else(|why| panic!("{line}: {why}"));
    }
    lab.world.recording.expect("it was asked for")
}

fn run() -> Recording {
    record(&fs::read_to_string(folder().join("run.txt")).expect("the script is there"))
}

#[test]
fn every_form_is_as_its_file_shows() {
    let recording = run();
    for (name, form) in FORMS {
        let (path, actual) = (folder().join(name), form(&recording));
        if std::env::var_os("UPDATE_TRACES").is_some() {
            fs::write(&path, &actual).expect("the folder can be written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let differs = expected.lines().zip(actual.lines()).position(|(a, b)| a != b);
        assert!(expected == actual, "{name} differs, first after line {differs:?}");
    }
}

/// The counts are those that the script's first lines tell.
#[test]
fn pictures_show_what_the_script_does() {
    let recording = run();
    let count = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).count();
    let mermaid = mermaid::text(&recording);
    let arrows = ["->>", "-x", "--)"].map(|arrow| count(&mermaid, arrow));
    assert_eq!(arrows, [8, 2, 1], "{mermaid}");
    let svg = svg::text(&recording);
    let lines = ["message", "lost", "flying"];
    let lines = lines.map(|class| count(&svg, &format!("<line class=\"{class}\"")));
    assert_eq!(lines, [8 + 1, 2 + 1, 1], "and one each in the legend: {svg}");
    assert_eq!(count(&svg, "<path class=\"cross\""), 2 + 1 + 1, "lost, legend, crash");
}

/// Runs that break a rule, from `tests/paper.rs`: where the simulator saw the property fall, the
/// check of its lines does.
#[test]
fn check_finds_planted_breaks_where_they_happened() {
    let two_leaders = "without OneVotePerTerm\ncluster 3\ntimeout n1\ntimeout n2\ndeliver n1->n3\n\
        deliver n3->n1\ndeliver n2->n3\ndeliver n3->n2";
    let lacks_committed = "without UpToDateLog\ncluster 3\ntimeout n1\ndeliver n1->n2\n\
        deliver n2->n1\ndeliver n1->n3 2\ndeliver n3->n1 2\ndrop all\ntimeout n2\n\
        deliver n2->n1\ndeliver n1->n2";
    for (script, property) in
        [(two_leaders, Property::ElectionSafety), (lacks_committed, Property::LeaderCompleteness)]
    {
        let lines = jsonl::text(&record(script));
        let broken = lines.lines().position(|line| line.contains("\"step\":\"Broken\""));
        let Ok(Verdict::Fell(violation, position, run_up)) = check::text("run", &lines) else {
            panic!("{property} does not fall: {lines}")
        };
        // The simulator says so in the line after the step.
        assert_eq!((violation.property, Some(position.line as usize)), (property, broken));
        assert!(run_up.last().is_some_and(|line| line.starts_with(&format!("{position}  "))));
        let before: String =
            lines.lines().take(position.line as usize - 1).collect::<Vec<_>>().join("\n") + "\n";
        assert!(matches!(check::text("run", &before), Ok(Verdict::Held(_))), "nothing before");
    }
}

/// All that the repository's traces do is as the properties have it, or as the simulator says.
#[test]
fn check_agrees_with_the_simulator_on_every_trace() {
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    for file in fs::read_dir(traces).expect("the traces are there") {
        let path = file.expect("readable").path();
        let recording = record(&fs::read_to_string(&path).expect("readable"));
        let lines = jsonl::text(&recording);
        let verdict = check::text("run", &lines).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        let fell = lines.contains("\"step\":\"Broken\"");
        assert_eq!(matches!(verdict, Verdict::Fell(..)), fell, "{path:?}: {verdict}");
    }
}

#[test]
fn check_refuses_a_line_that_was_corrupted_by_hand() {
    let lines = jsonl::text(&run());
    let third = lines.lines().nth(2).expect("three servers start");
    for (from, to, why) in [
        ("\"currentTerm\":0", "\"currentTerm\":\"\"", "run:3: currentTerm cannot be \"\""),
        ("\"node\":3,", "", "run:3: node is missing"),
        ("\"log\":[]", "\"log\":[{}]", "run:3: log: index is missing"),
    ] {
        let corrupted = lines.replacen(third, &third.replacen(from, to, 1), 1);
        assert_eq!(check::text("run", &corrupted).expect_err(to), why);
    }
    let cut = lines.replacen(third, &third[..third.len() - 1], 1);
    assert!(check::text("run", &cut).unwrap_err().starts_with("run:3: this is not JSON: "));
}
