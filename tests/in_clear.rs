//! The themes over plain connections.

mod themes;

use testkit::Mode;

/// What the connections of this run are made with.
const MODE: Mode = Mode::Clear;
