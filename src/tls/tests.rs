//! Handshakes in memory with clients of each kind.

use std::error::Error as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Error, ProtocolVersion, ServerConfig, ServerConnection,
    SignatureScheme,
};
use testkit::authority::{Pair, client, client_with, old_client};

use super::certificates::Notes;
use super::{
    CertFiles, ClientAuth, TlsAcceptor, TlsConfig, TlsSession, TlsVersion, certificates,
    fingerprint,
};
use crate::ioloop::clock::Clock;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Both sides of a finished handshake, and the certificate that the client received.
struct Shaken {
    certificate: CertificateDer<'static>,
    client: ClientConnection,
    server: ServerConnection,
}

fn shake(acceptor: &Arc<TlsAcceptor>, client: ClientConfig, host: &str) -> Result<Shaken, Error> {
    shake_in(
        &TlsSession::new(Arc::clone(acceptor), ADDRESS),
        client,
        host,
    )
}

/// The handshake of a control connection of this session.
fn shake_in(session: &TlsSession, client: ClientConfig, host: &str) -> Result<Shaken, Error> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(config(session))?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let certificate = client.peer_certificates().unwrap()[0].clone();
    Ok(Shaken {
        certificate,
        client,
        server,
    })
}

fn config(session: &TlsSession) -> Arc<ServerConfig> {
    session.control_handshake().1.config
}

fn acceptor(pair: &Pair, change: impl FnOnce(&mut TlsConfig)) -> Arc<TlsAcceptor> {
    let mut config = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    change(&mut config);
    Arc::new(TlsAcceptor::new(&config, Clock::SYSTEM).unwrap())
}

fn wrong(config: &TlsConfig) -> String {
    match TlsAcceptor::new(config, Clock::SYSTEM) {
        Err(err) => err.to_string(),
        Ok(_) => panic!("the settings are accepted: {config:?}"),
    }
}

#[test]
fn certificates_are_chosen_by_the_named_host() {
    let dir = tempfile::tempdir().unwrap();
    let default = Pair::new(&["a.example"]);
    let (b, wild) = (
        Pair::new(&["b.example", "c.example"]),
        Pair::new(&["*.d.example"]),
    );
    let mut certificates = Vec::new();
    for (name, pair) in [("b", &b), ("wild", &wild)] {
        let (certfile, keyfile) = pair.write(dir.path(), name);
        let keyfile = Some(keyfile);
        certificates.push(CertFiles { certfile, keyfile });
    }
    let acceptor = acceptor(&default, |config| config.certificates = certificates);
    for (host, pair) in [
        ("a.example", &default),
        ("b.example", &b),
        ("B.EXAMPLE", &b),
        ("c.example", &b),
        ("x.d.example", &wild),
        ("d.example", &default),
        ("x.y.d.example", &default),
        ("none.example", &default),
        // Clients do not name addresses (RFC 6066 §3).
        ("127.0.0.1", &default),
    ] {
        let shaken = shake(&acceptor, client(None), host).unwrap();
        assert!(shaken.certificate == pair.der, "{host}");
    }
}

#[test]
fn a_host_may_have_certificates_of_two_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let (ecdsa, rsa) = (Pair::new(&["a.example"]), Pair::rsa(&["a.example"]));
    let (certfile, keyfile) = rsa.write(dir.path(), "rsa");
    let keyfile = Some(keyfile);
    let acceptor = acceptor(&ecdsa, |config| {
        config.certificates = vec![CertFiles { certfile, keyfile }];
    });
    for host in ["a.example", "none.example"] {
        let shaken = shake(&acceptor, client(None), host).unwrap();
        assert!(shaken.certificate == ecdsa.der, "{host}");
        let old = client_with(None, &[SignatureScheme::RSA_PSS_SHA256]);
        let shaken = shake(&acceptor, old, host).unwrap();
        assert!(shaken.certificate == rsa.der, "{host}");
    }
}

#[test]
fn keys_are_of_all_kinds() {
    let dir = tempfile::tempdir().unwrap();
    for pair in [
        Pair::rsa(&["localhost"]),
        Pair::of_kind(&PKCS_ECDSA_P384_SHA384, &["localhost"]),
        Pair::of_kind(&PKCS_ED25519, &["localhost"]),
        // A certificate that `openssl req -x509` makes may sign others, too.
        Pair::authority("localhost"),
    ] {
        let certfile = dir.path().join("both.pem");
        fs::write(&certfile, pair.both()).unwrap();
        let acceptor =
            Arc::new(TlsAcceptor::new(&TlsConfig::new(certfile), Clock::SYSTEM).unwrap());
        let shaken = shake(&acceptor, client(None), "localhost").unwrap();
        assert!(shaken.certificate == pair.der);
    }
}

