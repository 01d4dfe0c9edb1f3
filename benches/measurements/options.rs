//! The options of `cargo bench`, and which of them go together.

use std::time::Duration;

use super::etcd;
use super::target::{KEYS, Mix};
use raftlet::cli::failure::Failure;
use raftlet::cli::options::{Known, known, number, seconds, split, transport, usage};
use raftlet::transport::options::Kind;

/// The most clients at once: a node serves 1024 connections, and others may want one.
const MAX_CLIENTS: u64 = 1000;

/// The command that lists the options.
const HELP: &str = "cargo bench -- --help";

/// All options.
pub const KNOWN: [Known; 15] = [
    known("--clients", "LIST", "how many at once, one load after another (default: 1,8,64,256)"),
    known("--seconds", "N", "how long a run takes, 0.1 to 3600 (default: 5)"),
    known("--runs", "N", "how often each load is measured (default: 5)"),
    known("--value-bytes", "N", "how long values are (default: 100)"),
    known("--mix", "set|get|mixed", "what clients ask; mixed is half and half (default: set, get)"),
    known("--nodes", "LIST", "servers (default: 3); or compare several clusters, as 3,5,7"),
    known("--transport", "tcp|udp", "how the nodes talk to each other (default: tcp)"),
    known("--against", "HOST:PORT", "a cluster that runs, of which this is one node"),
    known("--etcd", "URL", "also an etcd, run by run in turn, through its v3 JSON gateway"),
    known("--kill", "N", "kill the leader N times under load: how long is no write done?"),
    known("--floor", "", "what this machine allows at best, and how far from it one client is"),
    known("--history", "ENTRIES", "is it as fast after so many, and how long does a start take?"),
    known("--brain", "", "the algorithm alone, without network and disk"),
    known("--json", "", "one JSON object a line, for scripts"),
    known("--help", "", "this"),
];

/// What the command line asks for. An option that was not given is empty.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The names of the options that were given, in order.
    given: Vec<String>,
    pub help: bool,
    pub json: bool,
    clients: Option<Vec<usize>>,
    seconds: Option<Duration>,
    runs: Option<usize>,
    value_bytes: Option<usize>,
    mix: Option<Mix>,
    /// The sizes of its own clusters.
    pub nodes: Vec<u64>,
    pub transport: Option<Kind>,
    /// A node of a cluster that runs, `host:port`.
    pub against: Option<String>,
    /// A member of an etcd, `host:port`.
    pub etcd: Option<String>,
    /// How often to kill the leader.
    pub kill: Option<usize>,
    /// To measure the machine.
    pub floor: bool,
    /// To measure again and again, until the log has had this number of entries.
    pub history: Option<u64>,
    /// To measure the algorithm alone.
    pub brain: bool,
}

/// Which options go with which kind of measurement, beside `--json`; and an example of each.
const LOAD: &[&str] = &[
    "--clients",
    "--seconds",
    "--runs",
    "--value-bytes",
    "--mix",
    "--nodes",
    "--transport",
    "--against",
    "--etcd",
];
const OTHERS: [(&str, &[&str], &str); 4] = [
    ("--kill", &["--clients", "--nodes", "--transport"], "cargo bench -- --kill 20 --clients 8"),
    ("--floor", &["--seconds", "--runs"], "cargo bench -- --floor"),
    (
        "--history",
        &["--clients", "--seconds", "--runs", "--value-bytes", "--nodes", "--transport"],
        "cargo bench -- --history 1000000 --clients 64",
    ),
    ("--brain", &["--clients", "--seconds", "--runs"], "cargo bench -- --brain"),
];

impl Options {
    /// Reads a command line. Cargo itself adds `--bench` to it.
    pub fn read(words: Vec<String>) -> Result<Options, Failure> {
        let words = words.into_iter().filter(|word| word != "--bench").collect();
        let (words, given) = split(words, &KNOWN, HELP)?;
        if let Some(word) = words.first() {
            return usage(format!("cargo bench takes no {word}: see {HELP}"));
        }
        let mut options = Options::default();
        for (name, value) in given {
            options.set(&name, &value)?;
            options.given.push(name);
        }
        Ok(options)
    }

