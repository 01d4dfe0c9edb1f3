//! `cargo bench -- --brain`: the algorithm alone. Three nodes in one thread, whose messages and
//! saves are done at once: no network, no disk, no state machine. A step is one thing told to a
//! node and the list of what it wants done.
//!
//! How many bytes a step allocates, a program cannot tell of itself without an allocator of its
//! own, and that would need `unsafe`. docs/PERFORMANCE.md shows how to ask valgrind.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::options::Options;
use super::report::rounded;
use super::target::value;
use raftlet::cli::failure::Failure;
use raftlet::cli::progress::Progress;
use raftlet::cli::stdout::{print, print_json};
use raftlet::json::Json;
use raftlet::lab::experiment::times::Times;
use raftlet::node::Node;
use raftlet::node::message::{Command, Entry, NodeId};
use raftlet::node::rules::Rules;
use raftlet::node::step::{Input, Output, Saved, Settings, Timing};

const NODES: usize = 3;

/// How many commands a batch has.
const BATCHES: [usize; 2] = [1, 64];

/// When the logs have this number of entries, new nodes begin: else memory would grow with speed.
const ENTRIES: u64 = 10_000;

/// What one run came to.
#[derive(Clone, Copy)]
struct Run {
    steps: u64,
    commits: u64,
    elapsed: Duration,
}

impl Run {
    fn steps_a_second(&self) -> f64 {
        self.steps as f64 / self.elapsed.as_secs_f64()
    }

    fn commits_a_second(&self) -> f64 {
        self.commits as f64 / self.elapsed.as_secs_f64()
    }

    fn ns_a_step(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.steps as f64
    }
}

/// Measures, and prints a line for each size of a batch.
pub fn run(options: &Options) -> Result<(), Failure> {
    let (runs, length) = (options.runs(), options.length());
    if !options.json {
        print(&format!(
            "{NODES} nodes in one thread, without network, disk and state machine; commands of \
             100 bytes;\n{runs} × {} s, medians (least–most)\n\n\
             commands a batch  steps a second                  ns a step  commits a second\n",
            length.as_secs_f64()
        ))?;
    }
    for batch in options.clients_or(&BATCHES) {
        let mut progress = Progress::default();
        let measured = (1..=runs).map(|number| {
            progress.show(|| format!("batches of {batch}: run {number} of {runs}"));
            measure(batch, length)
        });
        let measured: Vec<Run> = measured.collect();
        drop(progress);
        match options.json {
            true => print_json(to_json(batch, &measured))?,
            false => print(&row(batch, &measured))?,
        }
    }
    Ok(())
}

fn values(runs: &[Run], value: fn(&Run) -> f64) -> Times {
    Times::new(runs.iter().map(value))
}

fn row(batch: usize, runs: &[Run]) -> String {
    let steps = values(runs, Run::steps_a_second);
    let [median, least, most] = [50, 0, 100].map(|rank| steps.percentile(rank));
    let spread = format!("({least:.0}–{most:.0})");
    let ns = values(runs, Run::ns_a_step).percentile(50);
    let commits = values(runs, Run::commits_a_second).percentile(50);
    format!("{batch:>16}  {median:>9.0} {spread:<20} {ns:>10.0} {commits:>17.0}\n")
}

fn to_json(batch: usize, runs: &[Run]) -> Json {
    let median = |value| rounded(values(runs, value).percentile(50));
    Json::object([
        ("kind", "brain".into()),
        ("batch", (batch as u64).into()),
        ("runs", (runs.len() as u64).into()),
        ("steps_a_second", median(Run::steps_a_second)),
        ("ns_a_step", median(Run::ns_a_step)),
        ("commits_a_second", median(Run::commits_a_second)),
        ("steps", runs.iter().map(|run| run.steps).sum::<u64>().into()),
    ])
}

/// Commits batch after batch for this time.
fn measure(batch: usize, length: Duration) -> Run {
    let text = format!("set bench-0042={}", value(85)); // 100 bytes
    let begin = Instant::now();
    let mut run = Run { steps: 0, commits: 0, elapsed: Duration::ZERO };
    while run.elapsed < length {
        let mut trio = Trio::new();
        while trio.commits < ENTRIES && run.elapsed < length {
            let command = |request| (request, Command::new(&text));
            let proposals = (0..batch as u64).map(command).collect();
            trio.tell(0, Input::Propose(proposals));
            run.elapsed = begin.elapsed();
        }
        run.steps += trio.steps;
        run.commits += trio.commits;
    }
    run
}

/// Three nodes, the first of which leads.
struct Trio {
    nodes: Vec<Node>,
    /// The inputs that wait, each with its node.
    waiting: VecDeque<(usize, Input)>,
    steps: u64,
    /// Entries that the leader has applied.
    commits: u64,
}

impl Trio {
    fn new() -> Trio {
        let ids = || (1..=NODES as u64).map(NodeId);
        let settings = |id| Settings {
            id,
            peers: ids().filter(|peer| *peer != id).collect(),
            timing: Timing::PAPER,
            rules: Rules::ALL,
            max_entries: 1024,
            max_bytes: 1024 * 1024,
            max_chunk_bytes: 1024 * 1024,
            seed: id.0,
        };
        let nodes = ids().map(|id| Node::new(settings(id), Saved::default(), 0)).collect();
        let mut trio = Trio { nodes, waiting: VecDeque::new(), steps: 0, commits: 0 };
        trio.tell(0, Input::TimerFires);
        trio
    }

    /// Tells a node, and then all nodes whatever follows from it.
    fn tell(&mut self, node: usize, input: Input) {
        self.waiting.push_back((node, input));
        while let Some((node, input)) = self.waiting.pop_front() {
            self.steps += 1;
            // Time stands still, so no node stands for election, and no heartbeat is due.
            for output in self.nodes[node].step(0, input) {
                self.do_for(node, output);
            }
        }
    }

    fn do_for(&mut self, node: usize, output: Output) {
        match output {
            Output::SaveEntries { entries, .. } => {
                let saved = entries.last().map(Entry::id).map(Input::Saved);
                self.waiting.extend(saved.map(|saved| (node, saved)));
            }
            Output::Send(message) => {
                let to = message.to.0 as usize - 1;
                self.waiting.push_back((to, Input::Receive(message)));
            }
            Output::Apply { .. } if node == 0 => self.commits += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trio_commits_what_is_proposed() {
        let mut trio = Trio::new();
        assert_eq!(trio.nodes[0].leader(), Some(NodeId(1)));
        assert_eq!(trio.commits, 1, "the no-op");
        let batch = vec![(1, Command::new("set x=1")), (2, Command::new("set x=2"))];
        trio.tell(0, Input::Propose(batch));
        assert_eq!(trio.commits, 3);
        assert!(trio.nodes.iter().all(|node| node.log.last().index == 3));
    }

    #[test]
    fn measure_counts_steps_and_commits() {
        let run = measure(2, Duration::from_millis(1));
        assert!(run.commits >= 3 && run.steps > run.commits, "{} {}", run.commits, run.steps);
    }
}
