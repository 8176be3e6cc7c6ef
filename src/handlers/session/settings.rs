//! The settings that a session goes by.
//!
//! The other modules of the handlers read them here and not in
//! [`FTPConfig`](crate::FTPConfig), so that one session may differ from the rest.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::state::FTPSession;
use crate::authorizers::Authorizer;
use crate::filesystems::NameRules;
use crate::handlers::config::{FTPConfig, ListenTls};
use crate::handlers::data::{Bounds, DTPConfig, DTPHandler};
use crate::proto::command::ProtoCmds;
use crate::proto::encoding::{Encoding, UnicodeErrors};
use crate::server_state::host_names::Purpose;
use crate::tls::TlsAcceptor;

/// A handle of the table of commands.
pub(crate) struct CommandTable(Arc<FTPConfig>);

impl Deref for CommandTable {
    type Target = ProtoCmds;

    fn deref(&self) -> &ProtoCmds {
        &self.0.proto_cmds
    }
}

impl FTPSession {
    // --- the session

    /// How long the client may be silent between commands.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.own(|own| own.timeout).unwrap_or(self.config.timeout)
    }

    /// How long the client may take to log in.
    pub(crate) fn login_timeout(&self) -> Option<Duration> {
        let own = self.own(|own| own.login_timeout);
        own.unwrap_or(self.config.login_timeout)
    }

    /// The text of the greeting.
    pub(crate) fn banner(&self) -> &str {
        let own = self.own(|own| own.banner.as_deref());
        own.unwrap_or(&self.config.banner)
    }

    pub(crate) fn authorizer(&self) -> &dyn Authorizer {
        &*self.config.authorizer
    }

    /// How long the reply to a wrong password is held back.
    pub(crate) fn auth_failed_timeout(&self) -> Duration {
        self.config.auth_failed_timeout
    }

    /// Failed logins after which the client is disconnected.
    pub(crate) fn max_login_attempts(&self) -> u32 {
        self.config.max_login_attempts
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.own(|own| own.encoding).unwrap_or(self.config.encoding)
    }

    pub(crate) fn unicode_errors(&self) -> UnicodeErrors {
        let own = self.own(|own| own.unicode_errors);
        own.unwrap_or(self.config.unicode_errors)
    }

    /// Whether times are in GMT, and not in local time.
    pub(crate) fn use_gmt_times(&self) -> bool {
        self.config.use_gmt_times
    }

    /// The table of commands.
    pub(crate) fn proto_cmds(&self) -> &ProtoCmds {
        &self.config.proto_cmds
    }

    /// A handle of the table of commands, for a command that also gets the session.
    pub(crate) fn proto_cmds_handle(&self) -> CommandTable {
        CommandTable(Arc::clone(&self.config))
    }

    /// The lines of the reply to FEAT, sorted.
    pub(crate) fn features(&self) -> Vec<String> {
        let cmds = self.proto_cmds();
        let mut features = vec!["TVFS".to_owned()];
        if self.encoding().is_utf8() {
            features.push("UTF8".to_owned());
        }
        let named = ["EPRT", "EPSV", "MDTM", "MFMT", "SIZE"];
        let is_served = |name: &&str| *name != "EPRT" || self.has_active_mode();
        let named = named.into_iter().filter(|name| cmds.contains(name));
        let named = named.filter(is_served);
        features.extend(named.map(str::to_owned));
        if cmds.contains("MLST") || cmds.contains("MLSD") {
            features.push(format!("MLST {}", self.facts.feat()));
        }
        if cmds.contains("REST") {
            features.push("REST STREAM".to_owned());
        }
        if self.tls_acceptor().is_some() {
            let tls = ["AUTH SSL", "AUTH TLS", "PBSZ", "PROT"];
            features.extend(tls.map(str::to_owned));
        }
        features.extend(self.own_features());
        features.sort_unstable();
        features.dedup();
        features
    }

    // --- its TLS

    /// What TLS is made with; `None` if the client has connected where there is none.
    pub(crate) fn tls_acceptor(&self) -> Option<&Arc<TlsAcceptor>> {
        let is_off = self.config.listener.tls == Some(ListenTls::Off);
        self.server.tls.as_ref().filter(|_| !is_off)
    }

    /// Whether USER and PASS need TLS on the control connection.
    pub(crate) fn needs_control_tls(&self) -> bool {
        let tls = self.server.tls.as_ref();
        tls.is_some_and(|tls| tls.config.tls_control_required)
    }

    /// Whether transfers need TLS on the data connection.
    pub(crate) fn needs_data_tls(&self) -> bool {
        let tls = self.server.tls.as_ref();
        tls.is_some_and(|tls| tls.config.tls_data_required)
    }

    /// Whether TLS begins before the greeting.
    pub(crate) fn has_implicit_tls(&self) -> bool {
        let own = self.config.listener.tls;
        self.tls_acceptor()
            .is_some_and(|tls| own.map_or(tls.config.implicit, |own| own == ListenTls::Implicit))
    }

    // --- its data connections

    /// Whether PORT and EPRT are served.
    pub(crate) fn has_active_mode(&self) -> bool {
        self.config.active_mode
    }

    pub(crate) fn permits_foreign_addresses(&self) -> bool {
        self.config.permit_foreign_addresses
    }

    pub(crate) fn permits_privileged_ports(&self) -> bool {
        self.config.permit_privileged_ports
    }

    /// How long connecting to the client may take.
    pub(crate) fn active_timeout(&self) -> Option<Duration> {
        let own = self.own(|own| own.active_timeout);
        own.unwrap_or(self.config.active_dtp.timeout)
    }

    /// How long the client may take to connect.
    pub(crate) fn passive_timeout(&self) -> Option<Duration> {
        let own = self.own(|own| own.passive_timeout);
        own.unwrap_or(self.config.passive_dtp.timeout)
    }

    /// Connections that may wait at a passive listener.
    pub(crate) fn passive_backlog(&self) -> i32 {
        let backlog = self.config.passive_dtp.backlog;
        backlog.unwrap_or(self.server.backlog().min(PASSIVE_BACKLOG))
    }

    /// The ports for passive data connections; `None`: the kernel chooses.
    pub(crate) fn passive_ports(&self) -> Option<&[u16]> {
        match self.own(|own| own.passive_ports.as_deref()) {
            Some(own) => Some(own).filter(|ports| !ports.is_empty()),
            None => self.config.passive_ports.as_deref(),
        }
    }

    /// The address in the reply to PASV, for a client that has connected to `local`.
    pub(crate) fn passive_address(&self, local: IpAddr) -> String {
        let (config, listener) = (&self.config, &self.config.listener);
        let mapped = config.masquerade_address_map.get(&local);
        let own = listener.masquerade_address;
        let purpose = match (mapped, listener.host_name, own) {
            (Some(_), ..) => Some(Purpose::Local(local)),
            (None, Some(number), _) => Some(Purpose::Listener(number)),
            (None, None, Some(_)) => None,
            (None, None, None) => Some(Purpose::All),
        };
        // A host name has its last answer there; until then the settings have its first one.
        let resolved = purpose.and_then(|purpose| self.server.host_names.address(purpose));
        let resolved = resolved.map(|ip| ip.to_string());
        resolved
            .or_else(|| mapped.cloned())
            .or_else(|| own.map(|ip| ip.to_string()))
            .or_else(|| config.masquerade_address.clone())
            .unwrap_or_else(|| local.to_string())
    }

    /// Time-out and buffers of data connections.
    pub(crate) fn dtp_config(&self) -> DTPConfig {
        let mut config = self.config.dtp.clone();
        if let Some(timeout) = self.own(|own| own.dtp_timeout) {
            config.timeout = timeout;
        }
        config
    }

    /// Whether binary transfers may use `sendfile` and `splice`.
    pub(crate) fn use_sendfile(&self) -> bool {
        self.config.use_sendfile
    }

    /// Whether uploads lock their files.
    pub(crate) fn locks_uploads(&self) -> bool {
        self.config.upload_lock
    }

    /// What bounds uploads.
    pub(crate) fn upload_bounds(&self) -> Bounds {
        Bounds {
            max_upload_size: self.config.max_upload_size,
            min_free_space: self.config.min_free_space,
            announced: 0,
        }
    }

    /// How long an upload is silent before the same user may take it over.
    pub(crate) fn upload_silence(&self) -> Duration {
        self.config.upload_silence
    }

    /// The handler of a new data connection, which may limit its speed.
    pub(crate) fn new_dtp_handler(&self) -> Box<dyn DTPHandler> {
        (self.config.dtp_handler)()
    }

    // --- its files

    /// The names that clients may not use, or do not see.
    pub(crate) fn name_rules(&self) -> Option<&Arc<NameRules>> {
        let rules = &self.server.name_rules;
        let config = &self.config;
        rules
            .get_or_init(|| NameRules::new(&config.deny, &config.hide))
            .as_ref()
    }

    /// Whether listings have no owners, and no targets of links that lead outside.
    pub(crate) fn hides_ids(&self) -> bool {
        self.config.hide_ids
    }

    // --- its log

    /// What precedes each line of the log.
    pub(crate) fn log_prefix(&self) -> &str {
        &self.config.log_prefix
    }

    /// Whether a command is logged at level `info`.
    pub(crate) fn logs_command(&self, cmd: &str) -> bool {
        self.config.log_cmds_list.iter().any(|logged| logged == cmd)
    }

    /// A handle of the authorizer, for a call that also gets the session.
    pub(crate) fn authorizer_handle(&self) -> Arc<dyn Authorizer> {
        Arc::clone(&self.config.authorizer)
    }
}

/// How many connections may wait at a passive listener by default, at most: one is expected.
const PASSIVE_BACKLOG: i32 = 100;
