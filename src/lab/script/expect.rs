//! `expect`: what a script says must be so.

use super::lab::Lab;
use super::words::Words;
use crate::config::nearest::did_you_mean;
use crate::lab::world::World;
use crate::node::Node;
use crate::node::message::{EntryId, Index, NodeId, Term};
use crate::node::role::Role;

/// What can be expected.
pub const HELP: &str = "\
leader n1           n1 leads; also candidate, follower, crashed
leader              some server leads
follows n2 n1       n2 takes n1 for the leader of its term
term n1 3           its current_term
vote n1 n2          its voted_for, or `none`
log n1 = 1 1 2      the terms of its log, behind its snapshot if it has one
snapshot n1 2@1     its snapshot stands for the entries up to this one, or `none`
committed 2@4       a running server counts this entry as committed; `… on n1`: n1 does
applied n1 x=1      its state machine holds this; `applied n1 x`: it has no x
answer 1            what the client that asked last was told (`refused` if so), or `none`
pending 2           so many messages are in flight
refusals n2 6       so often has n2 refused AppendEntries
next_index n1 n2 4  the leader n1 will send n2 the entries from index 4 on
broken LogMatching  this property fell first
safe                no property fell
not …               the contrary";

/// Whether it is so, and what is so.
pub type Found = Result<(bool, String), String>;

impl Lab {
    /// Whether something that could be expected is so, and what is so.
    pub fn judge(&mut self, what: &str) -> Found {
        self.world.finish_disks();
        self.found(&mut Words::of(what))
    }

    pub(super) fn expect(&self, words: &mut Words) -> Result<(), String> {
        let all = words.rest();
        match self.found(words)? {
            (true, _) => Ok(()),
            (false, actual) => Err(format!("expected {all}, found: {actual}")),
        }
    }

    fn found(&self, words: &mut Words) -> Found {
        let contrary = words.take("not");
        let what = words.need("what to expect")?;
        let (found, actual) = match what {
            "leader" if words.end().is_ok() => self.any_leader(),
            "leader" | "candidate" | "follower" | "crashed" => self.role(what, words)?,
            "follows" => self.follows(words)?,
            "term" => self.term(words)?,
            "vote" => self.vote(words)?,
            "log" => self.log(words)?,
            "snapshot" => self.base(words)?,
            "committed" => self.committed(words)?,
            "applied" => self.applied(words)?,
            "answer" => self.answer(words)?,
            "pending" => {
                let count = self.world.network.in_flight().len();
                (words.number("count of messages", 0, 10_000)? == count as u64, count.to_string())
            }
            "broken" => {
                let property = words.property()?;
                let broken = self.world.broken();
                (broken.is_some_and(|violation| violation.property == property), self.verdict())
            }
            "refusals" => self.refusals(words)?,
            "next_index" => self.next_index(words)?,
            "safe" => (self.world.broken().is_none(), self.verdict()),
            _ => return Err(format!("{what} is nothing that can be expected{}", hint(what))),
        };
        words.end()?;
        Ok((found != contrary, actual))
    }

    fn verdict(&self) -> String {
        self.world
            .broken()
            .map_or("no property fell".to_string(), |violation| violation.to_string())
    }

    fn node(&self, words: &mut Words) -> Result<&Node, String> {
        let id = words.server(&self.world)?;
        self.world.node(id).ok_or_else(|| format!("{id} is down"))
    }

    fn role(&self, wanted: &str, words: &mut Words) -> Found {
        let id = words.server(&self.world)?;
        let role = role(&self.world, id);
        Ok((role == wanted, format!("{id} is {role}")))
    }

    fn any_leader(&self) -> (bool, String) {
        match self.world.ids().find(|&id| role(&self.world, id) == "leader") {
            Some(leader) => (true, format!("{leader} leads")),
            None => (false, "nobody leads".to_string()),
        }
    }

    fn follows(&self, words: &mut Words) -> Found {
        let leader = self.node(words)?.leader();
        let wanted = words.server(&self.world)?;
        let actual = leader.map_or("nobody".to_string(), |leader| leader.to_string());
        Ok((leader == Some(wanted), actual))
    }

