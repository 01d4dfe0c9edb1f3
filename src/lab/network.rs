//! The simulated network: messages in flight, and links that can be cut.
//!
//! Raft asks little of a network: a message may be late, lost, or arrive twice, and two may
//! overtake each other. Here each of that can be had, either by hand (a script picks the message
//! that is to arrive next, be lost, or be doubled) or by chance (the [`Weather`], drawn from a
//! seed). A link is cut in one direction; what is sent on it then is lost, and so is what is
//! still on its way. A slow link, too, is slow in one direction, and so is one that stalls: what is
//! sent on it arrives when it is released, when much may have changed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::lab::old_duplicates::OldDuplicates;
use crate::node::message::{Message, NodeId};
use crate::node::step::{Millis, Random};

/// The number of a message, in the order of sending, from 1.
pub type Number = u64;

/// The place of a message in the order of arrival: when it is due, then its number.
pub type Slot = (Millis, Number);

/// What becomes of messages by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Least and greatest time on the way.
    pub delay_ms: (Millis, Millis),
    /// Of a hundred messages, how many are late by up to `late_ms`: later ones overtake them.
    pub late_percent: u64,
    /// The greatest delay of a late one.
    pub late_ms: Millis,
    /// Of a hundred messages, of how many a copy is kept as an old duplicate.
    pub kept_percent: u64,
    /// Of a hundred messages, how many are lost.
    pub lost_percent: u64,
    /// Of a hundred messages, how many arrive twice.
    pub doubled_percent: u64,
}

impl Weather {
    /// Every message arrives once, after 10 ms.
    pub const FAIR: Weather = Weather {
        delay_ms: (10, 10),
        late_percent: 0,
        late_ms: 0,
        kept_percent: 0,
        lost_percent: 0,
        doubled_percent: 0,
    };
}

/// The messages in flight and the links.
#[derive(Clone, Debug)]
pub struct Network {
    /// What chance does to messages that are sent from now on.
    pub weather: Weather,
    in_flight: BTreeMap<Slot, Message>,
    /// The links, one way each, that are not as they were at first.
    links: BTreeMap<(NodeId, NodeId), Link>,
    old_duplicates: OldDuplicates,
    last_number: Number,
    random: Random,
}

#[derive(Clone, Debug, Default)]
struct Link {
    is_cut: bool,
    /// How much longer it takes than chance says.
    slow_ms: Millis,
    /// If it stalls, what was sent on it.
    held: Option<Vec<(Number, Message)>>,
}

impl Network {
    /// A network in fair weather with all links whole.
    pub fn new(seed: u64) -> Network {
        Network {
            weather: Weather::FAIR,
            in_flight: BTreeMap::new(),
            links: BTreeMap::new(),
            old_duplicates: OldDuplicates::default(),
            last_number: 0,
            random: Random(seed),
        }
    }

    /// Takes a message on its way. Its number, and if it is lost at once, why.
    pub fn send(&mut self, now: Millis, message: Message) -> (Number, Option<&'static str>) {
        self.last_number += 1;
        let number = self.last_number;
        let weather = self.weather;
        if self.is_cut(message.from, message.to) {
            return (number, Some("the link is cut"));
        }
        if self.happens(weather.lost_percent) {
            return (number, Some("dropped"));
        }
        let link = self.links.get_mut(&(message.from, message.to));
        let more = link.as_ref().map_or(0, |link| link.slow_ms);
        if let Some(held) = link.and_then(|link| link.held.as_mut()) {
            held.push((number, message));
            return (number, None);
        }
        if self.happens(weather.kept_percent) {
            self.old_duplicates.keep(message.clone(), &mut self.random);
        }
        let due = now + self.delay_by_chance() + more;
        if self.happens(weather.doubled_percent) {
            self.last_number += 1;
            let copy_due = now + self.delay_by_chance() + more;
            self.in_flight.insert((copy_due, self.last_number), message.clone());
        }
        self.in_flight.insert((due, number), message);
        (number, None)
    }

    /// The number that was given last.
    pub fn last_number(&self) -> Number {
        self.last_number
    }

    fn delay_by_chance(&mut self) -> Millis {
        let Weather { delay_ms: (least, greatest), late_percent, late_ms, .. } = self.weather;
        match self.happens(late_percent) {
            true => self.random.between(least, late_ms),
            false => self.random.between(least, greatest),
        }
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.random.between(1, 100) <= percent
    }

