//! What `cargo bench` measures: how fast a cluster is on this machine.
//!
//! Speed says little alone: what a disk or a processor allows differs from machine to machine. So
//! the same load can be put on an etcd in the same run, in turn with it (`--etcd`), or one client
//! be compared with what this machine allows at best (`--floor`). In the same way a cluster is
//! measured in turn with larger ones (`--nodes 3,5,7`), or an old one with a new one (`--history`).

mod brain;
mod caller;
mod etcd;
mod failover;
mod floor;
mod history;
mod limits;
mod load;
mod options;
mod proc;
mod report;
mod sizes;
mod startup;
mod target;

use std::env;
use std::thread;
use std::time::Duration;

use load::{Load, Run};
use options::{KNOWN, Options};
use raftlet::cli::cluster::Cluster;
use raftlet::cli::failure::Failure;
use raftlet::cli::help;
use raftlet::cli::options::Known;
use raftlet::cli::progress::Progress;
use raftlet::cli::stdout::{print, print_json};
use raftlet::node::step::Timing;
use raftlet::transport::options::Kind;
use report::Summary;
use target::Target;

/// The program whose nodes are measured.
const PROGRAM: &str = env!("CARGO_BIN_EXE_raftlet");

const TITLE: &str =
    "cargo bench: how fast is it? Beside an etcd, or beside what the machine allows";

const HELP: &str = "\
It starts nodes of its own, or takes those of --against, to which it writes 10,000 keys\n\
bench-0000 to bench-9999. Then clients set and get them, each as fast as it is answered.\n\
It prints the median of all runs, with the least and the most; half of the operations\n\
took p50 at most. With --etcd both are measured in turn, run by run, with the same keys,\n\
values and clients, and the ratios come first. Other measurements:\n\
\x20 cargo bench -- --kill 20          kill -9 of the leader under load, and is any write lost?\n\
\x20 cargo bench -- --nodes 3,5,7      several sizes of cluster, beside what one disk allows\n\
\x20 cargo bench -- --history 5000000  is it as fast after so many entries? And a node's start\n\
\x20 cargo bench -- --floor            what this machine allows: its disk, loopback and threads\n\
\x20 cargo bench -- --brain            commands through the algorithm alone, --clients in a batch";

const EXAMPLE: &str = "cargo bench -- --clients 1,64 --etcd http://localhost:2379";

/// As etcd's: a node that is slow for a moment, on a machine that has more to do than it can, is
/// no reason for an election.
const TIMING: Timing = Timing { heartbeat_ms: 100, election_timeout_ms: (1000, 2000) };

/// Nodes of its own cluster.
const NODES: u64 = 3;

/// Clients, one load after another.
const CLIENTS: [usize; 4] = [1, 8, 64, 256];

/// How long the first clients warm up what is to be measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Does what the words of a command line ask.
pub fn run(words: Vec<String>) -> Result<(), Failure> {
    let options = Options::read(words)?;
    if options.help {
        let known: Vec<&Known> = KNOWN.iter().collect();
        return print(&help::page(TITLE, HELP, &known, EXAMPLE));
    }
    options.check()?;
    run_measurement(&options)
}

/// Runs the one kind of measurement that the options name.
fn run_measurement(options: &Options) -> Result<(), Failure> {
    if options.brain {
        return brain::run(options);
    }
    if let Some(kills) = options.kill {
        return failover::run(options, kills);
    }
    if let Some(entries) = options.history {
        return history::run(options, entries);
    }
    if options.nodes.len() > 1 {
        return sizes::run(options);
    }
    let value_bytes = options.value_bytes();
    // An etcd that is not there shows at once. Nodes of our own take their time to start.
    let etcd = options.etcd.as_deref().map(|address| Target::etcd(address, value_bytes));
    let etcd = etcd.transpose()?;
    if let Some(address) = &options.against {
        let ours = Target::raftlet(address, value_bytes)?;
        return measure(options, ours, etcd, &format!("the cluster of {address}"));
    }
    let mut cluster = own_cluster(options, node_count(options)?, TIMING)?;
    let ours = Target::own(&mut cluster, value_bytes)?;
    match options.floor {
        true => floor::run(options, &ours, &own(options)),
        false => measure(options, ours, etcd, &own(options)),
    }
}

/// How many nodes the one cluster of its own has.
fn node_count(options: &Options) -> Result<u64, Failure> {
    Ok(options.single_node_count()?.unwrap_or(NODES))
}

/// Starts a cluster of this size on this machine. What its nodes print is thrown away.
fn own_cluster(options: &Options, nodes: u64, timing: Timing) -> Result<Cluster, Failure> {
    let mut cluster = Cluster::new(PROGRAM.into(), nodes, timing)?;
    cluster.options.transport = options.transport;
    cluster.hush();
    cluster.start_all()?;
    Ok(cluster)
}

