//! What is each rule for? Leave it out of the node, and find a run in which its property falls.
//!
//! The search starts from nothing but a fresh cluster. It plays random runs made of the moves in
//! which the paper tells its stories ([`walk`]), until the property falls; then it leaves out every
//! command that is not needed for that ([`shrink`]). It goes on for a while and keeps the shortest
//! run of those that it finds. Random numbers come from a fixed seed: the same rule gives the same
//! run, on every machine.
//!
//! Rules of liveness let nothing fall. For them the lab measures how much worse life is without
//! ([`effect`]).

pub mod effect;
pub mod shrink;
pub mod step;
pub mod walk;

use crate::lab::checker::Violation;
use crate::lab::script::Lab;
use crate::node::rules::Rule;
use step::{Step, lines};
use walk::Walk;

/// After so many commands a run has had its chance.
const MAX_STEPS: usize = 60;

/// The search ends when so many runs were found.
const ENOUGH: u64 = 40;

/// And when it has tried, since the first was found, as many as before and these.
const SOME_MORE: u64 = 25_000;

/// How a cluster begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// How many servers there are.
    pub servers: u64,
    /// The script's `batch 1`: one entry a message.
    pub one_by_one: bool,
    /// As Figure 2 has it, without the no-op of §8, which repairs some things by itself.
    pub without_no_op: bool,
    /// The script's `chunk 43`: a snapshot takes more than one message.
    pub in_chunks: bool,
}

/// The clusters that are tried in turn: mostly three servers, which suffice for most.
const STARTS: [Start; 8] = [
    start(3, false, false),
    start(3, true, false),
    start(3, false, false),
    start(5, false, false),
    start(3, false, false),
    start(3, true, false),
    start(3, false, true),
    start(4, false, false),
];

/// The same for the rules of §7, where servers take snapshots.
const STARTS_WITH_SNAPSHOTS: [Start; 2] =
    [start(3, false, false), Start { in_chunks: true, ..start(3, false, false) }];

/// Of a hundred moves, how many are snapshots in those clusters.
const SNAPSHOTS_PERCENT: u64 = 25;

const fn start(servers: u64, one_by_one: bool, without_no_op: bool) -> Start {
    Start { servers, one_by_one, without_no_op, in_chunks: false }
}

impl Start {
    /// How many lines it adds to a script that must be understood.
    fn oddities(self) -> usize {
        [self.one_by_one, self.without_no_op, self.in_chunks].map(usize::from).iter().sum()
    }

    /// Plainer ones that may do as well, the plainest first.
    fn plainer(self) -> impl Iterator<Item = Start> {
        let Start { servers, one_by_one, without_no_op, .. } = self;
        let fewer = [start(servers, false, false), start(servers, one_by_one, false)];
        let fewer = fewer.into_iter().chain([start(servers, false, without_no_op)]);
        fewer.filter(move |other| other.oddities() < self.oddities())
    }

    /// The first lines of a script.
    fn lines(self, left_out: Option<Rule>) -> Vec<String> {
        let mut lines = vec![format!("cluster {}", self.servers)];
        lines.extend(left_out.map(|rule| format!("without {}", rule.name())));
        if self.without_no_op && left_out != Some(Rule::NoOp) {
            lines.push(format!("without {}", Rule::NoOp.name()));
        }
        if self.one_by_one {
            lines.push("batch 1".to_string());
        }
        if self.in_chunks {
            lines.push("chunk 43".to_string());
        }
        lines
    }

    /// The cluster, which notes nothing of what happens: so it is fast.
    fn lab(self, left_out: Option<Rule>) -> Lab {
        let mut lab = Lab::default();
        for line in self.lines(left_out) {
            lab.command(&line).expect("a fresh world takes these");
        }
        lab.world.journal = None;
        lab
    }
}

/// A run in which a property falls.
#[derive(Clone, Debug)]
pub struct Run {
    /// The rule that is left out.
    pub rule: Rule,
    /// How the cluster begins.
    pub start: Start,
    /// What happens to it.
    pub steps: Vec<Step>,
    /// What falls.
    pub violation: Violation,
}

impl Run {
    /// The run as a script that ends with the logs drawn and what fell.
    pub fn script(&self) -> String {
        let expected = format!("expect broken {:?}", self.violation.property);
        self.text(Some(self.rule), &expected)
    }

    /// The same commands in a cluster that obeys the rule, and stands. What the disobedient servers
    /// sent may not be there: such a command is a comment.
    pub fn obedient_script(&self) -> String {
        self.text(None, "expect safe")
    }

