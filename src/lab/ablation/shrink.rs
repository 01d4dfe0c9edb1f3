//! Makes a run shorter that lets a property fall: leaves out what is not needed for that.
//!
//! First large pieces are left out, then smaller ones, at last single commands and pairs (delta
//! debugging, Zeller and Hildebrandt 2002). What is left is short, if not always the shortest.

use super::step::{Names, Step, play};
use crate::lab::script::Lab;
use crate::node::message::NodeId;
use crate::node::rules::Property;

/// A run as short as can be had by leaving out commands, in which this property still falls first.
pub fn shrink(start: &Lab, steps: Vec<Step>, property: Property) -> Vec<Step> {
    let mut run = steps;
    let mut piece = run.len().div_ceil(2);
    loop {
        let before = run.len();
        run = without_pieces(start, run, property, piece);
        let is_shorter = run.len() < before;
        match piece {
            1 if !is_shorter => break,
            1 => {}
            _ => piece = piece.div_ceil(2),
        }
    }
    while let Some(shorter) =
        without_a_pair(start, &run, property).or_else(|| with_one_for_two(start, &run, property))
    {
        run = shorter;
    }
    named_in_order(start, run, property)
}

/// Leaves out every piece of this length that can be.
fn without_pieces(start: &Lab, mut run: Vec<Step>, property: Property, length: usize) -> Vec<Step> {
    let mut at = 0;
    while at < run.len() {
        let mut tried = run.clone();
        tried.drain(at..(at + length).min(run.len()));
        match falls(start, &tried, property) {
            Some(shorter) => run = shorter,
            None => at += length,
        }
    }
    run
}

/// Two commands may only be needed for each other: a crash and the restart, a proposal and its way.
fn without_a_pair(start: &Lab, run: &[Step], property: Property) -> Option<Vec<Step>> {
    pairs(run.len()).find_map(|(first, second)| {
        let mut tried = run.to_vec();
        tried.remove(second);
        tried.remove(first);
        falls(start, &tried, property)
    })
}

/// Two commands may only be there for what one other does as well: to bring a server to a later
/// term, a timer or any message of that term will do.
fn with_one_for_two(start: &Lab, run: &[Step], property: Property) -> Option<Vec<Step>> {
    pairs(run.len()).find_map(|(first, second)| {
        let (lab, _) = play(start, &run[..first]);
        let timeouts = lab.world.ids().map(|id| Step::Server("timeout", id, String::new()));
        let in_flight = lab.world.network.in_flight().into_iter();
        let messages = in_flight.map(|(_, message)| Step::Message("deliver", message.clone()));
        timeouts.chain(messages).find_map(|other| {
            let mut tried = run.to_vec();
            tried.remove(second);
            tried[first] = other;
            falls(start, &tried, property).filter(|done| done.len() < run.len())
        })
    })
}

/// All pairs of places in a run of this length.
fn pairs(length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..length).flat_map(move |first| (first + 1..length).map(move |second| (first, second)))
}

/// Gives the servers the names n1, n2… in the order in which they appear.
fn named_in_order(start: &Lab, run: Vec<Step>, property: Property) -> Vec<Step> {
    let mut names = Names::new();
    for id in run.iter().flat_map(Step::servers).chain(start.world.ids()) {
        let next = NodeId(names.len() as u64 + 1);
        names.entry(id).or_insert(next);
    }
    let renamed: Vec<Step> = run.iter().map(|step| step.renamed(&names)).collect();
    // Servers differ in nothing but their names and the order in which they are asked.
    falls(start, &renamed, property).filter(|done| done.len() <= run.len()).unwrap_or(run)
}

/// What is done of a run, if this property falls first in it.
pub fn falls(start: &Lab, steps: &[Step], property: Property) -> Option<Vec<Step>> {
    let (lab, done) = play(start, steps);
    (lab.world.broken()?.property == property).then_some(done)
}
