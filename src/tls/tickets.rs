//! The tickets of one control session: what ties its data connections to it.
//!
//! A ticket is a random number (of 32 bytes, by rustls) that only this session
//! knows and remembers. A data connection that brings one back, and proves that
//! it knows the secret that goes with it, is that of the client who has got it on
//! the control connection; one from another session brings a number that is not
//! known here. All is forgotten with the session. They may be used more than
//! once: many clients resume every data connection with the one from the control
//! connection.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets, StoresServerSessions};

/// The tickets of one control session.
#[derive(Debug, Default)]
pub(crate) struct SessionTickets {
    kept: Mutex<Vec<Ticket>>,
    /// What the last handshake brought.
    bond: AtomicU8,
}

#[derive(Debug)]
struct Ticket {
    number: Vec<u8>,
    secret: Vec<u8>,
}

/// How a handshake is tied to the control session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Bond {
    /// It brought no ticket.
    None = 0,
    /// It brought one that this session has not given.
    Foreign = 1,
    /// It brought one of this session's.
    Own = 2,
}

impl SessionTickets {
    /// A copy of `base` whose handshakes give and take the tickets of this
    /// session: `count` of them in TLS 1.3.
    pub(crate) fn config(self: &Arc<Self>, base: &ServerConfig, count: usize) -> Arc<ServerConfig> {
        self.bond.store(Bond::None as u8, Relaxed);
        let mut config = without_tickets(base);
        config.session_storage = Arc::<Self>::clone(self);
        config.send_tls13_tickets = count;
        Arc::new(config)
    }

    /// How the last handshake is tied to the session, as far as its tickets say.
    pub(crate) fn bond(&self) -> Bond {
        match self.bond.load(Relaxed) {
            0 => Bond::None,
            1 => Bond::Foreign,
            _ => Bond::Own,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Ticket>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy of `base` whose handshakes neither give nor take tickets.
pub(crate) fn without_tickets(base: &ServerConfig) -> ServerConfig {
    let mut config = base.clone();
    config.ticketer = Arc::new(NoTickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

impl StoresServerSessions for SessionTickets {
    fn put(&self, number: Vec<u8>, secret: Vec<u8>) -> bool {
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Ticket { number, secret });
        true
    }

    fn get(&self, number: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept();
        let found = kept.iter().find(|ticket| ticket.number == number);
        let bond = match found {
            Some(_) => Bond::Own,
            None => Bond::Foreign,
        };
        self.bond.fetch_max(bond as u8, Relaxed);
        found.map(|ticket| ticket.secret.clone())
    }

    /// Keeps it: it may be used again.
    fn take(&self, number: &[u8]) -> Option<Vec<u8>> {
        self.get(number)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// No tickets that the client alone keeps.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Tickets that are remembered: those of the control connection and of the last
/// downloads.
const KEPT: usize = 8;
