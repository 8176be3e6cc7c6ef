//! Reads certificates and keys from files, and checks them before a client sees them.
//! Errors name the file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::Level;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

use super::error::TlsError;
use super::provider::provider;
use crate::error::strerror;
use crate::ioloop::tls_words::date;
use crate::log::TARGET;

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertFiles {
    /// The file with the certificate chain, in PEM.
    pub certfile: PathBuf,
    /// The file with the private key, in PEM, without a passphrase. `None`: `certfile`
    /// holds the key, too.
    pub keyfile: Option<PathBuf>,
}

/// Returns the SHA-256 fingerprint of a certificate, in the format of
/// `openssl x509 -fingerprint -sha256`: `AB:CD:..`.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let provider = provider();
    let mut suites = provider.cipher_suites.iter();
    let sha256 = suites.find_map(|suite| {
        let hash = suite.tls13()?.common.hash_provider;
        (hash.algorithm() == HashAlgorithm::SHA256).then_some(hash)
    });
    let Some(sha256) = sha256 else {
        // Every provider for TLS 1.3 has TLS_AES_128_GCM_SHA256 (RFC 8446 §9.1).
        return String::new();
    };
    let hash = sha256.hash(certificate);
    let bytes = hash.as_ref().iter().map(|byte| format!("{byte:02X}"));
    bytes.collect::<Vec<_>>().join(":")
}

/// Reads a chain and its key from files.
pub(super) fn load(files: &CertFiles, notes: &mut Notes) -> Result<CertifiedKey, TlsError> {
    let certfile = files.certfile.as_path();
    let text = read(certfile)?;
    let chain = certificates(&text).map_err(|err| err.of(certfile))?;
    let mut of_file = Notes::default();
    check_chain(&chain, &mut of_file).map_err(|err| err.of(certfile))?;
    notes.add_all(of_file, Some(certfile));
    match files.keyfile.as_deref().filter(|path| *path != certfile) {
        Some(keyfile) => {
            let key = key(&read(keyfile)?).map_err(|err| err.of(keyfile))?;
            certified(chain, key).map_err(|mut err| {
                if err.text == MISMATCH {
                    err.text += &format!(" in {}", certfile.display());
                }
                err.of(keyfile)
            })
        }
        None => {
            let certified = key(&text).and_then(|key| certified(chain, key));
            certified.map_err(|mut err| {
                if err.text == NO_KEY {
                    err.text += ", and there is no keyfile";
                }
                err.of(certfile)
            })
        }
    }
}

/// Combines a chain and its key.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(chain, key, &provider()).map_err(|err| {
        let text = match err {
            Error::InconsistentKeys(_) => MISMATCH,
            _ => "the private key is damaged, or of a kind that is not supported: use ECDSA, Ed25519 or RSA",
        };
        TlsError::new(text).because(err)
    })
}

/// Checks that a chain can be shown to clients. A wrong date is a note and no error.
pub(super) fn check_chain(chain: &[CertificateDer<'_>], notes: &mut Notes) -> Result<(), TlsError> {
    let [first, authorities @ ..] = chain else {
        return Err(TlsError::new(
            "there is no certificate: begin the chain with that of the server",
        ));
    };
    let checked = match ParsedCertificate::try_from(first) {
        Ok(parsed) => check_dates(&parsed, "the certificate", REFUSED, notes),
        Err(err) => {
            let text = match err {
                Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension) => {
                    "has a critical extension that is not supported"
                }
                _ => "is damaged, or not of X.509 version 3: replace it",
            };
            Err(TlsError::new(text).because(err).after("the certificate"))
        }
    };
    checked?;
    for (i, authority) in authorities.iter().enumerate() {
        check_authority(authority, i + 2, REFUSED, notes)?;
    }
    Ok(())
}

/// Reads the authorities that issue client certificates.
pub(super) fn authorities(path: &Path, notes: &mut Notes) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let authorities = certificates(&read(path)?).map_err(|err| err.of(path))?;
    let mut of_file = Notes::default();
    for (i, authority) in authorities.into_iter().enumerate() {
        let checked = check_authority(&authority, i + 1, ACCEPTED, &mut of_file);
        checked.map_err(|err| err.of(path))?;
        let added = store.add(authority);
        added.map_err(|err| TlsError::new(DAMAGED).because(err).of(path))?;
    }
    notes.add_all(of_file, Some(path));
    Ok(store)
}

/// Checks the certificate of an authority, the one with this number in its file. It may be
/// older than X.509 version 3: only its name and its key are used.
fn check_authority(
    authority: &CertificateDer<'_>,
    number: usize,
    effect: &str,
    notes: &mut Notes,
) -> Result<(), TlsError> {
    let subject = format!("certificate {number}");
    if let Err(err) = RootCertStore::empty().add(authority.clone()) {
        return Err(TlsError::new(DAMAGED).because(err).after(&subject));
    }
    match ParsedCertificate::try_from(authority) {
        Ok(parsed) => check_dates(&parsed, &subject, effect, notes),
        Err(_) => Ok(()),
    }
}

