//! The judge, judged: lines made by hand, lines of the simulator, and what it saw itself.

use super::*;
use crate::lab::journal::Power;
use crate::lab::network::Weather;
use crate::lab::trace::jsonl;
use crate::lab::trace::recording::Recording;
use crate::lab::trace::recording::tests::{RUN, record};
use crate::lab::world::{Setup, World};
use crate::node::message::{Command, NodeId};
use crate::node::rules::{Property, Rule, Rules};
use crate::node::step::Random;

fn step(id: u64, step: &str, term: Term, role: &str, more: &str) -> String {
    format!(
        "{{\"time\":{term},\"node\":{id},\"step\":\"{step}\",\"currentTerm\":{term},\
         \"state\":\"{role}\",\"votedFor\":null,{more}\"events\":[]}}\n"
    )
}

fn init(id: u64) -> String {
    step(id, "Init", 0, "Follower", "\"commitIndex\":0,\"logFrom\":1,\"log\":[],\"applied\":[],")
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
    assert_eq!(fell(&[("a", commits.clone()), ("b", other)]).0, Property::StateMachineSafety);
    let applies = "\"applied\":[{\"index\":1,\"term\":1,\"value\":\"\"}]";
    let applies = leader(1, 1, &has(1, &[1]).replace("\"applied\":[]", applies));
    let twice = commits + &applies + &applies;
    assert_eq!(fell(&[("a", twice)]), (Property::StateMachineSafety, "a:4".to_string()));
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
        ..Weather::FAIR
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
