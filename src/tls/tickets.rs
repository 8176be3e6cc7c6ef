//! The tickets of one control session, which tie its data connections to it.
//!
//! A ticket is a random number (32 bytes, chosen by rustls) that only this session
//! remembers. A data connection that offers one, and proves that it knows the secret
//! of that ticket, belongs to the client that received it on the control connection. A
//! data connection of another session offers a number that is unknown here. All tickets
//! are forgotten with the session. A ticket may be used more than once: many clients
//! resume every data connection with the one from the control connection.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;

/// The tickets that a session remembers.
#[derive(Debug, Default)]
pub(super) struct SessionTickets {
    kept: Mutex<Vec<Ticket>>,
    /// Handshakes so far.
    handshakes: AtomicUsize,
    /// Tickets issued so far.
    issued: AtomicUsize,
    /// Whether a data connection has resumed the session.
    resumed: AtomicBool,
}

#[derive(Debug)]
struct Ticket {
    number: Vec<u8>,
    secret: Vec<u8>,
    uses: usize,
    /// How many tickets were issued before.
    order: usize,
    /// The number of the handshake that issued it.
    handshake: usize,
    /// Whether the control connection issued it.
    of_control: bool,
    /// Whether the client may not have read it.
    may_be_unread: bool,
}

impl SessionTickets {
    /// Begins a handshake: of the control connection, or of a data connection.
    pub(super) fn begin(self: &Arc<Self>, of_control: bool) -> Arc<HandshakeTickets> {
        Arc::new(HandshakeTickets {
            session: Arc::clone(self),
            number: self.handshakes.fetch_add(1, Relaxed),
            of_control,
            state: Mutex::default(),
        })
    }

    /// Whether a data connection has resumed the session.
    pub(super) fn was_resumed(&self) -> bool {
        self.resumed.load(Relaxed)
    }

    /// Whether the client has used each ticket that it has read, and none of them
    /// twice. Uploads bring no new ticket, and some clients keep the last ticket only:
    /// with `uploads` it is enough that the last one was used.
    pub(super) fn are_used_up(&self, uploads: bool) -> bool {
        let kept = lock(&self.kept);
        let read = || kept.iter().filter(|ticket| !ticket.may_be_unread);
        let last = read().max_by_key(|ticket| ticket.order);
        let last_used = last.is_none_or(|last| last.uses == 1);
        let all_used = read().all(|ticket| ticket.uses == 1);
        kept.iter().all(|ticket| ticket.uses <= 1) && (all_used || (uploads && last_used))
    }

    fn keep(&self, tickets: Vec<Ticket>) {
        let mut kept = lock(&self.kept);
        for ticket in tickets {
            if kept.len() == KEPT {
                let index = least_needed(&kept);
                kept.remove(index);
            }
            kept.push(ticket);
        }
    }

    /// The secret of a ticket, which counts as used; `None` if this session has not
    /// issued it.
    fn redeem(&self, number: &[u8]) -> Option<Vec<u8>> {
        let mut kept = lock(&self.kept);
        let index = kept.iter().position(|ticket| ticket.number == number)?;
        // The ticket moves to the end: tickets in use are dropped last.
        let mut ticket = kept.remove(index);
        ticket.uses += 1;
        let secret = ticket.secret.clone();
        kept.push(ticket);
        Some(secret)
    }
}

/// The tickets of one handshake: the storage that rustls uses during it.
#[derive(Debug)]
pub(super) struct HandshakeTickets {
    session: Arc<SessionTickets>,
    number: usize,
    of_control: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    offered: Offered,
    /// Tickets that the client can use only if the session keeps them.
    issued: Vec<Ticket>,
}

/// The ticket that the client has offered in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Offered {
    #[default]
    None,
    /// One that this session has not issued.
    Foreign,
    /// One that this session has issued.
    Own,
}

impl HandshakeTickets {
    pub(super) fn session(&self) -> &SessionTickets {
        &self.session
    }

    pub(super) fn offered(&self) -> Offered {
        lock(&self.state).offered
    }

    /// The handshake has resumed the session: keeps the tickets that it has issued.
    pub(super) fn keep_resumed(&self) {
        self.session.resumed.store(true, Relaxed);
        self.keep();
    }

