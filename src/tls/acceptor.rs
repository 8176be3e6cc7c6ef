//! From the settings to what rustls needs, and again when files have changed.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoClientAuth;

use super::certificates::load;
use super::tickets::without_tickets;
use super::{SessionReuse, SessionTickets, TlsConfig, TlsError};

/// The settings of a server with what was made of their files.
pub(crate) struct TlsAcceptor {
    pub(crate) config: TlsConfig,
    base: RwLock<Arc<ServerConfig>>,
}

impl TlsAcceptor {
    /// Reads the files.
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self {
            base: RwLock::new(build(config)?),
            config: config.clone(),
        })
    }

    /// Reads the files again: for connections to come. If something is wrong with
    /// them, all stays as it is.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let base = build(&self.config)?;
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = base;
        Ok(())
    }

    /// What the handshake of a control connection goes by, whose session has
    /// these tickets.
    pub(crate) fn control_config(&self, tickets: &Arc<SessionTickets>) -> Arc<ServerConfig> {
        match self.config.session_reuse {
            SessionReuse::Off => Arc::new(without_tickets(&self.base())),
            _ => tickets.config(&self.base(), CONTROL_TICKETS),
        }
    }

    /// What the handshake of a data connection of that session goes by.
    pub(crate) fn data_config(
        &self,
        tickets: &Arc<SessionTickets>,
        downloads: bool,
    ) -> Arc<ServerConfig> {
        match self.config.session_reuse {
            SessionReuse::Off => Arc::new(without_tickets(&self.base())),
            _ => tickets.config(&self.base(), usize::from(downloads)),
        }
    }

    /// What a handshake that begins now goes by, but for its tickets.
    fn base(&self) -> Arc<ServerConfig> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&base)
    }
}

fn build(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let mut base = match &config.ssl_context {
        Some(ready) => ServerConfig::clone(ready),
        None => from_files(config)?,
    };
    base.alpn_protocols = vec![b"ftp".to_vec()];
    base.max_early_data_size = 0;
    Ok(Arc::new(base))
}

fn from_files(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let Some(certfile) = &config.certfile else {
        return Err(TlsError("a certificate file is needed".to_owned()));
    };
    let certified = load(certfile, config.keyfile.as_deref())?;
    let wrong = |err: rustls::Error| TlsError(err.to_string());
    Ok(ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_client_cert_verifier(Arc::new(NoClientAuth))
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified))))
}

/// Tickets of a control connection, in TLS 1.3: for clients that use each once.
const CONTROL_TICKETS: usize = 4;

/// What does the arithmetic.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
