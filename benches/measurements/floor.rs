//! `cargo bench -- --floor`: how near one client's write is to what this machine allows at best.
//!
//! The least time that a durable commit on three nodes can take is that of what cannot be left out:
//! the client's request and its answer; the leader's message to a follower and its answer; two of
//! three disks, which write at once (here it is one disk, so they share it). Two things are not
//! counted. One is the work itself: parsing, checking, applying. The other is what goes from thread
//! to thread within a node: a node has a thread for HTTP, one for Raft, and a reader and a writer
//! for each peer. What one such hand-over costs is measured, too. All is measured in the same run,
//! in turn, because a machine is not the same an hour later.

use std::fmt::Write;

use super::limits::Limits;
use super::load::{self, Load};
use super::options::Options;
use super::report::rounded;
use super::target::{Mix, Target};
use raftlet::cli::failure::Failure;
use raftlet::cli::progress::Progress;
use raftlet::cli::stdout::{print, print_json};
use raftlet::json::Json;
use raftlet::lab::experiment::times::Times;

/// How often a message goes there and back.
const ROUND_TRIPS: f64 = 2.0;

/// What was measured in one run, in microseconds.
struct Run {
    limits: Limits,
    p50_us: f64,
}

impl Run {
    /// The least time that a commit can take.
    fn floor_us(&self) -> f64 {
        ROUND_TRIPS * self.limits.round_trip_us + self.limits.majority_us
    }

    fn ratio(&self) -> f64 {
        self.p50_us / self.floor_us()
    }
}

/// A line of the report: its name in JSON, in words, how to get it from a run, and how many places
/// it has.
type Line = (&'static str, &'static str, fn(&Run) -> f64, usize);

const LINES: [Line; 8] = [
    ("append_us", "fdatasync of 100 bytes appended", |run| run.limits.append_us, 0),
    ("ahead_us", "  into space allocated ahead", |run| run.limits.ahead_us, 0),
    ("majority_us", "  by three at once, until two have it", |run| run.limits.majority_us, 0),
    ("round_trip_us", "a round trip over loopback", |run| run.limits.round_trip_us, 0),
    ("hand_over_us", "a hand-over between threads", |run| run.limits.hand_over_us, 0),
    ("floor_us", "the least time of a durable commit", Run::floor_us, 0),
    ("p50_us", "one client's set, p50", |run| run.p50_us, 0),
    ("ratio", "  how many times the least", Run::ratio, 2),
];

const MODEL: &str = "
The least time is two round trips (client and leader, leader and follower), and two of three that
write at once. What goes from thread to thread within a node is not counted.
";

/// Measures the machine and one client of the target in turn, and prints both.
pub fn run(options: &Options, target: &Target, which: &str) -> Result<(), Failure> {
    let wanted = options.runs();
    let load = Load { mix: Mix::Set, clients: 1, length: options.length() };
    let mut progress = Progress::default();
    let mut runs = Vec::new();
    load::run(target, &Load { length: load.length.min(super::WARM_UP), ..load }, 0)?;
    for number in 1..=wanted {
        progress.show(|| format!("the machine, and one client: run {number} of {wanted}"));
        let limits = Limits::measure()
            .map_err(|error| Failure::Running(format!("cannot measure this machine: {error}")))?;
        let one = load::run(target, &load, number as u64)?;
        let Some(times) = one.times else {
            return Err(Failure::Running("no write was done".to_string()));
        };
        runs.push(Run { limits, p50_us: times.percentile(50) * 1000.0 });
    }
    drop(progress);
    match options.json {
        true => print_json(to_json(&runs)),
        false => print(&format!("{which}; {}", text(&runs))),
    }
}

fn values(runs: &[Run], value: fn(&Run) -> f64) -> Times {
    Times::new(runs.iter().map(value))
}

fn text(runs: &[Run]) -> String {
    let mut text = format!("median of {} (least–most), in µs\n\n", runs.len());
    for (_, words, value, places) in LINES {
        let [median, least, most] = [50, 0, 100].map(|rank| values(runs, value).percentile(rank));
        let spread = format!("({least:.places$}–{most:.places$})");
        let _ = writeln!(text, "{words:<40} {median:>7.places$}  {spread}");
    }
    text + MODEL
}

fn to_json(runs: &[Run]) -> Json {
    let medians = LINES.map(|(name, _, value, _)| (name, values(runs, value).percentile(50)));
    let kind = [("kind", "floor".into()), ("runs", (runs.len() as u64).into())].into_iter();
    Json::object(kind.chain(medians.map(|(name, median)| (name, rounded(median)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let limits = Limits {
            append_us: 1000.0,
            ahead_us: 90.0,
            majority_us: 100.0,
            round_trip_us: 30.0,
            hand_over_us: 10.0,
        };
        Run { limits, p50_us: 240.0 }
    }

    #[test]
    fn floor_is_two_round_trips_and_the_disks() {
        assert_eq!((run().floor_us(), run().ratio()), (160.0, 1.5));
    }

    #[test]
    fn report_says_the_same_in_both_forms() {
        let text = text(&[run(), run()]);
        let line = |words: &str| text.lines().find_map(|line| line.strip_prefix(words)).unwrap();
        assert_eq!(line("  how many times the least").trim(), "1.50  (1.50–1.50)");
        assert_eq!(line("fdatasync of 100 bytes appended").trim(), "1000  (1000–1000)");
        assert_eq!(to_json(&[run()]).get("ratio"), Some(&1.5.into()));
    }

    #[test]
    fn measure_finds_all_limits() {
        let Limits { append_us, ahead_us, majority_us, round_trip_us, hand_over_us } =
            Limits::measure().unwrap();
        for limit in [append_us, ahead_us, majority_us, round_trip_us, hand_over_us] {
            assert!(limit > 0.0);
        }
    }
}
