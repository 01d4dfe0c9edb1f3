//! A run as a space-time diagram, a picture that any browser shows.
//!
//! A column a server, time downwards, a row each moment: rows, not milliseconds, for what happens
//! at one time is to be told apart. Messages are slanted arrows from the row of their sending to
//! that of their arrival, with their words at the arrow's head; one that is lost ends in a cross,
//! one in flight at the end is dashed. A server's line shows its role by colour and by stroke.
//! Whoever points at a server's dot is told the events of that step, with their rules; and at the
//! words of a message, all that it says.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::note::note;
use super::recording::Recording;
use super::ways::{End, Place, Way, ways};
use crate::node::message::{AppendEntries, AppendEntriesReply, NodeId, RequestVoteReply, Rpc};
use crate::storage::trace::record::{Cause, Moment, Record, State, Step};

const ROW: usize = 26;
const COLUMN: usize = 300;
const MARGIN: usize = 270;
const TOP: usize = 100;
/// How near a message comes that never arrives.
const NEAR: usize = 80;

/// Colours are safe for colour-blind eyes (Okabe and Ito), and never alone.
const STYLE: &str = "
text{font:11px sans-serif;fill:#222;stroke:#fff;stroke-width:3px;paint-order:stroke}
.time{fill:#777;text-anchor:end}.news{font-weight:bold}.from-left{text-anchor:end}
.node{font-weight:bold;font-size:15px;text-anchor:middle}
.broken{font-weight:bold;font-size:13px}.lost-text,.broken{fill:#c00}
.message{stroke:#555}.flying{stroke:#555;stroke-dasharray:4 4}
.lost,.cross{stroke:#c00}.cross{stroke-width:2;fill:none}
.follower{stroke:#0072b2;stroke-width:2}.leader{stroke:#009e73;stroke-width:7}
.candidate{stroke:#e69f00;stroke-width:4;stroke-dasharray:8 4}
.down{stroke:#999;stroke-width:2;stroke-dasharray:1 6}
circle{fill:#fff;stroke:#222;stroke-width:1.5}
";

/// The picture.
pub fn text(recording: &Recording) -> String {
    let canvas = Canvas::new(recording);
    let (width, height) = (canvas.width(), canvas.y(canvas.rows) + ROW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">\n<title>A run of {} servers</title>\n\
         <style>{STYLE}</style>\n<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" \
         refY=\"4\" markerWidth=\"9\" markerHeight=\"9\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        canvas.servers.len()
    );
    canvas.legend(&mut svg);
    canvas.lifelines(&mut svg, recording);
    // Words go last: no line is to strike them out.
    let words = canvas.arrows(&mut svg, recording);
    svg += &words;
    canvas.steps(&mut svg, recording);
    svg + "</svg>\n"
}

/// Where things stand.
struct Canvas {
    /// The servers, from left to right.
    servers: Vec<NodeId>,
    /// The row of each moment; one that shows nothing shares the row before.
    row_of: Vec<usize>,
    /// How many there are, with one for each message in flight at the end.
    rows: usize,
}

impl Canvas {
    fn new(recording: &Recording) -> Canvas {
        let servers = recording.servers();
        let mut row_of = Vec::new();
        let mut rows = 0;
        for moment in &recording.moments {
            rows += usize::from(is_shown(moment));
            row_of.push(rows);
        }
        Canvas { servers, row_of, rows: rows + 1 + in_flight(recording) }
    }

    fn width(&self) -> usize {
        2 * MARGIN + COLUMN * self.servers.len().saturating_sub(1)
    }

    fn x(&self, id: NodeId) -> usize {
        let column = self.servers.iter().position(|server| *server == id);
        MARGIN + column.unwrap_or_default() * COLUMN
    }

    fn y(&self, row: usize) -> usize {
        TOP + row * ROW
    }

    fn y_of(&self, place: Place) -> usize {
        self.y(self.row_of[place])
    }

    fn legend(&self, svg: &mut String) {
        let kinds = ["follower", "candidate", "leader", "down"];
        for (number, kind) in kinds.into_iter().enumerate() {
            let x = 20 + number * 120;
            line(svg, kind, (x, 20), (x + 40, 20));
            text_at(svg, "", (x + 48, 24), kind);
        }
        headed(svg, "message", (500, 20), (540, 20));
        text_at(svg, "", (548, 24), "message");
        line(svg, "lost", (620, 20), (650, 20));
        cross(svg, (650, 20));
        text_at(svg, "", (664, 24), "lost");
        for &id in &self.servers {
            text_at(svg, "node", (self.x(id), TOP - 30), &id.to_string());
        }
    }

    /// Each server's line, in pieces of one role each.
    fn lifelines(&self, svg: &mut String, recording: &Recording) {
        for &id in &self.servers {
            let x = self.x(id);
            let (mut class, mut from) = ("down", self.y(0));
            for (place, moment) in recording.moments.iter().enumerate() {
                let new = match &moment.record {
                    Record::Step(step) if step.id == id => step.state.role.lower(),
                    Record::Crash(crashed, _) if *crashed == id => "down",
                    _ => continue,
                };
                if new != class {
                    line(svg, class, (x, from), (x, self.y_of(place)));
                    (class, from) = (new, self.y_of(place));
                }
            }
            line(svg, class, (x, from), (x, self.y(self.rows)));
        }
    }

    /// Draws the arrows, and returns their words.
    fn arrows(&self, svg: &mut String, recording: &Recording) -> String {
        let mut words = String::new();
        let mut last_row = self.rows - in_flight(recording);
        for way in ways(recording).values() {
            if way.end == End::InFlight {
                last_row += 1;
            }
            self.arrow(svg, &mut words, way, last_row);
        }
        words
    }

    /// One arrow. What never arrives comes near to its server, and to no other's line.
    fn arrow(&self, svg: &mut String, words: &mut String, way: &Way, last_row: usize) {
        let (from, to) = (self.x(way.message.from), self.x(way.message.to));
        let start = (from, self.y_of(way.sent));
        let part = if from < to { to - NEAR } else { to + NEAR };
        let side = if from < to { "from-left" } else { "from-right" };
        let label_x = |x: usize| if from < to { x - 12 } else { x + 12 };
        let mut label = format!("[{}] {}", way.number, short(&way.message.rpc));
        let (end, class) = match way.end {
            End::Arrived(place) => {
                let end = (to, self.y_of(place));
                headed(svg, "message", start, end);
                (end, side.to_string())
            }
            End::Lost(place, why) => {
                let end = (part, self.y_of(place));
                line(svg, "lost", start, end);
                cross(svg, end);
                let _ = write!(label, ": lost, {why}");
                (end, format!("lost-text {side}"))
            }
            End::InFlight => {
                let end = (part, self.y(last_row));
                headed(svg, "flying", start, end);
                label += ": in flight";
                (end, side.to_string())
            }
        };
        let (x, y, label) = (label_x(end.0), end.1 - 5, escape(&label));
        let whole = escape(&way.message.to_string());
        let _ = writeln!(
            words,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{label}<title>{whole}</title></text>"
        );
    }

    /// Dots, with what is new about their servers, and the time where it has gone on.
    fn steps(&self, svg: &mut String, recording: &Recording) {
        let mut states: BTreeMap<NodeId, &State> = BTreeMap::new();
        let mut time_shown = None;
        for (place, moment) in recording.moments.iter().enumerate() {
            let y = self.y_of(place);
            if time_shown != Some(moment.time_ms) && is_shown(moment) {
                text_at(svg, "time", (60, y + 4), &format!("{} ms", moment.time_ms));
                time_shown = Some(moment.time_ms);
            }
            match &moment.record {
                Record::Step(step) => {
                    let before = states.insert(step.id, &step.state);
                    if is_shown(moment) || step.cause == Cause::Init {
                        self.step(svg, step, y, before);
                    }
                }
                Record::Crash(id, saves_lost) => {
                    cross(svg, (self.x(*id), y));
                    let lost = if *saves_lost { ", unsaved data lost" } else { "" };
                    text_at(svg, "news", (self.x(*id) + 12, y + 4), &format!("crashes{lost}"));
                }
                Record::Broken(what) => text_at(svg, "broken", (70, y + 14), &format!("✖ {what}")),
                Record::Drop(..) | Record::Duplicate(..) => {}
            }
        }
    }

    fn step(&self, svg: &mut String, step: &Step, y: usize, before: Option<&State>) {
        let x = self.x(step.id);
        let words = note(before, step);
        let events: Vec<String> = step.events.iter().map(|event| event.to_string()).collect();
        let title = escape(&events.join("\n"));
        let _ =
            writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\"><title>{title}</title></circle>");
        // An arrow's words stand on the side it comes from: so these stand on the other.
        let from_right = matches!(
            &step.cause, Cause::Receive(_, message) if self.x(message.from) > x
        );
        let (class, x) = match from_right {
            true => ("news from-left", x - 12),
            false => ("news", x + 12),
        };
        if !words.is_empty() {
            text_at(svg, class, (x, y + 4), &words);
        }
    }
}

/// A message in a few words.
fn short(rpc: &Rpc) -> String {
    let term = rpc.term();
    match rpc {
        Rpc::RequestVote(_) => format!("RequestVote, term {term}"),
        Rpc::RequestVoteReply(RequestVoteReply { vote_granted: true, .. }) => {
            format!("vote, term {term}")
        }
        Rpc::RequestVoteReply(_) => format!("no vote, term {term}"),
        Rpc::AppendEntries(AppendEntries { entries, .. }) => match &entries[..] {
            [] => format!("heartbeat, term {term}"),
            [entry] => format!("append {}, term {term}", entry.id()),
            [first, .., last] => format!("append {}..{}, term {term}", first.id(), last.id()),
        },
        Rpc::AppendEntriesReply(AppendEntriesReply { success: true, match_index, .. }) => {
            format!("match {match_index}, term {term}")
        }
        Rpc::AppendEntriesReply(_) => format!("no match, term {term}"),
        Rpc::InstallSnapshot(rpc) => format!("snapshot to {}, term {term}", rpc.last_included()),
        Rpc::InstallSnapshotReply(reply) => match reply.done {
            true => format!("has all up to {}, term {term}", reply.last_included_index),
            false => format!("has {} bytes, term {term}", reply.offset),
        },
    }
}

fn in_flight(recording: &Recording) -> usize {
    ways(recording).values().filter(|way| way.end == End::InFlight).count()
}

/// Whether there is anything to see: a disk that has finished mostly changes nothing.
fn is_shown(moment: &Moment) -> bool {
    match &moment.record {
        Record::Step(Step { cause: Cause::Init, .. }) => false,
        Record::Step(Step { cause: Cause::Saved, sent, events, .. }) => {
            !sent.is_empty() || !events.is_empty()
        }
        Record::Duplicate(..) => false,
        _ => true,
    }
}

fn line(svg: &mut String, class: &str, from: (usize, usize), to: (usize, usize)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let place = format!("x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"");
    let _ = writeln!(svg, "<line class=\"{class}\" {place}/>");
}

/// A line with an arrow's head.
fn headed(svg: &mut String, class: &str, from: (usize, usize), to: (usize, usize)) {
    let mut plain = String::new();
    line(&mut plain, class, from, to);
    *svg += &plain.replace("/>", " marker-end=\"url(#head)\"/>");
}

fn cross(svg: &mut String, (x, y): (usize, usize)) {
    let _ = writeln!(svg, "<path class=\"cross\" d=\"M{} {}l12 12m0 -12l-12 12\"/>", x - 6, y - 6);
}

fn text_at(svg: &mut String, class: &str, (x, y): (usize, usize), text: &str) {
    let text = escape(text);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::trace::recording::tests::{RUN, record};
    use crate::lab::trace::ways::tests::lost_and_arrived;

    fn count(svg: &str, start: &str) -> usize {
        svg.lines().filter(|line| line.starts_with(start)).count()
    }

    #[test]
    fn text_has_an_arrow_a_message_and_a_cross_for_each_that_is_lost() {
        let recording = record(RUN);
        let svg = text(&recording);
        let (lost, arrived) = lost_and_arrived(&recording);
        // The legend has one arrow and one lost one; n2's crash is a cross as well.
        assert_eq!(count(&svg, "<line class=\"message"), arrived + 1);
        assert_eq!(count(&svg, "<line class=\"lost"), lost + 1);
        assert_eq!(count(&svg, "<path class=\"cross"), lost + 1 + 1);
        assert_eq!(count(&svg, "<line class=\"flying"), 2);
    }

    #[test]
    fn arrows_go_down_and_never_up() {
        let recording = record(RUN);
        let canvas = Canvas::new(&recording);
        for way in ways(&recording).values() {
            if let End::Arrived(place) = way.end {
                assert!(canvas.y_of(way.sent) < canvas.y_of(place), "{way:?}");
            }
        }
    }

    #[test]
    fn lifelines_show_roles_and_text_is_escaped() {
        let svg = text(&record("cluster 1\ntimeout n1\npropose n1 set x=<&>"));
        assert_eq!(count(&svg, "<line class=\"leader\""), 2, "the legend's and n1's");
        assert!(svg.contains("client: set x=&lt;&amp;&gt;</text>"), "{svg}");
        assert!(svg.contains(">term 1, leader</text>"), "{svg}");
    }
}
