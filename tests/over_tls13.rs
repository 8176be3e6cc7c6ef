//! The themes over TLS 1.3: `common` knows by the name of this binary.

mod common;
mod themes;
#[path = "common/tools.rs"]
mod tools;
