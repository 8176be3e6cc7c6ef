//! The themes over plain connections.

mod common;
mod themes;
#[path = "common/tools.rs"]
mod tools;
