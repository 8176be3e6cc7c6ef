//! Users that change while the server runs, and sessions that are listed and closed.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use ftpdlib::authorizers::{DummyAuthorizer, Verdict};
use ftpdlib::testing::{Server, Session};
use ftpdlib::{FTPConfig, FTPHandler, FTPSession, SessionId, SessionInfo, Sessions};

use super::place::{Place, place};
use super::server::{Client, at, server};

/// A table with two users, which the test keeps.
fn shared(place: &mut Place) -> Arc<DummyAuthorizer> {
    let users = Arc::new(DummyAuthorizer::new());
    for name in ["user", "ann"] {
        let added = users.add_user(name, "12345", place.home.path(), "elradfmwMT");
        added.unwrap();
    }
    place.config.set_authorizer(Arc::clone(&users));
    users
}

fn list(server: &Server) -> Vec<SessionInfo> {
    let (sender, lists) = channel();
    let given = move |list| sender.send(list).unwrap();
    server.all_sessions().list_later(given);
    server.settle();
    let mut list: Vec<SessionInfo> = lists.try_recv().unwrap();
    list.sort_by_key(|session| session.address);
    list
}

const CLOSED: &str = "421 This session is closed by the server.";

#[test]
fn permissions_change_at_the_next_command() {
    let mut place = place();
    place.write("file", b"hello");
    let users = shared(&mut place);
    let mut session = place.login();
    session.command("TYPE I");
    assert_eq!(session.retr("file").unwrap(), b"hello");
    users.set_perm("user", "el").unwrap();
    assert_eq!(session.retr("file").unwrap_err().code(), 550);
    assert_eq!(session.command("SIZE file").code(), 213);
    users.set_perm("user", "elr").unwrap();
    assert_eq!(session.retr("file").unwrap(), b"hello");
    std::fs::create_dir(place.home.path().join("dir")).unwrap();
    let dir = place.home.path().join("dir");
    users.override_perm("user", &dir, "", true).unwrap();
    assert_eq!(session.command("CWD dir").code(), 550);
    assert!(users.remove_override("user", &dir));
    assert_eq!(session.command("CWD dir").code(), 250);
    users.set_msg_quit("user", "See you.").unwrap();
    assert_eq!(session.command("QUIT"), "221 See you.");
}

#[test]
fn a_home_and_a_password_change_at_the_next_login() {
    let mut place = place();
    place.write("file", b"old");
    let users = shared(&mut place);
    let mut session = place.login();
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("file"), b"new").unwrap();
    users.set_home("user", other.path()).unwrap();
    users.set_password("user", "other").unwrap();
    users.set_msg_login("user", "Hello.").unwrap();
    session.command("TYPE I");
    assert_eq!(session.retr("file").unwrap(), b"old");
    session.command("USER user");
    assert_eq!(session.command("PASS other"), "230 Hello.");
    assert_eq!(session.retr("file").unwrap(), b"new");
}

#[test]
fn a_removed_user_may_do_nothing() {
    let mut place = place();
    place.write("file", b"hello");
    let users = shared(&mut place);
    let mut session = place.login();
    session.command("TYPE I");
    users.remove_user("user");
    assert_eq!(session.retr("file").unwrap_err().code(), 550);
    assert_eq!(session.command("DELE file").code(), 550);
    assert_eq!(session.command("CWD /").code(), 550);
    assert_eq!(place.read("file"), b"hello");
}

#[test]
fn sessions_are_listed() {
    let mut place = place();
    shared(&mut place);
    let server = server(place.config.clone(), 1);
    assert!(list(&server).is_empty());
    let client = Client::login(&server, "10.0.0.2");
    let _greeted = Client::new(&server, "10.0.0.3");
    let sessions = list(&server);
    let [first, second] = &sessions[..] else {
        panic!("{sessions:?}");
    };
    assert_eq!(first.username.as_deref(), Some("user"));
    assert_eq!(first.address.ip(), at("10.0.0.2:0").ip());
    assert!(!first.is_transferring);
    assert_eq!(
        (second.username.as_ref(), first.id == second.id),
        (None, false)
    );
    assert!(client.command("REIN").starts_with("230 "));
    assert_eq!(list(&server)[0].username, None);
    assert_eq!(list(&server)[0].id, first.id);
    client.command("QUIT");
    assert_eq!(list(&server).len(), 1);
}

#[test]
fn a_session_is_closed_by_its_id() {
    let mut place = place();
    shared(&mut place);
    let server = server(place.config.clone(), 1);
    let (one, other) = (
        Client::login(&server, "10.0.0.2"),
        Client::login(&server, "10.0.0.3"),
    );
    let id = list(&server)[0].id.clone();
    server.all_sessions().close(&id);
    assert_eq!(one.receive(), CLOSED);
    assert!(one.stream.is_closed());
    assert!(other.command("NOOP").starts_with("200 "));
    // It has gone, and no other session has its name.
    server.all_sessions().close(&id);
    assert!(other.command("NOOP").starts_with("200 "));
}

