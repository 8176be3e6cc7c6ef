//! `[[listen]]`: the sockets of a server that listens on several.

use std::net::Ipv4Addr;

use ftpdlib::{FTPServer, Listen, ListenTls};
use toml::Spanned;
use toml::de::DeValue;

use super::error::ConfigError;
use super::file::ConfigFile;
use super::reader::{Reader, tables};

/// The name of the section that is read here.
pub(super) const LISTEN_SECTION: &str = "listen";

/// A socket to listen on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listener {
    /// The address to listen on; empty means all addresses.
    pub(crate) address: String,
    /// The port to listen on; with 0 the kernel chooses one.
    pub(crate) port: u16,
    /// `None`: as `[tls]` says.
    pub(crate) tls: Option<ListenTls>,
    /// The address in replies to PASV, as the file has it: an address or a host name.
    pub(crate) masquerade: Option<String>,
    /// The same, looked up.
    pub(crate) masquerade_address: Option<Ipv4Addr>,
    /// Where the table is in the file; `None` if it is made from `[server]` and options.
    pub(crate) place: Option<String>,
}

impl Listener {
    /// The socket of a server that listens on one.
    pub(super) fn only(address: &str, port: u16) -> Self {
        Self {
            address: address.to_owned(),
            port,
            ..Self::default()
        }
    }

    /// What the library listens on.
    pub(crate) fn to_listen(&self, backlog: i32) -> Listen {
        let mut listen = Listen::host(&self.address, self.port).backlog(backlog);
        if let Some(tls) = self.tls {
            listen = listen.tls(tls);
        }
        if let Some(address) = self.masquerade_address {
            listen = listen.masquerade_address(address);
        }
        match &self.masquerade {
            Some(name) if name.parse::<Ipv4Addr>().is_err() => listen.masquerade_name(name),
            _ => listen,
        }
    }

    /// What others may call this server: its address, and that in replies to PASV.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let masquerade = self.masquerade.as_deref();
        [self.address.as_str()].into_iter().chain(masquerade)
    }

    pub(super) fn error(&self, key: &str, text: &str) -> ConfigError {
        let place = self.place.as_deref().unwrap_or_default();
        ConfigError(format!("{place}: {LISTEN_SECTION}.{key}: {text}"))
    }
}

/// Reads `[[listen]]`.
pub(super) fn read(
    file: &ConfigFile<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<Listener>, ConfigError> {
    let mut listeners = Vec::new();
    for table in tables(file, LISTEN_SECTION, value)? {
        let known = LISTEN_KEYS.map(|(key, _, _)| key);
        let reader = Reader::new(file, LISTEN_SECTION, table, &known)?;
        let address = reader.optional("address", |value| value.text())?;
        let port = reader.required("port", |value| value.integer(0..=65_535))?;
        listeners.push(Listener {
            address: address.unwrap_or_default(),
            port: port.into_inner(),
            tls: reader.optional("tls", |value| value.one_of(TLS_MODES))?,
            masquerade: reader.optional("masquerade_address", |value| value.name())?,
            masquerade_address: None,
            place: Some(file.place(&table.span())),
        });
    }
    match listeners.len() {
        // The defaults would open a port that nobody has asked for.
        0 => Err(file.error(
            &value.span(),
            LISTEN_SECTION,
            "must have at least one table",
        )),
        1..=MOST => Ok(listeners),
        count => {
            let text = format!("must have at most {MOST} tables (got {count})");
            Err(file.error(&value.span(), LISTEN_SECTION, &text))
        }
    }
}

/// Looks up the addresses in replies to PASV. Waits for the answers.
pub(super) fn resolve_masquerade(listeners: &mut [Listener]) -> Result<(), ConfigError> {
    for listener in listeners {
        let Some(name) = &listener.masquerade else {
            continue;
        };
        match FTPServer::resolve_masquerade_name(name) {
            Ok(address) => listener.masquerade_address = Some(address),
            Err(err) => {
                let text = format!("needs an IPv4 address: {err}");
                return Err(listener.error("masquerade_address", &text));
            }
        }
    }
    Ok(())
}

/// Name, type and default, and meaning of each key, as the manual and the docs show them.
pub(crate) const LISTEN_KEYS: [(&str, &str, &str); 4] = [
    (
        "address",
        "string, `\"\"`",
        "an address to listen on; `\"\"` and `\"::\"` mean all addresses, IPv6 and IPv4",
    ),
    (
        "port",
        "integer, required",
        "its port; with 0 the system chooses one",
    ),
    (
        "tls",
        "string, as `[tls]` says",
        "TLS for clients that connect there: `\"off\"`, `\"explicit\"` (after AUTH) or \
         `\"implicit\"` (from the first byte, as on port 990); it requires `[tls]` unless it is \
         `\"off\"`",
    ),
    (
        "masquerade_address",
        "string, that of `[handler]`",
        "the address in PASV replies to clients that connect there: an IPv4 address, or a host \
         name that is resolved at the start and every 30 seconds",
    ),
];

const TLS_MODES: &[(&str, ListenTls)] = &[
    ("off", ListenTls::Off),
    ("explicit", ListenTls::Explicit),
    ("implicit", ListenTls::Implicit),
];

/// How many sockets the library listens on.
const MOST: usize = 64;
