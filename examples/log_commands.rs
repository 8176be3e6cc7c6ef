//! Logs every command, with its number in the session:
//! `cargo run --example log_commands [ADDRESS] [DIRECTORY]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`.

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::{Command, dispatch};
use ftpdlib::{AuthorizerError, FTPConfig, FTPHandler, FTPServer, FTPSession};

#[derive(Default)]
struct LogCommands {
    number: u32,
}

impl FTPHandler for LogCommands {
    /// Called for each command that is known and permitted.
    fn process_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>) {
        self.number += 1;
        let arg = match cmd.name {
            "PASS" => "******".into(),
            _ => cmd.arg.to_text(),
        };
        s.log(format_args!("command {}: {} {arg}", self.number, cmd.name));
        dispatch::process_command(self, s, cmd); // super
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    FTPServer::bind(&address, config(&home)?, |_peer| LogCommands::default())?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn counts_commands_that_are_known() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let mut session = Session::new(config, LogCommands::default()).unwrap();
        session.login("user", "12345");
        session.command("MKD new");
        session.command("NONSENSE");
        session.with(|handler, _| assert_eq!(handler.number, 3));
    }
}
