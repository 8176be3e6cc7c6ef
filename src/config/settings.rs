//! All that a server is made from, as plain data.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ftpdlib::{FTPConfig, RunAs, TlsConfig};

use super::error::Origin;
use super::listener::Listener;

/// All that a server is made from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The address to listen on; empty means all addresses.
    pub(super) address: String,
    /// The port to listen on; with 0 the kernel chooses one.
    pub(super) port: u16,
    /// The sockets to listen on: those of `[[listen]]`, else the one above.
    pub(crate) listeners: Vec<Listener>,
    /// How many connections may wait to be accepted.
    pub(crate) backlog: i32,
    /// The maximum number of sockets; 0 means no limit.
    pub(crate) max_cons: usize,
    /// The maximum number of control connections from one address; 0 means no limit.
    pub(crate) max_cons_per_ip: usize,
    /// The maximum number of control connections on which one user is logged in; 0
    /// means no limit.
    pub(crate) max_cons_per_user: usize,
    /// How many bits of an IPv6 address stand for one client.
    pub(crate) ipv6_prefix: u8,
    /// What runs the sessions.
    pub(crate) concurrency: Concurrency,
    /// The number of workers of pre-fork, if it is set; 0 means one per CPU.
    pub(crate) workers: Option<usize>,
    /// The permissions that new files and directories do not get; `None`: as the process has
    /// inherited it.
    pub(crate) umask: Option<u32>,
    /// How long transfers may continue after the server has been asked to end.
    pub(crate) drain_timeout: Duration,
    /// The user to switch to, and the group if it is another one than that of the user.
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    /// The same, looked up.
    pub(crate) run_as: Option<RunAs>,
    /// The configuration of the sessions.
    pub(crate) handler: FTPConfig,
    /// The directory that is shared, if the account comes from the command line.
    pub(crate) share: Option<Share>,
    /// The accounts with their homes.
    pub(super) homes: Vec<(String, PathBuf)>,
    /// Where the accounts come from and how many there are, as the log says it.
    pub(crate) accounts: String,
    /// What is not an error, but should be changed: a line for each.
    pub(crate) warnings: Vec<String>,
    /// The host names whose addresses are put into replies to PASV, with the local addresses that
    /// they are for.
    pub(crate) masquerade_names: Vec<(Option<IpAddr>, String)>,
    /// The fingerprint of the certificate, if it was made for this run.
    pub(crate) fingerprint: Option<String>,
    pub(super) throttle: Throttle,
    pub(super) tls: TlsSettings,
    /// The directory to which the relative paths of the file refer.
    pub(super) base: PathBuf,
    /// Where each setting was set last, by section and key.
    pub(super) origins: HashMap<(&'static str, &'static str), Origin>,
}

impl Settings {
    /// Where this setting was set last; `None` if it has its default.
    pub(super) fn origin(&self, section: &'static str, key: &'static str) -> Option<&Origin> {
        self.origins.get(&(section, key))
    }
}

/// What runs the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concurrency {
    /// One loop.
    Async,
    /// A thread for each session.
    Threads,
    /// A process for each session.
    Processes,
    /// A loop in each of several workers.
    Prefork,
}

/// The one account that the command line asks for, as the log shows it.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) username: String,
    pub(crate) directory: PathBuf,
    pub(crate) write: bool,
}

/// How fast data connections may be: the keys of `[dtp]` with these names.
#[derive(Debug)]
pub(super) struct Throttle {
    pub(super) read_limit: u64,
    pub(super) write_limit: u64,
    pub(super) auto_sized_buffers: bool,
}

/// What `[tls]` and its options say.
#[derive(Debug, Default)]
pub(super) struct TlsSettings {
    /// All settings except `self_signed`.
    pub(super) config: TlsConfig,
    /// Whether to make a certificate for this run.
    pub(super) self_signed: bool,
    /// The line of the file where `[tls]` begins, if the file has that section.
    pub(super) section: Option<Origin>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 2121,
            listeners: Vec::new(),
            backlog: 1024,
            max_cons: 512,
            max_cons_per_ip: 0,
            max_cons_per_user: 0,
            ipv6_prefix: 64,
            concurrency: Concurrency::Async,
            workers: None,
            umask: None,
            drain_timeout: Duration::from_secs(3),
            user: None,
            group: None,
            run_as: None,
            handler: FTPConfig::default(),
            share: None,
            homes: Vec::new(),
            accounts: String::new(),
            warnings: Vec::new(),
            masquerade_names: Vec::new(),
            fingerprint: None,
            throttle: Throttle {
                read_limit: 0,
                write_limit: 0,
                auto_sized_buffers: true,
            },
            tls: TlsSettings::default(),
            base: PathBuf::new(),
            origins: HashMap::new(),
        }
    }
}
