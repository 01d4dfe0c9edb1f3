//! The five properties of Figure 3, checked after every step, against all that ever happened.
//!
//! Looking at the servers as they are now would miss most breaks: a second leader of one term may
//! be elected when the first has long crashed. So the checker remembers every election, every entry
//! ever written, and every entry ever committed. It does so in a way that a check costs no more
//! late in a run than early:
//! - An entry's name (`index@term`) is noted with the term before it and its command. If every name
//!   has only one of each, two logs that share a name are the same up to it: Log Matching.
//! - So a leader that holds the last committed entry holds all of them: Leader Completeness is one
//!   comparison at each election.
//!
//! Each server's log and vote are shadowed from what it has had *saved*, and compared with what it
//! holds: a node that forgets to save is caught as well.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::message::{Command, Entry, EntryId, Index, NodeId, Term};
use crate::node::Node;
use crate::record::read::Facts;
use crate::role::Role;
use crate::rules::Property;
use crate::step::{Output, Saved};

/// A property that fell, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which property.
    pub property: Property,
    /// The servers and entries concerned, in one sentence.
    pub what: String,
}

impl Violation {
    /// A property that fell.
    pub fn new(property: Property, what: String) -> Violation {
        Violation { property, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} is broken: {}", self.property, self.what)
    }
}

/// What an elected leader had to hold.
#[derive(Clone, Debug)]
struct Election {
    leader: NodeId,
    /// The end of its log when it was elected, its own first entry included.
    last: EntryId,
}

/// A committed entry of one index.
#[derive(Clone, Debug)]
struct Commit {
    term: Term,
    /// The term in which it was committed, and by whom first.
    in_term: Term,
    by: NodeId,
}

/// What the checker knows of one server.
#[derive(Clone, Debug, Default)]
struct Shadow {
    /// The terms of the entries that it has had saved.
    log: Vec<Term>,
    /// The term and vote that it has had saved.
    vote: (Term, Option<NodeId>),
    leads: Option<Term>,
    commit_index: Index,
    last_applied: Index,
}

impl Shadow {
    fn term_at(&self, index: Index) -> Option<Term> {
        self.log.get(index.checked_sub(1)? as usize).copied()
    }

    fn last(&self) -> EntryId {
        EntryId { index: self.log.len() as Index, term: self.log.last().copied().unwrap_or(0) }
    }
}

/// The memory of one world.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    servers: BTreeMap<NodeId, Shadow>,
    elections: BTreeMap<Term, Election>,
    history: History,
    /// What is committed at the indexes 1, 2, 3….
    committed: Vec<Commit>,
}

impl Checker {
    /// Looks at a server that has just taken a step, and at what it wants done.
    pub fn after_step(&mut self, node: &Node, outputs: &[Output]) -> Result<(), Violation> {
        let leads = matches!(node.role, Role::Leader(_)).then_some(node.current_term);
        for output in outputs {
            match output {
                Output::SaveVote { current_term, voted_for } => {
                    self.server(node.id()).vote = (*current_term, *voted_for);
                }
                Output::SaveEntries { after, entries, .. } => {
                    self.entries_saved(node.id(), leads, *after, entries)?;
                }
                _ => {}
            }
        }
        self.check_all_is_saved(node)?;
        self.check_election(node.id(), leads)?;
        self.check_commit(node.id(), node.current_term, node.commit_index)?;
        for output in outputs {
            if let Output::Apply { entry, .. } = output {
                self.check_applied(node.id(), entry)?;
            }
        }
        Ok(())
    }

    /// Takes in what a server says of itself after a step. What it saved is not known here.
    pub fn told(&mut self, facts: &Facts) -> Result<(), Violation> {
        let Facts { id, current_term, voted_for, commit_index, .. } = *facts;
        let leads = facts.leads.then_some(current_term);
        match &facts.log {
            Some((_, entries)) if facts.starts => {
                let entries = entries.clone();
                self.laid(id, &Saved { current_term, voted_for, entries })?;
            }
            Some((from, entries)) => self.log_is(id, leads, *from, entries)?,
            None => {}
        }
        self.check_election(id, leads)?;
        self.check_commit(id, current_term, commit_index)?;
        facts.applied.iter().try_for_each(|entry| self.check_applied(id, entry))
    }

