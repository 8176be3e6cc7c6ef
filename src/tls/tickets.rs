//! The tickets of one control session: what ties its data connections to it.
//!
//! A ticket is a random number (of 32 bytes, by rustls) that only this session
//! knows and remembers. A data connection that brings one back, and proves that
//! it knows the secret that goes with it, is that of the client who has got it on
//! the control connection; one from another session brings a number that is not
//! known here. All is forgotten with the session. They may be used more than
//! once: many clients resume every data connection with the one from the control
//! connection.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets, StoresServerSessions};

use super::SessionReuse;

/// The tickets of one control session.
#[derive(Debug, Default)]
pub(crate) struct SessionTickets {
    kept: Mutex<Vec<Ticket>>,
    /// What the last handshake brought.
    bond: AtomicU8,
    /// Whether a data connection has resumed the session.
    resumed: AtomicBool,
}

#[derive(Debug)]
struct Ticket {
    number: Vec<u8>,
    secret: Vec<u8>,
}

/// What a handshake has brought: no ticket, one that this session has not given,
/// one of its own.
const NONE: u8 = 0;
const FOREIGN: u8 = 1;
const OWN: u8 = 2;

impl SessionTickets {
    /// A copy of `base` whose handshakes give and take the tickets of this
    /// session: `count` of them in TLS 1.3.
    pub(crate) fn config(self: &Arc<Self>, base: &ServerConfig, count: usize) -> Arc<ServerConfig> {
        self.bond.store(NONE, Relaxed);
        let mut config = without_tickets(base);
        config.session_storage = Arc::<Self>::clone(self);
        config.send_tls13_tickets = count;
        Arc::new(config)
    }

    /// Whether the last handshake, of a data connection, is good enough; if not,
    /// why.
    pub(crate) fn judge(&self, reuse: SessionReuse, resumed: bool) -> Result<(), &'static str> {
        if resumed {
            self.resumed.store(true, Relaxed);
            return Ok(());
        }
        let wanted = match reuse {
            SessionReuse::Off => false,
            SessionReuse::Prefer => self.resumed.load(Relaxed),
            SessionReuse::Require => true,
        };
        match self.bond.load(Relaxed) {
            _ if !wanted => Ok(()),
            NONE => Err("no ticket"),
            FOREIGN => Err("a ticket of another session"),
            _ => Err("a ticket that does not fit"),
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
        let mut kept = self.kept();
        let found = kept.iter().position(|ticket| ticket.number == number);
        let Some(found) = found else {
            self.bond.fetch_max(FOREIGN, Relaxed);
            return None;
        };
        self.bond.fetch_max(OWN, Relaxed);
        // Those that are in use are forgotten last.
        let ticket = kept.remove(found);
        let secret = ticket.secret.clone();
        kept.push(ticket);
        Some(secret)
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
