//! The end of `cargo bench -- --history N`: how long does a node take to start?
//!
//! What it reads is its snapshot and the log behind it. Snapshots keep the log short; here it is as
//! long as can be, for the registry asks for no snapshot. The storage itself writes it, as it would
//! for a node, and when the node reads it, it still lies in the system's memory. The node is a
//! cluster of one, which goes on by itself: it answers, is elected, applies all that it has, and
//! then takes a write.

use std::time::{Duration, Instant};

use super::options::Options;
use super::report::rounded;
use super::target::{KEYS, value};
use raftlet::cli::cluster::Cluster;
use raftlet::cli::failure::Failure;
use raftlet::cli::node;
use raftlet::cli::progress::Progress;
use raftlet::cli::stdout::{print, print_json};
use raftlet::json::Json;
use raftlet::lab::experiment::times::Times;
use raftlet::node::message::{Command, Entry, NodeId};
use raftlet::node::step::Timing;
use raftlet::storage::Storage;

const ID: NodeId = NodeId(1);

/// Longer than any log.
const NO_SNAPSHOT: &str = "[log]\nsnapshot_after_bytes = 1_000_000_000_000\n";

/// How many entries are written at a time.
const BATCH: u64 = 10_000;

/// How often one looks whether the node is so far, and how long one waits for an answer.
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// What one start took, in milliseconds since the process was started.
struct Start {
    answer_ms: f64,
    write_ms: f64,
}

/// Starts a node with this number of entries again and again, and prints how long it took.
pub fn run(options: &Options, entries: u64) -> Result<(), Failure> {
    let mut cluster = Cluster::new(super::PROGRAM.into(), 1, Timing::PAPER)?;
    cluster.hush();
    cluster.add_to_registry(NO_SNAPSHOT)?;
    let text = value(options.value_bytes());
    let log_bytes = write_log(&cluster, entries, &text)?;
    let mut progress = Progress::default();
    let wanted = options.runs();
    let mut starts = Vec::new();
    for number in 1..=wanted {
        progress.show(|| format!("start with {entries} entries: {number} of {wanted}"));
        starts.push(start(&mut cluster)?);
        cluster.kill(ID);
    }
    drop(progress);
    let answers = Times::new(starts.iter().map(|start| start.answer_ms));
    let writes = Times::new(starts.iter().map(|start| start.write_ms));
    match options.json {
        true => print_json(to_json(entries, log_bytes, &answers, &writes)),
        false => print(&text_of(entries, log_bytes, &answers, &writes)),
    }
}

/// Writes the files of a node that has this number of entries; returns the bytes of its log.
fn write_log(cluster: &Cluster, entries: u64, value: &str) -> Result<u64, Failure> {
    let (name, data) = (cluster.options.registry()?.cluster, cluster.options.data_of(ID));
    let write = || {
        let (mut storage, _) = Storage::open(&data, &name, ID)?;
        storage.save_vote(1, Some(ID))?;
        for after in (0..entries).step_by(BATCH as usize) {
            let batch = (after + 1..=entries.min(after + BATCH)).map(|index| {
                let command = Command::new(&format!("set bench-{:04}={value}", index % KEYS));
                Entry { index, term: 1, command }
            });
            storage.save_entries(after, &batch.collect::<Vec<_>>(), ID)?;
            storage.sync()?;
        }
        Ok(storage.log_bytes())
    };
    write().map_err(Failure::Running)
}

fn start(cluster: &mut Cluster) -> Result<Start, Failure> {
    let address = &cluster.options.registry()?.nodes[&ID];
    let begin = Instant::now();
    cluster.start(ID)?;
    cluster.wait_closely(PAUSE, "the node to answer", |_| {
        node::request(address, "GET", "/health", None, PATIENCE).ok()
    })?;
    let answered = begin.elapsed();
    let body = Json::object([("key", "bench-0000".into()), ("value", "x".into())]);
    cluster.wait_closely(PAUSE, "the node to take a write", |_| {
        node::ask(address, "POST", "/api/set", Some(&body), PATIENCE).ok()
    })?;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Start { answer_ms: ms(answered), write_ms: ms(begin.elapsed()) })
}

fn text_of(entries: u64, log_bytes: u64, answers: &Times, writes: &Times) -> String {
    let seconds = |times: &Times| {
        let [median, least, most] = [50, 0, 100].map(|rank| times.percentile(rank) / 1000.0);
        format!("{median:.2} s ({least:.2}–{most:.2})")
    };
    let (least, most) = Timing::PAPER.election_timeout_ms;
    format!(
        "\nstart of a node whose log has {entries} entries and was never cut, {} MiB:\n\
         to its first answer      {}\n\
         to its first write       {}, with an election timeout of {least}–{most} ms\n",
        log_bytes >> 20,
        seconds(answers),
        seconds(writes)
    )
}

fn to_json(entries: u64, log_bytes: u64, answers: &Times, writes: &Times) -> Json {
    Json::object([
        ("kind", "start".into()),
        ("entries", entries.into()),
        ("log_bytes", log_bytes.into()),
        ("starts", (answers.sorted().len() as u64).into()),
        ("answer_ms", rounded(answers.percentile(50))),
        ("write_ms", rounded(writes.percentile(50))),
    ])
}
