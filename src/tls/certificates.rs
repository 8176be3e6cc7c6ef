//! Certificates and keys in files.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;
use super::acceptor::provider;

/// Reads a chain and its key.
pub(super) fn load(certfile: &Path, keyfile: Option<&Path>) -> Result<CertifiedKey, TlsError> {
    let wrong = |err: &dyn std::fmt::Display| TlsError(format!("{}: {err}", certfile.display()));
    let chain = CertificateDer::pem_file_iter(certfile)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|err| wrong(&err))?;
    let key =
        PrivateKeyDer::from_pem_file(keyfile.unwrap_or(certfile)).map_err(|err| wrong(&err))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|err| wrong(&err))
}
