//! `sim`: thousands of accidents in a simulated cluster, each from one number.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::options::Options;
use super::{Failure, print};
use crate::lab::journal::Counts;
use crate::lab::{sim, trace};

/// How often the progress line is renewed.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Runs all seeds, and tells how often what happened; or, at the first seed at which a property
/// falls, how it came to that and how to repeat it.
pub fn run(options: &Options) -> Result<(), Failure> {
    let default = sim::Options::default();
    let explored = sim::Options {
        nodes: options.nodes.unwrap_or(default.nodes),
        steps: options.steps.unwrap_or(default.steps),
        ..default
    };
    let (first, end) = options.seeds.unwrap_or((0, 1000));
    let mut progress = Progress { first, end, shown: None };
    let started = Instant::now();
    let (mut counts, mut operations) = (Counts::default(), 0);
    for seed in first..end {
        progress.show(seed);
        let run = sim::run(seed, &explored);
        if options.leave.any() && (run.is_err() || end - first == 1) {
            let recording = sim::record(seed, &explored);
            trace::write(&options.leave, &recording).map_err(Failure::Running)?;
        }
        let report = run.map_err(|failure| {
            progress.clear();
            Failure::Running(failure.to_string())
        })?;
        counts.add(&report.counts);
        operations += report.operations;
    }
    progress.clear();
    let seconds = started.elapsed().as_secs_f64();
    let summary = summary(&explored, end - first, &counts, operations, seconds);
    if options.leave.take_stdout() {
        eprint!("{summary}");
        return Ok(());
    }
    print(&summary)
}

fn summary(
    options: &sim::Options,
    seeds: u64,
    counts: &Counts,
    operations: u64,
    seconds: f64,
) -> String {
    let Counts { steps, messages, messages_lost, crashes, saves_lost, .. } = counts;
    let Counts { elections, commits, truncations, .. } = counts;
    let speed = *steps as f64 / seconds.max(0.001);
    let runs = if seeds == 1 { "1 run".to_string() } else { format!("{seeds} runs") };
    format!(
        "{runs} of {} servers, {steps} steps, in {seconds:.1} s ({speed:.0} steps a second)\n\
         faults     {messages_lost} of {messages} messages lost, {crashes} crashes, of which \
         {saves_lost} lost what the disk had not saved\n\
         servers    {elections} leaders elected, {commits} commits, {truncations} logs repaired\n\
         clients    {operations} operations, one consistent store\n\
         No property fell.\n",
        options.nodes
    )
}

/// A line on the terminal that says how far it is.
struct Progress {
    first: u64,
    end: u64,
    shown: Option<Instant>,
}

impl Progress {
    fn show(&mut self, seed: u64) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= PROGRESS_EVERY);
        if is_due && io::stderr().is_terminal() {
            eprint!("\rseed {seed}, {} of {}", seed - self.first, self.end - self.first);
            self.shown = Some(Instant::now());
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
            // A terminal that is gone needs no clearing.
            let _ = io::stderr().flush();
        }
    }
}
