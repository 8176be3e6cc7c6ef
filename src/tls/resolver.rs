//! Chooses the certificate for a client by the host that it names (SNI, RFC 6066 §3).

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a server.
#[derive(Debug)]
pub(super) struct Certificates {
    /// For clients that name no host, or a host without a certificate.
    pub(super) default: Arc<CertifiedKey>,
    pub(super) others: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    /// Chooses among the certificates whose keys the client can verify, since a host may
    /// have two: RSA and ECDSA. The first one for the named host wins, else the first.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.others.is_empty() {
            return Some(Arc::clone(&self.default));
        }
        let schemes = hello.signature_schemes();
        let all = || std::iter::once(&self.default).chain(&self.others);
        let usable = || all().filter(|one| one.key.choose_scheme(schemes).is_some());
        let host = hello.server_name().map(ServerName::try_from);
        let named = host.and_then(|host| {
            let host = host.ok()?;
            usable().find(|one| is_for(one, &host))
        });
        let found = named.or_else(|| usable().next());
        Some(Arc::clone(found.unwrap_or(&self.default)))
    }
}

/// Whether the certificate is valid for the host. The first label of a name in it may be
/// `*`.
fn is_for(certified: &CertifiedKey, host: &ServerName<'_>) -> bool {
    let Some(certificate) = certified.cert.first() else {
        return false;
    };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, host).is_ok())
}
