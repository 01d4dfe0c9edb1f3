//! What a run leaves behind, in each form: golden files of one small run under `tests/records/`.
//!
//! `run.txt` is the script, and its lines say what must be seen: the counts below are taken from
//! there, not from the golden files. After a change that is meant, `UPDATE_TRACES=1 cargo test
//! --test records` writes the files anew; look at the pictures before you commit them.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use raftlet::lab::script::{Lab, Script};
use raftlet::lab::stories::STORIES;
use raftlet::lab::trace::check::{self, Verdict};
use raftlet::lab::trace::recording::Recording;
use raftlet::lab::trace::{jsonl, mermaid, shiviz, svg};
use raftlet::node::rules::Property;
use raftlet::node::step::Random;
use raftlet::storage::trace::read;
use support::{
    Cluster, Process, Scratch, exits, output_of, raftlet as raftlet_process, run as run_raftlet,
};

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

/// All that the repository's traces and stories do holds, or falls as the simulator says.
#[test]
fn check_agrees_with_the_simulator_on_every_trace_and_story() {
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut scripts: Vec<(String, String)> =
        STORIES.iter().map(|story| (story.name.to_string(), story.script.to_string())).collect();
    for file in fs::read_dir(traces).expect("the traces are there") {
        let path = file.expect("readable").path();
        let text = fs::read_to_string(&path).expect("readable");
        scripts.push((path.display().to_string(), text));
    }
    let (mut fell, mut held) = (0, 0);
    for (name, text) in &scripts {
        let mut script = Script::new(name);
        script.record();
        for line in text.lines() {
            script.line(line).unwrap_or_else(|why| panic!("{why}"));
        }
        for recording in script.lab().recordings() {
            let lines = jsonl::text(recording);
            let broken = lines.contains("\"step\":\"Broken\"");
            // What clients were told is not in the lines.
            let of_clients = lines.contains("\"why\":\"Linearizability");
            let verdict = check::text("run", &lines).unwrap_or_else(|why| panic!("{name}: {why}"));
            let fell_here = matches!(verdict, Verdict::Fell(..));
            assert_eq!(fell_here, broken && !of_clients, "{name}: {verdict}");
            assert_eq!(
                verdict.to_string().contains("But the simulator saw"),
                of_clients,
                "{verdict}"
            );
            *if broken { &mut fell } else { &mut held } += 1;
        }
    }
    assert!(fell >= 3 && held >= 20, "{fell} fell, {held} held");
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

/// Lines whose numbers and words were changed at random: they are refused, or fall, or hold; never
/// does the check itself break down.
#[test]
fn check_survives_mangled_lines() {
    let lines = jsonl::text(&run());
    let mut random = Random(1);
    let (mut refused, mut fell) = (0, 0);
    for _ in 0..2000 {
        let mut bytes = lines.clone().into_bytes();
        for _ in 0..random.between(1, 60) {
            let at = random.between(0, bytes.len() as u64 - 1) as usize;
            let digits: &[u8] = b"01239";
            match bytes[at] {
                b'0'..=b'9' => bytes[at] = digits[random.between(0, 4) as usize],
                // Most changes are of numbers, so that many lines can still be read.
                _ if random.between(1, 100) > 1 => {}
                b',' => {
                    bytes.splice(at..at, b"9007199254740992".iter().copied());
                }
                b'\n' => bytes[at] = b' ',
                _ => {
                    let end = bytes[at..].iter().position(|&byte| byte == b',').unwrap_or(0);
                    bytes.drain(at..at + end);
                }
            }
        }
        match check::text("run", &String::from_utf8_lossy(&bytes)) {
            Err(why) => {
                refused += 1;
                assert!(why.starts_with("run:") && why.lines().count() == 1, "{why}");
            }
            Ok(Verdict::Fell(..)) => fell += 1,
            Ok(Verdict::Held(_)) => {}
        }
    }
    assert!(refused > 500 && fell > 20, "{refused} refused, {fell} fell");
}

/// The names of the trace files of a cluster's nodes.
fn traces(cluster: &Cluster, nodes: u64) -> Vec<String> {
    let path = |id| cluster.scratch.0.join(format!("n{id}.jsonl")).display().to_string();
    (1..=nodes).map(path).collect()
}

fn start_traced(cluster: &mut Cluster, id: u64, trace: &str) {
    let (config, data) = (cluster.config(), cluster.data());
    let words = [&id.to_string(), "--fast", "--config", &config, "--data", &data, "--trace", trace];
    cluster.adopt(id, Process::start(&mut raftlet_process(&words)));
}

#[test]
fn real_nodes_leave_traces_that_hold_over_the_death_of_a_leader() {
    let mut cluster = Cluster::new(3, "");
    let files = traces(&cluster, 3);
    for (id, file) in (1..).zip(&files) {
        start_traced(&mut cluster, id, file);
    }
    cluster.set("x", "1");
    let old = cluster.leader();
    cluster.kill(old);
    cluster.set("x", "2");
    start_traced(&mut cluster, old, &files[old as usize - 1]);
    cluster.wait_until_equal();
    cluster.set("x", "3");
    (1..=3).for_each(|id| cluster.kill(id));

    let words: Vec<&str> = ["check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let (told, _) = exits(&run_raftlet(&words), 0);
    assert!(told.starts_with("All five properties of Figure 3 held.\n"), "{told}");
    let Ok(Verdict::Held(seen)) = check::files(&files) else { panic!("{told}") };
    assert!(seen.servers == 3 && seen.elections >= 2 && seen.committed >= 5, "{seen}");
    let all: String =
        files.iter().map(|file| fs::read_to_string(file).expect("it is there")).collect();
    assert_eq!(all.matches("\"step\":\"Restart\"").count(), 1, "the old leader's");

    // A second leader of the first leader's term is made up: now that must fall, at its line.
    let facts = all.lines().filter_map(|line| read::line(line).expect(line).facts);
    let first = facts.filter(|facts| facts.leads).map(|facts| facts.current_term).min();
    let forged = cluster.scratch.0.join("forged.jsonl").display().to_string();
    let line = |step: &str, term, state: &str| {
        format!(
            "{{\"time\":{},\"node\":9,\"step\":\"{step}\",\"currentTerm\":{term},\
             \"state\":\"{state}\",\"votedFor\":9,\"commitIndex\":0,\"logFrom\":1,\"log\":[],\
             \"applied\":[]}}\n",
            1_u64 << 53
        )
    };
    let made_up = line("Init", 0, "Follower") + &line("Timeout", first.unwrap(), "Leader");
    fs::write(&forged, made_up).expect("the scratch can be written");
    let (told, why) = exits(&run_raftlet(&[&words[..], &[&forged]].concat()), 1);
    assert!(told.starts_with(&format!("{forged}:2: Election Safety is broken: n")), "{told}");
    assert_eq!(why, format!("raftlet: Election Safety fell at {forged}:2\n"));
}

/// A trace is for people: if it cannot be written, the node does its work all the same.
#[cfg(target_os = "linux")]
#[test]
fn node_goes_on_without_a_trace_that_cannot_be_written() {
    let mut cluster = Cluster::new(1, "");
    start_traced(&mut cluster, 1, "/dev/full");
    let line = cluster.process(1).wait_for_line("the trace ends here");
    assert!(line.contains("cannot write the trace /dev/full: "), "{line}");
    cluster.set("x", "1");
    assert_eq!(cluster.get("x"), "1");
    let told = cluster.process(1).text();
    assert_eq!(told.matches("the trace ends here").count(), 1, "once:\n{told}");
}

#[test]
fn sim_writes_its_run_for_check_to_read() {
    let (lines, summary) = exits(&run_raftlet(&["sim", "--seed", "3", "--jsonl", "-"]), 0);
    assert!(summary.contains("No property fell."), "{summary}");
    let check = output_of(&mut raftlet_process(&["check", "-"]), &lines);
    let (told, _) = exits(&check, 0);
    assert!(told.contains(&format!("{} lines in 1 file, 3 servers", lines.lines().count())));
}

#[test]
fn lab_and_replay_leave_a_file_for_each_cluster() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.0.join(name).display().to_string();
    let lab = |script: &str, words: &[&str]| {
        output_of(&mut raftlet_process(&[&["lab"], words].concat()), script)
    };
    let (jsonl, svg) = (path("run.jsonl"), path("run.svg"));
    let words = ["--jsonl", &jsonl, "--svg", &svg];
    let twice = "timeout n1\nback\ntimeout n2\ncluster 1\ntimeout n1\nrun\n";
    let (told, _) = exits(&lab(twice, &words), 0);
    assert!(told.contains("n2  term 1  FOLLOWER  → CANDIDATE"), "{told}");
    for (name, steps) in [("run-1.jsonl", 4), ("run-2.jsonl", 3)] {
        let lines = fs::read_to_string(path(name)).expect(name);
        assert_eq!(lines.lines().count(), steps, "what was undone is not in it: {lines}");
    }
    assert!(
        !fs::exists(&jsonl).expect("it can be asked") && fs::exists(path("run-2.svg")).unwrap()
    );
    let (_, why) = exits(&lab(twice, &["--svg", "-"]), 1);
    assert_eq!(why, "raftlet: the run has 2 clusters, and - takes one: name a file\n");
    // One cluster: nothing but the picture. A run that fails is drawn up to there.
    let (picture, why) = exits(&lab("timeout n1\nexpect leader n1\n", &["--mermaid", "-"]), 1);
    assert!(picture.starts_with("sequenceDiagram\n") && why.contains("stdin:2: expect"), "{why}");

    let story = path("story.jsonl");
    exits(&run_raftlet(&["replay", "split-vote", "--jsonl", &story]), 0);
    let (told, _) = exits(&run_raftlet(&["check", &story]), 0);
    assert!(told.starts_with("All five properties of Figure 3 held.\n"), "{told}");
}

#[test]
fn check_says_what_cannot_be_read() {
    let scratch = Scratch::new();
    let path = scratch.0.join("bad.jsonl").display().to_string();
    fs::write(&path, "{\"time\":1}\n").expect("the scratch can be written");
    let (_, why) = exits(&run_raftlet(&["check", &path]), 2);
    assert_eq!(why, format!("raftlet: {path}:1: step is missing\n"));
    let (_, why) = exits(&run_raftlet(&["check", "/no/such/file"]), 2);
    assert!(why.starts_with("raftlet: cannot open /no/such/file: "), "{why}");
}
