//! The settings of the program: the configuration file, then the flags.
//!
//! [`table`] has a line for each setting, with its key in the file and its flag;
//! both go through it, so that they have one meaning and one check. Whatever is
//! wrong is told in one line, before anything is opened to the world.

pub(crate) mod accounts;
mod file;
pub(crate) mod flags;
mod self_signed;
pub(crate) mod table;
mod tls;
mod value;

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ftpdlib::FTPConfig;
use ftpdlib::authorizers::{DummyAuthorizer, Perms, UserOptions};
use ftpdlib::handlers::ThrottledDTPHandler;

use crate::cli::{AccountFlags, Flags};
use crate::config::file::Document;
use crate::config::table::SETTINGS;
use crate::config::tls::TlsSettings;
use crate::config::value::Value;

/// All that a server is made from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The address to listen on; empty: all.
    pub(crate) address: String,
    /// The port to listen on; 0: the kernel chooses.
    pub(crate) port: u16,
    /// Connections that may wait to be accepted.
    pub(crate) backlog: i32,
    /// Connections at once; 0: no limit.
    pub(crate) max_cons: usize,
    /// Connections at once from one address; 0: no limit.
    pub(crate) max_cons_per_ip: usize,
    /// Connections at once that one user is logged in on; 0: no limit.
    pub(crate) max_cons_per_user: usize,
    /// Where sessions run.
    pub(crate) concurrency: Concurrency,
    /// Processes of pre-fork; 0: one for each CPU.
    pub(crate) workers: Option<usize>,
    /// How long transfers may go on at the end.
    pub(crate) drain_timeout: Duration,
    /// What sessions need to know.
    pub(crate) handler: FTPConfig,
    /// What is shared, if one account says it all.
    pub(crate) share: Option<Share>,
    /// The fingerprint of the certificate, if it was made for this run.
    pub(crate) fingerprint: Option<String>,
    limits: Limits,
    tls: TlsSettings,
    /// What relative paths are relative to, while the file is read.
    base: PathBuf,
}

/// Where sessions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concurrency {
    Async,
    Threads,
    Processes,
    Prefork,
}

/// One account that was not read from a file, as the user should be told of it.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) username: String,
    pub(crate) directory: PathBuf,
    pub(crate) write: bool,
}

/// How fast data connections may be: the key of `[dtp]` of these names.
#[derive(Debug)]
struct Limits {
    read_limit: u64,
    write_limit: u64,
    auto_sized_buffers: bool,
}

/// Why there is no server to start: a line for the one who wanted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError(String);

impl Settings {
    /// What the file says, what the flags say in its place, and the accounts.
    pub(crate) fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        let mut authorizer = None;
        if let Some(path) = &flags.config {
            let text = file::read(path)?;
            let document = Document::new(path, &text);
            settings.base = document.directory().to_owned();
            let accounts = document.apply(&mut settings)?;
            if !flags.accounts.any() && !accounts.is_empty() {
                authorizer = Some(accounts.register(&document)?);
            }
        }
        settings.tls.make_way(flags);
        settings.apply_flags(flags)?;
        settings.check_workers(flags)?;
        let authorizer = match authorizer {
            Some(authorizer) => authorizer,
            None => settings.share(&flags.accounts)?,
        };
        settings.handler.set_authorizer(authorizer);
        settings.apply_limits();
        settings.apply_tls(flags)?;
        Ok(settings)
    }

    /// One flag may stand for several settings.
    fn apply_flags(&mut self, flags: &Flags) -> Result<(), ConfigError> {
        for (flag, value) in &flags.given {
            for setting in SETTINGS {
                if setting.flag.is_some_and(|own| own.long == flag.long) {
                    let value = match value {
                        Some(text) => Value::Text(text),
                        None => Value::Switch(flag.switch_to),
                    };
                    let result = (setting.set)(self, &value);
                    result.map_err(|text| ConfigError(format!("--{}: {text}", flag.long)))?;
                }
            }
        }
        Ok(())
    }

    /// Workers are of pre-fork only. A flag with another model wins over the workers
    /// of the file.
    fn check_workers(&self, flags: &Flags) -> Result<(), ConfigError> {
        if self.workers.is_none() || self.concurrency == Concurrency::Prefork {
            return Ok(());
        }
        let text = match (flags.gave("workers"), flags.gave("concurrency")) {
            (true, _) => "--workers requires --concurrency pre-fork",
            (false, true) => return Ok(()),
            (false, false) => "server.workers requires server.concurrency = \"pre-fork\"",
        };
        Err(ConfigError(text.to_owned()))
    }

    /// The one account that flags, or the lack of all others, ask for.
    fn share(&mut self, flags: &AccountFlags) -> Result<DummyAuthorizer, ConfigError> {
        let directory = match &flags.directory {
            Some(directory) => directory.clone(),
            None => env::current_dir()
                .map_err(|err| ConfigError(format!("no current directory: {err}")))?,
        };
        let options = UserOptions {
            perm: if flags.write { Perms::ALL } else { Perms::READ },
            ..UserOptions::default()
        };
        let mut authorizer = DummyAuthorizer::new();
        let result = match &flags.user {
            Some((name, password)) => authorizer.add_user_with(name, password, &directory, options),
            None => authorizer.add_anonymous_with(&directory, options),
        };
        result.map_err(|err| ConfigError(format!("--directory: {err}")))?;

        let username = match &flags.user {
            Some((name, _)) => name.clone(),
            None => "anonymous".to_owned(),
        };
        let home = authorizer.user(&username).map(|user| user.home.clone());
        self.share = Some(Share {
            username,
            directory: home.unwrap_or(directory),
            write: flags.write,
        });
        Ok(authorizer)
    }

    /// Only data connections with limits pay for them: they cannot use `sendfile`.
    fn apply_limits(&mut self) {
        let Limits {
            read_limit,
            write_limit,
            auto_sized_buffers,
        } = self.limits;
        if read_limit > 0 || write_limit > 0 {
            self.handler.set_dtp_handler(move || {
                ThrottledDTPHandler::new()
                    .read_limit(read_limit)
                    .write_limit(write_limit)
                    .auto_sized_buffers(auto_sized_buffers)
            });
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 2121,
            backlog: 100,
            max_cons: 512,
            max_cons_per_ip: 0,
            max_cons_per_user: 0,
            concurrency: Concurrency::Async,
            workers: None,
            drain_timeout: Duration::from_secs(3),
            handler: FTPConfig::default(),
            share: None,
            fingerprint: None,
            limits: Limits {
                read_limit: 0,
                write_limit: 0,
                auto_sized_buffers: true,
            },
            tls: TlsSettings::default(),
            base: PathBuf::new(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
