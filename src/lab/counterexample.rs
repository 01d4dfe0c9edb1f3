//! A counterexample: a short script in which the same property falls as in a long run.
//!
//! In a script nothing happens by itself: time, weather and faults become commands. A message that
//! was lost stays in flight, one that was cut off is not delivered, and a clock that ran fast is a
//! timer that fires. So the first script does to the servers exactly what the run did to them.
//! Then all steps go that are not needed.

use crate::lab::ablation::shrink::{falls, shrink};
use crate::lab::ablation::step::{self, Step};
use crate::lab::journal::Power;
use crate::lab::script::{self, Lab};
use crate::lab::world::{Act, Setup};
use crate::node::message::NodeId;
use crate::node::rules::{Property, Rule};

/// The line above a counterexample.
pub const HEADING: &str = "A short run to the same end, as a script for raftlet lab:";

/// The shortest script found in which this property falls, with its output. Liveness has no
/// script: it is a matter of time.
pub fn script(acts: &[Act], setup: &Setup, property: Property) -> Option<String> {
    let exact = steps(acts);
    let plain: Vec<Step> = exact.iter().map(plainer).collect();
    let (begin, run) = beginnings(setup).into_iter().find_map(|begin| {
        let run =
            falls(&begin.lab, &plain, property).or_else(|| falls(&begin.lab, &exact, property))?;
        Some((begin, run))
    })?;
    let steps = shrink(&begin.lab, run, property);
    let mut lines = begin.lines;
    lines.extend(step::lines(&begin.lab, &steps));
    lines.push(format!("expect broken {property:?}"));
    script::run("shrunk", &lines.join("\n")).ok()
}

/// How a script begins, and the world as it is then.
struct Beginning {
    lines: Vec<String>,
    lab: Lab,
}

/// Plain beginnings first: few runs need slow disks, or few entries in a message.
fn beginnings(setup: &Setup) -> Vec<Beginning> {
    let mut needed = vec![format!("cluster {}", setup.servers)];
    let left_out = Rule::all().filter(|&rule| !setup.rules.obeys(rule));
    needed.extend(left_out.map(|rule| format!("without {}", rule.name())));
    let (batch, slow) = (format!("batch {}", setup.max_entries), "disks slow".to_string());
    let chunk = format!("chunk {}", setup.max_chunk_bytes);
    let all = vec![batch.clone(), chunk.clone(), slow.clone()];
    [vec![], vec![batch.clone()], vec![chunk], vec![slow.clone()], vec![batch, slow], all]
        .into_iter()
        .map(|more| Beginning::new([needed.clone(), more].concat()))
        .collect()
}

impl Beginning {
    fn new(lines: Vec<String>) -> Beginning {
        let mut lab = Lab::default();
        for line in &lines {
            lab.command(line).expect("every lab can begin so");
        }
        lab.world.journal = None;
        Beginning { lines, lab }
    }
}

/// What was done, as steps. A message that arrived again and again is doubled before it first does.
fn steps(acts: &[Act]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (place, act) in acts.iter().enumerate() {
        if let Act::Delivered(message) = act {
            let is_same = |act: &&Act| matches!(act, Act::Delivered(other) if other == message);
            let is_first = !acts[..place].iter().any(|act| is_same(&act));
            let again = acts[place + 1..].iter().filter(is_same).filter(|_| is_first);
            steps.extend(again.map(|_| Step::Message("duplicate", message.clone())));
        }
        steps.push(step(act));
    }
    steps
}

/// Few runs need a disk to be torn in the midst of its work.
fn plainer(step: &Step) -> Step {
    match step {
        Step::Server("crash", id, how) if how.starts_with("midway") => {
            Step::Server("crash", *id, "unsaved".to_string())
        }
        _ => step.clone(),
    }
}

fn step(act: &Act) -> Step {
    let server = |verb, id: &NodeId, rest: String| Step::Server(verb, *id, rest);
    match act {
        Act::DiskFinished(id) => server("sync", id, String::new()),
        Act::TimerFired(id) => server("timeout", id, String::new()),
        Act::Delivered(message) => Step::Message("deliver", message.clone()),
        Act::Proposed(id, command) => server("propose", id, command.as_str().to_string()),
        Act::Read(id, what) => server("read", id, what.key().unwrap_or_default().to_string()),
        Act::Crashed(id, Power::Stays) => server("crash", id, String::new()),
        Act::Crashed(id, Power::Fails) => server("crash", id, "unsaved".to_string()),
        Act::Crashed(id, Power::FailsMidway(number)) => {
            server("crash", id, format!("midway {number}"))
        }
        Act::TookSnapshot(id) => server("snapshot", id, String::new()),
        Act::Restarted(id) => server("restart", id, String::new()),
    }
}
