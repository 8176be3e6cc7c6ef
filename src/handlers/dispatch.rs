//! From a command line to the method of the command: known, argument, login,
//! path, permission. What a command needs stands in the table of
//! [`ProtoCmds`](crate::proto::command::ProtoCmds) and nowhere else;
//! what it does is not known here.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::commands::tls;
use super::{FTPHandler, FTPSession, TransferLog, parking};
use crate::authorizers::Perm;
use crate::error::FSError;
use crate::filesystems::{FSState, OpenMode};
use crate::proto::command::{Arg, CommandLine, leading_flags};
use crate::proto::encoding::UnicodeErrors;
use crate::proto::pattern::has_magic;
use crate::proto::reply::repr;

/// A checked command.
#[derive(Debug, Clone)]
pub struct Command<'a> {
    /// Its name in upper case, as in the table: `RETR`, `SITE CHMOD`.
    pub name: &'a str,
    /// Its argument.
    pub arg: CmdArg<'a>,
}

/// The argument of a command, in the form that the command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CmdArg<'a> {
    /// There is none.
    None,
    /// Text as it came; what is not in the session's encoding is U+FFFD.
    Text(&'a str),
    /// An FTP path as it came (STOU).
    Name(&'a OsStr),
    /// A checked real path: of commands with a permission.
    Path(&'a Path),
    /// SITE CHMOD: the mode as it came, and a checked real path.
    Mode(&'a str, &'a Path),
    /// MFMT: the time as it came, and a checked real path.
    Time(&'a str, &'a Path),
}

impl CmdArg<'_> {
    /// The argument as text: a real path, or what came.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Name(name) => name.to_string_lossy(),
            Self::Path(path) | Self::Mode(_, path) | Self::Time(_, path) => path.to_string_lossy(),
        }
    }

    /// The path in it.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) | Self::Mode(_, path) | Self::Time(_, path) => Some(path),
            Self::None | Self::Text(_) | Self::Name(_) => None,
        }
    }
}

/// Stock [`FTPHandler::pre_process_command`].
pub fn pre_process_command<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    line: &CommandLine<'_>,
) {
    if log::log_enabled!(target: crate::log::TARGET, log::Level::Debug) {
        s.logline(format_args!("<- {}", line.for_log()));
    }
    // A handle of the table, so that the session is free for the command.
    let config = std::sync::Arc::clone(&s.config);
    let text = String::from_utf8_lossy(line.arg);
    let Some((name, cmd)) = line.resolve(&config.proto_cmds) else {
        // The verb is in the reply, and that in the log.
        let verb = match line.hides_password() {
            true => "PASS",
            false => &line.verb,
        };
        refuse(
            h,
            s,
            verb,
            &text,
            500,
            &format!("Command \"{verb}\" not understood."),
        );
        return;
    };
    if line.arg.is_empty() && cmd.arg == Arg::Required {
        refuse(
            h,
            s,
            name,
            "",
            501,
            "Syntax error: command needs an argument.",
        );
        return;
    }
    if !line.arg.is_empty() && cmd.arg == Arg::Forbidden {
        refuse(
            h,
            s,
            name,
            &text,
            501,
            "Syntax error: command does not accept arguments.",
        );
        return;
    }
    if !s.authenticated() {
        if cmd.auth || (name == "STAT" && !line.arg.is_empty()) {
            refuse(h, s, name, &text, 530, "Log in with USER and PASS first.");
        } else {
            let arg = CmdArg::Text(&text);
            h.process_command(s, &Command { name, arg });
        }
        return;
    }
    match cmd.perm {
        _ if name == "STAT" && line.arg.is_empty() => h.ftp_stat(s, None),
        Some(_) if name == "STOU" => with_name(h, s, name, line.arg),
        Some(perm) => with_path(h, s, name, perm, line.arg),
        None => {
            let arg = CmdArg::Text(&text);
            h.process_command(s, &Command { name, arg });
        }
    }
}

fn refuse<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &str,
    arg: &str,
    code: u16,
    text: &str,
) {
    s.respond(&format!("{code} {text}"));
    if !cmd.is_empty() {
        h.log_cmd(s, cmd, &CmdArg::Text(arg), code, text);
    }
}

fn with_name<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, name: &str, arg: &[u8]) {
    if !is_name(arg) {
        refuse(h, s, name, "", 550, INVALID_NAME);
        return;
    }
    let arg = CmdArg::Name(OsStr::from_bytes(arg));
    h.process_command(s, &Command { name, arg });
}

