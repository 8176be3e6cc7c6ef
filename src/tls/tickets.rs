//! The tickets of one control session: what ties its data connections to it.
//!
//! A ticket is a random number (of 32 bytes, by rustls) that only this session
//! knows and remembers. A data connection that brings one back, and proves that
//! it knows the secret that goes with it, is that of the client who has got it on
//! the control connection; one from another session brings a number that is not
//! known here. All is forgotten with the session. They may be used more than
//! once: many clients resume every data connection with the one from the control
//! connection.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets, StoresServerSessions};

use super::SessionReuse;

/// The tickets of one control session.
#[derive(Debug, Default)]
pub(crate) struct SessionTickets {
    kept: Mutex<Vec<Ticket>>,
    /// Those that the last handshake has given: of no use unless it belongs to the
    /// session.
    given: Mutex<Vec<Ticket>>,
    /// Handshakes so far; the first is that of the control connection.
    handshakes: AtomicUsize,
    /// Tickets so far.
    count: AtomicUsize,
    /// What the last handshake brought.
    bond: AtomicU8,
    /// Whether a data connection has resumed the session.
    resumed: AtomicBool,
    /// What the handshake of the control connection went by. Certificates may have
    /// been replaced since, but there are clients that want the same on both.
    base: OnceLock<Arc<ServerConfig>>,
}

#[derive(Debug)]
struct Ticket {
    number: Vec<u8>,
    secret: Vec<u8>,
    uses: usize,
    /// How many were given before.
    order: usize,
    /// The handshake that it was given in.
    handshake: usize,
    /// Whether the client may not have got it.
    may_be_unread: bool,
}

impl Ticket {
    fn is_of_control(&self) -> bool {
        self.handshake <= 1
    }
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
        self.handshakes.fetch_add(1, Relaxed);
        lock(&self.given).clear();
        let mut config = without_tickets(base);
        config.session_storage = Arc::<Self>::clone(self);
        config.send_tls13_tickets = count;
        config.max_tls13_tickets = count.saturating_mul(2);
        Arc::new(config)
    }

    /// What all handshakes of the session go by, but for tickets; `current` from
    /// the first one on.
    pub(super) fn base(&self, current: impl FnOnce() -> Arc<ServerConfig>) -> &ServerConfig {
        self.base.get_or_init(current)
    }

    /// The last handshake belongs to the session: so do its tickets.
    pub(crate) fn keep(&self) {
        let mut kept = lock(&self.kept);
        for ticket in lock(&self.given).drain(..) {
            if kept.len() == KEPT {
                let place = least_needed(&kept);
                kept.remove(place);
            }
            kept.push(ticket);
        }
    }

    /// Whether the last handshake, of a data connection, is good enough; if not,
    /// why. `resumed`: it has resumed a session; else its tickets are forgotten, since
    /// they may be those of a stranger. `tls13`: it is of TLS 1.3, where clients may
    /// use a ticket once only (RFC 8446 §C.4).
    pub(crate) fn judge(
        &self,
        reuse: SessionReuse,
        resumed: bool,
        tls13: bool,
        uploads: bool,
    ) -> Result<(), &'static str> {
        if resumed {
            self.resumed.store(true, Relaxed);
            self.keep();
            return Ok(());
        }
        lock(&self.given).clear();
        let wanted = match reuse {
            SessionReuse::Off => false,
            SessionReuse::Prefer => self.resumed.load(Relaxed),
            SessionReuse::Require => true,
        };
        // One that has used up its tickets cannot do better.
        let forgives = reuse == SessionReuse::Prefer && tls13 && self.are_used_up(uploads);
        match self.bond.load(Relaxed) {
            _ if !wanted => Ok(()),
            NONE if forgives => Ok(()),
            NONE => Err("no ticket"),
            FOREIGN => Err("a ticket of another session"),
            _ => Err("a ticket that does not fit"),
        }
    }

    /// The last handshake was of a data connection that has ended so that the
    /// client may not have read its tickets.
    pub(crate) fn may_be_unread(&self) {
        let last = self.handshakes.load(Relaxed);
        for ticket in lock(&self.kept).iter_mut() {
            ticket.may_be_unread |= ticket.handshake == last && !ticket.is_of_control();
        }
    }

    /// Whether each ticket that the client has got was used, and none twice. Uploads
    /// bring no new one, and there are clients that keep the last one only: with
    /// uploads it is enough that this was used.
    fn are_used_up(&self, uploads: bool) -> bool {
        let kept = lock(&self.kept);
        let got = || kept.iter().filter(|ticket| !ticket.may_be_unread);
        let last = got().max_by_key(|ticket| ticket.order);
        let last_used = last.is_none_or(|last| last.uses == 1);
        let all_used = got().all(|ticket| ticket.uses == 1);
        kept.iter().all(|ticket| ticket.uses <= 1) && (all_used || (uploads && last_used))
    }
}

