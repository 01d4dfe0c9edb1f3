//! Another state machine on the same cluster: a bank. Whatever fails, no money is lost or made.
//!
//! Three terminals: `cargo run --example bank -- 1` (2, 3). In a fourth, each line one command:
//!
//! ```text
//! cargo run --example bank -- open alice 100
//! cargo run --example bank -- open bob 0
//! cargo run --example bank -- transfer alice bob 30
//! cargo run --example bank -- balance bob
//! ```
//!
//! Kill the leader between any two of them, or during one: the client finds the new leader and asks
//! again with the same serial number, and a transfer that was already done is not done twice.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use raftlet::client::Client;
use raftlet::config::Config;
use raftlet::json::Json;
use raftlet::node::message::NodeId;
use raftlet::server::NodeOptions;
use raftlet::state_machine::{Reply, StateMachine};

/// The launcher of raftlet itself: it runs a node with any state machine.
#[path = "../src/main.rs"]
#[allow(dead_code, reason = "its main function starts a key-value store")]
mod launcher;

/// Who has how much. An ordered map, so that every server's snapshot is the same text.
#[derive(Clone, Default)]
struct Bank {
    accounts: BTreeMap<String, u64>,
}

impl StateMachine for Bank {
    fn apply(&mut self, command: &str) -> Reply {
        let words: Vec<&str> = command.split_whitespace().collect();
        let done = match words[..] {
            ["open", name, amount] => self.open(name, amount),
            ["transfer", from, to, amount] => self.transfer(from, to, amount),
            _ => Err("open NAME AMOUNT, transfer FROM TO AMOUNT, balance NAME, total".to_string()),
        };
        done.map_or_else(Reply::Error, |()| Reply::Ok)
    }

    fn query(&self, command: &str) -> Option<Reply> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["balance", name] => Some(match self.accounts.get(name) {
                Some(amount) => Reply::Value(amount.to_string()),
                None => Reply::NotFound,
            }),
            ["total"] => Some(Reply::Value(self.accounts.values().sum::<u64>().to_string())),
            _ => None,
        }
    }

    fn snapshot(&self) -> Json {
        let account = |(name, &amount): (&String, &u64)| (name.clone().into(), amount.into());
        Json::Object(self.accounts.iter().map(account).collect())
    }

    fn restore(&mut self, snapshot: &Json) -> Result<(), String> {
        let Json::Object(members) = snapshot else { return Err("not an object".to_string()) };
        let account = |(name, amount): &(_, Json)| {
            let name = AsRef::<str>::as_ref(name).to_string();
            amount.as_u64().map(|amount| (name, amount)).ok_or("an amount is not a number")
        };
        self.accounts = members.iter().map(account).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Bank {
    fn open(&mut self, name: &str, amount: &str) -> Result<(), String> {
        let amount = whole(amount)?;
        if self.accounts.contains_key(name) {
            return Err(format!("{name} has an account"));
        }
        self.accounts.insert(name.to_string(), amount);
        Ok(())
    }

    fn transfer(&mut self, from: &str, to: &str, amount: &str) -> Result<(), String> {
        let amount = whole(amount)?;
        let missing = |name| format!("{name} has no account");
        let theirs = *self.accounts.get(from).ok_or_else(|| missing(from))?;
        let left = theirs.checked_sub(amount).ok_or(format!("{from} has only {theirs}"))?;
        self.accounts.get(to).ok_or_else(|| missing(to))?;
        // All checks stand before the first change: a transfer is done whole or not at all.
        self.accounts.insert(from.to_string(), left);
        *self.accounts.entry(to.to_string()).or_default() += amount;
        Ok(())
    }
}

/// A limit far below that of u64, so that no sum of a bank's accounts overflows.
fn whole(text: &str) -> Result<u64, String> {
    let amount = text.parse().ok().filter(|&amount| amount <= 1_000_000_000);
    amount.ok_or(format!("{text} is no amount: a whole number up to 1000000000"))
}

/// A number starts that node of `cluster.toml`; anything else is a command for the cluster.
fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let config = Config::load(Path::new("cluster.toml"))?;
    if let [word] = &words[..]
        && let Ok(id) = word.parse()
    {
        let (id, data) = (NodeId(id), Path::new("data/bank").join(word));
        let (fresh, verbose, trace, launcher, greeting) = (false, false, None, None, None);
        let options = NodeOptions { id, config, data, fresh, verbose, trace, launcher, greeting };
        return Ok(launcher::run_node(options, Bank::default())?);
    }
    let nodes = config.nodes.into_values().collect();
    let mut bank = Client::new(nodes, Duration::from_secs(10), |why| eprintln!("{why}"));
    let done = bank.command(&words.join(" "))?;
    let result = done.result.unwrap_or("not found".to_string());
    println!("{result}");
    if result.starts_with("error: ") { Err("nothing was changed".into()) } else { Ok(()) }
}
