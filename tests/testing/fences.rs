//! Fences: settings that keep clients from something. Each test is the attack.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ftpdlib::FSError;
use ftpdlib::TlsConfig;
use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::filesystems::{AbstractedFS, FSState, local};
use ftpdlib::handlers::StockHandler;
use ftpdlib::proto::network::Network;
use ftpdlib::testing::Session;
use testkit::authority::Pair;
use testkit::pattern;

use super::place::{place, reply};
use super::server::{Client, read, server};

const SECOND: Duration = Duration::from_secs(1);

// --- active_mode

#[test]
fn without_active_mode_the_server_connects_to_nobody() {
    let mut place = place();
    place.config.active_mode = false;
    let mut session = place.login();
    let listener = session.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = listener.address();
    let [high, low] = at.port().to_be_bytes();
    let host = at.ip().to_string();
    let port = format!("PORT {},{high},{low}", host.replace('.', ","));
    let eprt = format!("EPRT |1|{host}|{}|", at.port());
    for line in [&*port, &eprt, "PORT nonsense"] {
        let refused = session.command(line);
        assert_eq!(
            refused,
            "502 Active mode is not available, use PASV or EPSV."
        );
    }
    assert!(listener.accept().is_none());
    let features = session.command("FEAT").lines().to_vec();
    assert!(!features.iter().any(|line| line.contains("EPRT")));
    assert!(features.iter().any(|line| line.contains("EPSV")));
    session.stor("a", b"passive");
    assert_eq!(session.retr("a").unwrap(), b"passive");
}

// --- allow_from, deny_from

fn networks(all: &[&str]) -> Vec<Network> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

const REFUSED: &str = "421 Service not available to your address.";

#[test]
fn networks_decide_who_is_served() {
    for (allow, deny, served, refused) in [
        (
            &[][..],
            &["10.0.0.9"][..],
            &["10.0.0.8", "::2"][..],
            &["10.0.0.9"][..],
        ),
        (&["10.0.0.0/24"], &[], &["10.0.0.9"], &["10.0.1.9", "::2"]),
        // What is denied is denied.
        (
            &["10.0.0.0/8"],
            &["10.0.0.0/24"],
            &["10.0.1.9"],
            &["10.0.0.9", "11.0.0.1"],
        ),
        (&["10.0.0.0/24"], &["0.0.0.0/0"], &[], &["10.0.0.9", "::2"]),
        (&["::/0"], &[], &["::2"], &["10.0.0.9"]),
        // An IPv4 client of a dual-stack socket.
        (
            &[],
            &["10.0.0.0/24"],
            &["::ffff:10.0.1.9"],
            &["::ffff:10.0.0.9"],
        ),
        (
            &[],
            &["::ffff:10.0.0.0/120"],
            &["10.0.1.9"],
            &["10.0.0.9", "::ffff:10.0.0.9"],
        ),
    ] {
        let mut place = place();
        place.config.allow_from = networks(allow);
        place.config.deny_from = networks(deny);
        let mut server = server(place.config.clone(), 1);
        server.set_max_cons_per_ip(1);
        let mut clients = Vec::new();
        for (ips, greeting) in [(served, "220 "), (refused, REFUSED)] {
            for ip in ips {
                let ip: IpAddr = ip.parse().unwrap();
                let from = SocketAddr::new(ip, 0);
                let stream = server.connect(from, server.address()).unwrap();
                server.settle();
                let got = String::from_utf8(read(&stream)).unwrap();
                assert!(got.starts_with(greeting), "{allow:?} {deny:?} {ip}: {got}");
                clients.push(stream);
            }
        }
        // A refused client holds nothing.
        assert_eq!(server.sessions(), served.len());
        assert_eq!(server.slots(), served.len());
    }
}

// --- own ports

/// A client uploads a file of commands, and lets the server send it to itself.
#[test]
fn the_server_does_not_send_files_to_itself() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    place.config.permit_privileged_ports = true;
    place.config.masquerade_address = Some("203.0.113.7".to_owned());
    place.write("commands", b"USER user\r\nPASS 12345\r\nDELE commands\r\n");
    let server = server(place.config.clone(), 1);
    let client = Client::login(&server, "10.0.0.2");
    for line in [
        "PORT 10,0,0,1,0,21",
        "PORT 0,0,0,0,0,21",
        "PORT 203,0,113,7,0,21",
        "EPRT |1|10.0.0.1|21|",
    ] {
        let refused = "501 PORT against the server's own port \"21\" refused.";
        assert_eq!(client.command(line), refused, "{line}");
    }
    client.command("RETR commands");
    assert_eq!(server.sessions(), 1);
    // Another host may have the same port.
    client.command("ABOR");
    let listener = server.listen("10.0.0.3:21".parse().unwrap()).unwrap();
    assert!(client.command("PORT 10,0,0,3,0,21").starts_with("200 "));
    assert!(listener.accept().is_ok());
}

