//! Makes the configuration of rustls from the settings, and again when files have changed.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::version::TLS13;

use super::certificates::{CertFiles, authorities, check_chain, load};
use super::config::{ClientAuth, TlsConfig, TlsVersion};
use super::error::TlsError;
use super::provider::provider;
use super::resolver::Certificates;

/// The settings of a server, and the configuration of rustls made from them.
pub(crate) struct TlsAcceptor {
    pub(crate) config: TlsConfig,
    base: RwLock<Arc<ServerConfig>>,
}

impl TlsAcceptor {
    /// Reads the files of the settings.
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self {
            base: RwLock::new(build(config)?),
            config: config.clone(),
        })
    }

    /// Reads the files again, for sessions that begin later. If there is an error,
    /// nothing changes.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let base = build(&self.config)?;
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = base;
        Ok(())
    }

    /// Whether the settings name files, which can be read again.
    pub(crate) fn has_files(&self) -> bool {
        let config = &self.config;
        config.certfile.is_some() || !config.certificates.is_empty() || config.client_ca.is_some()
    }

    /// The configuration of sessions that begin now, without their tickets.
    pub(super) fn base(&self) -> Arc<ServerConfig> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&base)
    }
}

fn build(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    check(config)?;
    let mut base = match &config.ssl_context {
        Some(ready) => ServerConfig::clone(ready),
        None => from_files(config)?,
    };
    base.alpn_protocols = vec![b"ftp".to_vec()];
    base.max_early_data_size = 0;
    Ok(Arc::new(base))
}

/// Refuses settings that contradict each other: a setting that has no effect could be
/// relied on.
fn check(config: &TlsConfig) -> Result<(), TlsError> {
    let has_own = config.certfile.is_some() || config.keyfile.is_some();
    let in_context = has_own
        || config.certified_key.is_some()
        || !config.certificates.is_empty()
        || config.client_auth != ClientAuth::Off
        || config.client_ca.is_some()
        || config.min_version != TlsVersion::default();
    let wrong = if config.ssl_context.is_some() {
        in_context.then_some(
            "ssl_context replaces all certificates, min_version, client_auth and client_ca: \
             do not set them, too",
        )
    } else if config.certified_key.is_some() {
        has_own.then_some("certified_key replaces certfile and keyfile: do not set them, too")
    } else {
        (config.certfile.is_none()).then_some("there is no certificate: set certfile")
    };
    let wrong = wrong.or(match (config.client_auth, &config.client_ca) {
        (ClientAuth::Off, Some(_)) => Some("client_ca has no effect: client_auth is off"),
        (ClientAuth::Optional | ClientAuth::Required, None) => {
            Some("client_auth needs client_ca: set the file of the authorities")
        }
        _ => None,
    });
    match wrong {
        Some(text) => Err(TlsError::new(text)),
        None => Ok(()),
    }
}

fn from_files(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let versions: &[_] = match config.min_version {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => &[&TLS13],
    };
    Ok(ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|err| TlsError::new(err.to_string()).because(err))?
        .with_client_cert_verifier(client_verifier(config)?)
        .with_cert_resolver(Arc::new(certificates(config)?)))
}

fn certificates(config: &TlsConfig) -> Result<Certificates, TlsError> {
    let default = match (&config.certified_key, &config.certfile) {
        (Some(ready), _) => {
            check_chain(&ready.cert)?;
            Arc::clone(ready)
        }
        (None, Some(certfile)) => Arc::new(load(&CertFiles {
            certfile: certfile.clone(),
            keyfile: config.keyfile.clone(),
        })?),
        (None, None) => return Err(TlsError::new("there is no certificate: set certfile")),
    };
    let others = config
        .certificates
        .iter()
        .map(|files| load(files).map(Arc::new));
    let others = others.collect::<Result<_, _>>()?;
    Ok(Certificates { default, others })
}

fn client_verifier(config: &TlsConfig) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = &config.client_ca else {
        return Ok(Arc::new(NoClientAuth));
    };
    let authorities = Arc::new(authorities(path)?);
    let builder = WebPkiClientVerifier::builder_with_provider(authorities, provider());
    let builder = match config.client_auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional | ClientAuth::Off => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    verifier.map_err(|err| TlsError::new(err.to_string()).because(err).of(path))
}
