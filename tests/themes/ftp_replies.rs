//! When the replies of a transfer leave, and whose transfer it is. `tests/testing/replies.rs` has
//! the exact times, by a clock of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use ftpdlib::{FTPConfig, FTPHandler, FTPSession};
use testkit::{
    Client, PASSWORD, Server, USER, WAYS, Way, begin, connect_data, next, parse_227, read_all,
    read_whole, set_users, wait_for,
};

use crate::MODE;

/// Reads once, and returns what came.
fn read_once(client: &mut Client) -> String {
    let mut bytes = [0; 4096];
    let size = client.socket.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..size]).into_owned()
}

/// A client that takes what one read brings as one reply gets along.
#[test]
fn one_read_brings_one_reply() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    for command in ["RETR a", "LIST", "NLST", "MLSD", "STOR b", "APPE b", "STOU"] {
        // A busy machine may let this client sleep while both replies come.
        let alone = (0..50).any(|_| {
            let mut client = server.login();
            let mut data = client.pasv();
            client.send(format!("{command}\r\n"));
            let first = read_once(&mut client);
            assert!(first.starts_with("125 ") || first.starts_with("150 "));
            if command.starts_with("STO") || command.starts_with("APPE") {
                data.write_all(b"x").unwrap();
            } else {
                assert_ne!(read_whole(&mut data), b"");
            }
            drop(data);
            let alone = first.lines().count() == 1 && first.ends_with("\r\n");
            let rest = if alone {
                read_once(&mut client)
            } else {
                String::new()
            };
            alone && rest == "226 Transfer complete.\r\n"
        });
        assert!(alone, "{command}");
    }
}

/// A client that keeps its side open gets the final reply all the same, and the end of the data
/// before it.
#[test]
fn a_client_that_does_not_close_its_side() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    for way in WAYS {
        for command in ["RETR a", "NLST", "LIST", "MLSD"] {
            let mut client = server.login();
            let (mut data, _) = begin(&mut client, way, command);
            assert_ne!(read_all(&mut data), b"");
            client.expect_reply(226);
            client.expect(200, "NOOP");
            drop(data);
        }
    }
}

/// Bytes that the client sends on the connection of a download do no harm.
#[test]
fn a_client_that_sends_during_a_download() {
    let server = Server::start(MODE);
    server.write("a", [b'x'; 30_000]);
    for way in WAYS {
        let mut client = server.login();
        let (mut data, _) = begin(&mut client, way, "RETR a");
        let _ = data.write_all(&[b'y'; 1000]);
        client.expect_reply(226);
        assert_eq!(read_all(&mut data).len(), 30_000);
    }
}

#[test]
fn pipelined_downloads_take_two_milliseconds_each_at_most() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.login();
    let start = Instant::now();
    for _ in 0..100 {
        let address = parse_227(&client.expect(227, "PASV"));
        client.send("RETR a\r\nNOOP\r\nSIZE a\r\n");
        let mut data = connect_data(address);
        assert_eq!(read_all(&mut data), b"abc");
        // The commands after it are answered in the order of the replies.
        let mut codes = [0; 4].map(|_| client.reply().0);
        codes.sort_unstable();
        assert!(matches!(codes, [125 | 150, 200, 213, 226]), "{codes:?}");
    }
    // A second for each would be the bug; the machine may be busy.
    assert!(start.elapsed() < Duration::from_secs(50));
}

#[test]
fn quit_abor_and_the_end_right_after_the_preliminary_reply() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    for command in ["QUIT", "ABOR", "NOOP"] {
        for way in WAYS {
            let mut client = server.login();
            let (mut data, _) = begin(&mut client, way, "RETR a");
            client.send(format!("{command}\r\n"));
            let mut codes = vec![client.reply().0, client.reply().0];
            if codes == [426, 226] {
                // ABOR came before the end of the transfer.
                assert_eq!(command, "ABOR");
                continue;
            }
            codes.sort_unstable();
            let expected = match command {
                "QUIT" => [221, 226],
                "ABOR" => [225, 226],
                _ => [200, 226],
            };
            assert_eq!(codes, expected, "{way:?}");
            assert_eq!(read_all(&mut data), b"abc");
        }
    }
}

/// The preliminary reply has left when the first byte of data comes.
#[test]
fn data_follows_the_preliminary_reply() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    for way in [Way::Early, Way::Active] {
        let mut client = server.login();
        let mut data = match way {
            Way::Active => client.port(),
            _ => client.pasv(),
        };
        client.send("RETR a\r\n");
        let mut first = [0];
        data.read_exact(&mut first).unwrap();
        assert!(!client.is_silent(), "the reply is there already");
        let code = client.reply().0;
        assert!(matches!(code, 125 | 150), "{code}");
        drop(data);
        let code = client.reply().0;
        assert!(matches!(code, 226 | 426), "{code}");
    }
}

// --- whose transfer it is

/// Reports who the user is in each callback.
struct Users(Sender<String>);

impl Users {
    fn report(&self, s: &FTPSession, what: &str) {
        let home = s.fs().map(|fs| fs.root().to_owned());
        let home = home.and_then(|home| Some(home.file_name()?.to_owned()));
        let home = home.unwrap_or_default();
        let who = s.username();
        let _ = self.0.send(format!(
            "{what} {who} {} {}",
            s.authenticated(),
            home.display()
        ));
    }
}

impl FTPHandler for Users {
    fn on_file_sent(&mut self, s: &mut FTPSession, _file: &Path) {
        self.report(s, "sent");
    }