    fn text(&self, left_out: Option<Rule>, last: &str) -> String {
        let head = self.start.lines(left_out).into_iter();
        let steps = lines(&self.start.lab(left_out), &self.steps);
        let all = head.chain(steps).chain(["show".to_string(), last.to_string()]);
        all.map(|line| line + "\n").collect()
    }
}

/// The search for runs that break without a rule.
pub struct Search {
    rule: Rule,
    labs: Vec<(Start, Lab)>,
    snapshots_percent: u64,
    /// How many random runs were tried.
    pub tried: u64,
    /// In how many of them the property fell.
    pub found: u64,
    /// How many it took to find the first.
    pub tried_first: Option<u64>,
    /// The shortest so far.
    pub shortest: Option<Run>,
}

impl Search {
    /// A search for runs in which this rule's own property falls.
    pub fn new(rule: Rule) -> Search {
        let (starts, snapshots_percent) = match rule.about().section {
            "§7" => (&STARTS_WITH_SNAPSHOTS[..], SNAPSHOTS_PERCENT),
            _ => (&STARTS[..], 0),
        };
        let labs = starts.iter().map(|&start| (start, start.lab(Some(rule)))).collect();
        Search {
            rule,
            labs,
            snapshots_percent,
            tried: 0,
            found: 0,
            tried_first: None,
            shortest: None,
        }
    }

    /// Whether there is no need to try more.
    pub fn is_done(&self) -> bool {
        let enough = |first: u64| self.found >= ENOUGH || self.tried >= 2 * first + SOME_MORE;
        self.tried_first.is_some_and(enough)
    }

    /// Tries one more random run.
    pub fn try_one(&mut self) {
        let property = self.rule.about().falls;
        let (start, lab) = &self.labs[(self.tried % self.labs.len() as u64) as usize];
        self.tried += 1;
        let mut walk = Walk::new(lab.clone(), self.tried, self.snapshots_percent);
        walk.run(MAX_STEPS);
        let Some(violation) = walk.lab.world.broken().filter(|it| it.property == property) else {
            return;
        };
        self.found += 1;
        self.tried_first = self.tried_first.or(Some(self.tried));
        let steps = shrink::shrink(lab, walk.steps, violation.property);
        let run = self.plainest(*start, steps);
        let length = |run: &Run| (run.steps.len(), run.start.oddities());
        if self.shortest.as_ref().is_none_or(|shortest| length(&run) < length(shortest)) {
            self.shortest = Some(run);
        }
    }

    /// The run in the plainest cluster in which the same falls after no more commands.
    fn plainest(&self, start: Start, steps: Vec<Step>) -> Run {
        let (rule, property) = (self.rule, self.rule.about().falls);
        let in_cluster = |start: Start| {
            let (lab, done) = step::play(&start.lab(Some(rule)), &steps);
            let violation = lab.world.broken().filter(|it| it.property == property)?.clone();
            Some(Run { rule, start, steps: done, violation })
        };
        let mut clusters = start.plainer().chain([start]);
        clusters.find_map(in_cluster).expect("it was shrunk to this in its own cluster")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::script;
    use crate::node::rules::Property;

    fn found(rule: Rule) -> Run {
        let mut search = Search::new(rule);
        while !search.is_done() {
            search.try_one();
        }
        search.shortest.expect("it is done because it was found")
    }

    #[test]
    fn search_finds_a_short_run_whose_script_breaks_the_property() {
        let run = found(Rule::OneVotePerTerm);
        // n1 asks n2 and is elected, n3 asks n2 and is elected: two times three commands.
        assert_eq!(run.steps.len(), 6);
        let outcome = script::play("found", &run.script()).unwrap();
        let broken = outcome.broken.map(|violation| violation.property);
        assert_eq!(broken, Some(Property::ElectionSafety));
        assert_eq!(script::run("found", &outcome.text).as_ref(), Ok(&outcome.text));
    }

    #[test]
    fn obedient_script_stands_and_says_what_is_missing() {
        let run = found(Rule::OneVotePerTerm);
        let text = script::run("obedient", &run.obedient_script()).unwrap();
        assert!(!text.contains("***") && text.contains("refused its vote"), "{text}");
        assert!(text.ends_with("expect safe\n"), "{text}");
    }

    #[test]
    fn search_gives_the_same_run_every_time() {
        let [first, second] = [(); 2].map(|()| found(Rule::UpToDateLog));
        assert_eq!(first.script(), second.script());
        assert_eq!(
            first.steps[0],
            Step::Server("timeout", crate::node::message::NodeId(1), "".into())
        );
    }
}
