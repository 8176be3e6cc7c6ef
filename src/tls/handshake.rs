//! What rustls asks during a handshake: for tickets, and for sessions by their names.
//!
//! rustls has one object for all connections, which does not learn which connection it is
//! asked for. So each step of a handshake runs between [`HandshakeContext::enter`] and
//! [`HandshakeContext::leave`], which tell this module.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::HandshakeKind;
use rustls::server::{ProducesTickets, StoresServerSessions};

use super::ids::{SessionId, Standing};
use super::tickets::{Found, Named, Offered, SessionTickets};
use super::uses::CONTROL_MAX;
use crate::ioloop::tls::HandshakeContext;

/// The tickets of one handshake.
#[derive(Debug)]
pub(super) struct HandshakeTickets {
    session: Arc<SessionTickets>,
    of_control: bool,
    /// Whether tickets of other sessions of the client are accepted.
    takes_kin: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    offered: Offered,
    /// The session whose state was opened last. If the handshake resumes, it is this one.
    opened: Option<SessionId>,
    /// The numbers of the first and of the last ticket that were issued.
    issued: Option<(u32, u32)>,
    /// The size of the tickets that were issued.
    size: usize,
    named: Option<Named>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl HandshakeTickets {
    /// The handshake of a control connection.
    pub(super) fn of_control(session: &Arc<SessionTickets>) -> Arc<Self> {
        Self::new(session, true, false)
    }

    /// The handshake of a data connection. `takes_kin`: tickets of other sessions of the
    /// client are accepted, too.
    pub(super) fn of_data(session: &Arc<SessionTickets>, takes_kin: bool) -> Arc<Self> {
        Self::new(session, false, takes_kin)
    }

    fn new(session: &Arc<SessionTickets>, of_control: bool, takes_kin: bool) -> Arc<Self> {
        Arc::new(Self {
            session: Arc::clone(session),
            of_control,
            takes_kin,
            state: Mutex::default(),
        })
    }

    pub(super) fn session(&self) -> &SessionTickets {
        &self.session
    }

    pub(super) fn offered(&self) -> Offered {
        self.state().offered
    }

    /// What the session that was opened last is to the user now.
    pub(super) fn standing(&self) -> Standing {
        let opened = self.state().opened;
        opened.map_or(Standing::Foreign, |id| self.session.standing(id))
    }

    /// The handshake of the control connection is complete. A client that got no ticket
    /// resumes by the name of its session.
    pub(super) fn keep_named(&self) {
        let mut state = self.state();
        let named = state.named.take();
        if let Some(named) = named.filter(|_| state.issued.is_none()) {
            self.session.keep_named(named);
        }
    }

    /// The client may not have read the tickets that this handshake has issued.
    pub(super) fn may_be_unread(&self) {
        if let Some((first, last)) = self.state().issued
            && !self.of_control
        {
            (first..=last).for_each(|number| self.session.note_unread(number));
        }
    }

    /// Whether the handshake issues tickets. `kind`: of the handshake, as far as it has come.
    ///
    /// A data connection must have resumed; otherwise its client would count as the owner the
    /// next time. Even a good ticket is no proof before that, since anybody may have seen it on
    /// the wire. In TLS 1.2 this asks for tickets too early, so that data connections get none:
    /// a new one would make OpenSSL throw away the one before, which is in use elsewhere.
    fn issues(&self, kind: Option<HandshakeKind>) -> bool {
        self.of_control || kind == Some(HandshakeKind::Resumed)
    }

    fn issue(&self, kind: Option<HandshakeKind>, plain: &[u8]) -> Option<Vec<u8>> {
        let mut state = self.state();
        if !self.issues(kind) || !self.of_control && state.offered < Offered::Unproven {
            return None;
        }
        // The certificate of a client is in each of its tickets.
        if state.issued.is_some() && state.size + plain.len() > SIZE_MAX {
            return None;
        }
        // What is not proven yet leads to a ticket of the other session.
        let other = state.opened.filter(|_| state.offered == Offered::Unproven);
        let (ticket, number) = self.session.seal(self.of_control, other, plain)?;
        let first = state.issued.map_or(number, |(first, _)| first);
        state.issued = Some((first, number));
        state.size += plain.len();
        Some(ticket)
    }

    /// The state in a ticket that the client offers. Control connections never resume: the
    /// certificate of the client would not be verified.
    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let open = || self.session.open(self.takes_kin, ticket);
        self.note((!self.of_control).then(open)?)
    }