/// Checks the dates of a certificate. A certificate that was not renewed in time must not turn
/// a restart into an outage, so it is only noted, and so is one that will expire soon. `effect` is what comes of it.
fn check_dates(
    certificate: &ParsedCertificate<'_>,
    subject: &str,
    effect: &str,
    notes: &mut Notes,
) -> Result<(), TlsError> {
    let now = UnixTime::now();
    let note = match dates_error(certificate, now) {
        None => match dates_error(certificate, later(now, SOON)) {
            Some(CertificateError::ExpiredContext { not_after, .. }) => {
                let text = format!("{subject} expires on {}: renew it", date(not_after));
                (Level::Info, text)
            }
            _ => return Ok(()),
        },
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            let date = date(not_after);
            let text = format!("{subject} has expired on {date}: {effect}");
            (Level::Warn, text)
        }
        Some(CertificateError::NotValidYetContext { not_before, .. }) => {
            let date = date(not_before);
            let text = format!("{subject} is not valid before {date}: {effect}, or set the clock");
            (Level::Warn, text)
        }
        Some(err) => {
            let text = match err {
                CertificateError::Expired => "expires before it becomes valid",
                _ => DAMAGED,
            };
            let source = Error::InvalidCertificate(err);
            return Err(TlsError::new(text).because(source).after(subject));
        }
    };
    notes.0.push(note);
    Ok(())
}

/// What clients do about a certificate of the server that is out of date.
const REFUSED: &str = "clients refuse it, renew it";

/// What the server does about an authority of clients that is out of date. It is a trust anchor,
/// whose dates are not verified (RFC 5280 §6.1.1).
const ACCEPTED: &str = "clients of this authority are accepted all the same, replace it";

/// What is wrong with a certificate at this time, apart from its authority. It is verified
/// against none, which always fails, but rustls checks the dates first.
fn dates_error(certificate: &ParsedCertificate<'_>, at: UnixTime) -> Option<CertificateError> {
    let algorithms = provider().signature_verification_algorithms.all;
    let none = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(certificate, &none, &[], at, algorithms) {
        // The allowed uses of the certificate are for the client to check.
        Err(Error::InvalidCertificate(
            err @ (CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::Expired
            | CertificateError::BadEncoding),
        )) => Some(err),
        _ => None,
    }
}

fn later(time: UnixTime, by: Duration) -> UnixTime {
    let since = Duration::from_secs(time.as_secs());
    UnixTime::since_unix_epoch(since.saturating_add(by))
}

/// What an administrator should know about certificates that are used all the same.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<(Level, String)>);

impl Notes {
    /// Adds notes about a file.
    pub(super) fn add_all(&mut self, notes: Self, of: Option<&Path>) {
        self.0
            .extend(notes.0.into_iter().map(|(level, text)| match of {
                Some(path) => (level, format!("{}: {text}", path.display())),
                None => (level, text),
            }));
    }

    /// Writes them to the log.
    pub(super) fn log(&self) {
        for (level, text) in &self.0 {
            log::log!(target: TARGET, *level, "TLS: {text}");
        }
    }

    #[cfg(test)]
    pub(super) fn texts(&self) -> Vec<String> {
        let texts = self.0.iter();
        texts
            .map(|(level, text)| format!("{level} {text}"))
            .collect()
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError::new("holds no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        // The header of an encrypted key in the same file is not base64.
        Err(_) if is_encrypted(text) => Err(TlsError::new(ENCRYPTED)),
        Err(err) => Err(TlsError::new("its PEM cannot be read: replace it").because(err)),
    }
}

fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|err| match err {
        _ if is_encrypted(text) => TlsError::new(ENCRYPTED),
        pem::Error::NoItemsFound => TlsError::new(NO_KEY),
        err => TlsError::new("the private key is damaged: replace it").because(err),
    })
}

/// Whether the text has a key with a passphrase, in PKCS #8 or the older format.
fn is_encrypted(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let cannot = |err| {
        let text = format!("cannot be read: {}", strerror(&err));
        TlsError::new(text).because(err).of(path)
    };
    let mut text = Vec::new();
    // A fifo without a writer must block neither the start nor a reload.
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(cannot)?;
    if file.metadata().map_err(cannot)?.file_type().is_fifo() {
        return Err(TlsError::new("cannot be read: it is a fifo").of(path));
    }
    let mut file = file.take(MAX_SIZE + 1);
    file.read_to_end(&mut text).map_err(cannot)?;
    match file.limit() {
        0 => Err(TlsError::new(format!("is longer than {MAX_SIZE} bytes")).of(path)),
        _ => Ok(text),
    }
}

/// When a certificate expires soon: renewals are made earlier.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAMAGED: &str = "is damaged: replace it";
const MISMATCH: &str = "the private key does not match the certificate";
const NO_KEY: &str = "holds no private key in PEM";
const ENCRYPTED: &str = "the private key is encrypted: it is needed without a passphrase";
/// The greatest size of a file: ten times the size of a list of all public authorities.
/// The limit ends a mistake such as `/dev/zero`.
const MAX_SIZE: u64 = 4 << 20;
