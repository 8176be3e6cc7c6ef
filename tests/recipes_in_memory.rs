//! The unit tests of some examples, which need no sockets. `cargo test --example NAME` runs those
//! of one example. The examples themselves are started by `tests/recipes.rs`; with `test = true`
//! in `Cargo.toml`, Cargo would not build them as programs.

#![allow(dead_code, reason = "their `main` is not called here")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../examples/anti_flood_ftpd.rs"]
mod anti_flood_ftpd;
#[path = "../examples/atomic_upload.rs"]
mod atomic_upload;
#[path = "../examples/judged_upload.rs"]
mod judged_upload;
#[path = "../examples/log_commands.rs"]
mod log_commands;
#[path = "../examples/memory_fs.rs"]
mod memory_fs;
#[path = "../examples/per_user.rs"]
mod per_user;
#[path = "../examples/quota.rs"]
mod quota;
#[path = "../examples/read_only_fs.rs"]
mod read_only_fs;
#[path = "../examples/site_usage.rs"]
mod site_usage;
#[path = "../examples/xcrc.rs"]
mod xcrc;
