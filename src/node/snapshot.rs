//! Snapshots: the state machine's whole state as text, in the place of the entries that led to it
//! (§7).
//!
//! A server takes one of its own state when its log has grown long, and may then forget the
//! entries that the snapshot stands for. A leader sends its own to a follower that needs entries
//! which the leader has forgotten: in chunks, since a state may be large. [`Incoming`] is such a
//! snapshot on its way, as far as it has come.

use std::sync::Arc;

use crate::node::message::{EntryId, InstallSnapshot};

/// The state of the state machine after an entry. The default is the state before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// "The snapshot replaces all entries up through and including this" (Figure 13).
    pub last_included: EntryId,
    /// The state, as the state machine wrote it. Cloning shares the text.
    pub data: Arc<str>,
}

impl Snapshot {
    /// The piece of the text that begins at an offset, of at most so many bytes (which are at
    /// least 4: no character is torn apart). Empty behind the end.
    pub fn chunk(&self, offset: u64, max_bytes: usize) -> &str {
        let rest = self.data.get(offset as usize..).unwrap_or_default();
        let mut end = rest.len().min(max_bytes);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        &rest[..end]
    }

    /// How many bytes the text has.
    pub fn bytes(&self) -> u64 {
        self.data.len() as u64
    }
}

/// A snapshot that a leader is sending, as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incoming {
    /// Which snapshot it will be.
    pub last_included: EntryId,
    /// Its text up to here.
    pub data: String,
}

impl Incoming {
    /// How far it has come, in bytes.
    pub fn offset(&self) -> u64 {
        self.data.len() as u64
    }

    /// Whether this chunk is of the same snapshot. One that is shorter than what is here has
    /// another text.
    pub fn may_go_on_with(&self, rpc: &InstallSnapshot) -> bool {
        let is_shorter = rpc.done && rpc.offset + (rpc.data.len() as u64) < self.offset();
        self.last_included == rpc.last_included() && !is_shorter
    }

    /// Whether this chunk is the next one.
    pub fn continues_with(&self, rpc: &InstallSnapshot) -> bool {
        self.offset() == rpc.offset
    }

    /// The whole text, if this chunk completes it.
    pub fn completed_by(&self, rpc: &InstallSnapshot) -> Option<String> {
        let begun = if self.may_go_on_with(rpc) { &*self.data } else { "" };
        let fits = rpc.done && rpc.offset == begun.len() as u64;
        fits.then(|| [begun, &rpc.data].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_between_characters_and_give_the_whole() {
        let snapshot = Snapshot { data: "aé€🦀b".repeat(9).into(), ..Snapshot::default() };
        for max_bytes in 4..20 {
            let mut whole = String::new();
            loop {
                let chunk = snapshot.chunk(whole.len() as u64, max_bytes);
                assert!(chunk.len() <= max_bytes);
                whole += chunk;
                if chunk.is_empty() {
                    break;
                }
            }
            assert_eq!(*whole, *snapshot.data, "in chunks of {max_bytes} bytes");
        }
        assert_eq!(snapshot.chunk(2, 9), "", "within a character: nobody has that much");
        assert_eq!(snapshot.chunk(1 << 53, 9), "");
    }
}
