//! The lab: the same brain in a simulated world, and the judges of what it does there.
//!
//! Here faults are cheap and every run can be repeated from one number. The lab knows the node
//! and the state machine, never the server.

pub mod ablation;
pub mod checker;
pub mod clock;
pub mod counterexample;
pub mod disk;
pub mod exhaustive;
pub mod experiment;
pub mod journal;
pub mod linearizability;
pub mod memory_files;
pub mod network;
pub mod old_duplicates;
pub mod quiz;
pub mod rulebook;
pub mod script;
pub mod sim;
pub mod stories;
pub mod trace;
pub mod world;
