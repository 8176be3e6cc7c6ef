//! Users in an SQLite database, with hashes of their passwords. Another thread asks the
//! database, once for each login:
//! `cargo run --example sqlite_authorizer [ADDRESS] [DIRECTORY] [DATABASE]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`.
//!
//! A connection to SQLite must not be used after a fork: with workers or
//! `MultiprocessFTPServer` each process has to open its own connection at the first
//! login.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use ftpdlib::authorizers::{Authorizer, Client, LaterVerdict, Perm, Perms, Verdict};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{AuthenticationFailed, FTPConfig, FTPServer};
use rusqlite::{Connection, OptionalExtension};

struct SqliteAuthorizer(Arc<Shared>);

/// What the threads share.
struct Shared {
    database: Mutex<Connection>,
    /// The users that have logged in. Their permissions are needed for each command, and
    /// no command may wait for the database.
    accounts: Mutex<HashMap<String, Account>>,
    /// The hash to compare with if there is no such user: that takes as long.
    nobody: String,
}

struct Account {
    home: PathBuf,
    perms: Perms,
}

/// An account as it is in the database.
struct Row {
    home: PathBuf,
    perm: String,
}

impl Row {
    /// An error appears at the login, and not at each command.
    fn check(self) -> Result<Account, String> {
        let Self { home, perm } = self;
        if !home.is_absolute() || !home.is_dir() {
            return Err(format!("no absolute directory: {}", home.display()));
        }
        let perms = perm.parse::<Perms>().map_err(|err| err.to_string())?;
        Ok(Account { home, perms })
    }
}

impl Authorizer for SqliteAuthorizer {
    fn authenticate(
        &self,
        username: &str,
        password: &str,
        _client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let shared = Arc::clone(&self.0);
        let (username, password) = (username.to_owned(), password.to_owned());
        // This client waits for the verdict, the others do not.
        later().offload(move || shared.log_in(username, &password))
    }

    fn get_home_dir(&self, username: &str) -> Result<PathBuf, AuthenticationFailed> {
        let accounts = lock(&self.0.accounts);
        let account = accounts.get(username);
        let home = account.map(|account| account.home.clone());
        home.ok_or_else(AuthenticationFailed::default)
    }

    fn has_user(&self, username: &str) -> bool {
        lock(&self.0.accounts).contains_key(username)
    }

    fn has_perm(&self, username: &str, perm: Perm, _path: Option<&Path>) -> bool {
        self.get_perms(username).has(perm)
    }

    fn get_perms(&self, username: &str) -> Perms {
        let accounts = lock(&self.0.accounts);
        let account = accounts.get(username);
        account.map_or(Perms::NONE, |account| account.perms)
    }
}

impl Shared {
    fn log_in(&self, username: String, password: &str) -> Result<(), AuthenticationFailed> {
        let found = find(&lock(&self.database), &username).map_err(|err| {
            log::error!(target: "ftpdlib", "the database of users: {err}");
            AuthenticationFailed::unavailable("Nobody can log in for now.")
        })?;
        let hash = found.as_ref().map_or(&self.nobody, |(hash, _)| hash);
        verify(password, hash)?;
        let (_, account) = found.ok_or_else(AuthenticationFailed::default)?;
        let account = account.check().map_err(|err| {
            log::error!(target: "ftpdlib", "the database of users: {username}: {err}");
            AuthenticationFailed::unavailable("Your account is not in order.")
        })?;
        lock(&self.accounts).insert(username, account);
        Ok(())
    }
}

fn find(database: &Connection, username: &str) -> rusqlite::Result<Option<(String, Row)>> {
    let select = "SELECT hash, home, perm FROM users WHERE name = ?1";
    let found = database.query_row(select, [username], |row| {
        let account = Row {
            home: row.get::<_, String>("home")?.into(),
            perm: row.get("perm")?,
        };
        Ok((row.get("hash")?, account))
    });
    found.optional()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn verify(password: &str, hash: &str) -> Result<(), AuthenticationFailed> {
    let verified = Argon2::default().verify_password(password.as_bytes(), hash);
    verified.map_err(|_| AuthenticationFailed::default())
}

fn hash(password: &str) -> password_hash::Result<String> {
    Ok(Argon2::default()
        .hash_password(password.as_bytes())?
        .to_string())
}

/// Opens the database; a new one has a first user. Homes are absolute, and contain no
/// links.
fn open(path: &str, home: &str) -> Result<Connection, Box<dyn std::error::Error>> {
    let database = Connection::open(path)?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS users (
            name TEXT PRIMARY KEY, hash TEXT NOT NULL, home TEXT NOT NULL, perm TEXT NOT NULL
        )",
    )?;
    let home = std::fs::canonicalize(home)?;
    let user = ("user", hash("12345")?, home.to_str(), "elradfmwMT");
    database.execute("INSERT OR IGNORE INTO users VALUES (?1, ?2, ?3, ?4)", user)?;
    Ok(database)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let database = args.next().unwrap_or_else(|| ":memory:".to_owned());
    let shared = Shared {
        database: Mutex::new(open(&database, &home)?),
        accounts: Mutex::default(),
        nobody: hash("")?,
    };
    let mut config = FTPConfig::default();
    config.set_authorizer(SqliteAuthorizer(Arc::new(shared)));
    FTPServer::bind(&address, config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}
