//! raftlet: Raft you can watch, break and read.
//!
//! Read in this order, with Figure 2 of the Raft paper open beside it. First the algorithm, which
//! is pure: it touches no socket, file, clock or thread.
//!
//! 1. [`rules`]: the rules of the paper, by name, and what falls without each.
//! 2. [`message`]: the RPCs, with the field names of Figures 2 and 13.
//! 3. [`log`] and [`snapshot`]: the log in memory, and what stands for its beginning.
//! 4. [`role`]: follower, candidate, leader, and what each knows.
//! 5. [`step`]: what goes into a node, and what comes out.
//! 6. [`node`]: **the brain**. Figure 2, top to bottom; Figure 13 in `node/snapshots.rs`.
//! 7. [`event`]: what happened and why: every line that you see.
//!
//! Then what carries it about in the world.
//!
//! 8. [`server`]: **the body**. One inbox, one turn at a time; does what the brain says, in order.
//! 9. [`transport`]: **the mouth**. Messages out, messages in, over TCP or UDP.
//! 10. [`storage`]: what a node must not forget, in files that `cat` can show.
//! 11. [`machine`] and [`kv`]: the state machine, clients' sessions, and a key-value store.
//! 12. [`inbox`] and [`status`]: how messages and clients reach the body, and how a node is.
//! 13. [`http`], [`json`] and [`text`]: the languages of clients and of messages, and what all who
//!     write them share.
//! 14. [`watchers`] and [`metrics`]: what a node tells those who watch it.
//! 15. [`config`], [`console`], [`nearest`], [`timed`] and [`slot`]: the registry, the lines on the
//!     terminal, what a misspelt name likely meant, sockets with a time for the whole, and where
//!     one thread waits for another.
//! 16. [`client`] and [`cli`]: a client of the cluster, and the verbs of the command line.
//!
//! Last, the same brain in a world of our own making, where time is a number and every accident is
//! drawn from a seed.
//!
//! 17. [`lab`]: the simulated world, its checkers and its script language.
//! 18. [`record`] and [`tracer`]: what a run leaves behind, simulated or real, to be drawn and
//!     judged.

pub mod cli;
pub mod client;
pub mod config;
pub mod console;
pub mod event;
pub mod http;
pub mod inbox;
pub mod json;
pub mod kv;
pub mod lab;
pub mod log;
pub mod machine;
pub mod message;
pub mod metrics;
pub mod nearest;
pub mod node;
pub mod record;
pub mod role;
pub mod rules;
pub mod server;
pub mod slot;
pub mod snapshot;
pub mod status;
pub mod step;
pub mod storage;
pub mod text;
pub mod timed;
pub mod tracer;
pub mod transport;
pub mod watchers;
