//! The trait that users override: names and stock bodies, and no state.

use std::any::Any;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::commands;
use super::dispatch::{self, CmdArg, Command};
use super::{DTPHandler, FTPSession, TimerId, dispatchers};
use crate::error::AuthenticationFailed;
use crate::filesystems::OpenMode;
use crate::ioloop::Stream;
use crate::proto::command::CommandLine;

/// What a session does: as pyftpdlib's `FTPHandler`, to be overridden method by
/// method. There is one value per session, so that fields of the type are
/// attributes of the session; the state that all handlers share is the
/// [`FTPSession`] that each method gets first.
///
/// Callbacks (`on_*`) are empty. Every other method has the body of pyftpdlib's,
/// which is also a function, to be called as "super". All run on the loop, so
/// none may wait: [`FTPSession::offload`] does what is slow. A panic in one of them
/// is logged and ends this session only.
///
/// Methods for commands reply with [`FTPSession::respond`]: exactly one final
/// reply for each command. A path that they get is one of the system's, checked to
/// lie inside the user's root, wherever links lead, and to be permitted; the links
/// in it are not resolved.
#[allow(unused_variables, reason = "callbacks are empty")]
pub trait FTPHandler {
    // --- callbacks

    /// A client has connected; the 220 reply comes after this.
    fn on_connect(&mut self, s: &mut FTPSession) {}

    /// The connection is closed. Called once for each [`on_connect`](Self::on_connect).
    fn on_disconnect(&mut self, s: &mut FTPSession) {}

    /// A user has logged in.
    fn on_login(&mut self, s: &mut FTPSession, username: &str) {}

    /// A login was refused; the client may be disconnected already.
    fn on_login_failed(&mut self, s: &mut FTPSession, username: &str, password: &str) {}

    /// A user has logged out by QUIT, REIN or another USER.
    fn on_logout(&mut self, s: &mut FTPSession, username: &str) {}

    /// A file was sent to its end. One of these four is called for each transfer.
    fn on_file_sent(&mut self, s: &mut FTPSession, file: &Path) {}

    /// A file was received to its end; it is closed.
    fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {}

    /// A download was cut short.
    fn on_incomplete_file_sent(&mut self, s: &mut FTPSession, file: &Path) {}

    /// An upload was cut short; the part that came is closed.
    fn on_incomplete_file_received(&mut self, s: &mut FTPSession, file: &Path) {}

    /// A timer of [`FTPSession::call_later`] or [`FTPSession::call_every`] is due.
    fn on_timer(&mut self, s: &mut FTPSession, id: TimerId) {}

    /// A message came, from [`Remote::send`](crate::ioloop::Remote::send) with
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
    /// Where TLS is implicit the connection is closed without a word: a handshake would
    /// hold a place of others.
    fn handle_max_cons_per_ip(&mut self, s: &mut FTPSession) {
        commands::handle_max_cons_per_ip(s);
    }

    /// Turns away a client over
    /// [`max_cons_per_user`](crate::FTPServer::set_max_cons_per_user), whose password
    /// was right: 530, and the connection is closed. It does not count as a failed
    /// login, and does not make those before forgotten.
    ///
    /// Closed as in proftpd and pure-ftpd: who cannot log in would only hold one of
    /// the connections of all, and could guess on.
    fn handle_max_cons_per_user(&mut self, s: &mut FTPSession) {
        commands::handle_max_cons_per_user(s);
    }

    /// The client was silent for [`timeout`](crate::FTPConfig::timeout): 421.
    fn handle_timeout(&mut self, s: &mut FTPSession) {
        commands::handle_timeout(s);
    }

    /// Checks a command line - known, argument, login, path, permission - and
    /// calls [`process_command`](Self::process_command).
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

    /// A login was refused: replies 530, but only after
    /// [`auth_failed_timeout`](crate::FTPConfig::auth_failed_timeout), until
    /// which no further command of this session is looked at.
    fn handle_auth_failed(
        &mut self,
        s: &mut FTPSession,
        err: &AuthenticationFailed,
        password: &str,
    ) {
        commands::handle_auth_failed(s, err, password);
    }

    /// A login was accepted: 230, then `on_login`.
    fn handle_auth_success(
        &mut self,
        s: &mut FTPSession,
        home: &Path,
        password: &str,
        msg_login: &str,
    ) {
        commands::handle_auth_success(self, s, home, password, msg_login);
    }

    // --- TLS on the control connection

    /// Begins TLS, after AUTH was replied to, or at once where TLS is implicit.
    fn secure_connection(&mut self, s: &mut FTPSession) {
        commands::secure_connection(s);
    }

    /// The handshake of the control connection is finished.
    fn handle_ssl_established(&mut self, s: &mut FTPSession) {}

    /// The control connection has said good-bye under TLS; it is closed after this.
    fn handle_ssl_shutdown(&mut self, s: &mut FTPSession) {}

    /// The handshake of the control connection has failed, which is logged: closes.
    fn handle_failed_ssl_handshake(&mut self, s: &mut FTPSession) {
        commands::handle_failed_ssl_handshake(s);
    }

    // --- log

    /// Logs a command and its reply: the stock body logs those that change files.
    fn log_cmd(&mut self, s: &mut FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, text: &str) {
        dispatch::log_cmd(s, cmd, arg, code, text);
    }

    /// Logs a transfer of a file.
    fn log_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        dispatch::log_transfer(s, transfer);
    }

    // --- data connections that are not made yet

    /// Makes the handler of a data connection: the stock body as the
    /// [settings](crate::FTPConfig::dtp_handler) say.
    fn dtp_handler(&mut self, s: &FTPSession) -> Box<dyn DTPHandler> {
        (s.config().dtp_handler)()
    }

    /// Somebody has connected to the passive listener: as `PassiveDTP.handle_accepted`.
    fn handle_accepted(&mut self, s: &mut FTPSession, stream: Stream, peer: SocketAddr) {
        dispatchers::handle_accepted(self, s, stream, peer);
    }

    /// The active connection is made: as `ActiveDTP.handle_connect`. Replies 200.
    fn handle_connect(&mut self, s: &mut FTPSession) {
        dispatchers::handle_connect(self, s);
    }

    /// Nobody has connected to the passive listener in time: 421.
    fn handle_passive_timeout(&mut self, s: &mut FTPSession) {
        dispatchers::handle_passive_timeout(self, s);
    }

    /// The active connection was not made in time: 421.
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

    /// PORT (RFC 959 §4.1.2): 200 once connected, 421, 425, 501.
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

    /// STOR (RFC 959 §4.1.3): 125 or 150, then 226 or 426; 550, 554. APPE comes
    /// here too, with [`OpenMode::Append`].
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

    /// MFMT (draft-somers-ftp-mfxx-04): 213, 550. `timeval` is `YYYYMMDDHHMMSS`.
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
        commands::pbsz(s);
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

/// The handler that overrides nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct StockHandler;

impl FTPHandler for StockHandler {}

/// What is logged of a transfer of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransferLog<'a> {
    /// The command: RETR, STOR, STOU or APPE.
    pub cmd: &'a str,
    /// The real path.
    pub filename: &'a Path,
    /// Whether it came from the client.
    pub receive: bool,
    /// Whether it was transferred to its end.
    pub completed: bool,
    /// From the opening of the data connection.
    pub elapsed: Duration,
    /// Bytes on the wire.
    pub bytes: u64,
}
