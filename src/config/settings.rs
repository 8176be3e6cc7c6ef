//! All that a server is made from.

use std::path::PathBuf;
use std::time::Duration;

use ftpdlib::{FTPConfig, TlsConfig};

use super::error::ConfigError;

/// All that a server is made from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The address to listen on; empty: all.
    pub(crate) address: String,
    /// The port to listen on; 0: the kernel chooses.
    pub(crate) port: u16,
    /// Connections that may wait to be accepted.
    pub(crate) backlog: i32,
    /// Connections at once; 0: no limit.
    pub(crate) max_cons: usize,
    /// Connections at once from one address; 0: no limit.
    pub(crate) max_cons_per_ip: usize,
    /// Connections at once that one user is logged in on; 0: no limit.
    pub(crate) max_cons_per_user: usize,
    /// Where sessions run.
    pub(crate) concurrency: Concurrency,
    /// Processes of pre-fork; 0: one for each CPU.
    pub(crate) workers: Option<usize>,
    /// How long transfers may go on at the end.
    pub(crate) drain_timeout: Duration,
    /// What sessions need to know.
    pub(crate) handler: FTPConfig,
    /// What is shared, if one account says it all.
    pub(crate) share: Option<Share>,
    /// The fingerprint of the certificate, if it was made for this run.
    pub(crate) fingerprint: Option<String>,
    pub(super) limits: Limits,
    pub(super) tls: TlsSettings,
    /// What relative paths are relative to, while the file is read.
    pub(super) base: PathBuf,
}

/// Where sessions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concurrency {
    Async,
    Threads,
    Processes,
    Prefork,
}

/// One account that was not read from a file, as the user should be told of it.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) username: String,
    pub(crate) directory: PathBuf,
    pub(crate) write: bool,
}

/// How fast data connections may be: the key of `[dtp]` of these names.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) read_limit: u64,
    pub(super) write_limit: u64,
    pub(super) auto_sized_buffers: bool,
}

/// What the table of settings fills in.
#[derive(Debug, Default)]
pub(crate) struct TlsSettings {
    /// All but the certificate that is made for this run.
    pub(super) config: TlsConfig,
    /// Whether to make one.
    pub(super) self_signed: bool,
    /// The file has `[tls]`: what to say if it names no certificate.
    pub(super) section: Option<ConfigError>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 2121,
            backlog: 100,
            max_cons: 512,
            max_cons_per_ip: 0,
            max_cons_per_user: 0,
            concurrency: Concurrency::Async,
            workers: None,
            drain_timeout: Duration::from_secs(3),
            handler: FTPConfig::default(),
            share: None,
            fingerprint: None,
            limits: Limits {
                read_limit: 0,
                write_limit: 0,
                auto_sized_buffers: true,
            },
            tls: TlsSettings::default(),
            base: PathBuf::new(),
        }
    }
}
