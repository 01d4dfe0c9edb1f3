//! The load: a number of clients, each a thread with a connection of its own. A client asks for the
//! next thing when it has the answer to the last.

use std::process;
use std::sync::OnceLock;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::proc;
use super::target::{KEYS, Mix, Target};
use raftlet::cli::failure::Failure;
use raftlet::lab::experiment::times::Times;
use raftlet::node::step::Random;

/// A client needs little.
const STACK_BYTES: usize = 64 * 1024;

/// How many clients write the keys that are to be read.
const FILLERS: u64 = 16;

/// One load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What is asked.
    pub mix: Mix,
    /// By how many at once.
    pub clients: usize,
    /// For how long.
    pub length: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// How many were done in time, a second.
    pub operations_a_second: f64,
    /// How long each took that was done, in milliseconds; `None` if nothing was.
    pub times: Option<Times>,
    /// How many were asked and not done.
    pub errors: u64,
    /// What each node's process spent on an operation, the leader first, in microseconds of a
    /// processor; empty if the system does not tell.
    pub cpu_us: Vec<f64>,
    /// What the clients themselves spent on one.
    pub own_cpu_us: Option<f64>,
    /// The memory of each node afterwards, in bytes.
    pub memory_bytes: Vec<u64>,
}

/// What one client has done.
#[derive(Default)]
struct Tally {
    times_ms: Vec<f64>,
    in_time: u64,
    errors: u64,
}

/// Puts a target under load. Another seed chooses other keys.
///
/// # Errors
/// The system has no room for a thread for each client.
pub fn run(target: &Target, load: &Load, seed: u64) -> Result<Run, Failure> {
    let (tallies, spent) = work(target, load, seed)?;
    let times_ms: Vec<f64> = tallies.iter().flat_map(|tally| &tally.times_ms).copied().collect();
    let in_time: u64 = tallies.iter().map(|tally| tally.in_time).sum();
    let each_us = |spent: Duration| spent.as_secs_f64() * 1e6 / times_ms.len().max(1) as f64;
    let (own, nodes) = spent.split_last().expect("its own is the last");
    Ok(Run {
        operations_a_second: in_time as f64 / load.length.as_secs_f64(),
        errors: tallies.iter().map(|tally| tally.errors).sum(),
        cpu_us: nodes.iter().copied().flatten().map(each_us).collect(),
        own_cpu_us: own.map(each_us),
        memory_bytes: target.processes.iter().filter_map(|&id| proc::memory_bytes(id)).collect(),
        times: (!times_ms.is_empty()).then(|| Times::new(times_ms.into_iter())),
    })
}

/// What each client has done, and what each node's process and at last this one has spent.
type Work = (Vec<Tally>, Vec<Option<Duration>>);

/// Lets all clients connect, and then begin at once. If there is no room for all, no client begins.
fn work(target: &Target, load: &Load, seed: u64) -> Result<Work, Failure> {
    let begin = OnceLock::new();
    thread::scope(|scope| {
        let spawn = |client| spawn(scope, target, load, Random(seed << 32 | client), &begin);
        let clients: Result<Vec<_>, Failure> = (0..load.clients as u64).map(spawn).collect();
        let before = cpu(target);
        let _ = begin.set(clients.is_ok().then(Instant::now)); // the first time, and the only one
        let tallies = clients?.into_iter().map(|client| client.join().expect("no client panics"));
        let tallies = tallies.collect();
        let both = cpu(target).into_iter().zip(before);
        Ok((tallies, both.map(|(after, before)| after?.checked_sub(before?)).collect()))
    })
}

/// What the nodes' processes have spent so far, and at the end this one.
fn cpu(target: &Target) -> Vec<Option<Duration>> {
    let processes = target.processes.iter().copied().chain([process::id()]);
    processes.map(proc::cpu).collect()
}

fn spawn<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    target: &'env Target,
    load: &'env Load,
    random: Random,
    begin: &'scope OnceLock<Option<Instant>>,
) -> Result<ScopedJoinHandle<'scope, Tally>, Failure> {
    let caller = Caller::new(&target.addresses);
    let all = move || match begin.wait() {
        Some(begin) => ask(target, load, random, caller, *begin),
        None => Tally::default(),
    };
    let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, all);
    spawned.map_err(|error| Failure::Running(format!("cannot start a client's thread: {error}")))
}

/// Asks for one thing after another until the time is over.
fn ask(
    target: &Target,
    load: &Load,
    mut random: Random,
    mut caller: Caller,
    begin: Instant,
) -> Tally {
    let mut tally = Tally::default();
    let mut request = Vec::new();
    let mut sent = Instant::now();
    while sent - begin < load.length {
        let bits = random.bits();
        let writes = match load.mix {
            Mix::Set => true,
            Mix::Get => false,
            Mix::Mixed => bits >> 63 == 0,
        };
        match writes {
            true => target.requests.set(bits % KEYS, &mut request),
            false => target.requests.get(bits % KEYS, &mut request),
        }
        let done = caller.ask(&request).is_some();
        let now = Instant::now();
        match done {
            true => {
                tally.times_ms.push((now - sent).as_secs_f64() * 1000.0);
                tally.in_time += u64::from(now - begin <= load.length);
            }
            false => tally.errors += 1,
        }
        sent = now;
    }
    tally
}

/// Writes every key once, so that every read finds something.
///
/// # Errors
/// The keys cannot be written.
pub fn fill(target: &Target) -> Result<(), Failure> {
    let write = |first: u64| {
        let mut caller = Caller::new(&target.addresses);
        let mut request = Vec::new();
        let mut troubles = 0;
        for key in (first..KEYS).step_by(FILLERS as usize) {
            target.requests.set(key, &mut request);
            while caller.ask(&request).is_none() {
                troubles += 1;
                if troubles > 1000 {
                    return false;
                }
            }
        }
        true
    };
    let all_are_there = thread::scope(|scope| {
        let threads: Vec<_> = (0..FILLERS).map(|first| scope.spawn(move || write(first))).collect();
        threads.into_iter().all(|thread| thread.join().expect("no client panics"))
    });
    match all_are_there {
        true => Ok(()),
        false => Err(Failure::Running(format!("{} does not take writes", target.name))),
    }
}
