//! A run as a sequence diagram for Mermaid, which GitHub draws inside a page.
//!
//! Put the text between a line of three backticks with the word `mermaid` and one without. Mermaid
//! knows no slanted arrows: a message stands where it arrives, or where it is lost, in which case
//! its arrow ends in a cross. What is still in flight at the end stands last, with an open arrow.

use std::collections::BTreeMap;

use super::note::note;
use super::recording::Recording;
use super::ways::{End, Way, ways};
use crate::node::message::NodeId;
use crate::storage::trace::record::{Cause, Record, State};

/// The diagram.
pub fn text(recording: &Recording) -> String {
    let mut lines = vec!["sequenceDiagram".to_string()];
    lines.extend(recording.servers().iter().map(|id| format!("participant {id}")));
    let ways = ways(recording);
    let mut states: BTreeMap<NodeId, &State> = BTreeMap::new();
    for moment in &recording.moments {
        match &moment.record {
            Record::Step(step) => {
                if let Cause::Receive(Some(number), _) = step.cause {
                    lines.extend(ways.get(&number).map(arrow));
                }
                let note = note(states.insert(step.id, &step.state), step);
                if !note.is_empty() {
                    lines.push(format!("Note over {}: {}", step.id, escape(&note)));
                }
            }
            Record::Crash(id, _) => lines.push(format!("Note over {id}: ✖ crashes")),
            Record::Drop(number, ..) => lines.extend(ways.get(number).map(arrow)),
            Record::Duplicate(..) => {}
            Record::Broken(what) => lines.push(everyone(recording, &format!("✖ {what}"))),
        }
    }
    lines.extend(ways.values().filter(|way| way.end == End::InFlight).map(arrow));
    lines.join("\n    ") + "\n"
}

fn arrow(way: &Way) -> String {
    let (arrow, fate) = match way.end {
        End::Arrived(_) => ("->>", String::new()),
        End::Lost(_, why) => ("-x", format!(" (lost, {why})")),
        End::InFlight => ("--)", " (in flight)".to_string()),
    };
    let text = escape(&format!("[{}] {}{fate}", way.number, way.message.rpc));
    format!("{}{arrow}{}: {text}", way.message.from, way.message.to)
}

/// A note over all servers.
fn everyone(recording: &Recording, text: &str) -> String {
    let servers = recording.servers();
    let ends: Vec<String> =
        servers.first().into_iter().chain(servers.last()).map(NodeId::to_string).collect();
    format!("Note over {}: {}", ends.join(","), escape(text))
}

/// Mermaid reads `;` as the end of a line and `#` as the beginning of a character's name, and
/// browsers read `<` and `&`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            ';' | '#' | '<' | '>' | '&' => escaped += &format!("#{};", character as u32),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::trace::recording::tests::{RUN, record};
    use crate::lab::trace::ways::tests::lost_and_arrived;

    fn count(diagram: &str, arrow: &str) -> usize {
        diagram.lines().filter(|line| line.contains(arrow)).count()
    }

    #[test]
    fn text_has_one_arrow_a_message_and_a_cross_where_one_is_lost() {
        let recording = record(RUN);
        let diagram = text(&recording);
        let (lost, arrived) = lost_and_arrived(&recording);
        assert_eq!((count(&diagram, "-x"), count(&diagram, "->>")), (lost, arrived), "{diagram}");
        assert_eq!(count(&diagram, "--)"), 2, "n1's heartbeats:\n{diagram}");
        assert_eq!(ways(&recording).len(), lost + arrived + 2);
    }

    #[test]
    fn text_is_what_mermaid_reads() {
        let diagram = text(&record("cluster 1\ntimeout n1\npropose n1 set x=#1;<b>\nrun"));
        let expected = "sequenceDiagram\n    participant n1\n    \
            Note over n1: term 1, leader\n    Note over n1: commits 1\n    \
            Note over n1: client: set x=#35;1#59;#60;b#62;\n    Note over n1: commits 2\n";
        assert_eq!(diagram, expected);
    }

    #[test]
    fn text_tells_crashes_restarts_and_what_falls() {
        let diagram = text(&record(RUN));
        assert!(diagram.contains("Note over n2: ✖ crashes\n"), "{diagram}");
        assert!(diagram.contains("Note over n2: starts again, term 1, follower\n"), "{diagram}");
    }
}
