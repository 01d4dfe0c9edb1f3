//! raftlet: Raft you can watch, break and read.
//!
//! Read in this order, with Figure 2 of the Raft paper open beside it:

pub mod http;
pub mod message;
