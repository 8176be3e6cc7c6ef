//! What a setting is, and the checks of the settings that are more than a number, a
//! text or a switch.

use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::proto::network::{InvalidNetwork, Network};
use ftpdlib::{ClientAuth, SessionReuse, TlsVersion};

use super::flags::Flag;
use super::settings::{Concurrency, Settings};
use super::value::{Value, ValueError};

/// A setting: its key in the file, its option if it has one, and what it does.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    /// The type and the default, as the manual and the docs show them.
    pub(crate) kind: &'static str,
    /// What the setting does, as the manual and the docs say it.
    pub(crate) help: &'static str,
    /// The option of the command line that sets it.
    pub(crate) flag: Option<Flag>,
    /// Checks a value and applies it. The error does not name the setting.
    pub(crate) set: fn(&mut Settings, &Value<'_>) -> Result<(), ValueError>,
}

impl Setting {
    pub(super) const fn new(
        section: &'static str,
        key: &'static str,
        kind: &'static str,
        help: &'static str,
        set: fn(&mut Settings, &Value<'_>) -> Result<(), ValueError>,
    ) -> Self {
        let flag = None;
        Self {
            section,
            key,
            kind,
            help,
            flag,
            set,
        }
    }

    pub(super) const fn flag(mut self, flag: Flag) -> Self {
        self.flag = Some(flag);
        self
    }
}

/// `[handler]`, `encoding`.
pub(super) fn set_encoding(settings: &mut Settings, value: &Value<'_>) -> Result<(), ValueError> {
    let name = value.text()?;
    settings.handler.encoding = Encoding::by_name(&name).ok_or_else(|| {
        format!("unknown encoding: '{name}'; examples are utf-8, latin-1, cp1251, gbk")
    })?;
    Ok(())
}

/// `[handler]`, `unicode_errors`.
pub(super) fn set_unicode_errors(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    let name = value.text()?;
    settings.handler.unicode_errors = UnicodeErrors::by_name(&name)
        .ok_or_else(|| format!("must be 'replace', 'strict' or 'surrogateescape', not '{name}'"))?;
    Ok(())
}

/// `[server]`, `concurrency`.
pub(super) fn set_concurrency(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    settings.concurrency = match value.text()?.as_str() {
        "async" => Concurrency::Async,
        "multi-thread" => Concurrency::Threads,
        "multi-proc" => Concurrency::Processes,
        "pre-fork" => Concurrency::Prefork,
        name => {
            return Err(format!(
                "invalid concurrency '{name}'; choose between: \
                 'async', 'multi-thread', 'multi-proc', 'pre-fork'"
            )
            .into());
        }
    };
    Ok(())
}

/// `[server]`, `umask`.
pub(super) fn set_umask(settings: &mut Settings, value: &Value<'_>) -> Result<(), ValueError> {
    let text = value.text()?;
    let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mask = u32::from_str_radix(&text, 8).ok();
    let mask = mask.filter(|mask| is_octal && *mask <= 0o777);
    settings.umask = Some(mask.ok_or_else(|| {
        format!("must be an octal number up to \"777\" such as \"027\", not '{text}'")
    })?);
    Ok(())
}

/// `[handler]`, `passive_ports`.
pub(super) fn set_passive_ports(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    // With an empty list the kernel chooses, as without a list.
    let ports = value.ports()?;
    settings.handler.passive_ports = Some(ports).filter(|ports| !ports.is_empty());
    Ok(())
}

/// `[tls]`, `min_version`.
pub(super) fn set_min_version(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    settings.tls.config.min_version =
        value.one_of(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)])?;
    Ok(())
}

/// `[tls]`, `client_auth`.
pub(super) fn set_client_auth(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    settings.tls.config.client_auth = value.one_of(&[
        ("off", ClientAuth::Off),
        ("optional", ClientAuth::Optional),
        ("required", ClientAuth::Required),
    ])?;
    Ok(())
}

/// `[tls]`, `session_reuse`.
pub(super) fn set_session_reuse(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    settings.tls.config.session_reuse = value.one_of(&[
        ("off", SessionReuse::Off),
        ("prefer", SessionReuse::Prefer),
        ("require", SessionReuse::Require),
    ])?;
    Ok(())
}

/// A list of patterns of names.
pub(super) fn names(value: &Value<'_>) -> Result<Vec<String>, ValueError> {
    value.list("pattern", |text| match text {
        "" => Err("must not have an empty pattern".to_owned()),
        text if text.contains('/') => Err(format!(
            "'{text}' is not the pattern of a name; write it without '/'"
        )),
        text => Ok(text.to_owned()),
    })
}

/// A list of networks.
pub(super) fn networks(value: &Value<'_>) -> Result<Vec<Network>, ValueError> {
    value.list("network", |text| {
        text.parse().map_err(|err: InvalidNetwork| err.to_string())
    })
}

/// `[tls]`, `handshake_timeout`: a handshake may not take forever.
pub(super) fn set_handshake_timeout(
    settings: &mut Settings,
    value: &Value<'_>,
) -> Result<(), ValueError> {
    settings.tls.config.handshake_timeout = value.time_above_0()?;
    Ok(())
}

pub(super) const MAX_COUNT: i64 = i32::MAX as i64;
