//! SITE CHMOD and SITE HELP.

use std::path::Path;

use crate::handlers::files;
use crate::handlers::session::FTPSession;
use crate::proto::address::parse_mode;
use crate::proto::reply::Reply;

/// Stock [`FTPHandler::ftp_site_chmod`](crate::FTPHandler::ftp_site_chmod).
pub fn site_chmod(s: &mut FTPSession, path: &Path, mode: &str) {
    let Some(mode) = parse_mode(mode.as_bytes()) else {
        s.respond(Reply::new(501, "Invalid SITE CHMOD format."));
        return;
    };
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| fs.chmod(state, &path, mode),
        |s, changed| match changed {
            Ok(()) => s.respond(Reply::new(200, "SITE CHMOD successful.")),
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_site_help`](crate::FTPHandler::ftp_site_help).
pub fn site_help(s: &mut FTPSession, line: &str) {
    if !line.is_empty() {
        match s.proto_cmds().get(&line.to_uppercase()) {
            Some(cmd) => s.respond(Reply::with(214, cmd.help.clone().into_owned())),
            None => s.respond(Reply::new(501, "Unrecognized SITE command.")),
        }
        return;
    }
    s.push_line("214-The following SITE commands are recognized:");
    let cmds = s.proto_cmds_handle();
    for name in cmds.site_names() {
        s.push_line(&format!(" {name}"));
    }
    s.respond(Reply::new(214, "Help SITE command successful."));
}
