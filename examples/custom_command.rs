//! Two commands of one's own, SITE USAGE and XCRC:
//! `cargo run --example custom_command [DIRECTORY]`, then
//! `curl -Q 'SITE USAGE' -Q 'XCRC README.md' -v ftp://127.0.0.1:2121/`.

use std::io::{self, Read};
use std::path::Path;

use ftpdlib::authorizers::{DummyAuthorizer, Perm};
use ftpdlib::filesystems::OpenMode;
use ftpdlib::handlers::{CmdArg, commands};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{FSError, FTPConfig, FTPHandler, FTPServer, FTPSession, FilesystemError};

#[derive(Default)]
struct Custom {
    sent: u64,
    files: u32,
}

impl FTPHandler for Custom {
    fn on_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        self.files += 1;
        self.sent += std::fs::metadata(file).map_or(0, |data| data.len());
        s.logline(format_args!("{} files so far", self.files));
    }

    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        match (cmd, arg) {
            ("SITE USAGE", _) => {
                s.push_line("214-This session has fetched:");
                s.push_line(&format!(" {} files", self.files));
                s.push_line(&format!(" {} bytes", self.sent));
                s.respond("214 End of SITE USAGE.");
            }
            // A command with a permission gets a real path that is checked already.
            ("XCRC", CmdArg::Path(path)) => match crc32(s, path) {
                Ok(crc) => s.respond(&format!("250 {crc:08X}")),
                Err(err) => s.respond(&format!("550 {err}.")),
            },
            _ => commands::custom(s, cmd), // super
        }
    }
}

/// Reads the file at once, so only a small one: the other sessions wait meanwhile.
fn crc32(s: &FTPSession, path: &Path) -> Result<u32, FSError> {
    const LIMIT: u64 = 1 << 20;
    let state = s
        .fs()
        .ok_or_else(|| FilesystemError::new("Not logged in"))?;
    s.run_as_current_user(|s| {
        // Through the file system, which keeps inside the user's home.
        let mut file = s.config().abstracted_fs.open(state, path, OpenMode::Read)?;
        if file.size().map_err(FSError::Io)? > LIMIT {
            return Err(FilesystemError::new("Too large for XCRC").into());
        }
        let mut data = Vec::new();
        let read: io::Result<usize> = file.read_to_end(&mut data);
        read.map_err(FSError::Io)?;
        Ok(!data.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
            })
        }))
    })
}

fn command(perm: Option<Perm>, arg: Arg, help: &'static str) -> ProtoCmd {
    ProtoCmd {
        perm,
        auth: true,
        arg,
        help: help.into(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let home = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let mut authorizer = DummyAuthorizer::new();
    authorizer.add_anonymous(&home)?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    let usage = command(
        None,
        Arg::Forbidden,
        "Syntax: SITE USAGE (what was fetched).",
    );
    config.proto_cmds.insert("SITE USAGE", usage);
    let xcrc = command(Some(Perm::Read), Arg::Required, "Syntax: XCRC <SP> path.");
    config.proto_cmds.insert("XCRC", xcrc);
    FTPServer::bind("127.0.0.1:2121", config, |_peer| Custom::default())?.serve_forever()?;
    Ok(())
}
