//! Which data connections belong to a session.

use std::net::Ipv4Addr;

use rustls::HandshakeKind;
use rustls::server::{ProducesTickets, StoresServerSessions};

use super::*;
use crate::ioloop::clock::Clock;
use crate::tls::handshake::{NamedSessions, Ticketer};
use crate::tls::registry::Registry;

fn session() -> Arc<SessionTickets> {
    let registry = Arc::new(Registry::new(Clock::SYSTEM).unwrap());
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
    finish(handshake, resumed, true, direction)
}

fn finish(handshake: DataHandshake, resumed: bool, tls13: bool, direction: Direction) -> Finished {
    let verified = handshake.verify(resumed, tls13, direction)?;
    assert!(verified, "not proven yet");
    Ok(handshake.finish())
}

fn upload(of: &Arc<SessionTickets>, reuse: SessionReuse, ticket: Option<&[u8]>) -> Finished {
    offer(of, reuse, ticket, Direction::Upload)
}

/// A download that resumes with one ticket and gets another.
fn download(of: &Arc<SessionTickets>, ticket: &[u8]) -> (FinishedDataHandshake, Vec<u8>) {
    let handshake = data(of, SessionReuse::Prefer);
    assert!(handshake.offers(ticket));
    let new = handshake.gets(Some(HandshakeKind::Resumed)).unwrap();
    let finished = finish(handshake, true, true, Direction::Download);
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
    let registry = Arc::new(Registry::new(Clock::SYSTEM).unwrap());
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
    let tls12 = data(&session, PREFER);
    let tls12 = finish(tls12, false, false, Direction::Upload);
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

/// A client with parallel sessions offers its newest ticket, whose session may be about to
/// log in.
#[test]
fn a_session_may_still_log_in() {
    let registry = Arc::new(Registry::new(Clock::SYSTEM).unwrap());
    for (user, expected) in [
        (Some("user"), Ok(true)),
        (Some("other"), Err(FOREIGN)),
        (Some("anonymous"), Err(FOREIGN)),
    ] {
        let (session, late) = (kin(&registry), kin(&registry));
        accepts(upload(&session, PREFER, Some(&tickets(&session, 1)[0])));
        late.set_user(None);
        let ticket = &tickets(&late, 1)[0];
        let handshake = data(&session, PREFER);
        assert!(handshake.offers(ticket));
        let verify = |direction| handshake.verify(true, true, direction);
        assert_eq!(verify(Direction::Download), Ok(false));
        // What it is given meanwhile is good for the other session only.
        let new = handshake.gets(Some(HandshakeKind::Resumed)).unwrap();
        late.set_user(Some("other"));
        assert!(!data(&session, PREFER).offers(&new));
        late.set_user(user);
        assert_eq!(verify(Direction::Download), expected);
    }
    let (session, late) = (kin(&registry), kin(&registry));
    late.set_user(None);
    let ticket = &tickets(&late, 1)[0];
    // Any client may make the first connection, which proves nothing.
    accepts(upload(&session, PREFER, Some(ticket)));
    assert!(!session.was_resumed());
    refuses(upload(&session, REQUIRE, Some(ticket)), FOREIGN);
    accepts(upload(&session, PREFER, Some(&tickets(&session, 1)[0])));
    let handshake = data(&session, PREFER);
    assert!(handshake.offers(ticket));
    drop(late);
    assert_eq!(
        handshake.verify(true, true, Direction::Upload),
        Err(FOREIGN)
    );
}

/// rustls uses the first ticket that fits, so a good one that does not fit proves nothing.
#[test]
fn the_last_ticket_counts() {
    let registry = Arc::new(Registry::new(Clock::SYSTEM).unwrap());
    let (session, stranger) = (kin(&registry), kin(&registry));
    let own = &tickets(&session, 1)[0];
    accepts(upload(&session, PREFER, Some(own)));
    stranger.set_user(None);
    let handshake = data(&session, PREFER);
    assert!(handshake.offers(own));
    assert!(handshake.offers(&tickets(&stranger, 1)[0]));
    assert_eq!(handshake.verify(true, true, Direction::Upload), Ok(false));
    stranger.set_user(Some("other"));
    let result = handshake.verify(true, true, Direction::Upload);
    assert_eq!(result, Err(FOREIGN));
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
        let finished = finish(eavesdropper, false, true, Direction::Upload);
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
    assert!(!Ticketer.enabled());
}

/// TLS 1.2 asks whether there are tickets before it knows whether it resumes. A new ticket would
/// make OpenSSL throw away the one before.
#[test]
fn tls12_issues_tickets_on_the_control_connection_only() {
    let session = session();
    let control = HandshakeTickets::of_control(&session);
    assert!(during(&control, None, || Ticketer.enabled()));
    let data = HandshakeTickets::of_data(&session, true);
    assert!(!during(&data, None, || Ticketer.enabled()));
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    assert!(!during(&data, Some(full), || Ticketer.enabled()));
    assert!(during(&data, Some(resumed), || Ticketer.enabled()));
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
