//! What the command line wishes of `bench`, and whether its wishes go together.

use std::time::Duration;

use super::super::Failure;
use super::super::options::{Options, number, seconds, usage};
use super::etcd;
use super::target::{KEYS, Mix};

/// The most clients at once: a node serves 1024 connections, and others may want one.
const MAX_CLIENTS: u64 = 1000;

/// The options of `bench`; what was not given is empty.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    clients: Option<Vec<usize>>,
    seconds: Option<Duration>,
    runs: Option<usize>,
    value_bytes: Option<usize>,
    mix: Option<Mix>,
    /// A node of a cluster that runs, `host:port`.
    pub against: Option<String>,
    /// A member of an etcd, `host:port`.
    pub etcd: Option<String>,
    /// How often to kill the leader.
    pub kill: Option<usize>,
    /// To measure the machine.
    pub floor: bool,
    /// To measure again and again, until the log has had so many entries.
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
    ("--kill", &["--clients", "--nodes", "--transport"], "raftlet bench --kill 20 --clients 8"),
    ("--floor", &["--seconds", "--runs"], "raftlet bench --floor"),
    (
        "--history",
        &["--clients", "--seconds", "--runs", "--value-bytes", "--nodes", "--transport"],
        "raftlet bench --history 1000000 --clients 64",
    ),
    ("--brain", &["--clients", "--seconds", "--runs"], "raftlet bench --brain"),
];

impl Wish {
    /// Takes up one of its options.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
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
}

/// Options that mean nothing together would be passed over in silence.
pub fn check(options: &Options) -> Result<(), Failure> {
    let given = |name: &str| options.given.iter().any(|given| given == name);
    let others = OTHERS.iter().find(|(mode, ..)| given(mode));
    let &(mode, allowed, example) =
        others.unwrap_or(&("--against", LOAD, "raftlet bench --against localhost:5001"));
    let goes_with = |name: &str| name == mode || name == "--json" || allowed.contains(&name);
    if let Some(name) = options.given.iter().find(|name| !goes_with(name)) {
        return usage(format!("{name} does not go with {mode}: write {example}"));
    }
    // Clusters of several sizes stand beside each other, and beside nothing else.
    if others.is_some() || given("--etcd") {
        options.single_node_count()?;
    }
    match ["--nodes", "--transport"].into_iter().find(|name| given(name)) {
        Some(name) if given("--against") => usage(format!(
            "{name} does not go with --against, whose cluster runs already: write {example}"
        )),
        _ => Ok(()),
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

    fn checked(line: &str) -> Result<Wish, Failure> {
        let options = Options::read(line.split(' ').map(String::from).collect())?;
        check(&options).map(|()| options.bench)
    }

    #[test]
    fn set_reads_every_option() {
        let line = "--clients 1,64 --seconds 0.5 --runs 3 --value-bytes 10 --mix mixed \
                    --against n1:5001 --etcd http://127.0.0.1:2379/";
        let wish = checked(line).unwrap();
        assert_eq!(
            (wish.clients_or(&[]), wish.length()),
            (vec![1, 64], Duration::from_millis(500))
        );
        assert_eq!((wish.runs(), wish.value_bytes(), wish.mixes()), (3, 10, vec![Mix::Mixed]));
        assert_eq!(wish.against.as_deref(), Some("n1:5001"));
        assert_eq!(wish.etcd.as_deref(), Some("127.0.0.1:2379"));
    }

    #[test]
    fn without_options_it_is_five_runs_of_sets_and_gets() {
        let wish = Wish::default();
        assert_eq!((wish.clients_or(&[7]), wish.runs()), (vec![7], 5));
        assert_eq!((wish.value_bytes(), wish.mixes()), (100, vec![Mix::Set, Mix::Get]));
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
                "--against does not go with --kill: write raftlet bench --kill 20 --clients 8"
                    .to_string(),
            ),
            (
                "--brain --floor",
                "--brain does not go with --floor: write raftlet bench --floor".to_string(),
            ),
            (
                "--nodes 3,5 --etcd http://a:1",
                "--nodes takes one number here: --nodes 5".to_string(),
            ),
            (
                "--against a:1 --nodes 5",
                "--nodes does not go with --against, whose cluster runs already: write raftlet \
                 bench --against localhost:5001"
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