    /// From this index on a log holds these entries, of which the first may not be new.
    fn log_is(
        &mut self,
        id: NodeId,
        leads: Option<Term>,
        from: Index,
        entries: &[Entry],
    ) -> Result<(), Violation> {
        let shadow = self.servers.entry(id).or_default();
        let is_old = |entry: &&Entry| {
            let written = self.history.find(entry.id()).map(|written| &written.command);
            shadow.term_at(entry.index) == Some(entry.term) && written == Some(&entry.command)
        };
        let old = entries.iter().take_while(is_old).count();
        self.entries_saved(id, leads, from - 1 + old as Index, &entries[old..])
    }

    /// How long a server's log is, if the server has started.
    pub fn log_length(&self, id: NodeId) -> Option<Index> {
        Some(self.servers.get(&id)?.log.len() as Index)
    }

    /// How many servers, elected leaders and committed entries are known.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.servers.len(), self.elections.len(), self.committed.len())
    }

    /// A server starts with what its disk holds; its state machine is empty again.
    pub fn restarted(&mut self, id: NodeId, saved: &Saved) {
        let log = saved.entries.iter().map(|entry| entry.term).collect();
        let vote = (saved.current_term, saved.voted_for);
        self.servers.insert(id, Shadow { log, vote, ..Shadow::default() });
    }

    /// A server's log was laid by hand, as if it had been written so.
    pub fn laid(&mut self, id: NodeId, saved: &Saved) -> Result<(), Violation> {
        self.restarted(id, &Saved::default());
        self.entries_saved(id, None, 0, &saved.entries)?;
        self.restarted(id, saved);
        Ok(())
    }

    /// Mixes in what verdicts to come depend on.
    pub fn hash_memory(&self, hasher: &mut impl Hasher) {
        for (term, Election { leader, last }) in &self.elections {
            (term, leader, last).hash(hasher);
        }
        for Commit { term, in_term, .. } in &self.committed {
            (term, in_term).hash(hasher);
        }
        for same_index in &self.history.entries {
            let mut names: Vec<(Term, Term)> =
                same_index.iter().map(|written| (written.term, written.prev_term)).collect();
            names.sort_unstable();
            names.hash(hasher);
        }
    }

    fn server(&mut self, id: NodeId) -> &mut Shadow {
        self.servers.entry(id).or_default()
    }

    /// Log Matching, and Leader Append-Only: behind `after` a log now holds these entries.
    fn entries_saved(
        &mut self,
        id: NodeId,
        leads: Option<Term>,
        after: Index,
        entries: &[Entry],
    ) -> Result<(), Violation> {
        let shadow = self.servers.entry(id).or_default();
        let last = shadow.last();
        if let Some(term) = leads
            && after < last.index
        {
            let what = format!(
                "{id} leads term {term} and changed its log from {} on, which \
                ended at {last}",
                after + 1
            );
            return Err(Violation::new(Property::LeaderAppendOnly, what));
        }
        shadow.log.truncate(after as usize);
        let mut prev = shadow.last();
        for entry in entries {
            self.history.note(id, prev, entry)?;
            shadow.log.push(entry.term);
            prev = entry.id();
        }
        Ok(())
    }

    /// What a server holds is what it has had saved, or a restart would forget the rest.
    fn check_all_is_saved(&mut self, node: &Node) -> Result<(), Violation> {
        let id = node.id();
        let shadow = self.server(id);
        let (saved, held) = (shadow.last(), node.log.last());
        if saved != held {
            let what = format!("the log of {id} ends at {held}, and what it saved at {saved}");
            return Err(Violation::new(Property::LeaderCompleteness, what));
        }
        if shadow.vote != (node.current_term, node.voted_for) {
            let what = format!("{id} did not save its vote in term {}", node.current_term);
            return Err(Violation::new(Property::ElectionSafety, what));
        }
        Ok(())
    }

    /// Election Safety and Leader Completeness: a server leads this term now, or none.
    fn check_election(&mut self, id: NodeId, leads: Option<Term>) -> Result<(), Violation> {
        let shadow = self.server(id);
        let before = std::mem::replace(&mut shadow.leads, leads);
        let (Some(term), last) = (leads, shadow.last()) else { return Ok(()) };
        if before == leads {
            return Ok(());
        }
        let election = self.elections.entry(term).or_insert(Election { leader: id, last });
        if election.leader != id {
            let what = format!("{} and {id} were both elected in term {term}", election.leader);
            return Err(Violation::new(Property::ElectionSafety, what));
        }
        // The last entry committed in an earlier term: with it come all before it.
        let index = self.committed.partition_point(|commit| commit.in_term < term);
        let Some(commit) = index.checked_sub(1).map(|last| &self.committed[last]) else {
            return Ok(());
        };
        let committed = EntryId { index: index as Index, term: commit.term };
        if self.servers[&id].term_at(committed.index) == Some(committed.term) {
            return Ok(());
        }
        let Commit { by, in_term, .. } = commit;
        let what = format!(
            "{id} was elected in term {term} without {committed}, which {by} committed in term \
             {in_term}"
        );
        Err(Violation::new(Property::LeaderCompleteness, what))
    }

    /// A server counts entries as committed up to an index.
    fn check_commit(&mut self, id: NodeId, in_term: Term, to: Index) -> Result<(), Violation> {
        let shadow = self.servers.entry(id).or_default();
        let from = std::mem::replace(&mut shadow.commit_index, to) + 1;
        let known = self.committed.len() as Index;
        for index in from..=to {
            let Some(term) = shadow.term_at(index) else {
                let what = format!("{id} counts {index} as committed, its log ends before");
                return Err(Violation::new(Property::StateMachineSafety, what));
            };
            match self.committed.get(index as usize - 1) {
                None => self.committed.push(Commit { term, in_term, by: id }),
                Some(commit) if commit.term == term => {}
                Some(Commit { term: other, by, .. }) => {
                    let what =
                        format!("{by} committed {index}@{other}, and {id} commits {index}@{term}");
                    return Err(Violation::new(Property::StateMachineSafety, what));
                }
            }
        }
        match self.committed.last() {
            Some(last) if known < self.committed.len() as Index => {
                let last = EntryId { index: self.committed.len() as Index, term: last.term };
                self.check_later_leaders(id, in_term, last)
            }
            _ => Ok(()),
        }
    }

    /// Leader Completeness the other way round: an entry is committed in an old term when leaders
    /// of later terms are there already. They must have had it. This is rare, and so may take the
    /// time to walk back through history.
    fn check_later_leaders(
        &self,
        by: NodeId,
        in_term: Term,
        committed: EntryId,
    ) -> Result<(), Violation> {
        for (term, Election { leader, last }) in self.elections.range(in_term + 1..) {
            if !self.history.reaches(*last, committed) {
                let what = format!(
                    "{by} committed {committed} in term {in_term}, and {leader}, elected in term \
                     {term}, lacks it"
                );
                return Err(Violation::new(Property::LeaderCompleteness, what));
            }
        }
        Ok(())
    }

    /// State Machine Safety: a server's state machine is given an entry.
    fn check_applied(&mut self, id: NodeId, entry: &Entry) -> Result<(), Violation> {
        let applied = entry.id();
        let shadow = self.server(id);
        let expected = shadow.last_applied + 1;
        shadow.last_applied = applied.index;
        let committed = self.committed.get(applied.index as usize - 1).map(|commit| commit.term);
        let what = match committed {
            _ if applied.index < expected => format!("{id} applied {applied} twice"),
            _ if applied.index > expected => format!("{id} applied {applied} before {expected}"),
            Some(term) if term == applied.term => return self.check_command(id, entry),
            Some(term) => format!("{id} applied {applied}, committed was {}@{term}", applied.index),
            None => format!("{id} applied {applied}, which nobody has committed"),
        };
        Err(Violation::new(Property::StateMachineSafety, what))
    }

    /// What is applied is what was written under the entry's name.
    fn check_command(&self, id: NodeId, entry: &Entry) -> Result<(), Violation> {
        let written = self.history.find(entry.id()).map(|written| &written.command);
        if written == Some(&entry.command) {
            return Ok(());
        }
        let what = format!("{id} applied {} as {}", entry.id(), entry.command);
        Err(Violation::new(Property::StateMachineSafety, what))
    }
}

