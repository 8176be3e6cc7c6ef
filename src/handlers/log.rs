//! The log lines of commands and transfers.

use std::fmt::Display;
use std::path::Path;

use super::command::{CmdArg, Command};
use super::hooks::Hooks;
use super::session::FTPSession;
use super::transfer_log::TransferLog;
use crate::log::TARGET;
use crate::proto::command::Role;
use crate::proto::reply::{Reply, repr};

/// Stock [`FTPHandler::respond`](crate::FTPHandler::respond): sends the reply, logs it at `level`,
/// and keeps it for the line of its command.
///
/// Every reply with a code goes through `respond`; of a reply with several lines, the last one. An
/// override calls this function, or a method such as
/// [`FTPSession::respond`](crate::FTPSession::respond), once: a reply must not get lost, because
/// clients count them. What it calls does not come back to it. What it has to know is in the
/// session, or in a place of its own: `static`, or a thread-local value. A panic ends the session,
/// whose last replies take the stock way.
///
/// ```
/// use ftpdlib::handlers::dispatch;
/// use ftpdlib::proto::reply::Reply;
/// use ftpdlib::{FTPHandler, FTPSession};
///
/// struct Terse;
///
/// impl FTPHandler for Terse {
///     fn respond(s: &mut FTPSession, level: log::Level, mut reply: Reply) {
///         if reply.code == 530 {
///             reply.text = "No.".into();
///         }
///         dispatch::respond(s, level, reply); // super
///     }
/// }
/// ```
pub fn respond(s: &mut FTPSession, level: log::Level, reply: Reply) {
    s.respond_at(level, reply);
}

/// Stock [`FTPHandler::log`](crate::FTPHandler::log): writes a line with the prefix of the session,
/// if the level is enabled.
///
/// Every line of a session goes through `log`, with its control characters escaped; lines of level
/// debug only if that level is enabled, and of the lines that a client can repeat without end the
/// first ones, as [`FTPSession::log_at`](crate::FTPSession::log_at) says. What an override calls
/// does not come back to it, and it must not wait for a disk. A panic ends the session.
pub fn log(s: &FTPSession, level: log::Level, message: &dyn Display) {
    s.write_line(level, message);
}

/// Stock [`FTPHandler::log_cmd`](crate::FTPHandler::log_cmd): logs the commands of
/// [`log_cmds_list`](crate::FTPConfig::log_cmds_list), and each transfer and listing that is
/// refused.
pub fn log_cmd(s: &FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, text: &str) {
    use log::Level::{Debug, Info};
    // A transfer that begins is logged when it ends.
    let is_refused = code >= 400 && s.proto_cmds().role(cmd) == Role::Transfers;
    if !(is_refused || s.logs_command(cmd))
        || log::log_enabled!(target: TARGET, Debug)
        || !s.wants_lines(Info)
    {
        return;
    }
    let arg = arg.to_text();
    let arg = arg.trim();
    if code >= 400 {
        s.log_refused(cmd, format_args!("{cmd} {arg} {code} {}", repr(text)));
    } else if HARMLESS.contains(&cmd) {
        s.log_harmless(cmd, format_args!("{cmd} {arg} {code}"));
    } else {
        s.log(format_args!("{cmd} {arg} {code}"));
    }
}

/// Sends the final reply of a transfer that the server has ended. It is logged as that of a command
/// that is refused: with the real path, if the transfer is that of a file or a stock listing.
pub(super) fn respond_to_transfer(
    s: &mut FTPSession,
    cmd: &str,
    path: Option<&Path>,
    reply: Reply,
) {
    use log::Level::{Debug, Info};
    let is_whole = reply.has_code() && !cmd.is_empty();
    if !is_whole || log::log_enabled!(target: TARGET, Debug) {
        // Lines of this level have the code, and the command is logged too.
        return s.respond_at(Info, reply);
    }
    let (code, text) = (reply.code, repr(&reply.text));
    match path {
        Some(path) => s.log_refused(cmd, format_args!("{cmd} {} {code} {text}", path.display())),
        None => s.log_refused(cmd, format_args!("{cmd} {code} {text}")),
    }
    s.respond(reply);
}

/// Stock [`FTPHandler::log_transfer`](crate::FTPHandler::log_transfer).
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

/// Logs a command with the reply that it has got, if it has got one. Returns whether it has.
pub(super) fn log_answer<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &Command<'_>,
) -> bool {
    let Some(reply) = s.take_answer().filter(|reply| reply.code != 0) else {
        return false;
    };
    answered(h, s, cmd, &reply);
    true
}

/// Logs a command with its reply, and tells the handler.
pub(super) fn answered<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &Command<'_>,
    reply: &Reply,
) {
    s.begin_answer();
    h.log_cmd(s, cmd.name, &cmd.arg, reply.code, &reply.text);
    h.on_command(s, cmd, reply);
}

/// Runs what may reply to an earlier PASS, and tells the handler about the reply.
pub(super) fn reply_to_pass<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    function: impl FnOnce(&mut H, &mut FTPSession),
) {
    s.begin_answer();
    function(h, s);
    if let Some(reply) = s.take_answer().filter(|reply| reply.code != 0) {
        let (name, arg) = ("PASS", CmdArg::None);
        h.on_command(s, &Command { name, arg }, &reply);
    }
}

/// The commands of the stock [`log_cmds_list`](crate::FTPConfig::log_cmds_list) that need no
/// permission to change files. RNFR has the old name of a file that RNTO renames.
const HARMLESS: [&str; 3] = ["CWD", "XCWD", "REIN"];
