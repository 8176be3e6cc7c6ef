//! The checks of a command line: is the command known, has it the argument that it needs, is
//! the user logged in, does the path lie inside the home, is it permitted, is TLS demanded.
//!
//! What a command needs is written in the table of
//! [`ProtoCmds`](crate::proto::command::ProtoCmds) and nowhere else. What a command does is not
//! known here.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::command::{CmdArg, Command};
use super::files;
use super::session::FTPSession;
use crate::authorizers::Perm;
use crate::error::{FSError, FilesystemError};
use crate::filesystems::{AbstractedFS, FSState};
use crate::proto::command::{Arg, ArgKind, CommandLine, Entry, ProtoCmds, Role, leading_flags};
use crate::proto::encoding::{Encoding, UnicodeErrors};
use crate::proto::pattern::has_magic;
use crate::proto::reply::Reply;

/// What follows from a command line that has passed the first checks.
pub(super) enum Checked<'a> {
    /// The command can run.
    Run(Command<'a>),
    /// STAT without an argument.
    Status,
    /// The path must still be looked up, and permitted.
    Path(PathCommand, Lookup),
}

/// A command that is refused: the reply, and what is logged about the command.
pub(super) struct Refusal<'a> {
    pub(super) cmd: Cow<'a, str>,
    pub(super) arg: Cow<'a, str>,
    pub(super) reply: Reply,
}

impl<'a> Refusal<'a> {
    fn new(cmd: impl Into<Cow<'a, str>>, arg: impl Into<Cow<'a, str>>, reply: Reply) -> Self {
        Self {
            cmd: cmd.into(),
            arg: arg.into(),
            reply,
        }
    }
}

/// Checks a command line, whose argument is `text`, as far as no file system is needed.
pub(super) fn line<'a>(
    s: &FTPSession,
    cmds: &'a ProtoCmds,
    line: &'a CommandLine<'a>,
    text: &'a str,
) -> Result<Checked<'a>, Refusal<'a>> {
    let Some(entry) = line.entry(cmds) else {
        // The reply contains the verb, and the log contains the reply.
        let verb = match line.hides_password() {
            true => "PASS",
            false => &line.verb,
        };
        let reply = format!("Command \"{verb}\" not understood.");
        return Err(Refusal::new(verb, text, Reply::with(500, reply)));
    };
    let name = &*entry.name;
    let refuse = |arg: &'a str, code, text| Err(Refusal::new(name, arg, Reply::new(code, text)));
    if line.arg.is_empty() && entry.cmd.arg == Arg::Required {
        return refuse("", 501, "Syntax error: command needs an argument.");
    }
    if !line.arg.is_empty() && entry.cmd.arg == Arg::Forbidden {
        let error = "Syntax error: command does not accept arguments.";
        return refuse(text, 501, error);
    }
    let is_status = entry.kind == ArgKind::Status;
    if !s.authenticated() && (entry.cmd.auth || (is_status && !line.arg.is_empty())) {
        return refuse(text, 530, "Log in with USER and PASS first.");
    }
    let run = |arg| Ok(Checked::Run(Command { name, arg }));
    match (entry.kind, entry.cmd.perm) {
        (ArgKind::Status, _) if line.arg.is_empty() && s.authenticated() => Ok(Checked::Status),
        (ArgKind::Name, Some(_)) if s.authenticated() => match is_name(line.arg) {
            true => run(CmdArg::Name(OsStr::from_bytes(line.arg))),
            false => refuse(text, 550, INVALID_NAME),
        },
        (_, Some(perm)) if s.authenticated() => {
            let (command, lookup) = path(s, entry, perm, line.arg)?;
            Ok(Checked::Path(command, lookup))
        }
        _ => run(CmdArg::Text(text)),
    }
}

/// A command whose path must be looked up and permitted.
pub(super) struct PathCommand {
    name: Cow<'static, str>,
    kind: ArgKind,
    perm: Perm,
    /// What precedes the path: a mode or a time.
    extra: String,
    /// The path as the client sent it, for the log.
    text: String,
}

/// How to look up the path of a command. It outlives the line.
pub(super) struct Lookup {
    kind: ArgKind,
    perm: Perm,
    path: Vec<u8>,
    /// What RNTO renames.
    source: Option<PathBuf>,
    encoding: Encoding,
    errors: UnicodeErrors,
    /// Whether the command itself finds out whether the path leads outside, by the look-up with
    /// which it opens the file. One look-up before that is saved then.
    confined: bool,
}

