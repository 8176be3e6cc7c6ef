//! The table of commands, and a command line split into verb and argument.
//!
//! The table says what each command needs: a permission, a login, an argument of some kind;
//! and which part the command plays on the data connection. What a command does is written
//! elsewhere, in [`FTPHandler`](crate::FTPHandler).

mod entry;
mod line;
mod stock;
mod table;

pub use self::entry::{Arg, ProtoCmd};
pub(crate) use self::entry::{ArgKind, Role};
pub use self::line::{CommandLine, leading_flags};
pub(crate) use self::table::Entry;
pub use self::table::ProtoCmds;
