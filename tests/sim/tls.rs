//! TLS: one certificate for all worlds, and the client's side of it.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use ftpdlib::TlsConfig;
use ftpdlib::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use ftpdlib::rustls::{ClientConfig, ClientConnection, RootCertStore};

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

    /// The configuration of one client, which keeps its tickets.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain.clone()).expect("a certificate");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(builder.with_no_client_auth())
    }
}

/// The client's side of a connection under TLS, without its socket.
pub struct TlsClient {
    connection: ClientConnection,
    /// Whether the handshake has failed.
    pub failed: bool,
}

impl TlsClient {
    pub fn new(config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name);
        Self {
            connection: connection.expect("a configuration"),
            failed: false,
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
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
            let mut buffer = vec![0; state.plaintext_bytes_to_read()];
            if self.connection.reader().read_exact(&mut buffer).is_ok() {
                plain.append(&mut buffer);
            }
        }
        Ok(())
    }
}