    /// The state of a session whose name the client offers.
    fn find_named(&self, name: &[u8]) -> Option<Vec<u8>> {
        let find = || self.session.find_named(self.takes_kin, name);
        self.note((!self.of_control).then(find)?)
    }

    /// Notes what the client has offered. It may offer several; rustls stops at the first one
    /// that it can use, so that only the last one that was opened counts.
    fn note(&self, found: Found) -> Option<Vec<u8>> {
        let mut own = self.state();
        match found.state {
            Some((id, state)) => {
                own.offered = found.offered;
                own.opened = Some(id);
                Some(state)
            }
            None => {
                own.offered = own.offered.max(found.offered);
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake as the loop sees it. A clone is the same handshake.
#[derive(Debug, Clone)]
pub(super) struct Current(pub(super) Arc<HandshakeTickets>);

impl HandshakeContext for Current {
    fn enter(&self, kind: Option<HandshakeKind>) {
        CURRENT.replace(Some((Arc::clone(&self.0), kind)));
    }

    fn leave(&self) {
        CURRENT.replace(None);
    }
}

thread_local! {
    /// The handshake that this thread goes on with, and its kind.
    static CURRENT: RefCell<Option<(Arc<HandshakeTickets>, Option<HandshakeKind>)>> =
        const { RefCell::new(None) };
}

/// Answers from the handshake that this thread goes on with; without one there is no answer.
fn ask<T>(
    question: impl FnOnce(&HandshakeTickets, Option<HandshakeKind>) -> Option<T>,
) -> Option<T> {
    CURRENT.with_borrow(|current| {
        let (handshake, kind) = current.as_ref()?;
        question(handshake, *kind)
    })
}

/// The tickets of all sessions, as rustls wants them.
#[derive(Debug)]
pub(super) struct Ticketer;

impl ProducesTickets for Ticketer {
    /// Where this is false, no ticket is issued. Then TLS 1.2 opens tickets all the same, and
    /// TLS 1.3 asks [`NamedSessions::take`].
    fn enabled(&self) -> bool {
        ask(|handshake, kind| Some(handshake.issues(kind))).unwrap_or(false)
    }

    /// A session takes its own tickets as long as it lives. This is a hint for clients: the
    /// longest one that is sensible, since many do not offer an older ticket.
    fn lifetime(&self) -> u32 {
        24 * 60 * 60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        ask(|handshake, kind| handshake.issue(kind, plain))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        ask(|handshake, _| handshake.open(ticket))
    }
}

/// The named sessions of TLS 1.2, as rustls wants them: for clients without tickets.
#[derive(Debug)]
pub(super) struct NamedSessions;

impl StoresServerSessions for NamedSessions {
    fn put(&self, name: Vec<u8>, value: Vec<u8>) -> bool {
        ask(|handshake, _| {
            let keep = || handshake.state().named = Some(Named { name, value });
            handshake.of_control.then(keep)
        })
        .is_some()
    }

    /// TLS 1.2 asks by the name of a session.
    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        ask(|handshake, _| handshake.find_named(name))
    }

    /// TLS 1.3 asks by a ticket. It may be used again.
    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        ask(|handshake, _| handshake.open(ticket))
    }

    /// Whether a session gets a name. Only that of a control connection does: a data
    /// connection either resumes one, and so has its name, or belongs to no session.
    fn can_cache(&self) -> bool {
        ask(|handshake, _| handshake.of_control.then_some(())).is_some()
    }
}

/// The most bytes of session states in the tickets of one handshake, unless it issues only
/// one.
const SIZE_MAX: usize = 4096;

/// Tickets that a control connection issues in TLS 1.3: enough for clients that use each only
/// once.
pub(super) const CONTROL_TICKETS: usize = 8;
// A client may ask for twice as many (RFC 9149).
const _: () = assert!(CONTROL_TICKETS * 2 <= CONTROL_MAX as usize);
