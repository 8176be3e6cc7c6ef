//! What the command line says, as plain data, and the flags that settings of the
//! [table](super::table) have.

use std::path::PathBuf;

/// The headings of the help.
pub(crate) const NETWORK: &str = "Network";
pub(crate) const TLS: &str = "TLS";
pub(crate) const SESSIONS: &str = "Sessions";
pub(crate) const LIMITS: &str = "Limits";
pub(crate) const PROGRAM: &str = "Program";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Flags {
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// Whether to log every line in and out.
    pub(crate) debug: bool,
    /// The flags that take the place of the file's accounts.
    pub(crate) accounts: AccountFlags,
    /// Whether TLS was asked for by its name.
    pub(crate) tls: bool,
    /// The flags of settings that were given, with their values.
    pub(crate) given: Vec<(Flag, Option<String>)>,
}

impl Flags {
    /// Whether this flag of a setting was given.
    pub(crate) fn gave(&self, long: &str) -> bool {
        self.given.iter().any(|(flag, _)| flag.long == long)
    }
}

/// What `-u -P -d -w` say.
#[derive(Debug, Default)]
pub(crate) struct AccountFlags {
    /// Name and password.
    pub(crate) user: Option<(String, String)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) write: bool,
    /// A password for nobody: it still stands for "other accounts than the file's".
    pub(crate) password_only: bool,
}

impl AccountFlags {
    /// Whether any of them was given.
    pub(crate) fn any(&self) -> bool {
        self.user.is_some() || self.directory.is_some() || self.write || self.password_only
    }
}

/// A flag of the command line. Settings may share one, by its long name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    /// What the help calls its value; a flag without one is a switch.
    pub(crate) value: Option<&'static str>,
    /// What it may be, if there are few.
    pub(crate) values: &'static [&'static str],
    /// What a switch sets its setting to.
    pub(crate) switch_to: bool,
    /// The heading it stands under.
    pub(crate) group: &'static str,
    pub(crate) help: &'static str,
}

impl Flag {
    const fn new(
        group: &'static str,
        long: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            long,
            short: None,
            value: Some(value),
            values: &[],
            switch_to: true,
            group,
            help,
        }
    }

    const fn switch(
        group: &'static str,
        long: &'static str,
        switch_to: bool,
        help: &'static str,
    ) -> Self {
        Self {
            value: None,
            switch_to,
            ..Self::new(group, long, "", help)
        }
    }

    const fn one_of(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }

    const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }
}

