//! Time and messages: what moves a run on.

use super::lab::Lab;
use super::words::{Words, link};
use crate::lab::network::Slot;
use crate::lab::world::World;
use crate::node::Node;
use crate::node::message::NodeId;
use crate::node::step::Millis;

/// How many messages `run` delivers before it gives up on quiet.
const MAX_MESSAGES: usize = 10_000;

/// The longest time that may pass in one command: ten minutes.
const MAX_MS: Millis = 600_000;

/// How much later a message arrives if a script does not say it: longer than any way, shorter than
/// an election timeout.
const DELAY_MS: Millis = 100;

impl Lab {
    pub(super) fn snapshot(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let has_new = |node: &Node| node.last_applied > node.log.base().index;
        if !self.world.node(id).is_some_and(has_new) {
            return Err(format!("{id} has applied nothing that is not in its snapshot"));
        }
        self.world.take_snapshot(id);
        Ok(())
    }

    pub(super) fn timeout(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        self.world.fire_timer(id);
        Ok(())
    }

    /// A server that has not crashed.
    pub(super) fn running(&mut self, words: &mut Words) -> Result<NodeId, String> {
        let id = words.server(&self.world)?;
        match self.world.node(id) {
            Some(_) => Ok(id),
            None => Err(format!("{id} is down: restart it first")),
        }
    }

    pub(super) fn pass_time(&mut self, words: &mut Words, messages: bool) -> Result<(), String> {
        let end = self.world.now + words.number("time in ms", 0, MAX_MS)?;
        self.world.pass_until(end, messages);
        Ok(())
    }

    pub(super) fn run(&mut self, words: &mut Words) -> Result<(), String> {
        if words.end().is_err() {
            return self.pass_time(words, true);
        }
        for _ in 0..MAX_MESSAGES {
            let Some(first) = self.world.network.first() else {
                self.world.finish_disks();
                return Ok(());
            };
            self.world.deliver(first);
        }
        Err(format!("it is not quiet after {MAX_MESSAGES} messages"))
    }

    pub(super) fn each_message(
        &mut self,
        words: &mut Words,
        what: fn(&mut World, Slot),
    ) -> Result<(), String> {
        for slot in words.messages(&self.world)? {
            what(&mut self.world, slot);
        }
        Ok(())
    }

    pub(super) fn pending(&self) -> Vec<String> {
        let in_flight = self.world.network.in_flight();
        let line = |((_, number), message)| format!("[{number}] {message}");
        in_flight.into_iter().map(line).collect()
    }

    pub(super) fn delay(&mut self, words: &mut Words) -> Result<(), String> {
        let which = words.need("message or link")?;
        let ms = match words.end() {
            Ok(()) => DELAY_MS,
            Err(_) => words.number("time in ms", 1, MAX_MS)?,
        };
        if which.contains("->") {
            let (from, to) = link(which, &self.world)?;
            self.world.network.slow(from, to, ms);
            return Ok(());
        }
        for slot in Words::of(which).messages(&self.world)? {
            self.world.network.delay(slot, ms);
        }
        Ok(())
    }
}