/// `a cluster of 3 of its own, over tcp, in /tmp (ext4)`.
fn own(options: &Options) -> String {
    let sizes: Vec<String> = options.nodes.iter().map(u64::to_string).collect();
    let which = match sizes.len() {
        0 => format!("a cluster of {NODES}"),
        1 => format!("a cluster of {}", sizes[0]),
        _ => format!("clusters of {}", sizes.join(", ")),
    };
    let transport = options.transport.unwrap_or(Kind::Tcp).name();
    let directory = env::temp_dir();
    let disk = match proc::file_system(&directory) {
        Some(kind) if kind == "tmpfs" => " (tmpfs: memory, no disk; TMPDIR names another)".into(),
        Some(kind) => format!(" ({kind})"),
        None => String::new(),
    };
    format!("{which} of its own, over {transport}, in {}{disk}", directory.display())
}

/// What is measured, and how: it stands above a table.
fn headline(options: &Options, which: &str) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{which}; {cores} cores; values of {} bytes; {} × {} s, medians\n\n",
        options.value_bytes(),
        options.runs(),
        options.length().as_secs_f64()
    )
}

/// The loads that are asked for, one after another.
fn loads(options: &Options) -> Vec<Load> {
    let (length, clients) = (options.length(), options.clients_or(&CLIENTS));
    let of_mix = |mix| clients.iter().map(move |&clients| Load { mix, clients, length });
    options.mixes().into_iter().flat_map(of_mix).collect()
}

/// Measures every load, in turn on a raftlet and on the etcd, if there is one.
fn measure(
    options: &Options,
    ours: Target,
    etcd: Option<Target>,
    which: &str,
) -> Result<(), Failure> {
    let targets: Vec<Target> = [ours].into_iter().chain(etcd).collect();
    if !options.json {
        let ratios: &[&str] = if targets.len() > 1 { &["ops/s", "p50", "p99"] } else { &[] };
        print(&(headline(options, which) + &report::header("etcd", ratios)))?;
    }
    targets.iter().try_for_each(load::fill)?;
    for load in loads(options) {
        let summaries = measure_load(options, &targets, &load)?;
        let theirs = targets.get(1).zip(summaries.get(1));
        match options.json {
            true => print_beside_json(&load, (&targets[0], &summaries[0]), theirs)?,
            false => print_beside(&load, (&targets[0], &summaries[0]), theirs)?,
        }
    }
    Ok(())
}

/// Prints what came of a load, ours and that of the one beside it, if there is one.
fn print_beside(
    load: &Load,
    (target, ours): (&Target, &Summary),
    theirs: Option<(&Target, &Summary)>,
) -> Result<(), Failure> {
    let Some((other, theirs)) = theirs else {
        return print(&report::row(Some(load), &[], &target.name, ours));
    };
    let ratios = report::ratios(ours, theirs).map(report::times);
    let blank = [const { String::new() }; 3];
    print(&report::row(Some(load), &ratios, &target.name, ours))?;
    print(&report::row(None, &blank, &other.name, theirs))
}

/// The same, as JSON.
fn print_beside_json(
    load: &Load,
    (target, ours): (&Target, &Summary),
    theirs: Option<(&Target, &Summary)>,
) -> Result<(), Failure> {
    print_json(report::to_json(target, load, ours, theirs.map(|(_, theirs)| theirs)))?;
    theirs.map_or(Ok(()), |(other, theirs)| print_json(report::to_json(other, load, theirs, None)))
}

/// Measures one load on every target, and sums up the runs of each.
fn measure_load(
    options: &Options,
    targets: &[Target],
    load: &Load,
) -> Result<Vec<Summary>, Failure> {
    let runs = run_in_turn(options, targets, load)?;
    Ok(runs.iter().map(|runs| Summary::new(runs)).collect())
}

/// The runs of one load on each target, in turn: after the first of all, the second of all.
fn run_in_turn(
    options: &Options,
    targets: &[Target],
    load: &Load,
) -> Result<Vec<Vec<Run>>, Failure> {
    let mut progress = Progress::default();
    let wanted = options.runs();
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); targets.len()];
    for number in 0..=wanted {
        for (target, runs) in targets.iter().zip(&mut runs) {
            let Load { mix, clients, length } = *load;
            let (name, mix) = (&target.name, mix.name());
            progress.show(|| match number {
                0 => format!("{mix}, {clients} clients, {name}: warming up"),
                _ => format!("{mix}, {clients} clients, {name}: run {number} of {wanted}"),
            });
            if number == 0 {
                load::run(target, &Load { length: length.min(WARM_UP), ..*load }, 0)?;
                continue;
            }
            let run = load::run(target, load, number as u64)?;
            if options.json {
                print_json(report::run_to_json(target, load, number, &run))?;
            }
            runs.push(run);
        }
    }
    Ok(runs)
}
