//! Loads the settings of a run: those of the file, then those of the command line.

use std::env;

use ftpdlib::authorizers::{DummyAuthorizer, Perms, UserOptions};
use ftpdlib::handlers::ThrottledDTPHandler;
use ftpdlib::strerror;

use super::error::{ConfigError, Origin};
use super::file::{self, ConfigFile};
use super::flags::Flags;
use super::listen;
use super::password::ANONYMOUS;
use super::root::shares_root_unasked;
use super::sections;
use super::settings::{Concurrency, Settings, Share, Throttle};
use super::table::SETTINGS;
use super::tls;
use super::user;
use super::value::Value;

/// Loads the file, applies the flags over it, and registers the accounts.
///
/// # Errors
/// One line about the first mistake.
pub(crate) fn load(flags: &Flags) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    let mut authorizer = None;
    let mut no_accounts = None;
    if let Some(path) = &flags.config {
        let (text, is_open_to_others) = file::read(path)?;
        let file = ConfigFile::new(path, &text);
        settings.base = file.directory().to_owned();
        let accounts = sections::apply(&file, &mut settings)?;
        if is_open_to_others && accounts.has_passwords() {
            settings.warnings.push(format!(
                "{} has passwords, and other users of this machine can read it; run chmod 600",
                path.display()
            ));
        }
        if !flags.accounts.stand_for_account() {
            settings.accounts = accounts.summary(path);
            no_accounts = match flags.accounts.write {
                _ if accounts.is_empty() => Some(file.no_accounts()),
                true => Some(ConfigError(
                    "--write: with --config it needs --directory or --username".to_owned(),
                )),
                false => None,
            };
            settings.homes = accounts.homes();
            authorizer = Some(accounts.register(&file)?);
        }
    }
    tls::drop_replaced_certificate(&mut settings.tls, flags);
    apply_flags(&mut settings, flags)?;
    check_workers(&settings)?;
    listen::apply(&mut settings)?;
    let authorizer = match authorizer {
        Some(authorizer) => authorizer,
        None => share(&mut settings, flags)?,
    };
    settings.handler.set_authorizer(authorizer);
    apply_throttle(&mut settings);
    tls::apply(&mut settings, flags)?;
    listen::check_tls(&settings)?;
    user::apply(&mut settings)?;
    // The last error: a wrong line of the file is named first.
    no_accounts.map_or(Ok(settings), Err)
}

/// Applies the flags. One flag may set several settings.
fn apply_flags(settings: &mut Settings, flags: &Flags) -> Result<(), ConfigError> {
    for (flag, value) in &flags.given {
        for setting in SETTINGS {
            if setting.flag.is_none_or(|own| own.long != flag.long) {
                continue;
            }
            let value = match value {
                Some(text) => Value::Text(text),
                None => Value::Switch(flag.switch_to),
            };
            let result = (setting.set)(settings, &value);
            result.map_err(|err| ConfigError(format!("--{}: {}", flag.long, err.text)))?;
            let origin = Origin::Option(flag.long);
            settings
                .origins
                .insert((setting.section, setting.key), origin);
        }
    }
    Ok(())
}

/// Checks that workers are set for pre-fork only. A flag that chooses another model
/// wins over the workers of the file.
fn check_workers(settings: &Settings) -> Result<(), ConfigError> {
    let Some(workers) = settings.origin("server", "workers") else {
        return Ok(());
    };
    let concurrency = settings.origin("server", "concurrency");
    match (workers, concurrency) {
        _ if settings.concurrency == Concurrency::Prefork => Ok(()),
        (Origin::Option(_), _) => Err(workers.error("requires --concurrency pre-fork")),
        (Origin::Line { .. }, Some(Origin::Option(_))) => Ok(()),
        (Origin::Line { .. }, _) => {
            Err(workers.error("requires concurrency = \"pre-fork\" in [server]"))
        }
    }
}

/// An authorizer with the one account that the flags ask for; without flags it is
/// anonymous, who reads the current directory.
fn share(settings: &mut Settings, flags: &Flags) -> Result<DummyAuthorizer, ConfigError> {
    settings.accounts = share_summary(flags);
    let has_file = flags.config.is_some();
    let flags = &flags.accounts;
    let directory = match &flags.directory {
        Some(directory) => directory.clone(),
        None => env::current_dir().map_err(|err| {
            let reason = strerror(&err);
            ConfigError(format!(
                "cannot share the current directory: {reason}; choose one with --directory"
            ))
        })?,
    };
    let options = UserOptions {
        perm: if flags.write { Perms::ALL } else { Perms::READ },
        ..UserOptions::default()
    };
    let authorizer = DummyAuthorizer::new();
    let result = match &flags.user {
        Some((name, password)) => authorizer.add_user_with(name, password, &directory, options),
        None => authorizer.add_anonymous_with(&directory, options),
    };
    result.map_err(|err| ConfigError(format!("--directory: {err}")))?;

    let username = match &flags.user {
        Some((name, _)) => name.clone(),
        None => ANONYMOUS.to_owned(),
    };
    let home = authorizer.user(&username).map(|user| user.home.clone());
    let home = home.unwrap_or_else(|| directory.clone());
    if shares_root_unasked(&home, flags.directory.as_deref()) {
        if has_file {
            return Err(ConfigError(
                "--directory: it would be /; share all files with -d /, or choose another one"
                    .to_owned(),
            ));
        }
        settings.warnings.push(
            "/ is shared, and with it all files that this process can read; choose a directory \
             with -d"
                .to_owned(),
        );
    }
    settings.homes = vec![(username.clone(), home.clone())];
    settings.share = Some(Share {
        username,
        directory: home,
        write: flags.write,
    });
    Ok(authorizer)
}

/// The line of the log about the account of the command line.
fn share_summary(flags: &Flags) -> String {
    let name = flags.accounts.user.as_ref().map(|(name, _)| name.as_str());
    let source = match (&flags.config, flags.accounts.any()) {
        (_, false) => "by default".to_owned(),
        (None, true) => "from the command line".to_owned(),
        (Some(path), true) => format!(
            "from the command line, which replaces those of {}",
            path.display()
        ),
    };
    format!("accounts: 1 ({}), {source}", name.unwrap_or(ANONYMOUS))
}

/// Installs the throttled handler only if there is a limit: it cannot use `sendfile`.
fn apply_throttle(settings: &mut Settings) {
    let Throttle {
        read_limit,
        write_limit,
        auto_sized_buffers,
    } = settings.throttle;
    if read_limit > 0 || write_limit > 0 {
        settings.handler.set_dtp_handler(move || {
            ThrottledDTPHandler::new()
                .read_limit(read_limit)
                .write_limit(write_limit)
                .auto_sized_buffers(auto_sized_buffers)
        });
    }
}
