//! What a transport is told: who the node and its peers are, and what carries their messages.

use std::collections::BTreeMap;

use crate::node::message::NodeId;

/// What carries the messages between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One connection a direction, one message a line.
    Tcp,
    /// One message a datagram; any may be lost.
    Udp,
}

impl Kind {
    /// Its name: `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Udp => "udp",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        [Kind::Tcp, Kind::Udp].into_iter().find(|kind| kind.name() == name)
    }
}

/// Who the node is, who its peers are, and how they talk.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name. What comes from another is refused.
    pub cluster: String,
    /// The number of this node.
    pub me: NodeId,
    /// The registry: the address of every node, this one included, as `host:port`.
    pub nodes: BTreeMap<NodeId, String>,
    /// What carries the messages.
    pub kind: Kind,
    /// How many of a hundred outgoing messages are thrown away, to try a bad network.
    pub drop_percent: u8,
    /// Where this node listens, as `host:port`: mostly its address in the registry.
    pub bind: String,
    /// Where clients reach this node, as `host:port`, if not at the address that each peer's own
    /// registry has for it.
    pub advertise: Option<String>,
}
