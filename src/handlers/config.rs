//! The settings that all sessions share: the class attributes of pyftpdlib's `FTPHandler`,
//! `DTPHandler`, `PassiveDTP` and `ActiveDTP`. The limits of the server as a whole are set on
//! [`FTPServer`](crate::FTPServer).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::authorizers::{Authorizer, DummyAuthorizer};
use crate::filesystems::{AbstractedFS, LocalFS};
use crate::guard::GuardConfig;
use crate::handlers::data::{DTPConfig, DTPHandler, StockDTPHandler};
use crate::proto::command::ProtoCmds;
use crate::proto::encoding::{Encoding, UnicodeErrors};
use crate::proto::network::Network;
use crate::tls::TlsConfig;

/// Makes the [`DTPHandler`] of each data connection. [`FTPConfig::set_dtp_handler`] makes a
/// value of this type from a function.
pub type DTPFactory = Arc<dyn Fn() -> Box<dyn DTPHandler> + Send + Sync>;

/// The settings of a server's sessions. Names, meanings and defaults are those of pyftpdlib's
/// class attributes. `None` for a time-out means that there is none.
#[derive(Clone)]
#[non_exhaustive]
pub struct FTPConfig {
    /// How long a client may be silent between commands; then it gets 421 and the session is
    /// closed. Default: 300 s.
    pub timeout: Option<Duration>,
    /// How long a client may take from the connection to the 230 of its login, a TLS handshake,
    /// the delay after a wrong password and the answer of the authorizer included. No command
    /// restarts it. Then the client gets `421 Login timed out.` and the session is closed. After a
    /// logout the time begins anew, and a transfer that goes on may end first. Default: 60 s.
    pub login_timeout: Option<Duration>,
    /// The networks whose clients are served; empty: all. Others get 421 and are closed, before
    /// they count for a limit. Default: empty.
    pub allow_from: Vec<Network>,
    /// The networks whose clients get 421 and are closed, also if `allow_from` has them.
    /// Default: empty.
    pub deny_from: Vec<Network>,
    /// The text of the 220 greeting. A text of more than 75 characters becomes a multi-line
    /// reply. Default: `ftpdlib 0.1.0 ready.`, with the current version.
    pub banner: String,
    /// Failed logins after which the client is disconnected. Default: 3.
    pub max_login_attempts: u32,
    /// Whether PORT and EPRT are served; otherwise they get 502, and FEAT does not list EPRT.
    /// Default: true.
    pub active_mode: bool,
    /// Whether the address of a data connection may differ from that of the control connection
    /// (for site-to-site transfers; see RFC 2577). Default: false.
    pub permit_foreign_addresses: bool,
    /// Whether PORT and EPRT may name a port below 1024 (RFC 2577). Default: false.
    pub permit_privileged_ports: bool,
    /// The address in replies to PASV, used as it is: for example that of a NAT gateway. `None`:
    /// the address that the client has connected to. Default: `None`. For a host name see
    /// [`FTPServer::set_masquerade_name`](crate::FTPServer::set_masquerade_name).
    pub masquerade_address: Option<String>,
    /// The same for each local address. It takes precedence over `masquerade_address`.
    /// Default: empty.
    pub masquerade_address_map: HashMap<IpAddr, String>,
    /// The ports for passive data connections, tried in random order. If none is free, or this
    /// is `None`, the kernel chooses. Default: `None`.
    pub passive_ports: Option<Vec<u16>>,
    /// Whether times in listings, MDTM and MFMT are in GMT, and not in local time.
    /// Default: true.
    pub use_gmt_times: bool,
    /// Whether binary transfers may use `sendfile` and `splice`. Default: true.
    pub use_sendfile: bool,
    /// Whether an upload locks its file, so that two sessions never write to one: with an advisory
    /// lock (flock(2)) that other processes see, too. A second STOR or APPE gets 450; but if the
    /// same user comes from the same address, and the first data connection has been silent for
    /// 10 s, the first upload ends with 426 and the second one takes over. Where the file system
    /// has no locks, the processes of this server still know each other's uploads.
    /// Default: true.
    pub upload_lock: bool,
    /// How long that silence is, for tests that cannot wait so long. Default: 10 s.
    #[doc(hidden)]
    pub upload_silence: Duration,
    /// The largest size in bytes that an upload may give a file; 0: any. An upload that is known to
    /// become larger (by ALLO in TYPE I, by REST, or because the file is larger) gets 552 and does
    /// not begin; another one ends with 552 at that size, and the file keeps its bytes so far.
    /// Default: 0.
    pub max_upload_size: u64,
    /// The bytes that must stay free on the file system of an upload, as
    /// [`AbstractedFS::free_space`] counts them: without them an upload gets 452 and does not
    /// begin, and one in progress ends with 452 before it takes them. With other uploads in
    /// progress, in any process of the server, it ends up to 64 KiB for each of them earlier, since
    /// they may write at the same time. Default: 0.
    pub min_free_space: u64,
    /// Patterns of names that no command may use: 550. They are listed. A pattern is compared with
    /// each part of a path, and of the path that links lead to; `*`, `?` and `[a-z]` work as in a
    /// shell, but also match a dot at the start, and upper case of ASCII counts as lower case.
    /// Default: empty.
    pub deny: Vec<String>,
    /// Patterns of names that are neither listed nor found: replies are those to a name that does
    /// not exist, and nothing can be made with such a name. Default: empty.
    pub hide: Vec<String>,
    /// Whether listings hide what they tell about the system: the names and numbers of owners (LIST
    /// shows `ftp`, MLSD and MLST leave them out), and the targets of links that are absolute or
    /// lead outside of the home. Default: false.
    pub hide_ids: bool,
    /// Whether the control connection sets `TCP_NODELAY`. Default: true.
    pub tcp_no_delay: bool,
    /// The encoding of commands, replies and listings. Default: UTF-8.
    pub encoding: Encoding,
    /// What happens to bytes that are not in that encoding. Default: replace.
    pub unicode_errors: UnicodeErrors,
    /// The prefix of each line of the log. `{remote_ip}`, `{remote_port}` and `{username}` are
    /// replaced; the last one by nothing before the login. Default: `{remote_ip}:{remote_port}-[{username}]`.
    pub log_prefix: String,
    /// The commands that are logged at level `info`. Default: those that change files or the
    /// current directory, and REIN. A transfer or a listing that is refused is logged in any case.
    pub log_cmds_list: Vec<Cow<'static, str>>,
    /// How long the reply to a wrong password is held back. Default: 3 s.
    pub auth_failed_timeout: Duration,
    /// What is done about addresses that fail to log in, or connect too often.
    pub guard: GuardConfig,
    /// The authorizer, which decides about logins. Default: an empty [`DummyAuthorizer`], which
    /// refuses every login.
    pub authorizer: Arc<dyn Authorizer>,
    /// The file system of all sessions, unless
    /// [`FTPHandler::abstracted_fs`](crate::FTPHandler::abstracted_fs) makes another one. Default:
    /// [`LocalFS`], which is confined to the user's home.
    pub abstracted_fs: Arc<dyn AbstractedFS>,
    /// The table of commands, with what each needs.
    pub proto_cmds: ProtoCmds,
    /// The settings of FTPS. `None`: there is no FTPS. Default: `None`.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// The settings of data connections.
    pub dtp: DTPConfig,
    /// The settings of passive data connections that are not connected yet.
    pub passive_dtp: PassiveDTPConfig,
    /// The settings of active data connections that are not connected yet.
    pub active_dtp: ActiveDTPConfig,
    /// Makes the handler of each data connection.
    pub dtp_handler: DTPFactory,
    /// What differs between the listening sockets of a server: each has its own copy of the
    /// settings.
    pub(crate) listener: ListenerSettings,
}

