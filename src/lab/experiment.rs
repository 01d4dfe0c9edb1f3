//! Experiments: measurements of the paper, taken again with this node's own code.
//!
//! In the simulated world a thousand elections take less than a second, and the same seed gives
//! the same numbers on every machine. What was measured stands beside what the paper has, as a
//! table and as a figure.

pub mod election_timeout;
pub mod figure;
pub mod table;
pub mod times;
