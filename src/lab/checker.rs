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
//!
//! A snapshot stands for entries that are committed (§7). So a log that begins behind one holds all
//! that is committed up to there, and whoever takes on a snapshot must come to the very state that
//! others came to by applying those entries: the texts are compared.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::node::Node;
use crate::node::message::{Command, Entry, EntryId, Index, NodeId, Term};
use crate::node::role::Role;
use crate::node::rules::Property;
use crate::node::snapshot::Snapshot;
use crate::node::step::{Output, Saved};
use crate::storage::trace::read::Facts;

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
    /// The last entry that its saved snapshot stands for.
    base: EntryId,
    /// The terms of the entries that it has had saved behind that.
    log: Vec<Term>,
    /// The term and vote that it has had saved.
    vote: (Term, Option<NodeId>),
    leads: Option<Term>,
    commit_index: Index,
    last_applied: Index,
}

impl Shadow {
    /// What a server has that starts with this on its disk.
    fn of(saved: &Saved) -> Shadow {
        let base = saved.snapshot.last_included;
        Shadow {
            base,
            log: saved.entries.iter().map(|entry| entry.term).collect(),
            vote: (saved.current_term, saved.voted_for),
            leads: None,
            commit_index: base.index,
            last_applied: base.index,
        }
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        match index.checked_sub(self.base.index)? {
            0 => Some(self.base.term),
            behind_base => self.log.get(behind_base as usize - 1).copied(),
        }
    }

    /// Whether the log holds a committed entry, or its snapshot stands for it.
    fn holds(&self, committed: EntryId) -> bool {
        committed.index < self.base.index || self.term_at(committed.index) == Some(committed.term)
    }

    fn last(&self) -> EntryId {
        let index = self.base.index + self.log.len() as Index;
        EntryId { index, term: self.log.last().copied().unwrap_or(self.base.term) }
    }

    /// Behind this index the log ends.
    fn truncate(&mut self, after: Index) {
        self.log.truncate(after.saturating_sub(self.base.index) as usize);
    }
}

