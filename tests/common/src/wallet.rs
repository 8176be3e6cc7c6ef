//! The tickets of a client, which a test can look at, lose and steal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};

/// The tickets of a client. It offers the newest one, and each of TLS 1.3 once.
#[derive(Debug, Default)]
pub struct Wallet {
    /// The session of TLS 1.2.
    pub tls12: Mutex<Option<Tls12ClientSessionValue>>,
    /// The tickets of TLS 1.3; the newest one is the last.
    pub tls13: Mutex<VecDeque<Tls13ClientSessionValue>>,
    received: AtomicUsize,
}

impl Wallet {
    /// The number of tickets of TLS 1.3 that have come.
    pub fn received(&self) -> usize {
        self.received.load(SeqCst)
    }

    /// Loses all tickets.
    pub fn clear(&self) {
        *self.tls12.lock().unwrap() = None;
        self.tls13.lock().unwrap().clear();
    }

    /// Whether there is neither a ticket nor a session.
    pub fn is_empty(&self) -> bool {
        self.tls12.lock().unwrap().is_none() && self.tls13.lock().unwrap().is_empty()
    }

    /// The configuration `base` with this wallet.
    pub fn with(self: &Arc<Self>, base: &ClientConfig) -> ClientConfig {
        let mut config = base.clone();
        let store: Arc<Self> = Arc::clone(self);
        config.resumption = Resumption::store(store);
        config
    }
}

impl ClientSessionStore for Wallet {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12.lock().unwrap() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().unwrap().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        *self.tls12.lock().unwrap() = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.received.fetch_add(1, SeqCst);
        self.tls13.lock().unwrap().push_back(value);
    }

    /// Offers the newest ticket.
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().unwrap().pop_back()
    }
}
