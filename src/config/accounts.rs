//! The accounts of the configuration file: `[[users]]` and `[anonymous]`.
//!
//! They are read, whatever the flags say, so that a wrong file is always told;
//! they are registered, and homes looked for, only if no flag replaces them.

use std::path::{Path, PathBuf};

use ftpdlib::AuthorizerError;
use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perms, UserOptions};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::file::{ConfigFile, in_order};
use super::value::Value;
use super::words::hint;

/// The names of the sections that are read here.
pub(super) const ACCOUNT_SECTIONS: [&str; 2] = ["users", "anonymous"];

/// The accounts of a file, in its order.
#[derive(Debug)]
pub(super) struct Accounts {
    /// What relative paths are relative to.
    base: PathBuf,
    list: Vec<Account>,
    /// Whether the file speaks of accounts at all.
    any: bool,
}

/// An account whose types are right, and the places of what may still be wrong.
#[derive(Debug)]
struct Account {
    section: &'static str,
    name: Spanned<String>,
    password: String,
    home: Spanned<PathBuf>,
    options: UserOptions,
    overrides: Vec<OverridePerm>,
}

#[derive(Debug)]
struct OverridePerm {
    path: Spanned<PathBuf>,
    perm: Perms,
    recursive: bool,
}

impl Accounts {
    pub(super) fn new(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            list: Vec::new(),
            any: false,
        }
    }

    /// Whether the file has no section of accounts. An empty list of users is
    /// one: it lets nobody in, rather than everybody.
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    pub(super) fn read_users(
        &mut self,
        file: &ConfigFile<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        self.any = true;
        for table in tables(file, "users", value)? {
            let reader = Reader::new(file, "users", table, USER_KEYS)?;
            let name = reader.need("name", |value| match value.text()? {
                name if name.is_empty() => Err("must not be empty".to_owned()),
                name => Ok(name),
            })?;
            let password = reader.need("password", |value| value.text())?.into_inner();
            let account = self.read(&reader, name, password)?;
            self.list.push(account);
        }
        Ok(())
    }

    pub(super) fn read_anonymous(
        &mut self,
        file: &ConfigFile<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        self.any = true;
        // An array of tables would be no table: it is told so.
        file.table("anonymous", value)?;
        let reader = Reader::new(file, "anonymous", value, ANONYMOUS_KEYS)?;
        let name = Spanned::new(value.span(), "anonymous".to_owned());
        let account = self.read(&reader, name, String::new())?;
        self.list.push(account);
        Ok(())
    }

    /// What the two have in common.
    fn read(
        &self,
        reader: &Reader<'_>,
        name: Spanned<String>,
        password: String,
    ) -> Result<Account, ConfigError> {
        let home = reader.need("home", |value| {
            value.text().map(|home| self.base.join(home))
        })?;
        let stock = UserOptions::default();
        let perm = reader.get("perm", perms)?.unwrap_or(stock.perm);
        let text = |key| reader.get(key, |value| value.text());
        let msg_login = text("msg_login")?.unwrap_or(stock.msg_login);
        let msg_quit = text("msg_quit")?.unwrap_or(stock.msg_quit);
        Ok(Account {
            section: reader.name,
            name,
            password,
            options: UserOptions {
                perm,
                msg_login,
                msg_quit,
            },
            overrides: read_overrides(reader, home.get_ref())?,
            home,
        })
    }

    /// The authorizer of these accounts.
    pub(super) fn register(self, file: &ConfigFile<'_>) -> Result<DummyAuthorizer, ConfigError> {
        let mut authorizer = DummyAuthorizer::new();
        for account in self.list {
            account.register(file, &mut authorizer)?;
        }
        Ok(authorizer)
    }
}

impl Account {
    fn register(
        self,
        file: &ConfigFile<'_>,
        authorizer: &mut DummyAuthorizer,
    ) -> Result<(), ConfigError> {
        let name = self.name.get_ref().as_str();
        // The name can be wrong in one way, the home in another: the key tells.
        let (key, at) = match authorizer.has_user(name) {
            true => ("name", self.name.span()),
            false => ("home", self.home.span()),
        };
        authorizer
            .add_user_with(name, self.password, self.home.get_ref(), self.options)
            .map_err(|err| file.wrong(&at, self.section, key, &err))?;
        for over in self.overrides {
            authorizer
                .override_perm(name, over.path.get_ref(), over.perm, over.recursive)
                .map_err(|err| {
                    file.wrong(&over.path.span(), self.section, "override_perm.path", &err)
                })?;
        }
        Ok(())
    }
}

