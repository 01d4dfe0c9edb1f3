//! What this machine can do at best: its disk, its loopback, its scheduler. Each is measured by the
//! plainest program that does it, and of many times the median counts.
//!
//! Each time comes after a rest, as in a cluster that has one client: a thread that wakes there has
//! waited for some hundred microseconds, and a core that has gone to sleep takes its time to wake.
//! Without the rest a round trip would look three times as fast as any client ever sees it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use raftlet::lab::experiment::times::Times;

/// What is written or sent at once: a command with its frame, rounded.
const BYTES: usize = 100;

/// How often each thing is done.
const TURNS: usize = 500;

/// The rest before each.
const REST: Duration = Duration::from_micros(200);

/// Microseconds, each the median of many times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To append some bytes to a file and wait for the disk: the file's new length is written, too.
    pub append_us: f64,
    /// The same into space that the file already has.
    pub ahead_us: f64,
    /// The same by three at once, each into its own file, until two of them have it.
    pub majority_us: f64,
    /// There and back over a TCP connection to this machine.
    pub round_trip_us: f64,
    /// From one thread to another.
    pub hand_over_us: f64,
}

impl Limits {
    /// Measures all of them, with files in the temporary directory.
    ///
    /// # Errors
    /// The system allows no file or no connection there.
    pub fn measure() -> io::Result<Limits> {
        let directory = env::temp_dir().join(format!("raftlet-floor-{}", process::id()));
        fs::create_dir_all(&directory)?;
        let measured = Limits::measure_in(&directory);
        fs::remove_dir_all(&directory)?;
        measured
    }

    fn measure_in(directory: &Path) -> io::Result<Limits> {
        let file = |name: &str| directory.join(name);
        Ok(Limits {
            append_us: median_us(syncs(File::create(file("append"))?, rest)?),
            ahead_us: median_us(syncs(allocated(file("ahead"))?, rest)?),
            majority_us: median_us(majority(directory)?),
            round_trip_us: median_us(round_trips()?),
            hand_over_us: median_us(hand_overs()),
        })
    }
}

fn rest() {
    thread::sleep(REST);
}

fn median_us(times: Vec<Duration>) -> f64 {
    Times::new(times.iter().map(|time| time.as_secs_f64() * 1e6)).percentile(50)
}

/// A file with space, and at its beginning.
fn allocated(path: PathBuf) -> io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(&[b'\n'; BYTES * TURNS])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Writes and waits for the disk, again and again. `before` comes first each time, and its time
/// does not count.
fn syncs(mut file: File, before: impl Fn()) -> io::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..TURNS {
        before();
        let begin = Instant::now();
        file.write_all(&[b'x'; BYTES])?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// Three threads write at once, and wait for each other between: of each round the second of them.
fn majority(directory: &Path) -> io::Result<Vec<Duration>> {
    let files: io::Result<Vec<File>> =
        (1..=3).map(|number| allocated(directory.join(format!("of-three-{number}")))).collect();
    let barrier = Barrier::new(3);
    let together = || {
        rest();
        barrier.wait();
    };
    let times = thread::scope(|scope| {
        let spawn = |file| scope.spawn(|| syncs(file, together));
        let threads: Vec<_> = files?.into_iter().map(spawn).collect();
        let times = threads.into_iter().map(|thread| thread.join().expect("no writer panics"));
        times.collect::<io::Result<Vec<Vec<Duration>>>>()
    })?;
    let second = |round: usize| {
        let mut three = [times[0][round], times[1][round], times[2][round]];
        three.sort();
        three[1]
    };
    Ok((0..TURNS).map(second).collect())
}

/// Some bytes to another thread over a connection, and back.
fn round_trips() -> io::Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let mut far = listener.accept()?.0;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = thread::spawn(move || {
        let mut bytes = [0; BYTES];
        // An error means that the other side has seen enough.
        while far.read_exact(&mut bytes).and_then(|()| far.write_all(&bytes)).is_ok() {}
    });
    let mut bytes = [0; BYTES];
    let mut times = Vec::new();
    for _ in 0..TURNS {
        rest();
        let begin = Instant::now();
        near.write_all(&bytes)?;
        near.read_exact(&mut bytes)?;
        times.push(begin.elapsed());
    }
    drop(near);
    echo.join().expect("the echo never panics");
    Ok(times)
}

/// A word to another thread that waits for it, and back: half of that.
fn hand_overs() -> Vec<Duration> {
    let (to_other, there) = mpsc::channel();
    let (to_us, here) = mpsc::channel();
    let other = thread::spawn(move || there.iter().try_for_each(|word: ()| to_us.send(word)));
    let mut times = Vec::new();
    for _ in 0..TURNS {
        rest();
        let begin = Instant::now();
        to_other.send(()).expect("the other waits");
        here.recv().expect("the other answers");
        times.push(begin.elapsed() / 2);
    }
    drop(to_other);
    other.join().expect("the other never panics").expect("we still wait");
    times
}
