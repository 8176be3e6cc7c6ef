//! The reactor: one thread, one poll, many channels.
//!
//! An [`IOLoop`] holds [`Channel`]s. It calls a channel when one of its sockets is ready, when its
//! deadline has come, and when another thread has sent it something. The loop knows nothing of
//! FTP. [`AsyncChat`], [`Acceptor`] and [`Connector`] are channels for protocols of your own; the
//! FTP server is one more.
//!
//! A turn of the loop polls, and then serves in this order: the sources that are ready; the
//! channels that asked for another round; deadlines; scheduled functions; messages from other
//! threads. Each call of a channel is short: a channel has a budget, and asks for another round
//! when it has not finished.

mod addresses;
mod by_hand;
mod chat;
mod chat_channel;
pub(crate) mod clock;
mod core;
mod deadlines;
mod endpoints;
mod event;
pub mod line;
mod linger;
mod listener;
mod mailbox;
pub(crate) mod memory;
#[cfg(not(feature = "tls"))]
pub(crate) mod no_tls;
mod output;
mod panics;
pub(crate) mod producer;
mod reactor;
mod slots;
mod socket;
pub(crate) mod stream;
mod timers;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "tls")]
pub(crate) mod tls_words;
mod waker;

pub(crate) use self::addresses::bind_first;
pub use self::addresses::{bind_af_unspecified, connect_af_unspecified};
pub use self::chat::AsyncChat;
pub use self::chat_channel::{ChatChannel, ChatHandler};
pub use self::core::{Channel, Io, Remote};
pub use self::deadlines::DeadlineHeap;
pub use self::endpoints::{Acceptor, Connector};
pub use self::event::{ChannelId, Readiness, Source};
pub use self::line::Terminator;
pub(crate) use self::linger::{Linger, LingerLimits};
pub(crate) use self::listener::{Listener, StreamListener};
#[cfg(not(feature = "tls"))]
pub(crate) use self::no_tls as tls;
pub(crate) use self::panics::panic_text;
pub use self::reactor::IOLoop;
pub(crate) use self::reactor::PollParts;
pub use self::stream::Stream;
pub use self::timers::CallLater;
pub(crate) use self::waker::{ChannelWaker, Woken};
