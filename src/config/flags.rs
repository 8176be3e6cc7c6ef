//! The command line as plain data, and the flags (options) of the settings in the
//! [table](super::table).

use std::path::PathBuf;

/// The headings of the help.
pub(crate) const NETWORK: &str = "Network";
pub(crate) const TLS: &str = "TLS";
pub(crate) const SESSIONS: &str = "Sessions";
pub(crate) const LIMITS: &str = "Limits";
pub(crate) const PROGRAM: &str = "Program";

/// What the command line says. Its parser fills this in.
#[derive(Debug)]
pub(crate) struct Flags {
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// Whether to log every command and reply.
    pub(crate) debug: bool,
    /// The flags that replace the accounts of the file.
    pub(crate) accounts: AccountFlags,
    /// Whether `--tls` was given.
    pub(crate) tls: bool,
    /// The flags of settings that were given. A switch has no value.
    pub(crate) given: Vec<(Flag, Option<String>)>,
}

impl Flags {
    /// Whether the flag with this long name, the flag of a setting, was given.
    pub(crate) fn gave(&self, long: &str) -> bool {
        self.given.iter().any(|(flag, _)| flag.long == long)
    }
}

/// The values of `-u`, `-P`, `-d` and `-w`.
#[derive(Debug, Default)]
pub(crate) struct AccountFlags {
    /// Name and password of the user.
    pub(crate) user: Option<(String, String)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) write: bool,
}

impl AccountFlags {
    /// Whether any of them was given.
    pub(crate) fn any(&self) -> bool {
        self.stand_for_account() || self.write
    }

    /// Whether they say whose account it is, or what it shares. `-w` alone says neither.
    pub(crate) fn stand_for_account(&self) -> bool {
        self.user.is_some() || self.directory.is_some()
    }
}

/// A flag of the command line. Several settings may share a flag; its long name
/// identifies it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    /// The name of the value in the help. A flag without a value is a switch.
    pub(crate) value: Option<&'static str>,
    /// The words that the value can be, for completions; empty if there are many.
    pub(crate) values: &'static [&'static str],
    /// The value that a switch gives its setting.
    pub(crate) switch_to: bool,
    /// The heading in the help.
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
    "Put this address into PASV replies, for a server behind a NAT gateway; a host name is resolved \
     from time to time",
)
.short('n');
pub(super) const RANGE: Flag = Flag::new(
    NETWORK,
    "range",
    "FROM-TO",
    "Use these ports for passive data connections, such as 60000-60100",
)
.short('r');
pub(super) const FOREIGN: Flag = Flag::switch(
    NETWORK,
    "permit-foreign-addresses",
    true,
    "Permit data connections with other hosts than the client",
);
pub(super) const PRIVILEGED: Flag = Flag::switch(
    NETWORK,
    "permit-privileged-ports",
    true,
    "Permit active data connections to ports below 1024",
);
pub(super) const CERTFILE: Flag = Flag::new(
    TLS,
    "certfile",
    "PATH",
    "Use this certificate chain, in PEM; requires --tls",
);
pub(super) const KEYFILE: Flag = Flag::new(
    TLS,
    "keyfile",
    "PATH",
    "Use this private key, in PEM; requires --tls [default: the certfile]",
);
pub(super) const SELF_SIGNED: Flag = Flag::switch(
    TLS,
    "tls-self-signed",
    true,
    "Turn on FTPS with a certificate that is made for this run, and log its fingerprint; \
     does not require --tls",
);
pub(super) const CONTROL_REQUIRED: Flag = Flag::switch(
    TLS,
    "tls-control-required",
    true,
    "Refuse logins without TLS",
);
pub(super) const DATA_REQUIRED: Flag = Flag::switch(
    TLS,
    "tls-data-required",
    true,
    "Refuse transfers and listings without TLS",
);
pub(super) const IMPLICIT: Flag = Flag::switch(
    TLS,
    "tls-implicit",
    true,
    "Begin TLS with the first byte (ftps://) instead of after AUTH; the port stays that of \
     --port",
);
pub(super) const MIN_VERSION: Flag = Flag::new(
    TLS,
    "tls-min-version",
    "VERSION",
    "Accept this version of TLS and later ones: 1.2 or 1.3 [default: 1.2]",
)
.one_of(&["1.2", "1.3"]);
pub(super) const CLIENT_AUTH: Flag = Flag::new(
    TLS,
    "tls-client-auth",
    "WHETHER",
    "Ask clients for a certificate: off, optional or required [default: off]",
)
.one_of(&["off", "optional", "required"]);
pub(super) const CLIENT_CA: Flag = Flag::new(
    TLS,
    "tls-client-ca",
    "PATH",
    "Accept client certificates of these authorities only, in PEM",
);
pub(super) const SESSION_REUSE: Flag = Flag::new(
    TLS,
    "tls-session-reuse",
    "WHETHER",
    "Whether data connections must resume a TLS session of their client: off, prefer or \
     require [default: prefer]",
)
.one_of(&["off", "prefer", "require"]);
pub(super) const BANNER: Flag =
    Flag::new(SESSIONS, "banner", "TEXT", "Greet clients with this text");
pub(super) const ENCODING: Flag = Flag::new(
    SESSIONS,
    "encoding",
    "NAME",
    "Use this encoding for commands, replies and file names [default: utf-8]",
);
pub(super) const TIMEOUT: Flag = Flag::new(
    SESSIONS,
    "timeout",
    "SECONDS",
    "Disconnect idle clients and end stalled transfers after this time; 0 means never \
     [default: 300]",
);
pub(super) const LOCALTIME: Flag = Flag::switch(
    SESSIONS,
    "use-localtime",
    false,
    "Show the times of files in local time instead of GMT",
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
    "Permit at most N sockets (control, data, listening) at once; 0 means no limit \
     [default: 512]",
);
pub(super) const MAX_CONS_PER_IP: Flag = Flag::new(
    LIMITS,
    "max-cons-per-ip",
    "N",
    "Permit at most N control connections from one address; 0 means no limit [default: 0]",
);
pub(super) const MAX_CONS_PER_USER: Flag = Flag::new(
    LIMITS,
    "max-cons-per-user",
    "N",
    "Permit at most N control connections on which one user is logged in; 0 means no limit \
     [default: 0]",
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
    "Run the sessions in one loop (async), in a loop in each of several workers (pre-fork), or \
     each in a thread (multi-thread) or a process (multi-proc) [default: async]",
)
.one_of(&["async", "pre-fork", "multi-thread", "multi-proc"]);
pub(super) const WORKERS: Flag = Flag::new(
    PROGRAM,
    "workers",
    "N",
    "Start N workers; requires --concurrency pre-fork; 0 means one per CPU [default: 0]",
);
pub(super) const DRAIN_TIMEOUT: Flag = Flag::new(
    PROGRAM,
    "drain-timeout",
    "SECONDS",
    "Let transfers continue for this time after the signal that ends the server [default: 3]",
);
