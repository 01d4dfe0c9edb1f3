//! Random exploration: many worlds in which much goes wrong, each from one number.
//!
//! A run has two phases. In the first, clients work while faults strike, and after every step of a
//! server the five properties of Figure 3 are checked. Then the faults end: now a leader must
//! emerge, every server must apply everything, and every client must get its answer, in good time.
//! Last, all must have come to the same state, whether by entries or by a snapshot (servers take
//! some all the time), and what clients saw must be linearizable. A run that fails is run again, to
//! write down what happened, and becomes a counterexample: a script as short as can be had.

mod clients;
mod fault_profile;
mod faults;
pub mod jobs;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use crate::lab::checker::Violation;
use crate::lab::counterexample::{self, HEADING};
use crate::lab::journal::{Answer, Counts, Happening, Outcome};
use crate::lab::linearizability;
use crate::lab::trace::recording::Recording;
use crate::lab::world::{Act, Setup, World};
use crate::node::Node;
use crate::node::message::NodeId;
use crate::node::rules::{Property, Rule, Rules};
use crate::node::step::{Millis, Random};
use clients::Clients;
pub use fault_profile::Kinds;
use fault_profile::pick;
use faults::Faults;

/// How long it may take after the last fault until all is well.
const PATIENCE_MS: Millis = 10_000;

/// How many moments before the end an account tells.
const ACCOUNT_LENGTH: usize = 30;

/// What to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many servers: 1 to 9.
    pub nodes: u64,
    /// After how many steps of servers the faults end.
    pub steps: u64,
    /// What may go wrong.
    pub faults: Kinds,
    /// The rules that servers obey.
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Options {
        Options { nodes: 3, steps: 600, faults: Kinds::ALL, rules: Rules::ALL }
    }
}

/// A run in which no property fell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How often what happened.
    pub counts: Counts,
    /// How many operations clients began.
    pub operations: u64,
    /// A number made from the run's course, moment by moment: the same for the same run.
    pub digest: u64,
}

/// A run in which a property fell.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run's number.
    pub seed: u64,
    /// How it was run.
    pub options: Options,
    /// What fell.
    pub violation: Violation,
    /// What happened last, line by line.
    pub account: Vec<String>,
    /// All that was done to the servers.
    acts: Vec<Act>,
    setup: Setup,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.violation)?;
        match self.script() {
            Some(script) => writeln!(f, "{HEADING}\n\n{script}")?,
            None => {
                writeln!(f, "what happened last:")?;
                self.account.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
        }
        write!(f, "repeat it with: {}", self.command())
    }
}

impl Failure {
    /// The command line that repeats the run.
    pub fn command(&self) -> String {
        let Options { nodes, steps, faults, rules } = self.options;
        let usual = Options::default();
        let mut command = format!("cargo run -- sim --seed {}", self.seed);
        if nodes != usual.nodes {
            command += &format!(" --nodes {nodes}");
        }
        if steps != usual.steps {
            command += &format!(" --steps {steps}");
        }
        if faults != usual.faults {
            command += &format!(" --faults {faults}");
        }
        for rule in Rule::all().filter(|&rule| !rules.obeys(rule)) {
            command += &format!(" --without {}", rule.name());
        }
        command
    }

    /// A short script, with its output, in which the same property falls. Liveness has none: it is
    /// a matter of time. It may take seconds to find.
    pub fn script(&self) -> Option<String> {
        counterexample::script(&self.acts, &self.setup, self.violation.property)
    }
}

/// Explores one world.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    Sim::new(seed, options, false).explore().map_err(|_| {
        let mut again = Sim::new(seed, options, true);
        let violation = again.explore().expect_err("the same seed gives the same run");
        let account = again.account.into_iter().flatten().collect();
        let (acts, setup) = (again.world.acts.unwrap_or_default(), again.setup);
        Box::new(Failure { seed, options: *options, violation, account, acts, setup })
    })
}

/// Explores one world, for what it leaves behind, whether or not a property falls.
pub fn record(seed: u64, options: &Options) -> Recording {
    let mut sim = Sim::new(seed, options, false);
    sim.world.record();
    let _ = sim.explore();
    sim.world.recording.take().unwrap_or_default()
}

/// Explores one world after the other: what to take from the iterator until it fails, or ends.
pub fn runs(
    seeds: Range<u64>,
    options: &Options,
) -> impl Iterator<Item = Result<Report, Box<Failure>>> {
    seeds.map(|seed| run(seed, options))
}

/// A world with its faults and clients.
struct Sim {
    world: World,
    faults: Faults,
    clients: Clients,
    random: Random,
    steps: u64,
    setup: Setup,
    digest: u64,
    /// The last moments, as lines, if they are to be told.
    account: VecDeque<Vec<String>>,
}

/// Who acts next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Actor {
    Fault,
    World,
    Client,
}