// --- max_upload_size

const TOO_LARGE: &str = "552 Requested file action aborted. Exceeded storage allocation.";

/// An upload of any kind ends at the limit, and the file keeps what fits.
#[test]
fn uploads_end_at_the_largest_size() {
    let mut place = place();
    place.config.max_upload_size = 10;
    for tp in ["TYPE I", "TYPE A"] {
        let mut session = place.login();
        session.command(tp);
        for (before, rest, command, bytes, reply, after) in [
            (
                "",
                0,
                "STOR a",
                "0123456789",
                "226 Transfer complete.",
                "0123456789",
            ),
            ("", 0, "STOR a", "0123456789x", TOO_LARGE, "0123456789"),
            // What was there before does not count.
            (
                "0123456789",
                0,
                "STOR a",
                "abc",
                "226 Transfer complete.",
                "abc",
            ),
            (
                "01234567",
                0,
                "APPE a",
                "ab",
                "226 Transfer complete.",
                "01234567ab",
            ),
            ("01234567", 0, "APPE a", "abc", TOO_LARGE, "01234567ab"),
            (
                "0123456789",
                0,
                "APPE a",
                "",
                "226 Transfer complete.",
                "0123456789",
            ),
            ("0123456789", 0, "APPE a", "a", TOO_LARGE, "0123456789"),
            (
                "01234567",
                4,
                "STOR a",
                "abcdef",
                "226 Transfer complete.",
                "0123abcdef",
            ),
            ("01234567", 4, "STOR a", "abcdefg", TOO_LARGE, "0123abcdef"),
            ("", 0, "STOU a", "0123456789x", TOO_LARGE, ""),
        ] {
            if rest > 0 && tp == "TYPE A" {
                continue;
            }
            place.write("a", before.as_bytes());
            let mut data = session.passive();
            if rest > 0 {
                session.command(&format!("REST {rest}"));
            }
            assert_eq!(session.command(command).code(), 125, "{command}");
            data.write(bytes.as_bytes());
            data.close();
            assert_eq!(
                super::place::reply(&mut session),
                reply,
                "{tp} {command} {bytes}"
            );
            let after = after.as_bytes();
            assert!(
                place.read("a") == after || command.starts_with("STOU"),
                "{command} {bytes}"
            );
        }
    }
    for entry in std::fs::read_dir(place.home.path()).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= 10);
    }
}

/// TYPE A holds a CR back until the end.
#[test]
fn the_last_cr_is_not_one_byte_too_many() {
    let mut place = place();
    place.config.max_upload_size = 3;
    let mut session = place.login();
    assert_eq!(session.stor("a", b"abc"), "226 Transfer complete.");
    session.command("TYPE A");
    let mut data = session.passive();
    session.command("STOR a");
    data.write(b"abc\r");
    data.close();
    assert_eq!(reply(&mut session), TOO_LARGE);
    assert_eq!(place.read("a"), b"abc");
}

#[test]
fn what_is_known_to_be_too_large_does_not_begin() {
    let mut place = place();
    place.config.max_upload_size = 10;
    place.write("large", b"0123456789ab");
    place.write("small", b"01234567");
    let mut session = place.login();
    session.command("TYPE I");
    for (announced, rest, command, code) in [
        ("11", 0, "STOR new", 552),
        ("11 R 5", 0, "STOR new", 552),
        ("11", 0, "STOU new", 552),
        ("3", 0, "APPE small", 552),
        ("7", 4, "STOR small", 552),
        ("0", 11, "STOR large", 552),
        ("0", 5, "STOR large", 552),
        ("0", 0, "APPE large", 552),
        ("99999999999999999999", 0, "STOR new", 552),
        ("2", 0, "APPE small", 150),
        ("10", 0, "STOR small", 150),
        // It counts for one upload.
        ("", 0, "STOR small", 150),
    ] {
        if !announced.is_empty() {
            assert_eq!(session.command(&format!("ALLO {announced}")).code(), 202);
        }
        if rest > 0 {
            session.command(&format!("REST {rest}"));
        }
        let reply = session.command(command);
        assert_eq!(reply.code(), code, "{announced} {rest} {command}: {reply}");
        if code == 150 {
            session.command("ABOR");
            session.reply();
        }
    }
    assert_eq!(place.read("large"), b"0123456789ab");
    assert_eq!(place.read("small"), b"01234567");
    let names = std::fs::read_dir(place.home.path()).unwrap().count();
    assert_eq!(names, 2, "nothing was made");
}

