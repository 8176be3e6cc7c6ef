//! The settings of data connections.

use std::time::Duration;

/// The class attributes of pyftpdlib's `DTPHandler`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DTPConfig {
    /// How long a data connection may make no progress; then the reply is 421 and the session
    /// ends. `None`: without limit. Default: 300 s.
    pub timeout: Option<Duration>,
    /// The bytes that are read at once, when they pass through the server's memory.
    /// Default: 65,536, which is also the most.
    pub ac_in_buffer_size: usize,
    /// The bytes that are sent at once, when they pass through the server's memory.
    /// Default: 65,536.
    pub ac_out_buffer_size: usize,
}

impl Default for DTPConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(300)),
            ac_in_buffer_size: 65_536,
            ac_out_buffer_size: 65_536,
        }
    }
}
