//! The themes over TLS 1.3.

mod themes;

use testkit::Mode;

/// What the connections of this run are made with.
const MODE: Mode = Mode::Tls13;
