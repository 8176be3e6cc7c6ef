//! `login_timeout`: how long a client may take to log in. Each test is the attack.

use std::sync::mpsc::channel;
use std::time::Duration;

use ftpdlib::TlsConfig;
use ftpdlib::authorizers::Verdict;
use ftpdlib::handlers::StockHandler;
use ftpdlib::testing::Session;
use testkit::authority::Pair;

use super::place::{place, reply};
use super::server::{Client, server};

const SECOND: Duration = Duration::from_secs(1);
const LATE: &str = "421 Login timed out.";

#[test]
fn commands_do_not_put_the_login_off() {
    let mut session = place().connect();
    for _ in 0..11 {
        session.advance(5 * SECOND);
        assert_eq!(session.command("NOOP").code(), 200);
        assert_eq!(session.command("USER user").code(), 331);
    }
    session.advance(5 * SECOND - Duration::from_millis(1));
    assert_eq!(session.reply(), None);
    session.advance(Duration::from_millis(1));
    assert_eq!(reply(&mut session), LATE);
    assert!(session.is_closed());
}

#[test]
fn silent_clients_are_closed_too() {
    let mut session = place().connect();
    session.advance(60 * SECOND);
    assert_eq!(reply(&mut session), LATE);
    assert!(session.is_closed());
}

#[test]
fn a_login_ends_the_wait_for_it() {
    let mut session = place().login();
    session.advance(299 * SECOND);
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn without_a_login_timeout_a_client_may_wait() {
    let mut place = place();
    place.config.login_timeout = None;
    let mut session = place.connect();
    session.advance(299 * SECOND);
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn the_idle_timeout_comes_first_if_it_is_shorter() {
    let mut place = place();
    place.config.timeout = Some(10 * SECOND);
    let mut session = place.connect();
    session.advance(10 * SECOND);
    assert_eq!(reply(&mut session), "421 Control connection timed out.");
}

/// A client that logs in and out again holds a slot without a user.
#[test]
fn a_logout_begins_the_time_anew() {
    for logout in ["REIN", "USER user"] {
        let mut session = place().login();
        session.advance(100 * SECOND);
        assert!(matches!(session.command(logout).code(), 230 | 331));
        session.advance(59 * SECOND);
        assert_eq!(session.command("NOOP").code(), 200);
        session.advance(SECOND);
        assert_eq!(reply(&mut session), LATE);
        assert!(session.is_closed());
    }
}

#[test]
fn a_transfer_of_the_last_user_may_end_first() {
    let place = place();
    let mut session = place.login();
    let mut data = session.passive();
    assert_eq!(session.command("STOR up").code(), 125);
    assert_eq!(session.command("USER user").code(), 331);
    for _ in 0..7 {
        data.write(b"x");
        session.advance(10 * SECOND);
        assert_eq!(session.reply(), None);
    }
    data.close();
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    session.advance(SECOND);
    assert_eq!(reply(&mut session), LATE);
}

/// The delay after a wrong password is part of the time, and ends with it. The slot stays taken
/// for as long as the delay, so that a client cannot guess faster.
#[test]
fn the_delay_of_a_wrong_password_counts() {
    let mut place = place();
    place.config.login_timeout = Some(10 * SECOND);
    place.config.auth_failed_timeout = 30 * SECOND;
    let mut server = server(place.config.clone(), 1);
    server.set_max_cons_per_ip(1);
    let client = Client::new(&server, "10.0.0.2");
    client.command("USER user");
    assert_eq!(client.command("PASS guess"), "");
    server.set_now(10 * SECOND);
    assert_eq!(client.receive(), LATE);
    drop(client);
    let again = Client::new(&server, "10.0.0.2");
    assert!(again.receive().starts_with("421 "), "the slot is free");
    drop(again);
    server.set_now(30 * SECOND);
    server.settle();
    let again = Client::new(&server, "10.0.0.2");
    assert!(again.receive().starts_with("220 "));
}

#[test]
fn the_answer_of_the_authorizer_counts() {
    let mut place = place();
    let (sender, verdicts) = channel();
    place.decide(move |_, later| {
        sender.send(later()).unwrap();
        Verdict::Later
    });
    let server = server(place.config.clone(), 1);
    let client = Client::new(&server, "10.0.0.2");
    client.command("USER user");
    assert_eq!(client.command("PASS 12345"), "");
    server.set_now(60 * SECOND);
    assert_eq!(client.receive(), LATE);
    // The answer comes too late.
    verdicts.recv().unwrap().answer(Ok(()));
    assert_eq!(client.receive(), "");
    assert_eq!(server.sessions(), 0);
}

/// A client that begins a TLS handshake and never ends it gets no longer time by that.
#[test]
fn the_tls_handshake_counts() {
    let mut place = place();
    let pair = Pair::new(&["localhost"]);
    let mut tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    tls.handshake_timeout = 50 * SECOND;
    place.config.tls = Some(tls);
    let mut session = Session::new(place.config.clone(), StockHandler).unwrap();
    session.advance(30 * SECOND);
    assert_eq!(session.command("AUTH TLS").code(), 234);
    session.advance(29 * SECOND);
    assert!(!session.is_closed());
    session.advance(SECOND);
    assert!(session.is_closed());
    assert_eq!(session.reply(), None);
}