/// What the clients of one listening socket get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ListenerSettings {
    /// `None`: as [`FTPConfig::tls`] says.
    pub(crate) tls: Option<ListenTls>,
    /// The address in replies to PASV.
    pub(crate) masquerade_address: Option<Ipv4Addr>,
    /// The number of the listening socket, if a host name stands for that address.
    pub(crate) host_name: Option<usize>,
}

/// Whether clients that connect to a listening socket use TLS: see
/// [`Listen::tls`](crate::Listen::tls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenTls {
    /// No TLS: AUTH is an unknown command. Settings that require TLS exclude this.
    Off,
    /// TLS after AUTH.
    Explicit,
    /// TLS with the first byte, as on port 990.
    Implicit,
}

/// The class attributes of pyftpdlib's `PassiveDTP`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassiveDTPConfig {
    /// How long the client may take to connect; then it gets 421. Default: 30 s.
    pub timeout: Option<Duration>,
    /// Connections that may wait at the listener. `None`: the backlog of the server, at most 100.
    /// Default: `None`.
    pub backlog: Option<i32>,
}

/// The class attributes of pyftpdlib's `ActiveDTP`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveDTPConfig {
    /// How long connecting to the client may take; then it gets 421. Default: 30 s.
    pub timeout: Option<Duration>,
}

