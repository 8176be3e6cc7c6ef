//! What the log says about handshakes that fail: words that an administrator can act on, and
//! never those of the TLS library.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use ftpdlib::{ClientAuth, TlsConfig};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use testkit::authority::{Pair, client, client_with};
use testkit::{
    Client, Server, Socket, client_config, log, parse_227, read_all, serve, set_deadlines,
    version_1, wait_for,
};

/// A server whose log is kept.
struct Watched {
    lines: log::Lines,
    server: Server,
}

impl Watched {
    fn new(change: impl FnOnce(&mut TlsConfig) + Send + 'static) -> Self {
        let lines = log::keep();
        Self {
            lines,
            server: serve(change),
        }
    }

    /// Waits for a line at the default level that has these words.
    #[track_caller]
    fn expect(&self, words: &str) {
        let found = || {
            let lines = self.lines.lock();
            lines
                .iter()
                .any(|line| !line.starts_with("DEBUG") && line.contains(words))
        };
        wait_for(words, found);
        for line in std::mem::take(&mut *self.lines.lock()) {
            // As in `Other(OtherError(..))` and `InappropriateMessage { .. }`.
            let bytes = line.as_bytes();
            let is_call = |pair: &[u8]| pair[0].is_ascii_alphabetic() && pair[1] == b'(';
            assert!(!bytes.windows(2).any(is_call), "{line}");
            assert!(!line.contains(" { ") && !line.contains("Error"), "{line}");
        }
    }

    /// Sends bytes in place of a handshake, after AUTH or at once.
    fn send(&self, bytes: &[u8], implicit: bool) {
        let mut socket = if implicit {
            let tcp = TcpStream::connect(self.server.address).unwrap();
            set_deadlines(&tcp);
            Socket::new(tcp)
        } else {
            let mut client = self.server.connect();
            client.expect(234, "AUTH TLS");
            client.socket
        };
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(Shutdown::Write);
        read_all(&mut socket);
    }

    /// Tries to shake hands.
    fn try_handshake(&self, config: ClientConfig) {
        let mut client = self.server.connect();
        let config = Arc::new(config);
        if client.auth(&config).is_ok() {
            // In TLS 1.3 the client learns only now that it is refused.
            let _ = client.socket.write_all(b"NOOP\r\n");
            let _ = client.socket.read_to_end(&mut Vec::new());
        }
    }
}