/// Every entry ever written, by its name. They form a tree, whose trunk is the committed log.
#[derive(Clone, Debug, Default)]
struct History {
    /// At the indexes 1, 2, 3…: usually one entry, a few where leaders disagreed.
    entries: Vec<Vec<Written>>,
}

#[derive(Clone, Debug)]
struct Written {
    term: Term,
    prev_term: Term,
    command: Command,
    /// The first server that wrote it.
    by: NodeId,
}

impl History {
    fn find(&self, id: EntryId) -> Option<&Written> {
        let same_index = self.entries.get(id.index.checked_sub(1)? as usize)?;
        same_index.iter().find(|written| written.term == id.term)
    }

    /// A server has written an entry behind another.
    fn note(&mut self, by: NodeId, prev: EntryId, entry: &Entry) -> Result<(), Violation> {
        let id = entry.id();
        let Some(first) = self.find(id) else {
            let length = self.entries.len().max(id.index as usize);
            self.entries.resize(length, Vec::new());
            let command = entry.command.clone();
            let written = Written { term: id.term, prev_term: prev.term, command, by };
            self.entries[id.index as usize - 1].push(written);
            return Ok(());
        };
        let what = if first.prev_term != prev.term {
            let other = EntryId { index: prev.index, term: first.prev_term };
            format!("{id} follows {other} on {} and {prev} on {by}", first.by)
        } else if first.command != entry.command {
            format!("{id} is {} on {} and {} on {by}", first.command, first.by, entry.command)
        } else {
            return Ok(());
        };
        Err(Violation::new(Property::LogMatching, what))
    }

