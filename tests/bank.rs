//! The example's bank, as three processes: through two kills of the leader, with several clients
//! at work, no transfer is lost, done twice or done in part.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use raftlet::client::Client;
use raftlet::node::step::Random;
use support::{Cluster, PATIENCE, Process, number, wait_for};

const FAST: &str = "[timing]\nheartbeat_ms = 50\nelection_timeout_ms = [150, 300]\n";

/// Transfers of each client.
const TRANSFERS: u64 = 60;

/// The example that `cargo test` has built beside the tests.
fn bank(cluster: &Cluster, id: u64) -> Process {
    let binary = Path::new(env!("CARGO_BIN_EXE_raftlet")).with_file_name("examples").join("bank");
    assert!(binary.exists(), "no {}: cargo build --example bank", binary.display());
    let mut command = Command::new(binary);
    Process::start(command.arg(id.to_string()).current_dir(&cluster.scratch.0))
}

/// One customer with two accounts, who keeps books on them.
struct Customer {
    bank: Client,
    name: u64,
    /// What must be in `a` and in `b`.
    books: [u64; 2],
}

impl Customer {
    fn open(addresses: Vec<String>, name: u64) -> Customer {
        let bank = Client::new(addresses, PATIENCE, |_| {});
        let mut customer = Customer { bank, name, books: [100, 0] };
        assert_eq!(customer.ask(&format!("open a{name} 100")), "ok");
        assert_eq!(customer.ask(&format!("open b{name} 0")), "ok");
        customer
    }

    fn ask(&mut self, command: &str) -> String {
        let done = self.bank.command(command);
        done.unwrap_or_else(|why| panic!("{command}: {why}")).result.expect("a result")
    }

    /// There and back, often more than there is; after each transfer the balances must be those of
    /// the books.
    fn transfer(mut self, done: &AtomicUsize) {
        let (a, b) = (format!("a{}", self.name), format!("b{}", self.name));
        let mut random = Random(self.name);
        for _ in 0..TRANSFERS {
            let amount = random.between(1, 80);
            let back = random.between(0, 1) == 1;
            let (from, to) = if back { (&b, &a) } else { (&a, &b) };
            let answer = self.ask(&format!("transfer {from} {to} {amount}"));
            let [theirs, others] = [usize::from(back), usize::from(!back)];
            if self.books[theirs] < amount {
                let had = self.books[theirs];
                assert_eq!(answer, format!("error: {from} has only {had}"));
            } else {
                assert_eq!(answer, "ok");
                self.books[theirs] -= amount;
                self.books[others] += amount;
            }
            let found = [&a, &b].map(|account| self.ask(&format!("balance {account}")));
            assert_eq!(found, self.books.map(|amount| amount.to_string()));
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn no_money_is_lost_over_kills_of_the_leader() {
    let mut cluster = Cluster::new(3, FAST);
    (1..=3).for_each(|id| cluster.adopt(id, bank(&cluster, id)));
    let addresses: Vec<String> = (1..=3).map(|id| cluster.address(id)).collect();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let customers: Vec<_> =
            (0..4).map(|name| Customer::open(addresses.clone(), name)).collect();
        for customer in customers {
            scope.spawn(|| customer.transfer(&done));
        }
        for enough in [60, 140] {
            wait_for("transfers", || (done.load(Ordering::Relaxed) >= enough).then_some(()));
            let leader = cluster.leader();
            cluster.kill(leader);
            cluster.adopt(leader, bank(&cluster, leader));
        }
    });
    let total = Client::new(addresses, PATIENCE, |_| {}).query("total").expect("an answer");
    assert_eq!(total.result.as_deref(), Some("400"));
    cluster.wait_until_equal();
    asking_another_machine_for_a_key_writes_nothing(&cluster);
}

/// A GET changes nothing, also where nobody knows what it asks.
fn asking_another_machine_for_a_key_writes_nothing(cluster: &Cluster) {
    let leader = cluster.leader();
    let last = || number(&cluster.status(leader).expect("it runs"), "last_log_index");
    let before = last();
    let reply = cluster.http(leader, "GET", "/api/get/x", None).expect("an answer");
    assert_eq!((reply.status, last()), (400, before), "{}", reply.text());
}