    /// The handshake belongs to the session: keeps the tickets that it has issued.
    pub(super) fn keep(&self) {
        let issued = mem::take(&mut lock(&self.state).issued);
        self.session.keep(issued);
    }

    /// The client may not have read the tickets that this handshake has issued.
    pub(super) fn may_be_unread(&self) {
        for ticket in lock(&self.session.kept).iter_mut() {
            ticket.may_be_unread |= ticket.handshake == self.number && !ticket.of_control;
        }
    }
}

impl StoresServerSessions for HandshakeTickets {
    /// No ticket offered, none issued: a client that keeps one ticket for all
    /// connections would lose a good one.
    fn put(&self, number: Vec<u8>, secret: Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        let belongs = self.of_control || state.offered == Offered::Own;
        let order = self.session.issued.fetch_add(1, Relaxed);
        if belongs {
            state.issued.push(Ticket {
                number,
                secret,
                uses: 0,
                order,
                handshake: self.number,
                of_control: self.of_control,
                may_be_unread: false,
            });
        }
        belongs
    }

    fn get(&self, number: &[u8]) -> Option<Vec<u8>> {
        let secret = self.session.redeem(number);
        let offered = match secret {
            Some(_) => Offered::Own,
            None => Offered::Foreign,
        };
        let mut state = lock(&self.state);
        state.offered = state.offered.max(offered);
        secret
    }

    /// Does not remove the ticket: it may be used again.
    fn take(&self, number: &[u8]) -> Option<Vec<u8>> {
        self.get(number)
    }

    /// Whether a TLS 1.2 session gets a name. Only that of the control connection
    /// does: a data connection either resumes it, and so has its name, or belongs to
    /// no session.
    fn can_cache(&self) -> bool {
        self.of_control
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The index of the ticket that the client is least likely to offer again. Control
/// tickets are dropped last, because a client may offer them at any time. Used data
/// tickets are dropped first, because a client that has used one once does not use it
/// again.
fn least_needed(kept: &[Ticket]) -> usize {
    let of_data = |ticket: &Ticket| !ticket.of_control;
    let spent = |ticket: &Ticket| of_data(ticket) && ticket.uses == 1;
    let index = kept.iter().position(spent);
    index
        .or_else(|| kept.iter().position(of_data))
        .unwrap_or_default()
}

/// Tickets that a session remembers: more than the control connection issues, so that
/// those of downloads do not drive them out.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A session whose control connection has issued these tickets.
    fn session(tickets: &[&[u8]]) -> Arc<SessionTickets> {
        let session = Arc::new(SessionTickets::default());
        let control = session.begin(true);
        for ticket in tickets {
            assert!(control.put(ticket.to_vec(), b"secret".to_vec()));
        }
        control.keep();
        session
    }

    fn is_known(session: &Arc<SessionTickets>, ticket: &[u8]) -> bool {
        session.begin(false).take(ticket).is_some()
    }

    /// Issues a ticket on a data connection.
    fn download(session: &Arc<SessionTickets>, ticket: u8) {
        let data = session.begin(false);
        lock(&data.state).offered = Offered::Own;
        assert!(data.put(vec![ticket], Vec::new()));
        data.keep_resumed();
    }

    #[test]
    fn a_used_control_ticket_is_dropped_last() {
        let session = session(&[b"control"]);
        for ticket in 0..=u8::MAX {
            download(&session, ticket);
            assert!(is_known(&session, b"control"));
        }
        assert_eq!(lock(&session.kept).len(), KEPT);
    }

    #[test]
    fn control_tickets_are_never_dropped() {
        let session = session(&[b"control 1", b"control 2"]);
        for ticket in 0..100 {
            download(&session, ticket);
            assert!(is_known(&session, &[ticket]));
        }
        assert_eq!(lock(&session.kept).len(), KEPT);
        assert!(is_known(&session, b"control 1"));
        assert!(is_known(&session, b"control 2"));
    }

    #[test]
    fn used_data_tickets_are_dropped_first() {
        let session = session(&[b"control"]);
        for ticket in 0..8 {
            download(&session, ticket);
            download(&session, 100 + ticket);
            assert!(is_known(&session, &[ticket]));
        }
        for ticket in 0..8 {
            assert!(is_known(&session, &[100 + ticket]), "{ticket}");
        }
    }
}
