//! Text and messages: what stands on the wire, and what it means.
//!
//! `codec/write.rs` makes text of a message, a JSON object with the names of Figure 2;
//! `codec/read.rs` makes a message of text, and trusts nobody.

pub mod read;
pub mod write;

use crate::node::message::{NodeId, Rpc};

/// What came in one line or datagram. Whether it is meant for us is still to be checked.
#[derive(Debug, PartialEq)]
pub struct Envelope {
    /// The cluster that it names, if it does.
    pub cluster: Option<String>,
    /// Who says to have sent it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// What it says.
    pub body: Body,
}

/// What an envelope holds.
#[derive(Debug, PartialEq)]
pub enum Body {
    /// The sender is there.
    Hello(Hello),
    /// The sender does not listen to us, and says why.
    Refused(String),
    /// A message for the node.
    Rpc(Rpc),
}

/// What a Hello tells of its sender. A real node says both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// Where clients reach it.
    pub address: Option<String>,
    /// The random number of this process.
    pub instance: Option<u64>,
}

/// How the reason begins if a peer has told it.
pub const REFUSED: &str = "refused: ";
