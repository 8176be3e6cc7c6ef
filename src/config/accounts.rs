//! The accounts of the configuration file: `[[users]]` and `[anonymous]`.
//!
//! Accounts are always read, so that a mistake in the file is always an error. They are
//! registered, and their homes are opened, only if no option replaces them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ftpdlib::AuthorizerError;
use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perms, UserOptions};
use toml::Spanned;
use toml::de::DeValue;

use super::error::ConfigError;
use super::file::ConfigFile;
use super::password;
use super::reader::{Reader, tables};
use super::root::shares_root_unasked;
use super::value::{Value, ValueError};

/// The names of the sections that are read here.
pub(super) const ACCOUNT_SECTIONS: [&str; 2] = ["users", "anonymous"];

/// The accounts of a file, in the order of the file.
#[derive(Debug)]
pub(super) struct Accounts {
    /// The directory to which relative homes refer.
    base: PathBuf,
    list: Vec<Account>,
}

/// An account whose values have the right types, with the places of the values that may
/// still be wrong.
#[derive(Debug)]
struct Account {
    section: &'static str,
    name: Spanned<String>,
    password: String,
    home: Spanned<PathBuf>,
    /// The home as it is written.
    written: PathBuf,
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
        }
    }

    /// Whether there is no account, so that nobody could log in.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there are passwords in the file.
    pub(super) fn has_passwords(&self) -> bool {
        self.list.iter().any(|account| !account.password.is_empty())
    }

    /// The name and the home of each account.
    pub(super) fn homes(&self) -> Vec<(String, PathBuf)> {
        let accounts = self.list.iter();
        let homes = accounts.map(|account| (account.name.get_ref(), account.home.get_ref()));
        homes
            .map(|(name, home)| (name.clone(), home.clone()))
            .collect()
    }

    /// The line of the log about the accounts: `accounts: 3 (2 users, anonymous), from ftpd.toml`.
    pub(super) fn summary(&self, file: &Path) -> String {
        let is_user = |account: &&Account| account.section == "users";
        let count = self.list.len();
        let users = self.list.iter().filter(is_user).count();
        let mut kinds = Vec::new();
        if users > 0 {
            kinds.push(format!(
                "{users} {}",
                if users == 1 { "user" } else { "users" }
            ));
        }
        if users < count {
            kinds.push(password::ANONYMOUS.to_owned());
        }
        let (kinds, file) = (kinds.join(", "), file.display());
        format!("accounts: {count} ({kinds}), from {file}")
    }

    /// Reads `[[users]]`.
    pub(super) fn read_users(
        &mut self,
        file: &ConfigFile<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        for table in tables(file, "users", value)? {
            let reader = Reader::new(file, "users", table, USER_KEYS)?;
            let name = reader.required("name", user_name)?;
            let password = reader.required("password", |value| {
                let text = value.text()?;
                password::check(name.get_ref(), &text)?;
                Ok(text)
            })?;
            let password = password.into_inner();
            let account = self.read(&reader, name, password)?;
            self.list.push(account);
        }
        Ok(())
    }

    /// Reads `[anonymous]`.
    pub(super) fn read_anonymous(
        &mut self,
        file: &ConfigFile<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let reader = Reader::new(file, "anonymous", value, ANONYMOUS_KEYS)?;
        let name = Spanned::new(value.span(), password::ANONYMOUS.to_owned());
        let account = self.read(&reader, name, String::new())?;
        self.list.push(account);
        Ok(())
    }

    /// Reads the keys that both sections have.
    fn read(
        &self,
        reader: &Reader<'_>,
        name: Spanned<String>,
        password: String,
    ) -> Result<Account, ConfigError> {
        let home = reader.required("home", |value| value.name().map(PathBuf::from))?;
        let at = home.span();
        let written = home.into_inner();
        let home = Spanned::new(at, self.base.join(&written));
        let stock = UserOptions::default();
        let perm = reader.optional("perm", perms)?.unwrap_or(stock.perm);
        let text = |key| reader.optional(key, |value| value.text());
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
            written,
        })
    }

    /// An authorizer with these accounts.
    pub(super) fn register(self, file: &ConfigFile<'_>) -> Result<DummyAuthorizer, ConfigError> {
        let authorizer = DummyAuthorizer::new();
        for account in self.list {
            account.register(file, &authorizer)?;
        }
        Ok(authorizer)
    }
}

impl Account {
    fn register(
        self,
        file: &ConfigFile<'_>,
        authorizer: &DummyAuthorizer,
    ) -> Result<(), ConfigError> {
        let section = self.section;
        let wrong = |at: &Range<usize>, key: &str, err: &AuthorizerError| {
            file.error(at, &format!("{section}{key}"), &err.to_string())
        };
        let name = self.name.get_ref().as_str();
        // The authorizer refuses a name that exists, else a home that does not.
        // `[anonymous]` has no key for its name.
        let (key, at) = match (authorizer.has_user(name), section) {
            (true, "anonymous") => ("", self.name.span()),
            (true, _) => (".name", self.name.span()),
            (false, _) => (".home", self.home.span()),
        };
        authorizer
            .add_user_with(name, self.password, self.home.get_ref(), self.options)
            .map_err(|err| wrong(&at, key, &err))?;
        let user = authorizer.user(name);
        if user.is_some_and(|user| shares_root_unasked(&user.home, Some(&self.written))) {
            let text = "it is /; write home = \"/\" to share all files, or choose another one";
            return Err(file.error(&self.home.span(), &format!("{section}.home"), text));
        }
        for over in self.overrides {
            authorizer
                .override_perm(name, over.path.get_ref(), over.perm, over.recursive)
                .map_err(|err| wrong(&over.path.span(), ".override_perm.path", &err))?;
        }
        Ok(())
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
        let recursive = reader.optional("recursive", |value| value.boolean())?;
        overrides.push(OverridePerm {
            path: reader.required("path", |value| value.name().map(|path| home.join(path)))?,
            perm: reader.required("perm", perms)?.into_inner(),
            recursive: recursive.unwrap_or_default(),
        });
    }
    Ok(overrides)
}

fn user_name(value: &Value<'_>) -> Result<String, ValueError> {
    let name = value.name()?;
    password::check_line(&name)?;
    Ok(name)
}

fn perms(value: &Value<'_>) -> Result<Perms, ValueError> {
    let letters = value.text()?;
    letters.parse().map_err(|err: AuthorizerError| {
        format!("{err}; the permissions are letters of elradfmwMT").into()
    })
}

/// Name, type and default, and meaning of each key, as the manual and the docs show them.
pub(crate) const ACCOUNT_KEYS: [(&str, &str, &str); 10] = [
    ("name", "string, required", "the name to log in with"),
    (
        "password",
        "string, required",
        "the password, in clear text; not empty, and no hash",
    ),
    (
        "home",
        "path, required",
        "the directory that the user sees as `/`; it must exist",
    ),
    (
        "perm",
        "string, `\"elr\"`",
        "the permissions: letters of `elradfmwMT`, or empty; see below",
    ),
    (
        "msg_login",
        "string",
        "the text of the 230 reply after the login",
    ),
    ("msg_quit", "string", "the text of the 221 reply to QUIT"),
    (
        "override_perm",
        "tables",
        "other permissions for a directory below the home (`[[users.override_perm]]`), with the \
         keys:",
    ),
    (
        "path",
        "path, required",
        "the directory, absolute or relative to the home",
    ),
    (
        "perm",
        "string, required",
        "the permissions in that directory",
    ),
    (
        "recursive",
        "boolean, false",
        "`true`: the permissions also hold in the directories below it",
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
