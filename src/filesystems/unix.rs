//! The real file system.
/// Stub.
#[derive(Debug)]
pub struct UnixFilesystem;
