//! The table of settings: the only place that knows all keys and their flags.
//!
//! Accounts are not in it: they are lists, and flags replace them as a whole.

use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::{ClientAuth, SessionReuse, TlsVersion};

use super::value::Value;
use super::{Concurrency, Settings};
use crate::cli::{LIMITS, NETWORK, PROGRAM, SESSIONS, TLS};

/// A setting: where it stands in the file, its flag if it has one, and what it does.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) flag: Option<Flag>,
    /// Checks and applies a value; an error does not name the setting.
    pub(crate) set: fn(&mut Settings, &Value<'_>) -> Result<(), String>,
}

/// A flag of the command line. Settings may share one, by its long name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    /// What the help calls its value; a flag without one is a switch.
    pub(crate) value: Option<&'static str>,
    /// What a switch sets its setting to.
    pub(crate) switch_to: bool,
    /// The heading it stands under.
    pub(crate) group: &'static str,
    pub(crate) help: &'static str,
}

impl Setting {
    const fn new(
        section: &'static str,
        key: &'static str,
        set: fn(&mut Settings, &Value<'_>) -> Result<(), String>,
    ) -> Self {
        let flag = None;
        Self {
            section,
            key,
            flag,
            set,
        }
    }

    const fn flag(mut self, flag: Flag) -> Self {
        self.flag = Some(flag);
        self
    }
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

    const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }
}

