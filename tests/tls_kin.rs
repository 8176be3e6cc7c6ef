//! Data connections that resume the TLS session of another control connection: under `prefer`
//! another one of the same user at the same address, and no other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::sync::Arc;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::{FTPConfig, SessionReuse, TlsConfig};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use testkit::{
    Client, Mode, PASSWORD, Server, Socket, USER, Wallet, bound_to, client_config,
    client_configs_with, parse_227, read_all, read_whole, with_tls,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const SECRET: &[u8] = b"what only its owner is to see";

/// A control session.
struct Session {
    client: Client,
    source: &'static str,
}

impl Session {
    /// Logs in at the address of a server, from the address `source`.
    fn login(address: SocketAddr, source: &'static str, user: &str, config: &ClientConfig) -> Self {
        let mut session = Self::secure(address, source, config);
        let password = if user == "anonymous" { "" } else { PASSWORD };
        session.client.login(user, password);
        session
    }

    /// The same before the login.
    fn secure(address: SocketAddr, source: &'static str, config: &ClientConfig) -> Self {
        let mut client = Client::connect_from(Mode::Clear, source, address);
        client.expect_reply(220);
        client.auth(&Arc::new(config.clone())).unwrap();
        client.protect();
        Self { client, source }
    }

    /// Makes a data connection for a command, which offers what is in the wallet of `config`.
    fn begin(&mut self, config: &ClientConfig, command: &str) -> Socket {
        let address = parse_227(&self.client.expect(227, "PASV"));
        let tcp = bound_to(self.source, address);
        self.client.begin(command);
        let socket = Socket::under_tls(tcp, &Arc::new(config.clone()));
        let _ = socket.handshake();
        socket
    }

    /// Downloads `a`.
    #[track_caller]
    fn fetch(&mut self, config: &ClientConfig) -> HandshakeKind {
        let mut data = self.begin(config, "RETR a");
        assert_eq!(read_whole(&mut data), SECRET);
        self.client.expect_reply(226);
        data.ask(|tls| tls.handshake_kind().unwrap())
    }

    #[track_caller]
    fn resumes(&mut self, config: &ClientConfig) {
        assert_eq!(self.fetch(config), HandshakeKind::Resumed);
    }

    /// Checks that no command is served to a client with what is in the wallet of `config`.
    #[track_caller]
    fn refuses(&mut self, config: &ClientConfig, why: &str) {
        let mut commands = vec!["RETR a", "NLST", "STOR stolen"];
        if why == FOREIGN {
            // The client forgets a session of TLS 1.2 that was refused.
            commands.truncate(1);
        }
        for command in commands {
            let mut data = self.begin(config, command);
            let _ = std::io::Write::write_all(&mut data, b"by somebody else");
            assert_eq!(read_all(&mut data), b"", "{command}");
            let reply = self.client.expect_reply(522);
            let wanted = format!("522 SSL session reuse required on the data channel ({why}).");
            assert_eq!(reply, wanted, "{command}");
        }
    }
}

const HERE: &str = "127.0.0.1";
const FOREIGN: &str = "a ticket of another session";

/// A new wallet, and the configuration of a client with it.
fn wallet(version: &'static SupportedProtocolVersion) -> (Arc<Wallet>, ClientConfig) {
    let wallet = Arc::new(Wallet::default());
    let config = wallet.with(&client_config(&[version]));
    (wallet, config)
}

/// A client that has no ticket, ever.
fn forgetful(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut config = client_config(&[version]);
    config.resumption = Resumption::disabled();
    config
}

fn server(change: impl FnOnce(&mut TlsConfig) + Send + 'static) -> Server {
    let server = Server::with(Mode::Clear, |config: &mut FTPConfig| {
        with_tls(change)(config);
        let home = config.authorizer.get_home_dir(USER).unwrap();
        let authorizer = DummyAuthorizer::new();
        for user in [USER, "other"] {
            let added = authorizer.add_user(user, PASSWORD, &home, "elradfmwMT");
            added.unwrap();
        }
        authorizer.add_anonymous(&home).unwrap();
        config.set_authorizer(authorizer);
    });
    server.write("a", SECRET);
    server
}

