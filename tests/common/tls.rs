//! TLS as the tests use it: one certificate for each process, and the client's side.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use ftpdlib::{FTPConfig, TlsConfig};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use tempfile::NamedTempFile;

use super::authority::Pair;
use super::socket::{Socket, Tls};
use super::{Client, PASSWORD, Server, USER, set_deadlines};

/// What the connections of a test are made with, when it does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Clear,
    Tls12,
    Tls13,
}

/// As the binary is called: the themes are run by several.
pub const MODE: Mode = match env!("CARGO_CRATE_NAME").as_bytes() {
    b"over_tls12" => Mode::Tls12,
    b"over_tls13" => Mode::Tls13,
    _ => Mode::Clear,
};

impl Mode {
    /// The client's side.
    pub fn client_config(self) -> Option<Arc<ClientConfig>> {
        match self {
            Self::Clear => None,
            Self::Tls12 => Some(Arc::new(client_config(&[&TLS12]))),
            Self::Tls13 => Some(Arc::new(client_config(&[&TLS13]))),
        }
    }
}

/// Whether a test has to be left out, for the reason given, since it would say
/// nothing over TLS.
#[must_use]
pub fn only_in_clear(_why: &str) -> bool {
    MODE != Mode::Clear
}

/// A reason for it.
pub const URGENT: &str = "urgent data goes past TLS, and would be in the way of its records";

/// Another.
pub const COSTLY: &str = "it is about the work behind the connections, and takes long";

/// The reply to a transfer whose connection was cut before it had begun.
pub const CUT: u16 = match MODE {
    Mode::Clear => 426,
    _ => 522,
};

/// The certificate of all servers of this process.
static PAIR: LazyLock<Pair> = LazyLock::new(|| Pair::new(&["localhost"]));

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![PAIR.der.clone()], PAIR.key_der());
    Arc::new(config.unwrap())
});

/// How a server of the tests does FTPS.
pub fn server_config() -> TlsConfig {
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

/// A client that trusts the servers of the tests, and remembers tickets.
pub fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(PAIR.der.clone()).unwrap();
    ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client of each version.
pub fn both() -> [Arc<ClientConfig>; 2] {
    [&TLS12, &TLS13].map(|version| Arc::new(client_config(&[version])))
}

/// Turns a configuration into one of a server with FTPS, that `change` has changed.
pub fn with_tls(change: impl FnOnce(&mut TlsConfig)) -> impl FnOnce(&mut FTPConfig) {
    |config| {
        let mut tls = server_config();
        change(&mut tls);
        config.tls = Some(tls);
    }
}

/// A server of its own for a test that says itself what is under TLS.
pub fn serve(change: impl FnOnce(&mut TlsConfig) + Send + 'static) -> Server {
    Server::with(with_tls(change))
}

impl Server {
    /// A client that is logged in under TLS, with data connections under it.
    pub fn login_over(&self, config: &Arc<ClientConfig>) -> Client {
        let mut client = self.connect();
        client.auth(config).unwrap();
        client.protect();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client
    }
}

/// TLS whose bytes a test carries itself.
pub struct Carried {
    pub tls: ClientConnection,
    pub tcp: TcpStream,
}

impl Carried {
    pub fn new(tcp: TcpStream, config: &Arc<ClientConfig>) -> Self {
        set_deadlines(&tcp);
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { tls, tcp }
    }

    /// What is to be sent.
    pub fn outgoing(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Looks at what the server sends next.
    pub fn receive(&mut self) -> io::Result<usize> {
        let size = self.tls.read_tls(&mut self.tcp)?;
        self.tls.process_new_packets().map_err(io::Error::other)?;
        Ok(size)
    }

    /// Up to where nothing but the last flight of the client is left to be sent,
    /// which is returned.
    pub fn almost_shake_hands(&mut self) -> Vec<u8> {
        loop {
            let flight = self.outgoing();
            if !self.tls.is_handshaking() {
                return flight;
            }
            // In TLS 1.2 a full handshake ends with the server's word: then this
            // is not the last one, but the last but one.
            self.tcp.write_all(&flight).unwrap();
            assert_ne!(self.receive().unwrap(), 0, "the server has closed");
        }
    }

    pub fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, TcpStream> {
        rustls::Stream::new(&mut self.tls, &mut self.tcp)
    }
}

// --- data connections

/// Where a client expects a data connection: who makes it knows whose it is.
pub struct DataPort {
    config: Arc<ClientConfig>,
    state: Mutex<PortState>,
}

#[derive(Default)]
struct PortState {
    /// Whether the server has told that the transfer begins.
    begun: bool,
    connection: (Weak<TcpStream>, Weak<Tls>),
}

static PORTS: LazyLock<Mutex<HashMap<u16, Arc<DataPort>>>> = LazyLock::new(Mutex::default);

impl DataPort {
    /// The next connection to this port, or from it, is under TLS.
    pub fn open(port: u16, config: &Arc<ClientConfig>) -> Arc<Self> {
        let opened = Arc::new(Self {
            config: Arc::clone(config),
            state: Mutex::default(),
        });
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port, Arc::clone(&opened));
        opened
    }

    /// It is in clear.
    pub fn forget(port: u16) {
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.remove(&port);
    }

    pub fn find(port: u16) -> Option<Arc<Self>> {
        let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(&port).cloned()
    }

    /// Puts a new connection under TLS: the handshake comes when the transfer
    /// begins, as with most clients, or with the first use.
    pub fn secure(&self, socket: &mut Socket) {
        socket.secure(Arc::clone(&self.config));
        let mut state = self.state.lock().unwrap();
        state.connection = socket.downgrade();
        if std::mem::take(&mut state.begun) {
            // If it fails, whoever uses the connection will see.
            let _ = socket.handshake();
        }
    }

    /// The transfer begins.
    pub fn begin(&self) {
        let mut state = self.state.lock().unwrap();
        let (tcp, tls) = &state.connection;
        match (tcp.upgrade(), tls.upgrade()) {
            (Some(tcp), Some(tls)) => drop(tls.handshake(&tcp)),
            _ => state.begun = true,
        }
    }
}