fn lock(tickets: &Mutex<Vec<Ticket>>) -> MutexGuard<'_, Vec<Ticket>> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Whoever has brought none gets none: it would take the place of a good one
    /// where clients keep one for all connections.
    fn put(&self, number: Vec<u8>, secret: Vec<u8>) -> bool {
        let ticket = Ticket {
            number,
            secret,
            uses: 0,
            order: self.count.fetch_add(1, Relaxed),
            handshake: self.handshakes.load(Relaxed),
            may_be_unread: false,
        };
        let belongs = ticket.is_of_control() || self.bond.load(Relaxed) == OWN;
        if belongs {
            lock(&self.given).push(ticket);
        }
        belongs
    }

    fn get(&self, number: &[u8]) -> Option<Vec<u8>> {
        let mut kept = lock(&self.kept);
        let found = kept.iter().position(|ticket| ticket.number == number);
        let Some(found) = found else {
            self.bond.fetch_max(FOREIGN, Relaxed);
            return None;
        };
        self.bond.fetch_max(OWN, Relaxed);
        // Those that are in use are forgotten last.
        let mut ticket = kept.remove(found);
        ticket.uses += 1;
        let secret = ticket.secret.clone();
        kept.push(ticket);
        Some(secret)
    }

    /// Keeps it: it may be used again.
    fn take(&self, number: &[u8]) -> Option<Vec<u8>> {
        self.get(number)
    }

    /// Whether to name the session in TLS 1.2: that of a data connection is resumed,
    /// and has its name, or is nobody's.
    fn can_cache(&self) -> bool {
        self.handshakes.load(Relaxed) <= 1
    }
}

