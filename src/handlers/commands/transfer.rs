//! Files on the data connection: RETR, STOR, APPE, STOU, REST, ABOR.

use std::ffi::{OsStr, OsString};
use std::io::SeekFrom;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::authorizers::{Authorizer, Perm};
use crate::error::FSError;
use crate::filesystems::{AbstractedFS, FSFile, FSState, NameRules, OpenMode};
use crate::handlers::check;
use crate::handlers::command::{CmdArg, Command};
use crate::handlers::data::{Bounds, Outcome, Outgoing};
use crate::handlers::dispatchers;
use crate::handlers::files;
use crate::handlers::hooks::Hooks;
use crate::handlers::locking::{Claimed, Locking, NotOpened};
use crate::handlers::log::log_answer;
use crate::handlers::pending;
use crate::handlers::session::{DataState, FTPSession, UploadWait};
use crate::handlers::space;
use crate::handlers::transfers::{self, push_dtp_data};
use crate::proto::address::parse_offset;
use crate::proto::reply::Reply;
use crate::proto::transfer_type::TransferType;

/// Stock [`FTPHandler::ftp_retr`](crate::FTPHandler::ftp_retr).
pub fn retr(s: &mut FTPSession, path: &Path) {
    let rest = s.take_rest();
    let path = path.to_owned();
    files::open(
        s,
        move |fs, state| open_at(fs, state, &path, OpenMode::Read, rest),
        move |s, opened| match opened {
            Ok(file) => {
                let outgoing = Outgoing::file(file, rest, s.transfer_type);
                push_dtp_data(s, outgoing, "RETR");
            }
            Err(reply) => s.respond(reply),
        },
    );
}

/// Stock [`FTPHandler::ftp_appe`](crate::FTPHandler::ftp_appe).
pub fn appe<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, path: &Path) {
    if s.rest > 0 {
        let text = "Can't APPE while REST request is pending.";
        s.respond(Reply::new(450, text));
    } else {
        h.ftp_stor(s, path, OpenMode::Append);
    }
}

/// Stock [`FTPHandler::ftp_stor`](crate::FTPHandler::ftp_stor): receives into a file that is
/// opened in `mode`. After REST the mode is [`OpenMode::Update`].
pub fn stor(s: &mut FTPSession, path: &Path, mode: OpenMode) {
    let rest = s.take_rest();
    let mode = if rest > 0 { OpenMode::Update } else { mode };
    let bounds = bounds(s);
    store(s, path, mode, rest, bounds, None);
}

/// What bounds the upload that begins. What ALLO has announced counts for it only, and only in TYPE
/// I: TYPE A sends other bytes than those of the file.
fn bounds(s: &mut FTPSession) -> Bounds {
    let announced = mem::take(&mut s.allo);
    Bounds {
        announced: match s.transfer_type {
            TransferType::Binary => announced,
            TransferType::Ascii => 0,
        },
        ..s.upload_bounds()
    }
}

/// The command that opens a file in this mode.
fn command_of(mode: OpenMode) -> &'static str {
    match mode {
        OpenMode::Append => "APPE",
        _ => "STOR",
    }
}

/// Receives into a file, from the position that REST has given. If another upload has the file,
/// and was asked to end, waits for it until `until`, or for a short time.
fn store(
    s: &mut FTPSession,
    path: &Path,
    mode: OpenMode,
    rest: u64,
    bounds: Bounds,
    until: Option<Instant>,
) {
    transfers::close_pending_upload(s, path);
    let locking = Locking::new(s);
    let (opened, path) = (path.to_owned(), path.to_owned());
    files::open_upload(
        s,
        move |fs, state| {
            // An upload to the end of a file that is not there begins at 0.
            bounds.check_size(rest)?;
            space::check(fs, state, &opened, bounds)?;
            open_claimed(fs, state, &opened, mode, rest, bounds, locking.as_ref())
        },
        move |s, opened| match opened {
            Ok((file, claim)) => {
                let position = (mode != OpenMode::Append).then_some(rest);
                let cmd = command_of(mode).into();
                transfers::receive(s, file, claim, position, cmd, None);
            }
            Err(NotOpened::Reply(reply)) => s.respond(reply),
            Err(NotOpened::Busy { asked }) => {
                let until = until.unwrap_or(if asked { s.now + TAKE_OVER_WAIT } else { s.now });
                if until <= s.now {
                    return s.respond(BUSY);
                }
                s.upload_wait = Some(Box::new(UploadWait {
                    path,
                    mode,
                    rest,
                    bounds,
                    next: s.now + TAKE_OVER_STEP,
                    until,
                }));
            }
        },
    );
}