    /// Takes up one option.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "--help" => self.help = true,
            "--json" => self.json = true,
            "--nodes" => self.nodes = node_counts(name, value)?,
            "--transport" => self.transport = Some(transport(name, value)?),
            "--clients" => self.clients = Some(clients(value)?),
            "--seconds" => self.seconds = Some(seconds(name, value)?),
            "--runs" => self.runs = Some(number(name, value, 1, 1000)? as usize),
            "--value-bytes" => self.value_bytes = Some(number(name, value, 1, 1_000_000)? as usize),
            "--mix" => self.mix = Some(mix(value)?),
            "--against" => self.against = Some(address(name, value)?),
            "--etcd" => self.etcd = Some(etcd::address(value)?),
            "--kill" => self.kill = Some(number(name, value, 1, 10_000)? as usize),
            "--floor" => self.floor = true,
            "--history" => self.history = Some(number(name, value, KEYS, 1_000_000_000)?),
            "--brain" => self.brain = true,
            _ => unreachable!("every option of the table is named here: a test holds it"),
        }
        Ok(())
    }

    /// How many clients, one load after another.
    pub fn clients_or(&self, default: &[usize]) -> Vec<usize> {
        self.clients.clone().unwrap_or(default.to_vec())
    }

    /// The one number of clients, where there can only be one.
    pub fn single_client_count(&self, default: usize) -> Result<usize, Failure> {
        match self.clients.as_deref() {
            None => Ok(default),
            Some(&[count]) => Ok(count),
            Some(_) => usage("--clients takes one number here: --clients 8".to_string()),
        }
    }

    /// How long a run takes.
    pub fn length(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_secs(5))
    }

    /// How often each load is measured.
    pub fn runs(&self) -> usize {
        self.runs.unwrap_or(5)
    }

    /// How long values are.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes.unwrap_or(100)
    }

    /// What clients ask, one load after another.
    pub fn mixes(&self) -> Vec<Mix> {
        self.mix.map_or(vec![Mix::Set, Mix::Get], |mix| vec![mix])
    }

    /// The one number of `--nodes`, where there can only be one.
    pub fn single_node_count(&self) -> Result<Option<u64>, Failure> {
        match self.nodes[..] {
            [] => Ok(None),
            [count] => Ok(Some(count)),
            _ => usage("--nodes takes one number here: --nodes 5".to_string()),
        }
    }

    /// Refuses options that mean nothing together: they would be passed over in silence.
    pub fn check(&self) -> Result<(), Failure> {
        let given = |name: &str| self.given.iter().any(|given| given == name);
        let others = OTHERS.iter().find(|(mode, ..)| given(mode));
        let &(mode, allowed, example) =
            others.unwrap_or(&("--against", LOAD, "cargo bench -- --against localhost:5001"));
        let goes_with = |name: &str| name == mode || name == "--json" || allowed.contains(&name);
        if let Some(name) = self.given.iter().find(|name| !goes_with(name)) {
            return usage(format!("{name} does not go with {mode}: write {example}"));
        }
        // Clusters of several sizes stand beside each other, and beside nothing else.
        if others.is_some() || given("--etcd") {
            self.single_node_count()?;
        }
        match ["--nodes", "--transport"].into_iter().find(|name| given(name)) {
            Some(name) if given("--against") => usage(format!(
                "{name} does not go with --against, whose cluster runs already: write {example}"
            )),
            _ => Ok(()),
        }
    }
}

fn clients(text: &str) -> Result<Vec<usize>, Failure> {
    let count = |text: &str| match text.parse() {
        Ok(count) if (1..=MAX_CLIENTS).contains(&count) => Ok(count as usize),
        _ => usage(format!(
            "--clients is a list of numbers from 1 to {MAX_CLIENTS} as 1,8,64, not {text:?}"
        )),
    };
    text.split(',').map(count).collect()
}

fn node_counts(name: &str, text: &str) -> Result<Vec<u64>, Failure> {
    text.split(',').map(|text| number(name, text, 1, 9)).collect()
}

fn mix(text: &str) -> Result<Mix, Failure> {
    match Mix::ALL.into_iter().find(|mix| mix.name() == text) {
        Some(mix) => Ok(mix),
        None => usage(format!("--mix is set, get or mixed, not {text}: --mix set")),
    }
}

