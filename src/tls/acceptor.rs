//! Makes the configuration of rustls from the settings, and again when files have changed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::TLS13;

use super::certificates::{CertFiles, Notes, authorities, check_chain, load};
use super::config::{ClientAuth, SessionReuse, TlsConfig, TlsVersion};
use super::error::TlsError;
use super::handshake::{CONTROL_TICKETS, NamedSessions, Ticketer};
use super::provider::provider;
use super::registry::Registry;
use super::resolver::Certificates;
use crate::ioloop::clock::Clock;
use crate::ioloop::tls_words::describe;
use crate::sys::{Held, Pid};

/// The settings of a server, and the configurations of rustls made from them.
pub(crate) struct TlsAcceptor {
    pub(crate) config: TlsConfig,
    configs: RwLock<Arc<Configs>>,
    /// What all processes of the server know about tickets; `None`: there are none.
    pub(super) registry: Option<Arc<Registry>>,
}

/// The configurations of handshakes, which all sessions share. They differ in the number of
/// tickets that they issue in TLS 1.3.
pub(super) struct Configs {
    /// Of control connections.
    pub(super) control: Arc<ServerConfig>,
    /// Of data connections on which the server sends.
    pub(super) download: Arc<ServerConfig>,
    /// Of all other data connections: none.
    pub(super) upload: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// Reads the files of the settings. A certificate that is out of date is logged. The clock
    /// says how old sessions and tickets are.
    pub(crate) fn new(config: &TlsConfig, clock: Clock) -> Result<Self, TlsError> {
        let (configs, notes) = build(config)?;
        notes.log();
        let configs = RwLock::new(configs);
        let registry = match config.session_reuse {
            SessionReuse::Off => None,
            SessionReuse::Prefer | SessionReuse::Require => {
                Some(Arc::new(Registry::new(clock).map_err(|err| {
                    TlsError::new(err.to_string()).because(err)
                })?))
            }
        };
        Ok(Self {
            config: config.clone(),
            configs,
            registry,
        })
    }

    /// Reads the files again, for sessions that begin later. If there is an error,
    /// nothing changes. A certificate that is out of date is logged.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let (new, notes) = build(&self.config)?;
        notes.log();
        self.replace(new);
        Ok(())
    }

    /// The same for the parent of processes that log what they read themselves.
    pub(crate) fn reload_silently(&self) {
        if let Ok((new, _)) = build(&self.config) {
            self.replace(new);
        }
    }

    fn replace(&self, new: Arc<Configs>) {
        let configs = self.configs.write();
        *configs.unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Whether the settings name files, which can be read again.
    pub(crate) fn has_files(&self) -> bool {
        let config = &self.config;
        config.certfile.is_some() || !config.certificates.is_empty() || config.client_ca.is_some()
    }

    /// A process of the server has ended, and its sessions with it. Returns false if another
    /// process holds the lock of the registry: call it again.
    pub(crate) fn forget_process(&self, pid: Pid) -> bool {
        let registry = self.registry.as_ref();
        registry.is_none_or(|registry| registry.forget_process(pid))
    }

    /// Which process holds the lock of the registry.
    pub(crate) fn look_at_lock(&self, now: Instant) -> Held {
        let registry = self.registry.as_ref();
        registry.map_or(Held::Free, |registry| registry.look(now))
    }

    /// The configurations of sessions that begin now.
    pub(super) fn configs(&self) -> Arc<Configs> {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&configs)
    }
}

fn build(config: &TlsConfig) -> Result<(Arc<Configs>, Notes), TlsError> {
    check(config)?;
    let mut notes = Notes::default();
    let mut base = match &config.ssl_context {
        Some(ready) => ServerConfig::clone(ready),
        None => from_files(config, &mut notes)?,
    };
    base.alpn_protocols = vec![b"ftp".to_vec()];
    base.max_early_data_size = 0;
    let has_tickets = config.session_reuse != SessionReuse::Off;
    let with_tickets = |count| Arc::new(with_tickets(&base, has_tickets, count));
    let configs = Configs {
        control: with_tickets(CONTROL_TICKETS),
        download: with_tickets(1),
        upload: with_tickets(0),
    };
    Ok((Arc::new(configs), notes))
}

/// A copy of `base` that issues `count` tickets in TLS 1.3, or never one.
fn with_tickets(base: &ServerConfig, has_tickets: bool, count: usize) -> ServerConfig {
    let mut config = base.clone();
    if has_tickets {
        config.ticketer = Arc::new(Ticketer);
        config.session_storage = Arc::new(NamedSessions);
        config.send_tls13_tickets = count;
        config.max_tls13_tickets = count * 2;
    } else {
        config.ticketer = Arc::new(NoTickets);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = 0;
    }
    config
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

fn from_files(config: &TlsConfig, notes: &mut Notes) -> Result<ServerConfig, TlsError> {
    let versions: &[_] = match config.min_version {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => &[&TLS13],
    };
    Ok(ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|err| TlsError::new(describe(&err)).because(err))?
        .with_client_cert_verifier(client_verifier(config, notes)?)
        .with_cert_resolver(Arc::new(certificates(config, notes)?)))
}

fn certificates(config: &TlsConfig, notes: &mut Notes) -> Result<Certificates, TlsError> {
    let default = match (&config.certified_key, &config.certfile) {
        (Some(ready), _) => {
            check_chain(&ready.cert, notes)?;
            Arc::clone(ready)
        }
        (None, Some(certfile)) => {
            let files = CertFiles {
                certfile: certfile.clone(),
                keyfile: config.keyfile.clone(),
            };
            Arc::new(load(&files, notes)?)
        }
        (None, None) => return Err(TlsError::new("there is no certificate: set certfile")),
    };
    let others = config
        .certificates
        .iter()
        .map(|files| load(files, notes).map(Arc::new));
    let others = others.collect::<Result<_, _>>()?;
    Ok(Certificates { default, others })
}

fn client_verifier(
    config: &TlsConfig,
    notes: &mut Notes,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = &config.client_ca else {
        return Ok(Arc::new(NoClientAuth));
    };
    let authorities = Arc::new(authorities(path, notes)?);
    let builder = WebPkiClientVerifier::builder_with_provider(authorities, provider());
    let builder = match config.client_auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional | ClientAuth::Off => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    verifier.map_err(|err| TlsError::new(err.to_string()).because(err).of(path))
}

/// Issues no tickets.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
