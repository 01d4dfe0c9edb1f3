//! `demo`: a leader is elected, writes, dies and comes back, told step by step, with the lines that
//! the nodes themselves print.
//!
//! Each step says what is about to happen, waits until it did, shows the nodes' lines about it, and
//! ends with what follows from it. If anything does not happen as it was told, the demo fails.

use std::env;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Line, Settled};
use super::failure::Failure;
use super::options::Options;
use super::stdout::print;
use super::{ask, child, show};
use crate::client::Client;
use crate::node::message::{NodeId, Term};
use crate::node::step::Timing;

/// Slow enough to follow, fast enough to stay awake.
const SLOW: Timing = Timing { heartbeat_ms: 300, election_timeout_ms: (1000, 2000) };

/// Near the paper's times, with some room for a busy machine.
const FAST: Timing = Timing { heartbeat_ms: 50, election_timeout_ms: (300, 600) };

/// Time to read a line of text.
const READ_A_LINE: Duration = Duration::from_millis(700);

const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// What the nodes print of an election.
const ELECTION: [&str; 5] = ["→ CANDIDATE", "voted for", "refused its vote", "→ LEADER", "follows"];

/// Tells the whole story.
pub fn run(options: &Options) -> Result<(), Failure> {
    let cluster = Cluster::new(child::program()?, 3, if options.brief { FAST } else { SLOW })?;
    let addresses = cluster.options.registry()?.nodes.into_values().collect();
    let client = Client::new(addresses, ask::TIMEOUT, |_| {});
    let mut story = Story { cluster, client, teller: Teller::new(options.brief) };
    story
        .teller
        .title("raftlet demo: three nodes elect a leader, lose it, and lose nothing else")?;
    story.election()?;
    story.write("42")?;
    let dead = story.leader_dies()?;
    story.write("43")?;
    story.return_of(dead)?;
    story.equal_logs()?;
    let Story { cluster, teller, .. } = story;
    drop(cluster);
    teller.step(
        "Try next",
        "The demo's nodes have ended, and its files are gone. Now with your own:",
    )?;
    print(NEXT)
}

const NEXT: &str =
    "     raftlet                 three nodes in this terminal; or raftlet 1, 2 and 3 in one each
     raftlet watch           all nodes in a table, renewed each second
     raftlet set x 42        it finds the leader by itself
     raftlet cut 1           n1 hears nobody. If it led: who leads now, and what does n1 believe?
     raftlet heal            and whose entries survive?
     raftlet log 1           the log is a text file

   Then read src/node.rs beside Figure 2 of the paper: the rules that the lines cite, (Followers 2)
   or (AppendEntries 3), stand there by these names.
";

/// The cluster, a client of it, and who tells about them.
struct Story {
    cluster: Cluster,
    client: Client,
    teller: Teller,
}

impl Story {
    fn election(&mut self) -> Result<(), Failure> {
        self.teller.step(
            "1. Three nodes, no leader yet",
            "Each node is a process of its own, and begins as a follower. None of them hears of a\n\
             leader. The first whose patience ends (how long that is, is drawn at random) becomes\n\
             a candidate and asks for votes; two of three make it the leader.",
        )?;
        let mark = self.cluster.mark();
        self.cluster.start_all()?;
        let Settled { leader, term, .. } = self.wait_for_leader(mark, 0)?;
        self.show(mark, is_of_election)?;
        self.teller.conclude(&format!(
            "{leader} leads term {term}. A node votes once in a term, so a term has at most one\n\
             leader (Election Safety, §5.2)."
        ))
    }

    /// Writes one value, and shows how it comes to all that run.
    fn write(&mut self, value: &str) -> Result<(), Failure> {
        let running = self.cluster.running();
        let (number, text) = match running.len() {
            3 => (
                2,
                "The leader puts the command into its log and sends it to the others. Once two of\n\
                 three have it, it is committed: it will survive whoever dies next.",
            ),
            _ => (
                4,
                "Two of three are still a majority: enough to elect and enough to commit. The\n\
                 client needs to know nothing; it asks around until it finds the new leader.",
            ),
        };
        self.teller.step(&format!("{number}. A client writes: set x {value}"), text)?;
        let mark = self.cluster.mark();
        let entry = self.client.set("x", value)?.entry;
        for id in running {
            self.cluster.wait_for_line(mark, id, &["committed", &entry.to_string()])?;
        }
        self.show(mark, |line| {
            let of_entry = line.text.contains(&entry.to_string());
            of_entry && (line.text.contains("appended") || line.text.contains("committed"))
        })?;
        let read = self.client.get("x")?;
        if read.as_deref() != Some(value) {
            return Err(Failure::Running(format!("x should be {value}, but it is {read:?}")));
        }
        self.teller.conclude(&format!(
            "entry {entry} (index {}, term {}) is on a majority, and the client was told. The\n\
             followers hear from the leader's next message how far the log is committed (§5.3).\n\
             A read finds that x is {value}.",
            entry.index, entry.term
        ))
    }

