//! serde_json, brought over the bridge: `build.rs` says why it does not simply stand in a manifest.

// Not a dependency that cargo knows: rustc finds it where build.rs told it to look.
extern crate serde_from_registry;

pub use serde_from_registry::{serde, serde_json};
