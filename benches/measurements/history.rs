//! `cargo bench -- --history N`: does a cluster get slower as it gets older?
//!
//! The log is cut behind each snapshot, so neither memory, disk nor speed may depend on how many
//! entries there ever were. A machine, however, is not the same some minutes later. So the old
//! cluster is measured in turn with a new one, which has no more than the 10,000 keys: at the
//! beginning, where both are new and the ratio shows how far two runs of one thing are apart, and
//! after each quarter of the way.
//!
//! At last a node is started whose log was never cut (`startup.rs`).

use super::load::{self, Load, Run};
use super::options::Options;
use super::report::{self, Summary, rounded};
use super::target::{KEYS, Mix, TIMEOUT, Target};
use super::{TIMING, WARM_UP, startup};
use raftlet::cli::cluster::Cluster;
use raftlet::cli::failure::Failure;
use raftlet::cli::node;
use raftlet::cli::progress::Progress;
use raftlet::cli::stdout::{print, print_json};
use raftlet::json::Json;
use raftlet::lab::experiment::times::Times;

/// The number of clients, unless the command line has one.
const CLIENTS: usize = 64;

/// How often it is measured on the way.
const POINTS: u64 = 4;

/// The most entries of the log with which a node starts.
const MAX_START: u64 = 1_000_000;

const HEADER: &str = "           ratio to a new cluster, measured in turn\n  \
    entries  ops/s   ops/s (least–most)     a new one (least–most)  MiB of memory  on disk\n";

/// How the old cluster is at one point of the way.
struct Point {
    entries: u64,
    old: Summary,
    new: Summary,
    /// Operations a second of each run, as a multiple of those of the new cluster right after it.
    ratios: Times,
    /// What each of its nodes has on the disk, the leader first.
    disk_bytes: Vec<u64>,
}

/// Measures on the way to this number of entries, and then a start.
pub fn run(options: &Options, entries: u64) -> Result<(), Failure> {
    let clients = options.single_client_count(CLIENTS)?;
    let load = Load { mix: Mix::Set, clients, length: options.length() };
    if !options.json {
        let what = format!("{}; sets by {clients} clients", super::own(options));
        print(&(super::headline(options, &what) + HEADER))?;
    }
    measure(options, &load, entries)?;
    startup::run(options, entries.min(MAX_START))
}

fn measure(options: &Options, load: &Load, entries: u64) -> Result<(), Failure> {
    let (_cluster, old) = filled_cluster(options, "the old cluster")?;
    let mut targets = vec![old];
    for goal in points(entries) {
        let entries = grow(&targets[0], load, goal)?;
        let (_cluster, new) = filled_cluster(options, "the new cluster")?;
        targets.push(new);
        let runs = super::run_in_turn(options, &targets, load)?;
        targets.pop();
        let disk_bytes = numbers(&targets[0], "data_bytes")?;
        let (old, new) = (Summary::new(&runs[0]), Summary::new(&runs[1]));
        let point = Point { entries, old, new, ratios: ratios(&runs[0], &runs[1]), disk_bytes };
        match options.json {
            true => print_json(to_json(&point))?,
            false => print(&row(&point))?,
        }
    }
    Ok(())
}

/// Two runs that follow one another are more alike than two medians: what else the machine does
/// may change from one minute to the next.
fn ratios(old: &[Run], new: &[Run]) -> Times {
    let rate = |run: &Run| run.operations_a_second;
    Times::new(old.iter().zip(new).map(|(old, new)| rate(old) / rate(new)))
}

/// A cluster that has all the keys, and nothing else.
fn filled_cluster(options: &Options, name: &str) -> Result<(Cluster, Target), Failure> {
    let mut cluster = super::own_cluster(options, super::node_count(options)?, TIMING)?;
    let target = Target::own(&mut cluster, options.value_bytes())?;
    load::fill(&target)?;
    Ok((cluster, Target { name: name.to_string(), ..target }))
}

/// Where to measure: at the beginning, and after each quarter of the way.
fn points(entries: u64) -> Vec<u64> {
    let point = |quarter| KEYS + (entries - KEYS) * quarter / POINTS;
    let mut points: Vec<u64> = (0..=POINTS).map(point).collect();
    points.dedup();
    points
}

/// Writes until there are `goal` entries or more; returns how many.
fn grow(target: &Target, load: &Load, goal: u64) -> Result<u64, Failure> {
    let mut progress = Progress::default();
    loop {
        let entries = numbers(target, "last_log_index")?[0];
        if entries >= goal {
            return Ok(entries);
        }
        progress.show(|| format!("{entries} of {goal} entries"));
        load::run(target, &Load { length: WARM_UP, ..*load }, entries)?;
    }
}

/// A number of each node's status, the leader first.
fn numbers(target: &Target, name: &str) -> Result<Vec<u64>, Failure> {
    let number = |address: &String| {
        let status = node::ask(address, "GET", "/status", None, TIMEOUT)?;
        let number = status.get(name).and_then(Json::as_u64);
        number.ok_or_else(|| format!("{address} tells no {name}"))
    };
    target.addresses.iter().map(|address| number(address).map_err(Failure::Running)).collect()
}

fn row(point: &Point) -> String {
    let Point { entries, old, new, ratios, disk_bytes } = point;
    let ratio = report::times(ratios.percentile(50));
    let rates = |summary: &Summary| {
        let [least, most] = [0, 100].map(|rank| summary.rates.percentile(rank));
        format!("{:>7.0} {:<15}", summary.rate(), format!("({least:.0}–{most:.0})"))
    };
    let mib = |bytes: &[u64]| {
        let mib: Vec<String> = bytes.iter().map(|bytes| (bytes >> 20).to_string()).collect();
        mib.join(" ")
    };
    let (old_rates, new_rates) = (rates(old), rates(new));
    let (memory, disk) = (mib(&old.memory_bytes), mib(disk_bytes));
    format!("{entries:>9}  {ratio:>5}  {old_rates}  {new_rates}  {memory:<13}  {disk}\n")
}

fn to_json(point: &Point) -> Json {
    let Point { entries, old, new, ratios, disk_bytes } = point;
    let all = |bytes: &[u64]| bytes.iter().map(|&bytes| bytes.into()).collect::<Vec<Json>>();
    Json::object([
        ("kind", "history".into()),
        ("entries", (*entries).into()),
        ("operations_a_second", rounded(old.rate())),
        ("new_operations_a_second", rounded(new.rate())),
        ("rate_ratio", rounded(ratios.percentile(50))),
        ("memory_bytes", all(&old.memory_bytes).into()),
        ("disk_bytes", all(disk_bytes).into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_beginning_and_each_quarter() {
        assert_eq!(points(KEYS), [KEYS]);
        assert_eq!(points(KEYS + 400), [0, 100, 200, 300, 400].map(|more| KEYS + more));
    }
}