#[test]
fn other_protocols_are_named() {
    for implicit in [true, false] {
        let watched = Watched::new(move |tls| tls.implicit = implicit);
        for (bytes, words) in [
            (&b"USER joe\r\n"[..], "plain text instead of TLS"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            (b"\x80\x2e\x01\x03\x01\0\0\0\0\0", "SSL 2.0"),
            (&[0; 64], "not TLS"),
            (&[0x16, 3, 1, 0, 4, 1, 0, 0, 0], "damaged TLS message"),
        ] {
            watched.send(bytes, implicit);
            watched.expect(words);
        }
        watched.send(b"", implicit);
        watched.expect("the client has closed the connection during the handshake");
    }
}

/// A client of implicit FTPS at a server that waits for AUTH.
#[test]
fn a_handshake_without_auth_is_named() {
    let watched = Watched::new(|_| {});
    let mut client = watched.server.connect();
    client.send([0x16, 3, 1, 2, 0, 1, 0, b'\r', b'\n']);
    watched.expect("the client begins with TLS at once: set it to explicit FTPS");
    client.expect_reply(500);
}

#[test]
fn missing_settings_in_common_are_named() {
    let watched = Watched::new(|tls| {
        let pair = Pair::new(&["localhost"]);
        *tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    });
    // The server knows no P-521.
    watched.send(&hello(&[0x13, 0x01], &[0x00, 0x19], &[0x04, 0x03]), false);
    watched.expect("no common key exchange");
    watched.send(&hello(&[0x13, 0xff], &[0x00, 0x1d], &[0x04, 0x03]), false);
    watched.expect("no common cipher suite");
    watched.try_handshake(client_with(None, &[SignatureScheme::RSA_PSS_SHA256]));
    watched.expect("no common signature scheme");
    let mut http = client(None);
    http.alpn_protocols = vec![b"http/1.1".to_vec()];
    watched.try_handshake(http);
    watched.expect("ALPN");
    watched.send(&old_hello([3, 2], true), false);
    watched.expect("no common version of TLS");
    let newer = Watched::new(|tls| {
        let pair = Pair::new(&["localhost"]);
        *tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
        tls.min_version = ftpdlib::TlsVersion::V1_3;
    });
    newer.try_handshake(client_config(&[&TLS12]));
    newer.expect("no common version of TLS");
}

/// Clients that know only SSL 3.0, TLS 1.0 or 1.1.
#[test]
fn old_versions_are_named() {
    const WORDS: &str = "the client offers only versions before TLS 1.2: it must support 1.3 or";
    for implicit in [true, false] {
        let watched = Watched::new(move |tls| tls.implicit = implicit);
        for minor in 0..3 {
            watched.send(&old_hello([3, minor], false), implicit);
            watched.expect(WORDS);
        }
    }
    let watched = Watched::new(|_| {});
    let mut client = watched
        .server
        .login_over(&Arc::new(client_config(&[&TLS13])));
    try_data(&mut client, &old_hello([3, 2], false));
    watched.expect(WORDS);
    let newer = Watched::new(|tls| {
        let pair = Pair::new(&["localhost"]);
        *tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
        tls.min_version = ftpdlib::TlsVersion::V1_3;
    });
    newer.send(&old_hello([3, 2], false), false);
    newer.expect(WORDS);
}

/// A ClientHello that has no list of versions.
fn old_hello(version: [u8; 2], has_schemes: bool) -> Vec<u8> {
    let mut old = hello(&[0xc0, 0x09], &[0x00, 0x1d], &[0x04, 0x03]);
    old[9..11].copy_from_slice(&version);
    // The last extension becomes an unknown one.
    let versions = old.len() - 7;
    old[versions..versions + 2].copy_from_slice(&[0xff, 0xff]);
    if !has_schemes {
        let schemes = versions - 14;
        assert_eq!(old[schemes..schemes + 2], [0, 13]);
        old[schemes..schemes + 2].copy_from_slice(&[0xff, 0xfe]);
    }
    old
}

/// A ClientHello with one cipher suite, one group without a key share, and one scheme.
fn hello(suite: &[u8; 2], group: &[u8; 2], scheme: &[u8; 2]) -> Vec<u8> {
    let extension = |number: u8, body: &[u8]| {
        let size = u8::try_from(body.len()).unwrap();
        [&[0, number, 0, size], body].concat()
    };
    let extensions = [
        extension(10, &[&[0, 2][..], group].concat()),
        extension(13, &[&[0, 2][..], scheme].concat()),
        extension(51, &[0, 0]),
        extension(43, &[2, 3, 4]),
    ];
    let extensions = extensions.concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2]);
    body.extend(suite);
    body.extend([1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let size = u16::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 3, 1];
    record.extend((size + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(size.to_be_bytes());
    record.extend(body);
    record
}

#[test]
fn certificates_of_clients_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Pair::authority("users");
    let (ca, _) = authority.write(dir.path(), "ca");
    let watched = Watched::new(move |tls| {
        let pair = Pair::new(&["localhost"]);
        *tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
        tls.client_auth = ClientAuth::Required;
        tls.client_ca = Some(ca);
    });
    watched.try_handshake(client(None));
    watched.expect("shown no certificate");
    watched.try_handshake(client(Some(&Pair::new(&["stranger"]))));
    watched.expect("not from an authority in client_ca");
    let expired = Pair::with(&["user"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    watched.try_handshake(client(Some(&expired)));
    watched.expect("has expired on 2020-01-02 00:00:00 UTC");
    let mut old = client(None);
    let key = aws_lc_rs::sign::any_supported_type(&expired.key_der()).unwrap();
    let shown = CertifiedKey::new(vec![version_1()], key);
    old.client_auth_cert_resolver = Arc::new(Shown(Arc::new(shown)));
    watched.try_handshake(old);
    watched.expect("X.509 version 1");
}

/// An authority is a trust anchor, whose dates are not a part of the verification (RFC 5280
/// §6.1.1). The log says so.
#[test]
fn clients_of_an_expired_authority_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Pair::with(&["users"], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    let (ca, _) = authority.write(dir.path(), "ca");
    let watched = Watched::new(move |tls| {
        let pair = Pair::new(&["localhost"]);
        *tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
        tls.client_auth = ClientAuth::Required;
        tls.client_ca = Some(ca);
    });
    watched.expect(
        "ca.pem: certificate 1 has expired on 2020-01-02 00:00:00 UTC: clients of this authority \
         are accepted all the same, replace it",
    );
    let mut client = watched.server.connect();
    let config = testkit::authority::client(Some(&authority.signs(&["user"])));
    client.auth(&Arc::new(config)).unwrap();
    client.expect(200, "NOOP");
}

/// Shows a certificate that rustls would refuse to show.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A client that refuses the server says why.
#[test]
fn alerts_of_clients_are_named() {
    let watched = Watched::new(|_| {});
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(RootCertStore {
                roots: roots_of_a_stranger(),
            })
            .with_no_client_auth();
        watched.try_handshake(config);
        watched.expect("does not trust the authority of the server's certificate");
    }
    for (alert, words) in [
        (42, "refuses the server's certificate"),
        (45, "holds the server's certificate for expired"),
        (
            46,
            "refuses the server's certificate (alert certificate_unknown)",
        ),
        (70, "does not accept the version of TLS"),
        (40, "no cipher suite or key exchange"),
        (90, "cancelled"),
        (200, "alert 200"),
    ] {
        watched.send(&[0x15, 3, 3, 0, 2, 2, alert], false);
        watched.expect(words);
    }
}

fn roots_of_a_stranger() -> Vec<rustls::pki_types::TrustAnchor<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(Pair::authority("stranger").der).unwrap();
    roots.roots
}

/// The same on data connections.
#[test]
fn refusals_of_data_connections_are_named() {
    let watched = Watched::new(|_| {});
    let config = Arc::new(client_config(&[&TLS13]));
    let mut client = watched.server.login_over(&config);
    for (bytes, words) in [
        (&b"what is stored\r\n"[..], "plain text instead of TLS"),
        (b"", "the client has closed the connection"),
        (&[0x15, 3, 3, 0, 2, 2, 48], "does not trust the authority"),
    ] {
        try_data(&mut client, bytes);
        watched.expect(words);
    }
}

fn try_data(client: &mut Client, bytes: &[u8]) {
    let address = parse_227(&client.expect(227, "PASV"));
    let mut data = TcpStream::connect(address).unwrap();
    set_deadlines(&data);
    client.begin("NLST");
    data.write_all(bytes).unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.expect_reply(522), "522 SSL handshake failed.");
    let _ = data.read_to_end(&mut Vec::new());
}

/// A record that was changed after the handshake ends the session, in plain words.
#[test]
fn a_changed_record_is_named() {
    let watched = Watched::new(|_| {});
    let config = Arc::new(client_config(&[&TLS13]));
    let client = watched.server.login_over(&config);
    let mut record = Vec::new();
    client.socket.ask(|tls| {
        tls.writer().write_all(b"NOOP\r\n").unwrap();
        tls.write_tls(&mut record).unwrap();
    });
    *record.last_mut().unwrap() ^= 1;
    let mut tcp = client.socket.into_tcp();
    tcp.write_all(&record).unwrap();
    watched.expect("a TLS record cannot be decrypted");
}
