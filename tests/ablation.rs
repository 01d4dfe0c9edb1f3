//! `raftlet break`: every rule that safety rests on, left out, is found out; and the run that shows
//! it is a script that plays.

mod support;

use std::fs;

use raftlet::lab::ablation::Search;
use raftlet::lab::script;
use raftlet::node::rules::Property::{self, *};
use raftlet::node::rules::Rule;
use support::{Scratch, run, text};

/// For each rule, the commands of the shortest run known before there was a search: the runs of
/// `tests/paper.rs`, where each message counts as one, and what is expected or dropped as none.
/// What the search finds may be shorter, never longer.
const KNOWN: [(Rule, Property, usize); 34] = [
    (Rule::SaveVote, ElectionSafety, 8),
    (Rule::KeepVoteForTerm, ElectionSafety, 7),
    (Rule::SaveEntries, LeaderCompleteness, 10),
    (Rule::OneVotePerTerm, ElectionSafety, 6),
    (Rule::UpToDateLog, LeaderCompleteness, 10),
    (Rule::CompareLastTerm, LeaderCompleteness, 13),
    (Rule::CompareLastIndex, LeaderCompleteness, 13),
    (Rule::RefuseOldLeader, LeaderCompleteness, 14),
    (Rule::MatchPrevLog, LogMatching, 16),
    (Rule::MatchPrevLogInHeartbeats, StateMachineSafety, 18),
    (Rule::DeleteConflicting, LeaderCompleteness, 13),
    (Rule::KeepMatching, LeaderCompleteness, 13),
    (Rule::CommitUpToLastNew, StateMachineSafety, 13),
    // With one server and a clock four suffice; these runs have neither.
    (Rule::ApplyInOrder, StateMachineSafety, 8),
    (Rule::IncrementTerm, ElectionSafety, 6),
    (Rule::CountVotesOfThisTerm, ElectionSafety, 7),
    (Rule::CountVotersOnce, ElectionSafety, 10),
    (Rule::Majority, ElectionSafety, 6),
    (Rule::AnswerByIndexAndTerm, Linearizability, 18),
    (Rule::MatchIndexFromAnswer, LeaderCompleteness, 12),
    (Rule::IgnoreOldAnswers, LeaderCompleteness, 40),
    (Rule::CommitOwnTermOnly, LeaderCompleteness, 18),
    (Rule::SnapshotCommittedOnly, StateMachineSafety, 7),
    // Two snapshots of different states, and two chunks of each on their way.
    (Rule::BeginAtFirstChunk, StateMachineSafety, 22),
    (Rule::WriteAtOffset, StateMachineSafety, 15),
    (Rule::WaitForAllChunks, StateMachineSafety, 12),
    (Rule::SaveSnapshot, LeaderCompleteness, 11),
    (Rule::IgnoreOlderSnapshot, StateMachineSafety, 19),
    (Rule::RetainMatching, LeaderCompleteness, 17),
    (Rule::DiscardWholeLog, LogMatching, 12),
    (Rule::RestoreState, StateMachineSafety, 13),
    // With one server six suffice. With three: an election (3), the command twice (2), its way to a
    // follower and back behind the no-op (4), and a read that sees it done twice.
    (Rule::RetryAppliedOnce, Linearizability, 10),
    // Two elections (6), each leader's no-op committed (4), a write committed (3), and the read.
    (Rule::ConfirmLeadership, Linearizability, 14),
    // Two elections (6), a no-op and a write committed (5), and a read with its round (3).
    (Rule::ReadAfterOwnCommit, Linearizability, 14),
];