/// As rclone, FileZilla, lftp and curl do: parallel sessions with one ticket cache.
#[test]
fn sessions_of_one_client_share_their_tickets() {
    let server = server(|_| {});
    for version in VERSIONS {
        let (_, config) = wallet(version);
        let mut sessions: Vec<_> = (0..3)
            .map(|_| Session::login(server.address, HERE, USER, &config))
            .collect();
        for _ in 0..5 {
            for session in &mut sessions {
                session.resumes(&config);
            }
        }
        // Sessions come and go; tickets of those that have ended are still good.
        sessions.clear();
        let mut next = Session::login(server.address, HERE, USER, &forgetful(version));
        next.resumes(&config);
    }
}

/// Some clients know no tickets (RFC 5077), and resume TLS 1.2 by the name of a session.
#[test]
fn sessions_of_one_client_share_their_names() {
    let server = server(|_| {});
    let (_, mut config) = wallet(&TLS12);
    let by_name = Tls12Resumption::SessionIdOnly;
    config.resumption = config.resumption.tls12_resumption(by_name);
    let mut first = Session::login(server.address, HERE, USER, &config);
    let mut second = Session::login(server.address, HERE, USER, &config);
    let mut other = Session::login(server.address, HERE, "other", &forgetful(&TLS12));
    for _ in 0..3 {
        first.resumes(&config);
        second.resumes(&config);
    }
    other.refuses(&config, FOREIGN);
    // Any client without one may make the first connection, and gets no name.
    assert_eq!(other.fetch(&forgetful(&TLS12)), HandshakeKind::Full);
    let mut next = Session::login(server.address, HERE, USER, &config);
    next.resumes(&config);
}

#[test]
fn a_ticket_of_another_user_is_refused() {
    let server = server(|_| {});
    for version in VERSIONS {
        let ((_, config), (purse, stolen)) = (wallet(version), wallet(version));
        let mut owner = Session::login(server.address, HERE, USER, &config);
        let mut other = Session::login(server.address, HERE, "other", &stolen);
        // Not even on the first data connection.
        let first = purse.tls12.lock().unwrap().clone();
        owner.refuses(&stolen, FOREIGN);
        purse.tls12.lock().unwrap().clone_from(&first);
        owner.resumes(&config);
        let session = purse.tls12.lock().unwrap().clone();
        owner.refuses(&stolen, FOREIGN);
        owner.resumes(&config);
        // Nor is it good when its session is over.
        other.client.expect(221, "QUIT");
        other.client.expect_eof();
        purse.tls12.lock().unwrap().clone_from(&session);
        owner.refuses(&stolen, FOREIGN);
        owner.resumes(&config);
    }
}

#[test]
fn a_ticket_from_another_address_is_refused() {
    let server = server(|_| {});
    for version in VERSIONS {
        let ((_, config), (_, stolen)) = (wallet(version), wallet(version));
        let mut here = Session::login(server.address, HERE, USER, &config);
        let mut there = Session::login(server.address, "127.0.0.2", USER, &stolen);
        here.resumes(&config);
        here.refuses(&stolen, FOREIGN);
        here.resumes(&config);
        // At its own address it is as good as any.
        let (_, own) = wallet(version);
        let mut again = Session::login(server.address, "127.0.0.2", USER, &own);
        there.resumes(&own);
        again.resumes(&own);
    }
}

/// The anonymous user may be anybody.
#[test]
fn anonymous_sessions_take_their_own_tickets_only() {
    let server = server(|_| {});
    for version in VERSIONS {
        let ((_, config), (_, stolen)) = (wallet(version), wallet(version));
        let mut owner = Session::login(server.address, HERE, "anonymous", &config);
        let mut thief = Session::login(server.address, HERE, "anonymous", &stolen);
        thief.resumes(&stolen);
        owner.resumes(&config);
        let mut data = owner.begin(&stolen, "RETR a");
        assert_eq!(read_all(&mut data), b"");
        let reply = owner.client.expect_reply(522);
        assert!(reply.contains(FOREIGN), "{reply}");
        owner.resumes(&config);
    }
}

