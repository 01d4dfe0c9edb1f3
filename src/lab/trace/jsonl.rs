//! A run as JSON lines: every step with the state after it. docs/TRACES.md tells the fields.

use super::recording::Recording;
use crate::storage::trace::write;

/// One line a moment.
pub fn text(recording: &Recording) -> String {
    recording.moments.iter().map(|moment| write::line(moment) + "\n").collect()
}
