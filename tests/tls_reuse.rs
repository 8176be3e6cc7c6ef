//! Data connections that resume the TLS session of their control connection, and those that do
//! not: only the owner may get a transfer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ftpdlib::SessionReuse;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use std::io::Write;
use testkit::{
    Client, PASSWORD, Server, Socket, USER, WAYS, Wallet, begin, client_config, parse_227, pattern,
    port_listener, read_all, read_whole, serve, wait_for,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A client with its own wallet.
struct Owner {
    client: Client,
    wallet: Arc<Wallet>,
    config: Arc<ClientConfig>,
}

impl Owner {
    /// Logs in over TLS, with the settings of `base` and this wallet.
    fn login(server: &Server, base: &ClientConfig) -> Self {
        let wallet = Arc::new(Wallet::default());
        let config = Arc::new(wallet.with(base));
        Self {
            client: server.login_over(&config),
            wallet,
            config,
        }
    }

    /// The same as another user, who has no right to the tickets of the first one.
    fn thief(server: &Server, base: &ClientConfig) -> Self {
        let mut thief = Self::login(server, base);
        thief.client.expect(331, "USER anonymous");
        thief.client.expect(230, "PASS thief@");
        thief.client.protect();
        thief.client.expect(200, "TYPE I");
        thief
    }

    /// Makes a data connection for a command that offers what is in the wallet of `config`; the
    /// handshake comes after the reply.
    fn begin(&mut self, config: &Arc<ClientConfig>, command: &str) -> Socket {
        let address = parse_227(&self.client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        self.client.begin(command);
        under_tls(tcp, config)
    }

    /// Downloads `a` with the wallet of `config`.
    #[track_caller]
    fn fetch(&mut self, config: &Arc<ClientConfig>) -> HandshakeKind {
        let mut data = self.begin(config, "RETR a");
        assert_eq!(read_whole(&mut data), SECRET);
        self.client.expect_reply(226);
        kind(&data)
    }

    /// Tries to download `a` with the wallet of `config`.
    #[track_caller]
    fn fetch_in_vain(&mut self, config: &Arc<ClientConfig>, why: &str) {
        let mut data = self.begin(config, "RETR a");
        assert_eq!(read_all(&mut data), b"");
        let reply = self.client.expect_reply(522);
        assert_eq!(reply, refusal(why));
        self.client.expect(200, "NOOP");
    }

    fn store(&mut self, bytes: &[u8]) -> HandshakeKind {
        let config = Arc::clone(&self.config);
        let mut data = self.begin(&config, "STOR up");
        data.write_all(bytes).unwrap();
        let kind = kind(&data);
        drop(data);
        self.client.expect_reply(226);
        kind
    }
}

fn refusal(why: &str) -> String {
    format!("522 SSL session reuse required on the data channel ({why}).")
}

const SECRET: &[u8] = b"what only its owner is to see";

/// A connection under TLS whose handshake may have failed.
fn under_tls(tcp: TcpStream, config: &Arc<ClientConfig>) -> Socket {
    let socket = Socket::under_tls(tcp, config);
    // If it has failed, the next use of the connection fails.
    let _ = socket.handshake();
    socket
}

fn kind(socket: &Socket) -> HandshakeKind {
    socket.ask(|tls| tls.handshake_kind().unwrap())
}

/// Settings of a client that offers no ticket.
fn forgetful(base: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = base.clone();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn server(reuse: SessionReuse) -> Server {
    let server = serve(move |tls| tls.session_reuse = reuse);
    server.write("a", SECRET);
    server
}

const ALL: [SessionReuse; 3] = [
    SessionReuse::Off,
    SessionReuse::Prefer,
    SessionReuse::Require,
];

// --- connections that resume

#[test]
fn resumed_connections_work_under_each_policy() {
    for reuse in ALL {
        let server = server(reuse);
        for version in VERSIONS {
            let mut owner = Owner::login(&server, &client_config(&[version]));
            let expected = match reuse {
                SessionReuse::Off => HandshakeKind::Full,
                _ => HandshakeKind::Resumed,
            };
            for way in WAYS {
                for command in ["RETR a", "NLST", "STOR up", "MLSD", "RETR a"] {
                    let (mut data, _) = begin(&mut owner.client, way, command);
                    let what = format!("{reuse:?} {version:?} {way:?} {command}");
                    assert_eq!(kind(&data), expected, "{what}");
                    match command {
                        "STOR up" => data.write_all(SECRET).unwrap(),
                        "RETR a" => assert_eq!(read_whole(&mut data), SECRET),
                        _ => drop(read_whole(&mut data)),
                    }
                    drop(data);
                    owner.client.expect_reply(226);
                }
            }
        }
    }
}

/// The handshake comes before the command, or after it.
#[test]
fn resumed_before_the_command() {
    let server = server(SessionReuse::Require);
    for version in VERSIONS {
        let mut owner = Owner::login(&server, &client_config(&[version]));
        for _ in 0..2 {
            let address = parse_227(&owner.client.expect(227, "PASV"));
            let mut data = under_tls(TcpStream::connect(address).unwrap(), &owner.config);
            assert_eq!(kind(&data), HandshakeKind::Resumed);
            owner.client.begin("RETR a");
            assert_eq!(read_whole(&mut data), SECRET);
            owner.client.expect_reply(226);
        }
    }
}

/// In TLS 1.2 a client may resume any number of times, by the id of the session (RFC 5246 §7.3)
/// and without a ticket.
#[test]
fn tls12_resumes_by_session_id() {
    let server = server(SessionReuse::Require);
    let mut base = client_config(&[&TLS12]);
    let wallet = Arc::new(Wallet::default());
    base = wallet.with(&base);
    base.resumption = base
        .resumption
        .tls12_resumption(Tls12Resumption::SessionIdOnly);
    let config = Arc::new(base);
    let client = server.login_over(&config);
    let mut owner = Owner {
        client,
        wallet,
        config: Arc::clone(&config),
    };
    for _ in 0..20 {
        assert_eq!(owner.fetch(&config), HandshakeKind::Resumed);
        assert_eq!(owner.store(b"x"), HandshakeKind::Resumed);
    }
}

/// The TLS session outlives the login.
#[test]
fn a_new_user_resumes_as_well() {
    let server = server(SessionReuse::Require);
    for version in VERSIONS {
        let mut owner = Owner::login(&server, &client_config(&[version]));
        let config = Arc::clone(&owner.config);
        owner.fetch(&config);
        owner.client.expect(230, "REIN");
        owner.client.login(USER, PASSWORD);
        owner.client.protect();
        owner.client.expect(200, "TYPE I");
        assert_eq!(owner.fetch(&config), HandshakeKind::Resumed);
    }
}

// --- connections that do not resume

#[test]
fn require_and_no_ticket() {
    let server = server(SessionReuse::Require);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let mut owner = Owner::login(&server, &base);
        let (own, none) = (Arc::clone(&owner.config), forgetful(&base));
        owner.fetch_in_vain(&none, "no ticket");
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        owner.fetch_in_vain(&none, "no ticket");
        // Nothing is stored, either.
        let mut data = owner.begin(&none, "STOR up");
        let _ = data.write_all(b"by somebody else");
        let reply = owner.client.expect_reply(522);
        assert_eq!(reply, refusal("no ticket"));
        assert!(!server.path("up").exists());
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
    }
}

/// The same when the handshake came before the command: the command gets the error.
#[test]
fn require_and_no_ticket_before_the_command() {
    let server = server(SessionReuse::Require);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let mut owner = Owner::login(&server, &base);
        let own = Arc::clone(&owner.config);
        for command in ["RETR a", "STOR up", "NLST"] {
            let address = parse_227(&owner.client.expect(227, "PASV"));
            let mut data = under_tls(TcpStream::connect(address).unwrap(), &forgetful(&base));
            testkit::await_data(&mut owner.client);
            owner.client.begin(command);
            assert_eq!(read_all(&mut data), b"");
            let reply = owner.client.expect_reply(522);
            assert_eq!(reply, refusal("no ticket"));
        }
        owner.fetch(&own);
    }
}

/// Both clients have a session; one offers the ticket of the other.
#[test]
fn require_and_a_ticket_of_another_session() {
    let server = server(SessionReuse::Require);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let mut owner = Owner::login(&server, &base);
        let mut thief = Owner::login(&server, &base);
        let (own, stolen) = (Arc::clone(&owner.config), Arc::clone(&thief.config));
        let mut steal_in_vain = |thief: &Owner| {
            // Clients forget a session of TLS 1.2 that was refused.
            let session = thief.wallet.tls12.lock().unwrap().clone();
            owner.fetch_in_vain(&stolen, "a ticket of another session");
            *thief.wallet.tls12.lock().unwrap() = session;
            assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        };
        steal_in_vain(&thief);
        // Its own tickets still work on its own connections.
        assert_eq!(thief.fetch(&stolen), HandshakeKind::Resumed);
        // A ticket from a download of another session is refused, too.
        steal_in_vain(&thief);
        thief.fetch(&stolen);
        steal_in_vain(&thief);
    }
}

