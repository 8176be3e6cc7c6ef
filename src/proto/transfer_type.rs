//! The representation type of transfers.

/// The representation type of transfers, set by TYPE (RFC 959 §3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransferType {
    /// `A`: lines end with CRLF on the wire and with LF in files. The default.
    #[default]
    Ascii,
    /// `I`: bytes are sent unchanged.
    Binary,
}
