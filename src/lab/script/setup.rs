//! How a run begins: how many servers, which rules they obey, and the logs that history left them.

use super::lab::Lab;
use super::words::{self, Words};
use crate::lab::world::Setup;
use crate::node::message::{Command, Entry, NodeId, Term};
use crate::node::rules::Rule;
use crate::node::step::{Millis, Saved};

/// Longer than any script.
const NEVER_MS: Millis = 1 << 40;

impl Lab {
    pub(super) fn cluster(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.servers = words.number("number of servers", 1, 9)?;
        self.begin();
        let rules = Rule::all().filter(|&rule| !self.setup.rules.obeys(rule));
        let rules: Vec<String> = rules.map(|rule| format!("without {}", rule.name())).collect();
        let batch = self.setup.max_entries;
        let batch = (batch != Setup::of(1).max_entries).then(|| format!("batch {batch}"));
        let chunk = self.setup.max_chunk_bytes;
        let chunk = (chunk != Setup::of(1).max_chunk_bytes).then(|| format!("chunk {chunk}"));
        let kept: Vec<String> = rules.into_iter().chain(batch).chain(chunk).collect();
        if !kept.is_empty() {
            self.notes.push(format!("still {}", kept.join(", ")));
        }
        Ok(())
    }

    pub(super) fn without(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.rules = self.setup.rules.without(words.rule()?);
        self.change_settings()
    }

    pub(super) fn batch(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.max_entries = words.number("number of entries", 1, 1000)? as usize;
        self.change_settings()
    }

    pub(super) fn chunk(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.max_chunk_bytes = words.number("number of bytes", 4, 1_000_000)? as usize;
        self.change_settings()
    }

    pub(super) fn disks(&mut self, words: &mut Words) -> Result<(), String> {
        match words.need("how fast disks are")? {
            "slow" => self.world.disk_ms = (NEVER_MS, NEVER_MS),
            "fast" => self.world.disk_ms = (0, 0),
            word => return Err(format!("disks are slow or fast, not {word}")),
        }
        Ok(())
    }

    fn change_settings(&mut self) -> Result<(), String> {
        self.check_fresh()?;
        self.world.change_settings(&self.setup);
        Ok(())
    }

    /// Rules, and what history left, cannot change in the midst of a run.
    fn check_fresh(&self) -> Result<(), String> {
        match self.world.counts.steps {
            0 => Ok(()),
            _ => Err("this must stand before anything happens".to_string()),
        }
    }

    /// The entry 4@2 is always the same: `set x=4@2`.
    pub(super) fn lay_log(&mut self, words: &mut Words) -> Result<(), String> {
        self.check_fresh()?;
        let id = words.server(&self.world)?;
        words.take("=");
        let entry = |(before, term): (usize, Term)| {
            let index = before as u64 + 1;
            Entry { index, term, command: Command::new(&format!("set x={index}@{term}")) }
        };
        let entries: Vec<Entry> = words.terms()?.into_iter().enumerate().map(entry).collect();
        let last_term = entries.last().map_or(0, |entry| entry.term);
        let current_term = self.saved(id).current_term.max(last_term);
        self.world.lay(id, Saved { current_term, entries, ..Saved::default() });
        Ok(())
    }

    pub(super) fn lay_term(&mut self, words: &mut Words) -> Result<(), String> {
        self.check_fresh()?;
        let id = words.server(&self.world)?;
        words.take("=");
        let Saved { entries, .. } = self.saved(id);
        let least = entries.last().map_or(0, |entry| entry.term);
        let current_term = words.number("term", least, words::MAX_TERM)?;
        self.world.lay(id, Saved { current_term, entries, ..Saved::default() });
        Ok(())
    }

    fn saved(&self, id: NodeId) -> Saved {
        let server = self.world.server(id);
        server.map(|server| server.disk.safe().clone()).unwrap_or_default()
    }
}
