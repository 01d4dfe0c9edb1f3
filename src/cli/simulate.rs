//! `sim`: thousands of accidents in a simulated cluster, each from one number.

use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

use super::failure::Failure;
use super::options::Options;
use super::progress::Progress;
use super::stdout::print;
use crate::lab::exhaustive::{self, Bound, Seen};
use crate::lab::journal::Counts;
use crate::lab::sim::{self, jobs};
use crate::lab::trace;
use crate::node::rules::{Rule, Rules};

/// Runs all seeds, and tells how often what happened; or, at the first seed at which a property
/// falls, how it came to that and how to repeat it.
pub fn run(options: &Options) -> Result<(), Failure> {
    match options.exhaustive {
        true => exhaustive(options),
        false => random(options),
    }
}

/// The bounds within which all runs are walked: in two terms of three servers so many elections,
/// commands, power failures and snapshots.
const BOUNDS: [Bound; 4] = [
    Bound::of(2, 2, 0),
    Bound::of(2, 1, 1),
    Bound::of(3, 1, 0),
    Bound::of(2, 1, 0).and_snapshots(1),
];

/// Walks all runs within the bounds.
fn exhaustive(options: &Options) -> Result<(), Failure> {
    let random = ["--seed", "--seeds", "--nodes", "--steps", "--faults", "--jobs"];
    if let Some(name) = options.given.iter().find(|name| random.contains(&name.as_str())) {
        let why = format!("{name} does not go with --exhaustive, whose bounds are fixed");
        return Err(Failure::Usage(why));
    }
    for bound in BOUNDS {
        let bound = Bound { rules: rules(options), ..bound };
        let started = Instant::now();
        let mut progress = Progress::default();
        let watch = |seen: &Seen| {
            if seen.states.is_multiple_of(1000) {
                progress.show(|| format!("{bound}: {} states so far", seen.states));
            }
        };
        let explored = exhaustive::explore(&bound, watch);
        drop(progress);
        let Seen { states, moves } =
            explored.map_err(|broken| Failure::Running(broken.to_string()))?;
        let seconds = started.elapsed().as_secs_f64();
        print(&format!("{bound}: {states} states, {moves} ways between them, {seconds:.1} s\n"))?;
    }
    print("No property fell.\n")
}

/// The rules that the servers obey.
fn rules(options: &Options) -> Rules {
    options.without.iter().fold(Rules::ALL, |rules, &rule| rules.without(rule))
}

fn random(options: &Options) -> Result<(), Failure> {
    let default = sim::Options::default();
    let explored = sim::Options {
        nodes: options.nodes.unwrap_or(default.nodes),
        steps: options.steps.unwrap_or(default.steps),
        faults: options.faults.unwrap_or(default.faults),
        rules: rules(options),
    };
    let (first, end) = options.seeds.unwrap_or((0, 1000));
    let jobs =
        options.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let mut progress = Progress::default();
    let mut tally = Tally::new();
    let mut failure = None;
    jobs::explore(first..end, &explored, jobs, |seed, outcome| {
        progress
            .show(|| format!("seed {seed}, {} of {}  {}", seed - first, end - first, tally.line()));
        match outcome {
            Ok(report) => tally.add(&report),
            Err(failed) => failure = Some(failed),
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(failed) = failure {
        progress.show(|| {
            format!("seed {} fails; looking for a short run to the same end", failed.seed)
        });
        let text = failed.to_string();
        drop(progress);
        leave(options, failed.seed, &explored)?;
        return Err(Failure::Running(text));
    }
    drop(progress);
    if end - first == 1 {
        leave(options, first, &explored)?;
    }
    let summary = tally.summary(&explored);
    match options.leave.take_stdout() {
        true => eprint!("{summary}"),
        false => print(&summary)?,
    }
    Ok(())
}

/// Writes the run of this seed in the forms that were asked for.
fn leave(options: &Options, seed: u64, explored: &sim::Options) -> Result<(), Failure> {
    if !options.leave.any() {
        return Ok(());
    }
    let recording = sim::record(seed, explored);
    trace::write(&options.leave, &[&recording]).map_err(Failure::Running)
}

/// What happened in all runs so far.
struct Tally {
    runs: u64,
    counts: Counts,
    operations: u64,
    started: Instant,
}

impl Tally {
    fn new() -> Tally {
        Tally { runs: 0, counts: Counts::default(), operations: 0, started: Instant::now() }
    }

    fn add(&mut self, report: &sim::Report) {
        self.runs += 1;
        self.counts.add(&report.counts);
        self.operations += report.operations;
    }

    fn steps_a_second(&self) -> f64 {
        self.counts.steps as f64 / self.started.elapsed().as_secs_f64().max(0.001)
    }

    /// `1500000 steps a second, 9120 faults, 61 elections, 340 commits, rules: 33 of 38`.
    fn line(&self) -> String {
        let Counts { elections, commits, .. } = self.counts;
        format!(
            "{:.0} steps a second, {} faults, {elections} elections, {commits} commits, \
             rules: {} of {}",
            self.steps_a_second(),
            self.counts.faults(),
            self.fired(),
            Rule::COUNT
        )
    }

    /// How many rules an event has cited. Many are at work in silence: no line tells of a save.
    fn fired(&self) -> usize {
        Rule::all().filter(|&rule| self.counts.cited(rule) > 0).count()
    }

    fn summary(&self, options: &sim::Options) -> String {
        let Counts { steps, messages, messages_lost, cuts, .. } = &self.counts;
        let Counts { crashes, saves_lost, torn, pauses, clock_faults, .. } = &self.counts;
        let Counts { elections, commits, truncations, snapshots, installed, .. } = &self.counts;
        let seconds = self.started.elapsed().as_secs_f64();
        let runs = if self.runs == 1 { "1 run".to_string() } else { format!("{} runs", self.runs) };
        format!(
            "{runs} of {} servers, {steps} steps, in {seconds:.1} s ({:.0} steps a second)\n\
             network    {messages_lost} of {messages} messages lost; links cut or stalled {cuts} \
             times\n\
             disks      {crashes} crashes, of which {saves_lost} lost what the disk had not saved \
             and {torn}\n           tore a record; the real storage recovered from each\n\
             clocks     {pauses} servers stood still, {clock_faults} clocks jumped or changed \
             pace\n\
             servers    {elections} leaders elected, {commits} commits, {truncations} logs \
             repaired\n\
             snapshots  {snapshots} taken, {installed} took the place of a follower's log\n\
             rules      {} of {} were cited by an event\n\
             clients    {} operations, one consistent store\n\
             No property fell.\n",
            options.nodes,
            self.steps_a_second(),
            self.fired(),
            Rule::COUNT,
            self.operations
        )
    }
}