/// A ticket of a session that has ended, offered in a new session of the same user.
#[test]
fn a_ticket_of_a_session_that_is_over() {
    let server = server(SessionReuse::Require);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let mut before = Owner::login(&server, &base);
        let old = Arc::clone(&before.config);
        before.fetch(&old);
        before.client.expect(221, "QUIT");
        before.client.expect_eof();
        let mut owner = Owner::login(&server, &base);
        owner.fetch_in_vain(&old, "a ticket of another session");
        // On a control connection the ticket is ignored: the handshake is a full one.
        drop(Owner {
            client: server.login_over(&old),
            wallet: before.wallet,
            config: old,
        });
        let own = Arc::clone(&owner.config);
        owner.fetch(&own);
    }
}

/// Two sessions, one of each kind, do not affect each other.
#[test]
fn prefer_takes_all_until_one_has_resumed() {
    let server = server(SessionReuse::Prefer);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let none = forgetful(&base);
        let mut plain = Owner::login(&server, &base);
        let mut owner = Owner::login(&server, &base);
        let own = Arc::clone(&owner.config);
        for _ in 0..3 {
            assert_eq!(owner.fetch(&none), HandshakeKind::Full);
        }
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        for _ in 0..3 {
            owner.fetch_in_vain(&none, "no ticket");
            assert_eq!(plain.fetch(&none), HandshakeKind::Full);
            assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        }
        // Uploads are protected as downloads are.
        let mut data = owner.begin(&none, "STOR up");
        let _ = data.write_all(b"by somebody else");
        let reply = owner.client.expect_reply(522);
        assert_eq!(reply, refusal("no ticket"));
        assert!(!server.path("up").exists());
    }
}

