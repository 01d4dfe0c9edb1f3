//! A run as a log with vector clocks, for ShiViz (<https://bestchai.bitbucket.io/shiviz/>).
//!
//! The first line of the file is the expression by which ShiViz reads the rest (it is the page's
//! default), the second would part several runs and is empty. Then each event of a server is two
//! lines: what happened, and the server with its vector clock (Fidge and Mattern, 1988). It counts
//! the server's own events, and for each other one those that can have had an influence: a message
//! carries the sender's clock to its receiver. What is lost carries nothing anywhere.

use std::collections::BTreeMap;

use super::recording::Recording;
use super::ways::ways;
use crate::node::message::NodeId;
use crate::storage::trace::record::{Cause, Moment, Record, Step};
use crate::storage::trace::write;

/// How the page finds its way in the file.
pub const PATTERN: &str = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})";

/// How many events of each server are known.
type Clock = BTreeMap<NodeId, u64>;

/// The log.
pub fn text(recording: &Recording) -> String {
    let mut text = format!("{PATTERN}\n\n");
    for (moment, clock) in recording.moments.iter().zip(clocks(recording)) {
        if let (Some(id), Some(clock)) = (whose(moment), clock) {
            let members: Vec<String> =
                clock.iter().map(|(id, count)| format!("\"{id}\":{count}")).collect();
            text += &format!("{}\n{id} {{{}}}\n", told(moment), members.join(","));
        }
    }
    text
}

/// The server whose event it is, if it is one's.
fn whose(moment: &Moment) -> Option<NodeId> {
    match &moment.record {
        Record::Step(step) => Some(step.id),
        Record::Crash(id, _) => Some(*id),
        Record::Drop(..) | Record::Duplicate(..) | Record::Broken(_) => None,
    }
}

/// The clock of each moment that is a server's.
fn clocks(recording: &Recording) -> Vec<Option<Clock>> {
    let ways = ways(recording);
    let mut now: BTreeMap<NodeId, Clock> = BTreeMap::new();
    let mut clocks: Vec<Option<Clock>> = Vec::new();
    for moment in &recording.moments {
        let Some(id) = whose(moment) else {
            clocks.push(None);
            continue;
        };
        let clock = now.entry(id).or_default();
        *clock.entry(id).or_default() += 1;
        if let Record::Step(Step { cause: Cause::Receive(Some(number), _), .. }) = &moment.record
            && let Some(carried) = ways.get(number).and_then(|way| clocks[way.sent].as_ref())
        {
            for (&other, &count) in carried {
                let known = clock.entry(other).or_default();
                *known = count.max(*known);
            }
        }
        clocks.push(Some(clock.clone()));
    }
    clocks
}

/// What happened, on one line.
fn told(moment: &Moment) -> String {
    let Record::Step(step) = &moment.record else { return "crashes".to_string() };
    let events: Vec<String> = step.events.iter().map(|event| event.what.to_string()).collect();
    let cause = match &step.cause {
        Cause::Receive(_, message) => format!("{} from {}", message.rpc, message.from),
        other => write::cause_name(other).to_string(),
    };
    [vec![cause], events].concat().join("; ").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use crate::lab::trace::recording::tests::{RUN, record};
    use crate::lab::trace::ways::End;

    /// What the page makes of the text: server and clock of each event.
    fn read(text: &str) -> Vec<(String, BTreeMap<String, u64>)> {
        let mut lines = text.lines();
        assert_eq!((lines.next(), lines.next()), (Some(PATTERN), Some("")));
        let lines: Vec<&str> = lines.collect();
        let event = |pair: &[&str]| {
            let (host, clock) = pair[1].split_once(' ').expect("host and clock");
            let Ok(Json::Object(members)) = Json::parse(clock) else { panic!("{clock}") };
            let count = |(id, count): &(_, Json)| (format!("{id}"), count.as_u64().unwrap());
            (host.to_string(), members.iter().map(count).collect())
        };
        lines.chunks(2).map(event).collect()
    }

    #[test]
    fn clocks_count_each_servers_events_one_by_one() {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (host, clock) in read(&text(&record(RUN))) {
            let count = counts.entry(host.clone()).or_default();
            *count += 1;
            assert_eq!(clock[&host], *count, "{host}");
        }
        assert_eq!(counts.len(), 3);
    }

    #[test]
    fn clocks_agree_with_what_happened_before() {
        let recording = record(RUN);
        let clocks = clocks(&recording);
        let leq = |a: &Clock, b: &Clock| {
            a.iter().all(|(id, count)| b.get(id).is_some_and(|other| count <= other))
        };
        let mut carried = 0;
        for way in ways(&recording).values() {
            let sent = clocks[way.sent].as_ref().expect("a server sent it");
            if let End::Arrived(place) = way.end {
                let arrived = clocks[place].as_ref().expect("a server received it");
                assert!(leq(sent, arrived) && !leq(arrived, sent), "{way:?}");
                carried += 1;
            }
        }
        assert!(carried > 4, "{carried}");
        // n3 heard nothing: what the others did cannot be in its clock.
        let cut = record("cluster 3\ncut n3\ntimeout n1\nrun\ntimeout n3");
        let (host, clock) = read(&text(&cut)).pop().unwrap();
        assert_eq!((&host[..], clock.len()), ("n3", 1));
    }
}