impl ConfigFile<'_> {
    fn wrong(
        &self,
        at: &std::ops::Range<usize>,
        section: &str,
        key: &str,
        err: &AuthorizerError,
    ) -> ConfigError {
        self.error(at, &format!("{section}.{key}"), &err.to_string())
    }
}

/// Reads a table by its keys.
struct Reader<'a> {
    file: &'a ConfigFile<'a>,
    name: &'static str,
    at: std::ops::Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Reader<'a> {
    /// Of a table that has no other keys than the known ones.
    fn new(
        file: &'a ConfigFile<'a>,
        name: &'static str,
        value: &'a Spanned<DeValue<'a>>,
        known: &[&'static str],
    ) -> Result<Self, ConfigError> {
        let table = file.table(name, value)?;
        for (key, _) in in_order(table) {
            if !known.contains(&key.get_ref().as_ref()) {
                let hint = hint(key.get_ref(), known.iter().copied()).unwrap_or_default();
                let name = format!("{name}.{}", key.get_ref());
                return Err(file.error(&key.span(), &name, &format!("unknown key{hint}")));
            }
        }
        Ok(Self {
            file,
            name,
            at: value.span(),
            table,
        })
    }

    fn find<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, String>,
    ) -> Result<Option<Spanned<T>>, ConfigError> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        match read(&Value::Toml(value.get_ref())) {
            Ok(read) => Ok(Some(Spanned::new(value.span(), read))),
            Err(text) => {
                let name = format!("{}.{key}", self.name);
                Err(self.file.error(&value.span(), &name, &text))
            }
        }
    }

    fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.find(key, read)?.map(Spanned::into_inner))
    }

    fn need<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, String>,
    ) -> Result<Spanned<T>, ConfigError> {
        self.find(key, read)?.ok_or_else(|| {
            let name = format!("{}.{key}", self.name);
            self.file.error(&self.at, &name, "this key is missing")
        })
    }
}

fn read_overrides(account: &Reader<'_>, home: &Path) -> Result<Vec<OverridePerm>, ConfigError> {
    let Some(value) = account.table.get("override_perm") else {
        return Ok(Vec::new());
    };
    let name = match account.name {
        "users" => "users.override_perm",
        _ => "anonymous.override_perm",
    };
    let mut overrides = Vec::new();
    for table in tables(account.file, name, value)? {
        let reader = Reader::new(account.file, name, table, OVERRIDE_KEYS)?;
        let recursive = reader.get("recursive", |value| value.boolean())?;
        overrides.push(OverridePerm {
            path: reader.need("path", |value| value.text().map(|path| home.join(path)))?,
            perm: reader.need("perm", perms)?.into_inner(),
            recursive: recursive.unwrap_or_default(),
        });
    }
    Ok(overrides)
}

/// The tables of `[[name]]`.
fn tables<'t>(
    file: &ConfigFile<'_>,
    name: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Result<impl Iterator<Item = &'t Spanned<DeValue<'t>>>, ConfigError> {
    match value.get_ref() {
        DeValue::Array(array) => Ok(array.iter()),
        _ => {
            let text = format!("must be a list of tables: [[{name}]]");
            Err(file.error(&value.span(), name, &text))
        }
    }
}

fn perms(value: &Value<'_>) -> Result<Perms, String> {
    let letters = value.text()?;
    letters
        .parse()
        .map_err(|err: AuthorizerError| err.to_string())
}

/// What each key takes and does, as the manual and the README tell it.
pub(crate) const ACCOUNT_KEYS: [(&str, &str, &str); 10] = [
    ("name", "string, required", "what the user logs in with"),
    ("password", "string, required", "in the clear"),
    (
        "home",
        "path, required",
        "the directory that is the user's `/`; it must exist",
    ),
    (
        "perm",
        "string, `\"elr\"`",
        "letters of `elradfmwMT`, or empty: see below",
    ),
    ("msg_login", "string", "the text of 230"),
    ("msg_quit", "string", "the text of 221"),
    (
        "override_perm",
        "tables",
        "other permissions for a directory of the home (`[[users.override_perm]]`); its keys:",
    ),
    (
        "path",
        "path, required",
        "absolute, or relative to the home",
    ),
    ("perm", "string, required", "as above"),
    (
        "recursive",
        "boolean, false",
        "true: also for the directories in it",
    ),
];

const USER_KEYS: &[&str] = &[
    "name",
    "password",
    "home",
    "perm",
    "msg_login",
    "msg_quit",
    "override_perm",
];
const ANONYMOUS_KEYS: &[&str] = &["home", "perm", "msg_login", "msg_quit", "override_perm"];
const OVERRIDE_KEYS: &[&str] = &["path", "perm", "recursive"];
