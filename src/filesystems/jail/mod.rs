//! The handle of a root directory, and look-ups below it.

pub(super) mod attributes;
pub(super) mod home;
pub(super) mod resolve;