#[test]
fn the_sessions_of_a_removed_user_are_closed() {
    let mut place = place();
    let users = shared(&mut place);
    let server = server(place.config.clone(), 1);
    let joe = Client::login(&server, "10.0.0.2");
    let _transfer = joe.passive();
    joe.send("STOR new");
    server.settle();
    assert!(joe.receive().starts_with("1"));
    assert!(list(&server)[0].is_transferring);
    let ann = Client::new(&server, "10.0.0.3");
    ann.command("USER ann");
    assert!(ann.command("PASS 12345").ends_with("230 Login successful."));
    let named = Client::new(&server, "10.0.0.4");
    assert!(
        named
            .command("USER user")
            .ends_with("331 Username ok, send password.")
    );
    users.remove_user("user");
    server.all_sessions().close_user("user");
    assert!(joe.receive().ends_with(CLOSED));
    assert!(joe.stream.is_closed());
    assert!(ann.command("NOOP").starts_with("200 "));
    // A name is no login, and there is no such user any more.
    named.send("PASS 12345");
    server.settle();
    server.set_now(server.now() + std::time::Duration::from_secs(10));
    assert!(named.receive().starts_with("530 "));
    assert_eq!(server.sessions(), 2);
}

/// A transfer that its user has left behind counts as one of that user.
#[test]
fn a_session_with_a_transfer_of_a_removed_user_is_closed() {
    let mut place = place();
    shared(&mut place);
    let server = server(place.config.clone(), 1);
    let client = Client::login(&server, "10.0.0.2");
    let _transfer = client.passive();
    client.send("STOR new");
    server.settle();
    assert!(client.command("USER ann").contains("331 "));
    assert!(client.command("PASS 12345").starts_with("230 "));
    assert_eq!(list(&server)[0].username.as_deref(), Some("ann"));
    server.all_sessions().close_user("user");
    assert!(client.receive().ends_with(CLOSED));
    assert!(client.stream.is_closed());
}

/// A login whose answer is still to come is closed with the others: it could succeed after that.
#[test]
fn a_login_that_waits_is_closed() {
    let mut place = place();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::clone(&kept);
    place.decide(move |_, later| {
        answers.lock().unwrap().push(later());
        Verdict::Later
    });
    let server = server(place.config.clone(), 1);
    let client = Client::new(&server, "10.0.0.2");
    client.command("USER user");
    client.send("PASS 12345");
    server.settle();
    server.all_sessions().close_user("user");
    server.settle();
    kept.lock().unwrap().pop().unwrap().answer(Ok(()));
    assert!(client.receive().ends_with(CLOSED));
    assert_eq!(server.sessions(), 0);
}

/// A hook gets at the sessions, and may not wait for its own loop.
#[test]
fn a_hook_lists_and_closes_sessions() {
    #[derive(Clone, Default)]
    struct Closing(Arc<Mutex<Vec<SessionId>>>);
    impl FTPHandler for Closing {
        fn ftp_noop(&mut self, s: &mut FTPSession) {
            let waits = s.sessions().list().unwrap_err();
            assert_eq!(waits.kind(), std::io::ErrorKind::Deadlock);
            let (sessions, own) = (s.sessions(), s.session_id());
            let ids = Arc::clone(&self.0);
            let close_others = move |list: Vec<SessionInfo>, sessions: &Sessions| {
                for session in list {
                    match session.id == own {
                        true => ids.lock().unwrap().push(session.id),
                        false => sessions.close(&session.id),
                    }
                }
            };
            let handle = sessions.clone();
            sessions.list_later(move |list| close_others(list, &handle));
            s.respond("200 Done.");
        }
    }
    let place = place();
    let closing = Closing::default();
    let handler = closing.clone();
    let address = at("10.0.0.1:21");
    let config: FTPConfig = place.config.clone();
    let server = Server::new(config, address, 1, move |_| handler.clone()).unwrap();
    let (one, other) = (
        Client::login(&server, "10.0.0.2"),
        Client::login(&server, "10.0.0.3"),
    );
    assert_eq!(one.command("NOOP"), "200 Done.");
    assert_eq!(other.receive(), CLOSED);
    assert_eq!(closing.0.lock().unwrap().len(), 1);
    assert!(!one.stream.is_closed());
}

/// Sessions of another server do not answer, although the thread is the same.
#[test]
fn a_session_belongs_to_its_server() {
    let place = place();
    let (one, other) = (
        server(place.config.clone(), 1),
        server(place.config.clone(), 2),
    );
    let client = Client::login(&one, "10.0.0.2");
    other.all_sessions().close_user("user");
    other.all_sessions().close(&list(&one)[0].id);
    assert!(client.command("NOOP").starts_with("200 "));
    assert!(list(&other).is_empty());
    let mut alone = Session::new(place.config.clone(), ftpdlib::handlers::StockHandler).unwrap();
    alone.login("user", "12345");
    alone.with(|_, s| s.sessions().close_user("user"));
    alone.wait();
    assert!(alone.is_closed());
}