/// `host:port`.
pub fn address(name: &str, text: &str) -> Result<String, Failure> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    match parts.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) => Ok(text.to_string()),
        _ => usage(format!("{name} is host:port as localhost:5001, not {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Failure> {
        Options::read(line.split(' ').map(String::from).collect())
    }

    fn checked(line: &str) -> Result<Options, Failure> {
        let options = read(line)?;
        options.check().map(|()| options)
    }

    #[test]
    fn read_knows_every_option_of_the_table() {
        let line = "--clients 1 --seconds 5 --runs 5 --value-bytes 5 --mix mixed --nodes 5 \
                    --transport udp --against localhost:5001 --etcd http://localhost:2379 \
                    --kill 5 --floor --history 10000 --brain --json --help";
        let given = read(line).unwrap().given;
        assert!(KNOWN.iter().map(|known| known.name).eq(&given), "{given:?}");
    }

    #[test]
    fn read_passes_over_what_cargo_adds_and_refuses_words() {
        assert_eq!(read("--nodes 3,5,7 --bench").unwrap().nodes, [3, 5, 7]);
        for (line, why) in [
            ("load --bench", "cargo bench takes no load: see cargo bench -- --help"),
            ("--load", "no such option: --load; see cargo bench -- --help"),
            ("--nodes 3,x", "--nodes is a whole number from 1 to 9, not x"),
        ] {
            assert_eq!(read(line).map(|_| ()), Err(Failure::Usage(why.to_string())), "{line}");
        }
    }

    #[test]
    fn set_reads_every_option() {
        let line = "--clients 1,64 --seconds 0.5 --runs 3 --value-bytes 10 --mix mixed \
                    --against n1:5001 --etcd http://127.0.0.1:2379/";
        let options = checked(line).unwrap();
        let (clients, length) = (options.clients_or(&[]), options.length());
        assert_eq!((clients, length), (vec![1, 64], Duration::from_millis(500)));
        let (runs, bytes, mixes) = (options.runs(), options.value_bytes(), options.mixes());
        assert_eq!((runs, bytes, mixes), (3, 10, vec![Mix::Mixed]));
        assert_eq!(options.against.as_deref(), Some("n1:5001"));
        assert_eq!(options.etcd.as_deref(), Some("127.0.0.1:2379"));
    }

    #[test]
    fn without_options_it_is_five_runs_of_sets_and_gets() {
        let options = Options::default();
        assert_eq!((options.clients_or(&[7]), options.runs()), (vec![7], 5));
        assert_eq!((options.value_bytes(), options.mixes()), (100, vec![Mix::Set, Mix::Get]));
    }

    #[test]
    fn wrong_values_and_what_does_not_go_together_are_named_with_an_example() {
        let list = "--clients is a list of numbers from 1 to 1000 as 1,8,64, not";
        let etcd = "--etcd is a URL as http://localhost:2379, not";
        for (line, why) in [
            ("--clients 1,x", format!("{list} \"x\"")),
            ("--clients 1,,2", format!("{list} \"\"")),
            ("--clients 1001", format!("{list} \"1001\"")),
            ("--mix all", "--mix is set, get or mixed, not all: --mix set".to_string()),
            ("--against 5001", "--against is host:port as localhost:5001, not 5001".to_string()),
            ("--against a:0", "--against is host:port as localhost:5001, not a:0".to_string()),
            ("--etcd localhost:2379", format!("{etcd} localhost:2379")),
            ("--etcd https://a:1", format!("{etcd} https://a:1")),
            (
                "--kill 3 --against a:1",
                "--against does not go with --kill: write cargo bench -- --kill 20 --clients 8"
                    .to_string(),
            ),
            (
                "--brain --floor",
                "--brain does not go with --floor: write cargo bench -- --floor".to_string(),
            ),
            (
                "--nodes 3,5 --etcd http://a:1",
                "--nodes takes one number here: --nodes 5".to_string(),
            ),
            (
                "--against a:1 --nodes 5",
                "--nodes does not go with --against, whose cluster runs already: write cargo \
                 bench -- --against localhost:5001"
                    .to_string(),
            ),
        ] {
            assert_eq!(checked(line).map(|_| ()), Err(Failure::Usage(why)), "{line}");
        }
        assert!(checked("--kill 3 --nodes 5 --json").is_ok());
        let two = checked("--kill 3 --clients 1,2").unwrap();
        assert!(two.single_client_count(8).is_err());
    }
}
