//! Which sections the file may have, and what reads each of them: the
//! [table](super::table), the [accounts](super::accounts) or the [listeners](super::listener).

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::accounts::{ACCOUNT_SECTIONS, Accounts};
use super::error::{ConfigError, Origin};
use super::file::{ConfigFile, in_order};
use super::listener::{self, LISTEN_SECTION};
use super::settings::Settings;
use super::table::SETTINGS;
use super::value::Value;
use super::words::hint;

/// Applies the sections of the table to `settings`, and returns the accounts.
pub(super) fn apply(
    file: &ConfigFile<'_>,
    settings: &mut Settings,
) -> Result<Accounts, ConfigError> {
    let root = file.root()?;
    let mut accounts = Accounts::new(file.directory());
    for (name, value) in in_order(root.get_ref()) {
        let section = name.get_ref().as_ref();
        match section {
            "users" => accounts.read_users(file, value)?,
            "anonymous" => accounts.read_anonymous(file, value)?,
            LISTEN_SECTION => settings.listeners = listener::read(file, value)?,
            _ if SETTINGS.iter().any(|setting| setting.section == section) => {
                apply_section(file, section, value, settings)?;
                if section == "tls" {
                    settings.tls.section = Some(Origin::Line {
                        place: file.place(&name.span()),
                        section: "tls",
                        key: "certfile",
                    });
                }
            }
            _ => return Err(unknown_section(file, name)),
        }
    }
    Ok(accounts)
}

fn apply_section(
    file: &ConfigFile<'_>,
    section: &str,
    value: &Spanned<DeValue<'_>>,
    settings: &mut Settings,
) -> Result<(), ConfigError> {
    let table = file.table(section, &format!("[{section}]"), value)?;
    for (key, value) in in_order(table) {
        let found = SETTINGS
            .iter()
            .find(|setting| setting.section == section && setting.key == key.get_ref());
        let Some(setting) = found else {
            return Err(unknown_key(file, section, key));
        };
        (setting.set)(settings, &Value::Toml(value.get_ref())).map_err(|err| {
            let at = err.at.clone().unwrap_or_else(|| value.span());
            let name = format!("{section}.{}", setting.key);
            file.error(&at, &name, &err.text)
        })?;
        let origin = Origin::Line {
            place: file.place(&value.span()),
            section: setting.section,
            key: setting.key,
        };
        settings
            .origins
            .insert((setting.section, setting.key), origin);
    }
    Ok(())
}

/// The error for an unknown key: it names what may have been meant, or all keys.
fn unknown_key(file: &ConfigFile<'_>, section: &str, key: &Spanned<DeString<'_>>) -> ConfigError {
    let settings = SETTINGS.iter().filter(|setting| setting.section == section);
    let known: Vec<_> = settings.map(|setting| setting.key).collect();
    let advice = hint(key.get_ref(), known.iter().copied())
        .or_else(|| section_of(key.get_ref()))
        .unwrap_or_else(|| format!("; [{section}] has {}", known.join(", ")));
    let name = format!("{section}.{}", key.get_ref());
    file.error(&key.span(), &name, &format!("unknown key{advice}"))
}

/// The error for an unknown section: it names what may have been meant, or all sections.
fn unknown_section(file: &ConfigFile<'_>, name: &Spanned<DeString<'_>>) -> ConfigError {
    let mut known: Vec<&str> = SETTINGS.iter().map(|setting| setting.section).collect();
    known.extend(ACCOUNT_SECTIONS);
    known.push(LISTEN_SECTION);
    let advice = hint(name.get_ref(), known.iter().copied())
        .or_else(|| section_of(name.get_ref()))
        .unwrap_or_else(|| {
            known.sort_unstable();
            known.dedup();
            format!("; there are {}", known.join(", "))
        });
    file.error(
        &name.span(),
        name.get_ref(),
        &format!("unknown section{advice}"),
    )
}

/// Where a key belongs that is in the wrong section, or in none, or that is the name
/// of an option.
fn section_of(key: &str) -> Option<String> {
    let of_key = SETTINGS.iter().find(|setting| setting.key == key);
    if let Some(setting) = of_key {
        return Some(format!("; '{key}' belongs to [{}]", setting.section));
    }
    let long = key.replace('_', "-");
    let of_option = SETTINGS
        .iter()
        .find(|setting| setting.flag.is_some_and(|flag| flag.long == long));
    let setting = of_option?;
    let (section, key) = (setting.section, setting.key);
    Some(format!("; the key of --{long} is '{key}' in [{section}]"))
}
