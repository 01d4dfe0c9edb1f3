//! Many runs at a time, on several threads, told in the order of their seeds.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use super::{Failure, Options, Report, run};

/// What became of one seed.
pub type Outcome = Result<Report, Box<Failure>>;

/// Explores these worlds with so many threads. `tell` is given what became of each, in the order of
/// the seeds, and says whether to go on.
pub fn explore(
    seeds: Range<u64>,
    options: &Options,
    jobs: usize,
    mut tell: impl FnMut(u64, Outcome) -> ControlFlow<()>,
) {
    let mut due = seeds.start;
    let seeds = Mutex::new(seeds);
    let is_over = AtomicBool::new(false);
    let next = || seeds.lock().ok()?.next().filter(|_| !is_over.load(Ordering::Relaxed));
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            scope.spawn(move || {
                while let Some(seed) = next() {
                    // Nobody listens any more when a failure was told.
                    let _ = sender.send((seed, run(seed, options)));
                }
            });
        }
        drop(sender);
        let mut early: Vec<(u64, Outcome)> = Vec::new();
        for outcome in outcomes {
            early.push(outcome);
            while let Some(place) = early.iter().position(|&(seed, _)| seed == due) {
                let (_, outcome) = early.swap_remove(place);
                if tell(due, outcome).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                    return;
                }
                due += 1;
            }
        }
    });
}
