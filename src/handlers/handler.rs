//! The trait that users implement: names and stock bodies, and no state.

use std::any::Any;
use std::ffi::OsStr;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use log::Level;

use super::command::{CmdArg, Command};
use super::data::DTPHandler;
use super::files;
use super::session::{FTPSession, TimerId};
use super::transfer_log::TransferLog;
use super::{commands, dispatch, dispatchers};
use crate::error::AuthenticationFailed;
use crate::filesystems::{AbstractedFS, OpenMode};
use crate::ioloop::Stream;
use crate::proto::command::CommandLine;
use crate::proto::reply::Reply;

/// The behaviour of a session: as pyftpdlib's `FTPHandler`. Override the methods that you want
/// to change. Each session has its own value, so that fields of the type are attributes of the
/// session. The state that all handlers have is the [`FTPSession`], the first argument of each
/// method.
///
/// Callbacks (`on_*`) are empty. Every other method has the body of pyftpdlib's method. The
/// body is also a function, which an override calls as "super". All methods run on the loop,
/// so none may block: [`FTPSession::offload`] runs slow work elsewhere. A panic in a method is
/// logged and ends this session only.
///
/// Methods for commands reply with [`FTPSession::respond`]: exactly one final reply for each
/// command. A path that they get is a real path. It was checked to lie inside the user's root,
/// wherever links lead, and to be permitted; its links are not resolved.
#[allow(unused_variables, reason = "callbacks are empty")]
pub trait FTPHandler {
    // --- callbacks

    /// A client has connected. The reply 220 is sent after this call.
    fn on_connect(&mut self, s: &mut FTPSession) {}

    /// The connection is closed. Called once after each [`on_connect`](Self::on_connect).
    fn on_disconnect(&mut self, s: &mut FTPSession) {}

    /// A user has logged in.
    fn on_login(&mut self, s: &mut FTPSession, username: &str) {}

    /// A login was refused. The client may be disconnected already.
    fn on_login_failed(&mut self, s: &mut FTPSession, username: &str, password: &str) {}

    /// A user has logged out by QUIT, REIN or another USER.
    fn on_logout(&mut self, s: &mut FTPSession, username: &str) {}

    /// A whole file was sent. One of these four methods is called for each transfer of a file.
    fn on_file_sent(&mut self, s: &mut FTPSession, file: &Path) {}

    /// A whole file was received, and is closed.
    fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {}

    /// A download has ended before the end of the file.
    fn on_incomplete_file_sent(&mut self, s: &mut FTPSession, file: &Path) {}

    /// An upload has ended early. The part that was received is closed.
    fn on_incomplete_file_received(&mut self, s: &mut FTPSession, file: &Path) {}

    /// A file was transferred whole and is closed, and its final reply comes next.
    /// [`FTPSession::set_final_reply`] replaces it, here or in the `then` of a job that begins here.
    fn confirm_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {}

