//! What the server does, theme by theme.
//!
//! Three test binaries run these tests: in clear, over TLS 1.2 and over TLS 1.3. Each
//! defines `MODE` in its root file.

mod attacks;
mod bad_input;
mod callbacks;
mod configurable_options;
mod corner_cases;
mod ftp_abort;
mod ftp_authentication;
mod ftp_cmds_semantic;
mod ftp_dummy_cmds;
mod ftp_fs_operations;
mod ftp_listing_cmds;
mod ftp_parameters;
mod ftp_pipelining;
mod ftp_renames;
mod ftp_replies;
mod ftp_retrieve_data;
mod ftp_store_data;
mod ftp_urgent;
mod hook_panics;
mod identity;
mod last_replies;
mod links;
mod network_protocols;
mod overrides;
mod pending_transfers;
mod regressions;
mod servers;
mod sessions;
mod throttle_bandwidth;
mod timeouts;
mod transcripts;
mod uploads_begin;
mod uploads_end;
mod uploads_locked;

use testkit::Mode;

use crate::MODE;

/// The path of the program.
#[cfg(feature = "cli")]
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

/// Whether this run leaves out a test, for the reason given, since it would show nothing
/// over TLS.
///
/// The test then returns early and counts as passed. `cargo test -- --nocapture` shows the
/// reason.
#[must_use]
fn skipped_over_tls(why: &str) -> bool {
    let is_skipped = MODE.is_secure();
    if is_skipped {
        // The harness names the thread of a test after the test.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        eprintln!("{test} is left out over TLS: {why}");
    }
    is_skipped
}

/// A reason for that.
const URGENT: &str = "urgent data is no part of the TLS stream and would break its records";

/// Another reason.
const COSTLY: &str = "the test is about the work behind the connections, and takes long";

/// The reply to a transfer whose connection was cut before it had begun.
const CUT: u16 = match MODE {
    Mode::Clear => 426,
    _ => 522,
};
