//! The world of a script, with its clients, and the lines that tell what happened in it.

use std::collections::BTreeMap;

use super::clients::Clients;
use super::words::Words;
use crate::lab::checker::Violation;
use crate::lab::journal::Happening;
use crate::lab::trace::recording::Recording;
use crate::lab::world::{Setup, World};
use crate::node::event::{Event, What};
use crate::node::message::{Command, NodeId};
use crate::node::rules::{Property, Rule};
use crate::state_machine::kv::Request;

/// A world that takes commands, line by line: see [`Lab::command`].
#[derive(Clone, Debug)]
pub struct Lab {
    /// The world.
    pub world: World,
    pub(super) setup: Setup,
    pub(super) clients: Clients,
    /// How often each server has refused AppendEntries.
    pub(super) refusals: BTreeMap<NodeId, u64>,
    /// What the command has to say of itself.
    pub(super) notes: Vec<String>,
    /// What fell first in the clusters before this one.
    fell_before: Option<Violation>,
    /// What was recorded of them.
    recorded_before: Vec<Recording>,
}

/// A line of output.
#[derive(Clone, Debug)]
pub struct Line {
    /// What happened.
    pub text: String,
    /// The rule that it follows from, if it does.
    pub rule: Option<Rule>,
    /// The property that fell, if one did.
    pub fell: Option<Property>,
}

impl Default for Lab {
    fn default() -> Lab {
        Lab::seeded(0)
    }
}

impl Lab {
    /// Three servers, whose random timeouts come from this number.
    pub fn seeded(seed: u64) -> Lab {
        let setup = Setup { seed, ..Setup::of(3) };
        let (world, clients, refusals) = (World::new(&setup), Clients::default(), BTreeMap::new());
        let (notes, fell_before, recorded_before) = (Vec::new(), None, Vec::new());
        let mut lab = Lab { world, setup, clients, refusals, notes, fell_before, recorded_before };
        lab.begin();
        lab
    }

    /// How often a server has refused AppendEntries.
    pub fn refusals_of(&self, id: NodeId) -> u64 {
        self.refusals.get(&id).copied().unwrap_or_default()
    }

    /// A fresh world.
    pub(super) fn begin(&mut self) {
        self.fell_before = self.fell();
        let recording = self.world.recording.take();
        self.world = World::new(&self.setup);
        self.world.journal = Some(Vec::new());
        if let Some(recording) = recording {
            self.recorded_before.extend(Some(recording).filter(Recording::has_begun));
            self.world.record();
        }
        self.clients = Clients::default();
        self.refusals.clear();
    }

    /// What was recorded, a cluster each; see [`World::record`].
    pub fn recordings(&self) -> Vec<&Recording> {
        let last = self.world.recording.as_ref().filter(|recording| recording.has_begun());
        self.recorded_before.iter().chain(last).collect()
    }

    /// The first property that fell, in this cluster or an earlier one.
    pub(super) fn fell(&self) -> Option<Violation> {
        self.fell_before.as_ref().or(self.world.broken()).cloned()
    }

    /// What happened since the last time, as lines; or only that a property fell.
    pub(super) fn take_lines(&mut self, quietly: bool) -> Vec<Line> {
        for answer in std::mem::take(&mut self.world.answers) {
            if let Err(violation) = self.clients.answered(answer) {
                self.world.breaks(violation);
            }
        }
        let Some(journal) = &mut self.world.journal else { return Vec::new() };
        let happenings = std::mem::take(journal);
        let mut lines = Vec::new();
        for happening in &happenings {
            if let Happening::Event(Event { node, what: What::AppendRefused { .. }, .. }) =
                happening
            {
                *self.refusals.entry(*node).or_default() += 1;
            }
            if !quietly || matches!(happening, Happening::Broke(_)) {
                lines.extend(self.lines_of(happening));
            }
        }
        lines
    }

    fn lines_of(&self, happening: &Happening) -> Vec<Line> {
        let (text, rule, fell) = match happening {
            Happening::Answered(answer) => (self.clients.line(answer), None, None),
            Happening::Event(event) => (self.event_line(event), event.what.rule(), None),
            Happening::Broke(violation) => (happening.to_string(), None, Some(violation.property)),
            other => (other.to_string(), None, None),
        };
        text.lines().map(|line| Line { text: line.to_string(), rule, fell }).collect()
    }

    /// What a server did cites no rule that it leaves out.
    fn event_line(&self, event: &Event) -> String {
        let Event { node, term, what } = event;
        match what.rule().is_none_or(|rule| self.setup.rules.obeys(rule)) {
            true => event.to_string(),
            false => format!("{node}  term {term}  {what}"),
        }
    }

    // ---- Clients -------------------------------------------------------------------------------

    pub(super) fn propose(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let command = Command::new(words.text("command")?);
        let request = self.clients.propose(&command)?;
        self.world.propose(id, vec![(request, command)]);
        Ok(())
    }

    pub(super) fn read(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let key = words.text("key")?;
        let what: Request = format!("get {key}").parse()?;
        let request = self.clients.read(what.clone());
        self.world.read(id, request, what);
        Ok(())
    }
}