/// All settings, in the order of the help.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting::new("server", "address", |s, v| v.text().map(|t| s.address = t)).flag(INTERFACE),
    Setting::new("server", "port", |s, v| {
        v.integer(0..=65_535).map(|n| s.port = n)
    })
    .flag(PORT),
    Setting::new("handler", "masquerade_address", |s, v| {
        v.text().map(|t| s.handler.masquerade_address = Some(t))
    })
    .flag(NAT_ADDRESS),
    Setting::new("handler", "masquerade_address_map", |s, v| {
        v.address_map()
            .map(|map| s.handler.masquerade_address_map = map)
    }),
    Setting::new("handler", "passive_ports", |s, v| {
        // An empty list leaves the choice to the kernel, as no list does.
        let ports = v.ports()?;
        s.handler.passive_ports = Some(ports).filter(|ports| !ports.is_empty());
        Ok(())
    })
    .flag(RANGE),
    Setting::new("handler", "permit_foreign_addresses", |s, v| {
        v.boolean().map(|b| s.handler.permit_foreign_addresses = b)
    })
    .flag(FOREIGN),
    Setting::new("handler", "permit_privileged_ports", |s, v| {
        v.boolean().map(|b| s.handler.permit_privileged_ports = b)
    })
    .flag(PRIVILEGED),
    Setting::new("server", "backlog", |s, v| {
        v.integer(0..=i32::MAX.into()).map(|n| s.backlog = n)
    }),
    Setting::new("tls", "certfile", |s, v| {
        v.path(&s.base)
            .map(|path| s.tls.config.certfile = Some(path))
    })
    .flag(CERTFILE),
    Setting::new("tls", "keyfile", |s, v| {
        v.path(&s.base)
            .map(|path| s.tls.config.keyfile = Some(path))
    })
    .flag(KEYFILE),
    Setting::new("tls", "certificates", |s, v| {
        v.cert_files(&s.base)
            .map(|files| s.tls.config.certificates = files)
    }),
    Setting::new("tls", "self_signed", |s, v| {
        v.boolean().map(|b| s.tls.self_signed = b)
    })
    .flag(SELF_SIGNED),
    Setting::new("tls", "tls_control_required", |s, v| {
        v.boolean().map(|b| s.tls.config.tls_control_required = b)
    })
    .flag(CONTROL_REQUIRED),
    Setting::new("tls", "tls_data_required", |s, v| {
        v.boolean().map(|b| s.tls.config.tls_data_required = b)
    })
    .flag(DATA_REQUIRED),
    Setting::new("tls", "implicit", |s, v| {
        v.boolean().map(|b| s.tls.config.implicit = b)
    })
    .flag(IMPLICIT),
    Setting::new("tls", "min_version", |s, v| {
        v.one_of(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)])
            .map(|version| s.tls.config.min_version = version)
    })
    .flag(MIN_VERSION),
    Setting::new("tls", "client_auth", |s, v| {
        v.one_of(&[
            ("off", ClientAuth::Off),
            ("optional", ClientAuth::Optional),
            ("required", ClientAuth::Required),
        ])
        .map(|auth| s.tls.config.client_auth = auth)
    })
    .flag(CLIENT_AUTH),
    Setting::new("tls", "client_ca", |s, v| {
        v.path(&s.base)
            .map(|path| s.tls.config.client_ca = Some(path))
    })
    .flag(CLIENT_CA),
    Setting::new("tls", "session_reuse", |s, v| {
        v.one_of(&[
            ("off", SessionReuse::Off),
            ("prefer", SessionReuse::Prefer),
            ("require", SessionReuse::Require),
        ])
        .map(|reuse| s.tls.config.session_reuse = reuse)
    })
    .flag(SESSION_REUSE),
    Setting::new("tls", "strict_eof", |s, v| {
        v.boolean().map(|b| s.tls.config.strict_eof = b)
    }),
    Setting::new("tls", "handshake_timeout", |s, v| match v.timeout()? {
        Some(time) => {
            s.tls.config.handshake_timeout = time;
            Ok(())
        }
        None => Err("must be more than 0: who never shakes hands must go".to_owned()),
    }),
    Setting::new("handler", "banner", |s, v| {
        v.text().map(|t| s.handler.banner = t)
    })
    .flag(BANNER),
    Setting::new("handler", "encoding", set_encoding).flag(ENCODING),
    Setting::new("handler", "unicode_errors", set_unicode_errors),
    Setting::new("handler", "timeout", |s, v| {
        v.timeout().map(|t| s.handler.timeout = t)
    })
    .flag(TIMEOUT),
    Setting::new("dtp", "timeout", |s, v| {
        v.timeout().map(|t| s.handler.dtp.timeout = t)
    })
    .flag(TIMEOUT),
    Setting::new("dtp", "passive_timeout", |s, v| {
        v.timeout().map(|t| s.handler.passive_dtp.timeout = t)
    }),
    Setting::new("dtp", "active_timeout", |s, v| {
        v.timeout().map(|t| s.handler.active_dtp.timeout = t)
    }),
    Setting::new("handler", "auth_failed_timeout", |s, v| {
        v.time().map(|t| s.handler.auth_failed_timeout = t)
    }),
    Setting::new("handler", "use_gmt_times", |s, v| {
        v.boolean().map(|b| s.handler.use_gmt_times = b)
    })
    .flag(LOCALTIME),
    Setting::new("handler", "use_sendfile", |s, v| {
        v.boolean().map(|b| s.handler.use_sendfile = b)
    })
    .flag(NO_SENDFILE),
    Setting::new("handler", "tcp_no_delay", |s, v| {
        v.boolean().map(|b| s.handler.tcp_no_delay = b)
    }),
    Setting::new("dtp", "ac_in_buffer_size", |s, v| {
        v.integer(1..=MAX_BUFFER)
            .map(|n| s.handler.dtp.ac_in_buffer_size = n)
    }),
    Setting::new("dtp", "ac_out_buffer_size", |s, v| {
        v.integer(1..=MAX_BUFFER)
            .map(|n| s.handler.dtp.ac_out_buffer_size = n)
    }),
    Setting::new("dtp", "read_limit", |s, v| {
        v.integer(0..=i64::MAX).map(|n| s.limits.read_limit = n)
    }),
    Setting::new("dtp", "write_limit", |s, v| {
        v.integer(0..=i64::MAX).map(|n| s.limits.write_limit = n)
    }),
    Setting::new("dtp", "auto_sized_buffers", |s, v| {
        v.boolean().map(|b| s.limits.auto_sized_buffers = b)
    }),
    Setting::new("server", "max_cons", |s, v| {
        v.integer(0..=MAX_COUNT).map(|n| s.max_cons = n)
    })
    .flag(MAX_CONS),
    Setting::new("server", "max_cons_per_ip", |s, v| {
        v.integer(0..=MAX_COUNT).map(|n| s.max_cons_per_ip = n)
    })
    .flag(MAX_CONS_PER_IP),
    Setting::new("server", "max_cons_per_user", |s, v| {
        v.integer(0..=MAX_COUNT).map(|n| s.max_cons_per_user = n)
    })
    .flag(MAX_CONS_PER_USER),
    Setting::new("handler", "max_login_attempts", |s, v| {
        v.integer(1..=MAX_COUNT)
            .map(|n| s.handler.max_login_attempts = n)
    })
    .flag(MAX_LOGIN_ATTEMPTS),
    Setting::new("server", "concurrency", set_concurrency).flag(CONCURRENCY),
    Setting::new("server", "workers", |s, v| {
        v.integer(0..=MAX_WORKERS).map(|n| s.workers = n)
    })
    .flag(WORKERS),
    Setting::new("server", "drain_timeout", |s, v| {
        v.time().map(|t| s.drain_timeout = t)
    })
    .flag(DRAIN_TIMEOUT),
];