#[test]
fn prefer_and_a_ticket_of_another_session() {
    let server = server(SessionReuse::Prefer);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let mut owner = Owner::login(&server, &base);
        let thief = Owner::thief(&server, &base);
        let own = Arc::clone(&owner.config);
        // Any client may make the first one, but not with a ticket of another user.
        owner.fetch_in_vain(&thief.config, "a ticket of another session");
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        let thief = Owner::thief(&server, &base);
        owner.fetch_in_vain(&thief.config, "a ticket of another session");
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
    }
}

/// A client from the same address connects to the data port of another client, with TLS and a
/// good login. It is not served, and the owner gets an error.
#[test]
fn a_thief_at_the_passive_port() {
    for reuse in [SessionReuse::Prefer, SessionReuse::Require] {
        let server = server(reuse);
        for version in VERSIONS {
            let base = client_config(&[version]);
            let mut owner = Owner::login(&server, &base);
            let own = Arc::clone(&owner.config);
            owner.fetch(&own);
            let thief = Owner::thief(&server, &base);
            for steals in [forgetful(&base), Arc::clone(&thief.config)] {
                for before in [true, false] {
                    let address = parse_227(&owner.client.expect(227, "PASV"));
                    let mut stolen = steal(&mut owner.client, address, &steals, before);
                    assert_eq!(read_all(&mut stolen), b"");
                    let reply = owner.client.expect_reply(522);
                    assert!(
                        reply.starts_with("522 SSL session reuse required"),
                        "{reply}"
                    );
                    // The owner tries again.
                    assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
                }
            }
        }
    }
}

