//! The functions of a handler through which the replies and the lines of the log of a session go.

use std::fmt::Display;
use std::panic::Location;

use log::Level;

use crate::proto::reply::Reply;

/// The functions of a handler that take the place of the stock ones. They have no `self`: a method
/// of the handler is running as a rule when the session replies or logs something.
///
/// `S` is the session. It is a parameter because the session holds this value.
pub(crate) struct Overrides<S> {
    pub(crate) respond: fn(&mut S, Level, Reply),
    pub(crate) log: fn(&S, Level, &dyn Display),
}

/// The reply that such a function handles.
#[derive(Default)]
pub(super) struct Handled {
    /// The code that has sent it, if its lines of the log are counted.
    pub(super) place: Option<&'static Location<'static>>,
    /// A text with a name whose bytes are not UTF-8, as it is shown and as it is sent.
    pub(super) raw: Option<(String, Vec<u8>)>,
}
