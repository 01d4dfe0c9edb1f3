//! What a rule of liveness is for: how long it takes, or how much happens, with it and without it.
//!
//! Without such a rule nothing false is ever committed; but a cluster comes to rest later, or
//! never. Each rule has a scene, a few lines of script after which it matters, and something to
//! wait for or to count. The scene is played many times with other random timeouts.

use crate::lab::script::Lab;
use crate::node::message::NodeId;
use crate::node::rules::Rule;
use crate::node::step::Millis;

/// How often a scene is played.
pub const TRIALS: u64 = 300;

/// A trial ends after this time.
const PATIENCE_MS: Millis = 10_000;

/// How often one looks whether it has come true.
const LOOK_MS: Millis = 10;

/// What is measured in a scene.
enum Measure {
    /// Milliseconds until this can be expected.
    Until(&'static str),
    /// The term to which n1 has come after ten seconds.
    Term,
    /// How often n2 refuses AppendEntries until it is quiet.
    Refusals,
}

struct Scene {
    rule: Rule,
    what: &'static str,
    script: &'static str,
    measure: Measure,
}

const fn scene(rule: Rule, what: &'static str, script: &'static str, measure: Measure) -> Scene {
    Scene { rule, what, script, measure }
}

use Measure::*;

const SCENES: [Scene; 15] = [
    scene(
        Rule::RefuseOldCandidate,
        "ms to a leader, after an old candidate has asked n3 first and died",
        "term n2 = 1\nterm n3 = 2\ntimeout n1\ntimeout n2\ndeliver n1->n3\ncrash n1",
        Until("leader"),
    ),
    scene(
        Rule::CompareAsPair,
        "ms to a leader, where one log is longer and the other later",
        "log n1 = 1 1\nlog n2 = 2\ncrash n3",
        Until("leader"),
    ),
    scene(
        Rule::AdoptNewerTerm,
        "ms to a leader, after a three-way split",
        "timeout n1\ntimeout n2\ntimeout n3",
        Until("leader"),
    ),
    scene(
        Rule::ResetTimerSparingly,
        "ms to a leader, where two of the four that are left cannot win",
        "cluster 5\nlog n1 = 1\nlog n2 = 1 1\nlog n3 = 1 1 1\nlog n4 = 1 1 1 1\n\
         log n5 = 1 1 1 1 1\ncrash n5",
        Until("leader"),
    ),
    scene(
        Rule::IgnoreOldLeadersTimer,
        "ms until n3 gives up its dead leader, while an older one still sends",
        "cluster 5\ntimeout n1\nrun\ncut n2->n1\ncut n3->n1\ncut n4->n1\ncut n5->n1\n\
         timeout n2\nrun\ncrash n2",
        Until("not follows n3 n2"),
    ),
    scene(
        Rule::YieldToLeader,
        "ms until the loser of an election follows",
        "timeout n1\ntimeout n3\ndeliver n1->n2\ndeliver n2->n1",
        Until("follows n3 n1"),
    ),
    scene(
        Rule::CandidatesTimeOut,
        "ms to a leader, after two have split the vote",
        "crash n3\ntimeout n1\ntimeout n2",
        Until("leader"),
    ),
    scene(Rule::RandomTimeouts, "ms to the first leader", "cluster 3", Until("leader")),
    scene(
        Rule::HeartbeatAtOnce,
        "ms until n3, which was not asked, follows the new leader",
        "timeout n1\ndrop n1->n3",
        Until("follows n3 n1"),
    ),
    scene(Rule::Heartbeats, "the term after 10 s in which nothing fails", "cluster 3", Term),
    scene(
        Rule::NoOp,
        "ms until an entry that is everywhere is committed by a new leader",
        "log n1 = 1\nlog n2 = 1\nlog n3 = 1\ntimeout n1",
        Until("committed 1@1"),
    ),
    scene(
        Rule::BackUpNextIndex,
        "ms until a log that lacks an entry is repaired",
        "log n1 = 1 1 2\nlog n2 = 1 1 2\nlog n3 = 1 1\ntimeout n1",
        Until("committed 4@3 on n3"),
    ),
    scene(
        Rule::FastBackup,
        "refusals until the log of Figure 7 (f) is repaired",
        "log n1 = 1 1 1 4 4 5 5 6 6 6\nlog n2 = 1 1 1 2 2 2 3 3 3 3 3\n\
         log n3 = 1 1 1 4 4 5 5 6 6 6\nterm n1 = 7\ntimeout n1\nrun\ntimeout n1\nrun",
        Refusals,
    ),
    scene(
        Rule::RefuseOldSnapshot,
        "ms until n3 gives up its dead leader, while an older one still sends its snapshot",
        "cut n1->n3\ntimeout n1\nrun\nsnapshot n1\nheal\ncut n2->n1\ncut n3->n1\n\
         timeout n2\nrun\ncrash n2",
        Until("candidate n3"),
    ),
    scene(
        Rule::SendSnapshot,
        "ms until a server that was away has the entries that its leader has discarded",
        "cut n1->n3\ntimeout n1\nrun\nsnapshot n1\nheal",
        Until("committed 1@1 on n3"),
    ),
];

/// What a rule changes.
pub struct Effect {
    /// What was measured.
    pub what: &'static str,
    /// With the rule.
    pub obeyed: Spread,
    /// Without it.
    pub left_out: Spread,
}

/// What was measured in many trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Half of the trials had no more.
    pub median: u64,
    /// Of a hundred, 99 had no more.
    pub p99: u64,
    /// How many of a hundred trials came to no end.
    pub never_percent: u64,
}

