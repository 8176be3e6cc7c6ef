//! FTPS: what `[tls]` and the flags say of it together.

use std::path::Path;

use ftpdlib::{CertFiles, TlsConfig};
use toml::de::DeValue;

use super::flags::TLS;
use super::value::Value;
use super::{ConfigError, Settings, self_signed};
use crate::cli::Flags;

/// What the table of settings fills in.
#[derive(Debug, Default)]
pub(crate) struct TlsSettings {
    /// All but the certificate that is made for this run.
    pub(super) config: TlsConfig,
    /// Whether to make one.
    pub(super) self_signed: bool,
    /// The file has `[tls]`: what to say if it names no certificate.
    section: Option<ConfigError>,
}

impl TlsSettings {
    /// The file has the section; `incomplete` is for want of a certificate.
    pub(super) fn section(&mut self, incomplete: ConfigError) {
        self.section = Some(incomplete);
    }

    /// Drops the file's certificate, with its key, if flags bring another.
    pub(super) fn make_way(&mut self, flags: &Flags) {
        if flags.gave("certfile") || flags.gave("tls-self-signed") {
            self.config.certfile = None;
            self.config.keyfile = None;
            self.self_signed = false;
        }
    }

    /// Whether there is FTPS at all, and a certificate for it.
    fn check(&self, flags: &Flags) -> Result<bool, ConfigError> {
        let wrong = |text: &str| Err(ConfigError(text.to_owned()));
        if !flags.tls && (flags.gave("keyfile") || flags.gave("certfile")) {
            return wrong("--keyfile and --certfile require --tls");
        }
        let by_flag = flags.tls || flags.gave("tls-self-signed");
        if !by_flag && self.section.is_none() {
            // What would be left undone is told: somebody relies on it.
            return match flags.given.iter().find(|(flag, _)| flag.group == TLS) {
                Some((flag, _)) => Err(ConfigError(format!("--{} requires --tls", flag.long))),
                None => Ok(false),
            };
        }
        match (&self.config.certfile, self.self_signed) {
            (Some(_), true) => wrong("a certfile and a self-signed certificate exclude each other"),
            (None, true) if self.config.keyfile.is_some() => {
                wrong("a self-signed certificate has a key of its own: there is no keyfile")
            }
            (Some(_), false) | (None, true) => Ok(true),
            (None, false) => match &self.section {
                Some(incomplete) => Err(incomplete.clone()),
                None => wrong("--tls requires --certfile (or use --tls-self-signed)"),
            },
        }
    }
}

impl Settings {
    /// FTPS, if it is wanted.
    pub(super) fn apply_tls(&mut self, flags: &Flags) -> Result<(), ConfigError> {
        if !self.tls.check(flags)? {
            return Ok(());
        }
        let mut config = self.tls.config.clone();
        if self.tls.self_signed {
            let nat = self.handler.masquerade_address.as_deref();
            let names = [&self.address, nat.unwrap_or_default()];
            let (made, fingerprint) = self_signed::make(&names).map_err(ConfigError)?;
            config.certified_key = made.certified_key;
            self.fingerprint = Some(fingerprint);
        }
        self.handler.tls = Some(config);
        Ok(())
    }
}

impl Value<'_> {
    /// The files of certificates: `[[tls.certificates]]`.
    pub(super) fn cert_files(&self, base: &Path) -> Result<Vec<CertFiles>, String> {
        let Self::Toml(DeValue::Array(list)) = self else {
            return Err("must be a list of tables: [[tls.certificates]]".to_owned());
        };
        let mut files = Vec::with_capacity(list.len());
        for item in list.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                let item = Value::Toml(item.get_ref());
                return Err(format!("each certificate {}", item.must_be("a table")));
            };
            let path = |key| {
                let value = table.get(key).map(|value| Value::Toml(value.get_ref()));
                let path = value.map(|value| value.path(base)).transpose();
                path.map_err(|text| format!("{key} {text}"))
            };
            let known = ["certfile", "keyfile"];
            if let Some(key) = table
                .keys()
                .find(|key| !known.contains(&key.get_ref().as_ref()))
            {
                return Err(format!("unknown key '{}'", key.get_ref()));
            }
            files.push(CertFiles {
                certfile: path("certfile")?.ok_or("each certificate has a certfile")?,
                keyfile: path("keyfile")?,
            });
        }
        Ok(files)
    }
}
