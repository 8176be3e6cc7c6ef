//! Directories on the data connection (LIST, NLST, MLSD) and on the control connection (STAT
//! with a path, MLST).

mod bodies;
mod form;
mod lines;
mod names;
mod now;
mod source;
mod veil;

pub(super) use self::bodies::stat;
pub use self::bodies::{list, mlsd, mlst, nlst};
