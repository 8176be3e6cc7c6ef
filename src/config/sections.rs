//! The sections of the file: which there are, and who reads each.

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::accounts::{ACCOUNT_SECTIONS, Accounts};
use super::error::ConfigError;
use super::file::{ConfigFile, in_order};
use super::settings::Settings;
use super::table::SETTINGS;
use super::value::Value;
use super::words::hint;

/// Applies all sections but those of accounts, which are returned.
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
            _ if SETTINGS.iter().any(|setting| setting.section == section) => {
                apply_section(file, section, value, settings)?;
                if section == "tls" {
                    let text = "this key is missing";
                    settings.tls.section = Some(file.error(&name.span(), "tls.certfile", text));
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
    for (key, value) in in_order(file.table(section, value)?) {
        let found = SETTINGS
            .iter()
            .find(|setting| setting.section == section && setting.key == key.get_ref());
        let Some(setting) = found else {
            return Err(unknown_key(file, section, key));
        };
        (setting.set)(settings, &Value::Toml(value.get_ref())).map_err(|text| {
            let name = format!("{section}.{}", setting.key);
            file.error(&value.span(), &name, &text)
        })?;
    }
    Ok(())
}

/// An unknown key of a section, with what may have been meant.
fn unknown_key(file: &ConfigFile<'_>, section: &str, key: &Spanned<DeString<'_>>) -> ConfigError {
    let ours = SETTINGS.iter().filter(|setting| setting.section == section);
    let hint = hint(key.get_ref(), ours.map(|setting| setting.key));
    let hint = hint
        .or_else(|| belongs_to(key.get_ref()))
        .unwrap_or_default();
    let name = format!("{section}.{}", key.get_ref());
    file.error(&key.span(), &name, &format!("unknown key{hint}"))
}

fn unknown_section(file: &ConfigFile<'_>, name: &Spanned<DeString<'_>>) -> ConfigError {
    let sections = SETTINGS.iter().map(|setting| setting.section);
    let hint = hint(name.get_ref(), sections.chain(ACCOUNT_SECTIONS))
        .or_else(|| belongs_to(name.get_ref()))
        .unwrap_or_default();
    file.error(
        &name.span(),
        name.get_ref(),
        &format!("unknown section{hint}"),
    )
}

/// For a key in the wrong section, or in none.
fn belongs_to(key: &str) -> Option<String> {
    let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
    Some(format!("; '{key}' belongs to [{}]", setting.section))
}
