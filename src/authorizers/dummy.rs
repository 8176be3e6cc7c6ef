//! The table of virtual users.
use super::Authorizer;
/// Stub.
#[derive(Debug, Default)]
pub struct DummyAuthorizer;
/// Stub.
#[derive(Debug)]
pub struct User;
/// Stub.
#[derive(Debug)]
pub struct UserOptions;
impl DummyAuthorizer {
    /// New.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}
impl Authorizer for DummyAuthorizer {}
