//! The table of commands.
/// Stub.
#[derive(Debug, Clone, Default)]
pub struct ProtoCmds;
