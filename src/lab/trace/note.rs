//! A step in a few words, for the diagrams.

use crate::node::event::RoleName;
use crate::storage::trace::record::{Cause, State, Step};

/// What clients asked in this step, and what is new about the server. Mostly nothing.
pub fn note(before: Option<&State>, step: &Step) -> String {
    let mut words = Vec::new();
    let mut before = before;
    match &step.cause {
        Cause::Restart => {
            words.push("starts again".to_string());
            before = None;
        }
        Cause::ClientRequest(commands) => {
            words.extend(commands.iter().map(|command| format!("client: {command}")));
        }
        _ => {}
    }
    let State { current_term, role, commit_index, .. } = step.state;
    let old = before.map_or((0, RoleName::Follower), |state| (state.current_term, state.role));
    if old != (current_term, role) {
        words.push(format!("term {current_term}, {}", role.lower()));
    }
    if commit_index > before.map_or(0, |before| before.commit_index) {
        words.push(format!("commits {commit_index}"));
    }
    words.join(", ")
}