    /// Takes out a message that arrives, or is lost.
    pub fn take(&mut self, slot: Slot) -> Option<Message> {
        self.in_flight.remove(&slot)
    }

    /// Sends a message in flight once more, behind it. The copy and its number.
    pub fn duplicate(&mut self, slot: Slot) -> Option<(Number, Message)> {
        let copy = self.in_flight.get(&slot)?.clone();
        self.last_number += 1;
        self.in_flight.insert((slot.0, self.last_number), copy.clone());
        Some((self.last_number, copy))
    }

    /// The message that is due first.
    pub fn first(&self) -> Option<Slot> {
        self.in_flight.keys().next().copied()
    }

    /// The message of this kind that is due first.
    pub fn first_of(&self, kind: impl Fn(&Message) -> bool) -> Option<Slot> {
        let first = self.in_flight.iter().find(|(_, message)| kind(message));
        first.map(|(&slot, _)| slot)
    }

    /// All that is in flight, in the order of arrival.
    pub fn in_flight(&self) -> Vec<(Slot, &Message)> {
        self.in_flight.iter().map(|(&slot, message)| (slot, message)).collect()
    }

    /// A message in flight is due so much later.
    pub fn delay(&mut self, slot: Slot, ms: Millis) {
        if let Some(message) = self.in_flight.remove(&slot) {
            self.in_flight.insert((slot.0 + ms, slot.1), message);
        }
    }

    /// What is on this link now, and is sent on it later, takes so much longer.
    pub fn slow(&mut self, from: NodeId, to: NodeId, ms: Millis) {
        self.link(from, to).slow_ms += ms;
        let is_on_it = |message: &Message| (message.from, message.to) == (from, to);
        let on_it: Vec<Slot> = self
            .in_flight()
            .into_iter()
            .filter(|(_, m)| is_on_it(m))
            .map(|(slot, _)| slot)
            .collect();
        for slot in on_it {
            self.delay(slot, ms);
        }
    }

    /// A number for what is in flight: the same in whatever order it was sent.
    pub fn fingerprint(&self) -> u64 {
        let one = |message: &Message| {
            let mut hasher = DefaultHasher::new();
            message.hash(&mut hasher);
            hasher.finish()
        };
        self.in_flight.values().map(one).fold(0, u64::wrapping_add)
    }

    /// What is in flight on one link, in the order of sending.
    pub fn on_link(&self, from: NodeId, to: NodeId) -> Vec<(Number, &Message)> {
        let is_here = |message: &Message| (message.from, message.to) == (from, to);
        let here = self.in_flight.iter().filter(|(_, message)| is_here(message));
        let mut all: Vec<(Number, &Message)> = Vec::new();
        for (&(_, number), message) in here {
            let place = all.partition_point(|&(before, _)| before < number);
            all.insert(place, (number, message));
        }
        all
    }