/// Searches as `break` does, but gives up after so many runs without success.
fn assert_found((rule, property, known): (Rule, Property, usize), patience: u64) {
    let name = rule.name();
    assert_eq!(rule.about().falls, property, "{name}");
    let mut search = Search::new(rule);
    while !search.is_done() {
        search.try_one();
        assert!(search.found > 0 || search.tried < patience, "{name}: {property} does not fall");
    }
    let shortest = search.shortest.expect("it was found");
    let length = shortest.steps.len();
    assert!(
        length <= known,
        "{name}: {length} commands, {known} are known:\n{}",
        shortest.script()
    );
    let played = script::play(&name, &shortest.script()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(played.broken.map(|violation| violation.property), Some(property), "{name}");
    let obedient = script::run(&name, &shortest.obedient_script());
    obedient.unwrap_or_else(|why| panic!("with {name}: {why}"));
}

#[test]
fn every_rule_of_safety_is_in_the_table() {
    let of_safety = Rule::all().filter(|rule| rule.about().falls != Liveness);
    let known: Vec<Rule> = KNOWN.iter().map(|&(rule, ..)| rule).collect();
    assert_eq!(of_safety.collect::<Vec<_>>(), known);
}

/// Those that are found soon enough for a debug build.
#[test]
fn rules_left_out_are_found_out() {
    let soon = [
        Rule::OneVotePerTerm,
        Rule::UpToDateLog,
        Rule::MatchPrevLog,
        Rule::IncrementTerm,
        Rule::Majority,
        Rule::MatchIndexFromAnswer,
    ];
    for known in KNOWN.into_iter().filter(|(rule, ..)| soon.contains(rule)) {
        assert_found(known, 1_000);
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes: cargo test --release --test ablation")]
fn every_rule_left_out_is_found_out() {
    KNOWN.into_iter().for_each(|known| assert_found(known, 300_000));
}

#[test]
fn break_prints_a_run_that_plays() {
    let scratch = Scratch::new();
    for (rule, property) in
        [("OneVotePerTerm", ElectionSafety), ("uptodatelog", LeaderCompleteness)]
    {
        let file = scratch.0.join(format!("{rule}.txt")).display().to_string();
        let output = run(&["break", rule, "--save", &file]);
        let printed = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{printed}{}", text(&output.stderr));
        let saved = fs::read_to_string(&file).expect("--save writes it");
        let outcome = script::play(&file, &saved).unwrap();
        assert_eq!(outcome.broken.map(|violation| violation.property), Some(property));
        assert_eq!(outcome.text, saved, "it is the script with its output");
        let (run, obedient) = printed.split_once(&saved).expect("it is printed whole");
        assert!(run.contains(&property.to_string()), "{run}");
        assert!(obedient.contains("refused its vote") && obedient.contains("expect safe"));
        assert!(!obedient.contains("***"), "{obedient}");
    }
}

/// All but the line that tells how long it took.
#[test]
fn readme_shows_what_break_prints() {
    let readme = fs::read_to_string("README.md").expect("README.md");
    let command = "$ cargo run -q --release -- break UpToDateLog\n";
    let shown = readme.split(command).nth(1).and_then(|rest| rest.split("```").next());
    let printed = text(&run(&["break", "UpToDateLog"]).stdout);
    let without_time = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.contains(" s.")).map(String::from).collect()
    };
    assert_eq!(without_time(shown.expect("the capture")), without_time(&printed));
}

#[test]
fn break_measures_what_a_rule_of_liveness_does() {
    let printed = text(&run(&["break", "FastBackup"]).stdout);
    // Figure 7 (f): two refusals with the hint, seven without.
    assert!(printed.contains("with it          2") && printed.contains("without          7"));
    let save = run(&["break", "FastBackup", "--save", "unused"]);
    assert_eq!(save.status.code(), Some(2), "{}", text(&save.stderr));
}

#[test]
fn break_names_the_rules() {
    let listed = text(&run(&["break"]).stdout);
    assert!(Rule::all().all(|rule| listed.contains(&rule.name())), "{listed}");
    let unknown = run(&["break", "UpToDateLogs"]);
    assert_eq!(unknown.status.code(), Some(2));
    let why = text(&unknown.stderr);
    assert!(why.contains("no rule UpToDateLogs") && why.contains("UpToDateLog?"), "{why}");
}
