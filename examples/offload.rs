//! Checksums of files of any size, computed by other threads: XCRC, and a log line for
//! each upload. `cargo run --example offload [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE -Q '-XCRC FILE' -v ftp://user:12345@127.0.0.1:2121/`.

use std::io::{self, Read};
use std::path::Path;

use crc32fast::Hasher;
use ftpdlib::authorizers::{DummyAuthorizer, Perm};
use ftpdlib::filesystems::{FSFile, OpenMode};
use ftpdlib::handlers::{CmdArg, commands};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{FSError, FTPConfig, FTPHandler, FTPServer, FTPSession};

#[derive(Default)]
struct Sums {
    made: u32,
}

impl FTPHandler for Sums {
    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        let ("XCRC", CmdArg::Path(path)) = (cmd, arg) else {
            return commands::custom(s, cmd); // super
        };
        let file = match open(s, path) {
            Ok(file) => file,
            Err(err) => return s.respond(format!("550 {err}.")),
        };
        // The commands of this session wait until it has replied; other sessions go on.
        let given = s.offload_with(
            move || crc32(file),
            |handler: &mut Self, s, sum| match sum {
                Ok(sum) => {
                    handler.made += 1;
                    s.respond(format!("250 {sum:08X}"));
                }
                Err(err) => s.respond(format!("550 {}.", FSError::Io(err))),
            },
        );
        if let Err(full) = given {
            s.respond(format!("450 {full}."));
        }
    }

    fn on_file_received(&mut self, s: &mut FTPSession, path: &Path) {
        let Ok(file) = open(s, path) else { return };
        let path = path.to_owned();
        let given = s.offload(
            move || crc32(file),
            move |s, sum| match sum {
                Ok(sum) => s.log(format_args!("{} has CRC {sum:08X}", path.display())),
                Err(err) => s.log(format_args!("cannot read {}: {err}", path.display())),
            },
        );
        if let Err(full) = given {
            s.log(format_args!("no CRC: {full}"));
        }
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        s.log(format_args!("has asked for {} sums", self.made));
    }
}

/// Opens the file through the file system, which stays inside the user's home: the job
/// gets a file, not a path.
fn open(s: &mut FTPSession, path: &Path) -> Result<Box<dyn FSFile>, FSError> {
    s.with_fs(|fs, state| fs.open(state, path, OpenMode::Read))
}

fn crc32(mut file: Box<dyn FSFile>) -> io::Result<u32> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            size => hasher.update(&buffer[..size]),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    let xcrc = ProtoCmd {
        perm: Some(Perm::Read),
        auth: true,
        arg: Arg::Required,
        help: "Syntax: XCRC <SP> path.".into(),
    };
    config.proto_cmds.insert("XCRC", xcrc);
    FTPServer::bind(&address, config, |_peer| Sums::default())?.serve_forever()?;
    Ok(())
}
