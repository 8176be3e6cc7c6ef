//! TLS of one control session: the handshakes of its control connection and of its data
//! connections, each a value that is finished once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::acceptor::{Configs, TlsAcceptor};
use super::config::SessionReuse;
use super::handshake::{Current, HandshakeTickets};
use super::tickets::{Offered, SessionTickets};
use crate::ioloop::tls::{HandshakeContext, NewTls};

/// TLS of one control session. A clone is the same session.
#[derive(Clone)]
pub(crate) struct TlsSession {
    acceptor: Arc<TlsAcceptor>,
    /// The configurations of all handshakes of this session. Certificates may be replaced
    /// during the session, but some clients want the same certificate on the control
    /// connection and on data connections.
    configs: Arc<Configs>,
    /// `None`: the settings allow no tickets.
    tickets: Option<Arc<SessionTickets>>,
}

/// The transfer that a data connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// No transfer has begun yet.
    None,
    /// The client gets a file.
    Download,
    /// The client gets a listing.
    Listing,
    Upload,
}

impl TlsSession {
    /// The session of a client at this address.
    pub(crate) fn new(acceptor: Arc<TlsAcceptor>, address: IpAddr) -> Self {
        let registry = acceptor.registry.as_ref();
        Self {
            configs: acceptor.configs(),
            tickets: registry.and_then(|registry| SessionTickets::new(registry, address)),
            acceptor,
        }
    }

    /// How long a handshake may take.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.acceptor.config.handshake_timeout
    }

    /// Whether an upload without the client's `close_notify` is incomplete.
    pub(crate) fn strict_eof(&self) -> bool {
        self.acceptor.config.strict_eof
    }

    /// This user is logged in from now on; `None`: nobody, or a user without a password.
    /// Other sessions of the same user at the same address accept its tickets.
    pub(crate) fn set_user(&self, user: Option<&str>) {
        if let Some(tickets) = &self.tickets {
            tickets.set_user(user);
        }
    }

    /// Begins the handshake of the control connection.
    pub(crate) fn control_handshake(&self) -> (ControlHandshake, NewTls) {
        let tickets = self.tickets.as_ref().map(HandshakeTickets::of_control);
        let new = NewTls {
            config: Arc::clone(&self.configs.control),
            context: context(tickets.as_ref()),
        };
        (ControlHandshake { tickets }, new)
    }

    /// Begins the handshake of a data connection. Only downloads get a new ticket:
    /// some clients that only send never read it, and reset the connection when they
    /// close it.
    pub(crate) fn data_handshake(&self, direction: Direction) -> (DataHandshake, NewTls) {
        let config = match direction {
            Direction::Download | Direction::Listing => &self.configs.download,
            Direction::None | Direction::Upload => &self.configs.upload,
        };
        let reuse = self.acceptor.config.session_reuse;
        let takes_kin = reuse == SessionReuse::Prefer;
        let tickets = self.tickets.as_ref();
        let tickets = tickets.map(|tickets| HandshakeTickets::of_data(tickets, takes_kin));
        let new = NewTls {
            config: Arc::clone(config),
            context: context(tickets.as_ref()),
        };
        (DataHandshake { tickets, reuse }, new)
    }
}

fn context(tickets: Option<&Arc<HandshakeTickets>>) -> Option<Box<dyn HandshakeContext>> {
    let current = Current(Arc::clone(tickets?));
    Some(Box::new(current))
}

/// A handshake of a control connection. If it fails, it is dropped.
pub(crate) struct ControlHandshake {
    tickets: Option<Arc<HandshakeTickets>>,
}

impl ControlHandshake {
    /// The handshake is complete.
    pub(crate) fn finish(self) {
        if let Some(tickets) = self.tickets {
            tickets.keep_named();
        }
    }
}

/// A handshake of a data connection. If it fails, it is dropped.
pub(crate) struct DataHandshake {
    tickets: Option<Arc<HandshakeTickets>>,
    reuse: SessionReuse,
}