// --- min_free_space

/// The stock file system on a disk of this size, which the test changes.
struct Small(Arc<AtomicU64>);

impl AbstractedFS for Small {
    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        let all = local::free_space(fs, path)?;
        let home = std::fs::read_dir(fs.root()).unwrap();
        let used: u64 = home
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        Ok(Some(all.min(self.0.load(Relaxed).saturating_sub(used))))
    }
}

const NO_SPACE: &str = "452 Requested action not taken. Insufficient storage space in system.";

#[test]
fn uploads_leave_the_last_space_free() {
    for (size, keep) in [(100, 20), (9 << 20, 1 << 20)] {
        let mut place = place();
        let disk = Arc::new(AtomicU64::new(size));
        place.config.min_free_space = keep;
        place.config.set_abstracted_fs(Small(Arc::clone(&disk)));
        let most = usize::try_from(size - keep).unwrap();
        let bytes = pattern(most + 1);
        let mut session = place.login();
        session.command("TYPE I");
        assert_eq!(
            session.stor("fits", &bytes[..most]),
            "226 Transfer complete."
        );
        for command in ["STOR a", "APPE fits", "STOU"] {
            assert_eq!(session.command(command), NO_SPACE);
        }
        session.command("DELE fits");
        assert_eq!(session.stor("a", &bytes), NO_SPACE);
        assert!(place.read("a") == bytes[..most]);
        session.command("DELE a");
        session.command(&format!("ALLO {}", bytes.len()));
        assert_eq!(session.command("STOR a"), NO_SPACE);
        assert!(!place.home.path().join("a").exists());
    }
}

/// Another program fills the disk during the upload.
#[test]
fn the_space_is_looked_at_during_an_upload() {
    let mut place = place();
    let disk = Arc::new(AtomicU64::new(1 << 30));
    place.config.min_free_space = 1000;
    place.config.set_abstracted_fs(Small(Arc::clone(&disk)));
    let mut session = place.login();
    let mut data = session.passive();
    session.command("STOR a");
    data.write(&pattern(3 << 20));
    assert_eq!(session.reply(), None);
    disk.store(1000, Relaxed);
    data.write(&pattern(3 << 20));
    assert_eq!(reply(&mut session), NO_SPACE);
    assert!(place.read("a").len() < 5 << 20);
}

/// A file system that does not know its space takes no upload.
#[test]
fn unknown_space_is_no_space() {
    struct Unknown;
    impl AbstractedFS for Unknown {
        fn free_space(&self, _: &FSState, _: &Path) -> Result<Option<u64>, FSError> {
            Err(FSError::from_errno(libc::ENOSYS))
        }
    }
    let mut place = place();
    place.config.min_free_space = 1;
    place.config.set_abstracted_fs(Unknown);
    let mut session = place.login();
    assert_eq!(session.stor("a", b"x"), "550 Function not implemented.");
    assert!(!place.home.path().join("a").exists());
}

// --- login_timeout

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

/// An authorizer that keeps its verdict.
struct Never(DummyAuthorizer, std::sync::mpsc::Sender<LaterVerdict>);

impl Authorizer for Never {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn authenticate(
        &self,
        _username: &str,
        _password: &str,
        _client: &authorizers::Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        self.1.send(later()).unwrap();
        Verdict::Later
    }
}

#[test]
fn the_answer_of_the_authorizer_counts() {
    let mut place = place();
    let mut users = DummyAuthorizer::new();
    let added = users.add_user("user", "12345", place.home.path(), "elr");
    added.unwrap();
    let (sender, verdicts) = std::sync::mpsc::channel();
    place.config.set_authorizer(Never(users, sender));
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
