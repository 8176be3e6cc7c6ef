//! The state of one control connection: what a hook may read and ask for. What commands do is
//! not written here, and neither is how the sockets are driven.

mod account;
mod all;
mod gone;
mod log;
mod login;
mod offload;
mod overrides;
mod own;
mod parked;
mod rare;
mod repeats;
mod replies;
mod set;
mod settings;
mod stage;
mod state;
mod through;
mod timed;
mod timers;
mod tls;
mod verdict;

pub(crate) use self::gone::GONE_SILENCE;
pub(crate) use self::login::{Asked, Held, Login, Refused};
pub(crate) use self::offload::JobDone;
pub(crate) use self::overrides::Overrides;
pub(crate) use self::stage::{
    ActiveDTP, ControlTls, DataState, Leaving, PassiveDTP, Pending, UploadWait,
};
pub use self::state::FTPSession;
pub(crate) use self::state::NewSession;
pub use self::timers::TimerId;
pub(crate) use self::timers::{Due, TIMERS_MAX};
