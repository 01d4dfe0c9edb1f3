//! A recording: every step of a run with the state after it, and what happened to messages.

use crate::lab::journal::Happening;
use crate::lab::network::Number;
use crate::node::Node;
use crate::node::message::{Message, NodeId};
use crate::node::step::{Millis, Output};
use crate::storage::trace::record::{Cause, Moment, Record, Step};

/// All that happened in a world, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Moment by moment.
    pub moments: Vec<Moment>,
    /// The message that has come to its server, which takes its step next.
    arriving: Option<Number>,
}

impl Recording {
    /// A server has taken a step, or started.
    pub fn step(&mut self, now: Millis, node: &Node, cause: Cause, outputs: &[Output]) {
        let cause = match cause {
            Cause::Receive(None, message) => Cause::Receive(self.arriving.take(), message),
            other => other,
        };
        let step = Step::of(node, cause, outputs, Some(1));
        self.push(now, Record::Step(step));
    }

    /// Something happened around the servers' steps.
    pub fn note(&mut self, now: Millis, happening: &Happening) {
        match happening {
            Happening::Sent(number, message) => {
                if !self.give_number(*number, message) {
                    let original = self.original(message).unwrap_or(*number);
                    self.push(now, Record::Duplicate(original, *number, message.clone()));
                }
            }
            Happening::Arrived(number, _) => self.arriving = Some(*number),
            Happening::Lost(number, message, why) => {
                self.give_number(*number, message); // if it was lost as soon as it was sent
                self.push(now, Record::Drop(*number, message.clone(), why));
            }
            Happening::Crashed(id, saves_lost) => {
                self.push(now, Record::Crash(*id, *saves_lost));
            }
            Happening::Broke(violation) => self.push(now, Record::Broken(violation.to_string())),
            // These the step itself has recorded, or they are the clients'.
            Happening::Event(_) | Happening::Answered(_) => {}
        }
    }

    fn push(&mut self, now: Millis, record: Record) {
        self.moments.push(Moment { time_ms: now, record });
    }

    /// The first message of the sender's last step that has no number yet gets it. False if all
    /// have one: it is a copy, or was sent before.
    fn give_number(&mut self, number: Number, message: &Message) -> bool {
        let last = self.moments.iter_mut().rev().find_map(|moment| match &mut moment.record {
            Record::Step(step) if step.id == message.from => Some(&mut step.sent),
            _ => None,
        });
        let mut unnumbered = last.into_iter().flatten().filter(|(number, _)| number.is_none());
        match unnumbered.find(|(_, sent)| sent == message) {
            Some((its_number, _)) => {
                *its_number = Some(number);
                true
            }
            None => false,
        }
    }

    /// The number of the message that was sent last with these words.
    fn original(&self, message: &Message) -> Option<Number> {
        let mut sent = self.steps().rev().flat_map(|step| step.sent.iter());
        sent.find(|(_, sent)| sent == message).and_then(|(number, _)| *number)
    }

    /// Whether anything has happened yet, but that servers are there.
    pub fn has_begun(&self) -> bool {
        self.moments.iter().any(|moment| match &moment.record {
            Record::Step(step) => step.cause != Cause::Init,
            _ => true,
        })
    }

    /// All steps of servers, in order.
    fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.moments.iter().filter_map(|moment| match &moment.record {
            Record::Step(step) => Some(step),
            _ => None,
        })
    }

    /// All servers that are in it, in the order of their numbers.
    pub(super) fn servers(&self) -> Vec<NodeId> {
        let mut servers = Vec::new();
        for id in self.steps().map(|step| step.id) {
            if let Err(place) = servers.binary_search(&id) {
                servers.insert(place, id);
            }
        }
        servers
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lab::script::Lab;

    /// What is left of a script.
    pub fn record(script: &str) -> Recording {
        let mut lab = Lab::default();
        lab.world.record();
        for line in script.lines() {
            lab.command(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        }
        lab.world.recording.expect("it was asked for")
    }

    /// An election with a message lost on a cut link, one dropped, one doubled, a crash, a restart,
    /// and two messages that are in flight at the end.
    pub const RUN: &str = "cluster 3\ntimeout n1\ncut n1->n3\nduplicate n1->n2\ndeliver n1->n2\n\
        drop 2\nrun\nheal\ncrash n2\nrestart n2\ntimeout n1";

    #[test]
    fn recording_numbers_every_message_and_knows_copies() {
        let recording = record(RUN);
        let sent = recording.steps().flat_map(|step| step.sent.iter());
        let numbers: Vec<Option<Number>> = sent.map(|(number, _)| *number).collect();
        assert!(numbers.iter().all(Option::is_some), "{numbers:?}");
        let duplicates = recording.moments.iter().filter_map(|moment| match moment.record {
            Record::Duplicate(original, copy, _) => Some((original, copy)),
            _ => None,
        });
        assert_eq!(duplicates.collect::<Vec<_>>(), [(1, 3)]);
        let mut all: Vec<Number> = numbers.into_iter().flatten().chain([3]).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=all.len() as Number).collect::<Vec<_>>(), "each once");
    }
}