impl Sim {
    fn new(seed: u64, options: &Options, recording: bool) -> Sim {
        let mut random = Random(seed);
        let mut setup = Setup { seed: random.bits(), ..Setup::of(options.nodes) };
        setup.rules = options.rules;
        setup.max_entries = pick(&mut random, &[1, 2, 64]) as usize;
        setup.max_chunk_bytes = pick(&mut random, &[16, 100, 1 << 16]) as usize;
        let mut world = World::new(&setup);
        (world.journal, world.acts) = (recording.then(Vec::new), recording.then(Vec::new));
        let faults = Faults::draw(&mut random, options.faults, &mut world);
        Sim {
            clients: Clients::draw(&mut random, &world, faults.favourite),
            faults,
            world,
            random,
            steps: options.steps,
            setup,
            digest: seed,
            account: VecDeque::new(),
        }
    }

    fn explore(&mut self) -> Result<Report, Violation> {
        while self.world.counts.steps < self.steps {
            self.advance()?;
        }
        self.faults.end(&mut self.random, &mut self.world);
        self.clients.close();
        let end = self.world.now + PATIENCE_MS;
        while let Some(unrest) = self.unrest() {
            if self.world.now > end {
                let what = format!("{PATIENCE_MS} ms after the last fault {unrest}");
                return Err(Violation::new(Property::Liveness, what));
            }
            self.advance()?;
        }
        self.world.check_states_agree()?;
        linearizability::check(&self.clients.history)
            .map_err(|why| Violation::new(Property::Linearizability, why))?;
        Ok(Report {
            counts: self.world.counts.clone(),
            operations: self.clients.history.len() as u64,
            digest: self.digest,
        })
    }

    /// The next thing happens.
    fn advance(&mut self) -> Result<(), Violation> {
        let next = self.world.next(true);
        let world_due = next.map(|(due, _)| due);
        let actors = [
            (self.faults.due(), Actor::Fault),
            (world_due, Actor::World),
            (self.clients.due(), Actor::Client),
        ];
        let due = actors.into_iter().filter_map(|(due, actor)| Some((due?, actor)));
        match due.min() {
            Some((_, Actor::Fault)) => self.faults.strike(&mut self.random, &mut self.world),
            Some((_, Actor::Client)) => self.clients.act(&mut self.random, &mut self.world),
            _ => next.into_iter().for_each(|next| self.world.happen(next)),
        }
        self.faults.lurk(&mut self.random, &mut self.world);
        self.clients.hear(&mut self.random, &mut self.world);
        self.remember();
        match self.world.broken() {
            None => Ok(()),
            Some(violation) => Err(violation.clone()),
        }
    }

    /// Mixes this moment into the digest, and tells it if somebody wants to hear.
    fn remember(&mut self) {
        let Counts { steps, messages, messages_lost, answers, .. } = self.world.counts;
        for number in [self.world.now, steps, messages, messages_lost, answers] {
            self.digest = Random(self.digest ^ number).bits();
        }
        let Some(journal) = self.world.journal.take() else { return };
        self.world.journal = Some(Vec::new());
        let lines: Vec<String> = journal.iter().filter_map(|what| self.line(what)).collect();
        if lines.is_empty() {
            return;
        }
        self.account.push_back(lines);
        if self.account.len() > ACCOUNT_LENGTH {
            self.account.pop_front();
        }
    }

    /// A line of the account, but for what only repeats itself.
    fn line(&self, happening: &Happening) -> Option<String> {
        let text = match happening {
            Happening::Answered(Answer { outcome: Outcome::Refused(_), .. }) => return None,
            Happening::Answered(answer) => self.clients.line(answer),
            other => other.to_string(),
        };
        Some(format!("{:>6} ms  {text}", self.world.now))
    }

    // ---- Liveness ------------------------------------------------------------------------------

    /// What is not yet as it must be when all faults have ended.
    fn unrest(&self) -> Option<Unrest<'_>> {
        if let Some(operation) = self.clients.waiting() {
            return Some(Unrest::Waits(&operation.client));
        }
        let nodes = || self.world.ids().filter_map(|id| self.world.node(id));
        let Some(leader) = nodes().find(|node| node.leader() == Some(node.id())) else {
            return Some(Unrest::NoLeader);
        };
        let behind = |node: &&Node| {
            node.last_applied < leader.log.last_index() || node.current_term != leader.current_term
        };
        nodes().find(behind).map(|node| Unrest::Behind(node.id()))
    }
}

/// What keeps a world from being at rest.
enum Unrest<'a> {
    NoLeader,
    Behind(NodeId),
    Waits(&'a str),
}

impl fmt::Display for Unrest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Unrest::NoLeader => f.write_str("no server leads"),
            Unrest::Behind(id) => write!(f, "{id} has not applied the leader's log"),
            Unrest::Waits(client) => write!(f, "client {client} still waits for an answer"),
        }
    }
}
