//! Sessions that other threads list and close, and users that they change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::sync::{Arc, mpsc};
use std::thread;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPServer, Sessions, ThreadedFTPServer};
use testkit::{Client, DEADLINE, PASSWORD, Server, USER, config, wait_for};

use crate::MODE;

fn server() -> (Server, Arc<DummyAuthorizer>, Sessions) {
    let users = Arc::new(DummyAuthorizer::new());
    let (given, sessions) = mpsc::channel();
    let table = Arc::clone(&users);
    let server = Server::build(
        MODE,
        "127.0.0.1",
        move |config| {
            let home = config.authorizer.get_home_dir(USER).unwrap();
            for name in [USER, "ann"] {
                table.add_user(name, PASSWORD, &home, "elradfmwMT").unwrap();
            }
            config.set_authorizer(table);
        },
        move |server| given.send(server.sessions()).unwrap(),
        |_| StockHandler,
    );
    (server, users, sessions.recv_timeout(DEADLINE).unwrap())
}

/// The names of the users who are logged in.
fn names(sessions: &Sessions) -> Vec<String> {
    let list = sessions.list().unwrap();
    let mut names: Vec<_> = list.into_iter().filter_map(|one| one.username).collect();
    names.sort();
    names
}

#[test]
fn a_user_is_added_and_removed_while_the_server_runs() {
    let (server, users, sessions) = server();
    assert!(names(&sessions).is_empty());
    let home = users.user(USER).unwrap().home.clone();
    users.add_user("new", "x", home, "elr").unwrap();
    let mut client = server.connect();
    client.login("new", "x");
    let mut other = server.login();
    assert_eq!(names(&sessions), ["new", USER]);
    users.remove_user("new");
    client.expect(550, "CWD /");
    sessions.close_user("new");
    client.expect_reply(421);
    client.expect_eof();
    other.expect(200, "NOOP");
    wait_for("the end of the session", || names(&sessions) == [USER]);
    let mut again = server.connect();
    again.expect(331, "USER new");
    again.expect(530, "PASS x");
}

#[test]
fn the_transfer_of_a_closed_session_ends() {
    let (server, _users, sessions) = server();
    let mut client = server.login();
    let mut data = client.pasv();
    client.begin("STOR new");
    data.write_all(b"some").unwrap();
    wait_for("the transfer", || {
        sessions.list().unwrap()[0].is_transferring
    });
    let session = sessions.list().unwrap().remove(0);
    assert_eq!(session.address.ip().to_string(), "127.0.0.1");
    sessions.close(&session.id);
    client.expect_reply(421);
    client.expect_eof();
    wait_for("the end of the session", || {
        sessions.list().unwrap().is_empty()
    });
}

/// Each thread has its own loop: all of them are asked.
#[test]
fn the_sessions_of_threads_are_listed_and_closed() {
    let home = tempfile::tempdir().unwrap();
    let config = config(MODE, home.path());
    let (started, start) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut server: FTPServer =
            ThreadedFTPServer::bind("127.0.0.1:0", config, |_| StockHandler)
                .unwrap()
                .into();
        let remote = server.ioloop().remote();
        let sessions = server.sessions();
        started.send((server.address(), remote, sessions)).unwrap();
        server.ioloop().run().unwrap();
        server.close_all();
    });
    let (address, remote, sessions) = start.recv_timeout(DEADLINE).unwrap();
    let login = || {
        let mut client = Client::connect_in(MODE, address);
        client.expect_reply(220);
        client.login(USER, PASSWORD);
        client
    };
    let (mut one, mut other) = (login(), login());
    assert_eq!(names(&sessions), [USER, USER]);
    let list = sessions.list().unwrap();
    assert_ne!(list[0].id, list[1].id);
    one.expect(221, "QUIT");
    wait_for("the end of the first", || names(&sessions) == [USER]);
    sessions.close_user(USER);
    other.expect_reply(421);
    wait_for("the end of the other", || names(&sessions).is_empty());
    remote.call(|io| io.stop());
    thread.join().unwrap();
}
