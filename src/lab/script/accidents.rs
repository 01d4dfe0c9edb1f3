//! Accidents: cut links, crashes, and how they are mended.

use super::lab::Lab;
use super::words::{Words, link, server};
use crate::lab::journal::Power;
use crate::node::message::NodeId;

impl Lab {
    pub(super) fn cut(&mut self, words: &mut Words) -> Result<(), String> {
        let word = words.need("link")?;
        if word.contains("->") {
            let (from, to) = link(word, &self.world)?;
            self.world.network.cut(from, to);
        } else {
            let alone = server(word, &self.world)?;
            self.separate(&[alone]);
        }
        Ok(())
    }

    pub(super) fn partition(&mut self, words: &mut Words) -> Result<(), String> {
        let mut groups = vec![Vec::new()];
        while let Some(word) = words.next() {
            match word {
                "|" => groups.push(Vec::new()),
                _ => groups.last_mut().expect("it is never empty").push(server(word, &self.world)?),
            }
        }
        self.world.network.heal();
        for group in groups {
            self.separate(&group);
        }
        Ok(())
    }

    pub(super) fn heal(&mut self, _: &mut Words) -> Result<(), String> {
        self.world.network.heal();
        Ok(())
    }

    /// Cuts all links between these servers and the others.
    fn separate(&mut self, group: &[NodeId]) {
        for other in self.world.ids().filter(|id| !group.contains(id)) {
            for &id in group {
                self.world.network.cut(id, other);
                self.world.network.cut(other, id);
            }
        }
    }

    pub(super) fn crash(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let power = match words.next() {
            None => Power::Stays,
            Some("unsaved") => Power::Fails,
            Some("midway") => Power::FailsMidway(words.number("accident", 0, 999)?),
            Some(word) => return Err(format!("{word}: write unsaved, midway N, or nothing")),
        };
        self.world.crash(id, power);
        Ok(())
    }

    pub(super) fn sync(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        if self.world.server(id).is_none_or(|server| server.disk.due().is_none()) {
            return Err(format!("the disk of {id} has nothing to do"));
        }
        self.world.finish_disk(id);
        Ok(())
    }

    pub(super) fn restart(&mut self, words: &mut Words) -> Result<(), String> {
        let id = words.server(&self.world)?;
        if self.world.node(id).is_some() {
            return Err(format!("{id} is running: crash it first"));
        }
        self.world.restart(id);
        Ok(())
    }
}
