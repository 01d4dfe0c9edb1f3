//! A small test harness, for tests that need what a machine may lack. The standard one has no word
//! for a test that found out too late that it cannot run: it would count it as passed.
//!
//! It prints what the standard one prints, and understands of its options what `cargo test` is
//! often given: names or parts of names, `--exact`, `--skip`, `--list`, `--test-threads`.

use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// A test, and its name.
pub type Test = (&'static str, fn());

/// What the command line asks for.
#[derive(Default)]
pub struct Wanted {
    parts: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    pub lists: bool,
    ignored: bool,
    threads: Option<usize>,
}

impl Wanted {
    pub fn from_command_line() -> Wanted {
        let mut wanted = Wanted::default();
        let mut words = env::args().skip(1).flat_map(|word| match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                vec![option.to_string(), value.to_string()]
            }
            _ => vec![word],
        });
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            match word.as_str() {
                "--exact" => wanted.exact = true,
                "--list" => wanted.lists = true,
                "--ignored" => wanted.ignored = true,
                "--skip" => wanted.skipped.push(value()),
                "--test-threads" => wanted.threads = value().parse().ok(),
                "--color" | "--format" | "--logfile" | "--shuffle-seed" | "-Z" => drop(value()),
                _ if word.starts_with('-') => {} // about how the standard harness prints
                _ => wanted.parts.push(word),
            }
        }
        wanted
    }

    /// Whether a test of this name is wanted. None of ours is ignored.
    pub fn includes(&self, name: &str) -> bool {
        let is_meant =
            |part: &String| if self.exact { name == part } else { name.contains(&part[..]) };
        let is_named = self.parts.is_empty() || self.parts.iter().any(is_meant);
        is_named && !self.skipped.iter().any(is_meant) && !self.ignored
    }

    /// Runs tests, at most so many at a time, and prints what came of each.
    pub fn run(&self, tests: &[Test], at_a_time: usize) -> ExitCode {
        let start = Instant::now();
        println!("\nrunning {} tests", tests.len());
        let (rest, failed) = (Mutex::new(tests.iter()), Mutex::new(Vec::new()));
        let run_the_rest = || {
            // A lock that is held no longer than to take one.
            let next = || rest.lock().expect("no panic while it is held").next();
            while let Some(&(name, test)) = next() {
                // A thread of this name, for a panic tells the name of its thread.
                let thread = thread::Builder::new().name(name.to_string()).spawn(test);
                let passed = thread.expect("a thread").join().is_ok();
                println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
                if !passed {
                    failed.lock().expect("no panic while it is held").push(name);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.unwrap_or(at_a_time).clamp(1, at_a_time) {
                scope.spawn(run_the_rest);
            }
        });
        let failed = failed.into_inner().expect("no panic while it is held");
        if !failed.is_empty() {
            println!("\nfailures:\n    {}", failed.join("\n    "));
        }
        let word = if failed.is_empty() { "ok" } else { "FAILED" };
        let (passed, seconds) = (tests.len() - failed.len(), start.elapsed().as_secs_f64());
        let failed = failed.len();
        println!(
            "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
             0 filtered out; finished in {seconds:.2}s\n"
        );
        // What the standard harness ends with if a test has failed.
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
    }
}