/// Makes a real path of the argument, and checks it.
fn with_path<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    name: &str,
    perm: Perm,
    arg: &[u8],
) {
    let (extra, arg) = match name {
        "SITE CHMOD" | "MFMT" => match split_once(arg) {
            Some(parts) => parts,
            None => {
                refuse(
                    h,
                    s,
                    name,
                    "",
                    501,
                    "Syntax error: command needs two arguments.",
                );
                return;
            }
        },
        "LIST" | "NLST" | "STAT" => (&b""[..], leading_flags(arg)),
        _ => (&b""[..], arg),
    };
    if name == "STAT" && has_magic(arg) {
        refuse(
            h,
            s,
            name,
            &String::from_utf8_lossy(arg),
            550,
            "Globbing not supported.",
        );
        return;
    }
    if !is_name(arg) {
        refuse(h, s, name, "", 550, INVALID_NAME);
        return;
    }
    let Some(path) = real_path(s, name, arg) else {
        let text = format!("{}.", FSError::Outside);
        refuse(h, s, name, &String::from_utf8_lossy(arg), 550, &text);
        return;
    };
    if !s.config.authorizer.has_perm(&s.username, perm, Some(&path)) {
        refuse(
            h,
            s,
            name,
            &path.to_string_lossy(),
            550,
            "Not enough privileges.",
        );
        return;
    }
    let extra = String::from_utf8_lossy(extra);
    let arg = match name {
        "SITE CHMOD" => CmdArg::Mode(&extra, &path),
        "MFMT" => CmdArg::Time(&extra, &path),
        _ => CmdArg::Path(&path),
    };
    h.process_command(s, &Command { name, arg });
}

/// The real path of an argument, if it lies inside the user's root.
fn real_path(s: &FTPSession, name: &str, arg: &[u8]) -> Option<PathBuf> {
    s.on_fs(|fs, state| {
        let ftppath = match name {
            "CDUP" | "XCUP" => OsStr::new(".."),
            "CWD" | "XCWD" if arg.is_empty() => OsStr::new("/"),
            _ if arg.is_empty() => state.cwd(),
            _ => OsStr::from_bytes(arg),
        };
        let path = fs.ftp2fs(state, ftppath);
        if !fs.validpath(state, &path) {
            return None;
        }
        let found = looks_up(name)
            .then(|| listed_name(s, state, &path))
            .flatten();
        Some(found.unwrap_or(path))
    })
    .flatten()
}

/// Whether a command is about something that is there. (What STOR would write
/// over is not: it makes a file of that very name.)
fn looks_up(name: &str) -> bool {
    !matches!(
        name,
        "STOR" | "STOU" | "MKD" | "XMKD" | "RNTO" | "CDUP" | "XCUP"
    )
}

/// Finds a file by its name as listings show it: bytes that the encoding does
/// not have are `?` there. Only where no file has that very name, and one file
/// alone is shown so.
fn listed_name(s: &FTPSession, state: &FSState, path: &Path) -> Option<PathBuf> {
    let shown = path.file_name()?;
    let config = &s.config;
    if config.unicode_errors == UnicodeErrors::SurrogateEscape || !shown.as_bytes().contains(&b'?')
    {
        return None;
    }
    let fs = &config.abstracted_fs;
    if fs.lexists(state, path) {
        return None;
    }
    let parent = path.parent()?;
    let mut wanted = Vec::new();
    config
        .encoding
        .encode_name(shown, config.unicode_errors, &mut wanted);
    let mut dir = fs.listdir(state, parent).ok()?;
    let mut found = None;
    let mut wire = Vec::new();
    for _ in 0..LOOK_UP_MAX {
        let Some(name) = dir.next_name() else {
            return found;
        };
        let name = name.ok()?;
        wire.clear();
        config
            .encoding
            .encode_name(&name, config.unicode_errors, &mut wire);
        if wire == wanted && found.replace(parent.join(&name)).is_some() {
            return None;
        }
    }
    None
}

/// Whether bytes may be part of a path: no line break and no NUL.
fn is_name(arg: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, arg).is_none()
}

fn split_once(arg: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', arg)?;
    Some((&arg[..space], &arg[space + 1..]))
}

/// Stock [`FTPHandler::process_command`].
pub fn process_command<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, cmd: &Command<'_>) {
    if s.chat.is_closed() {
        return;
    }
    s.last_response.clear();
    match cmd.arg {
        _ if tls::refuses(s, cmd.name) => {}
        CmdArg::Path(path) => call_with_path(h, s, cmd, path),
        CmdArg::Mode(mode, path) => h.ftp_site_chmod(s, path, mode),
        CmdArg::Time(timeval, path) => h.ftp_mfmt(s, path, timeval),
        CmdArg::Name(name) => h.ftp_stou(s, name),
        CmdArg::Text(text) => call_with_text(h, s, cmd, text),
        CmdArg::None => call_with_text(h, s, cmd, ""),
    }
    if !log_reply(h, s, cmd.name, &cmd.arg) {
        parking::reply_late(s, cmd);
    }
}

