//! Files on the data connection: RETR, STOR, APPE, STOU, REST, ABOR.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::SeekFrom;
use std::mem;
use std::path::Path;

use super::super::data::{self, Outcome, Outgoing, PendingTransfer, Upload};
use super::super::dispatchers;
use super::super::session::DataState;
use super::super::{FTPHandler, FTPSession, TransferType};
use super::{on_fs, refuse, tls};
use crate::authorizers::Perm;
use crate::error::FSError;
use crate::filesystems::{FSFile, OpenMode};
use crate::proto::address::parse_offset;

/// Stock [`FTPHandler::ftp_retr`].
pub fn retr(s: &mut FTPSession, path: &Path) {
    let rest = mem::take(&mut s.rest);
    match on_fs(s, |fs, state| fs.open(state, path, OpenMode::Read)) {
        Err(err) => refuse(s, &err),
        Ok(mut file) => match reposition(&mut *file, rest) {
            Err(text) => s.respond(&format!("554 {text}")),
            Ok(()) => {
                let outgoing = Outgoing::file(file, rest, s.transfer_type);
                push_dtp_data(s, outgoing, "RETR");
            }
        },
    }
}

/// Stock [`FTPHandler::ftp_appe`].
pub fn appe<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, path: &Path) {
    if s.rest > 0 {
        s.respond("450 Can't APPE while REST request is pending.");
    } else {
        h.ftp_stor(s, path, OpenMode::Append);
    }
}

/// Stock [`FTPHandler::ftp_stor`]: receives into a file that is opened in
/// `mode`; REST makes that [`OpenMode::Update`].
pub fn stor(s: &mut FTPSession, path: &Path, mode: OpenMode) {
    let cmd = if mode == OpenMode::Append {
        "APPE"
    } else {
        "STOR"
    };
    let rest = mem::take(&mut s.rest);
    let mode = if rest > 0 { OpenMode::Update } else { mode };
    match on_fs(s, |fs, state| fs.open(state, path, mode)) {
        Err(err) => refuse(s, &err),
        Ok(mut file) => match reposition(&mut *file, rest) {
            Err(text) => s.respond(&format!("554 {text}")),
            Ok(()) => {
                let position = (mode != OpenMode::Append).then_some(rest);
                receive_dtp_data(s, file, position, cmd, None);
            }
        },
    }
}

/// Moves to where REST says; the error follows `554 `.
fn reposition(file: &mut dyn FSFile, rest: u64) -> Result<(), String> {
    if rest == 0 {
        return Ok(());
    }
    let text = |err| FSError::Io(err).to_string();
    let size = file.size().map_err(text)?;
    if rest > size {
        return Err(format!("REST position ({rest}) > file size ({size})"));
    }
    file.seek(SeekFrom::Start(rest)).map(drop).map_err(text)
}

/// Stock [`FTPHandler::ftp_stou`].
pub fn stou(s: &mut FTPSession, line: &OsStr) {
    if s.rest > 0 {
        s.respond("450 Can't STOU while REST request is pending.");
        return;
    }
    let made = on_fs(s, |fs, state| {
        let named = if line.is_empty() { state.cwd() } else { line };
        let path = fs.ftp2fs(state, named);
        let (dir, mut prefix) = match (line.is_empty(), path.parent(), path.file_name()) {
            (false, Some(dir), Some(name)) => (dir.to_owned(), name.to_owned()),
            _ => (path.clone(), OsString::from("ftpd")),
        };
        prefix.push(".");
        if !fs.validpath(state, &dir) {
            return Err(FSError::Outside);
        }
        // Before anything is made: somebody who may not write leaves no trace.
        // Asked of a name that is not there, since it is too long to be.
        let mut name = prefix.clone();
        name.push("x".repeat(NAME_MAX));
        let (authorizer, name) = (&s.config.authorizer, dir.join(name));
        if !authorizer.has_perm(&s.username, Perm::Write, Some(&name)) {
            return Ok(None);
        }
        fs.mkstemp(state, &dir, &prefix).map(Some)
    });
    match made {
        Ok(Some(file)) => {
            let name = file.name().file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            receive_dtp_data(s, file, Some(0), "STOU", Some(&name));
        }
        Ok(None) => s.respond("550 Not enough privileges."),
        Err(err @ FSError::Outside) => refuse(s, &err),
        Err(err) if err.raw_os_error() == Some(libc::EEXIST) => {
            s.respond("450 No usable unique file name found.");
        }
        Err(err) => s.respond(&format!("450 {err}.")),
    }
}

