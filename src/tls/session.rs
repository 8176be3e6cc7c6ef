//! TLS of one control session: the handshakes of its control connection and of its data
//! connections, each a value that is finished once.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use super::acceptor::TlsAcceptor;
use super::config::SessionReuse;
use super::tickets::{HandshakeTickets, Offered, SessionTickets};

/// TLS of one control session. A clone is the same session.
#[derive(Clone)]
pub(crate) struct TlsSession {
    acceptor: Arc<TlsAcceptor>,
    /// The configuration of all handshakes of this session, without their tickets.
    /// Certificates may be replaced during the session, but some clients want the
    /// same certificate on the control connection and on data connections.
    base: Arc<ServerConfig>,
    tickets: Arc<SessionTickets>,
}

/// The transfer that a data connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// No transfer has begun yet.
    None,
    Download,
    Upload,
}

impl TlsSession {
    pub(crate) fn new(acceptor: Arc<TlsAcceptor>) -> Self {
        Self {
            base: acceptor.base(),
            acceptor,
            tickets: Arc::default(),
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

    /// Begins the handshake of the control connection.
    pub(crate) fn control_handshake(&self) -> (ControlHandshake, Arc<ServerConfig>) {
        let tickets = self.tickets.begin(true);
        let config = self.config(&tickets, CONTROL_TICKETS);
        (ControlHandshake { tickets }, config)
    }

    /// Begins the handshake of a data connection. Only downloads get a new ticket:
    /// some clients that only send never read it, and reset the connection when they
    /// close it.
    pub(crate) fn data_handshake(
        &self,
        direction: Direction,
    ) -> (DataHandshake, Arc<ServerConfig>) {
        let tickets = self.tickets.begin(false);
        let count = usize::from(direction == Direction::Download);
        let config = self.config(&tickets, count);
        let reuse = self.acceptor.config.session_reuse;
        (DataHandshake { tickets, reuse }, config)
    }

    /// The configuration of a handshake that issues `count` tickets in TLS 1.3.
    fn config(&self, tickets: &Arc<HandshakeTickets>, count: usize) -> Arc<ServerConfig> {
        let mut config = without_tickets(&self.base);
        if self.acceptor.config.session_reuse != SessionReuse::Off {
            config.session_storage = Arc::<HandshakeTickets>::clone(tickets);
            config.send_tls13_tickets = count;
            config.max_tls13_tickets = count.saturating_mul(2);
        }
        Arc::new(config)
    }
}

/// A handshake of a control connection. If it fails, it is dropped.
pub(crate) struct ControlHandshake {
    tickets: Arc<HandshakeTickets>,
}

impl ControlHandshake {
    /// The handshake is complete: the session keeps the tickets that it has issued.
    pub(crate) fn finish(self) {
        self.tickets.keep();
    }
}

/// A handshake of a data connection. If it fails, it is dropped: its tickets were not
/// kept, so they cannot be used.
pub(crate) struct DataHandshake {
    tickets: Arc<HandshakeTickets>,
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
        if resumed {
            self.tickets.keep_resumed();
        } else if self.must_resume(tls13, direction) {
            return Err(match self.tickets.offered() {
                Offered::None => "no ticket",
                Offered::Foreign => "a ticket of another session",
                Offered::Own => "a ticket that does not fit",
            });
        }
        // Without a resumption its tickets are not kept: a third party may hold them.
        let Self { tickets, .. } = self;
        Ok(FinishedDataHandshake { tickets })
    }

    fn must_resume(&self, tls13: bool, direction: Direction) -> bool {
        let session = self.tickets.session();
        match self.reuse {
            SessionReuse::Off => false,
            SessionReuse::Require => true,
            SessionReuse::Prefer if !session.was_resumed() => false,
            // A client that has used up its tickets cannot offer one.
            SessionReuse::Prefer => {
                let offers_none = self.tickets.offered() == Offered::None;
                let uploads = direction == Direction::Upload;
                !(offers_none && tls13 && session.are_used_up(uploads))
            }
        }
    }
}

/// A finished handshake of a data connection.
pub(crate) struct FinishedDataHandshake {
    tickets: Arc<HandshakeTickets>,
}

impl FinishedDataHandshake {
    /// The data connection has ended in such a way that the client may not have read
    /// the tickets of this handshake: it is not expected to use them.
    pub(crate) fn tickets_may_be_unread(&self) {
        self.tickets.may_be_unread();
    }
}

/// A copy of `base` whose handshakes neither issue nor accept tickets.
fn without_tickets(base: &ServerConfig) -> ServerConfig {
    let mut config = base.clone();
    config.ticketer = Arc::new(NoTickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// Issues no tickets that hold the session themselves.
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

/// Tickets that a control connection issues in TLS 1.3: enough for clients that use
/// each only once.
const CONTROL_TICKETS: usize = 8;

#[cfg(test)]
mod tests {
    use rustls::server::StoresServerSessions;

    use super::*;

    /// A session whose control connection has issued these tickets.
    fn session(tickets: &[&[u8]]) -> Arc<SessionTickets> {
        let session = Arc::new(SessionTickets::default());
        let tickets_of_control = session.begin(true);
        for ticket in tickets {
            assert!(tickets_of_control.put(ticket.to_vec(), b"secret".to_vec()));
        }
        let control = ControlHandshake {
            tickets: tickets_of_control,
        };
        control.finish();
        session
    }

    fn handshake(session: &Arc<SessionTickets>, reuse: SessionReuse) -> DataHandshake {
        let tickets = session.begin(false);
        DataHandshake { tickets, reuse }
    }

    /// A handshake of an upload, in TLS 1.3, that offers a ticket or none.
    fn upload(
        session: &Arc<SessionTickets>,
        reuse: SessionReuse,
        ticket: Option<&[u8]>,
    ) -> Result<FinishedDataHandshake, &'static str> {
        let handshake = handshake(session, reuse);
        let resumed = ticket.is_some_and(|ticket| handshake.tickets.take(ticket).is_some());
        handshake.finish(resumed, true, Direction::Upload)
    }

    /// A handshake of a download that resumes with one ticket and issues another.
    fn download(session: &Arc<SessionTickets>, ticket: &[u8], new: &[u8]) -> FinishedDataHandshake {
        let handshake = handshake(session, SessionReuse::Prefer);
        assert!(handshake.tickets.take(ticket).is_some());
        assert!(handshake.tickets.put(new.to_vec(), Vec::new()));
        let finished = handshake.finish(true, true, Direction::Download);
        finished.ok().unwrap()
    }

    #[track_caller]
    fn accepts(result: Result<FinishedDataHandshake, &'static str>) {
        assert_eq!(result.err(), None);
    }

    #[track_caller]
    fn refuses(result: Result<FinishedDataHandshake, &'static str>, reason: &str) {
        assert_eq!(result.err(), Some(reason));
    }

    #[test]
    fn a_ticket_may_be_used_more_than_once() {
        let session = session(&[b"a", b"b"]);
        for _ in 0..3 {
            accepts(upload(&session, SessionReuse::Require, Some(b"a")));
        }
    }

    #[test]
    fn require_takes_no_other_ticket() {
        let session = session(&[b"a"]);
        let require = SessionReuse::Require;
        refuses(upload(&session, require, None), "no ticket");
        let other = upload(&session, require, Some(b"x"));
        refuses(other, "a ticket of another session");
    }

    #[test]
    fn prefer_takes_all_until_one_has_resumed() {
        let session = session(&[b"a", b"b"]);
        let prefer = SessionReuse::Prefer;
        accepts(upload(&session, prefer, None));
        accepts(upload(&session, prefer, Some(b"x")));
        accepts(upload(&session, prefer, Some(b"a")));
        refuses(upload(&session, prefer, None), "no ticket");
    }

    #[test]
    fn prefer_forgives_a_client_that_has_used_up_its_tickets() {
        let session = session(&[b"a", b"b"]);
        let prefer = SessionReuse::Prefer;
        accepts(upload(&session, prefer, Some(b"a")));
        accepts(upload(&session, prefer, Some(b"b")));
        accepts(upload(&session, prefer, None));
        // In TLS 1.2 a client may resume a session any number of times.
        let tls12 = handshake(&session, prefer).finish(false, false, Direction::Upload);
        refuses(tls12, "no ticket");
        // A client that uses a ticket twice in TLS 1.3 may do so, too.
        accepts(upload(&session, prefer, Some(b"a")));
        refuses(upload(&session, prefer, None), "no ticket");
    }

    #[test]
    fn prefer_forgives_a_client_that_keeps_the_last_ticket_only() {
        let session = session(&[b"a", b"b"]);
        let prefer = SessionReuse::Prefer;
        accepts(upload(&session, prefer, Some(b"b")));
        accepts(upload(&session, prefer, None));
        // But no file is sent to such a connection.
        for direction in [Direction::Download, Direction::None] {
            let result = handshake(&session, prefer).finish(false, true, direction);
            refuses(result, "no ticket");
        }
        // With a new ticket it must resume.
        let control = session.begin(true);
        control.put(b"c".to_vec(), Vec::new());
        control.keep();
        refuses(upload(&session, prefer, None), "no ticket");
    }

    #[test]
    fn other_clients_get_no_ticket_that_they_can_use() {
        for reuse in [SessionReuse::Prefer, SessionReuse::Require] {
            let session = session(&[b"a"]);
            let other = handshake(&session, reuse);
            assert!(!other.tickets.put(b"other".to_vec(), Vec::new()));
            // Nor does a client that has seen the number of a ticket but does not
            // know its secret.
            let eavesdropper = handshake(&session, reuse);
            assert!(eavesdropper.tickets.take(b"a").is_some());
            assert!(eavesdropper.tickets.put(b"stolen".to_vec(), Vec::new()));
            let finished = eavesdropper.finish(false, true, Direction::Upload);
            assert_eq!(finished.is_ok(), reuse == SessionReuse::Prefer);
            accepts(upload(&session, reuse, Some(b"a")));
            let stolen = handshake(&session, reuse).tickets.take(b"stolen");
            assert!(stolen.is_none());
        }
    }

    #[test]
    fn a_client_need_not_use_what_it_may_not_have_read() {
        let session = session(&[b"a"]);
        let prefer = SessionReuse::Prefer;
        let download = download(&session, b"a", b"b");
        refuses(upload(&session, prefer, None), "no ticket");
        download.tickets_may_be_unread();
        accepts(upload(&session, prefer, None));
        // But the client may have read it.
        accepts(upload(&session, prefer, Some(b"b")));
    }
}
