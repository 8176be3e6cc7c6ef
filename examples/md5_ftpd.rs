//! Passwords that are stored as hashes, as in pyftpdlib's demo of this name, but with
//! Argon2, since MD5 is too weak. These hashes are slow to compute on purpose, so other
//! threads do it: `cargo run --example md5_ftpd [ADDRESS] [DIRECTORY]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`.

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use ftpdlib::authorizers::{Authorizer, Client, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{AuthenticationFailed, FTPConfig, FTPServer};

/// An authorizer whose table has hashes in place of passwords.
struct Hashed {
    table: DummyAuthorizer,
    /// The hash to compare with if there is no such user: that takes as long.
    nobody: String,
}

impl Authorizer for Hashed {
    fn inner(&self) -> &dyn Authorizer {
        &self.table
    }

    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        if username == "anonymous" {
            return self.inner().authenticate(username, password, client, later); // super
        }
        let user = self.table.user(username);
        let hash = user.map_or_else(|| self.nobody.clone(), |user| user.password.clone());
        let password = password.to_owned();
        // This client waits for the verdict, the others do not.
        later().offload(move || verify(&password, &hash))
    }
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let table = DummyAuthorizer::new();
    // A real server reads the hash from a file, and the password is not here.
    table.add_user("user", hash("12345")?, &home, "elradfmwMT")?;
    table.add_anonymous(&home)?;
    let nobody = hash("")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(Hashed { table, nobody });
    FTPServer::bind(&address, config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}
