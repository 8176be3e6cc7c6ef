//! FTPS as a client: the same one for both servers, which get the same
//! certificate. It knows TLS 1.3 with one cipher suite and one key exchange, so that
//! both do the same arithmetic; it reads the tickets that the control connection
//! brings, and resumes with them on data connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::NamedTempFile;

/// The certificate of a server, and what its clients share.
pub struct Tls {
    file: NamedTempFile,
    config: ClientConfig,
    handshakes: Mutex<BTreeMap<String, usize>>,
}

impl Tls {
    pub fn new() -> Arc<Self> {
        Self::with_group(aws_lc_rs::kx_group::X25519)
    }

    /// With another group to exchange keys in.
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

    /// The file with the certificate and its key.
    pub fn certfile(&self) -> &Path {
        self.file.path()
    }

    /// The settings of one session: nobody else has its tickets.
    pub fn session(&self) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }

    /// The handshake of a client; all that is read beforehand of the socket is
    /// at most so many bytes.
    pub fn handshake(
        &self,
        session: &Arc<ClientConfig>,
        mut socket: TcpStream,
        ahead: usize,
        what: &str,
    ) -> Wire {
        let name = ServerName::try_from(NAME).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(session), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        let text = format!(
            "{what} {:?} {:?} {:?} {:?}",
            tls.handshake_kind().unwrap(),
            tls.protocol_version().unwrap(),
            tls.negotiated_cipher_suite().unwrap().suite(),
            tls.negotiated_key_exchange_group().unwrap().name(),
        );
        *self.handshakes.lock().unwrap().entry(text).or_default() += 1;
        let socket = Socket(BufReader::with_capacity(ahead, socket));
        Wire::Tls(Box::new(StreamOwned::new(tls, socket)))
    }

    /// Which handshakes there were, and how many of each.
    pub fn handshakes(&self) -> String {
        let mut text = String::new();
        for (handshake, count) in self.handshakes.lock().unwrap().iter() {
            let _ = write!(text, "; {handshake}: {count}");
        }
        text.split_off(text.len().min(2))
    }
}

/// A connection of a client.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Wire {
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.sock.0.get_ref(),
        }
    }

    /// Says that nothing more comes, and waits until the server says so too.
    pub fn finish(mut self) {
        self.end();
        if let Self::Tls(_) = &self {
            self.read_end();
        }
    }

    /// Says that nothing more comes.
    pub fn end(&mut self) {
        match self {
            Self::Plain(socket) => {
                let _ = socket.shutdown(Shutdown::Write);
            }
            Self::Tls(tls) => {
                tls.conn.send_close_notify();
                // A server that was the first to end may be gone.
                let _ = tls.flush();
            }
        }
    }

    /// Reads the end of a connection; not every server ends TLS before TCP.
    pub fn read_end(&mut self) {
        match self.read(&mut [0; 16]) {
            Ok(read) => assert_eq!(read, 0),
            Err(err) => assert_ne!(err.kind(), io::ErrorKind::WouldBlock, "no end comes"),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A socket below TLS: rustls alone would read it in pieces of 4 KiB.
pub struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A certificate with an EC P-256 key, and that key: one for all servers.
fn certificate() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        made.cert.pem() + &made.signing_key.serialize_pem()
    })
}

const NAME: &str = "localhost";
