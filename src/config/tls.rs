//! FTPS: what `[tls]` and the options say about it together.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ftpdlib::ClientAuth;

use super::error::{ConfigError, Origin};
use super::flags::{Flags, TLS};
use super::listener::Listener;
use super::self_signed;
use super::settings::{Settings, TlsSettings};

/// Drops the certificate of the file, and its key, if an option gives another one.
pub(super) fn drop_replaced_certificate(tls: &mut TlsSettings, flags: &Flags) {
    if flags.gave("certfile") || flags.gave("tls-self-signed") {
        tls.config.certfile = None;
        tls.config.keyfile = None;
        tls.self_signed = false;
    }
}

/// Turns FTPS on if the file or an option asks for it.
pub(super) fn apply(settings: &mut Settings, flags: &Flags) -> Result<(), ConfigError> {
    if !is_wanted(&settings.tls, flags)? {
        return Ok(());
    }
    check_certificate(settings)?;
    check_client_ca(settings)?;
    warn_about_keys(settings);
    let mut config = settings.tls.config.clone();
    if settings.tls.self_signed {
        let nat = settings.handler.masquerade_address.as_deref();
        let of_listeners = settings.listeners.iter().flat_map(Listener::names);
        let names: Vec<_> = of_listeners.chain(nat).collect();
        let (made, fingerprint) = self_signed::make(&names).map_err(ConfigError)?;
        config.certified_key = made.certified_key;
        settings.fingerprint = Some(fingerprint);
    }
    settings.handler.tls = Some(config);
    Ok(())
}

/// Whether FTPS is on. An option about TLS has to be an error where FTPS is off: its
/// user would otherwise believe that connections are encrypted.
fn is_wanted(tls: &TlsSettings, flags: &Flags) -> Result<bool, ConfigError> {
    let gave_files = flags.gave("keyfile") || flags.gave("certfile");
    if gave_files && !flags.tls && !flags.gave("tls-self-signed") {
        let text = "--keyfile and --certfile require --tls";
        return Err(ConfigError(text.to_owned()));
    }
    if flags.tls || flags.gave("tls-self-signed") || tls.section.is_some() {
        return Ok(true);
    }
    match flags.given.iter().find(|(flag, _)| flag.group == TLS) {
        Some((flag, _)) => Err(ConfigError(format!("--{} requires --tls", flag.long))),
        None => Ok(false),
    }
}

/// There is exactly one main certificate: that of `certfile`, or a self-signed one.
fn check_certificate(settings: &Settings) -> Result<(), ConfigError> {
    let tls = &settings.tls;
    let origin = |key| settings.origin("tls", key);
    match (origin("self_signed"), origin("certfile"), origin("keyfile")) {
        (Some(self_signed), Some(certfile), _)
            if tls.self_signed && tls.config.certfile.is_some() =>
        {
            let text = format!("excludes {}; use only one of them", certfile.name());
            Err(self_signed.error(&text))
        }
        (Some(self_signed), _, Some(keyfile))
            if tls.self_signed && tls.config.keyfile.is_some() =>
        {
            let text = format!(
                "excludes {}; a self-signed certificate is made with its own key",
                keyfile.name()
            );
            Err(self_signed.error(&text))
        }
        _ if tls.self_signed || tls.config.certfile.is_some() => Ok(()),
        _ => Err(match &tls.section {
            Some(section) => section.error("this key is missing (or set self_signed = true)"),
            None => {
                let text = "--tls requires --certfile (or use --tls-self-signed)";
                ConfigError(text.to_owned())
            }
        }),
    }
}

/// Warns of private keys that all users of the machine can read. (A group may be meant to: that
/// of the programs that use a certificate.)
fn warn_about_keys(settings: &mut Settings) {
    let config = &settings.tls.config;
    let main = config.keyfile.as_ref().or(config.certfile.as_ref());
    let others = config.certificates.iter();
    let others = others.map(|files| files.keyfile.as_ref().unwrap_or(&files.certfile));
    let is_open = |path: &&PathBuf| {
        let data = fs::metadata(path);
        data.is_ok_and(|data| data.is_file() && data.mode() & 0o004 != 0)
    };
    let open = main.into_iter().chain(others).filter(is_open);
    let warnings = open.map(|path| {
        format!(
            "{} has a private key, and all users of this machine can read it; run chmod 600",
            path.display()
        )
    });
    settings.warnings.extend(warnings);
}

/// Checks that client certificates are asked for exactly where there are authorities
/// to check them against.
fn check_client_ca(settings: &Settings) -> Result<(), ConfigError> {
    let config = &settings.tls.config;
    let (key, by_option, in_file) = match (config.client_auth, &config.client_ca) {
        (ClientAuth::Off, Some(_)) => (
            "client_ca",
            "requires --tls-client-auth optional or required",
            "requires client_auth = \"optional\" or \"required\"",
        ),
        (ClientAuth::Optional | ClientAuth::Required, None) => (
            "client_auth",
            "requires --tls-client-ca, the authorities of the certificates",
            "requires client_ca, the authorities of the certificates",
        ),
        _ => return Ok(()),
    };
    match settings.origin("tls", key) {
        Some(origin @ Origin::Option(_)) => Err(origin.error(by_option)),
        Some(origin @ Origin::Line { .. }) => Err(origin.error(in_file)),
        None => Ok(()),
    }
}
