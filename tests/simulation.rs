//! Thousands of random runs in the simulated world, and the proof that they would notice.
//!
//! One run takes milliseconds. `cargo run --release -- sim --seeds A..B` does more of them.

use std::ops::Range;

use raftlet::lab::journal::Counts;
use raftlet::lab::sim::{self, Options};
use raftlet::rules::{Property, Rule, Rules};

/// Explores these seeds, all of which must stand, and adds up what they reached.
fn explore(nodes: u64, seeds: Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for run in sim::runs(seeds, &Options { nodes, ..Options::default() }) {
        let report = run.unwrap_or_else(|failure| panic!("{failure}"));
        counts.add(&report.counts);
    }
    counts
}

/// What these rules forbid was tried, and happened on the way.
fn assert_reached(counts: &Counts, seeds: u64) {
    let Counts { elections, commits, truncations, restarts, saves_lost, .. } = *counts;
    assert!(elections > 2 * seeds, "{elections} elections");
    assert!(commits > 10 * seeds, "{commits} commits");
    assert!(truncations > seeds / 4, "{truncations} truncations");
    assert!(restarts > 2 * seeds, "{restarts} restarts");
    assert!(saves_lost > seeds / 2, "{saves_lost} times a disk lost something");
    for rule in [
        Rule::RefuseOldCandidate,
        Rule::OneVotePerTerm,
        Rule::UpToDateLog,
        Rule::RefuseOldLeader,
        Rule::MatchPrevLog,
        Rule::DeleteConflicting,
        Rule::AdoptNewerTerm,
        Rule::CountVotesOfThisTerm,
        Rule::YieldToLeader,
        Rule::CandidatesTimeOut,
        Rule::NoOp,
        Rule::BackUpNextIndex,
        Rule::IgnoreOldAnswers,
        Rule::CommitOwnTermOnly,
        Rule::ConfirmLeadership,
    ] {
        assert!(counts.cited(rule) > seeds / 10, "{rule:?} cited {} times", counts.cited(rule));
    }
}

#[test]
fn three_servers_stand_500_seeds() {
    assert_reached(&explore(3, 0..500), 500);
}

#[test]
fn three_servers_stand_500_more() {
    assert_reached(&explore(3, 500..1000), 500);
}

#[test]
fn five_servers_stand_500_seeds() {
    assert_reached(&explore(5, 0..500), 500);
}

#[test]
fn five_servers_stand_500_more() {
    assert_reached(&explore(5, 500..1000), 500);
}

#[test]
fn clusters_of_other_sizes_stand() {
    for nodes in [1, 2, 4, 7] {
        explore(nodes, 0..30);
    }
}

/// Whether this property falls in one of these seeds when the servers leave out a rule.
fn falls(property: Property, rule: Rule, seeds: Range<u64>) -> bool {
    let options = Options { rules: Rules::ALL.without(rule), ..Options::default() };
    let mut failures = sim::runs(seeds, &options).filter_map(Result::err);
    failures.any(|failure| failure.violation.property == property)
}

#[test]
fn exploration_notices_when_a_rule_is_left_out() {
    for (rule, property) in [
        (Rule::SaveEntries, Property::LeaderCompleteness),
        (Rule::OneVotePerTerm, Property::ElectionSafety),
        (Rule::UpToDateLog, Property::LeaderCompleteness),
        (Rule::MatchPrevLog, Property::LogMatching),
        (Rule::KeepMatching, Property::LeaderCompleteness),
        (Rule::CommitUpToLastNew, Property::StateMachineSafety),
        (Rule::ApplyInOrder, Property::StateMachineSafety),
        (Rule::RetryAppliedOnce, Property::Linearizability),
        (Rule::AnswerByIndexAndTerm, Property::Linearizability),
        (Rule::ReadAfterOwnCommit, Property::Linearizability),
        (Rule::AdoptNewerTerm, Property::Liveness),
        (Rule::BackUpNextIndex, Property::Liveness),
    ] {
        assert!(falls(property, rule, 0..500), "{property:?} without {rule:?}");
    }
}

#[test]
fn failure_tells_the_seed_the_property_the_last_moments_and_how_to_repeat_it() {
    let rules = Rules::ALL.without(Rule::UpToDateLog);
    let options = Options { nodes: 5, rules, ..Options::default() };
    let failure = sim::runs(0..300, &options).find_map(Result::err).expect("one fails");
    let text = failure.to_string();
    let seed = failure.seed;
    assert!(text.starts_with(&format!("seed {seed}: Leader Completeness is broken: n")));
    let repeat = format!("sim --seed {seed} --nodes 5 --without UpToDateLog");
    assert!(text.ends_with(&format!("repeat it with: cargo run -- {repeat}")), "{text}");
    assert!(text.lines().count() > 30);
    let again = sim::run(seed, &options).expect_err("it fails again");
    assert_eq!(again.to_string(), text, "the same seed gives the same failure");
}

#[test]
fn same_seed_gives_the_same_run() {
    let report = |seed| sim::run(seed, &Options::default()).expect("it stands");
    assert_eq!(report(7), report(7));
    assert_ne!(report(7).digest, report(8).digest);
}