fn steal(
    owner: &mut Client,
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    before: bool,
) -> Socket {
    let tcp = TcpStream::connect(address).unwrap();
    if before {
        let stolen = under_tls(tcp, config);
        owner.begin("RETR a");
        return stolen;
    }
    owner.begin("RETR a");
    under_tls(tcp, config)
}

#[test]
fn refusals_are_logged_with_their_reason() {
    let lines = testkit::log::keep();
    let server = server(SessionReuse::Require);
    let base = client_config(&[&TLS13]);
    let mut owner = Owner::login(&server, &base);
    owner.fetch_in_vain(&forgetful(&base), "no ticket");
    let thief = Owner::login(&server, &base);
    owner.fetch_in_vain(&thief.config, "a ticket of another session");
    for reason in ["no ticket", "a ticket of another session"] {
        wait_for(reason, || {
            lines.lock().iter().any(|line| {
                !line.starts_with("DEBUG") && line.contains("[user]") && line.contains(reason)
            })
        });
    }
}

// --- tickets of TLS 1.3

#[test]
fn tickets_by_direction() {
    for reuse in ALL {
        let server = server(reuse);
        server.write("long", pattern(300_000));
        let off = reuse == SessionReuse::Off;
        for way in WAYS {
            let mut owner = Owner::login(&server, &client_config(&[&TLS13]));
            // Several tickets, which have all come with the first reply.
            let given = owner.wallet.received();
            let expected = if off { 0..=0 } else { 2..=8 };
            assert!(expected.contains(&given), "{given}");
            for command in ["RETR a", "RETR long", "NLST", "LIST", "MLSD"] {
                let before = owner.wallet.received();
                let (mut data, _) = begin(&mut owner.client, way, command);
                read_whole(&mut data);
                owner.client.expect_reply(226);
                let given = owner.wallet.received() - before;
                let expected = if off { 0..=0 } else { 1..=2 };
                assert!(expected.contains(&given), "{reuse:?} {command}: {given}");
            }
            for command in ["STOR up", "APPE up", "STOU"] {
                let before = owner.wallet.received();
                let (mut data, _) = begin(&mut owner.client, way, command);
                data.write_all(SECRET).unwrap();
                data.send_close_notify();
                // No ticket comes up to the very end.
                assert_eq!(read_whole(&mut data), b"");
                owner.client.expect_reply(226);
                assert_eq!(owner.wallet.received(), before, "{reuse:?} {command}");
            }
        }
    }
}

/// With a ticket, it would count as the owner the next time.
#[test]
fn a_connection_that_does_not_resume_gets_no_ticket() {
    let server = server(SessionReuse::Prefer);
    for version in VERSIONS {
        let base = client_config(&[version]);
        let mut owner = Owner::login(&server, &base);
        let own = Arc::clone(&owner.config);
        for resumed in [false, true] {
            let wallet = Arc::new(Wallet::default());
            let config = Arc::new(wallet.with(&base));
            for _ in 0..3 {
                if resumed {
                    owner.fetch_in_vain(&config, "no ticket");
                } else {
                    assert_eq!(owner.fetch(&config), HandshakeKind::Full);
                }
            }
            assert_eq!(wallet.received(), 0);
            assert!(wallet.tls12.lock().unwrap().is_none());
            owner.fetch(&own);
        }
    }
}

