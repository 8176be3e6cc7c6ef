//! A transfer that has got 150 and waits for its data connection: whose it is, and its one final
//! reply. And the data port, which is a parameter of transfers (RFC 959 §4.1.1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::sync::mpsc::Receiver;

use testkit::{
    Client, PASSWORD, Server, USER, await_data, await_refusal, connect_data, next, parse_227,
    read_all, read_whole, set_users, wait_for,
};

use super::ftp_replies::{login_as_one, two_users};
use crate::MODE;

/// What the events call an incomplete transfer of this command.
fn incomplete(command: &str) -> &'static str {
    match command.starts_with("RETR") {
        true => "incomplete sent one true one",
        false => "incomplete received one true one",
    }
}

fn login_as_two(client: &mut Client) {
    client.expect(331, "USER two");
    client.expect(230, format!("PASS {PASSWORD}"));
}

// --- USER: pending transfers stay

#[test]
fn a_pending_transfer_stays_that_of_its_user() {
    let lines = testkit::log::keep();
    let (server, events) = two_users(|config| {
        config.log_prefix = "<{username}>".to_owned();
        config.auth_failed_timeout = std::time::Duration::ZERO;
    });
    for command in ["STOR file", "APPE file", "RETR file"] {
        for login in ["none", "failed", "two", "one"] {
            server.write("one/file", b"old");
            server.write("two/file", b"of two");
            let mut client = login_as_one(&server);
            let address = parse_227(&client.expect(227, "PASV"));
            client.expect(150, command);
            client.expect(331, "USER two");
            assert_eq!(next(&events), "logout one true one");
            match login {
                "failed" => drop(client.expect(530, "PASS wrong")),
                "two" => drop(client.expect(230, format!("PASS {PASSWORD}"))),
                "one" => client.login("one", PASSWORD),
                _ => {}
            }
            lines.lock().clear();
            let mut data = connect_data(address);
            let file = match command {
                "RETR file" => {
                    assert_eq!(read_whole(&mut data), b"old");
                    &b"old"[..]
                }
                _ => {
                    data.write_all(b"new").unwrap();
                    drop(data);
                    match command {
                        "APPE file" => &b"oldnew"[..],
                        _ => b"new",
                    }
                }
            };
            client.expect_reply(226);
            let what = incomplete(command).strip_prefix("incomplete ").unwrap();
            assert_eq!(next(&events), what, "{command} {login}");
            let line = format!("<one> {} ", &command[..4]);
            assert!(lines.contain(&line), "{:?}", lines.lock());
            assert_eq!(server.read("one/file"), file);
            assert_eq!(server.read("two/file"), b"of two");
            // The session is that of the last user, or of nobody.
            match login {
                "two" => assert_eq!(client.download("RETR file"), b"of two"),
                "one" => assert_eq!(client.download("RETR file"), file),
                _ => drop(client.expect(530, "RETR file")),
            }
            if let "one" | "two" = login {
                assert_eq!(next(&events), format!("sent {login} true {login}"));
                client.expect(221, "QUIT");
                assert_eq!(next(&events), format!("logout {login} true {login}"));
                assert_eq!(next(&events), format!("disconnect {login} true {login}"));
            } else {
                client.expect(221, "QUIT");
                assert!(next(&events).starts_with("disconnect "));
            }
        }
    }
}

/// It waits for the next connection, as without USER.
#[test]
fn a_pending_transfer_without_a_listener_waits_on_after_user() {
    let (server, events) = two_users(|_| {});
    server.write("one/file", b"of one");
    server.write("two/file", b"of two");
    let mut client = login_as_one(&server);
    client.expect(150, "RETR file");
    login_as_two(&mut client);
    assert_eq!(next(&events), "logout one true one");
    let mut data = client.pasv();
    assert_eq!(read_whole(&mut data), b"of one");
    client.expect_reply(226);
    assert_eq!(next(&events), "sent one true one");
    assert_eq!(client.download("RETR file"), b"of two");
    assert_eq!(next(&events), "sent two true two");
}

/// Its file is one that it has made, and goes with it, whoever ends it.
#[test]
fn a_pending_upload_ends_after_user() {
    let (server, events) = two_users(|config| {
        config.passive_dtp.timeout = Some(std::time::Duration::from_millis(500));
    });
    for end in ["time", "PASV", "gone"] {
        let mut client = login_as_one(&server);
        client.expect(227, "PASV");
        client.expect(150, "STOR file");
        assert!(server.path("one/file").exists());
        login_as_two(&mut client);
        assert_eq!(next(&events), "logout one true one");
        match end {
            "time" => drop(client.expect_reply(421)),
            "PASV" => {
                client.expect(426, "PASV");
                client.expect_reply(227);
            }
            _ => drop(client.socket.shutdown(std::net::Shutdown::Both)),
        }
        assert_eq!(next(&events), "incomplete received one true one", "{end}");
        wait_for("the end of the file", || !server.path("one/file").exists());
        if end != "gone" {
            client.expect(257, "MKD of-two");
            client.expect(250, "RMD of-two");
            client.expect(221, "QUIT");
            assert_eq!(next(&events), "logout two true two");
        }
        assert_eq!(next(&events), "disconnect two true two");
    }
}

