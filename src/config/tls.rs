//! FTPS: what `[tls]` and the flags say of it together.

use super::error::ConfigError;
use super::flags::{Flags, TLS};
use super::self_signed;
use super::settings::{Settings, TlsSettings};

/// Drops the file's certificate, with its key, if flags bring another.
pub(super) fn make_way(tls: &mut TlsSettings, flags: &Flags) {
    if flags.gave("certfile") || flags.gave("tls-self-signed") {
        tls.config.certfile = None;
        tls.config.keyfile = None;
        tls.self_signed = false;
    }
}

/// Whether there is FTPS at all, and a certificate for it.
fn check(tls: &TlsSettings, flags: &Flags) -> Result<bool, ConfigError> {
    let wrong = |text: &str| Err(ConfigError(text.to_owned()));
    if !flags.tls && (flags.gave("keyfile") || flags.gave("certfile")) {
        return wrong("--keyfile and --certfile require --tls");
    }
    let by_flag = flags.tls || flags.gave("tls-self-signed");
    if !by_flag && tls.section.is_none() {
        // What would be left undone is told: somebody relies on it.
        return match flags.given.iter().find(|(flag, _)| flag.group == TLS) {
            Some((flag, _)) => Err(ConfigError(format!("--{} requires --tls", flag.long))),
            None => Ok(false),
        };
    }
    match (&tls.config.certfile, tls.self_signed) {
        (Some(_), true) => wrong("a certfile and a self-signed certificate exclude each other"),
        (None, true) if tls.config.keyfile.is_some() => {
            wrong("a self-signed certificate has a key of its own: there is no keyfile")
        }
        (Some(_), false) | (None, true) => Ok(true),
        (None, false) => match &tls.section {
            Some(incomplete) => Err(incomplete.clone()),
            None => wrong("--tls requires --certfile (or use --tls-self-signed)"),
        },
    }
}

/// FTPS, if it is wanted.
pub(super) fn apply(settings: &mut Settings, flags: &Flags) -> Result<(), ConfigError> {
    if !check(&settings.tls, flags)? {
        return Ok(());
    }
    let mut config = settings.tls.config.clone();
    if settings.tls.self_signed {
        let nat = settings.handler.masquerade_address.as_deref();
        let names = [&settings.address, nat.unwrap_or_default()];
        let (made, fingerprint) = self_signed::make(&names).map_err(ConfigError)?;
        config.certified_key = made.certified_key;
        settings.fingerprint = Some(fingerprint);
    }
    settings.handler.tls = Some(config);
    Ok(())
}