/// What a rule changes, if there is a scene for it.
pub fn effect(rule: Rule) -> Option<Effect> {
    SCENES.iter().find(|scene| scene.rule == rule).map(|scene| scene.effect(TRIALS))
}

impl Scene {
    fn effect(&self, trials: u64) -> Effect {
        let obeyed = self.play_all(None, trials);
        let left_out = self.play_all(Some(self.rule), trials);
        Effect { what: self.what, obeyed, left_out }
    }

    fn play_all(&self, left_out: Option<Rule>, trials: u64) -> Spread {
        // What never ends is longer than anything else.
        const NEVER: u64 = u64::MAX;
        let mut found: Vec<u64> =
            (1..=trials).map(|seed| self.play(seed, left_out).unwrap_or(NEVER)).collect();
        found.sort_unstable();
        let at = |percent: usize| match found[(found.len() - 1) * percent / 100] {
            NEVER => PATIENCE_MS,
            number => number,
        };
        let never = found.iter().filter(|found| **found == NEVER).count();
        let never_percent = (never * 100).div_ceil(found.len()) as u64;
        Spread { median: at(50), p99: at(99), never_percent }
    }

    fn play(&self, seed: u64, left_out: Option<Rule>) -> Option<u64> {
        let mut lab = Lab::seeded(seed);
        if let Some(rule) = left_out {
            order(&mut lab, &format!("without {}", rule.name()));
        }
        self.script.lines().for_each(|line| order(&mut lab, line));
        if !matches!(self.measure, Refusals) {
            lab.world.journal = None; // in which refusals are found; without it time flies
        }
        match self.measure {
            Until(what) => wait(&mut lab, what),
            Term => {
                order(&mut lab, &format!("run {PATIENCE_MS}"));
                lab.world.node(NodeId(1)).map(|node| node.current_term)
            }
            Refusals => Some(lab.refusals_of(NodeId(2))),
        }
    }
}

fn order(lab: &mut Lab, line: &str) {
    lab.command(line).unwrap_or_else(|why| panic!("a scene is wrong: {line}: {why}"));
}

/// How long it takes until this can be expected, if it ever can.
fn wait(lab: &mut Lab, what: &str) -> Option<u64> {
    let began = lab.world.now;
    while lab.command(&format!("expect {what}")).is_err() {
        if lab.world.now - began >= PATIENCE_MS {
            return None;
        }
        order(lab, &format!("run {LOOK_MS}"));
    }
    Some(lab.world.now - began)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::rules::Property;

    #[test]
    fn every_rule_of_liveness_has_a_scene() {
        for rule in Rule::all().filter(|rule| rule.about().falls == Property::Liveness) {
            assert!(SCENES.iter().any(|scene| scene.rule == rule), "{}", rule.name());
        }
    }

    #[test]
    fn life_is_worse_without_each_rule() {
        for scene in &SCENES {
            let Effect { obeyed, left_out, .. } = scene.effect(30);
            let is_worse = left_out.never_percent > obeyed.never_percent
                || left_out.p99 > obeyed.p99 + obeyed.p99 / 4;
            let name = scene.rule.name();
            assert!(is_worse, "{name}: {obeyed:?} with the rule, {left_out:?} without");
            assert_eq!(obeyed.never_percent, 0, "{name}: {obeyed:?}");
        }
    }
}