/// Tries an upload again that waits for its file.
pub(crate) fn retry_upload<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let Some(wait) = s.upload_wait.take() else {
        return;
    };
    s.begin_answer();
    let UploadWait { mode, rest, .. } = *wait;
    store(s, &wait.path, mode, rest, wait.bounds, Some(wait.until));
    if s.upload_wait.is_none() {
        let (name, arg) = (command_of(wait.mode), CmdArg::Path(&wait.path));
        log_answer(h, s, &Command { name, arg });
        pending::forget_replaced(h, s);
    }
}

/// Opens and claims a file of an upload.
fn open_claimed(
    fs: &dyn AbstractedFS,
    state: &FSState,
    path: &Path,
    mode: OpenMode,
    rest: u64,
    bounds: Bounds,
    locking: Option<&Locking>,
) -> Result<Claimed, NotOpened> {
    let open = || -> Result<_, NotOpened> {
        let mut file = open_at(fs, state, path, mode, rest)?;
        check_size(&mut *file, mode, bounds)?;
        Ok(file)
    };
    let Some(locking) = locking else {
        return Ok((open()?, None));
    };
    locking.check_path(path)?;
    for _ in 0..OPEN_TRIES {
        let mut file = open()?;
        let claim = locking.lock(&*file)?;
        // Another upload may have put its file in the place of this one meanwhile.
        if !file.is_replaced() {
            return Ok((file, claim));
        }
    }
    Err(NotOpened::Busy { asked: false })
}

/// Refuses an upload to a file that is, or would become, larger than the settings allow.
fn check_size(file: &mut dyn FSFile, mode: OpenMode, bounds: Bounds) -> Result<(), Reply> {
    if bounds.max_upload_size == 0 || mode == OpenMode::Write {
        return Ok(());
    }
    let size = file.size();
    let size = size.map_err(|err| Reply::with(550, format!("{}.", FSError::Io(err))))?;
    match mode {
        OpenMode::Append => bounds.check_size(size),
        // What is there already stays. The position was checked before.
        _ => bounds.without_announcement().check_size(size),
    }
}

/// Opens a file, and moves to the position that REST has given. Returns the reply if it fails.
fn open_at(
    fs: &dyn AbstractedFS,
    state: &FSState,
    path: &Path,
    mode: OpenMode,
    rest: u64,
) -> Result<Box<dyn FSFile>, Reply> {
    let mut file = fs.open(state, path, mode).map_err(|err| match err {
        FSError::Outside => files::outside(fs, state, path),
        err => err,
    })?;
    if rest == 0 {
        return Ok(file);
    }
    let failed = |err| Reply::with(554, FSError::Io(err).to_string());
    let size = file.size().map_err(failed)?;
    if rest > size {
        let text = format!("REST position ({rest}) > file size ({size})");
        return Err(Reply::with(554, text));
    }
    file.seek(SeekFrom::Start(rest)).map_err(failed)?;
    Ok(file)
}

/// Stock [`FTPHandler::ftp_stou`](crate::FTPHandler::ftp_stou).
pub fn stou(s: &mut FTPSession, line: &OsStr) {
    if s.rest > 0 {
        let text = "Can't STOU while REST request is pending.";
        s.respond(Reply::new(450, text));
        return;
    }
    if check::names_directory(line.as_bytes()) {
        s.respond(check::NAMES_DIRECTORY);
        return;
    }
    let authorizer = s.authorizer_handle();
    let (line, username) = (line.to_owned(), s.username.clone());
    let locking = Locking::new(s);
    let bounds = bounds(s);
    let rules = s.name_rules().cloned();
    files::open_upload(
        s,
        move |fs, state| {
            bounds.check_size(0)?;
            state.forget_checks();
            let unique = Unique {
                authorizer: &authorizer,
                username: &username,
                rules: rules.as_deref(),
                bounds,
            };
            let file = unique.make(fs, state, &line)?;
            let claim = match locking {
                Some(locking) => locking.lock(&*file)?,
                None => None,
            };
            Ok((file, claim))
        },
        |s, made| match made {
            Ok((file, claim)) => {
                let name = file.name().file_name().unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                transfers::receive(s, file, claim, Some(0), "STOU".into(), Some(&name));
            }
            Err(NotOpened::Reply(reply)) => s.respond(reply),
            Err(NotOpened::Busy { .. }) => s.respond(BUSY),
        },
    );
}

/// What decides whether a file with a unique name may be made.
struct Unique<'a> {
    authorizer: &'a Arc<dyn Authorizer>,
    username: &'a str,
    rules: Option<&'a NameRules>,
    bounds: Bounds,
}

