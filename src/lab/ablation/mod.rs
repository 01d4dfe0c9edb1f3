//! Runs that let a property fall, and how they are made short.

pub mod shrink;
pub mod step;
