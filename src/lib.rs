//! raftlet: Raft you can watch, break and read.
//!
//! One node is a few threads that meet only in channels. Each socket, file and the node itself
//! belong to one thread for life. `src/main.rs` starts them in this order.
//!
//! ```text
//!       peers' TCP / UDP                     browsers, curl, the command line
//!              │                                           │
//!       one reader a connection               one HTTP thread: owns every client's
//!        (transport/tcp, udp)                 socket, looks at them in turn (http.rs)
//!              │                                           │         ▲
//!              │ Event                               Event │         │ Answer
//!              ▼                                           ▼         │
//!       inbox: one channel ◄────────────────────────────────         │ one channel
//!              │                                                     │
//!       one raft thread (server.rs): owns node, disk and state machine
//!       loop { wait for events or a deadline; take all that wait;
//!              step the node; one write + one fsync; send, apply, answer }
//!              │ Message
//!              ▼
//!       one writer a peer (transport/peer.rs: its queue)
//! ```
//!
//! Besides these: one thread for each address takes new connections (`transport/listener.rs`), one
//! writes the console, one writes a snapshot, one makes the text of a whole state.
//!
//! Read in this order, with Figure 2 of the Raft paper open beside it:
//!
//! 1. [`node`]: **the brain**, pure: no socket, file, clock or thread. First [`node::rules`],
//!    [`node::message`], [`node::log`], [`node::role`] and [`node::step`]; then `node.rs`:
//!    Figure 2, top to bottom.
//! 2. [`server`]: **the body**. It does what the brain says, in order.
//! 3. [`transport`]: **the mouth**. Messages out, messages in, over TCP or UDP.
//! 4. [`storage`]: what a node must not forget, in files that `cat` can show.
//! 5. [`state_machine`]: what the log is applied to, and clients' sessions.
//! 6. [`http`] and [`json`]: how clients speak with a node.
//! 7. [`config`], [`client`] and [`cli`]: the registry, a client as a library, the command line.
//! 8. [`lab`]: the same brain in a simulated world, where time is a number and every accident is
//!    drawn from a seed.

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