    fn on_file_received(&mut self, s: &mut FTPSession, _file: &Path) {
        self.report(s, "received");
    }

    fn on_incomplete_file_sent(&mut self, s: &mut FTPSession, _file: &Path) {
        self.report(s, "incomplete sent");
    }

    fn on_incomplete_file_received(&mut self, s: &mut FTPSession, _file: &Path) {
        self.report(s, "incomplete received");
    }

    fn on_logout(&mut self, s: &mut FTPSession, _username: &str) {
        self.report(s, "logout");
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        self.report(s, "disconnect");
    }
}

/// A server with two users, `one` and `two`, with a home each.
pub(super) fn two_users(
    change: impl FnOnce(&mut FTPConfig) + Send + 'static,
) -> (Server, Receiver<String>) {
    let (sender, events) = channel();
    let server = Server::with_handler(
        MODE,
        |config| {
            set_users(config, ["one", "two"], |home, name| {
                let home = home.join(name);
                std::fs::create_dir(&home).unwrap();
                home
            });
            change(config);
        },
        move |_| Users(sender.clone()),
    );
    (server, events)
}

pub(super) fn login_as_one(server: &Server) -> Client {
    let mut client = server.connect();
    client.login("one", PASSWORD);
    client.expect(200, "TYPE I");
    client
}

#[test]
fn a_transfer_stays_that_of_its_user() {
    let lines = testkit::log::keep();
    let (server, events) = two_users(|config| config.log_prefix = "<{username}>".to_owned());
    for way in WAYS {
        for flush in ["USER two", "REIN"] {
            for ended in [true, false] {
                let mut client = login_as_one(&server);
                let (mut data, _) = begin(&mut client, way, "STOR file");
                data.write_all(b"abc").unwrap();
                let code = if flush == "REIN" { 230 } else { 331 };
                client.expect(code, flush);
                assert_eq!(next(&events), "logout one true one");
                if flush == "REIN" {
                    client.expect(331, "USER two");
                }
                client.expect(230, format!("PASS {PASSWORD}"));
                client.expect(257, "MKD of-two");
                lines.lock().clear();
                if ended {
                    drop(data);
                    client.expect_reply(226);
                    assert_eq!(next(&events), "received one true one");
                    assert_eq!(server.read("one/file"), b"abc");
                } else {
                    client.expect(426, "ABOR");
                    client.expect_reply(226);
                    assert_eq!(next(&events), "incomplete received one true one");
                }
                assert!(lines.contain("<one> STOR "), "{:?}", lines.lock());
                // The session is that of the other user.
                client.expect(250, "RMD of-two");
                client.expect(221, "QUIT");
                assert_eq!(next(&events), "logout two true two");
                assert_eq!(next(&events), "disconnect two true two");
            }
        }
    }
}

#[test]
fn the_end_of_the_session_during_the_transfer_of_another_user() {
    let (server, events) = two_users(|_| {});
    let mut client = login_as_one(&server);
    let (mut data, _) = begin(&mut client, Way::Early, "STOR file");
    data.write_all(b"abc").unwrap();
    client.expect(331, "USER two");
    assert_eq!(next(&events), "logout one true one");
    drop(client);
    let event = next(&events);
    assert!(event.ends_with("received one true one"), "{event}");
    assert_eq!(next(&events), "disconnect two false ");
}

/// The limit of connections of a user counts the transfer until it ends, and not twice.
#[test]
fn a_transfer_counts_for_its_user() {
    let server = Server::with_user_limit(MODE, 1, |config| {
        set_users(config, ["one", "two"], |home, _| home);
    });
    let login = |name| server.try_login(name);
    let mut client = login_as_one(&server);
    let (data, _) = begin(&mut client, Way::Early, "STOR file");
    client.expect(331, "USER two");
    assert_eq!(login("one"), 530, "the transfer counts");
    client.expect(230, format!("PASS {PASSWORD}"));
    assert_eq!(login("two"), 530);
    assert_eq!(login("one"), 530, "the transfer counts");
    // The same user once more: it is one session.
    client.expect(331, "USER one");
    client.expect(230, format!("PASS {PASSWORD}"));
    assert_eq!(login("one"), 530);
    client.expect(331, "USER two");
    client.expect(230, format!("PASS {PASSWORD}"));
    drop(data);
    client.expect_reply(226);
    wait_for("the slot", || login("one") == 230);
    assert_eq!(login("two"), 530);
}

/// The prefix of the log names only users who have logged in.
#[test]
fn the_log_names_only_users_who_have_logged_in() {
    let lines = testkit::log::keep();
    let server = Server::with(MODE, |config| config.log_prefix = "<{username}>".to_owned());
    let mut client = server.connect();
    client.expect(331, "USER nobody");
    client.expect(530, "PWD");
    client.expect(500, "FOO");
    client.expect(530, "PASS wrong");
    client.expect(331, "USER nobody");
    client.expect(331, "USER nobody");
    client.login(USER, PASSWORD);
    client.expect(250, "CWD /");
    client.expect(331, "USER nobody");
    client.expect(530, "CWD /");
    client.expect(331, format!("USER {USER}"));
    client.expect(230, format!("PASS {PASSWORD}"));
    client.expect(230, "REIN");
    client.expect(331, "USER nobody");
    client.expect(221, "QUIT");
    client.expect_eof();
    drop(server);
    let lines = lines.lock();
    let named = |line: &&String| !line.contains("<>");
    assert!(lines.iter().filter(named).count() > 4);
    for line in lines.iter().filter(named) {
        assert!(line.contains(&format!("<{USER}> ")), "{line}");
    }
}