/// Checks the form of an argument that is a path.
fn path<'a>(
    s: &FTPSession,
    entry: &'a Entry,
    perm: Perm,
    arg: &'a [u8],
) -> Result<(PathCommand, Lookup), Refusal<'a>> {
    let (kind, name) = (entry.kind, &*entry.name);
    let (extra, arg) = match kind {
        ArgKind::ModeAndPath | ArgKind::TimeAndPath => match split_once(arg) {
            // An empty path would be the current directory.
            Some(parts) if !parts.1.is_empty() => parts,
            _ => {
                let reply = Reply::new(501, "Syntax error: command needs two arguments.");
                return Err(Refusal::new(name, "", reply));
            }
        },
        ArgKind::Listing | ArgKind::Status => (&b""[..], leading_flags(arg)),
        _ => (&b""[..], arg),
    };
    let text = String::from_utf8_lossy(arg);
    if !is_name(arg) {
        let reply = Reply::new(550, INVALID_NAME);
        return Err(Refusal::new(name, text, reply));
    }
    let command = PathCommand {
        name: entry.name.clone(),
        kind,
        perm,
        extra: String::from_utf8_lossy(extra).into_owned(),
        text: text.into_owned(),
    };
    let lookup = Lookup {
        kind,
        perm,
        path: arg.to_vec(),
        source: match (perm, &s.rnfr) {
            (Perm::Rename, Some(held)) => Some(held.path().to_owned()),
            _ => None,
        },
        encoding: s.encoding(),
        errors: s.unicode_errors(),
        confined: kind == ArgKind::File && s.has_stock_commands(),
    };
    Ok((command, lookup))
}

impl Lookup {
    /// How CWD looks up a directory.
    pub(super) fn directory(s: &FTPSession, path: &OsStr) -> Self {
        Self {
            kind: ArgKind::Directory,
            perm: Perm::ChangeDir,
            path: path.as_bytes().to_vec(),
            source: None,
            encoding: s.encoding(),
            errors: s.unicode_errors(),
            confined: false,
        }
    }

    /// The real path of the argument.
    ///
    /// # Errors
    /// The path leads outside the user's root, or names a directory where there is another
    /// file.
    pub(super) fn run(&self, fs: &dyn AbstractedFS, state: &FSState) -> Result<Found, FSError> {
        let ftppath = match self.kind {
            ArgKind::Parent => OsStr::new(".."),
            ArgKind::Directory if self.path.is_empty() => OsStr::new("/"),
            _ if self.path.is_empty() => state.cwd(),
            _ => OsStr::from_bytes(&self.path),
        };
        let path = fs.ftp2fs(state, ftppath);
        let finds_out = self.confined && fs.is_stock();
        if !finds_out && !self.is_inside(fs, state, &path) {
            return Err(files::outside(fs, state, &path));
        }
        let shown = self
            .kind
            .must_exist()
            .then(|| self.listed_name(fs, state, &path));
        let path = shown.flatten().unwrap_or(path);
        // A pattern: names that exist are not patterns.
        if self.kind == ArgKind::Status && has_magic(&self.path) && !fs.lexists(state, &path) {
            return Err(FilesystemError::new("Globbing not supported").into());
        }
        let refusal = self.refuse_directory(fs, state, &path);
        Ok(Found { path, refusal })
    }

    /// The reply if the path can only be that of a directory, and is none for this command.
    fn refuse_directory(
        &self,
        fs: &dyn AbstractedFS,
        state: &FSState,
        path: &Path,
    ) -> Option<Reply> {
        if !names_directory(&self.path) {
            return None;
        }
        match (self.perm, self.kind) {
            (Perm::Write | Perm::Append, _) => return Some(NAMES_DIRECTORY),
            // A directory may get such a name.
            (Perm::Rename, ArgKind::Target) => {
                let source = self.source.as_deref();
                let is_file = source.is_some_and(|source| !fs.isdir(state, source));
                return is_file.then_some(NAMES_DIRECTORY);
            }
            (_, kind) if !kind.must_exist() => return None,
            _ => {}
        }
        // As in the system's calls: to remove or rename a link, it is named without a slash.
        let acts_on_link = matches!(self.perm, Perm::Delete | Perm::Rename);
        if fs.lexists(state, path)
            && (!fs.isdir(state, path) || (acts_on_link && fs.islink(state, path)))
        {
            return Some(FSError::from_errno(libc::ENOTDIR).into());
        }
        None
    }

    /// Whether the path lies inside the user's root. A command on a name itself does not follow
    /// it: then a link may lead anywhere, if its directory is inside.
    fn is_inside(&self, fs: &dyn AbstractedFS, state: &FSState, path: &Path) -> bool {
        fs.validpath(state, path)
            || (self.kind.is_of_the_name()
                && fs.islink(state, path)
                && path
                    .parent()
                    .is_some_and(|parent| fs.validpath(state, parent)))
    }