/// The memory of one world.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    servers: BTreeMap<NodeId, Shadow>,
    elections: BTreeMap<Term, Election>,
    history: History,
    /// What is committed at each index, as far as it is known.
    committed: BTreeMap<Index, Commit>,
    /// The state after an entry, as the first who took or took on a snapshot there has it.
    states: BTreeMap<Index, (Arc<str>, NodeId)>,
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
                Output::SaveSnapshot(snapshot) => self.check_state(node.id(), snapshot)?,
                Output::DiscardLog { through, .. } => self.log_discarded(node, *through)?,
                Output::Restore(snapshot) => self.check_restored(node.id(), snapshot)?,
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
        let snapshot = Snapshot { last_included: facts.snapshot, ..Snapshot::default() };
        if !facts.starts && self.server(id).base != facts.snapshot {
            self.log_begins_behind(id, facts.snapshot)?;
            let shadow = self.server(id);
            shadow.last_applied = shadow.last_applied.max(facts.snapshot.index);
        }
        match &facts.log {
            Some((_, entries)) if facts.starts => {
                let entries = entries.clone();
                self.laid(id, &Saved { current_term, voted_for, snapshot, entries })?;
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

    /// Where a server's log ends, if the server has started.
    pub fn last_index(&self, id: NodeId) -> Option<Index> {
        Some(self.servers.get(&id)?.last().index)
    }

    /// How many servers, elected leaders and committed entries are known.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.servers.len(), self.elections.len(), self.committed.len())
    }

    /// A server starts with what its disk holds; its state machine is that of the snapshot again.
    pub fn restarted(&mut self, id: NodeId, saved: &Saved) {
        self.servers.insert(id, Shadow::of(saved));
    }

    /// A server's log was laid by hand, as if it had been written so.
    pub fn laid(&mut self, id: NodeId, saved: &Saved) -> Result<(), Violation> {
        let Saved { snapshot, entries, .. } = saved;
        let last_included = snapshot.last_included;
        self.restarted(id, &Saved { snapshot: snapshot.clone(), ..Saved::default() });
        self.log_begins_behind(id, last_included)?;
        self.entries_saved(id, None, last_included.index, entries)?;
        self.restarted(id, saved);
        Ok(())
    }

    // ---- Snapshots -----------------------------------------------------------------------------

    /// State Machine Safety: a snapshot stands only for what is committed, and for the same state
    /// on every server. Log Matching: what stays of the log follows it.
    fn log_discarded(&mut self, node: &Node, base: EntryId) -> Result<(), Violation> {
        let id = node.id();
        if !self.committed.contains_key(&base.index) {
            let what = format!("{id} has a snapshot to {base}, which nobody committed");
            return Err(Violation::new(Property::StateMachineSafety, what));
        }
        self.log_begins_behind(id, base)?;
        self.entries_saved(id, None, base.index, node.log.entries_from(0))
    }

    /// A server has taken on this state in place of its own.
    fn check_restored(&mut self, id: NodeId, snapshot: &Snapshot) -> Result<(), Violation> {
        let last_included = snapshot.last_included;
        let shadow = self.server(id);
        let before = std::mem::replace(&mut shadow.last_applied, last_included.index);
        if last_included.index < before {
            let what = format!("{id} has applied {before} and goes back to {last_included}");
            return Err(Violation::new(Property::StateMachineSafety, what));
        }
        self.check_state(id, snapshot)
    }

    fn check_state(&mut self, id: NodeId, snapshot: &Snapshot) -> Result<(), Violation> {
        let Snapshot { last_included, data } = snapshot;
        let first = || (Arc::clone(data), id);
        let (state, other) = self.states.entry(last_included.index).or_insert_with(first);
        if state == data {
            return Ok(());
        }
        let what = format!("the state of {id} after {last_included} is not that of {other}");
        Err(Violation::new(Property::StateMachineSafety, what))
    }

    /// A server's log begins behind this entry, which it counts as committed.
    fn log_begins_behind(&mut self, id: NodeId, base: EntryId) -> Result<(), Violation> {
        let shadow = self.servers.entry(id).or_default();
        let behind = base.index.saturating_sub(shadow.base.index) as usize;
        shadow.log.drain(..behind.min(shadow.log.len()));
        shadow.base = base;
        shadow.commit_index = shadow.commit_index.max(base.index);
        if base.index == 0 {
            return Ok(());
        }
        let EntryId { index, term } = base;
        let first = Commit { term, in_term: term, by: id };
        let Commit { term: other, by, .. } = self.committed.entry(index).or_insert(first);
        if *other == term {
            return Ok(());
        }
        let what = format!("{by} committed {index}@{other}, and {id} has a snapshot to {base}");
        Err(Violation::new(Property::StateMachineSafety, what))
    }

    /// Mixes in what verdicts to come depend on.
    pub fn hash_memory(&self, hasher: &mut impl Hasher) {
        for (term, Election { leader, last }) in &self.elections {
            (term, leader, last).hash(hasher);
        }
        for Commit { term, in_term, .. } in self.committed.values() {
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
        shadow.truncate(after);
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
        let mut latest = self.committed.iter().rev();
        let Some((&index, commit)) = latest.find(|(_, commit)| commit.in_term < term) else {
            return Ok(());
        };
        let committed = EntryId { index, term: commit.term };
        if self.servers[&id].holds(committed) {
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
        let known = self.committed.len();
        for index in from..=to {
            let Some(term) = shadow.term_at(index) else {
                let what = format!("{id} counts {index} as committed, its log ends before");
                return Err(Violation::new(Property::StateMachineSafety, what));
            };
            match self.committed.get(&index) {
                None => drop(self.committed.insert(index, Commit { term, in_term, by: id })),
                Some(commit) if commit.term == term => {}
                Some(Commit { term: other, by, .. }) => {
                    let what =
                        format!("{by} committed {index}@{other}, and {id} commits {index}@{term}");
                    return Err(Violation::new(Property::StateMachineSafety, what));
                }
            }
        }
        match self.committed.last_key_value() {
            Some((&index, last)) if known < self.committed.len() => {
                self.check_later_leaders(id, in_term, EntryId { index, term: last.term })
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
        let committed = self.committed.get(&applied.index).map(|commit| commit.term);
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
    use crate::node::step::Input;

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
        let saved = Saved { current_term: 1, entries: vec![entry(1, 1)], ..Saved::default() };
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

    // ---- Snapshots -----------------------------------------------------------------------------

    fn snapshot(index: Index, term: Term, data: &str) -> Snapshot {
        Snapshot { last_included: EntryId { index, term }, data: data.into() }
    }

    /// n1 has committed and applied 1@1 and 2@1.
    fn two_committed() -> Checker {
        let mut checker = Checker::default();
        write(&mut checker, N1, 0, &[entry(1, 1), entry(2, 1)]);
        checker.check_commit(N1, 1, 2).unwrap();
        checker
    }

    #[test]
    fn leader_completeness_counts_what_a_snapshot_stands_for() {
        let mut checker = two_committed();
        checker.log_begins_behind(N2, EntryId { index: 2, term: 1 }).unwrap();
        assert_eq!(checker.clone().check_election(N2, Some(2)), Ok(()));
        write(&mut checker, N1, 2, &[entry(3, 1)]);
        checker.check_commit(N1, 1, 3).unwrap();
        let (property, what) = fell(checker.check_election(N2, Some(2)));
        assert_eq!(property, Property::LeaderCompleteness);
        assert_eq!(what, "n2 was elected in term 2 without 3@1, which n1 committed in term 1");
    }

    #[test]
    fn state_machine_safety_falls_when_states_differ_or_go_back() {
        let mut checker = two_committed();
        assert_eq!(checker.check_state(N1, &snapshot(2, 1, "x=1")), Ok(()));
        assert_eq!(checker.check_restored(N2, &snapshot(2, 1, "x=1")), Ok(()));
        let (property, what) = fell(checker.check_restored(N3, &snapshot(2, 1, "x=")));
        assert_eq!(property, Property::StateMachineSafety);
        assert_eq!(what, "the state of n3 after 2@1 is not that of n1");
        let (property, what) = fell(checker.check_restored(N2, &snapshot(1, 1, "")));
        assert_eq!(property, Property::StateMachineSafety);
        assert_eq!(what, "n2 has applied 2 and goes back to 1@1");
    }

    #[test]
    fn state_machine_safety_falls_when_a_snapshot_stands_for_another_entry() {
        let mut checker = two_committed();
        let (property, what) = fell(checker.log_begins_behind(N2, EntryId { index: 2, term: 3 }));
        assert_eq!(property, Property::StateMachineSafety);
        assert_eq!(what, "n1 committed 2@1, and n2 has a snapshot to 2@3");
    }

    #[test]
    fn log_matching_falls_when_a_log_does_not_follow_its_snapshot() {
        let mut checker = two_committed();
        write(&mut checker, N3, 0, &[entry(1, 1), entry(2, 2), entry(3, 2)]);
        checker.log_begins_behind(N3, EntryId { index: 2, term: 1 }).unwrap();
        assert!(checker.entries_saved(N3, None, 2, &[entry(3, 2)]).is_err());
    }

    /// A node's trace may begin when its log has been shortened long before.
    #[test]
    fn told_of_a_log_behind_a_snapshot_goes_on_from_there() {
        let mut checker = Checker::default();
        let mut facts = Facts {
            id: N1,
            starts: true,
            current_term: 4,
            voted_for: None,
            leads: false,
            snapshot: EntryId { index: 7, term: 3 },
            log: Some((8, vec![entry(8, 4)])),
            commit_index: 7,
            applied: vec![],
        };
        assert_eq!(checker.told(&facts), Ok(()));
        (facts.starts, facts.log) = (false, None);
        (facts.commit_index, facts.applied) = (8, vec![entry(8, 4)]);
        assert_eq!(checker.told(&facts), Ok(()));
        (facts.snapshot, facts.applied) = (EntryId { index: 8, term: 4 }, vec![]);
        assert_eq!(checker.told(&facts), Ok(()));
        assert_eq!(checker.last_index(N1), Some(8));
        facts.snapshot = EntryId { index: 9, term: 4 };
        (facts.log, facts.commit_index) = (Some((10, vec![])), 9);
        assert_eq!(checker.told(&facts), Ok(()), "it was sent one");
        facts.applied = vec![entry(9, 4)];
        assert!(checker.told(&facts).is_err(), "which stands for 9@4");
    }
}