/// A client that uploads may never read. If tickets were on their way to it, its close would
/// become a reset, and the upload would be lost.
#[test]
fn uploads_by_a_client_that_never_reads() {
    let server = server(SessionReuse::Prefer);
    let bytes = pattern(5 << 20);
    for base in [client_config(&[&TLS12]), client_config(&[&TLS13])] {
        for resumes in [true, false] {
            let mut owner = Owner::login(&server, &base);
            let config = match resumes {
                true => Arc::clone(&owner.config),
                false => forgetful(&base),
            };
            // When the handshake comes before the command, it waits a while for it.
            for before in [resumes, false] {
                let address = parse_227(&owner.client.expect(227, "PASV"));
                let tcp = TcpStream::connect(address).unwrap();
                let data = if before {
                    let data = under_tls(tcp, &config);
                    owner.client.begin("STOR up");
                    data
                } else {
                    owner.client.begin("STOR up");
                    under_tls(tcp, &config)
                };
                let mut data = data;
                data.write_all(&bytes).unwrap();
                drop(data);
                owner.client.expect_reply(226);
                assert!(server.read("up") == bytes, "{resumes} {before}");
            }
        }
    }
}

/// rustls uses each ticket once (RFC 8446 §C.4). Uploads bring no tickets, so it runs out of
/// them, which is no reason to refuse the client. While it still has an unused ticket, no client
/// without one gets a file.
#[test]
fn a_client_that_uses_each_ticket_once() {
    let server = server(SessionReuse::Prefer);
    let mut owner = Owner::login(&server, &client_config(&[&TLS13]));
    let own = Arc::clone(&owner.config);
    for _ in 0..15 {
        owner.fetch(&own);
    }
    owner.store(b"0");
    owner.fetch_in_vain(&forgetful(&client_config(&[&TLS13])), "no ticket");
    for number in 0..15 {
        owner.store(format!("{number}").as_bytes());
    }
    owner.fetch(&own);
    let other = Owner::thief(&server, &client_config(&[&TLS13]));
    for command in ["RETR a", "STOR up"] {
        let mut data = owner.begin(&other.config, command);
        assert_eq!(read_all(&mut data), b"");
        let reply = owner.client.expect_reply(522);
        assert_eq!(reply, refusal("a ticket of another session"), "{command}");
    }
}

/// A ticket from the control connection is good until the end, whatever tickets came later.
#[test]
fn the_first_tickets_outlive_many_downloads() {
    for reuse in [SessionReuse::Prefer, SessionReuse::Require] {
        let server = server(reuse);
        let mut owner = Owner::login(&server, &client_config(&[&TLS13]));
        let own = Arc::clone(&owner.config);
        let first: VecDeque<_> = std::mem::take(&mut *owner.wallet.tls13.lock().unwrap());
        owner.wallet.tls13.lock().unwrap().extend(first);
        let saved = owner.wallet.tls13.lock().unwrap().pop_front().unwrap();
        for _ in 0..30 {
            assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        }
        owner.wallet.clear();
        owner.wallet.tls13.lock().unwrap().push_back(saved);
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed, "{reuse:?}");
    }
}

/// Failed transfers leave the session as it was.
#[test]
fn failed_transfers_cost_no_session() {
    for version in VERSIONS {
        let server = server(SessionReuse::Prefer);
        server.write("big", pattern(5 << 20));
        let mut owner = Owner::login(&server, &client_config(&[version]));
        let own = Arc::clone(&owner.config);
        assert_eq!(owner.fetch(&own), HandshakeKind::Resumed);
        for _ in 0..5 {
            let data = owner.begin(&own, "RETR big");
            testkit::reset(data);
            assert!(matches!(owner.client.reply().0, 426 | 522));
        }
        let (listener, port) = port_listener();
        owner.client.expect(200, port);
        drop(listener);
        owner.client.expect(225, "ABOR");
        owner.store(b"x");
        owner.fetch(&own);
    }
}

/// An attacker could send early data (0-RTT) again, so no ticket allows it.
#[test]
fn no_early_data() {
    let server = server(SessionReuse::Prefer);
    let mut base = client_config(&[&TLS13]);
    base.enable_early_data = true;
    let mut owner = Owner::login(&server, &base);
    for ticket in owner.wallet.tls13.lock().unwrap().iter() {
        assert_eq!(ticket.max_early_data_size(), 0);
    }
    let data = owner.begin(&Arc::clone(&owner.config), "RETR a");
    assert_eq!(kind(&data), HandshakeKind::Resumed);
    data.ask(|tls| assert!(!tls.is_early_data_accepted()));
}
