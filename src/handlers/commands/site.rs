//! SITE CHMOD and SITE HELP.

use std::path::Path;

use super::super::FTPSession;
use super::{on_fs, refuse};
use crate::proto::address::parse_mode;

/// Stock [`FTPHandler::ftp_site_chmod`](super::super::FTPHandler::ftp_site_chmod).
pub fn site_chmod(s: &mut FTPSession, path: &Path, mode: &str) {
    let Some(mode) = parse_mode(mode.as_bytes()) else {
        s.respond("501 Invalid SITE CHMOD format.");
        return;
    };
    match on_fs(s, |fs, state| fs.chmod(state, path, mode)) {
        Ok(()) => s.respond("200 SITE CHMOD successful."),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_site_help`](super::super::FTPHandler::ftp_site_help).
pub fn site_help(s: &mut FTPSession, line: &str) {
    if !line.is_empty() {
        match s.config.proto_cmds.get(&line.to_uppercase()) {
            Some(cmd) => s.respond(&format!("214 {}", cmd.help.clone())),
            None => s.respond("501 Unrecognized SITE command."),
        }
        return;
    }
    s.push_line("214-The following SITE commands are recognized:");
    let config = std::sync::Arc::clone(&s.config);
    for name in config.proto_cmds.site_names() {
        s.push_line(&format!(" {name}"));
    }
    s.respond("214 Help SITE command successful.");
}
