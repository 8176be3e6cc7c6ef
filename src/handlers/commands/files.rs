//! Files and directories: CWD, PWD, MKD, RMD, DELE, RNFR, RNTO, SIZE, MDTM, MFMT.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::names::{doubled, respond_name};
use crate::authorizers::Perm;
use crate::error::FSError;
use crate::filesystems::{AbstractedFS, FSState, Held};
use crate::handlers::files;
use crate::handlers::session::FTPSession;
use crate::proto::address::{format_timeval, parse_timeval};
use crate::proto::reply::Reply;
use crate::proto::transfer_type::TransferType;

/// Stock [`FTPHandler::ftp_pwd`](crate::FTPHandler::ftp_pwd).
pub fn pwd(s: &mut FTPSession) {
    let cwd = s.fs().map(|fs| doubled(fs.cwd())).unwrap_or_default();
    respond_name(s, 257, "\"", &cwd, "\" is the current directory.");
}

/// Stock [`FTPHandler::ftp_cwd`](crate::FTPHandler::ftp_cwd).
pub fn cwd(s: &mut FTPSession, path: &Path) {
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| {
            fs.chdir(state, &path)?;
            Ok(state.cwd().to_owned())
        },
        |s, changed| match changed {
            Ok(cwd) => {
                respond_name(s, 250, "\"", cwd.as_bytes(), "\" is the current directory.");
            }
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_mkd`](crate::FTPHandler::ftp_mkd).
pub fn mkd(s: &mut FTPSession, path: &Path) {
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| {
            fs.mkdir(state, &path)?;
            Ok(fs.fs2ftp(state, &path))
        },
        |s, made| match made {
            Ok(shown) => respond_name(s, 257, "\"", &doubled(&shown), "\" directory created."),
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_rmd`](crate::FTPHandler::ftp_rmd).
pub fn rmd(s: &mut FTPSession, path: &Path) {
    let path = path.to_owned();
    respond(s, move |fs, state| {
        if is_root(fs, state, &path) {
            return Ok(Reply::new(550, "Can't remove root directory."));
        }
        fs.rmdir(state, &path)?;
        Ok(Reply::new(250, "Directory removed."))
    });
}

/// Stock [`FTPHandler::ftp_dele`](crate::FTPHandler::ftp_dele).
pub fn dele(s: &mut FTPSession, path: &Path) {
    let path = path.to_owned();
    respond(s, move |fs, state| {
        fs.remove(state, &path)?;
        Ok(Reply::new(250, "File removed."))
    });
}

/// Stock [`FTPHandler::ftp_rnfr`](crate::FTPHandler::ftp_rnfr).
///
/// A RNFR that is refused forgets the one before it.
pub fn rnfr(s: &mut FTPSession, path: &Path) {
    s.rnfr = None;
    let path = path.to_owned();
    let holds = files::has_overrides(s);
    files::run(
        s,
        move |fs, state| {
            if is_root(fs, state, &path) {
                return Ok(None);
            }
            match holds {
                true => fs.hold(state, &path).map(Some),
                false if fs.lexists(state, &path) => Ok(Some(Held::of_path(&path))),
                false => Err(FSError::from_errno(libc::ENOENT)),
            }
        },
        |s, source| match source {
            Ok(Some(held)) => {
                s.rnfr = Some(Arc::new(held));
                s.respond(Reply::new(350, "Ready for destination name."));
            }
            Ok(None) => s.respond(Reply::new(550, "Can't rename home directory.")),
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_rnto`](crate::FTPHandler::ftp_rnto). The permission for the old name is
/// checked again. To replace what has the new name, the user needs the permission to delete it.
/// After another refusal, the client may try another new name.
pub fn rnto(s: &mut FTPSession, path: &Path) {
    let Some(src) = s.rnfr.clone() else {
        let text = "Bad sequence of commands: use RNFR first.";
        s.respond(Reply::new(503, text));
        return;
    };
    let permits = |perm, path: &Path| s.authorizer().has_perm(s.username(), perm, Some(path));
    if !permits(Perm::Rename, src.path()) {
        s.rnfr = None;
        s.respond(NO_PRIVILEGES);
        return;
    }
    let may_replace = permits(Perm::Delete, path);
    files::ask_again(s, src.path(), Perm::Rename);
    if may_replace {
        files::ask_again(s, path, Perm::Delete);
    }
    let holds = files::has_overrides(s);
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| {
            if holds {
                state.set_held(Arc::clone(&src));
            }
            match may_replace {
                true => fs.rename(state, src.path(), &path),
                false => fs.rename_new(state, src.path(), &path),
            }
        },
        move |s, renamed| match renamed {
            Ok(()) => {
                s.rnfr = None;
                s.respond(Reply::new(250, "Renaming ok."));
            }
            Err(err) if !may_replace && err.raw_os_error() == Some(libc::EEXIST) => {
                s.respond(NO_PRIVILEGES);
            }
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_size`](crate::FTPHandler::ftp_size).
pub fn size(s: &mut FTPSession, path: &Path) {
    // To know the size in TYPE A, the whole file would have to be read.
    if s.transfer_type == TransferType::Ascii {
        s.respond(Reply::new(550, "SIZE not allowed in ASCII mode."));
        return;
    }
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| match fs.stat(state, &path) {
            Ok(stat) if stat.is_file() && fs.is_stock() => Ok(Found::File(stat.size)),
            Ok(stat) if stat.is_file() => fs.getsize(state, &path).map(Found::File),
            Err(FSError::Outside) => Err(files::outside(fs, state, &path)),
            Err(FSError::NotPermitted) => Err(FSError::NotPermitted),
            _ => Ok(Found::Other(fs.fs2ftp(state, &path))),
        },
        |s, found| match found {
            Ok(Found::File(size)) => s.respond(Reply::with(213, size.to_string())),
            Ok(Found::Other(shown)) => {
                respond_name(s, 550, "", shown.as_bytes(), " is not retrievable.");
            }
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_mdtm`](crate::FTPHandler::ftp_mdtm).
pub fn mdtm(s: &mut FTPSession, path: &Path) {
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| match fs.isfile(state, &path) {
            true => fs.getmtime(state, &path).map(Found::File),
            false => Ok(Found::Other(fs.fs2ftp(state, &path))),
        },
        |s, found| match found {
            Ok(Found::File(seconds)) => match format_timeval(seconds, s.use_gmt_times()) {
                Some(time) => s.respond(Reply::with(213, time)),
                None => s.respond(NO_TIME),
            },
            Ok(Found::Other(shown)) => {
                respond_name(s, 550, "", shown.as_bytes(), " is not retrievable");
            }
            Err(err) => s.respond(err),
        },
    );
}

/// Stock [`FTPHandler::ftp_mfmt`](crate::FTPHandler::ftp_mfmt).
pub fn mfmt(s: &mut FTPSession, path: &Path, timeval: &str) {
    let Some(seconds) = parse_timeval(timeval.as_bytes()) else {
        s.respond(BAD_TIME);
        return;
    };
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| {
            let shown = fs.fs2ftp(state, &path);
            // The fact `perm` of a directory has the letter T too.
            if fs.stat(state, &path).is_err() {
                return Ok(Found::Other(shown));
            }
            set_time(fs, state, &path, seconds)?;
            Ok(Found::File(shown))
        },
        move |s, set| match set {
            Ok(Found::Other(shown)) => {
                respond_name(s, 550, "", shown.as_bytes(), " is not retrievable");
            }
            Ok(Found::File(shown)) => match format_timeval(seconds, s.use_gmt_times()) {
                Some(time) => {
                    let before = format!("Modify={time}; ");
                    respond_name(s, 213, &before, shown.as_bytes(), ".");
                }
                None => s.respond(NO_TIME),
            },
            Err(err) => s.respond(err),
        },
    );
}

/// Sets the time of a file. If the file system does not have that time, nothing is changed.
fn set_time(
    fs: &dyn AbstractedFS,
    state: &FSState,
    path: &Path,
    seconds: i64,
) -> Result<(), FSError> {
    let before = fs.getmtime(state, path)?;
    fs.utime(state, path, seconds)?;
    let after = fs.getmtime(state, path)?;
    if after != seconds {
        fs.utime(state, path, before)?;
        return Err(FSError::from_errno(libc::ERANGE));
    }
    Ok(())
}

/// What an operation on a file has found.
enum Found<T> {
    /// What was asked about the file.
    File(T),
    /// The path is not one of such a file. This is its FTP path, for the reply.
    Other(OsString),
}

/// Runs an operation that ends with a reply; an error becomes 550.
fn respond(
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &FSState) -> Result<Reply, FSError> + Send + 'static,
) {
    files::run(
        s,
        move |fs, state| operation(fs, state),
        |s, result| match result {
            Ok(reply) => s.respond(reply),
            Err(err) => s.respond(err),
        },
    );
}

/// Whether a path names the user's root. A link that leads there has a name of its own.
fn is_root(fs: &dyn AbstractedFS, state: &FSState, path: &Path) -> bool {
    fs.realpath(state, path) == fs.realpath(state, state.root()) && !fs.islink(state, path)
}

const BAD_TIME: Reply = Reply::new(501, "Invalid time format; expected: YYYYMMDDHHMMSS.");

const NO_TIME: Reply = Reply::new(550, "Can't determine file's last modification time.");

const NO_PRIVILEGES: Reply = Reply::new(550, "Not enough privileges.");