    /// Finds a file by its name as listings show it, in which bytes that are not in the
    /// encoding are `?`. Only if no file has exactly that name, and only one is shown so.
    fn listed_name(&self, fs: &dyn AbstractedFS, state: &FSState, path: &Path) -> Option<PathBuf> {
        let shown = path.file_name()?;
        if self.errors == UnicodeErrors::SurrogateEscape || !shown.as_bytes().contains(&b'?') {
            return None;
        }
        if fs.lexists(state, path) {
            return None;
        }
        let parent = path.parent()?;
        let mut wanted = Vec::new();
        self.encoding.encode_name(shown, self.errors, &mut wanted);
        let mut dir = fs.listdir(state, parent).ok()?;
        let mut found = None;
        let mut wire = Vec::new();
        for _ in 0..LOOK_UP_MAX {
            let Some(name) = dir.next_name() else {
                return found;
            };
            let name = name.ok()?;
            wire.clear();
            self.encoding.encode_name(&name, self.errors, &mut wire);
            if wire == wanted && found.replace(parent.join(&name)).is_some() {
                return None;
            }
        }
        None
    }
}

/// The result of a [`Lookup`].
pub(super) struct Found {
    path: PathBuf,
    /// Why the path is none for this command: it can only be that of a directory.
    refusal: Option<Reply>,
}

impl Found {
    pub(super) fn into_path(self) -> PathBuf {
        self.path
    }
}

impl PathCommand {
    /// Checks the permission for the real path that was found.
    pub(super) fn permit(
        &self,
        s: &FTPSession,
        found: Result<Found, FSError>,
    ) -> Result<PathBuf, Refusal<'_>> {
        let refuse = |arg: String, reply| Err(Refusal::new(&*self.name, arg, reply));
        match found {
            Err(err) => refuse(self.text.clone(), err.into()),
            // A user who may not use the path learns nothing about it.
            Ok(Found { path, .. })
                if !s.authorizer().has_perm(&s.username, self.perm, Some(&path)) =>
            {
                let arg = path.to_string_lossy().into_owned();
                refuse(arg, Reply::new(550, "Not enough privileges."))
            }
            Ok(Found { path, refusal }) => match refusal {
                Some(reply) => refuse(path.to_string_lossy().into_owned(), reply),
                None => Ok(path),
            },
        }
    }

    /// The operations of the command ask for the permission again: where the path leads then.
    pub(super) fn ask_again(&self, s: &mut FTPSession, path: &Path) {
        files::ask_again(s, path, self.perm);
    }

    /// The command with its checked path.
    pub(super) fn command<'a>(&'a self, path: &'a Path) -> Command<'a> {
        let arg = match self.kind {
            ArgKind::ModeAndPath => CmdArg::Mode(&self.extra, path),
            ArgKind::TimeAndPath => CmdArg::Time(&self.extra, path),
            _ => CmdArg::Path(path),
        };
        Command {
            name: &self.name,
            arg,
        }
    }
}

/// Whether bytes may be a part of a path: no line break and no NUL.
fn is_name(arg: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, arg).is_none()
}

/// Whether a path can only be that of a directory: its last part is empty, `.` or `..`.
pub(super) fn names_directory(path: &[u8]) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').next();
    !path.is_empty() && matches!(last, Some(b"" | b"." | b".."))
}

fn split_once(arg: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', arg)?;
    Some((&arg[..space], &arg[space + 1..]))
}

// --- TLS

/// The reply to a command that needs TLS where there is none.
pub(super) fn tls_refusal(s: &FTPSession, name: &str) -> Option<Reply> {
    s.server.tls.as_ref()?;
    match s.proto_cmds().role(name) {
        Role::LogsIn if s.needs_control_tls() && !s.is_secure() => {
            Some(Reply::new(550, "SSL/TLS required on the control channel."))
        }
        Role::Connects if lacks_data_tls(s) => {
            Some(Reply::new(550, "SSL/TLS required on the data channel."))
        }
        Role::Transfers if lacks_data_tls(s) => Some(DATA_TLS_REQUIRED),
        _ => None,
    }
}

/// Whether data connections need TLS, and PROT P was not given.
pub(super) fn lacks_data_tls(s: &FTPSession) -> bool {
    s.needs_data_tls() && !s.prot
}

/// The reply to a transfer without the TLS that it needs (the code is from RFC 4217 §9).
pub(super) const DATA_TLS_REQUIRED: Reply =
    Reply::new(521, "SSL/TLS required on the data channel.");

/// The reply to a command that would make a file of a name that only a directory can have
/// (RFC 959 §4.2.2: file name not allowed).
pub(super) const NAMES_DIRECTORY: Reply =
    Reply::new(553, "The name of a file does not end with a slash.");

/// The text about a path with a line break or a NUL in it.
const INVALID_NAME: &str = "Invalid character in path name.";

/// The entries of a directory that are compared with a name as it is listed.
const LOOK_UP_MAX: usize = 1000;