    /// A command has its reply, which was logged: the outcome of its method, whenever it comes.
    /// [`FTPSession::replied`] has that of a stock body that replies before it returns, and lists
    /// the others. A transfer that begins has 125 or 150 here, and one of the four callbacks later.
    fn on_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>, reply: &Reply) {}

    /// A timer of [`FTPSession::call_later`] or [`FTPSession::call_every`] is due.
    fn on_timer(&mut self, s: &mut FTPSession, id: TimerId) {}

    /// A message has come, which [`Remote::send`](crate::ioloop::Remote::send) has sent to
    /// [`FTPSession::id`]: the way back from another thread.
    fn on_message(&mut self, s: &mut FTPSession, message: Box<dyn Any + Send>) {}

    // --- the life of a session

    /// Greets a new client: `on_connect`, then 220.
    fn handle(&mut self, s: &mut FTPSession) {
        commands::handle(self, s);
    }

    /// Turns away a client over [`max_cons`](crate::FTPServer::set_max_cons): 421.
    fn handle_max_cons(&mut self, s: &mut FTPSession) {
        commands::handle_max_cons(s);
    }

    /// Turns away a client over [`max_cons_per_ip`](crate::FTPServer::set_max_cons_per_ip): 421.
    fn handle_max_cons_per_ip(&mut self, s: &mut FTPSession) {
        commands::handle_max_cons_per_ip(s);
    }

    /// Turns away a client over
    /// [`max_cons_per_user`](crate::FTPServer::set_max_cons_per_user) whose password was right:
    /// 530, and closed. It is no failed login, and does not reset their number.
    fn handle_max_cons_per_user(&mut self, s: &mut FTPSession) {
        commands::handle_max_cons_per_user(s);
    }

    /// Turns away a client whose address is not in [`allow_from`](crate::FTPConfig::allow_from) or
    /// is in [`deny_from`](crate::FTPConfig::deny_from): 421.
    fn handle_refused_address(&mut self, s: &mut FTPSession) {
        commands::handle_refused_address(s);
    }

    /// The client was silent for [`timeout`](crate::FTPConfig::timeout): 421, and closed.
    fn handle_timeout(&mut self, s: &mut FTPSession) {
        commands::handle_timeout(s);
    }

    /// No login within [`login_timeout`](crate::FTPConfig::login_timeout): 421, and closed.
    fn handle_login_timeout(&mut self, s: &mut FTPSession) {
        commands::handle_login_timeout(s);
    }

    /// Checks a command line, and calls [`process_command`](Self::process_command).
    fn pre_process_command(&mut self, s: &mut FTPSession, line: &CommandLine<'_>) {
        dispatch::pre_process_command(self, s, line);
    }

    /// Calls the method of a checked command, then [`log_cmd`](Self::log_cmd).
    fn process_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>) {
        dispatch::process_command(self, s, cmd);
    }

    /// Logs the user out, as REIN and another USER do.
    fn flush_account(&mut self, s: &mut FTPSession) {
        commands::flush_account(self, s);
    }

    /// A login was refused: replies 530 after
    /// [`auth_failed_timeout`](crate::FTPConfig::auth_failed_timeout), and reads no command before.
    fn handle_auth_failed(
        &mut self,
        s: &mut FTPSession,
        err: &AuthenticationFailed,
        password: &str,
    ) {
        commands::handle_auth_failed(s, err, password);
    }

    /// A login was accepted: replies 230, then calls `on_login`.
    fn handle_auth_success(
        &mut self,
        s: &mut FTPSession,
        home: &Path,
        password: &str,
        msg_login: &str,
    ) {
        commands::handle_auth_success(self, s, home, password, msg_login);
    }

    /// Chooses the file system of the user who logs in, before the reply 230: as pyftpdlib makes
    /// its `abstracted_fs`. The stock body takes the one that all sessions share. One of your own
    /// lasts as long as the login and its transfers. To refuse the login, respond 530 and close.
    fn abstracted_fs(&mut self, s: &mut FTPSession) -> Arc<dyn AbstractedFS> {
        files::of_settings(s)
    }

    // --- TLS on the control connection

    /// Begins TLS: after the reply to AUTH, or at once if TLS is implicit.
    fn secure_connection(&mut self, s: &mut FTPSession) {
        commands::secure_connection(s);
    }

    /// The handshake of the control connection is finished.
    fn handle_ssl_established(&mut self, s: &mut FTPSession) {}

    /// The control connection under TLS has ended. It is closed after this call.
    fn handle_ssl_shutdown(&mut self, s: &mut FTPSession) {}

    /// The handshake of the control connection has failed. The stock body closes the session.
    fn handle_failed_ssl_handshake(&mut self, s: &mut FTPSession) {
        commands::handle_failed_ssl_handshake(s);
    }

    // --- replies and the log

    /// Sends a reply: [`FTPSession::respond`] and the like call this. It has no `self`, because a
    /// method of the handler is running then. See [`dispatch::respond`].
    fn respond(s: &mut FTPSession, level: Level, reply: Reply)
    where
        Self: Sized,
    {
        dispatch::respond(s, level, reply);
    }

    /// Logs a message of a session: [`FTPSession::log`] and the like call this. It has no `self`,
    /// as [`respond`](Self::respond). See [`dispatch::log`].
    fn log(s: &FTPSession, level: Level, message: &dyn Display)
    where
        Self: Sized,
    {
        dispatch::log(s, level, message);
    }

    /// Logs a command and its reply. The stock body logs the commands in
    /// [`log_cmds_list`](crate::FTPConfig::log_cmds_list).
    fn log_cmd(&mut self, s: &mut FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, text: &str) {
        dispatch::log_cmd(s, cmd, arg, code, text);
    }

    /// Logs the transfer of a file.
    fn log_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        dispatch::log_transfer(s, transfer);
    }

    // --- data connections that are not open yet

    /// Makes the handler of a data connection. The stock body uses
    /// [`FTPConfig::dtp_handler`](crate::FTPConfig::dtp_handler).
    fn dtp_handler(&mut self, s: &FTPSession) -> Box<dyn DTPHandler> {
        s.new_dtp_handler()
    }

    /// A connection to the passive listener was accepted: as `PassiveDTP.handle_accepted`.
    fn handle_accepted(&mut self, s: &mut FTPSession, stream: Stream, peer: SocketAddr) {
        dispatchers::handle_accepted(self, s, stream, peer);
    }

    /// The active connection is established: as `ActiveDTP.handle_connect`. Replies 200.
    fn handle_connect(&mut self, s: &mut FTPSession) {
        dispatchers::handle_connect(self, s);
    }

    /// The client has not connected to the passive listener in time: 421.
    fn handle_passive_timeout(&mut self, s: &mut FTPSession) {
        dispatchers::handle_passive_timeout(self, s);
    }

    /// The active connection was not established in time: 421.
    fn handle_active_timeout(&mut self, s: &mut FTPSession) {
        dispatchers::handle_active_timeout(self, s);
    }

    // --- commands, in the order of RFC 959, then of the others

    /// USER (RFC 959 §4.1.1): 331.
    fn ftp_user(&mut self, s: &mut FTPSession, line: &str) {
        commands::user(self, s, line);
    }

    /// PASS (RFC 959 §4.1.1): 230, 503, 530.
    fn ftp_pass(&mut self, s: &mut FTPSession, line: &str) {
        commands::pass(self, s, line);
    }

    /// CWD (RFC 959 §4.1.1): 250, 550.
    fn ftp_cwd(&mut self, s: &mut FTPSession, path: &Path) {
        commands::cwd(s, path);
    }

    /// CDUP (RFC 959 §4.1.1): 250, 550, as CWD.
    fn ftp_cdup(&mut self, s: &mut FTPSession, path: &Path) {
        self.ftp_cwd(s, path);
    }

    /// REIN (RFC 959 §4.1.1): 230.
    fn ftp_rein(&mut self, s: &mut FTPSession) {
        commands::rein(self, s);
    }

    /// QUIT (RFC 959 §4.1.1): 221. A transfer may finish first.
    fn ftp_quit(&mut self, s: &mut FTPSession) {
        commands::quit(self, s);
    }

    /// PORT (RFC 959 §4.1.2): 200 once connected, 421, 425, 501, 502.
    fn ftp_port(&mut self, s: &mut FTPSession, line: &str) {
        commands::port(self, s, line);
    }

    /// PASV (RFC 959 §4.1.2): 227, 425, 501.
    fn ftp_pasv(&mut self, s: &mut FTPSession) {
        commands::pasv(self, s);
    }

    /// TYPE (RFC 959 §4.1.2): 200, 504.
    fn ftp_type(&mut self, s: &mut FTPSession, line: &str) {
        commands::type_(s, line);
    }

    /// STRU (RFC 959 §4.1.2): 200, 501, 504.
    fn ftp_stru(&mut self, s: &mut FTPSession, line: &str) {
        commands::stru(s, line);
    }

    /// MODE (RFC 959 §4.1.2): 200, 501, 504.
    fn ftp_mode(&mut self, s: &mut FTPSession, line: &str) {
        commands::mode(s, line);
    }

    /// RETR (RFC 959 §4.1.3): 125 or 150, then 226 or 426; 550, 554.
    fn ftp_retr(&mut self, s: &mut FTPSession, file: &Path) {
        commands::retr(s, file);
    }

    /// STOR (RFC 959 §4.1.3): 125 or 150, then 226, 426, 452 or 552; 450, 452, 550, 552, 553,
    /// 554. APPE comes here too, with [`OpenMode::Append`].
    fn ftp_stor(&mut self, s: &mut FTPSession, file: &Path, mode: OpenMode) {
        commands::stor(s, file, mode);
    }

    /// STOU (RFC 959 §4.1.3, RFC 1123 §4.1.2.9): as STOR; 450. `line` is an FTP
    /// path, or empty.
    fn ftp_stou(&mut self, s: &mut FTPSession, line: &OsStr) {
        commands::stou(s, line);
    }

    /// APPE (RFC 959 §4.1.3): as STOR; 450.
    fn ftp_appe(&mut self, s: &mut FTPSession, file: &Path) {
        commands::appe(self, s, file);
    }

    /// ALLO (RFC 959 §4.1.3): 202.
    fn ftp_allo(&mut self, s: &mut FTPSession, line: &str) {
        commands::allo(s);
    }

    /// REST (RFC 3659 §5): 350, 501.
    fn ftp_rest(&mut self, s: &mut FTPSession, line: &str) {
        commands::rest(s, line);
    }

    /// RNFR (RFC 959 §4.1.3): 350, 550.
    fn ftp_rnfr(&mut self, s: &mut FTPSession, path: &Path) {
        commands::rnfr(s, path);
    }

    /// RNTO (RFC 959 §4.1.3): 250, 503, 550.
    fn ftp_rnto(&mut self, s: &mut FTPSession, path: &Path) {
        commands::rnto(s, path);
    }

    /// ABOR (RFC 959 §4.1.3): 225, or 426 and 226.
    fn ftp_abor(&mut self, s: &mut FTPSession) {
        commands::abor(self, s);
    }

    /// DELE (RFC 959 §4.1.3): 250, 550.
    fn ftp_dele(&mut self, s: &mut FTPSession, path: &Path) {
        commands::dele(s, path);
    }

    /// RMD (RFC 959 §4.1.3): 250, 550.
    fn ftp_rmd(&mut self, s: &mut FTPSession, path: &Path) {
        commands::rmd(s, path);
    }

    /// MKD (RFC 959 §4.1.3): 257, 550.
    fn ftp_mkd(&mut self, s: &mut FTPSession, path: &Path) {
        commands::mkd(s, path);
    }

    /// PWD (RFC 959 §4.1.3): 257.
    fn ftp_pwd(&mut self, s: &mut FTPSession) {
        commands::pwd(s);
    }

    /// LIST (RFC 959 §4.1.3): 125 or 150, then 226 or 426; 550.
    fn ftp_list(&mut self, s: &mut FTPSession, path: &Path) {
        commands::list(s, path);
    }

    /// NLST (RFC 959 §4.1.3): as LIST.
    fn ftp_nlst(&mut self, s: &mut FTPSession, path: &Path) {
        commands::nlst(s, path);
    }

    /// SYST (RFC 959 §4.1.3): 215.
    fn ftp_syst(&mut self, s: &mut FTPSession) {
        commands::syst(s);
    }

    /// STAT (RFC 959 §4.1.3): 211 about the session, 213 about a path; 550.
    fn ftp_stat(&mut self, s: &mut FTPSession, path: Option<&Path>) {
        commands::stat(s, path);
    }

    /// HELP (RFC 959 §4.1.3): 214, 501.
    fn ftp_help(&mut self, s: &mut FTPSession, line: &str) {
        commands::help(s, line);
    }

    /// NOOP (RFC 959 §4.1.3): 200.
    fn ftp_noop(&mut self, s: &mut FTPSession) {
        commands::noop(s);
    }

    /// FEAT (RFC 2389 §3): 211.
    fn ftp_feat(&mut self, s: &mut FTPSession) {
        commands::feat(s);
    }

    /// OPTS (RFC 2389 §4): 200, 501.
    fn ftp_opts(&mut self, s: &mut FTPSession, line: &str) {
        commands::opts(s, line);
    }

    /// EPRT (RFC 2428 §2): as PORT; 522.
    fn ftp_eprt(&mut self, s: &mut FTPSession, line: &str) {
        commands::eprt(self, s, line);
    }

    /// EPSV (RFC 2428 §3): 229, 220 for ALL, 425, 501, 522.
    fn ftp_epsv(&mut self, s: &mut FTPSession, line: &str) {
        commands::epsv(self, s, line);
    }

    /// SIZE (RFC 3659 §4): 213, 550.
    fn ftp_size(&mut self, s: &mut FTPSession, path: &Path) {
        commands::size(s, path);
    }

    /// MDTM (RFC 3659 §3): 213, 550.
    fn ftp_mdtm(&mut self, s: &mut FTPSession, path: &Path) {
        commands::mdtm(s, path);
    }

    /// MFMT (draft-somers-ftp-mfxx-04): 213, 501, 550. `timeval` is `YYYYMMDDHHMMSS`; of a fraction
    /// after it nothing is used. The path may be one of a directory.
    fn ftp_mfmt(&mut self, s: &mut FTPSession, path: &Path, timeval: &str) {
        commands::mfmt(s, path, timeval);
    }

    /// MLST (RFC 3659 §7): 250, 550.
    fn ftp_mlst(&mut self, s: &mut FTPSession, path: &Path) {
        commands::mlst(s, path);
    }

    /// MLSD (RFC 3659 §7): as LIST; 501.
    fn ftp_mlsd(&mut self, s: &mut FTPSession, path: &Path) {
        commands::mlsd(s, path);
    }

    /// SITE CHMOD: 200, 501, 550. `mode` should be three or four octal digits.
    fn ftp_site_chmod(&mut self, s: &mut FTPSession, path: &Path, mode: &str) {
        commands::site_chmod(s, path, mode);
    }

    /// SITE HELP: 214, 501.
    fn ftp_site_help(&mut self, s: &mut FTPSession, line: &str) {
        commands::site_help(s, line);
    }

    /// XCUP (RFC 775), as CDUP.
    fn ftp_xcup(&mut self, s: &mut FTPSession, path: &Path) {
        self.ftp_cdup(s, path);
    }

    /// XCWD (RFC 775), as CWD.
    fn ftp_xcwd(&mut self, s: &mut FTPSession, path: &Path) {
        self.ftp_cwd(s, path);
    }

    /// XMKD (RFC 775), as MKD.
    fn ftp_xmkd(&mut self, s: &mut FTPSession, path: &Path) {
        self.ftp_mkd(s, path);
    }

    /// XPWD (RFC 775), as PWD.
    fn ftp_xpwd(&mut self, s: &mut FTPSession) {
        self.ftp_pwd(s);
    }

    /// XRMD (RFC 775), as RMD.
    fn ftp_xrmd(&mut self, s: &mut FTPSession, path: &Path) {
        self.ftp_rmd(s, path);
    }

    /// AUTH (RFC 4217 §4): 234, then TLS; 502, 503.
    fn ftp_auth(&mut self, s: &mut FTPSession, line: &str) {
        commands::auth(self, s, line);
    }

    /// PBSZ (RFC 4217 §8): 200, 503.
    fn ftp_pbsz(&mut self, s: &mut FTPSession, line: &str) {
        commands::pbsz(s, line);
    }

    /// PROT (RFC 4217 §9): 200, 502, 503, 521.
    fn ftp_prot(&mut self, s: &mut FTPSession, line: &str) {
        commands::prot(s, line);
    }

    /// A command that was added to [`proto_cmds`](crate::FTPConfig::proto_cmds).
    /// With a permission its argument is a checked real path.
    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        commands::custom(s, cmd);
    }
}
