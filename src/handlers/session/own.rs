//! The settings in which one session differs from the others.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::handlers::data::Throttle;
use crate::proto::encoding::{Encoding, UnicodeErrors};

/// The settings in which one session, or one login, differs from the others. Most have none.
#[derive(Clone, Default)]
pub(crate) struct OwnSettings {
    pub(super) timeout: Option<Option<Duration>>,
    pub(super) login_timeout: Option<Option<Duration>>,
    pub(super) dtp_timeout: Option<Option<Duration>>,
    pub(super) passive_timeout: Option<Option<Duration>>,
    pub(super) active_timeout: Option<Option<Duration>>,
    pub(super) banner: Option<String>,
    pub(super) masquerade_address: Option<Option<Ipv4Addr>>,
    pub(super) passive_ports: Option<Arc<[u16]>>,
    pub(super) encoding: Option<Encoding>,
    pub(super) unicode_errors: Option<UnicodeErrors>,
    pub(super) throttle: Option<Throttle>,
    pub(super) features: Vec<Cow<'static, str>>,
}