pub(super) const INTERFACE: Flag = Flag::new(
    NETWORK,
    "interface",
    "ADDRESS",
    "Listen on this address [default: all]",
)
.short('i');
pub(super) const PORT: Flag = Flag::new(
    NETWORK,
    "port",
    "PORT",
    "Listen on this port [default: 2121]",
)
.short('p');
pub(super) const NAT_ADDRESS: Flag = Flag::new(
    NETWORK,
    "nat-address",
    "ADDRESS",
    "Name this address in PASV replies: that of the NAT gateway in front",
)
.short('n');
pub(super) const RANGE: Flag = Flag::new(
    NETWORK,
    "range",
    "FROM-TO",
    "Take passive data connections on these ports, such as 60000-60100",
)
.short('r');
pub(super) const FOREIGN: Flag = Flag::switch(
    NETWORK,
    "permit-foreign-addresses",
    true,
    "Allow data connections with other hosts than the client",
);
pub(super) const PRIVILEGED: Flag = Flag::switch(
    NETWORK,
    "permit-privileged-ports",
    true,
    "Allow active data connections to ports below 1024",
);
pub(super) const CERTFILE: Flag = Flag::new(
    TLS,
    "certfile",
    "PATH",
    "The certificate chain, in PEM; needs --tls",
);
pub(super) const KEYFILE: Flag = Flag::new(
    TLS,
    "keyfile",
    "PATH",
    "Its private key, in PEM [default: in the certfile]",
);
pub(super) const SELF_SIGNED: Flag = Flag::switch(
    TLS,
    "tls-self-signed",
    true,
    "FTPS with a certificate made for this run; its fingerprint is logged. Needs no --tls",
);
pub(super) const CONTROL_REQUIRED: Flag = Flag::switch(
    TLS,
    "tls-control-required",
    true,
    "Nobody logs in without TLS",
);
pub(super) const DATA_REQUIRED: Flag = Flag::switch(
    TLS,
    "tls-data-required",
    true,
    "No transfers and no listings without TLS",
);
pub(super) const IMPLICIT: Flag = Flag::switch(
    TLS,
    "tls-implicit",
    true,
    "TLS from the first byte (ftps://), not after AUTH; the port stays that of --port",
);
pub(super) const MIN_VERSION: Flag = Flag::new(
    TLS,
    "tls-min-version",
    "VERSION",
    "The oldest version of TLS to accept, 1.2 or 1.3 [default: 1.2]",
)
.one_of(&["1.2", "1.3"]);
pub(super) const CLIENT_AUTH: Flag = Flag::new(
    TLS,
    "tls-client-auth",
    "WHETHER",
    "Ask clients for a certificate: off, optional, required [default: off]",
)
.one_of(&["off", "optional", "required"]);
pub(super) const CLIENT_CA: Flag = Flag::new(
    TLS,
    "tls-client-ca",
    "PATH",
    "The authorities that certificates of clients must come from, in PEM",
);
pub(super) const SESSION_REUSE: Flag = Flag::new(
    TLS,
    "tls-session-reuse",
    "WHETHER",
    "Whether data connections resume the session's TLS: off, prefer, require [default: prefer]",
)
.one_of(&["off", "prefer", "require"]);
pub(super) const BANNER: Flag =
    Flag::new(SESSIONS, "banner", "TEXT", "Greet clients with this text");
pub(super) const ENCODING: Flag = Flag::new(
    SESSIONS,
    "encoding",
    "NAME",
    "Encode commands, replies and file names so [default: utf-8]",
);
pub(super) const TIMEOUT: Flag = Flag::new(
    SESSIONS,
    "timeout",
    "SECONDS",
    "Disconnect clients and transfers that stand still for so long; 0: never [default: 300]",
);
pub(super) const LOCALTIME: Flag = Flag::switch(
    SESSIONS,
    "use-localtime",
    false,
    "Tell the times of files in the local time zone, not in GMT",
);
pub(super) const NO_SENDFILE: Flag = Flag::switch(
    SESSIONS,
    "disable-sendfile",
    false,
    "Send files without the sendfile system call",
);
pub(super) const MAX_CONS: Flag = Flag::new(
    LIMITS,
    "max-cons",
    "N",
    "Hold at most N connections at once; 0: any number [default: 512]",
);
pub(super) const MAX_CONS_PER_IP: Flag = Flag::new(
    LIMITS,
    "max-cons-per-ip",
    "N",
    "Hold at most N connections from one address; 0: any number [default: 0]",
);
pub(super) const MAX_CONS_PER_USER: Flag = Flag::new(
    LIMITS,
    "max-cons-per-user",
    "N",
    "Hold at most N connections that one user is logged in on; 0: any number [default: 0]",
);
pub(super) const MAX_LOGIN_ATTEMPTS: Flag = Flag::new(
    LIMITS,
    "max-login-attempts",
    "N",
    "Disconnect after N wrong passwords [default: 3]",
);
pub(super) const CONCURRENCY: Flag = Flag::new(
    PROGRAM,
    "concurrency",
    "MODEL",
    "Serve clients in this way: async (all in one loop), multi-thread, multi-proc, \
     pre-fork (a loop in each of some workers) [default: async]",
)
.one_of(&["async", "pre-fork", "multi-thread", "multi-proc"]);
pub(super) const WORKERS: Flag = Flag::new(
    PROGRAM,
    "workers",
    "N",
    "With pre-fork: so many workers; 0: one for each CPU [default: 0]",
);
pub(super) const DRAIN_TIMEOUT: Flag = Flag::new(
    PROGRAM,
    "drain-timeout",
    "SECONDS",
    "Let transfers go on for so long when told to end [default: 3]",
);