impl DataHandshake {
    /// The handshake is complete: verifies that the data connection belongs to the
    /// session. `resumed`: it has resumed a TLS session. `tls13`: it uses TLS 1.3, where
    /// clients may use a ticket only once (RFC 8446 §C.4). `direction`: of the transfer
    /// that has begun by now.
    ///
    /// # Errors
    /// The reason why it does not belong to the session, for the reply.
    pub(crate) fn finish(
        self,
        resumed: bool,
        tls13: bool,
        direction: Direction,
    ) -> Result<FinishedDataHandshake, &'static str> {
        let Self { tickets, reuse } = self;
        let offered = tickets.as_ref().map(|tickets| tickets.offered());
        let offered = offered.unwrap_or_default();
        let session = tickets.as_ref().map(|tickets| tickets.session());
        if let Some(session) = session.filter(|_| resumed) {
            session.note_resumed();
        } else if must_resume(reuse, session, offered, tls13, direction) {
            return Err(match offered {
                Offered::None => "no ticket",
                Offered::Foreign => "a ticket of another session",
                Offered::Kin | Offered::Own => "a ticket that does not fit",
            });
        }
        Ok(FinishedDataHandshake { tickets })
    }
}

/// Whether a data connection that has not resumed is refused.
fn must_resume(
    reuse: SessionReuse,
    session: Option<&SessionTickets>,
    offered: Offered,
    tls13: bool,
    direction: Direction,
) -> bool {
    match (reuse, session) {
        (SessionReuse::Off, _) => false,
        (SessionReuse::Require, _) => true,
        (SessionReuse::Prefer, None) => false,
        (SessionReuse::Prefer, Some(session)) if !session.was_resumed() => false,
        // A client that has used up its tickets cannot offer one.
        (SessionReuse::Prefer, Some(session)) => {
            // No file is sent to a client that may have tickets left.
            let last_only = matches!(direction, Direction::Upload | Direction::Listing);
            let has_none = offered == Offered::None && tls13;
            !(has_none && session.are_used_up(last_only))
        }
    }
}

/// A finished handshake of a data connection.
pub(crate) struct FinishedDataHandshake {
    tickets: Option<Arc<HandshakeTickets>>,
}