fn set_encoding(settings: &mut Settings, value: &Value<'_>) -> Result<(), String> {
    let name = value.text()?;
    settings.handler.encoding =
        Encoding::by_name(&name).ok_or_else(|| format!("unknown encoding: '{name}'"))?;
    Ok(())
}

fn set_unicode_errors(settings: &mut Settings, value: &Value<'_>) -> Result<(), String> {
    let name = value.text()?;
    settings.handler.unicode_errors = UnicodeErrors::by_name(&name)
        .ok_or_else(|| format!("must be 'replace', 'strict' or 'surrogateescape', not '{name}'"))?;
    Ok(())
}

fn set_concurrency(settings: &mut Settings, value: &Value<'_>) -> Result<(), String> {
    settings.concurrency = match value.text()?.as_str() {
        "async" => Concurrency::Async,
        "multi-thread" => Concurrency::Threads,
        "multi-proc" => Concurrency::Processes,
        "pre-fork" => Concurrency::Prefork,
        name => {
            return Err(format!(
                "invalid concurrency '{name}'; choose between: \
                 'async', 'multi-thread', 'multi-proc', 'pre-fork'"
            ));
        }
    };
    Ok(())
}

const INTERFACE: Flag = Flag::new(
    NETWORK,
    "interface",
    "ADDRESS",
    "Listen on this address [default: all]",
)
.short('i');
const PORT: Flag = Flag::new(
    NETWORK,
    "port",
    "PORT",
    "Listen on this port [default: 2121]",
)
.short('p');
const NAT_ADDRESS: Flag = Flag::new(
    NETWORK,
    "nat-address",
    "ADDRESS",
    "Name this address in PASV replies: that of the NAT gateway in front",
)
.short('n');
const RANGE: Flag = Flag::new(
    NETWORK,
    "range",
    "FROM-TO",
    "Take passive data connections on these ports, such as 60000-60100",
)
.short('r');
const FOREIGN: Flag = Flag::switch(
    NETWORK,
    "permit-foreign-addresses",
    true,
    "Allow data connections with other hosts than the client",
);
const PRIVILEGED: Flag = Flag::switch(
    NETWORK,
    "permit-privileged-ports",
    true,
    "Allow active data connections to ports below 1024",
);
const CERTFILE: Flag = Flag::new(
    TLS,
    "certfile",
    "PATH",
    "The certificate chain, in PEM; needs --tls",
);
const KEYFILE: Flag = Flag::new(
    TLS,
    "keyfile",
    "PATH",
    "Its private key, in PEM [default: in the certfile]",
);
const SELF_SIGNED: Flag = Flag::switch(
    TLS,
    "tls-self-signed",
    true,
    "FTPS with a certificate made for this run; its fingerprint is logged. Needs no --tls",
);
const CONTROL_REQUIRED: Flag = Flag::switch(
    TLS,
    "tls-control-required",
    true,
    "Nobody logs in without TLS",
);
const DATA_REQUIRED: Flag = Flag::switch(
    TLS,
    "tls-data-required",
    true,
    "No transfers and no listings without TLS",
);
const IMPLICIT: Flag = Flag::switch(
    TLS,
    "tls-implicit",
    true,
    "TLS from the first byte (ftps://), not after AUTH; the port stays that of --port",
);
const MIN_VERSION: Flag = Flag::new(
    TLS,
    "tls-min-version",
    "VERSION",
    "The oldest version of TLS to accept, 1.2 or 1.3 [default: 1.2]",
);
const CLIENT_AUTH: Flag = Flag::new(
    TLS,
    "tls-client-auth",
    "WHETHER",
    "Ask clients for a certificate: off, optional, required [default: off]",
);
const CLIENT_CA: Flag = Flag::new(
    TLS,
    "tls-client-ca",
    "PATH",
    "The authorities that certificates of clients must come from, in PEM",
);
const SESSION_REUSE: Flag = Flag::new(
    TLS,
    "tls-session-reuse",
    "WHETHER",
    "Whether data connections resume the session's TLS: off, prefer, require [default: prefer]",
);
const BANNER: Flag = Flag::new(SESSIONS, "banner", "TEXT", "Greet clients with this text");
const ENCODING: Flag = Flag::new(
    SESSIONS,
    "encoding",
    "NAME",
    "Encode commands, replies and file names so [default: utf-8]",
);
const TIMEOUT: Flag = Flag::new(
    SESSIONS,
    "timeout",
    "SECONDS",
    "Disconnect clients and transfers that stand still for so long; 0: never [default: 300]",
);
const LOCALTIME: Flag = Flag::switch(
    SESSIONS,
    "use-localtime",
    false,
    "Tell the times of files in the local time zone, not in GMT",
);
const NO_SENDFILE: Flag = Flag::switch(
    SESSIONS,
    "disable-sendfile",
    false,
    "Send files without the sendfile system call",
);
const MAX_CONS: Flag = Flag::new(
    LIMITS,
    "max-cons",
    "N",
    "Hold at most N connections at once; 0: any number [default: 512]",
);
const MAX_CONS_PER_IP: Flag = Flag::new(
    LIMITS,
    "max-cons-per-ip",
    "N",
    "Hold at most N connections from one address; 0: any number [default: 0]",
);
const MAX_CONS_PER_USER: Flag = Flag::new(
    LIMITS,
    "max-cons-per-user",
    "N",
    "Hold at most N connections that one user is logged in on; 0: any number [default: 0]",
);
const MAX_LOGIN_ATTEMPTS: Flag = Flag::new(
    LIMITS,
    "max-login-attempts",
    "N",
    "Disconnect after N wrong passwords [default: 3]",
);
const CONCURRENCY: Flag = Flag::new(
    PROGRAM,
    "concurrency",
    "MODEL",
    "Serve clients in this way: async (all in one loop), multi-thread, multi-proc, \
     pre-fork (a loop in each of some workers) [default: async]",
);
const WORKERS: Flag = Flag::new(
    PROGRAM,
    "workers",
    "N",
    "With pre-fork: so many workers; 0: one for each CPU [default: 0]",
);
const DRAIN_TIMEOUT: Flag = Flag::new(
    PROGRAM,
    "drain-timeout",
    "SECONDS",
    "Let transfers go on for so long when told to end [default: 3]",
);

/// 16 MiB: more helps no transfer.
const MAX_BUFFER: i64 = 16 << 20;
const MAX_COUNT: i64 = i32::MAX as i64;
const MAX_WORKERS: i64 = 1024;
