//! The lab: the same brain in a simulated world, and the judges of what it does there.
//!
//! Here faults are cheap and every run can be repeated from one number. The lab knows the node
//! and the state machine, never the server.

pub mod ablation;
pub mod checker;
pub mod clock;
pub mod disk;
pub mod drawer;
pub mod exhaustive;
pub mod experiment;
pub mod journal;
pub mod linearizability;
pub mod network;
pub mod platter;
pub mod quiz;
pub mod retold;
pub mod rulebook;
pub mod script;
pub mod sim;
pub mod stories;
pub mod trace;
pub mod world;