#[test]
fn the_oldest_version_is_set() {
    let pair = Pair::new(&["localhost"]);
    let version = |shaken: Shaken| shaken.server.protocol_version();
    let stock = acceptor(&pair, |_| {});
    let shaken = shake(&stock, old_client(), "localhost").unwrap();
    assert_eq!(version(shaken), Some(ProtocolVersion::TLSv1_2));
    let strict = acceptor(&pair, |config| config.min_version = TlsVersion::V1_3);
    assert!(shake(&strict, old_client(), "localhost").is_err());
    for acceptor in [stock, strict] {
        let shaken = shake(&acceptor, client(None), "localhost").unwrap();
        assert_eq!(version(shaken), Some(ProtocolVersion::TLSv1_3));
    }
}

#[test]
fn clients_show_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::new(&["localhost"]);
    let (ours, others) = (Pair::authority("ours"), Pair::authority("others"));
    let (client_ca, _) = ours.write(dir.path(), "ca");
    let good = ours.signs(&["joe"]);
    let bad = others.signs(&["joe"]);
    let with = |auth| {
        acceptor(&pair, |config| {
            config.client_auth = auth;
            config.client_ca = Some(client_ca.clone());
        })
    };
    let shows = |acceptor: &Arc<TlsAcceptor>, shown: Option<&Pair>| {
        let shaken = shake(acceptor, client(shown), "localhost").ok()?;
        Some(shaken.server.peer_certificates().map(<[_]>::len))
    };
    let required = with(ClientAuth::Required);
    assert_eq!(shows(&required, None), None);
    assert_eq!(shows(&required, Some(&bad)), None);
    assert_eq!(shows(&required, Some(&good)), Some(Some(1)));
    let optional = with(ClientAuth::Optional);
    assert_eq!(shows(&optional, None), Some(None));
    assert_eq!(shows(&optional, Some(&bad)), None);
    assert_eq!(shows(&optional, Some(&good)), Some(Some(1)));
    let off = acceptor(&pair, |_| {});
    assert_eq!(shows(&off, Some(&good)), Some(None));
}

