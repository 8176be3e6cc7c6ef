//! Servers that know several users, and limits for each of them.

use std::path::PathBuf;

use ftpdlib::FTPConfig;
use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;

use crate::{Mode, PASSWORD, Server, USER};

/// Replaces the users of a configuration of the tests by these, with all permissions and the
/// password [`PASSWORD`]. `home_of` gives the home of each, below or at that of [`USER`].
pub fn set_users<'a>(
    config: &mut FTPConfig,
    names: impl IntoIterator<Item = &'a str>,
    home_of: impl Fn(PathBuf, &str) -> PathBuf,
) {
    let home = config.authorizer.get_home_dir(USER).unwrap();
    let authorizer = DummyAuthorizer::new();
    for name in names {
        let home = home_of(home.clone(), name);
        authorizer
            .add_user(name, PASSWORD, home, "elradfmwMT")
            .unwrap();
    }
    config.set_authorizer(authorizer);
}

impl Server {
    /// Starts a server that admits `most` connections of each user.
    pub fn with_user_limit(
        mode: Mode,
        most: usize,
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
    ) -> Self {
        Self::build(
            mode,
            "127.0.0.1",
            change,
            move |server| server.set_max_cons_per_user(most),
            |_| StockHandler,
        )
    }

    /// Connects a client that logs in and leaves. Returns the code of the reply to PASS.
    #[track_caller]
    pub fn try_login(&self, user: &str) -> u16 {
        let mut client = self.connect();
        client.expect(331, format!("USER {user}"));
        client.command(format!("PASS {PASSWORD}")).0
    }
}