    fn term(&self, words: &mut Words) -> Found {
        let node = self.node(words)?;
        let term = words.number("term", 0, Term::MAX)?;
        Ok((node.current_term == term, format!("term {}", node.current_term)))
    }

    fn vote(&self, words: &mut Words) -> Found {
        let voted_for = self.node(words)?.voted_for;
        let wanted = match words.take("none") {
            true => None,
            false => Some(words.server(&self.world)?),
        };
        let actual = voted_for.map_or("none".to_string(), |candidate| candidate.to_string());
        Ok((voted_for == wanted, actual))
    }

    fn log(&self, words: &mut Words) -> Found {
        let node = self.node(words)?;
        words.take("=");
        let wanted = words.terms()?;
        let terms: Vec<Term> = node.log.entries_from(1).iter().map(|entry| entry.term).collect();
        let text: Vec<String> = terms.iter().map(Term::to_string).collect();
        Ok((terms == wanted, text.join(" ")))
    }

    fn base(&self, words: &mut Words) -> Found {
        let base = self.node(words)?.log.base();
        let wanted = match words.take("none") {
            true => EntryId::default(),
            false => words.entry()?,
        };
        let actual = if base.index == 0 { "none".to_string() } else { base.to_string() };
        Ok((base == wanted, actual))
    }

    fn committed(&self, words: &mut Words) -> Found {
        let entry = words.entry()?;
        if words.take("on") {
            let node = self.node(words)?;
            return Ok((commits(node, entry), format!("{} commits {}", node.id(), last(node))));
        }
        let nodes = || self.world.ids().filter_map(|id| self.world.node(id));
        let all: Vec<String> =
            nodes().map(|node| format!("{} {}", node.id(), last(node))).collect();
        let found = nodes().any(|node| commits(node, entry));
        Ok((found, format!("committed is up to {}", all.join(", "))))
    }

    fn applied(&self, words: &mut Words) -> Found {
        let id = self.node(words)?.id();
        let pair = words.text("key")?;
        let (key, wanted) = match pair.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (pair, None),
        };
        let value = self.world.server(id).and_then(|server| server.store.machine().get(key));
        let actual = value.map_or(format!("no {key}"), |value| format!("{key}={value}"));
        Ok((value == wanted, actual))
    }

    fn refusals(&self, words: &mut Words) -> Found {
        let id = words.server(&self.world)?;
        let wanted = words.number("count of refusals", 0, 1_000_000)?;
        let actual = self.refusals.get(&id).copied().unwrap_or_default();
        Ok((actual == wanted, format!("{id} has refused {actual}")))
    }

    fn next_index(&self, words: &mut Words) -> Found {
        let node = self.node(words)?;
        let follower = words.server(&self.world)?;
        let wanted = words.number("index", 0, Index::MAX)?;
        let Role::Leader(leader) = &node.role else {
            return Ok((false, format!("{} does not lead", node.id())));
        };
        let Some(progress) = leader.followers.get(&follower) else {
            return Err(format!("{} sends nothing to itself", node.id()));
        };
        let actual = progress.next_index;
        Ok((actual == wanted, format!("next_index[{follower}] = {actual}")))
    }

    fn answer(&self, words: &mut Words) -> Found {
        let wanted = words.text("answer")?;
        let actual = self.clients.last_answer().unwrap_or("none");
        Ok((actual == wanted, actual.to_string()))
    }
}

fn hint(what: &str) -> String {
    let mut names: Vec<&str> = HELP.lines().filter_map(|line| line.split(' ').next()).collect();
    names.dedup();
    did_you_mean(what, &names)
}

fn role(world: &World, id: NodeId) -> &'static str {
    world.node(id).map_or("crashed", |node| node.role.name().lower())
}

fn commits(node: &Node, entry: EntryId) -> bool {
    entry.index <= node.commit_index && node.log.covers(entry)
}

/// The last entry that a server counts as committed.
fn last(node: &Node) -> EntryId {
    let index = node.commit_index;
    EntryId { index, term: node.log.term_at(index).unwrap_or_default() }
}