    /// Kills the leader; returns who that was.
    fn leader_dies(&mut self) -> Result<NodeId, Failure> {
        let Settled { leader: old, term: old_term, .. } = self.wait_until_settled(0)?;
        self.teller.step(
            &format!("3. The leader dies: kill -9 of {old}"),
            "It can tell nobody. But its heartbeats end, and the two others do not wait for ever.",
        )?;
        let mark = self.cluster.mark();
        self.cluster.kill(old);
        let killed = Instant::now();
        let Settled { leader, term, .. } = self.wait_for_leader(mark, old_term)?;
        let seconds = killed.elapsed().as_secs_f64();
        self.show(mark, |line| line.text.contains("is unreachable") || is_of_election(line))?;
        self.teller.conclude(&format!(
            "{seconds:.1} s later {leader} leads, in term {term}. It could win only because its\n\
             log holds all that is committed: nobody votes for a log that is behind (§5.4.1)."
        ))?;
        Ok(old)
    }

    /// Starts the dead node again, and shows how it catches up.
    fn return_of(&mut self, old: NodeId) -> Result<(), Failure> {
        self.teller.step(
            &format!("5. {old} comes back"),
            "It has its term, its vote and its log from its disk, and it is a follower, whatever\n\
             it was. The leader finds the last entry that both have, and sends what comes after.",
        )?;
        let mark = self.cluster.mark();
        self.cluster.start(old)?;
        let last = self.wait_until_settled(0)?.last;
        self.cluster.wait_for_line(mark, old, &["committed", &last.to_string()])?;
        let parts = ["recovered", "follows", "deleted", "appended", "committed"];
        self.show(mark, |line| {
            line.id == old && parts.iter().any(|part| line.text.contains(part))
        })?;
        self.teller.conclude(&format!(
            "{old} has all that it missed, up to {last}. Nobody had to repair anything (§5.3)."
        ))
    }

    fn equal_logs(&mut self) -> Result<(), Failure> {
        self.teller.step(
            "6. Three logs, one history",
            "Entries with the same index and term hold the same command, and all before them are\n\
             the same as well (Log Matching, §5.3). This is what the three nodes say of\n\
             themselves, and the log that all of them have:",
        )?;
        let log = self.wait_until_settled(0)?.log;
        let table = show::table_of(&show::look(&self.cluster.options)?);
        self.teller.quote(&table)?;
        self.teller.quote(&show::table_of_entries(&log))?;
        self.teller.conclude("what was acknowledged is there, once, on each of them.")
    }

    /// Waits for a leader in a later term than this one, and until all have printed that they know.
    fn wait_for_leader(&mut self, mark: usize, after: Term) -> Result<Settled, Failure> {
        let settled = self.wait_until_settled(after)?;
        for id in self.cluster.running() {
            let follows = format!("follows {}", settled.leader);
            let part = if id == settled.leader { "→ LEADER" } else { &follows };
            self.cluster.wait_for_line(mark, id, &[part])?;
        }
        Ok(settled)
    }

    fn wait_until_settled(&mut self, after: Term) -> Result<Settled, Failure> {
        self.cluster.wait_for("a leader, and equal logs", |cluster| {
            cluster.settled().filter(|settled| settled.term > after)
        })
    }

    /// What the nodes have printed since a mark, as far as it is wanted.
    fn show(&self, mark: usize, is_wanted: impl Fn(&Line) -> bool) -> Result<(), Failure> {
        let lines = self.cluster.lines_since(mark).into_iter().filter(is_wanted);
        let text: String = lines.map(|line| line.text + "\n").collect();
        self.teller.quote(&text)
    }
}

fn is_of_election(line: &Line) -> bool {
    ELECTION.iter().any(|part| line.text.contains(part))
}

/// Puts the story on the terminal.
struct Teller {
    /// How long to wait for the reader, for each line.
    pause: Duration,
    colour: bool,
}

impl Teller {
    fn new(brief: bool) -> Teller {
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let pause = if brief { Duration::ZERO } else { READ_A_LINE };
        Teller { pause, colour: io::stdout().is_terminal() && !no_colour }
    }

    fn title(&self, title: &str) -> Result<(), Failure> {
        print(&format!("\n{}\n", self.coloured(BOLD, title)))
    }

    /// What is about to happen.
    fn step(&self, title: &str, text: &str) -> Result<(), Failure> {
        self.title(title)?;
        print(&format!("\n{}\n", indented("   ", text)))?;
        self.wait_for_reader(text);
        Ok(())
    }

    /// What the nodes say.
    fn quote(&self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            print(&format!("     {}\n", self.coloured(CYAN, line)))?;
            thread::sleep(self.pause / 2);
        }
        print("\n")
    }

    /// What follows from it.
    fn conclude(&self, text: &str) -> Result<(), Failure> {
        let text = indented("     ", text);
        print(&format!("   → {}", text.trim_start()))?;
        self.wait_for_reader(&text);
        Ok(())
    }

    fn wait_for_reader(&self, text: &str) {
        thread::sleep(self.pause * text.lines().count() as u32);
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{RESET}") } else { text.to_string() }
    }
}

fn indented(by: &str, text: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}