    /// Cuts a link in one direction.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.link(from, to).is_cut = true;
    }

    /// Mends all links. What is late on a slow one stays late.
    pub fn heal(&mut self) {
        for link in self.links.values_mut() {
            (link.is_cut, link.slow_ms) = (false, 0);
        }
    }

    /// Holds back all that is sent this way from now on.
    pub fn stall(&mut self, from: NodeId, to: NodeId) {
        self.link(from, to).held.get_or_insert_default();
    }

    /// Sends what was held back this way on, in its order, very late.
    pub fn release(&mut self, now: Millis, from: NodeId, to: NodeId) {
        let held = self.link(from, to).held.take().unwrap_or_default();
        let due = now + self.delay_by_chance();
        self.in_flight.extend(held.into_iter().map(|(number, message)| ((due, number), message)));
    }

    /// The old duplicates for a server arrive there. They are kept, and may arrive again.
    pub fn deliver_old_duplicates(&mut self, now: Millis, to: NodeId) {
        let copies = std::mem::take(&mut self.old_duplicates);
        for message in copies.messages_to(to) {
            let due = now + self.delay_by_chance();
            self.last_number += 1;
            self.in_flight.insert((due, self.last_number), message.clone());
        }
        self.old_duplicates = copies;
    }

    /// Whether what goes this way is lost.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.links.get(&(from, to)).is_some_and(|link| link.is_cut)
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        self.links.entry((from, to)).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::{RequestVoteReply, Rpc};

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);

    fn message(term: u64) -> Message {
        let reply = RequestVoteReply { term, vote_granted: true };
        Message { from: N1, to: N2, rpc: Rpc::RequestVoteReply(reply) }
    }

    #[test]
    fn send_numbers_messages_and_takes_ten_ms_in_fair_weather() {
        let mut network = Network::new(1);
        assert_eq!(network.send(5, message(1)), (1, None));
        assert_eq!(network.send(5, message(2)), (2, None));
        assert_eq!(network.first(), Some((15, 1)));
        assert_eq!(network.take((15, 1)), Some(message(1)));
        assert_eq!(network.take((15, 1)), None, "it arrives once");
        assert_eq!(network.first(), Some((15, 2)));
    }

    #[test]
    fn send_on_a_cut_link_is_lost_one_way_only() {
        let mut network = Network::new(1);
        network.cut(N1, N2);
        assert!(network.send(0, message(1)).1.is_some());
        let back = Message { from: N2, to: N1, ..message(1) };
        assert_eq!(network.send(0, back), (2, None));
        network.heal();
        assert_eq!(network.send(0, message(1)), (3, None));
    }

    #[test]
    fn release_sends_on_what_a_stalled_link_held_back() {
        let mut network = Network::new(1);
        network.send(0, message(1));
        network.stall(N1, N2);
        network.send(0, message(2));
        network.send(0, Message { from: N2, to: N1, ..message(3) });
        let numbers = |network: &Network| -> Vec<Number> {
            network.in_flight().iter().map(|&((_, number), _)| number).collect()
        };
        assert_eq!(numbers(&network), [1, 3], "the first was on its way, the last goes back");
        network.release(500, N2, N1);
        assert_eq!(numbers(&network), [1, 3]);
        network.release(500, N1, N2);
        assert_eq!(numbers(&network), [1, 3, 2], "in the order of arrival");
        assert_eq!(network.take((510, 2)), Some(message(2)));
        assert_eq!(network.send(500, message(4)).0, 4);
        assert_eq!(numbers(&network), [1, 3, 4], "it is whole again");
    }

    #[test]
    fn duplicate_is_a_message_of_its_own() {
        let mut network = Network::new(1);
        network.send(0, message(1));
        assert_eq!(network.duplicate((10, 1)), Some((2, message(1))));
        assert_eq!(network.duplicate((10, 9)), None);
        assert_eq!(network.take((10, 1)), Some(message(1)));
        assert_eq!(network.take((10, 2)), Some(message(1)));
    }

    #[test]
    fn delay_lets_others_overtake_and_a_slow_link_delays_what_is_on_it_and_what_comes() {
        let mut network = Network::new(1);
        network.send(0, message(1));
        network.send(0, message(2));
        network.delay((10, 1), 100);
        let back = Message { from: N2, to: N1, ..message(3) };
        network.send(0, back);
        network.slow(N1, N2, 5);
        network.send(0, message(4));
        let slots = |network: &Network| -> Vec<Slot> {
            network.in_flight().into_iter().map(|(slot, _)| slot).collect()
        };
        assert_eq!(slots(&network), [(10, 3), (15, 2), (15, 4), (115, 1)]);
        network.heal();
        network.send(0, message(5));
        assert_eq!(slots(&network)[1], (10, 5));
    }

    #[test]
    fn weather_loses_doubles_and_delays() {
        let mut network = Network::new(1);
        network.weather.lost_percent = 100;
        assert!(network.send(0, message(1)).1.is_some());
        network.weather = Weather { doubled_percent: 100, ..Weather::FAIR };
        network.send(5, message(2));
        let slots: Vec<Slot> = network.in_flight().into_iter().map(|(slot, _)| slot).collect();
        assert_eq!(slots, [(15, 2), (15, 3)]);
        network.weather = Weather { late_percent: 100, late_ms: 1000, ..Weather::FAIR };
        let slots: Vec<Slot> = (0..20)
            .map(|_| {
                network.send(0, message(3));
                let slots = network.in_flight().into_iter().map(|(slot, _)| slot);
                slots.max_by_key(|&(_, number)| number).expect("just sent")
            })
            .collect();
        assert!(slots.iter().all(|&(due, _)| (10..=1000).contains(&due)));
        assert!(!slots.is_sorted_by_key(|&(due, _)| due), "later messages overtake");
    }
}