    /// Whether a log that ends in `last` holds `wanted`.
    fn reaches(&self, last: EntryId, wanted: EntryId) -> bool {
        let mut id = last;
        while id.index > wanted.index {
            let Some(written) = self.find(id) else { return false };
            id = EntryId { index: id.index - 1, term: written.prev_term };
        }
        id == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Input;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);

    fn entry(index: Index, term: Term) -> Entry {
        Entry { index, term, command: Command::new(&format!("set x={index}@{term}")) }
    }

    /// A follower saves these entries behind `after`.
    fn write(checker: &mut Checker, on: NodeId, after: Index, entries: &[Entry]) {
        assert_eq!(checker.entries_saved(on, None, after, entries), Ok(()));
    }

    fn fell(result: Result<(), Violation>) -> (Property, String) {
        let violation = result.expect_err("a property must fall");
        (violation.property, violation.what)
    }

    #[test]
    fn election_safety_falls_even_when_the_first_leader_is_long_gone() {
        let mut checker = Checker::default();
        assert_eq!(checker.check_election(N1, Some(1)), Ok(()));
        assert_eq!(checker.check_election(N1, None), Ok(()));
        assert_eq!(checker.check_election(N3, Some(2)), Ok(()));
        let (property, what) = fell(checker.check_election(N2, Some(1)));
        assert_eq!(property, Property::ElectionSafety);
        assert_eq!(what, "n1 and n2 were both elected in term 1");
    }

