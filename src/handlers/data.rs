//! Data connections.

/// Behaviour of a data connection.
pub trait DTPHandler {}

/// The stock behaviour.
#[derive(Debug)]
pub struct StockDTPHandler;
impl DTPHandler for StockDTPHandler {}

/// Bandwidth-limited.
#[derive(Debug, Default)]
pub struct ThrottledDTPHandler;
impl ThrottledDTPHandler {
    /// New.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
    /// Bytes per second from the client; 0: no limit.
    #[must_use]
    pub fn read_limit(self, _bytes: u64) -> Self {
        self
    }
    /// Bytes per second to the client; 0: no limit.
    #[must_use]
    pub fn write_limit(self, _bytes: u64) -> Self {
        self
    }
    /// Halve the buffers until within the limits.
    #[must_use]
    pub fn auto_sized_buffers(self, _on: bool) -> Self {
        self
    }
}
impl DTPHandler for ThrottledDTPHandler {}
