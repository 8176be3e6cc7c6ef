//! The handle of a root directory, and look-ups that cannot leave it.
//!
//! `home` holds the handle and decides what the result of a look-up means; `resolve` does the
//! look-ups, part by part with `trail`; `spot` finds out
//! where a path really leads; `attributes` reads the attributes of a handle. This module knows nothing of FTP
//! paths and of sessions.

pub(super) mod attributes;
pub(super) mod home;
pub(super) mod resolve;
pub(super) mod spot;
pub(super) mod trail;