impl FinishedDataHandshake {
    /// The data connection has ended in such a way that the client may not have read
    /// the tickets of this handshake: it is not expected to use them.
    pub(crate) fn tickets_may_be_unread(&self) {
        if let Some(tickets) = &self.tickets {
            tickets.may_be_unread();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustls::HandshakeKind;
    use rustls::server::{ProducesTickets, StoresServerSessions};

    use super::*;
    use crate::tls::handshake::{NamedSessions, Ticketer};
    use crate::tls::registry::Registry;

    fn session() -> Arc<SessionTickets> {
        let registry = Arc::new(Registry::new().unwrap());
        kin(&registry)
    }

    fn kin(registry: &Arc<Registry>) -> Arc<SessionTickets> {
        let session = SessionTickets::new(registry, Ipv4Addr::LOCALHOST.into()).unwrap();
        session.set_user(Some("user"));
        session
    }

    /// Asks during a step of a handshake.
    fn during<T>(
        handshake: &Arc<HandshakeTickets>,
        kind: Option<HandshakeKind>,
        question: impl FnOnce() -> T,
    ) -> T {
        let current = Current(Arc::clone(handshake));
        current.enter(kind);
        let answer = question();
        current.leave();
        answer
    }

    /// Tickets that the control connection has issued.
    fn tickets(of: &Arc<SessionTickets>, count: usize) -> Vec<Vec<u8>> {
        let handshake = HandshakeTickets::of_control(of);
        let issue = || Ticketer.encrypt(b"secret").unwrap();
        let issued = during(&handshake, Some(HandshakeKind::Full), || {
            (0..count).map(|_| issue()).collect()
        });
        let tickets = Some(handshake);
        ControlHandshake { tickets }.finish();
        issued
    }

    fn data(of: &Arc<SessionTickets>, reuse: SessionReuse) -> DataHandshake {
        let takes_kin = reuse == SessionReuse::Prefer;
        let tickets = Some(HandshakeTickets::of_data(of, takes_kin));
        DataHandshake { tickets, reuse }
    }

    impl DataHandshake {
        fn offers(&self, ticket: &[u8]) -> bool {
            let tickets = self.tickets.as_ref().unwrap();
            during(tickets, None, || Ticketer.decrypt(ticket).is_some())
        }

        fn gets(&self, kind: Option<HandshakeKind>) -> Option<Vec<u8>> {
            let tickets = self.tickets.as_ref().unwrap();
            during(tickets, kind, || Ticketer.encrypt(b"secret"))
        }
    }

    type Finished = Result<FinishedDataHandshake, &'static str>;

    /// A data connection in TLS 1.3 that offers a ticket or none.
    fn offer(
        of: &Arc<SessionTickets>,
        reuse: SessionReuse,
        ticket: Option<&[u8]>,
        direction: Direction,
    ) -> Finished {
        let handshake = data(of, reuse);
        let resumed = ticket.is_some_and(|ticket| handshake.offers(ticket));
        handshake.finish(resumed, true, direction)
    }

    fn upload(of: &Arc<SessionTickets>, reuse: SessionReuse, ticket: Option<&[u8]>) -> Finished {
        offer(of, reuse, ticket, Direction::Upload)
    }

    /// A download that resumes with one ticket and gets another.
    fn download(of: &Arc<SessionTickets>, ticket: &[u8]) -> (FinishedDataHandshake, Vec<u8>) {
        let handshake = data(of, SessionReuse::Prefer);
        assert!(handshake.offers(ticket));
        let new = handshake.gets(Some(HandshakeKind::Resumed)).unwrap();
        let finished = handshake.finish(true, true, Direction::Download);
        (finished.ok().unwrap(), new)
    }

    #[track_caller]
    fn accepts(result: Finished) {
        assert_eq!(result.err(), None);
    }

    #[track_caller]
    fn refuses(result: Finished, reason: &str) {
        assert_eq!(result.err(), Some(reason));
    }

    const PREFER: SessionReuse = SessionReuse::Prefer;
    const REQUIRE: SessionReuse = SessionReuse::Require;

    #[test]
    fn a_ticket_may_be_used_more_than_once() {
        let session = session();
        let all = tickets(&session, 2);
        for _ in 0..3 {
            accepts(upload(&session, REQUIRE, Some(&all[0])));
        }
    }

    #[test]
    fn require_takes_no_other_ticket() {
        let registry = Arc::new(Registry::new().unwrap());
        let (session, other) = (kin(&registry), kin(&registry));
        tickets(&session, 1);
        let foreign = tickets(&other, 1);
        refuses(upload(&session, REQUIRE, None), "no ticket");
        for foreign in [&foreign[0][..], b"x"] {
            let result = upload(&session, REQUIRE, Some(foreign));
            refuses(result, "a ticket of another session");
        }
        accepts(upload(&session, PREFER, Some(&foreign[0])));
    }

    #[test]
    fn prefer_takes_all_until_one_has_resumed() {
        let session = session();
        let all = tickets(&session, 2);
        accepts(upload(&session, PREFER, None));
        accepts(upload(&session, PREFER, Some(b"x")));
        accepts(upload(&session, PREFER, Some(&all[0])));
        refuses(upload(&session, PREFER, None), "no ticket");
    }

    #[test]
    fn prefer_forgives_a_client_that_has_used_up_its_tickets() {
        let session = session();
        let all = tickets(&session, 2);
        accepts(upload(&session, PREFER, Some(&all[0])));
        accepts(upload(&session, PREFER, Some(&all[1])));
        accepts(upload(&session, PREFER, None));
        // In TLS 1.2 a client may resume a session any number of times.
        let tls12 = data(&session, PREFER).finish(false, false, Direction::Upload);
        refuses(tls12, "no ticket");
        // A client that uses a ticket twice in TLS 1.3 may do so, too.
        accepts(upload(&session, PREFER, Some(&all[0])));
        refuses(upload(&session, PREFER, None), "no ticket");
    }

    #[test]
    fn prefer_forgives_a_client_that_keeps_the_last_ticket_only() {
        let session = session();
        let all = tickets(&session, 2);
        accepts(upload(&session, PREFER, Some(&all[1])));
        accepts(upload(&session, PREFER, None));
        accepts(offer(&session, PREFER, None, Direction::Listing));
        // But no file is sent to such a connection.
        for direction in [Direction::Download, Direction::None] {
            refuses(offer(&session, PREFER, None, direction), "no ticket");
        }
        // With a new ticket it must resume.
        download(&session, &all[0]);
        refuses(upload(&session, PREFER, None), "no ticket");
        refuses(
            offer(&session, PREFER, None, Direction::Listing),
            "no ticket",
        );
    }

    #[test]
    fn other_clients_get_no_ticket() {
        for reuse in [PREFER, REQUIRE] {
            let session = session();
            let all = tickets(&session, 1);
            let other = data(&session, reuse);
            for kind in [None, Some(HandshakeKind::Full)] {
                assert_eq!(other.gets(kind), None);
            }
            // Nor does a client that has seen a ticket, offers it, and then has a full
            // handshake because something else does not fit.
            let eavesdropper = data(&session, reuse);
            assert!(eavesdropper.offers(&all[0]));
            for kind in [
                HandshakeKind::Full,
                HandshakeKind::FullWithHelloRetryRequest,
            ] {
                assert_eq!(eavesdropper.gets(Some(kind)), None);
            }
            let finished = eavesdropper.finish(false, true, Direction::Upload);
            assert_eq!(finished.is_ok(), reuse == PREFER);
            accepts(upload(&session, reuse, Some(&all[0])));
        }
    }

    #[test]
    fn control_connections_never_resume() {
        let session = session();
        let all = tickets(&session, 1);
        let control = HandshakeTickets::of_control(&session);
        let opened = during(&control, None, || Ticketer.decrypt(&all[0]));
        assert_eq!(opened, None);
        let found = during(&control, None, || NamedSessions.get(&[7; 32]));
        assert_eq!(found, None);
        // Outside of a handshake there is nothing, either.
        assert_eq!(Ticketer.decrypt(&all[0]), None);
        assert_eq!(Ticketer.encrypt(b"secret"), None);
        assert!(!NamedSessions.can_cache());
    }

    #[test]
    fn only_a_client_without_tickets_resumes_by_name() {
        for takes_tickets in [false, true] {
            let session = session();
            let control = HandshakeTickets::of_control(&session);
            during(&control, Some(HandshakeKind::Full), || {
                assert!(NamedSessions.can_cache());
                assert!(NamedSessions.put(vec![7; 32], b"secret".to_vec()));
                if takes_tickets {
                    Ticketer.encrypt(b"secret").unwrap();
                }
            });
            let tickets = Some(control);
            ControlHandshake { tickets }.finish();
            let handshake = HandshakeTickets::of_data(&session, false);
            during(&handshake, None, || {
                assert!(!NamedSessions.can_cache());
                assert!(!NamedSessions.put(vec![8; 32], Vec::new()));
                let found = NamedSessions.get(&[7; 32]);
                assert_eq!(found.is_some(), !takes_tickets);
            });
        }
    }

    #[test]
    fn a_client_need_not_use_what_it_may_not_have_read() {
        let session = session();
        let all = tickets(&session, 1);
        let (download, new) = download(&session, &all[0]);
        refuses(upload(&session, PREFER, None), "no ticket");
        download.tickets_may_be_unread();
        accepts(upload(&session, PREFER, None));
        // But the client may have read it.
        accepts(upload(&session, PREFER, Some(&new)));
    }

    /// The certificate of a client may be long, and is in each ticket.
    #[test]
    fn long_tickets_are_few() {
        let session = session();
        let count = |size: usize| {
            let state = vec![0; size];
            let handshake = HandshakeTickets::of_control(&session);
            during(&handshake, Some(HandshakeKind::Full), || {
                (0..4).filter_map(|_| Ticketer.encrypt(&state)).count()
            })
        };
        assert_eq!((count(100), count(1500), count(5000)), (4, 2, 1));
    }
}
