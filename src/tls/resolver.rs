//! Which certificate a client gets: by the host that it names (SNI, RFC 6066 §3).

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a server.
#[derive(Debug)]
pub(super) struct Certificates {
    /// For clients that name no host, or none that another one is for.
    pub(super) default: Arc<CertifiedKey>,
    pub(super) others: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    /// The first that is for the named host, else the first, of those whose keys
    /// the client can verify: a host may have two, with RSA and ECDSA.
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

/// Whether the names in the certificate, which may have a `*` for their first
/// part, fit.
fn is_for(certified: &CertifiedKey, host: &ServerName<'_>) -> bool {
    let Some(certificate) = certified.cert.first() else {
        return false;
    };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, host).is_ok())
}