/// Logs a command, if it was replied to; returns whether it was.
pub(super) fn log_reply<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &str,
    arg: &CmdArg<'_>,
) -> bool {
    let response = std::mem::take(&mut s.last_response);
    let Some(code) = response.get(..3).and_then(|code| code.parse().ok()) else {
        return false;
    };
    let text = response.get(4..).unwrap_or_default();
    h.log_cmd(s, cmd, arg, code, text);
    true
}

fn call_with_path<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &Command<'_>,
    path: &Path,
) {
    match cmd.name {
        "APPE" => h.ftp_appe(s, path),
        "CDUP" => h.ftp_cdup(s, path),
        "CWD" => h.ftp_cwd(s, path),
        "DELE" => h.ftp_dele(s, path),
        "LIST" => h.ftp_list(s, path),
        "MDTM" => h.ftp_mdtm(s, path),
        "MKD" => h.ftp_mkd(s, path),
        "MLSD" => h.ftp_mlsd(s, path),
        "MLST" => h.ftp_mlst(s, path),
        "NLST" => h.ftp_nlst(s, path),
        "RETR" => h.ftp_retr(s, path),
        "RMD" => h.ftp_rmd(s, path),
        "RNFR" => h.ftp_rnfr(s, path),
        "RNTO" => h.ftp_rnto(s, path),
        "SIZE" => h.ftp_size(s, path),
        "STAT" => h.ftp_stat(s, Some(path)),
        "STOR" => h.ftp_stor(s, path, OpenMode::Write),
        "XCUP" => h.ftp_xcup(s, path),
        "XCWD" => h.ftp_xcwd(s, path),
        "XMKD" => h.ftp_xmkd(s, path),
        "XRMD" => h.ftp_xrmd(s, path),
        _ => h.ftp_custom(s, cmd.name, cmd.arg),
    }
}

fn call_with_text<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &Command<'_>,
    text: &str,
) {
    match cmd.name {
        "ABOR" => h.ftp_abor(s),
        "ALLO" => h.ftp_allo(s, text),
        "AUTH" => h.ftp_auth(s, text),
        "EPRT" => h.ftp_eprt(s, text),
        "EPSV" => h.ftp_epsv(s, text),
        "FEAT" => h.ftp_feat(s),
        "HELP" => h.ftp_help(s, text),
        "MODE" => h.ftp_mode(s, text),
        "NOOP" => h.ftp_noop(s),
        "OPTS" => h.ftp_opts(s, text),
        "PASS" => h.ftp_pass(s, text),
        "PASV" => h.ftp_pasv(s),
        "PBSZ" => h.ftp_pbsz(s, text),
        "PORT" => h.ftp_port(s, text),
        "PROT" => h.ftp_prot(s, text),
        "PWD" => h.ftp_pwd(s),
        "QUIT" => h.ftp_quit(s),
        "REIN" => h.ftp_rein(s),
        "REST" => h.ftp_rest(s, text),
        "SITE HELP" => h.ftp_site_help(s, text),
        "STAT" => h.ftp_stat(s, None),
        "STRU" => h.ftp_stru(s, text),
        "SYST" => h.ftp_syst(s),
        "TYPE" => h.ftp_type(s, text),
        "USER" => h.ftp_user(s, text),
        "XPWD" => h.ftp_xpwd(s),
        _ => h.ftp_custom(s, cmd.name, cmd.arg),
    }
}

/// Stock [`FTPHandler::log_cmd`].
pub fn log_cmd(s: &FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, text: &str) {
    use log::Level::{Debug, Info};
    let target = crate::log::TARGET;
    if !s.config.log_cmds_list.iter().any(|logged| logged == cmd)
        || log::log_enabled!(target: target, Debug)
        || !log::log_enabled!(target: target, Info)
    {
        return;
    }
    let arg = arg.to_text();
    let arg = arg.trim();
    if code >= 400 {
        s.log(format_args!("{cmd} {arg} {code} {}", repr(text)));
    } else {
        s.log(format_args!("{cmd} {arg} {code}"));
    }
}

/// Stock [`FTPHandler::log_transfer`].
pub fn log_transfer(s: &FTPSession, transfer: &TransferLog<'_>) {
    let TransferLog {
        cmd,
        filename,
        bytes,
        ..
    } = transfer;
    let completed = u8::from(transfer.completed);
    let seconds = (transfer.elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    s.log(format_args!(
        "{cmd} {} completed={completed} bytes={bytes} seconds={seconds:?}",
        filename.display()
    ));
}

/// Of a path with a line break or a NUL in it.
const INVALID_NAME: &str = "Invalid character in path name.";

/// Entries of a directory that are looked at for a name as it is listed.
const LOOK_UP_MAX: usize = 1000;
