//! Authorizers: which users may log in, where their homes are, and what they may do there.
//!
//! [`Authorizer`] is the behaviour. [`DummyAuthorizer`] holds a table of virtual users, as
//! pyftpdlib's. This module knows a client only by a [`Client`] view, and of files only homes
//! and where the links in them lead. It knows neither sessions nor sockets.

mod authorizer;
mod client;
mod dummy;
mod identity;
mod later;
mod pointers;

pub use self::authorizer::Authorizer;
pub(crate) use self::authorizer::MSG_QUIT;
pub use self::client::Client;
pub use self::dummy::{DummyAuthorizer, User, UserOptions};
pub(crate) use self::identity::{Identity, run_as};
pub(crate) use self::later::{Answers, Work};
pub use self::later::{LaterVerdict, Verdict};
pub use crate::proto::perm::{Perm, Perms};
