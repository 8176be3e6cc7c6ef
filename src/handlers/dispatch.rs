//! From a command line to the method of the command.

use std::mem;
use std::path::Path;

use super::check::{self, Checked, Refusal};
use super::command::{CmdArg, Command};
use super::files;
use super::hooks::Hooks;
use super::log::{answered, log_answer};
use super::parking;
use super::session::FTPSession;
use crate::filesystems::{AbstractedFS, FSState, OpenMode};
use crate::log::TARGET;
use crate::proto::address::parse_offset;
use crate::proto::command::CommandLine;

pub use super::log::{log, log_cmd, log_transfer, respond};

/// Stock [`FTPHandler::pre_process_command`](crate::FTPHandler::pre_process_command).
pub fn pre_process_command<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    line: &CommandLine<'_>,
) {
    if log::log_enabled!(target: TARGET, log::Level::Debug) {
        s.logline(format_args!("<- {}", line.for_log()));
    }
    if mem::take(&mut s.rest_is_old) {
        s.rest = 0;
    }
    // A handle of the table, so that the session is free for the command.
    let cmds = s.proto_cmds_handle();
    let text = String::from_utf8_lossy(line.arg);
    if line.verb == "RNFR" {
        // Even if it is refused: RNTO must not rename what an earlier one has named.
        s.rnfr = None;
    }
    match check::line(s, &cmds, line, &text) {
        Err(refusal) => refuse(h, s, refusal),
        Ok(Checked::Run(cmd)) => h.process_command(s, &cmd),
        Ok(Checked::Status) => h.ftp_stat(s, None),
        Ok(Checked::Path(command, lookup)) => {
            let look_up = move |fs: &dyn AbstractedFS, state: &mut FSState| {
                state.forget_checks();
                lookup.run(fs, state)
            };
            files::run_with(h, s, look_up, move |h, s, found| {
                match command.permit(s, found) {
                    Err(refusal) => refuse(h, s, refusal),
                    Ok(path) => {
                        command.ask_again(s, &path);
                        h.process_command(s, &command.command(&path));
                    }
                }
            });
        }
    }
}

/// The size in the argument of ALLO (RFC 959 §4.1.3); 0 if there is none.
fn announced(text: &str) -> u64 {
    let size = text.split_ascii_whitespace().next().unwrap_or("");
    parse_offset(size.as_bytes()).map_or(0, |offset| offset.position)
}

/// A command whose argument cannot be decoded is refused.
pub(super) fn not_decoded(s: &mut FTPSession, verb: &str) {
    is_refused(s, verb);
    if verb == "RNFR" {
        s.rnfr = None;
    }
}

/// A command is refused. If it is a transfer, the next one must not take the position that REST has
/// given for this one.
fn is_refused(s: &mut FTPSession, cmd: &str) {
    if takes_rest(cmd) {
        (s.rest, s.allo) = (0, 0);
    }
}

/// Whether the command is a transfer, for which REST gives a position.
fn takes_rest(cmd: &str) -> bool {
    matches!(cmd, "APPE" | "RETR" | "STOR" | "STOU")
}

/// Replies to a command that is refused, and logs it.
fn refuse<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, refusal: Refusal<'_>) {
    let Refusal { cmd, arg, reply } = refusal;
    is_refused(s, &cmd);
    s.respond(reply.clone());
    if !cmd.is_empty() {
        let (name, arg) = (&*cmd, CmdArg::Text(&arg));
        answered(h, s, &Command { name, arg }, &reply);
    }
}

/// Stock [`FTPHandler::process_command`](crate::FTPHandler::process_command).
pub fn process_command<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, cmd: &Command<'_>) {
    if s.chat.is_closed() {
        return;
    }
    s.begin_answer();
    match check::tls_refusal(s, cmd.name) {
        Some(reply) => s.respond(reply),
        None => call(h, s, cmd),
    }
    if s.has_refused() {
        is_refused(s, cmd.name);
    }
    // An override may take the position in a later call, but before the next command.
    s.rest_is_old = s.rest > 0 && takes_rest(cmd.name);
    if !log_answer(h, s, cmd) {
        parking::reply_later(s, cmd);
    }
}

fn call<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, cmd: &Command<'_>) {
    match cmd.arg {
        CmdArg::Path(path) => call_with_path(h, s, cmd, path),
        CmdArg::Mode(mode, path) => h.ftp_site_chmod(s, path, mode),
        CmdArg::Time(timeval, path) => h.ftp_mfmt(s, path, timeval),
        CmdArg::Name(name) => h.ftp_stou(s, name),
        CmdArg::Text(text) => call_with_text(h, s, cmd, text),
        CmdArg::None => call_with_text(h, s, cmd, ""),
    }
}

fn call_with_path<H: Hooks + ?Sized>(
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

fn call_with_text<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, cmd: &Command<'_>, text: &str) {
    match cmd.name {
        "ABOR" => h.ftp_abor(s),
        "ALLO" => {
            s.allo = announced(text);
            h.ftp_allo(s, text);
        }
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
