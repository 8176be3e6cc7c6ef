//! A new command, SITE USAGE, with its help:
//! `cargo run --example site_usage [ADDRESS] [DIRECTORY]`, then
//! `curl -v -Q 'SITE USAGE' -Q 'SITE HELP SITE USAGE' ftp://user:12345@127.0.0.1:2121/`.

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::{CmdArg, TransferLog, commands, dispatch};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{AuthorizerError, FTPConfig, FTPHandler, FTPServer, FTPSession};

#[derive(Default)]
struct Usage {
    files: u32,
    bytes: u64,
}

impl FTPHandler for Usage {
    fn log_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        self.files += 1;
        self.bytes += transfer.bytes;
        dispatch::log_transfer(s, transfer); // super
    }

    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, _arg: CmdArg<'_>) {
        match cmd {
            "SITE USAGE" => {
                s.push_line("214-This session has transferred:");
                s.push_line(&format!(" {} files", self.files));
                s.push_line(&format!(" {} bytes", self.bytes));
                s.respond("214 End of SITE USAGE.");
            }
            _ => commands::custom(s, cmd), // super
        }
    }
}

fn site_usage() -> ProtoCmd {
    ProtoCmd {
        perm: None,
        auth: true,
        arg: Arg::Forbidden,
        help: "Syntax: SITE USAGE (what this session has transferred).".into(),
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.proto_cmds.insert("SITE USAGE", site_usage());
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    FTPServer::bind(&address, config(&home)?, |_peer| Usage::default())?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn counts_what_is_transferred() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let mut session = Session::new(config, Usage::default()).unwrap();
        assert_eq!(session.command("SITE USAGE").code(), 530);
        session.login("user", "12345");
        session.stor("file", b"hello");
        session.retr("file").unwrap();
        let usage = session.command("SITE USAGE");
        assert_eq!(usage.lines()[1..3], [" 2 files", " 10 bytes"]);
    }
}