/// The owner of a ticket is the user who is logged in now, or was at the end.
#[test]
fn the_user_of_a_session_may_change() {
    let server = server(|_| {});
    for version in VERSIONS {
        let (_, config) = wallet(version);
        let mut owner = Session::login(server.address, HERE, USER, &config);
        owner.resumes(&config);
        for (first, then) in [(USER, "other"), ("other", USER), (USER, "anonymous")] {
            let (_, moved) = wallet(version);
            let mut other = Session::login(server.address, HERE, first, &moved);
            other.client.expect(331, format!("USER {then}"));
            other.client.expect(230, format!("PASS {PASSWORD}"));
            other.client.protect();
            other.resumes(&moved);
            match then {
                USER => owner.resumes(&moved),
                _ => owner.refuses(&moved, FOREIGN),
            }
        }
        owner.resumes(&config);
    }
}

/// Such a data connection waits for a login, but not for long.
#[test]
fn a_session_without_a_login_has_no_kin() {
    let server = server(|_| {});
    let ((_, config), (_, stolen)) = (wallet(&TLS13), wallet(&TLS13));
    let mut owner = Session::login(server.address, HERE, USER, &config);
    owner.resumes(&config);
    let mut stranger = Session::secure(server.address, HERE, &stolen);
    // USER alone proves nothing, and a wrong password no more.
    stranger.client.expect(331, format!("USER {USER}"));
    owner.refuses(&stolen, FOREIGN);
    stranger.client.expect(530, "PASS wrong");
    stranger.client.expect(221, "QUIT");
    stranger.client.expect_eof();
    owner.refuses(&stolen, FOREIGN);
    owner.resumes(&config);
}

/// The same when the user of that session has gone.
#[test]
fn a_session_after_rein_has_no_kin() {
    let server = server(|_| {});
    let ((_, config), (_, stolen)) = (wallet(&TLS13), wallet(&TLS13));
    let mut owner = Session::login(server.address, HERE, USER, &config);
    owner.resumes(&config);
    let mut gone = Session::login(server.address, HERE, USER, &stolen);
    gone.client.expect(230, "REIN");
    owner.refuses(&stolen, FOREIGN);
    owner.resumes(&config);
}

/// A client that opens sessions while others work offers its newest ticket at once.
#[test]
fn a_session_may_log_in_a_little_later() {
    let server = server(|_| {});
    for version in VERSIONS {
        let ((_, config), (purse, late)) = (wallet(version), wallet(version));
        let mut session = Session::login(server.address, HERE, USER, &config);
        session.resumes(&config);
        for (user, code) in [(USER, 226), ("other", 522)] {
            purse.clear();
            let mut next = Session::secure(server.address, HERE, &late);
            // The reply brings the tickets of TLS 1.3.
            next.client.expect(331, format!("USER {user}"));
            let mut data = session.begin(&late, "RETR a");
            assert!(session.client.is_silent());
            next.client.expect(230, format!("PASS {PASSWORD}"));
            let wanted = if code == 226 { SECRET } else { b"" };
            assert_eq!(read_all(&mut data), wanted);
            session.client.expect_reply(code);
        }
        session.resumes(&config);
    }
}

#[test]
fn no_ticket_is_refused_once_another_session_has_resumed_there() {
    let server = server(|_| {});
    for version in VERSIONS {
        let (_, config) = wallet(version);
        let (_, others) = wallet(version);
        let mut session = Session::login(server.address, HERE, USER, &config);
        let mut other = Session::login(server.address, HERE, USER, &others);
        let none = forgetful(version);
        assert_eq!(session.fetch(&none), HandshakeKind::Full);
        session.resumes(&others);
        session.refuses(&none, "no ticket");
        other.resumes(&others);
        session.resumes(&config);
    }
}

#[test]
fn require_demands_a_ticket_of_the_own_session() {
    let server = server(|tls| tls.session_reuse = SessionReuse::Require);
    for version in VERSIONS {
        let ((_, config), (_, others)) = (wallet(version), wallet(version));
        let mut session = Session::login(server.address, HERE, USER, &config);
        let _other = Session::login(server.address, HERE, USER, &others);
        session.refuses(&others, FOREIGN);
        session.resumes(&config);
    }
}

