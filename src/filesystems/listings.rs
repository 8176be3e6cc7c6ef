//! The memory of listings.

use crate::limits::Budget;

/// What all listings of this process may hold while their clients do not read: names that are
/// sorted, and buffers. Beyond it, listings follow in the order of the system, in small pieces.
pub(crate) static LISTINGS: Budget = Budget::new(32 * 1024 * 1024);
