//! FTPS with the cryptography of ring: the handshakes, and the tickets that tie a data connection
//! to its control connection, in TLS 1.2 and 1.3.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;

use builds::{Control, Server, connect};
use ftpdlib::{SessionReuse, TlsConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn secure(stream: TcpStream, config: &Arc<ClientConfig>) -> Secure {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

#[test]
fn data_connections_resume() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("a"), "what is secret").unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut tls = TlsConfig::with_certificate(vec![cert.der().clone()], key).unwrap();
    tls.session_reuse = SessionReuse::Require;
    let server = Server::start(home.path(), |config| config.tls = Some(tls));
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let mut stranger = config.clone();
        stranger.resumption = Resumption::disabled();
        let (config, stranger) = (Arc::new(config), Arc::new(stranger));
        let mut control = Control::new(connect(server.address));
        control.expect("220");
        control.command("AUTH TLS", "234");
        let mut control = Control::new(secure(control.into_inner(), &config));
        control.command("PBSZ 0", "200");
        control.command("PROT P", "200");
        control.login();
        for _ in 0..3 {
            let data = control.open_data(server.address);
            control.command("RETR a", "1");
            let mut data = secure(data, &config);
            let mut got = String::new();
            data.read_to_string(&mut got).unwrap();
            assert_eq!(data.conn.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_eq!(got, "what is secret");
            drop(data);
            control.expect("226");
        }
        let data = control.open_data(server.address);
        control.command("RETR a", "1");
        let mut data = secure(data, &stranger);
        let _ = data.read(&mut [0; 64]);
        control.expect("522");
    }
}