/// A listener on the network sees the numbers of tickets, and may offer one. Without its secret the
/// handshake fails. A ticket that does not fit leads to a full handshake, which brings no ticket.
#[test]
fn a_ticket_that_does_not_fit_brings_no_other() {
    let server = server(|_| {});
    let suites = [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let wallet = Arc::new(Wallet::default());
    let configs = client_configs_with(&suites);
    let (aes, chacha) = (wallet.with(&configs[0]), wallet.with(&configs[1]));
    let mut owner = Session::login(server.address, HERE, USER, &aes);
    let before = wallet.received();
    assert_eq!(owner.fetch(&chacha), HandshakeKind::Full);
    assert_eq!(wallet.received(), before);
    owner.resumes(&aes);
    owner.refuses(&chacha, "a ticket that does not fit");
}

/// New certificates change nothing for tickets.
#[cfg(feature = "cli")]
#[test]
fn tickets_outlive_a_reload() {
    use std::fs;
    use testkit::authority::Pair;

    let dir = tempfile::tempdir().unwrap();
    let certfile = dir.path().join("both.pem");
    let pair = Pair::new(&["localhost"]);
    fs::write(&certfile, pair.both()).unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_ftpdlib"));
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a"), SECRET).unwrap();
    program
        .args(["-i", HERE, "-p", "0", "-w", "-u", USER, "-P", PASSWORD])
        .arg("-d")
        .arg(home.path())
        .arg("--tls")
        .arg("--certfile")
        .arg(&certfile);
    let program = testkit::Program::spawn(program, home);
    let (_, config) = trusting(&pair);
    let mut before = Session::login(program.address, HERE, USER, &config);
    let next = Pair::new(&["localhost"]);
    fs::write(&certfile, next.both()).unwrap();
    program.signal("HUP");
    program.expect_log("certificates read again");
    let mut after = Session::login(program.address, HERE, USER, &trusting(&next).1);
    after.resumes(&config);
    before.resumes(&config);
}

#[cfg(feature = "cli")]
fn trusting(pair: &testkit::authority::Pair) -> (Arc<Wallet>, ClientConfig) {
    let wallet = Arc::new(Wallet::default());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.der.clone()).unwrap();
    let base = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = wallet.with(&base);
    (wallet, config)
}

#[cfg(feature = "cli")]
mod in_processes {
    use testkit::{Program, wait_for};

    use super::*;

    const WAYS: [&[&str]; 3] = [
        &["--concurrency", "pre-fork", "--workers", "2"],
        &["--concurrency", "multi-thread"],
        &["--concurrency", "multi-proc"],
    ];

    fn start(args: &[&str]) -> Program {
        let program = Program::start(env!("CARGO_BIN_EXE_ftpdlib"), Mode::Tls13, args);
        program.write("a", SECRET);
        program
    }

    /// Each session may be in another worker, thread or process.
    #[test]
    fn sessions_share_their_tickets_over_workers() {
        for args in WAYS {
            let program = start(args);
            for version in VERSIONS {
                let (_, config) = wallet(version);
                let mut sessions: Vec<_> = (0..6)
                    .map(|_| Session::login(program.address, HERE, USER, &config))
                    .collect();
                for session in &mut sessions {
                    session.resumes(&config);
                }
                drop(sessions);
                let mut next = Session::login(program.address, HERE, USER, &forgetful(version));
                next.resumes(&config);
            }
        }
    }

    #[test]
    fn tickets_outlive_their_worker() {
        let program = start(WAYS[0]);
        let (_, config) = wallet(&TLS13);
        let _session = Session::login(program.address, HERE, USER, &config);
        let before = program.children();
        for pid in &before {
            assert!(testkit::signal("KILL", &pid.to_string()));
        }
        wait_for("new workers", || {
            let now = program.children();
            now.len() == 2 && now.iter().all(|pid| !before.contains(pid))
        });
        let mut next = loop {
            // A new worker may not listen yet.
            let mut client = Client::connect_from(Mode::Clear, HERE, program.address);
            if client.try_reply().is_some() {
                client.auth(&Arc::new(forgetful(&TLS13))).unwrap();
                client.protect();
                client.login(USER, PASSWORD);
                break Session {
                    client,
                    source: HERE,
                };
            }
        };
        next.resumes(&config);
    }
}
