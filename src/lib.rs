//! raftlet: Raft you can watch, break and read.
//!
//! Read in this order, with Figure 2 of the Raft paper open beside it:

pub mod event;
pub mod kv;
pub mod lab;
pub mod log;
pub mod message;
pub mod node;
pub mod role;
pub mod rules;
pub mod step;
