//! The ways of messages through a run: where each begins and where it ends.

use std::collections::BTreeMap;

use super::recording::Recording;
use crate::lab::network::Number;
use crate::node::message::Message;
use crate::storage::trace::record::{Cause, Record};

/// The place of a moment in the recording.
pub type Place = usize;

/// A message's way.
#[derive(Debug)]
pub struct Way<'a> {
    pub number: Number,
    pub message: &'a Message,
    /// Where it was sent; a copy begins with its original.
    pub sent: Place,
    pub end: End,
}

/// Where a way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Arrived(Place),
    Lost(Place, &'static str),
    /// It was still on its way when the run ended.
    InFlight,
}

/// Every message that was sent, by its number.
pub fn ways(recording: &Recording) -> BTreeMap<Number, Way<'_>> {
    let mut ways: BTreeMap<Number, Way> = BTreeMap::new();
    for (place, moment) in recording.moments.iter().enumerate() {
        match &moment.record {
            Record::Step(step) => {
                if let Cause::Receive(Some(number), _) = step.cause
                    && let Some(way) = ways.get_mut(&number)
                {
                    way.end = End::Arrived(place);
                }
                for (number, message) in &step.sent {
                    let Some(number) = *number else { continue };
                    ways.insert(number, Way { number, message, sent: place, end: End::InFlight });
                }
            }
            Record::Drop(number, _, why) => {
                if let Some(way) = ways.get_mut(number) {
                    way.end = End::Lost(place, why);
                }
            }
            Record::Duplicate(original, copy, message) => {
                let sent = ways.get(original).map_or(place, |way| way.sent);
                ways.insert(*copy, Way { number: *copy, message, sent, end: End::InFlight });
            }
            Record::Crash(..) | Record::Broken(_) => {}
        }
    }
    ways
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lab::world::{Setup, World};

    /// How many messages were lost, and how many arrived.
    pub fn lost_and_arrived(recording: &Recording) -> (usize, usize) {
        let ways = ways(recording);
        let count = |fits: fn(&End) -> bool| ways.values().filter(|way| fits(&way.end)).count();
        let lost = count(|end| matches!(end, End::Lost(..)));
        (lost, count(|end| matches!(end, End::Arrived(_))))
    }

    #[test]
    fn ways_know_messages_that_chance_doubled() {
        let mut world = World::new(&Setup::of(3));
        world.network.weather.doubled_percent = 100;
        world.record();
        world.pass_until(400, true);
        let recording = world.recording.expect("it was asked for");
        let ways = ways(&recording);
        let arrived = recording.moments.iter().filter_map(|moment| match &moment.record {
            Record::Step(step) => match step.cause {
                Cause::Receive(number, _) => Some(number.expect("it has one")),
                _ => None,
            },
            _ => None,
        });
        let arrived: Vec<Number> = arrived.collect();
        assert!(arrived.len() > 8 && arrived.iter().all(|number| ways.contains_key(number)));
        let (first, second) = (&ways[&1], &ways[&2]);
        assert_eq!((first.message, first.sent), (second.message, second.sent), "its copy");
    }
}