/// Stock [`FTPHandler::ftp_rest`].
pub fn rest(s: &mut FTPSession, line: &str) {
    if s.transfer_type == TransferType::Ascii {
        s.respond("501 Resuming transfers not allowed in ASCII mode.");
        return;
    }
    match parse_offset(line.as_bytes()) {
        None => s.respond("501 Invalid parameter."),
        Some(offset) => {
            s.respond(&format!("350 Restarting at position {}.", offset.text));
            s.rest = offset.position;
        }
    }
}

/// Stock [`FTPHandler::ftp_abor`].
///
/// A transfer that was begun ends with a 426 of its own before the reply to
/// ABOR. One that was only promised, with 150, is forgotten.
pub fn abor<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let promised = s.pending.is_some();
    data::forget_pending(h, s, None);
    let reply = match &s.data {
        DataState::None if promised => ABORTED,
        DataState::None => "225 No transfer to abort.",
        DataState::Listening(_) => {
            s.data = DataState::None;
            if promised { ABORTED } else { CLOSED }
        }
        DataState::Connecting(_) => {
            dispatchers::fail_active(h, s);
            CLOSED
        }
        DataState::Open(_) if dispatchers::transfer_active(s) => {
            let reply = Cow::Borrowed("426 Transfer aborted via ABOR.");
            data::finish(h, s, Outcome::Ended(reply));
            ABORTED
        }
        DataState::Open(_) => {
            data::finish(h, s, Outcome::Silent);
            CLOSED
        }
    };
    s.respond(reply);
}

/// Sends something on the data connection: at once with 125, or with 150 when
/// there will be one. For commands of one's own: as pyftpdlib's.
pub fn push_dtp_data(s: &mut FTPSession, outgoing: Outgoing, cmd: impl Into<Cow<'static, str>>) {
    if tls::lacks_data_tls(s) {
        s.respond(tls::DATA_REQUIRED);
        return;
    }
    let reply = opening(s).unwrap_or(ABOUT_TO_OPEN).to_owned();
    s.respond(&reply);
    let transfer = PendingTransfer::Send(outgoing, cmd.into(), s.transfer_type);
    dispatchers::promise(s, transfer);
}

/// Receives a file on the data connection, as [`push_dtp_data`] sends. With
/// `unique` the reply tells that name (RFC 1123 §4.1.2.9).
pub fn receive_dtp_data(
    s: &mut FTPSession,
    file: Box<dyn FSFile>,
    position: Option<u64>,
    cmd: impl Into<Cow<'static, str>>,
    unique: Option<&str>,
) {
    if tls::lacks_data_tls(s) {
        s.respond(tls::DATA_REQUIRED);
        return;
    }
    let open = opening(s);
    let reply = match (unique, open) {
        (Some(name), Some(_)) => format!("125 FILE: {name}"),
        (Some(name), None) => format!("150 FILE: {name}"),
        (None, open) => open.unwrap_or(ABOUT_TO_OPEN).to_owned(),
    };
    s.respond(&reply);
    let upload = Upload {
        file,
        position,
        transfer_type: s.transfer_type,
    };
    dispatchers::promise(s, PendingTransfer::Receive(upload, cmd.into()));
}

/// The reply if the data connection is there already.
fn opening(s: &FTPSession) -> Option<&'static str> {
    let open = s.data_channel()?;
    // One that is in use is not for another transfer.
    (!open.transfer_in_progress()).then_some("125 Data connection already open. Transfer starting.")
}

/// Longer than any name of a file.
const NAME_MAX: usize = 256;

const ABOUT_TO_OPEN: &str = "150 File status okay. About to open data connection.";

const ABORTED: &str = "226 ABOR command successful.";

const CLOSED: &str = "225 ABOR command successful; data channel closed.";
