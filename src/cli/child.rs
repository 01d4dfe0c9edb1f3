//! A node in a process of its own: the command that starts it, and what it leaves behind.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::failure::Failure;
use super::options::Options;
use crate::node::message::NodeId;

/// Set for a node that `raftlet` alone has started: it ends when its stdin does, which is when the
/// process that started it has ended, however it ended.
pub const CHILD: &str = "RAFTLET_CHILD";

/// Set as well for a node of a verb's own cluster: if it ends in this way, its `--data` directory
/// goes, too.
pub const SCRATCH: &str = "RAFTLET_SCRATCH";

/// The path of this program. A verb that starts several nodes looks it up before the first: once
/// the program has been built again, Linux would name the deleted file.
pub fn program() -> Result<PathBuf, Failure> {
    let cannot = |error| Failure::Running(format!("cannot find this program: {error}"));
    env::current_exe().map_err(cannot)
}

/// Starts a node as a process of its own, which ends when its stdin does. `arrange` adds to the
/// command what else it needs.
pub fn start(
    program: &Path,
    options: &Options,
    id: NodeId,
    arrange: impl FnOnce(&mut Command),
) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.args(command_line(options, id)).env(CHILD, "1").stdin(Stdio::piped());
    arrange(&mut command);
    let program = program.display();
    command.spawn().map_err(|error| format!("cannot start {id} with {program}: {error}"))
}

/// The words that start this node in the same cluster.
pub fn command_line(options: &Options, id: NodeId) -> Vec<OsString> {
    let mut words = vec![id.0.to_string().into()];
    words.extend(cluster_words(options));
    if let Some(path) = &options.data {
        words.extend(["--data".into(), path.into()]);
    }
    if let Some(kind) = options.transport {
        words.extend(["--transport".into(), kind.name().into()]);
    }
    let flags =
        [("--fast", options.fast), ("--fresh", options.fresh), ("--verbose", options.verbose)];
    words.extend(flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.into()));
    words
}

/// The words that tell any verb which cluster is meant.
pub fn cluster_words(options: &Options) -> Vec<OsString> {
    match (&options.config, options.of) {
        (_, Some(count)) => vec!["--of".into(), count.to_string().into()],
        (Some(path), None) => vec!["--config".into(), path.into()],
        (None, None) => Vec::new(),
    }
}

/// The words as a person types them.
pub fn typed(words: &[OsString]) -> String {
    let words = words.iter().map(|word| format!(" {}", word.to_string_lossy()));
    words.collect()
}

/// Removes a directory, in which other nodes may be writing still, or removing.
pub fn remove_all(directory: &Path) {
    for _ in 0..50 {
        let _ = fs::remove_dir_all(directory);
        if !directory.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
