//! A command about a file whose path is checked already: XCRC.
//! `cargo run --example xcrc [ADDRESS] [DIRECTORY]`, then
//! `curl -v -Q 'XCRC README.md' ftp://user:12345@127.0.0.1:2121/`.

use std::io::Read;
use std::path::Path;

use ftpdlib::authorizers::{DummyAuthorizer, Perm};
use ftpdlib::filesystems::OpenMode;
use ftpdlib::handlers::{CmdArg, commands};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{
    AuthorizerError, FSError, FTPConfig, FTPHandler, FTPServer, FTPSession, FilesystemError,
};

/// All other sessions wait meanwhile. For larger files see the example `offload`.
const LIMIT: u64 = 1 << 20;

struct Checksums;

impl FTPHandler for Checksums {
    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        match (cmd, arg) {
            // The path is inside the home, and this user may read it.
            ("XCRC", CmdArg::Path(path)) => match crc32(s, path) {
                Ok(crc) => s.respond(format!("250 {crc:08X}")),
                Err(err) => s.respond(format!("550 {err}.")),
            },
            _ => commands::custom(s, cmd), // super
        }
    }
}

/// Opens the file through the file system, so that a link that was just made cannot lead
/// outside.
fn crc32(s: &mut FTPSession, path: &Path) -> Result<u32, FSError> {
    let mut file = s.with_fs(|fs, state| fs.open(state, path, OpenMode::Read))?;
    if file.size()? > LIMIT {
        return Err(FilesystemError::new("Too large for XCRC").into());
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data)?;
    Ok(crc32fast::hash(&data))
}

fn xcrc() -> ProtoCmd {
    ProtoCmd {
        perm: Some(Perm::Read),
        auth: true,
        arg: Arg::Required,
        help: "Syntax: XCRC <SP> path (checksum of a file).".into(),
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.proto_cmds.insert("XCRC", xcrc());
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    FTPServer::bind(&address, config(&home)?, |_peer| Checksums)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn replies_with_the_checksum() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let mut session = Session::new(config, Checksums).unwrap();
        session.login("user", "12345");
        session.stor("file", b"123456789");
        assert_eq!(session.command("XCRC file"), "250 CBF43926");
        assert_eq!(session.command("XCRC none").code(), 550);
    }
}
