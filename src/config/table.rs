//! The table of settings: the only place that lists all keys and their options.
//!
//! Accounts are not in the table: they are lists, and options replace them as a whole.

use super::flags::{
    BANNER, CERTFILE, CLIENT_AUTH, CLIENT_CA, CONCURRENCY, CONTROL_REQUIRED, DATA_REQUIRED,
    DRAIN_TIMEOUT, ENCODING, FOREIGN, IMPLICIT, INTERFACE, KEYFILE, LOCALTIME, MAX_CONS,
    MAX_CONS_PER_IP, MAX_CONS_PER_USER, MAX_LOGIN_ATTEMPTS, MIN_VERSION, NAT_ADDRESS, NO_SENDFILE,
    PORT, PRIVILEGED, RANGE, SELF_SIGNED, SESSION_REUSE, TIMEOUT, WORKERS,
};
use super::setting::{
    MAX_COUNT, Setting, names, networks, set_client_auth, set_concurrency, set_encoding,
    set_handshake_timeout, set_min_version, set_passive_ports, set_session_reuse,
    set_unicode_errors,
};
use super::{guard, process};

/// All settings, in the order of the help.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting::new(
        "server",
        "address",
        "string, `\"\"`",
        "the address to listen on; `\"\"` and `\"::\"` mean all addresses, IPv6 and IPv4",
        |s, v| v.text().map(|t| s.address = t),
    )
    .flag(INTERFACE),
    Setting::new(
        "server",
        "port",
        "integer, 2121",
        "the port to listen on; with 0 the system chooses one",
        |s, v| v.integer(0..=65_535).map(|n| s.port = n),
    )
    .flag(PORT),
    Setting::new(
        "server",
        "allow_from",
        "list of strings, `[]`",
        "the networks whose clients are served, such as `[\"10.0.0.0/8\", \"2001:db8::/32\"]`; others \
         get 421; empty means all",
        |s, v| networks(v).map(|networks| s.handler.allow_from = networks),
    ),
    Setting::new(
        "server",
        "deny_from",
        "list of strings, `[]`",
        "the networks whose clients get 421, also if `allow_from` has them",
        |s, v| networks(v).map(|networks| s.handler.deny_from = networks),
    ),
    Setting::new(
        "handler",
        "masquerade_address",
        "string",
        "the address in PASV replies: an IPv4 address, or a host name that is resolved at the start \
         and every 30 seconds",
        |s, v| v.name().map(|t| s.handler.masquerade_address = Some(t)),
    )
    .flag(NAT_ADDRESS),
    Setting::new(
        "handler",
        "masquerade_address_map",
        "table",
        "the address in PASV replies by local address: `{ \"10.0.0.2\" = \"203.0.113.7\" }`; it \
         wins over `masquerade_address`",
        |s, v| {
            v.address_map()
                .map(|map| s.handler.masquerade_address_map = map)
        },
    ),
    Setting::new(
        "handler",
        "passive_ports",
        "`\"60000-60100\"` or list of integers",
        "the ports for passive data connections; if none of them is free, the system chooses a \
         port",
        set_passive_ports,
    )
    .flag(RANGE),
    Setting::new(
        "handler",
        "active_mode",
        "boolean, true",
        "serve PORT and EPRT; `false`: they get 502",
        |s, v| v.boolean().map(|b| s.handler.active_mode = b),
    ),
    Setting::new(
        "handler",
        "permit_foreign_addresses",
        "boolean, false",
        "permit data connections with other hosts than the client",
        |s, v| v.boolean().map(|b| s.handler.permit_foreign_addresses = b),
    )
    .flag(FOREIGN),
    Setting::new(
        "handler",
        "permit_privileged_ports",
        "boolean, false",
        "permit PORT and EPRT with ports below 1024",
        |s, v| v.boolean().map(|b| s.handler.permit_privileged_ports = b),
    )
    .flag(PRIVILEGED),
    Setting::new(
        "server",
        "backlog",
        "integer, 1024",
        "the number of connections that may wait to be accepted",
        |s, v| v.integer(0..=i32::MAX.into()).map(|n| s.backlog = n),
    ),
    Setting::new(
        "tls",
        "certfile",
        "path, required unless `self_signed`",
        "the file with the certificate chain, in PEM",
        |s, v| {
            v.path(&s.base)
                .map(|path| s.tls.config.certfile = Some(path))
        },
    )
    .flag(CERTFILE),
    Setting::new(
        "tls",
        "keyfile",
        "path, the `certfile`",
        "the file with the private key, in PEM, without a passphrase",
        |s, v| {
            v.path(&s.base)
                .map(|path| s.tls.config.keyfile = Some(path))
        },
    )
    .flag(KEYFILE),
    Setting::new(
        "tls",
        "certificates",
        "tables of `certfile`, `keyfile`",
        "more certificates, each for clients that ask for one of its host names (SNI)",
        |s, v| {
            v.cert_files(&s.base)
                .map(|files| s.tls.config.certificates = files)
        },
    ),
    Setting::new(
        "tls",
        "self_signed",
        "boolean, false",
        "use a certificate that is made for this run; the log shows its fingerprint",
        |s, v| v.boolean().map(|b| s.tls.self_signed = b),
    )
    .flag(SELF_SIGNED),
    Setting::new(
        "tls",
        "tls_control_required",
        "boolean, false",
        "refuse logins without TLS",
        |s, v| v.boolean().map(|b| s.tls.config.tls_control_required = b),
    )
    .flag(CONTROL_REQUIRED),
    Setting::new(
        "tls",
        "tls_data_required",
        "boolean, false",
        "refuse transfers and listings without TLS",
        |s, v| v.boolean().map(|b| s.tls.config.tls_data_required = b),
    )
    .flag(DATA_REQUIRED),
    Setting::new(
        "tls",
        "implicit",
        "boolean, false",
        "begin TLS with the first byte, as on port 990, instead of after AUTH",
        |s, v| v.boolean().map(|b| s.tls.config.implicit = b),
    )
    .flag(IMPLICIT),
    Setting::new(
        "tls",
        "min_version",
        "string, `\"1.2\"`",
        "the oldest version to accept: `\"1.2\"` or `\"1.3\"`",
        set_min_version,
    )
    .flag(MIN_VERSION),
    Setting::new(
        "tls",
        "client_auth",
        "string, `\"off\"`",
        "ask clients for a certificate: `\"off\"`, `\"optional\"` or `\"required\"`",
        set_client_auth,
    )
    .flag(CLIENT_AUTH),
    Setting::new(
        "tls",
        "client_ca",
        "path",
        "the file with the authorities that must have issued client certificates, in PEM",
        |s, v| {
            v.path(&s.base)
                .map(|path| s.tls.config.client_ca = Some(path))
        },
    )
    .flag(CLIENT_CA),
    Setting::new(
        "tls",
        "session_reuse",
        "string, `\"prefer\"`",
        "which data connections must resume a TLS session of their client: \
         `\"require\"`, all; `\"prefer\"`, all after one has done so; `\"off\"`, none can",
        set_session_reuse,
    )
    .flag(SESSION_REUSE),
    Setting::new(
        "tls",
        "strict_eof",
        "boolean, false",
        "treat an upload as incomplete if it ends without the `close_notify` of the client",
        |s, v| v.boolean().map(|b| s.tls.config.strict_eof = b),
    ),
    Setting::new(
        "tls",
        "handshake_timeout",
        "time, 30",
        "how long a handshake may take; it must be greater than 0",
        set_handshake_timeout,
    ),
    Setting::new(
        "handler",
        "banner",
        "string",
        "the greeting; a text of more than 75 characters becomes a reply of two lines",
        |s, v| v.text().map(|t| s.handler.banner = t),
    )
    .flag(BANNER),
    Setting::new(
        "handler",
        "encoding",
        "string, `\"utf-8\"`",
        "the encoding of commands, replies and file names: `\"utf-8\"`, `\"latin-1\"`, \
         `\"cp1251\"`, `\"gbk\"` and others; FEAT lists UTF8 only for `\"utf-8\"`",
        set_encoding,
    )
    .flag(ENCODING),
    Setting::new(
        "handler",
        "unicode_errors",
        "string, `\"replace\"`",
        "what to do with bytes that are invalid in the encoding: `\"replace\"` them, \
         `\"strict\"` (reply 501), or `\"surrogateescape\"` (keep them)",
        set_unicode_errors,
    ),
    Setting::new(
        "handler",
        "timeout",
        "time, 300",
        "how long a client may be silent before it is disconnected; 0 means forever",
        |s, v| v.timeout().map(|t| s.handler.timeout = t),
    )
    .flag(TIMEOUT),
    Setting::new(
        "handler",
        "login_timeout",
        "time, 60",
        "how long a client may take from the connection to its login, with the TLS handshake, \
         delays of replies and the authorizer; then it gets 421; 0 means forever",
        |s, v| v.timeout().map(|t| s.handler.login_timeout = t),
    ),
    Setting::new(
        "dtp",
        "timeout",
        "time, 300",
        "how long a transfer may stall; 0 means forever",
        |s, v| v.timeout().map(|t| s.handler.dtp.timeout = t),
    )
    .flag(TIMEOUT),
    Setting::new(
        "dtp",
        "passive_timeout",
        "time, 30",
        "how long the client may take to connect after PASV or EPSV; 0 means forever",
        |s, v| v.timeout().map(|t| s.handler.passive_dtp.timeout = t),
    ),
    Setting::new(
        "dtp",
        "active_timeout",
        "time, 30",
        "how long the server may take to connect after PORT or EPRT; 0 means forever",
        |s, v| v.timeout().map(|t| s.handler.active_dtp.timeout = t),
    ),
    Setting::new(
        "handler",
        "auth_failed_timeout",
        "time, 3",
        "how long the reply to a wrong password is delayed",
        |s, v| v.time().map(|t| s.handler.auth_failed_timeout = t),
    ),
    Setting::new(
        "handler",
        "use_gmt_times",
        "boolean, true",
        "show times in LIST, MLSD, MLST, MDTM and MFMT in GMT; `false` means local time",
        |s, v| v.boolean().map(|b| s.handler.use_gmt_times = b),
    )
    .flag(LOCALTIME),
    Setting::new(
        "handler",
        "use_sendfile",
        "boolean, true",
        "let the kernel copy the data of binary transfers (`sendfile`, `splice`)",
        |s, v| v.boolean().map(|b| s.handler.use_sendfile = b),
    )
    .flag(NO_SENDFILE),
    Setting::new(
        "handler",
        "upload_lock",
        "boolean, true",
        "lock the file of an upload: a second STOR or APPE to it gets 450; but after 10 s of \
         silence the same user takes over, from the same address",
        |s, v| v.boolean().map(|b| s.handler.upload_lock = b),
    ),
    Setting::new(
        "handler",
        "deny",
        "list of strings, `[]`",
        "patterns of names that no command may use (550), such as `[\"*.php\", \".ht*\"]`",
        |s, v| names(v).map(|names| s.handler.deny = names),
    ),
    Setting::new(
        "handler",
        "hide",
        "list of strings, `[]`",
        "patterns of names that are neither listed nor found, nor made",
        |s, v| names(v).map(|names| s.handler.hide = names),
    ),
    Setting::new(
        "handler",
        "hide_ids",
        "boolean, false",
        "show no owners in listings, and no targets of links that are absolute or lead outside",
        |s, v| v.boolean().map(|b| s.handler.hide_ids = b),
    ),
    Setting::new(
        "handler",
        "max_upload_size",
        "integer, 0",
        "the largest size in bytes that an upload may give a file; beyond it the upload gets 552; 0 \
         means no limit",
        |s, v| {
            v.integer(0..=i64::MAX)
                .map(|n| s.handler.max_upload_size = n)
        },
    ),
    Setting::new(
        "handler",
        "min_free_space",
        "integer, 0",
        "the bytes that must stay free on the disk: an upload that would take them gets 452, and ends up to 64 KiB earlier for each other one in progress",
        |s, v| v.integer(0..=i64::MAX).map(|n| s.handler.min_free_space = n),
    ),
    Setting::new(
        "handler",
        "tcp_no_delay",
        "boolean, true",
        "send replies without delay (`TCP_NODELAY`)",
        |s, v| v.boolean().map(|b| s.handler.tcp_no_delay = b),
    ),
    Setting::new(
        "dtp",
        "ac_in_buffer_size",
        "integer, 65536",
        "the maximum number of bytes to receive at once",
        |s, v| {
            v.integer(1..=MAX_BUFFER)
                .map(|n| s.handler.dtp.ac_in_buffer_size = n)
        },
    ),
    Setting::new(
        "dtp",
        "ac_out_buffer_size",
        "integer, 65536",
        "the maximum number of bytes to send at once",
        |s, v| {
            v.integer(1..=MAX_BUFFER)
                .map(|n| s.handler.dtp.ac_out_buffer_size = n)
        },
    ),
    Setting::new(
        "dtp",
        "read_limit",
        "integer, 0",
        "the maximum number of bytes per second from the client; 0 means no limit",
        |s, v| v.integer(0..=i64::MAX).map(|n| s.throttle.read_limit = n),
    ),
    Setting::new(
        "dtp",
        "write_limit",
        "integer, 0",
        "the maximum number of bytes per second to the client; 0 means no limit",
        |s, v| v.integer(0..=i64::MAX).map(|n| s.throttle.write_limit = n),
    ),
    Setting::new(
        "dtp",
        "auto_sized_buffers",
        "boolean, true",
        "with `read_limit` or `write_limit`: use smaller buffers, so that data flows more evenly",
        |s, v| v.boolean().map(|b| s.throttle.auto_sized_buffers = b),
    ),
    Setting::new(
        "server",
        "max_cons",
        "integer, 512",
        "the maximum number of sockets (control, data, listening); 0 means no limit",
        |s, v| v.integer(0..=MAX_COUNT).map(|n| s.max_cons = n),
    )
    .flag(MAX_CONS),
    Setting::new(
        "server",
        "max_cons_per_ip",
        "integer, 0",
        "the maximum number of control connections from one address; 0 means no limit",
        |s, v| v.integer(0..=MAX_COUNT).map(|n| s.max_cons_per_ip = n),
    )
    .flag(MAX_CONS_PER_IP),
    Setting::new(
        "server",
        "max_cons_per_user",
        "integer, 0",
        "the maximum number of control connections on which one user is logged in; 0 means no \
         limit",
        |s, v| v.integer(0..=MAX_COUNT).map(|n| s.max_cons_per_user = n),
    )
    .flag(MAX_CONS_PER_USER),
    Setting::new(
        "server",
        "ipv6_prefix",
        "integer, 64",
        "how many bits of an IPv6 address stand for one client, for `max_cons_per_ip` and when \
         clients with many connections make room for others",
        |s, v| v.integer(1..=128).map(|n| s.ipv6_prefix = n),
    ),
    Setting::new(
        "handler",
        "max_login_attempts",
        "integer, 3",
        "the number of wrong passwords after which the connection is closed",
        |s, v| {
            v.integer(1..=MAX_COUNT)
                .map(|n| s.handler.max_login_attempts = n)
        },
    )
    .flag(MAX_LOGIN_ATTEMPTS),
    guard::MAX_DELAY,
    guard::FORGET_AFTER,
    guard::BAN_AFTER,
    guard::BAN_TIME,
    guard::CONNECTIONS_PER_MINUTE,
    guard::ALLOW,
    Setting::new(
        "server",
        "concurrency",
        "string, `\"async\"`",
        "what runs the sessions: `\"async\"`, `\"pre-fork\"`, `\"multi-thread\"` or \
         `\"multi-proc\"`",
        set_concurrency,
    )
    .flag(CONCURRENCY),
    Setting::new(
        "server",
        "workers",
        "integer, 0",
        "the number of workers, for `\"pre-fork\"` only; 0 means one per CPU",
        |s, v| v.integer(0..=MAX_WORKERS).map(|n| s.workers = Some(n)),
    )
    .flag(WORKERS),
    process::UMASK,
    process::USER,
    process::GROUP,
    Setting::new(
        "server",
        "drain_timeout",
        "time, 3",
        "how long transfers may continue after the signal that ends the server",
        |s, v| v.time().map(|t| s.drain_timeout = t),
    )
    .flag(DRAIN_TIMEOUT),
];

/// 16 MiB: a larger buffer does not make a transfer faster.
const MAX_BUFFER: i64 = 16 << 20;
const MAX_WORKERS: i64 = 1024;
