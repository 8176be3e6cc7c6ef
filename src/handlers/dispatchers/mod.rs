//! Data connections that are not open yet: `PassiveDTP` waits for the client, `ActiveDTP`
//! connects to it. PORT, PASV, EPRT and EPSV (RFC 959, RFC 2428, with the checks of RFC 2577).
//! What the data connection transfers later is not known here.

mod active;
mod passive;
mod replace;

pub(crate) use self::active::drive_active;
pub use self::active::{eprt, handle_active_timeout, handle_connect, port};
pub(crate) use self::passive::drive_passive;
pub use self::passive::{epsv, handle_accepted, handle_passive_timeout, pasv};
pub(crate) use self::replace::{fail_active, reset_data};
