//! raftlet: Raft you can watch, break and read.
//!
//! One node is a process of a few threads. Each thread owns its things: no other thread uses them.
//! Threads send each other what they have to say, through channels. `src/main.rs` puts them
//! together.
//!
//! ```text
//!                  one address, localhost:5001, for peers and clients
//!                                      │
//!            one listener thread for each IP address of that name: accepts
//!                                      │
//!            one thread for each new connection: waits for the first byte
//!                     a peer's │                   │ HTTP: hands the socket over
//!                              ▼                   ▼
//!     READER, one for each connection          HTTP THREAD: owns every client's socket,
//!     of a peer: that thread goes on so        looks at one after the other (http.rs)
//!     (transport/tcp.rs, udp.rs)                   │                      ▲
//!                │                                 │ Event: requests      │ answers
//!                │ Event: messages                 │                      │
//!                ▼                                 ▼                      │
//!            the inbox: the channel of the raft thread (server/inbox.rs)  │
//!                                      │                                  │
//!     RAFT THREAD: owns the node, the log's file and the state machine ───┘
//!     (server.rs). It repeats: wait for events or a deadline; take all events that are there;
//!     step the node; write and sync what must be saved; send, apply, answer
//!                                      │
//!                                      │ messages, through a queue for each peer
//!                                      ▼
//!     WRITER, one for each peer: owns the connection to it (transport/peer.rs is its queue)
//! ```
//!
//! So a vote goes reader → inbox → raft thread → disk → queue → writer; and `set x 42` goes HTTP
//! thread → inbox → raft thread → writers, and when a majority has answered through the readers,
//! raft thread → HTTP thread. The log is saved by one write and one sync in a round, however many
//! entries it has; a vote is saved in a file of its own. A leader sends its entries before it
//! writes them itself (dissertation 10.2.1), and counts itself when its disk has answered.
//!
//! Readers and writers also share what they know of the peers, behind locks
//! (`transport/shared.rs`), and tell the raft thread when a peer is reachable or lost. Other
//! threads do one thing each: one prints the lines (`server/console.rs`), one writes a snapshot,
//! and one makes the text of the whole state when a client asks for it.
//!
//! Read in this order, with Figure 2 of the Raft paper open beside it:
//!
//! 1. [`node`]: **the brain**, pure: no socket, file, clock or thread. First [`node::rules`],
//!    [`node::message`], [`node::log`], [`node::role`] and [`node::step`]; then `node.rs`:
//!    Figure 2, top to bottom.
//! 2. [`server`]: **the body**. It does what the brain says, in order.
//! 3. [`transport`]: **the mouth and the ears**. Messages out, messages in, over TCP or UDP.
//! 4. [`storage`]: what a node must not forget, in files that `cat` can show.
//! 5. [`state_machine`]: what the log is applied to, and clients' sessions.
//! 6. [`http`] and [`json`]: how clients speak with a node.
//! 7. [`config`], [`client`] and [`cli`]: which nodes there are and where (`cluster.toml`, the
//!    registry), a client for other programs to use, and the command line.
//! 8. [`lab`]: the same brain in a simulated world, where time is a number and chance comes from a
//!    seed.

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
