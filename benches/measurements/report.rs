//! What is printed of the runs: a table for people, in which the ratios come first, or JSON.
//!
//! Of several runs it is the median that counts, beside the least and the greatest.

use super::load::{Load, Run};
use super::target::Target;
use raftlet::json::Json;
use raftlet::lab::experiment::times::Times;

/// What is said of the runs of one load on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Operations a second of each run.
    pub rates: Times,
    /// The median of the runs' medians, in milliseconds.
    pub p50_ms: f64,
    /// The median of their 99th percentiles.
    pub p99_ms: f64,
    /// The longest of all.
    pub max_ms: f64,
    /// All errors.
    pub errors: u64,
    /// Of each node, the leader first: the median of the runs.
    pub cpu_us: Vec<f64>,
    /// The clients' own.
    pub own_cpu_us: Option<f64>,
    /// Of each node, in bytes: the most.
    pub memory_bytes: Vec<u64>,
}

impl Summary {
    /// Of these runs, of which there is at least one.
    pub fn new(runs: &[Run]) -> Summary {
        let times = || runs.iter().filter_map(|run| run.times.as_ref());
        let nodes = runs.iter().map(|run| run.cpu_us.len()).min().unwrap_or_default();
        let of_node = |node: usize| median(runs.iter().map(|run| run.cpu_us[node]));
        let memories = runs.iter().map(|run| run.memory_bytes.len()).min().unwrap_or_default();
        let memory = |node: usize| runs.iter().map(|run| run.memory_bytes[node]).max();
        Summary {
            rates: Times::new(runs.iter().map(|run| run.operations_a_second)),
            p50_ms: median(times().map(|times| times.percentile(50))).unwrap_or(f64::INFINITY),
            p99_ms: median(times().map(|times| times.percentile(99))).unwrap_or(f64::INFINITY),
            max_ms: times().map(|times| times.percentile(100)).fold(0.0, f64::max),
            errors: runs.iter().map(|run| run.errors).sum(),
            cpu_us: (0..nodes).filter_map(of_node).collect(),
            own_cpu_us: median(runs.iter().filter_map(|run| run.own_cpu_us)),
            memory_bytes: (0..memories).filter_map(memory).collect(),
        }
    }

    /// The median of the runs.
    pub fn rate(&self) -> f64 {
        self.rates.percentile(50)
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| Times::new(values.into_iter()).percentile(50))
}

/// What is measured as a multiple of what another reached: operations a second, p50, p99.
pub fn ratios(ours: &Summary, theirs: &Summary) -> [f64; 3] {
    [ours.rate() / theirs.rate(), ours.p50_ms / theirs.p50_ms, ours.p99_ms / theirs.p99_ms]
}

/// The head of the table. What the ratios are of stands in its first columns, if there are any.
pub fn header(to: &str, ratios: &[&str]) -> String {
    let above = match ratios {
        [] => String::new(),
        _ => format!("{:17}ratio to {to}\n", ""),
    };
    let ratios: String = ratios.iter().map(|name| format!("  {name:>5}")).collect();
    format!(
        "{above}load   clients{ratios}  target    ops/s (least–most)    p50 ms  p99 ms  max ms \
         errors  µs CPU/op             MiB (leader first)\n"
    )
}

/// The line of a target: the load, unless the line above has it, and the ratios come first.
pub fn row(load: Option<&Load>, ratios: &[String], name: &str, summary: &Summary) -> String {
    let mut line = match load {
        Some(load) => format!("{:<6} {:>7}", load.mix.name(), load.clients),
        None => " ".repeat(14),
    };
    ratios.iter().for_each(|ratio| line += &format!("  {ratio:>5}"));
    let (least, most) = (summary.rates.percentile(0), summary.rates.percentile(100));
    let spread = format!("({least:.0}–{most:.0})");
    let cpu: Vec<String> = summary.cpu_us.iter().map(|us| format!("{us:.0}")).collect();
    let mib: Vec<String> =
        summary.memory_bytes.iter().map(|bytes| (bytes >> 20).to_string()).collect();
    line += &format!(
        "  {name:<7} {:>7.0} {spread:<13} {:>7.3} {:>7.3} {:>7.1} {:>6}  {:<20}  {}",
        summary.rate(),
        summary.p50_ms,
        summary.p99_ms,
        summary.max_ms,
        summary.errors,
        cpu.join(" "),
        mib.join(" "),
    );
    line.trim_end().to_string() + "\n"
}

/// One run as JSON.
pub fn run_to_json(target: &Target, load: &Load, number: usize, run: &Run) -> Json {
    let summary = Summary::new(std::slice::from_ref(run));
    let mut members = vec![("kind", "run".into())];
    members.extend(what(target, load));
    members.push(("run", (number as u64).into()));
    members.extend(figures(&summary));
    Json::object(members)
}

/// All runs of a load as JSON.
pub fn to_json(target: &Target, load: &Load, ours: &Summary, of: Option<&Summary>) -> Json {
    let mut members = vec![("kind", "median".into())];
    members.extend(what(target, load));
    members.push(("runs", (ours.rates.sorted().len() as u64).into()));
    members.extend(figures(ours));
    members.push(("least_operations_a_second", rounded(ours.rates.percentile(0))));
    members.push(("most_operations_a_second", rounded(ours.rates.percentile(100))));
    if let Some(theirs) = of {
        let [rate, p50, p99] = ratios(ours, theirs).map(rounded);
        members.extend([("rate_ratio", rate), ("p50_ratio", p50), ("p99_ratio", p99)]);
    }
    Json::object(members)
}

fn what(target: &Target, load: &Load) -> [(&'static str, Json); 5] {
    [
        ("target", target.name.as_str().into()),
        ("nodes", (target.addresses.len() as u64).into()),
        ("load", load.mix.name().into()),
        ("clients", (load.clients as u64).into()),
        ("seconds", load.length.as_secs_f64().into()),
    ]
}

fn figures(summary: &Summary) -> [(&'static str, Json); 8] {
    let cpu: Vec<Json> = summary.cpu_us.iter().copied().map(rounded).collect();
    let memory: Vec<Json> = summary.memory_bytes.iter().map(|&bytes| bytes.into()).collect();
    [
        ("operations_a_second", rounded(summary.rate())),
        ("p50_ms", rounded(summary.p50_ms)),
        ("p99_ms", rounded(summary.p99_ms)),
        ("max_ms", rounded(summary.max_ms)),
        ("errors", summary.errors.into()),
        ("cpu_us_an_operation", cpu.into()),
        ("generator_cpu_us_an_operation", summary.own_cpu_us.map_or(Json::Null, rounded)),
        ("memory_bytes", memory.into()),
    ]
}

/// A ratio, for people.
pub fn times(ratio: f64) -> String {
    format!("{ratio:.2}×")
}

/// Three places are enough, and more would look like knowledge. What is infinite is `null`.
pub fn rounded(number: f64) -> Json {
    ((number * 1000.0).round() / 1000.0).into()
}
