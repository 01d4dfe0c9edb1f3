//! Thousands of random runs in the simulated world, and the proof that they would notice.
//!
//! One run takes milliseconds. `cargo run --release -- sim --seeds A..B` does more of them.

use std::ops::{ControlFlow, Range};

use raftlet::lab::journal::Counts;
use raftlet::lab::script;
use raftlet::lab::sim::{self, Failure, Kinds, Options, jobs};
use raftlet::node::rules::{Property, Rule, Rules};

/// Explores these seeds, all of which must stand, and adds up what they reached.
fn explore(nodes: u64, seeds: Range<u64>) -> Counts {
    explore_with(&Options { nodes, ..Options::default() }, seeds)
}

fn explore_with(options: &Options, seeds: Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for run in sim::runs(seeds, options) {
        let report = run.unwrap_or_else(|failure| panic!("{failure}"));
        counts.add(&report.counts);
    }
    counts
}

/// What these rules forbid was tried, and happened on the way.
fn assert_reached(counts: &Counts, seeds: u64) {
    let Counts { elections, commits, truncations, restarts, saves_lost, .. } = *counts;
    let Counts { torn, pauses, clock_faults, cuts, .. } = *counts;
    assert!(elections > 2 * seeds, "{elections} elections");
    assert!(commits > 10 * seeds, "{commits} commits");
    assert!(truncations > seeds / 4, "{truncations} truncations");
    assert!(restarts > 2 * seeds, "{restarts} restarts");
    assert!(saves_lost > seeds / 2, "{saves_lost} times a disk lost something");
    assert!(torn > seeds / 8, "{torn} torn records");
    assert!(pauses > seeds && clock_faults > seeds, "{pauses} pauses, {clock_faults} clocks");
    assert!(cuts > seeds, "{cuts} times links were cut or stalled");
    let Counts { snapshots, installed, .. } = *counts;
    assert!(snapshots > seeds && installed > seeds / 10, "{snapshots} snapshots, {installed} sent");
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
        Rule::RetainMatching,
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
        (Rule::SaveSnapshot, Property::LeaderCompleteness),
        (Rule::WriteAtOffset, Property::StateMachineSafety),
        (Rule::RestoreState, Property::StateMachineSafety),
        (Rule::SendSnapshot, Property::Liveness),
    ] {
        assert!(falls(property, rule, 0..500), "{property:?} without {rule:?}");
    }
}

/// Each kind strikes if it is wanted, and no other does.
#[test]
fn faults_of_a_kind_are_the_only_ones() {
    for (name, strikes) in [("network", 0), ("crash", 1), ("disk", 2), ("clock", 3)] {
        let faults = Kinds::named(name).expect("it is a kind");
        let counts = explore_with(&Options { faults, ..Options::default() }, 0..100);
        let Counts { messages_lost, cuts, crashes, saves_lost, torn, .. } = counts;
        let found = [
            cuts > 100 && messages_lost > 1000,
            crashes > 100 && saves_lost == 0,
            saves_lost > 100 && torn > 10,
            counts.pauses > 100 && counts.clock_faults > 100,
        ];
        let mut expected = [false; 4];
        expected[strikes] = true;
        assert_eq!(found, expected, "{name}: {counts:?}");
    }
}

fn first_failure(rule: Rule, options: Options) -> Box<Failure> {
    let options = Options { rules: Rules::ALL.without(rule), ..options };
    sim::runs(0..500, &options).find_map(Result::err).unwrap_or_else(|| panic!("{rule:?} holds"))
}

/// What is printed can be played: the same property falls, after few commands.
#[test]
fn failure_is_told_as_a_short_script_that_plays_to_the_same_end() {
    for (rule, nodes, longest) in [
        (Rule::OneVotePerTerm, 5, 20),
        (Rule::UpToDateLog, 3, 20),
        (Rule::KeepMatching, 3, 20),
        (Rule::SaveEntries, 3, 25),
        (Rule::SaveVote, 3, 20),
        (Rule::ApplyInOrder, 3, 20),
        (Rule::ConfirmLeadership, 3, 25),
        (Rule::RetryAppliedOnce, 3, 25),
    ] {
        let failure = first_failure(rule, Options { nodes, ..Options::default() });
        let script = failure.script().unwrap_or_else(|| panic!("{rule:?} has a script"));
        let outcome = script::play("shrunk", &script).unwrap_or_else(|why| panic!("{why}"));
        let fell = outcome.broken.map(|violation| violation.property);
        assert_eq!(fell, Some(failure.violation.property), "without {rule:?}");
        assert_eq!(outcome.text, script, "it is printed with its output");
        let commands = script.lines().filter(|line| !line.starts_with(' ')).count();
        assert!(commands <= longest, "{commands} commands without {rule:?}:\n{script}");
    }
}

#[test]
fn failure_tells_the_seed_the_property_a_script_and_how_to_repeat_it() {
    let options = Options {
        nodes: 5,
        faults: Kinds::named("network,clock").unwrap(),
        steps: 500,
        ..Options::default()
    };
    let failure = first_failure(Rule::UpToDateLog, options);
    let (seed, text) = (failure.seed, failure.to_string());
    assert!(text.starts_with(&format!("seed {seed}: Leader Completeness is broken: n")), "{text}");
    let script = failure.script().expect("safety is told as a script");
    assert!(text.contains(&script) && script.contains("\nwithout UpToDateLog\n"), "{text}");
    let again = format!(
        "\nrepeat it with: cargo run -- sim --seed {seed} --nodes 5 --steps 500 \
        --faults network,clock --without UpToDateLog"
    );
    assert!(text.ends_with(&again), "{text}");
    let rerun = sim::run(seed, &failure.options).expect_err("it fails again");
    assert_eq!(rerun.to_string(), text, "the same seed gives the same failure");
}

/// No script can say that nothing happens: there are the last moments instead.
#[test]
fn failure_of_liveness_tells_the_last_moments() {
    let failure = first_failure(Rule::BackUpNextIndex, Options::default());
    assert_eq!(failure.violation.property, Property::Liveness);
    assert_eq!(failure.script(), None);
    assert!(failure.to_string().lines().count() > 30);
}

/// Every outcome, in order, up to the first failure.
fn told(jobs: usize, options: &Options, seeds: Range<u64>) -> Vec<String> {
    let mut told = Vec::new();
    jobs::explore(seeds, options, jobs, |seed, outcome| {
        told.push(format!("{seed}: {:?}", outcome.as_ref().map_err(|failure| &failure.violation)));
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    told
}

#[test]
fn jobs_change_nothing_but_the_time() {
    let all = Options::default();
    let one_by_one = told(1, &all, 5..60);
    assert_eq!(one_by_one.len(), 55);
    assert_eq!(told(4, &all, 5..60), one_by_one);
    let broken = Options { rules: Rules::ALL.without(Rule::CommitOwnTermOnly), ..all };
    let one_by_one = told(1, &broken, 0..1000);
    assert!((10..1000).contains(&one_by_one.len()), "it fails on the way");
    assert_eq!(told(7, &broken, 0..1000), one_by_one);
}

/// To judge what clients saw once took hours in such a run.
#[test]
fn long_runs_stand() {
    explore_with(&Options { steps: 20_000, ..Options::default() }, 0..4);
}

#[test]
fn same_seed_gives_the_same_run() {
    let report = |seed| sim::run(seed, &Options::default()).expect("it stands");
    assert_eq!(report(7), report(7));
    assert_ne!(report(7).digest, report(8).digest);
}
