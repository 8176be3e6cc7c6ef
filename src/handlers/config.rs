//! The settings that all sessions share: the class attributes of pyftpdlib's
//! `FTPHandler`, `DTPHandler`, `PassiveDTP` and `ActiveDTP`. Limits of the server as a whole are those of `FTPServer`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::authorizers::{Authorizer, DummyAuthorizer};
use crate::filesystems::{AbstractedFS, LocalFS};
use crate::handlers::data::{DTPHandler, StockDTPHandler};
use crate::proto::command::ProtoCmds;
use crate::proto::encoding::{Encoding, UnicodeErrors};
use crate::tls::TlsConfig;

/// Makes the [`DTPHandler`] of each data connection: [`FTPConfig::set_dtp_handler`] wraps one.
pub type DTPFactory = Arc<dyn Fn() -> Box<dyn DTPHandler> + Send + Sync>;

/// The settings of a server's sessions. Names, meanings and defaults are those
/// of pyftpdlib's class attributes; `None` for a time means "never".
#[derive(Clone)]
#[non_exhaustive]
pub struct FTPConfig {
    /// How long a client may be silent between commands: 421 then. 300 s.
    pub timeout: Option<Duration>,
    /// The text of the 220 greeting; over 75 characters it becomes multi-line.
    /// `ftpdlib 0.1.0 ready.`, with the version.
    pub banner: String,
    /// Failed logins after which the client is disconnected. 3.
    pub max_login_attempts: u32,
    /// Whether data connections may have another peer than the control
    /// connection has (site-to-site transfers; see RFC 2577). No.
    pub permit_foreign_addresses: bool,
    /// Whether PORT and EPRT may name a port under 1024 (RFC 2577). No.
    pub permit_privileged_ports: bool,
    /// The address in PASV replies, used as it is: that of a NAT gateway. `None`:
    /// the one that the client has connected to.
    pub masquerade_address: Option<String>,
    /// The same by local address; wins over `masquerade_address`.
    pub masquerade_address_map: HashMap<IpAddr, String>,
    /// The ports for passive data connections, tried in random order; where
    /// none is free, or none is set, the kernel chooses. `None`.
    pub passive_ports: Option<Vec<u16>>,
    /// Whether times in listings, MDTM and MFMT are in GMT, not local. Yes.
    pub use_gmt_times: bool,
    /// Whether binary transfers may use `sendfile` and `splice`. Yes.
    pub use_sendfile: bool,
    /// Whether the control connection sets `TCP_NODELAY`. Yes.
    pub tcp_no_delay: bool,
    /// The encoding of commands, replies and listings. UTF-8.
    pub encoding: Encoding,
    /// What to do with bytes that are not in that encoding. Replace.
    pub unicode_errors: UnicodeErrors,
    /// What precedes each line of the log: `{remote_ip}`, `{remote_port}` and
    /// `{username}` are replaced. `{remote_ip}:{remote_port}-[{username}]`.
    pub log_prefix: String,
    /// The commands that are logged at level `info`: those that change files or
    /// the current directory, and REIN.
    pub log_cmds_list: Vec<Cow<'static, str>>,
    /// How long the reply to a wrong password is held back. 3 s.
    pub auth_failed_timeout: Duration,
    /// Who may log in. An empty [`DummyAuthorizer`]: nobody.
    pub authorizer: Arc<dyn Authorizer>,
    /// The file system. [`LocalFS`], jailed in the user's home.
    pub abstracted_fs: Arc<dyn AbstractedFS>,
    /// The commands: one table of what each needs.
    pub proto_cmds: ProtoCmds,
    /// FTPS; `None`: there is none.
    pub tls: Option<TlsConfig>,
    /// Data connections.
    pub dtp: DTPConfig,
    /// Passive data connections that are not yet connected.
    pub passive_dtp: PassiveDTPConfig,
    /// Active data connections that are not yet connected.
    pub active_dtp: ActiveDTPConfig,
    /// What makes the handler of each data connection.
    pub dtp_handler: DTPFactory,
}

