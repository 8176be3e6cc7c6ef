//! FTPS of the clients, which is the same for all servers, as is the certificate.
//!
//! The clients know TLS 1.3 with one cipher suite and one key exchange, so that all servers
//! do the same arithmetic. They read the tickets of the control connection and resume with
//! them on data connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::NamedTempFile;

use super::wire::Wire;

/// The certificate of a server, and the settings of its clients.
pub struct Tls {
    file: NamedTempFile,
    config: ClientConfig,
    handshakes: Mutex<BTreeMap<String, usize>>,
}

impl Tls {
    pub fn new() -> Arc<Self> {
        Self::with_group(aws_lc_rs::kx_group::X25519)
    }

    /// The same with another group for the key exchange.
    pub fn with_group(group: &'static dyn SupportedKxGroup) -> Arc<Self> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(certificate().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(file.path()).unwrap())
            .unwrap();
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![group],
            ..aws_lc_rs::default_provider()
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(Self {
            file,
            config,
            handshakes: Mutex::default(),
        })
    }

    /// Returns the file with the certificate and its key.
    pub fn certfile(&self) -> &Path {
        self.file.path()
    }

    /// Returns the settings of one session, which shares its tickets with no other.
    pub fn session(&self) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }

    /// Shakes hands. `ahead` is how many bytes the client reads from the socket at once.
    pub fn handshake(
        &self,
        session: &Arc<ClientConfig>,
        mut socket: TcpStream,
        ahead: usize,
        what: &str,
    ) -> io::Result<Wire> {
        let name = ServerName::try_from(NAME).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(session), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let text = format!(
            "{what} {:?} {:?} {:?} {:?}",
            tls.handshake_kind().unwrap(),
            tls.protocol_version().unwrap(),
            tls.negotiated_cipher_suite().unwrap().suite(),
            tls.negotiated_key_exchange_group().unwrap().name(),
        );
        *self.handshakes.lock().unwrap().entry(text).or_default() += 1;
        Ok(Wire::tls(tls, socket, ahead))
    }

    /// Returns the kinds of handshakes so far, and the number of each.
    pub fn handshakes(&self) -> String {
        let mut text = String::new();
        for (handshake, count) in self.handshakes.lock().unwrap().iter() {
            let _ = write!(text, "; {handshake}: {count}");
        }
        text.split_off(text.len().min(2))
    }
}

/// Returns a certificate with an EC P-256 key, and that key; they are the same for all
/// servers.
fn certificate() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        made.cert.pem() + &made.signing_key.serialize_pem()
    })
}

const NAME: &str = "localhost";