/// The limit of connections of a user counts the pending transfer until it ends, and not twice.
#[test]
fn a_pending_transfer_counts_for_its_user() {
    let server = Server::with_user_limit(MODE, 1, |config| {
        set_users(config, ["one", "two"], |home, _| home);
    });
    let login = |name| server.try_login(name);
    for passive in [true, false] {
        let mut client = server.connect();
        wait_for("the slot", || {
            client.expect(331, "USER one");
            client.command(format!("PASS {PASSWORD}")).0 == 230 || {
                client = server.connect();
                false
            }
        });
        let mut address = passive.then(|| parse_227(&client.expect(227, "PASV")));
        client.expect(150, "STOR file");
        login_as_two(&mut client);
        assert_eq!(login("one"), 530, "the transfer counts");
        assert_eq!(login("two"), 530);
        // The same user once more: it is one session.
        client.expect(331, "USER one");
        client.expect(230, format!("PASS {PASSWORD}"));
        assert_eq!(login("one"), 530);
        assert_eq!(login("two"), 230);
        wait_for("the slot", || {
            client.expect(331, "USER two");
            client.command(format!("PASS {PASSWORD}")).0 == 230
        });
        assert_eq!(login("one"), 530, "the transfer counts");
        if address.is_none() {
            address = Some(parse_227(&client.expect(227, "PASV")));
        }
        let mut data = connect_data(address.unwrap());
        data.write_all(b"x").unwrap();
        wait_for("the bytes", || server.read("file") == b"x");
        assert_eq!(login("one"), 530, "the transfer in progress counts");
        drop(data);
        client.expect_reply(226);
        wait_for("the slot", || login("one") == 230);
        assert_eq!(login("two"), 530);
    }
}

// --- USER: the data port stays

#[test]
fn user_leaves_the_data_port() {
    let (server, events) = two_users(|_| {});
    server.write("two/file", b"of two");
    for way in ["PORT", "PASV", "PASV, late"] {
        for command in ["RETR file", "STOR new", "NLST"] {
            let mut client = login_as_one(&server);
            let mut data = None;
            let mut address = None;
            match way {
                "PORT" => data = Some(client.port()),
                "PASV" => {
                    data = Some(client.pasv());
                    await_data(&mut client);
                }
                _ => address = Some(parse_227(&client.expect(227, "PASV"))),
            }
            login_as_two(&mut client);
            assert_eq!(next(&events), "logout one true one");
            client.begin(command);
            let mut data = data.unwrap_or_else(|| connect_data(address.unwrap()));
            match command {
                "RETR file" => assert_eq!(read_whole(&mut data), b"of two"),
                "NLST" => assert_eq!(read_whole(&mut data), b"file\r\n"),
                _ => {
                    data.write_all(b"x").unwrap();
                    drop(data);
                }
            }
            client.expect_reply(226);
            match command {
                "RETR file" => assert_eq!(next(&events), "sent two true two"),
                "STOR new" => {
                    assert_eq!(next(&events), "received two true two");
                    assert_eq!(server.read("two/new"), b"x");
                    client.expect(250, "DELE new");
                }
                _ => {}
            }
            client.expect(221, "QUIT");
            assert_eq!(next(&events), "logout two true two");
            assert_eq!(next(&events), "disconnect two true two");
        }
    }
}

// --- REIN and AUTH: all is reset

#[test]
fn rein_ends_pending_transfers() {
    let (server, events) = two_users(|_| {});
    for passive in [true, false] {
        for command in ["STOR new", "RETR file", "NLST"] {
            for as_other in [false, true] {
                server.write("one/file", b"of one");
                let mut client = login_as_one(&server);
                let address = passive.then(|| parse_227(&client.expect(227, "PASV")));
                client.expect(150, command);
                if as_other {
                    login_as_two(&mut client);
                    assert_eq!(next(&events), "logout one true one");
                }
                client.send("REIN\r\n");
                client.expect_reply(426);
                client.expect_reply(230);
                if command != "NLST" {
                    assert_eq!(next(&events), incomplete(command));
                }
                let user = if as_other { "two" } else { "one" };
                assert_eq!(next(&events), format!("logout {user} true {user}"));
                assert!(!server.path("one/new").exists());
                if let Some(address) = address {
                    await_refusal(address);
                }
                client.login("one", PASSWORD);
                client.expect(200, "TYPE I");
                assert_eq!(client.download("RETR file"), b"of one");
                assert_eq!(next(&events), "sent one true one");
                client.expect(221, "QUIT");
                assert_eq!(next(&events), "logout one true one");
                assert_eq!(next(&events), "disconnect one true one");
            }
        }
    }
}

#[test]
fn rein_closes_the_data_port() {
    let (server, events) = two_users(|_| {});
    let mut client = login_as_one(&server);
    let address = parse_227(&client.expect(227, "PASV"));
    client.expect(230, "REIN");
    await_refusal(address);
    client.login("one", PASSWORD);
    let mut data = client.port();
    client.expect(230, "REIN");
    assert_eq!(read_all(&mut data), b"");
    expect_logouts(&events, 2);
}

#[track_caller]
fn expect_logouts(events: &Receiver<String>, count: usize) {
    for _ in 0..count {
        assert_eq!(next(events), "logout one true one");
    }
}

/// AUTH after a login in clear.
#[test]
fn auth_ends_pending_transfers() {
    let server = testkit::serve(|_| {});
    server.write("file", b"abc");
    for command in ["STOR new", "RETR file", "LIST"] {
        let mut client = server.connect();
        client.login(USER, PASSWORD);
        client.expect(150, command);
        client.send("AUTH TLS\r\n");
        client.expect_reply(426);
        client.expect_reply(234);
        assert!(!server.path("new").exists());
    }
}
