//! TLS: one certificate for all worlds, and the client's side of it.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use ftpdlib::TlsConfig;
use ftpdlib::rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use ftpdlib::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use ftpdlib::rustls::version::{TLS12, TLS13};
use ftpdlib::rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore};

/// The certificate of all servers, with its key.
pub struct Certificate {
    chain: CertificateDer<'static>,
    key: Vec<u8>,
}

static SHARED: LazyLock<Certificate> = LazyLock::new(|| {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    Certificate {
        chain: made.cert.der().clone(),
        key: made.signing_key.serialize_der(),
    }
});

impl Certificate {
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// The settings of a server.
    pub fn server(&self) -> TlsConfig {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        TlsConfig::with_certificate(vec![self.chain.clone()], key).expect("a certificate")
    }

    /// The side of one client, which keeps its tickets: with TLS 1.2 only, or with 1.3.
    pub fn client(&self, is_old: bool) -> TlsSide {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain.clone()).expect("a certificate");
        let versions = if is_old { [&TLS12] } else { [&TLS13] };
        let builder = ClientConfig::builder_with_protocol_versions(&versions);
        let builder = builder.with_root_certificates(roots);
        let mut config = builder.with_no_client_auth();
        let tickets: Arc<dyn ClientSessionStore> = Arc::new(ClientSessionMemoryCache::new(64));
        config.resumption = Resumption::store(Arc::clone(&tickets));
        let config = Arc::new(config);
        TlsSide {
            own: config,
            tickets,
            stolen: None,
        }
    }
}

/// The configurations of a client.
#[derive(Clone)]
pub struct TlsSide {
    pub own: Arc<ClientConfig>,
    tickets: Arc<dyn ClientSessionStore>,
    /// With the tickets of another client, and no other ones.
    stolen: Option<Arc<ClientConfig>>,
}

impl TlsSide {
    /// Uses the tickets of another client on every second data connection.
    pub fn steal(&mut self, from: &Self) {
        // A ticket is bound to parts of the configuration, so those are stolen, too.
        let mut stolen = (*from.own).clone();
        stolen.resumption = Resumption::store(Arc::new(Stolen(Arc::clone(&from.tickets))));
        self.stolen = Some(Arc::new(stolen));
    }

    /// The configuration of a data connection, and whether its tickets are stolen. `number` counts
    /// those of the client, from 1 on.
    pub fn of_data(&self, number: usize) -> (&Arc<ClientConfig>, bool) {
        match &self.stolen {
            Some(stolen) if number.is_multiple_of(2) => (stolen, true),
            _ => (&self.own, false),
        }
    }
}

/// The tickets of another client. Those that the thief gets itself are thrown away.
#[derive(Debug)]
struct Stolen(Arc<dyn ClientSessionStore>);

impl ClientSessionStore for Stolen {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(name)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}

/// The client's side of a connection under TLS, without its socket.
pub struct TlsClient {
    connection: ClientConnection,
    /// Whether the handshake has failed.
    pub failed: bool,
    /// Whether the server has said that no more bytes come.
    ended: bool,
}

impl TlsClient {
    pub fn new(config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name);
        Self {
            connection: connection.expect("a configuration"),
            failed: false,
            ended: false,
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the handshake has resumed a session.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Encrypts bytes.
    pub fn write(&mut self, plain: &[u8]) {
        // A buffer without a limit takes all.
        self.connection.set_buffer_limit(None);
        let written = self.connection.writer().write_all(plain);
        written.expect("a buffer");
    }

    /// Says that no more bytes come.
    pub fn close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    /// Takes what has to be sent.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if self.connection.write_tls(out).is_err() {
                return;
            }
        }
    }

    /// Takes bytes of the server, and returns what is in them. `Err`: they are no TLS.
    pub fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), ()> {
        while !bytes.is_empty() {
            if self.connection.read_tls(&mut bytes).is_err() {
                return Err(());
            }
            let Ok(state) = self.connection.process_new_packets() else {
                self.failed = true;
                return Err(());
            };
            self.ended |= state.peer_has_closed();
            let mut buffer = vec![0; state.plaintext_bytes_to_read()];
            if self.connection.reader().read_exact(&mut buffer).is_ok() {
                plain.append(&mut buffer);
            }
        }
        Ok(())
    }
}
