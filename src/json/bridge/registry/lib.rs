//! The two crates of the registry, under one name for the bridge.

pub use {serde, serde_json};