impl Unique<'_> {
    /// Makes a file with a unique name that begins with `line`. Returns the reply if it fails.
    fn make(
        &self,
        fs: &dyn AbstractedFS,
        state: &mut FSState,
        line: &OsStr,
    ) -> Result<Box<dyn FSFile>, Reply> {
        let named = if line.is_empty() { state.cwd() } else { line };
        let path = fs.ftp2fs(state, named);
        let (dir, mut prefix) = match (line.is_empty(), path.parent(), path.file_name()) {
            (false, Some(dir), Some(name)) => (dir.to_owned(), name.to_owned()),
            _ => (path.clone(), OsString::from("ftpd")),
        };
        prefix.push(".");
        if !fs.validpath(state, &dir) {
            return Err(files::outside(fs, state, &dir).into());
        }
        // The permission is checked before anything is made, so that a user without it leaves no
        // trace. It is checked for a name that does not exist, because it is too long for one.
        let mut name = prefix.clone();
        name.push("x".repeat(NAME_MAX));
        let unique = dir.join(name);
        if !self
            .authorizer
            .has_perm(self.username, Perm::Write, Some(&unique))
        {
            return Err(Reply::new(550, "Not enough privileges."));
        }
        if let Some(rules) = self.rules {
            for path in [&path, &unique] {
                rules
                    .check(fs.fs2ftp(state, path).as_bytes())
                    .map_err(not_made)?;
            }
        }
        space::check(fs, state, &dir, self.bounds)?;
        files::ask_again_as(state, self.authorizer, self.username, &unique, Perm::Write);
        fs.mkstemp(state, &dir, &prefix).map_err(|err| match err {
            FSError::Outside | FSError::NotPermitted => err.into(),
            err if err.raw_os_error() == Some(libc::EEXIST) => {
                Reply::new(450, "No usable unique file name found.")
            }
            err => Reply::with(450, format!("{err}.")),
        })
    }
}

/// The reply to STOU with a name that is refused. A hidden name is as one in a directory that does
/// not exist.
fn not_made(err: FSError) -> Reply {
    match err.is_not_found() {
        true => Reply::with(450, format!("{err}.")),
        false => err.into(),
    }
}

/// Stock [`FTPHandler::ftp_rest`](crate::FTPHandler::ftp_rest). In TYPE A, only position 0 is
/// accepted: any other counts bytes of the file, and TYPE A sends other bytes.
pub fn rest(s: &mut FTPSession, line: &str) {
    let offset = parse_offset(line.as_bytes());
    let is_start = offset.as_ref().is_some_and(|offset| offset.position == 0);
    if s.transfer_type == TransferType::Ascii && !is_start {
        let text = "Resuming transfers not allowed in ASCII mode.";
        s.respond(Reply::new(501, text));
        return;
    }
    match offset {
        None => s.respond(Reply::new(501, "Invalid parameter.")),
        Some(offset) => {
            let text = format!("Restarting at position {}.", offset.text);
            s.respond(Reply::with(350, text));
            s.rest = offset.position;
        }
    }
}

/// Stock [`FTPHandler::ftp_abor`](crate::FTPHandler::ftp_abor).
///
/// A transfer that has begun, or is pending and has got 150, ends with a 426 of its own before the
/// reply to ABOR (RFC 959 §4.1.3).
pub fn abor<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let pending = s.pending.is_some();
    pending::forget(h, s, Some(VIA_ABOR));
    transfers::reply_now(h, s);
    let reply = match &s.data {
        DataState::None if pending => ABORTED,
        DataState::None | DataState::Ending(_) => Reply::new(225, "No transfer to abort."),
        DataState::Listening(_) => {
            s.data = DataState::None;
            if pending { ABORTED } else { CLOSED }
        }
        DataState::Connecting(_) => {
            dispatchers::fail_active(h, s);
            CLOSED
        }
        DataState::Open(_) if s.transfer_active() => {
            transfers::finish(h, s, Outcome::Ended(VIA_ABOR));
            ABORTED
        }
        DataState::Open(_) => {
            transfers::finish(h, s, Outcome::Silent);
            CLOSED
        }
    };
    s.respond(reply);
}

/// The reply to an upload to a file that another upload has (RFC 959 §4.2.2: file busy).
const BUSY: Reply = Reply::new(450, "Another upload to this file is in progress.");

/// How long an upload waits for another one that was asked to end.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(2);

/// How often it looks.
const TAKE_OVER_STEP: Duration = Duration::from_millis(50);

/// How often a file is opened that somebody replaces all the time.
const OPEN_TRIES: usize = 4;

/// Longer than any name of a file, in bytes.
const NAME_MAX: usize = 256;

/// The final reply of a transfer that ABOR ends.
const VIA_ABOR: Reply = Reply::new(426, "Transfer aborted via ABOR.");

const ABORTED: Reply = Reply::new(226, "ABOR command successful.");

const CLOSED: Reply = Reply::new(225, "ABOR command successful; data channel closed.");
