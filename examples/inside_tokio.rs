//! The server inside a program on tokio: an async client checks tokens, which clients send in place
//! of passwords, and the program shuts the server down when a file called `done` arrives.
//! `cargo run --example inside_tokio [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE ftp://user:good-token@127.0.0.1:2121/done`.

use std::path::Path;
use std::sync::Arc;

use ftpdlib::authorizers::{Authorizer, Client, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::{AuthenticationFailed, FTPConfig, FTPHandler, FTPServer, FTPSession};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::{spawn_blocking, yield_now};

/// Asks the token service. The table has the homes and the permissions.
struct Tokens {
    table: DummyAuthorizer,
    runtime: Handle,
}

impl Authorizer for Tokens {
    fn inner(&self) -> &dyn Authorizer {
        &self.table
    }

    fn authenticate(
        &self,
        username: &str,
        password: &str,
        _client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let (username, token, verdict) = (username.to_owned(), password.to_owned(), later());
        // The session waits for the verdict; the loop of the server does not.
        self.runtime.spawn(async move {
            let result = match is_valid(&username, &token).await {
                Some(true) => Ok(()),
                Some(false) => Err(AuthenticationFailed::default()),
                None => Err(AuthenticationFailed::unavailable("")),
            };
            verdict.answer(result);
        });
        Verdict::Later
    }
}

/// Stands in for an async client of the token service. `None`: the service does not answer.
async fn is_valid(username: &str, token: &str) -> Option<bool> {
    yield_now().await;
    Some(username == "user" && token == "good-token")
}

struct Inbox(Arc<Notify>);

impl FTPHandler for Inbox {
    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        if file.ends_with("done") {
            self.0.notify_one();
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let table = DummyAuthorizer::new();
    // The password is never compared.
    table.add_user("user", "a token", &home, "elradfmwMT")?;

    Builder::new_current_thread().build()?.block_on(async move {
        let mut config = FTPConfig::default();
        let runtime = Handle::current();
        config.set_authorizer(Tokens { table, runtime });
        let done = Arc::new(Notify::new());
        let inbox = Arc::clone(&done);
        let server = FTPServer::builder(config, move |_peer| Inbox(Arc::clone(&inbox)))
            .bind(address.as_str())?
            .spawn()?;
        // A program would `select!` on this, on `ctrl_c()`, and on whatever else ends it.
        done.notified().await;
        // Transfers may finish. The wait for them must not block the runtime.
        server.stop();
        let status = spawn_blocking(move || server.join()).await??;
        log::info!(target: "ftpdlib", "shut down with status {}", status.code());
        Ok(())
    })
}
