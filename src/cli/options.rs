//! The words of a command line, sorted: options with their values, and the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::Failure;
use crate::config::nearest::did_you_mean;
use crate::config::{Config, environment};
use crate::lab::sim::Kinds;
use crate::lab::trace;
use crate::node::message::NodeId;
use crate::node::rules::Rule;
use crate::node::step::Timing;
use crate::transport::options::Kind;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What is not an option: the verb and its words.
    pub words: Vec<String>,
    /// The names of the options that were given, in order.
    pub given: Vec<String>,
    /// `--help`.
    pub help: bool,
    /// `--version`.
    pub version: bool,
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--of M`.
    pub of: Option<u64>,
    /// `--data DIR`.
    pub data: Option<PathBuf>,
    /// `--fast`.
    pub fast: bool,
    /// `--transport tcp|udp`.
    pub transport: Option<Kind>,
    /// `--fresh`.
    pub fresh: bool,
    /// `--verbose`.
    pub verbose: bool,
    /// `--timeout SECONDS`.
    pub timeout: Option<Duration>,
    /// `--json`.
    pub json: bool,
    /// `--local`.
    pub local: bool,
    /// `--brief`.
    pub brief: bool,
    /// `--seed N` or `--seeds A..B`: the first seed, and the one after the last.
    pub seeds: Option<(u64, u64)>,
    /// `--nodes N`.
    pub nodes: Option<u64>,
    /// `--steps N`.
    pub steps: Option<u64>,
    /// `--trace FILE`.
    pub trace: Option<PathBuf>,
    /// `--mermaid FILE`, `--svg FILE`, `--shiviz FILE`, `--jsonl FILE`.
    pub leave: trace::Options,
    /// `--faults KINDS`.
    pub faults: Option<Kinds>,
    /// `--jobs N`.
    pub jobs: Option<usize>,
    /// `--without RULE`, each time that it stands there.
    pub without: Vec<Rule>,
    /// `--exhaustive`.
    pub exhaustive: bool,
    /// `--trials N`.
    pub trials: Option<usize>,
    /// `--out FILE`.
    pub out: Option<PathBuf>,
    /// `--real`.
    pub real: bool,
    /// `--kills N`.
    pub kills: Option<usize>,
    /// `--all`.
    pub all: bool,
    /// `--save FILE`.
    pub save: Option<PathBuf>,
}

/// Options of a command line in their order, each with its value, which is empty if it takes none.
pub type Given = Vec<(String, String)>;

/// An option as `--help` shows it: its name, its value if it takes one, and what it does.
pub struct Known {
    /// `--data`.
    pub name: &'static str,
    /// `DIR`; empty if it takes none.
    pub value: &'static str,
    /// One line.
    pub help: &'static str,
}

/// All options but `--help` and `--version`, which go with every verb.
pub const KNOWN: [Known; 32] = [
    known("--config", "FILE", "the registry (default: cluster.toml if there is one)"),
    known("--of", "M", "instead of a registry: M nodes, localhost:5001 to 5000+M"),
    known("--data", "DIR", "where nodes keep their files, node N in DIR/N (default: data)"),
    known("--fast", "", "the paper's times: heartbeat 50 ms, election timeout 150-300 ms"),
    known("--transport", "tcp|udp", "instead of what the registry says"),
    known("--fresh", "", "first forget what the node has saved: one node at a time, the others up"),
    known("--verbose", "", "show every message"),
    known("--timeout", "SECONDS", "how long to try, 0.1 to 3600 (default: 10; to look: 2)"),
    known("--json", "", "one JSON object a line, for scripts"),
    known("--local", "", "what one node has applied, at once; it may be out of date"),
    known("--brief", "", "without the pauses, and faster"),
    known("--seed", "N", "the run of this number (sim tells it step by step if it fails)"),
    known("--seeds", "A..B", "all runs from A to B - 1 (default: 0..1000)"),
    known("--nodes", "N", "servers (default: 3)"),
    known("--steps", "N", "steps of each run before the faults end (default: 600)"),
    known("--trace", "FILE", "write every step to FILE, for raftlet check"),
    known("--mermaid", "FILE", "draw the run as a sequence diagram, which GitHub shows"),
    known("--svg", "FILE", "draw the run as a space-time diagram, which any browser shows"),
    known("--shiviz", "FILE", "write the run as a log with vector clocks, for ShiViz"),
    known("--jsonl", "FILE", "write every step of the run as JSON, for raftlet check"),
    known("--faults", "KINDS", "of network,crash,disk,clock: these only (default: all)"),
    known("--jobs", "N", "threads (default: as many as there are cores)"),
    known("--without", "RULE", "the servers leave out this rule; may stand there several times"),
    known("--exhaustive", "", "all runs within a small bound, instead of random ones"),
    known("--trials", "N", "trials of each row (default: 1000, of 150–150 100)"),
    known("--out", "FILE", "draw the curves into FILE.svg or FILE.html"),
    known("--real", "", "real processes on this machine, with an election timeout of 150–300 ms"),
    known("--kills", "N", "with --real: how often to kill the leader (default: 100)"),
    known("--all", "", "every rule, a line each"),
    known("--save", "FILE", "keep the run as a script"),
    known("--help", "", "this"),
    known("--version", "", "which raftlet this is"),
];

/// A line of a table of options.
pub const fn known(name: &'static str, value: &'static str, help: &'static str) -> Known {
    Known { name, value, help }
}

impl Options {
    /// Sorts the words of a command line.
    pub fn read(words: Vec<String>) -> Result<Options, Failure> {
        let (words, given) = split(words, &KNOWN, "raftlet --help")?;
        let mut options = Options { words, ..Options::default() };
        for (name, value) in given {
            options.set(&name, value)?;
            options.given.push(name);
        }
        Ok(options)
    }

    /// Takes up one option.
    fn set(&mut self, name: &str, value: String) -> Result<(), Failure> {
        match name {
            "--help" => self.help = true,
            "--version" => self.version = true,
            "--config" => self.config = Some(value.into()),
            "--of" => self.of = Some(number(name, &value, 1, 9)?),
            "--data" => self.data = Some(value.into()),
            "--fast" => self.fast = true,
            "--fresh" => self.fresh = true,
            "--verbose" => self.verbose = true,
            "--json" => self.json = true,
            "--local" => self.local = true,
            "--brief" => self.brief = true,
            "--timeout" => self.timeout = Some(seconds(name, &value)?),
            "--transport" => self.transport = Some(transport(name, &value)?),
            "--seed" => {
                let seed = number(name, &value, 0, u64::MAX - 1)?;
                self.seeds = Some((seed, seed + 1));
            }
            "--seeds" => self.seeds = Some(range(name, &value)?),
            "--nodes" => self.nodes = Some(number(name, &value, 1, 9)?),
            "--steps" => self.steps = Some(number(name, &value, 1, 10_000_000)?),
            "--trace" => self.trace = Some(value.into()),
            "--mermaid" => self.leave.mermaid = Some(value.into()),
            "--svg" => self.leave.svg = Some(value.into()),
            "--shiviz" => self.leave.shiviz = Some(value.into()),
            "--jsonl" => self.leave.jsonl = Some(value.into()),
            "--faults" => self.faults = Some(kinds(name, &value)?),
            "--jobs" => self.jobs = Some(number(name, &value, 1, 256)? as usize),
            "--without" => self.without.push(rule(&value)?),
            "--exhaustive" => self.exhaustive = true,
            "--trials" => self.trials = Some(number(name, &value, 1, 1_000_000)? as usize),
            "--out" => self.out = Some(value.into()),
            "--real" => self.real = true,
            "--kills" => self.kills = Some(number(name, &value, 1, 100_000)? as usize),
            "--all" => self.all = true,
            "--save" => self.save = Some(value.into()),
            _ => unreachable!("every option of the table is named here: a test holds it"),
        }
        Ok(())
    }

    /// The word of this number behind the verb.
    pub fn word(&self, number: usize) -> Option<&str> {
        self.words.get(number).map(String::as_str)
    }

    /// The node that the word of this number names.
    pub fn node(&self, number: usize) -> Result<Option<NodeId>, Failure> {
        self.word(number).map(node_id).transpose()
    }

    /// How long to try.
    pub fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }

    /// The registry: what `--of` means, or of the file that was named, or of the environment, or
    /// `cluster.toml`, or the built-in one; with what the command line changes.
    pub fn registry(&self) -> Result<Config, Failure> {
        let default = Path::new("cluster.toml");
        let mut config = match (self.of, &self.config, self.environment()?) {
            (Some(_), Some(_), _) => {
                return usage("--of is in place of a registry: leave out --config".to_string());
            }
            (Some(count), ..) => Config::of(count),
            (_, Some(path), _) => Config::load(path).map_err(Failure::Usage)?,
            (.., Some((_, config))) => config,
            _ if default.exists() => Config::load(default).map_err(Failure::Usage)?,
            _ => Config::built_in(),
        };
        if self.fast {
            config.timing = Timing::PAPER;
        }
        config.transport = self.transport.unwrap_or(config.transport);
        Ok(config)
    }

    /// The node and the registry that the environment names, unless the command line names others.
    pub fn environment(&self) -> Result<Option<(NodeId, Config)>, Failure> {
        match (&self.config, self.of) {
            (None, None) => environment::of_process().map_err(Failure::Usage),
            _ => Ok(None),
        }
    }

    /// The registry, which must have this node.
    pub fn registry_with(&self, id: NodeId) -> Result<Config, Failure> {
        let config = self.registry()?;
        if config.nodes.contains_key(&id) {
            return Ok(config);
        }
        let known: Vec<String> = config.nodes.keys().map(|id| id.0.to_string()).collect();
        let (id, known) = (id.0, known.join(", "));
        match self.of {
            Some(_) => usage(format!("node {id} is none of {known}: give --of more, up to 9")),
            None => {
                usage(format!("node {id} is not in the registry, which has {known}: see [nodes]"))
            }
        }
    }

    /// The directory of a node's files. Logs of clusters of another size lie elsewhere.
    pub fn data_of(&self, id: NodeId) -> PathBuf {
        let default = match self.of {
            Some(count) => PathBuf::from(format!("data/of-{count}")),
            None => PathBuf::from("data"),
        };
        self.data.clone().unwrap_or(default).join(id.0.to_string())
    }
}

/// Splits a command line into the words that are no options, and the options. `help` is the command
/// that lists the `known` options.
///
/// # Errors
/// An option is not known, lacks its value, or has one too many.
pub fn split(
    words: Vec<String>,
    known: &[Known],
    help: &str,
) -> Result<(Vec<String>, Given), Failure> {
    let (mut others, mut given) = (Vec::new(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let word = if word == "-h" { "--help".to_string() } else { word };
        if word == "--" {
            others.extend(words.by_ref());
        } else if word.starts_with("--") {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (word, None),
            };
            let Some(known) = known.iter().find(|known| known.name == name) else {
                return usage(format!("no such option: {name}; see {help}"));
            };
            let value = value_of(known, value, &mut words, help)?;
            given.push((name, value));
        } else {
            others.push(word);
        }
    }
    Ok((others, given))
}

/// The value of an option, which stands behind its `=`, or is the next word.
fn value_of(
    known: &Known,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
    help: &str,
) -> Result<String, Failure> {
    let name = known.name;
    match (known.value.is_empty(), value) {
        (true, None) => Ok(String::new()),
        (true, Some(value)) => usage(format!("{name} takes no value, not {value}: see {help}")),
        (false, value) => match value.or_else(|| words.next()) {
            Some(value) => Ok(value),
            None => usage(format!("{name} needs a value: {name} {}", known.value)),
        },
    }
}

/// The number of a node: `2`.
fn node_id(word: &str) -> Result<NodeId, Failure> {
    number("the number of a node", word, 1, u64::MAX).map(NodeId)
}

/// A whole number from `least` to `greatest`; `name` is for the error.
pub fn number(name: &str, text: &str, least: u64, greatest: u64) -> Result<u64, Failure> {
    match text.parse() {
        Ok(number) if (least..=greatest).contains(&number) => Ok(number),
        _ if greatest >= u64::MAX - 1 => {
            usage(format!("{name} is a whole number from {least} on, not {text}"))
        }
        _ => usage(format!("{name} is a whole number from {least} to {greatest}, not {text}")),
    }
}

/// Seconds, 0.1 to 3600; `name` is for the error.
pub fn seconds(name: &str, text: &str) -> Result<Duration, Failure> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => usage(format!("{name} is a number of seconds from 0.1 to 3600, not {text}")),
    }
}

/// The rule of this name; the error names those that were likely meant.
pub fn rule(name: &str) -> Result<Rule, Failure> {
    Rule::named(name).ok_or_else(|| {
        let names: Vec<String> = Rule::all().map(Rule::name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match did_you_mean(name, &names) {
            hint if hint.is_empty() => "; raftlet rules lists them".to_string(),
            hint => hint,
        };
        Failure::Usage(format!("there is no rule {name}{hint}"))
    })
}

fn kinds(name: &str, text: &str) -> Result<Kinds, Failure> {
    let known = "network, crash, disk, clock, all, with commas between them";
    Kinds::named(text).or_else(|why| usage(format!("{name}: {why}: write {known}")))
}

/// `tcp` or `udp`; `name` is for the error.
pub fn transport(name: &str, text: &str) -> Result<Kind, Failure> {
    match Kind::from_name(text) {
        Some(kind) => Ok(kind),
        None => usage(format!("{name} is tcp or udp, not {text}")),
    }
}

/// `A..B`, without B.
fn range(name: &str, text: &str) -> Result<(u64, u64), Failure> {
    let bounds = text
        .split_once("..")
        .and_then(|(first, end)| Some((first.parse::<u64>().ok()?, end.parse::<u64>().ok()?)));
    match bounds {
        Some((first, end)) if first < end => Ok((first, end)),
        _ => usage(format!("{name} is a range as 0..1000, not {text}")),
    }
}

/// The command line is wrong.
pub fn usage<T>(why: String) -> Result<T, Failure> {
    Err(Failure::Usage(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Failure> {
        Options::read(line.split(' ').map(String::from).collect())
    }

    #[test]
    fn read_knows_every_option_of_the_table() {
        for Known { name, value, .. } in &KNOWN {
            let line = match *value {
                "" => name.to_string(),
                "tcp|udp" => format!("{name} udp"),
                "A..B" => format!("{name}=1..2"),
                "RULE" => format!("{name} NoOp"),
                "KINDS" => format!("{name} disk,clock"),
                _ => format!("{name} 5"),
            };
            assert_eq!(read(&line).expect(&line).given, [*name]);
        }
    }

    #[test]
    fn read_takes_options_anywhere_and_none_behind_two_dashes() {
        let options = read("set --timeout=0.5 x - -5 --json -- --help -h").unwrap();
        assert_eq!(options.words, ["set", "x", "-", "-5", "--help", "-h"]);
        assert_eq!(options.timeout, Some(Duration::from_millis(500)));
        assert!(options.json && !options.help);
        assert!(read("set -h").unwrap().help);
    }

    #[test]
    fn read_names_what_is_wrong() {
        for (line, expected) in [
            ("--jsno", "no such option: --jsno; see raftlet --help"),
            ("--json=1", "--json takes no value, not 1: see raftlet --help"),
            ("--data", "--data needs a value: --data DIR"),
            ("--nodes 3,5", "--nodes is a whole number from 1 to 9, not 3,5"),
            ("--without NoOps", "there is no rule NoOps; did you mean NoOp?"),
            ("--timeout 0.09", "--timeout is a number of seconds from 0.1 to 3600, not 0.09"),
            ("--timeout NaN", "--timeout is a number of seconds from 0.1 to 3600, not NaN"),
            ("--timeout 3601", "--timeout is a number of seconds from 0.1 to 3600, not 3601"),
            ("--of 10", "--of is a whole number from 1 to 9, not 10"),
            ("--seeds 5..5", "--seeds is a range as 0..1000, not 5..5"),
        ] {
            let expected = Failure::Usage(expected.to_string());
            assert_eq!(read(line).map(|options| options.words), Err(expected), "{line}");
        }
    }

    #[test]
    fn registry_of_a_count_has_data_of_its_own() {
        let options = read("2 --of 5").unwrap();
        assert_eq!(options.registry().unwrap(), Config::of(5));
        assert_eq!(options.data_of(NodeId(2)), Path::new("data/of-5/2"));
        assert_eq!(read("2 --of 5 --data d").unwrap().data_of(NodeId(2)), Path::new("d/2"));
        assert!(options.registry_with(NodeId(5)).is_ok());
        assert!(matches!(options.registry_with(NodeId(6)), Err(Failure::Usage(_))));
        assert!(matches!(read("2 --of 5 --config f").unwrap().registry(), Err(Failure::Usage(_))));
    }
}