/// Where the ticket is that will most likely not be brought back: those of the
/// control connection may be, however late, and one that was used once only is
/// that of a client who uses each once.
fn least_needed(kept: &[Ticket]) -> usize {
    let of_data = |ticket: &Ticket| !ticket.is_of_control();
    let spent = |ticket: &Ticket| of_data(ticket) && ticket.uses == 1;
    let place = kept.iter().position(spent);
    place
        .or_else(|| kept.iter().position(of_data))
        .unwrap_or_default()
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

/// Tickets that are remembered: more than those of the control connection, so that
/// those of downloads do not drive them out.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn session(tickets: &[&[u8]]) -> SessionTickets {
        let session = SessionTickets::default();
        for ticket in tickets {
            assert!(session.put(ticket.to_vec(), b"secret".to_vec()));
        }
        session.keep();
        session
    }

    /// A handshake that brings a ticket, or none.
    fn judge(
        session: &SessionTickets,
        reuse: SessionReuse,
        ticket: Option<&[u8]>,
    ) -> Result<(), &'static str> {
        session.bond.store(NONE, Relaxed);
        let resumed = ticket.is_some_and(|ticket| session.take(ticket).is_some());
        session.judge(reuse, resumed, true, true)
    }

    #[test]
    fn a_ticket_may_be_used_more_than_once() {
        let session = session(&[b"a", b"b"]);
        for _ in 0..3 {
            judge(&session, SessionReuse::Require, Some(b"a")).unwrap();
        }
    }

    #[test]
    fn require_takes_no_other_ticket() {
        let session = session(&[b"a"]);
        let require = SessionReuse::Require;
        assert_eq!(judge(&session, require, None), Err("no ticket"));
        let other = judge(&session, require, Some(b"x"));
        assert_eq!(other, Err("a ticket of another session"));
    }

    #[test]
    fn prefer_takes_all_until_one_has_resumed() {
        let session = session(&[b"a", b"b"]);
        let prefer = SessionReuse::Prefer;
        judge(&session, prefer, None).unwrap();
        judge(&session, prefer, Some(b"x")).unwrap();
        judge(&session, prefer, Some(b"a")).unwrap();
        assert_eq!(judge(&session, prefer, None), Err("no ticket"));
    }

    #[test]
    fn prefer_forgives_whoever_has_used_up_its_tickets() {
        let session = session(&[b"a", b"b"]);
        let prefer = SessionReuse::Prefer;
        judge(&session, prefer, Some(b"a")).unwrap();
        judge(&session, prefer, Some(b"b")).unwrap();
        judge(&session, prefer, None).unwrap();
        // In TLS 1.2 a session is resumed as often as one likes.
        let tls12 = session.judge(prefer, false, false, true);
        assert_eq!(tls12, Err("no ticket"));
        // And so do clients that use one twice.
        judge(&session, prefer, Some(b"a")).unwrap();
        assert_eq!(judge(&session, prefer, None), Err("no ticket"));
    }

    #[test]
    fn prefer_forgives_whoever_keeps_the_last_ticket_only() {
        let session = session(&[b"a", b"b"]);
        let prefer = SessionReuse::Prefer;
        judge(&session, prefer, Some(b"b")).unwrap();
        judge(&session, prefer, None).unwrap();
        // But nobody gets a file in that way.
        let download = session.judge(prefer, false, true, false);
        assert_eq!(download, Err("no ticket"));
        // With a new one it has no excuse.
        session.put(b"c".to_vec(), Vec::new());
        session.keep();
        assert_eq!(judge(&session, prefer, None), Err("no ticket"));
    }

    #[test]
    fn what_is_used_is_forgotten_last() {
        let session = session(&[b"control"]);
        for download in 0..=u8::MAX {
            session.put(vec![download], Vec::new());
            session.keep();
            assert!(session.take(b"control").is_some());
        }
        assert_eq!(lock(&session.kept).len(), KEPT);
    }

    #[test]
    fn strangers_get_no_ticket_that_is_of_use() {
        for reuse in [SessionReuse::Prefer, SessionReuse::Require] {
            let session = session(&[b"a"]);
            session.handshakes.store(2, Relaxed);
            assert!(!session.put(b"stranger's".to_vec(), Vec::new()));
            // Nor whoever has seen the number of a ticket, and lacks its secret.
            assert!(session.take(b"a").is_some());
            assert!(session.put(b"eavesdropper's".to_vec(), Vec::new()));
            let judgement = session.judge(reuse, false, true, true);
            assert_eq!(judgement.is_ok(), reuse == SessionReuse::Prefer);
            judge(&session, reuse, Some(b"a")).unwrap();
            assert!(session.take(b"eavesdropper's").is_none());
        }
    }

    /// Gives a ticket on a data connection.
    fn download(session: &SessionTickets, ticket: u8) {
        session.handshakes.fetch_add(1, Relaxed);
        session.bond.store(OWN, Relaxed);
        assert!(session.put(vec![ticket], Vec::new()));
        session.keep();
    }

    #[test]
    fn those_of_the_control_connection_are_never_forgotten() {
        let session = session(&[b"control 1", b"control 2"]);
        session.handshakes.store(1, Relaxed);
        for ticket in 0..100 {
            download(&session, ticket);
            assert!(session.take(&[ticket]).is_some());
        }
        assert_eq!(lock(&session.kept).len(), KEPT);
        assert!(session.take(b"control 1").is_some());
        assert!(session.take(b"control 2").is_some());
    }

    #[test]
    fn what_was_not_used_yet_outlives_what_was() {
        let session = session(&[b"control"]);
        session.handshakes.store(1, Relaxed);
        for ticket in 0..8 {
            download(&session, ticket);
            download(&session, 100 + ticket);
            assert!(session.take(&[ticket]).is_some());
        }
        for ticket in 0..8 {
            assert!(session.take(&[100 + ticket]).is_some(), "{ticket}");
        }
    }

    #[test]
    fn what_the_client_has_not_read_is_not_expected() {
        let session = session(&[b"a"]);
        let prefer = SessionReuse::Prefer;
        judge(&session, prefer, Some(b"a")).unwrap();
        session.handshakes.store(1, Relaxed);
        download(&session, 1);
        assert_eq!(judge(&session, prefer, None), Err("no ticket"));
        session.may_be_unread();
        judge(&session, prefer, None).unwrap();
        // But it may have been.
        judge(&session, prefer, Some(&[1])).unwrap();
    }
}
