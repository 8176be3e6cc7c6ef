//! TLS in the tests: one certificate for each process, and the configurations of both sides.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};

use ftpdlib::{FTPConfig, TlsConfig};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use tempfile::NamedTempFile;

use crate::authority::Pair;
use crate::{Client, Mode, PASSWORD, Server, USER, read_all, set_deadlines};

/// The certificate of all servers of this process.
static PAIR: LazyLock<Pair> = LazyLock::new(|| Pair::new(&["localhost"]));

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![PAIR.der.clone()], PAIR.key_der());
    Arc::new(config.unwrap())
});

/// The TLS configuration of a server of the tests.
pub(crate) fn server_config() -> TlsConfig {
    TlsConfig::with_context(Arc::clone(&SERVER))
}

/// Writes the certificate and its key to a new file, for a program.
///
/// Each process makes its own certificate, so no two may share a file: a server would
/// read the certificate of a test run next to its own, and its client would refuse it.
pub fn certfile() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(PAIR.both().as_bytes()).unwrap();
    file
}

/// The configuration of a client that trusts the servers of this process and remembers
/// tickets.
pub fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots())
        .with_no_client_auth()
}

/// Configurations of one client, each with one of these cipher suites of TLS 1.3. It offers the
/// tickets of one in all.
pub fn client_configs_with(suites: &[SupportedCipherSuite]) -> Vec<ClientConfig> {
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots()));
    let verifier = verifier.build().unwrap();
    let configs = suites.iter().map(|suite| {
        let mut provider = default_provider();
        provider.cipher_suites = vec![*suite];
        ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_webpki_verifier(Arc::clone(&verifier))
            .with_no_client_auth()
    });
    let mut configs: Vec<_> = configs.collect();
    // rustls keeps tickets apart by these.
    if let Some((first, others)) = configs.split_first_mut() {
        for other in others {
            other.client_auth_cert_resolver = Arc::clone(&first.client_auth_cert_resolver);
        }
    }
    configs
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(PAIR.der.clone()).unwrap();
    roots
}

/// The configurations of a client for TLS 1.2 and for TLS 1.3.
pub fn each_version() -> [Arc<ClientConfig>; 2] {
    [&TLS12, &TLS13].map(|version| Arc::new(client_config(&[version])))
}

/// Gives a configuration FTPS, with settings that `change` has changed.
pub fn with_tls(change: impl FnOnce(&mut TlsConfig)) -> impl FnOnce(&mut FTPConfig) {
    |config| {
        let mut tls = server_config();
        change(&mut tls);
        config.tls = Some(tls);
    }
}

/// Starts a server with FTPS for a test that secures its connections itself.
pub fn serve(change: impl FnOnce(&mut TlsConfig) + Send + 'static) -> Server {
    Server::with(Mode::Clear, with_tls(change))
}

impl Server {
    /// Connects a client that is logged in under TLS, with data connections under TLS.
    pub fn login_over(&self, config: &Arc<ClientConfig>) -> Client {
        let mut client = self.connect();
        client.auth(config).unwrap();
        client.protect();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client
    }
}

/// A TLS connection whose records the test carries to and from the socket itself.
pub struct Carried {
    /// The TLS side.
    pub tls: ClientConnection,
    /// The socket.
    pub tcp: TcpStream,
}

impl Carried {
    /// Nothing is sent yet.
    pub fn new(tcp: TcpStream, config: &Arc<ClientConfig>) -> Self {
        set_deadlines(&tcp);
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { tls, tcp }
    }

    /// Takes the bytes that are to be sent.
    pub fn outgoing(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Reads what the server sends next; returns its size.
    pub fn receive(&mut self) -> io::Result<usize> {
        let size = self.tls.read_tls(&mut self.tcp)?;
        self.tls.process_new_packets().map_err(io::Error::other)?;
        Ok(size)
    }

    /// Shakes hands until only the last flight of the client is left to be sent, and returns
    /// that flight.
    pub fn almost_shake_hands(&mut self) -> Vec<u8> {
        loop {
            let flight = self.outgoing();
            if !self.tls.is_handshaking() {
                return flight;
            }
            // In TLS 1.2 a full handshake ends with a flight of the server: then this
            // flight is the last but one.
            self.tcp.write_all(&flight).unwrap();
            assert_ne!(self.receive().unwrap(), 0, "the server has closed");
        }
    }

    /// The plaintext, after the handshake.
    pub fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, TcpStream> {
        rustls::Stream::new(&mut self.tls, &mut self.tcp)
    }
}

/// The type of a TLS record that holds an alert.
pub const ALERT: u8 = 0x15;

/// Returns the ClientHello of such a client.
pub fn client_hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Carried::new(tcp, config).outgoing()
}

/// Checks that the server sends at most an alert, and closes.
#[track_caller]
pub fn expect_tls_end(tcp: &mut impl Read) {
    let bytes = read_all(tcp);
    assert!(bytes.is_empty() || bytes[0] == ALERT, "{bytes:?}");
}