impl FTPConfig {
    /// The settings of FTPS, if the build has it.
    pub(crate) fn tls_settings(&self) -> Option<&TlsConfig> {
        #[cfg(feature = "tls")]
        return self.tls.as_ref();
        #[cfg(not(feature = "tls"))]
        None
    }

    /// Whether clients at this address are served.
    pub(crate) fn admits(&self, ip: IpAddr) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(ip));
        !is_in(&self.deny_from) && (self.allow_from.is_empty() || is_in(&self.allow_from))
    }

    /// Sets the authorizer.
    pub fn set_authorizer(&mut self, authorizer: impl Authorizer + 'static) {
        self.authorizer = Arc::new(authorizer);
    }

    /// Sets the file system.
    pub fn set_abstracted_fs(&mut self, fs: impl AbstractedFS + 'static) {
        self.abstracted_fs = Arc::new(fs);
    }

    /// Sets the function that makes the handler of each data connection.
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
            login_timeout: Some(Duration::from_secs(60)),
            allow_from: Vec::new(),
            deny_from: Vec::new(),
            banner: concat!("ftpdlib ", env!("CARGO_PKG_VERSION"), " ready.").to_owned(),
            max_login_attempts: 3,
            active_mode: true,
            permit_foreign_addresses: false,
            permit_privileged_ports: false,
            masquerade_address: None,
            masquerade_address_map: HashMap::new(),
            passive_ports: None,
            use_gmt_times: true,
            use_sendfile: true,
            upload_lock: true,
            upload_silence: Duration::from_secs(10),
            deny: Vec::new(),
            hide: Vec::new(),
            hide_ids: false,
            max_upload_size: 0,
            min_free_space: 0,
            tcp_no_delay: true,
            encoding: Encoding::UTF_8,
            unicode_errors: UnicodeErrors::Replace,
            log_prefix: "{remote_ip}:{remote_port}-[{username}]".to_owned(),
            log_cmds_list: LOGGED.map(Cow::Borrowed).to_vec(),
            auth_failed_timeout: Duration::from_secs(3),
            guard: GuardConfig::default(),
            authorizer: Arc::new(DummyAuthorizer::new()),
            abstracted_fs: Arc::new(LocalFS::new()),
            proto_cmds: ProtoCmds::default(),
            #[cfg(feature = "tls")]
            tls: None,
            dtp: DTPConfig::default(),
            passive_dtp: PassiveDTPConfig::default(),
            active_dtp: ActiveDTPConfig::default(),
            dtp_handler: Arc::new(|| Box::new(StockDTPHandler)),
            listener: ListenerSettings::default(),
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
