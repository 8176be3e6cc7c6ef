//! Files and directories: CWD, PWD, MKD, RMD, DELE, RNFR, RNTO, SIZE, MDTM, MFMT.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::{FTPSession, TransferType};
use super::{on_fs, refuse};
use crate::error::FSError;
use crate::proto::address::{format_timeval, parse_timeval};

/// Stock [`FTPHandler::ftp_pwd`](super::super::FTPHandler::ftp_pwd).
pub fn pwd(s: &mut FTPSession) {
    let cwd = s.fs().map(|fs| fs.cwd().to_owned()).unwrap_or_default();
    respond_quoted(
        s,
        "257 \"",
        &doubled(cwd.as_bytes()),
        "\" is the current directory.",
    );
}

/// Stock [`FTPHandler::ftp_cwd`](super::super::FTPHandler::ftp_cwd).
pub fn cwd(s: &mut FTPSession, path: &Path) {
    let Some(mut state) = s.fs.take() else {
        return refuse(s, &FSError::from_errno(libc::EACCES));
    };
    let result = s.run_as_current_user(|s| s.config.abstracted_fs.chdir(&mut state, path));
    let cwd = state.cwd().to_owned();
    s.fs = Some(state);
    match result {
        Ok(()) => respond_quoted(s, "250 \"", cwd.as_bytes(), "\" is the current directory."),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_mkd`](super::super::FTPHandler::ftp_mkd).
pub fn mkd(s: &mut FTPSession, path: &Path) {
    match on_fs(s, |fs, state| {
        fs.mkdir(state, path).map(|()| fs.fs2ftp(state, path))
    }) {
        Ok(shown) => respond_quoted(
            s,
            "257 \"",
            &doubled(shown.as_bytes()),
            "\" directory created.",
        ),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_rmd`](super::super::FTPHandler::ftp_rmd).
pub fn rmd(s: &mut FTPSession, path: &Path) {
    if is_root(s, path) {
        s.respond("550 Can't remove root directory.");
        return;
    }
    match on_fs(s, |fs, state| fs.rmdir(state, path)) {
        Ok(()) => s.respond("250 Directory removed."),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_dele`](super::super::FTPHandler::ftp_dele).
pub fn dele(s: &mut FTPSession, path: &Path) {
    match on_fs(s, |fs, state| fs.remove(state, path)) {
        Ok(()) => s.respond("250 File removed."),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_rnfr`](super::super::FTPHandler::ftp_rnfr).
pub fn rnfr(s: &mut FTPSession, path: &Path) {
    if !s
        .on_fs(|fs, state| fs.lexists(state, path))
        .unwrap_or(false)
    {
        s.respond("550 No such file or directory.");
    } else if is_root(s, path) {
        s.respond("550 Can't rename home directory.");
    } else {
        s.rnfr = Some(path.to_owned());
        s.respond("350 Ready for destination name.");
    }
}

/// Stock [`FTPHandler::ftp_rnto`](super::super::FTPHandler::ftp_rnto).
pub fn rnto(s: &mut FTPSession, path: &Path) {
    let Some(src) = s.rnfr.take() else {
        s.respond("503 Bad sequence of commands: use RNFR first.");
        return;
    };
    match on_fs(s, |fs, state| fs.rename(state, &src, path)) {
        Ok(()) => s.respond("250 Renaming ok."),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_size`](super::super::FTPHandler::ftp_size).
pub fn size(s: &mut FTPSession, path: &Path) {
    // The size in TYPE A would take reading all of the file.
    if s.transfer_type == TransferType::Ascii {
        s.respond("550 SIZE not allowed in ASCII mode.");
        return;
    }
    match on_fs(s, |fs, state| fs.stat(state, path)) {
        Ok(stat) if stat.is_file() => match on_fs(s, |fs, state| fs.getsize(state, path)) {
            Ok(size) => s.respond(&format!("213 {size}")),
            Err(err) => refuse(s, &err),
        },
        _ => not_retrievable(s, path, "."),
    }
}

/// Stock [`FTPHandler::ftp_mdtm`](super::super::FTPHandler::ftp_mdtm).
pub fn mdtm(s: &mut FTPSession, path: &Path) {
    if !is_file(s, path) {
        not_retrievable(s, path, "");
        return;
    }
    match on_fs(s, |fs, state| fs.getmtime(state, path)) {
        Err(err) => refuse(s, &err),
        Ok(seconds) => match format_timeval(seconds, s.config.use_gmt_times) {
            Some(time) => s.respond(&format!("213 {time}")),
            None => s.respond(NO_TIME),
        },
    }
}

/// Stock [`FTPHandler::ftp_mfmt`](super::super::FTPHandler::ftp_mfmt).
pub fn mfmt(s: &mut FTPSession, path: &Path, timeval: &str) {
    if timeval.chars().count() != "YYYYMMDDHHMMSS".len() {
        s.respond(BAD_TIME);
        return;
    }
    if !is_file(s, path) {
        not_retrievable(s, path, "");
        return;
    }
    let Some(seconds) = parse_timeval(timeval.as_bytes()) else {
        s.respond(BAD_TIME);
        return;
    };
    match on_fs(s, |fs, state| {
        let before = fs.getmtime(state, path)?;
        fs.utime(state, path, seconds)?;
        let after = fs.getmtime(state, path)?;
        if after != seconds {
            // A time that this file system does not have: as if nothing was.
            fs.utime(state, path, before)?;
            return Err(FSError::from_errno(libc::ERANGE));
        }
        Ok((after, fs.fs2ftp(state, path)))
    }) {
        Err(err) => refuse(s, &err),
        Ok((seconds, shown)) => match format_timeval(seconds, s.config.use_gmt_times) {
            Some(time) => respond_quoted(s, &format!("213 Modify={time}; "), shown.as_bytes(), "."),
            None => s.respond(NO_TIME),
        },
    }
}

fn is_file(s: &FTPSession, path: &Path) -> bool {
    s.on_fs(|fs, state| fs.isfile(state, path)).unwrap_or(false)
}

fn is_root(s: &FTPSession, path: &Path) -> bool {
    s.on_fs(|fs, state| fs.realpath(state, path) == fs.realpath(state, state.root()))
        .unwrap_or(false)
}

fn not_retrievable(s: &mut FTPSession, path: &Path, end: &str) {
    let shown = s
        .on_fs(|fs, state| fs.fs2ftp(state, path))
        .unwrap_or_default();
    respond_quoted(
        s,
        "550 ",
        shown.as_bytes(),
        &format!(" is not retrievable{end}"),
    );
}

/// A reply with a name in it, whose bytes need not be UTF-8.
fn respond_quoted(s: &mut FTPSession, before: &str, name: &[u8], after: &str) {
    let reply = [before.as_bytes(), name, after.as_bytes()].concat();
    s.respond_bytes(&reply);
}

/// Doubles the quotes in a name (RFC 959, appendix II).
fn doubled(name: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(name.len());
    for byte in name {
        if *byte == b'"' {
            doubled.push(b'"');
        }
        doubled.push(*byte);
    }
    doubled
}

const BAD_TIME: &str = "550 Invalid time format; expected: YYYYMMDDHHMMSS.";

const NO_TIME: &str = "550 Can't determine file's last modification time.";
