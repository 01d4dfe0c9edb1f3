//! The words of a command line, sorted: options with their values, and the rest.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::{Config, environment};
use crate::message::NodeId;
use crate::step::Timing;
use crate::transport::Kind;

/// What the command line says.
#[derive(Debug, Default)]
pub struct Options {
    /// What is not an option: the verb and its words.
    pub words: Vec<String>,
    /// `--help`.
    pub help: bool,
    /// `--version`.
    pub version: bool,
    /// `--config FILE`.
    pub config: Option<PathBuf>,
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
    /// `--seed N` or `--seeds A..B`: the first seed, and the one after the last.
    pub seeds: Option<(u64, u64)>,
    /// `--nodes N`.
    pub nodes: Option<u64>,
    /// `--steps N`.
    pub steps: Option<u64>,
}

impl Options {
    /// Sorts the words, and checks that the options go with the verb.
    pub fn read(words: Vec<String>) -> Result<Options, Failure> {
        let mut options = Options::default();
        let mut given = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let word = if word == "-h" { "--help".to_string() } else { word };
            if word == "--" {
                options.words.extend(words.by_ref());
            } else if word.starts_with("--") {
                let (name, mut value) = match word.split_once('=') {
                    Some((name, value)) => (name.to_string(), Some(value.to_string())),
                    None => (word, None),
                };
                if takes_value(&name) && value.is_none() {
                    value = words.next();
                }
                options.set(&name, value)?;
                given.push(name);
            } else {
                options.words.push(word);
            }
        }
        options.check(&given)?;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: Option<String>) -> Result<(), Failure> {
        if takes_value(name) && value.is_none() {
            return usage(format!("{name} needs a value: see raftlet --help"));
        }
        if let Some(value) = value.as_ref().filter(|_| !takes_value(name)) {
            return usage(format!("{name} takes no value, not {value}: see raftlet --help"));
        }
        let value = value.unwrap_or_default();
        match name {
            "--help" => self.help = true,
            "--version" => self.version = true,
            "--config" => self.config = Some(value.into()),
            "--data" => self.data = Some(value.into()),
            "--fast" => self.fast = true,
            "--fresh" => self.fresh = true,
            "--verbose" => self.verbose = true,
            "--transport" => match Kind::from_name(&value) {
                Some(kind) => self.transport = Some(kind),
                None => return usage(format!("--transport is tcp or udp, not {value}")),
            },
            "--seed" => {
                let seed = number(name, &value, 0, u64::MAX - 1)?;
                self.seeds = Some((seed, seed + 1));
            }
            "--seeds" => self.seeds = Some(range(&value)?),
            "--nodes" => self.nodes = Some(number(name, &value, 1, 9)?),
            "--steps" => self.steps = Some(number(name, &value, 1, 10_000_000)?),
            _ => return usage(format!("no such option: {name}; see raftlet --help")),
        }
        Ok(())
    }

    /// An option that the verb does not know would be passed over in silence.
    fn check(&self, given: &[String]) -> Result<(), Failure> {
        let always = ["--help", "--version"];
        let verb = self.words.first().map_or("", String::as_str);
        let allowed: &[&str] = match verb {
            "sim" => &["--seed", "--seeds", "--nodes", "--steps"],
            "status" | "set" | "get" | "delete" => &["--config"],
            "log" => &["--config", "--data"],
            _ => &["--config", "--data", "--fast", "--transport", "--fresh", "--verbose"],
        };
        match given
            .iter()
            .find(|name| !always.contains(&&name[..]) && !allowed.contains(&&name[..]))
        {
            Some(name) if verb.is_empty() => {
                usage(format!("{name} needs a verb: see raftlet --help"))
            }
            Some(name) => usage(format!("{name} does not go with {verb}: see raftlet --help")),
            None => Ok(()),
        }
    }

    /// The registry: of the file that was named, or of the environment, or `cluster.toml`, or the
    /// built-in one; with what the command line changes.
    pub fn registry(&self) -> Result<Config, Failure> {
        let default = Path::new("cluster.toml");
        let mut config = match (&self.config, self.environment()?) {
            (Some(path), _) => Config::load(path).map_err(Failure::Usage)?,
            (None, Some((_, config))) => config,
            (None, None) if default.exists() => Config::load(default).map_err(Failure::Usage)?,
            (None, None) => Config::built_in(),
        };
        if self.fast {
            config.timing = Timing::PAPER;
        }
        config.transport = self.transport.unwrap_or(config.transport);
        Ok(config)
    }

    /// The node and the registry that the environment names, unless the command line names others.
    pub fn environment(&self) -> Result<Option<(NodeId, Config)>, Failure> {
        match self.config {
            Some(_) => Ok(None),
            None => environment::of_process().map_err(Failure::Usage),
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
        usage(format!("node {id} is not in the registry, which has {known}: add it to [nodes]"))
    }

    /// The directory of a node's files.
    pub fn data_of(&self, id: NodeId) -> PathBuf {
        self.data.as_deref().unwrap_or(Path::new("data")).join(id.0.to_string())
    }
}

/// The number of a node: `2`.
pub fn node_id(word: &str) -> Result<NodeId, Failure> {
    number("the number of a node", word, 1, u64::MAX).map(NodeId)
}

fn takes_value(name: &str) -> bool {
    let with_value =
        ["--config", "--data", "--transport", "--seed", "--seeds", "--nodes", "--steps"];
    with_value.contains(&name)
}

fn number(name: &str, text: &str, least: u64, greatest: u64) -> Result<u64, Failure> {
    match text.parse() {
        Ok(number) if (least..=greatest).contains(&number) => Ok(number),
        _ if greatest >= u64::MAX - 1 => {
            usage(format!("{name} is a whole number from {least} on, not {text}"))
        }
        _ => usage(format!("{name} is a whole number from {least} to {greatest}, not {text}")),
    }
}

/// `A..B`, without B.
fn range(text: &str) -> Result<(u64, u64), Failure> {
    let bounds = text
        .split_once("..")
        .and_then(|(first, end)| Some((first.parse::<u64>().ok()?, end.parse::<u64>().ok()?)));
    match bounds {
        Some((first, end)) if first < end => Ok((first, end)),
        _ => usage(format!("--seeds is a range as 0..1000, not {text}")),
    }
}

fn usage<T>(why: String) -> Result<T, Failure> {
    Err(Failure::Usage(why))
}
