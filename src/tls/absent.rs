//! What stands for TLS in a build without the feature `tls`: types without values. Their only
//! field is private, so that the code around TLS needs no conditions.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ioloop::tls::NewTls;
use crate::sys::{Held, Pid};

/// The settings.
pub(crate) struct TlsConfig {
    pub(crate) tls_control_required: bool,
    pub(crate) tls_data_required: bool,
    pub(crate) implicit: bool,
    never: Infallible,
}

impl TlsConfig {
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::empty()
    }
}

/// The settings of a server, and what is made from them.
pub(crate) struct TlsAcceptor {
    pub(crate) config: TlsConfig,
}

impl TlsAcceptor {
    pub(crate) fn reload(&self) -> Result<(), String> {
        match self.config.never {}
    }

    pub(crate) fn reload_silently(&self) {
        match self.config.never {}
    }

    pub(crate) fn has_files(&self) -> bool {
        match self.config.never {}
    }

    pub(crate) fn forget_process(&self, _pid: Pid) -> bool {
        match self.config.never {}
    }

    pub(crate) fn look_at_lock(&self, _now: Instant) -> Held {
        match self.config.never {}
    }
}

/// TLS of one control session.
#[derive(Clone)]
pub(crate) struct TlsSession(Infallible);

impl TlsSession {
    pub(crate) fn new(acceptor: Arc<TlsAcceptor>, _address: IpAddr) -> Self {
        match acceptor.config.never {}
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn strict_eof(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn set_user(&self, _user: Option<&str>) {
        match self.0 {}
    }

    pub(crate) fn control_handshake(&self) -> (ControlHandshake, NewTls) {
        match self.0 {}
    }

    pub(crate) fn data_handshake(&self, _direction: Direction) -> (DataHandshake, NewTls) {
        match self.0 {}
    }
}

/// A handshake of a control connection.
pub(crate) struct ControlHandshake(Infallible);

impl ControlHandshake {
    pub(crate) fn finish(self) {
        match self.0 {}
    }
}

/// A handshake of a data connection.
pub(crate) struct DataHandshake(Infallible);

impl DataHandshake {
    pub(crate) fn verify(
        &self,
        _resumed: bool,
        _tls13: bool,
        _direction: Direction,
    ) -> Result<bool, &'static str> {
        match self.0 {}
    }

    pub(crate) fn finish(self) -> FinishedDataHandshake {
        match self.0 {}
    }
}

/// A finished handshake of a data connection.
pub(crate) struct FinishedDataHandshake(Infallible);

impl FinishedDataHandshake {
    pub(crate) fn tickets_may_be_unread(&self) {
        match self.0 {}
    }
}

/// The transfer that a data connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    None,
    Download,
    Listing,
    Upload,
}

pub(crate) const FOREIGN: &str = "";
