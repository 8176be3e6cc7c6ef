//! Text on the wire.
/// Stub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding;
impl Encoding {
    /// UTF-8.
    pub const UTF_8: Self = Self;
}
/// Stub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnicodeErrors {
    /// Replace.
    Replace,
}