#[test]
fn the_protocol_is_ftp_or_absent() {
    let acceptor = acceptor(&Pair::new(&["localhost"]), |_| {});
    let offers = |protocols: &[&str]| {
        let mut config = client(None);
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        let shaken = shake(&acceptor, config, "localhost").ok()?;
        Some(shaken.client.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(offers(&[]), Some(None));
    assert_eq!(offers(&["ftp"]), Some(Some(b"ftp".to_vec())));
    assert_eq!(offers(&["http/1.1", "ftp"]), Some(Some(b"ftp".to_vec())));
    assert_eq!(offers(&["http/1.1"]), None);
}

#[test]
fn files_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let certfile = dir.path().join("both.pem");
    let (old, new) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    fs::write(&certfile, old.both()).unwrap();
    let acceptor = Arc::new(TlsAcceptor::new(&TlsConfig::new(&certfile), Clock::SYSTEM).unwrap());
    let new_session = || TlsSession::new(Arc::clone(&acceptor), ADDRESS);
    assert!(acceptor.has_files());
    let get = |session: &TlsSession| {
        let mut config = client(None);
        config.resumption = Resumption::disabled();
        let shaken = shake_in(session, config, "localhost");
        shaken.unwrap().certificate
    };
    let session = new_session();
    assert!(get(&session) == old.der);

    fs::write(&certfile, &new.certificate).unwrap();
    let text = acceptor.reload().unwrap_err().to_string();
    assert!(text.ends_with("both.pem: holds no private key in PEM, and there is no keyfile"));
    assert!(get(&new_session()) == old.der);

    fs::write(&certfile, new.both()).unwrap();
    acceptor.reload().unwrap();
    assert!(get(&new_session()) == new.der);
    // A session keeps the certificate that it has begun with.
    assert!(get(&session) == old.der);
}

#[test]
fn a_ready_made_configuration_is_used_as_it_is() {
    let pair = Pair::new(&["localhost"]);
    let ready = acceptor(&pair, |config| config.min_version = TlsVersion::V1_3);
    let mut ready = ServerConfig::clone(&config(&TlsSession::new(ready, ADDRESS)));
    ready.alpn_protocols = vec![b"h2".to_vec()];
    ready.max_early_data_size = 9;
    let settings = TlsConfig::with_context(Arc::new(ready));
    let acceptor = Arc::new(TlsAcceptor::new(&settings, Clock::SYSTEM).unwrap());
    assert!(!acceptor.has_files());
    acceptor.reload().unwrap();
    let ours = config(&TlsSession::new(Arc::clone(&acceptor), ADDRESS));
    assert_eq!(ours.alpn_protocols, [b"ftp"]);
    assert_eq!(ours.max_early_data_size, 0);
    let shaken = shake(&acceptor, client(None), "localhost").unwrap();
    assert!(shaken.certificate == pair.der);
}

#[test]
fn settings_that_contradict_each_other_are_errors() {
    let pair = Pair::new(&["localhost"]);
    let ready = config(&TlsSession::new(acceptor(&pair, |_| {}), ADDRESS));
    assert_eq!(
        wrong(&TlsConfig::default()),
        "there is no certificate: set certfile"
    );
    let mut config = TlsConfig::with_context(ready);
    config.certfile = Some("cert.pem".into());
    assert!(wrong(&config).starts_with("ssl_context replaces all certificates"));
    config.certfile = None;
    config.min_version = TlsVersion::V1_3;
    assert!(wrong(&config).starts_with("ssl_context replaces all certificates"));
    let mut config = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    config.client_auth = ClientAuth::Required;
    assert_eq!(
        wrong(&config),
        "client_auth needs client_ca: set the file of the authorities"
    );
    config.client_auth = ClientAuth::Off;
    config.client_ca = Some("ca.pem".into());
    assert_eq!(
        wrong(&config),
        "client_ca has no effect: client_auth is off"
    );
    config.keyfile = Some("key.pem".into());
    assert_eq!(
        wrong(&config),
        "certified_key replaces certfile and keyfile: do not set them, too"
    );
}

#[test]
fn certificates_in_memory_are_checked() {
    let (pair, other) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    let old = Pair::with(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    let text = |chain: Vec<CertificateDer<'static>>, key| {
        TlsConfig::with_certificate(chain, key)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text(Vec::new(), pair.key_der()),
        "there is no certificate: begin the chain with that of the server"
    );
    // A wrong date is no error.
    TlsConfig::with_certificate(vec![old.der.clone()], old.key_der()).unwrap();
    assert_eq!(
        text(vec![pair.der.clone()], other.key_der()),
        "the private key does not match the certificate"
    );
}

#[test]
fn errors_have_their_sources() {
    let missing = certificates::authorities(Path::new("/none"), &mut Notes::default());
    let missing = missing.unwrap_err();
    let source = missing.source().unwrap().downcast_ref::<std::io::Error>();
    assert_eq!(source.unwrap().kind(), std::io::ErrorKind::NotFound);
    let (pair, other) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    let mixed = TlsConfig::with_certificate(vec![pair.der], other.key_der()).unwrap_err();
    let source = mixed.source().unwrap().downcast_ref();
    assert!(matches!(source, Some(Error::InconsistentKeys(_))));
}

#[test]
fn fingerprints_are_those_of_openssl() {
    // FIPS 180-2, appendix B.1.
    let abc = fingerprint(&CertificateDer::from(b"abc".to_vec()));
    assert!(abc.starts_with("BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:"));
    assert!(abc.ends_with(":B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD"));
}

/// A certificate that was not renewed in time must not turn a restart into an outage.
#[test]
fn dates_are_noted() {
    let dir = tempfile::tempdir().unwrap();
    let day = |days: i64| {
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
        let time = if days < 0 { now - day } else { now + day };
        time.into()
    };
    let valid = |from: i64, to: i64| {
        Pair::with(&["localhost"], |params| {
            params.not_before = day(from);
            params.not_after = day(to);
        })
    };
    let file = dir.path().join("both.pem");
    let notes = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut notes = Notes::default();
        let files = CertFiles {
            certfile: file.clone(),
            keyfile: None,
        };
        certificates::load(&files, &mut notes).unwrap();
        let texts = notes.texts();
        let prefix = format!("{}: ", file.display());
        let texts = texts.iter().map(|text| text.replace(&prefix, "FILE "));
        texts.collect::<Vec<_>>()
    };
    let good = valid(-1, 100);
    assert!(notes(&good.both()).is_empty());
    for (pair, subject, words) in [
        (
            valid(-9, -1),
            "WARN FILE the certificate",
            "has expired on 2",
        ),
        (
            valid(1, 100),
            "WARN FILE the certificate",
            "is not valid before 2",
        ),
        (valid(-9, 3), "INFO FILE the certificate", "expires on 2"),
    ] {
        let own = notes(&pair.both());
        assert_eq!(own.len(), 1, "{own:?}");
        assert!(own[0].starts_with(&format!("{subject} {words}")), "{own:?}");
        // The same in the middle of a chain, and for the authority of clients.
        let chain = notes(&(good.both() + &pair.certificate));
        let subject = subject.replace("the certificate", "certificate 2");
        assert_eq!(chain.len(), 1, "{chain:?}");
        assert!(
            chain[0].starts_with(&format!("{subject} {words}")),
            "{chain:?}"
        );
        fs::write(&file, &pair.certificate).unwrap();
        let mut of_clients = Notes::default();
        certificates::authorities(&file, &mut of_clients).unwrap();
        let texts = of_clients.texts();
        assert!(
            texts[0].contains(&format!("certificate 1 {words}")),
            "{texts:?}"
        );
    }
}
