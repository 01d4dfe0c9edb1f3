//! `sim`: thousands of accidents in a simulated cluster, each from one number.

use std::time::Instant;

use super::options::Options;
use super::progress::Progress;
use super::{Failure, print};
use crate::lab::journal::Counts;
use crate::lab::sim;

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
    let mut progress = Progress::default();
    let started = Instant::now();
    let (mut counts, mut operations) = (Counts::default(), 0);
    for seed in first..end {
        progress.show(|| format!("seed {seed}, {} of {}", seed - first, end - first));
        let run = sim::run(seed, &explored);
        let report = run.map_err(|failure| Failure::Running(failure.to_string()))?;
        counts.add(&report.counts);
        operations += report.operations;
    }
    drop(progress);
    let seconds = started.elapsed().as_secs_f64();
    print(&summary(&explored, end - first, &counts, operations, seconds))
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
