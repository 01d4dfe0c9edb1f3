//! raftlet: Raft you can watch, break and read.
//!
//! Read in this order, with Figure 2 of the Raft paper open beside it. First the algorithm, which
//! is pure: it touches no socket, file, clock or thread.
//!
//! 1. [`node`]: **the brain**. In its folder first [`node::rules`], [`node::message`],
//!    [`node::log`], [`node::role`] and [`node::step`]; then `node.rs`: Figure 2, top to bottom.
//!
//! Then what carries it about in the world.
//!
//! 2. [`server`]: **the body**. It does what the brain says, in order.
//! 3. [`transport`]: **the mouth**. Messages out, messages in, over TCP or UDP.
//! 4. [`storage`]: what a node must not forget, in files that `cat` can show.
//! 5. [`state_machine`]: what the log is applied to, and clients' sessions.
//! 6. [`http`] and [`json`]: how clients speak with a node.
//! 7. [`config`], [`client`] and [`cli`]: the registry, a client as a library, the command line.
//!
//! Last, the same brain in a simulated world, where time is a number and every accident is drawn
//! from a seed: [`lab`].

pub mod cli;
pub mod client;
pub mod config;
pub mod http;
pub mod json;
pub mod lab;
pub mod node;
pub mod server;
pub mod state_machine;
pub mod storage;
pub mod transport;