    #[test]
    fn leader_append_only_falls_when_a_leader_rewrites_its_log() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 1)]);
        assert_eq!(checker.entries_saved(N1, Some(2), 2, &[entry(3, 2)]), Ok(()));
        let (property, what) = fell(checker.entries_saved(N1, Some(2), 2, &[entry(3, 3)]));
        assert_eq!(property, Property::LeaderAppendOnly);
        assert_eq!(what, "n1 leads term 2 and changed its log from 3 on, which ended at 3@2");
    }

    #[test]
    fn log_matching_falls_when_a_name_has_two_pasts_or_two_commands() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 3)]);
        write(&mut checker, N2, 0, &[entry(1, 2)]);
        let (property, what) = fell(checker.entries_saved(N2, None, 1, &[entry(2, 3)]));
        assert_eq!(property, Property::LogMatching);
        assert_eq!(what, "2@3 follows 1@1 on n1 and 1@2 on n2");
        let other = Entry { command: Command::new("set x=0"), ..entry(1, 1) };
        let (property, what) = fell(checker.entries_saved(N3, None, 0, &[other]));
        assert_eq!(property, Property::LogMatching);
        assert_eq!(what, "1@1 is set x=1@1 on n1 and set x=0 on n3");
    }

    #[test]
    fn log_matching_remembers_entries_that_are_deleted_everywhere() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 1)]);
        write(&mut checker, N1, 0, &[entry(1, 2)]);
        assert!(checker.entries_saved(N1, None, 1, &[entry(2, 1)]).is_err());
    }

    #[test]
    fn leader_completeness_falls_at_the_election_of_a_leader_that_lacks_a_committed_entry() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 1)]);
        write(&mut checker, N2, 0, &[entry(1, 1)]);
        assert_eq!(checker.check_commit(N1, 1, 1), Ok(()));
        assert_eq!(checker.check_election(N2, Some(2)), Ok(()), "1@1 is there");
        assert_eq!(checker.check_commit(N1, 2, 2), Ok(()), "but term 2 knew that");
        let (property, what) = fell(checker.check_election(N2, Some(3)));
        assert_eq!(property, Property::LeaderCompleteness);
        assert_eq!(what, "n2 was elected in term 3 without 2@1, which n1 committed in term 2");
    }

    #[test]
    fn leader_completeness_asks_nothing_of_leaders_of_earlier_terms() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 2)]);
        assert_eq!(checker.check_commit(N1, 2, 1), Ok(()));
        assert_eq!(checker.check_election(N2, Some(1)), Ok(()), "its votes came late");
        assert_eq!(checker.check_election(N3, Some(2)), Ok(()), "the term itself");
    }

    #[test]
    fn leader_completeness_falls_when_an_old_term_commits_what_a_later_leader_lacks() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 1)]);
        write(&mut checker, N2, 0, &[entry(1, 1), entry(2, 2)]);
        assert_eq!(checker.check_election(N2, Some(2)), Ok(()));
        assert_eq!(checker.check_commit(N1, 1, 1), Ok(()), "n2 has 1@1 behind 2@2");
        let (property, what) = fell(checker.check_commit(N1, 1, 2));
        assert_eq!(property, Property::LeaderCompleteness);
        assert_eq!(what, "n1 committed 2@1 in term 1, and n2, elected in term 2, lacks it");
    }

    #[test]
    fn state_machine_safety_falls_when_two_servers_commit_different_entries() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1)]);
        write(&mut checker, N2, 0, &[entry(1, 2)]);
        assert_eq!(checker.check_commit(N2, 2, 1), Ok(()));
        let (property, what) = fell(checker.check_commit(N1, 2, 1));
        assert_eq!(property, Property::StateMachineSafety);
        assert_eq!(what, "n2 committed 1@2, and n1 commits 1@1");
        assert!(checker.check_commit(N3, 2, 1).is_err(), "it has no entry at all");
    }

    #[test]
    fn state_machine_safety_falls_when_an_entry_is_applied_twice_skipped_or_another() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 1), entry(3, 1)]);
        assert_eq!(checker.check_commit(N1, 1, 2), Ok(()));
        assert_eq!(checker.check_applied(N1, &entry(1, 1)), Ok(()));
        let apply = |applied: &Entry| fell(checker.clone().check_applied(N1, applied)).1;
        assert_eq!(apply(&entry(1, 1)), "n1 applied 1@1 twice");
        assert_eq!(apply(&entry(3, 1)), "n1 applied 3@1 before 2");
        assert_eq!(apply(&entry(2, 9)), "n1 applied 2@9, committed was 2@1");
        let other = Entry { command: Command::new("set y=9"), ..entry(2, 1) };
        assert_eq!(apply(&other), "n1 applied 2@1 as set y=9");
        assert_eq!(checker.check_applied(N1, &entry(2, 1)), Ok(()));
        let (property, what) = fell(checker.check_applied(N1, &entry(3, 1)));
        assert_eq!(property, Property::StateMachineSafety);
        assert_eq!(what, "n1 applied 3@1, which nobody has committed");
    }

    #[test]
    fn restarted_server_applies_from_the_beginning_again() {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1)]);
        checker.check_commit(N1, 1, 1).unwrap();
        checker.check_applied(N1, &entry(1, 1)).unwrap();
        let saved = Saved { current_term: 1, voted_for: None, entries: vec![entry(1, 1)] };
        checker.restarted(N1, &saved);
        checker.check_commit(N1, 1, 1).unwrap();
        assert_eq!(checker.check_applied(N1, &entry(1, 1)), Ok(()));
    }

    #[test]
    fn after_step_catches_a_node_that_forgets_to_save() {
        let mut world = crate::lab::world::World::new(&crate::lab::world::Setup::of(1));
        world.disk_ms = (0, 0);
        let mut node = world.node(N1).expect("it runs").clone();
        let mut checker = Checker::default();
        let outputs = node.step(0, Input::TimerFires);
        assert_eq!(checker.clone().after_step(&node, &outputs), Ok(()));
        let without = |forgotten: fn(&Output) -> bool| {
            let left: Vec<Output> =
                outputs.iter().filter(|output| !forgotten(output)).cloned().collect();
            fell(Checker::default().after_step(&node, &left))
        };
        let (property, what) = without(|output| matches!(output, Output::SaveVote { .. }));
        assert_eq!(property, Property::ElectionSafety);
        assert_eq!(what, "n1 did not save its vote in term 1");
        let (property, what) = without(|output| matches!(output, Output::SaveEntries { .. }));
        assert_eq!(property, Property::LeaderCompleteness);
        assert_eq!(what, "the log of n1 ends at 1@1, and what it saved at 0@0");
        assert_eq!(checker.after_step(&node, &outputs), Ok(()));
    }
}
