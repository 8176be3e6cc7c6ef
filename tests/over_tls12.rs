//! The themes over TLS 1.2.

mod themes;

use testkit::Mode;

/// What the connections of this run are made with.
const MODE: Mode = Mode::Tls12;