/// The class attributes of pyftpdlib's `DTPHandler`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DTPConfig {
    /// How long a data connection may make no progress: 421 then. 300 s.
    pub timeout: Option<Duration>,
    /// Bytes read at once through our memory. 65,536, and not more.
    pub ac_in_buffer_size: usize,
    /// Bytes sent at once through our memory. 65,536.
    pub ac_out_buffer_size: usize,
}

/// The class attributes of pyftpdlib's `PassiveDTP`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassiveDTPConfig {
    /// How long the client may take to connect: 421 then. 30 s.
    pub timeout: Option<Duration>,
    /// Connections that may wait on the listener; `None`: as the server's.
    pub backlog: Option<i32>,
}

/// The class attributes of pyftpdlib's `ActiveDTP`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveDTPConfig {
    /// How long connecting to the client may take: 421 then. 30 s.
    pub timeout: Option<Duration>,
}

impl FTPConfig {
    /// Sets who may log in.
    pub fn set_authorizer(&mut self, authorizer: impl Authorizer + 'static) {
        self.authorizer = Arc::new(authorizer);
    }

    /// Sets the file system.
    pub fn set_abstracted_fs(&mut self, fs: impl AbstractedFS + 'static) {
        self.abstracted_fs = Arc::new(fs);
    }

    /// Sets what makes the handler of each data connection.
    pub fn set_dtp_handler<D, F>(&mut self, factory: F)
    where
        D: DTPHandler + 'static,
        F: Fn() -> D + Send + Sync + 'static,
    {
        self.dtp_handler = Arc::new(move || Box::new(factory()));
    }
}

impl Default for FTPConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(300)),
            banner: concat!("ftpdlib ", env!("CARGO_PKG_VERSION"), " ready.").to_owned(),
            max_login_attempts: 3,
            permit_foreign_addresses: false,
            permit_privileged_ports: false,
            masquerade_address: None,
            masquerade_address_map: HashMap::new(),
            passive_ports: None,
            use_gmt_times: true,
            use_sendfile: true,
            tcp_no_delay: true,
            encoding: Encoding::UTF_8,
            unicode_errors: UnicodeErrors::Replace,
            log_prefix: "{remote_ip}:{remote_port}-[{username}]".to_owned(),
            log_cmds_list: LOGGED.map(Cow::Borrowed).to_vec(),
            auth_failed_timeout: Duration::from_secs(3),
            authorizer: Arc::new(DummyAuthorizer::new()),
            abstracted_fs: Arc::new(LocalFS::new()),
            proto_cmds: ProtoCmds::default(),
            tls: None,
            dtp: DTPConfig::default(),
            passive_dtp: PassiveDTPConfig::default(),
            active_dtp: ActiveDTPConfig::default(),
            dtp_handler: Arc::new(|| Box::new(StockDTPHandler)),
        }
    }
}

impl fmt::Debug for FTPConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FTPConfig")
            .field("timeout", &self.timeout)
            .field("banner", &self.banner)
            .field("max_login_attempts", &self.max_login_attempts)
            .field("encoding", &self.encoding)
            .field("dtp", &self.dtp)
            .field("passive_dtp", &self.passive_dtp)
            .field("active_dtp", &self.active_dtp)
            .finish_non_exhaustive()
    }
}

/// The commands that are logged at level `info`: as pyftpdlib's `log_cmds_list`.
const LOGGED: [&str; 12] = [
    "DELE",
    "RNFR",
    "RNTO",
    "MKD",
    "RMD",
    "CWD",
    "XMKD",
    "XRMD",
    "XCWD",
    "REIN",
    "SITE CHMOD",
    "MFMT",
];

impl Default for DTPConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(300)),
            ac_in_buffer_size: 65_536,
            ac_out_buffer_size: 65_536,
        }
    }
}

impl Default for PassiveDTPConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(30)),
            backlog: None,
        }
    }
}

impl Default for ActiveDTPConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(30)),
        }
    }
}
