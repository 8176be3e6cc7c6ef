//! The handler as the stock bodies see it.
//!
//! [`FTPHandler`](crate::FTPHandler) calls the stock bodies, and some of these call back a
//! method that the user may have overridden. [`Hooks`] declares the methods without bodies, so
//! that the stock bodies need not name `FTPHandler`, which is above them.

use std::any::Any;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::command::{CmdArg, Command};
use super::data::DTPHandler;
use super::session::{FTPSession, TimerId};
use super::transfer_log::TransferLog;
use crate::error::AuthenticationFailed;
use crate::filesystems::{AbstractedFS, OpenMode};
use crate::ioloop::Stream;
use crate::proto::command::CommandLine;
use crate::proto::reply::Reply;

/// Gives the list of all methods of the handler to a macro.
macro_rules! for_each_hook {
    ($macro:ident) => {
        $macro! {
            fn on_connect(s: &mut FTPSession);
            fn on_disconnect(s: &mut FTPSession);
            fn on_login(s: &mut FTPSession, username: &str);
            fn on_login_failed(s: &mut FTPSession, username: &str, password: &str);
            fn on_logout(s: &mut FTPSession, username: &str);
            fn on_file_sent(s: &mut FTPSession, file: &Path);
            fn on_file_received(s: &mut FTPSession, file: &Path);
            fn on_incomplete_file_sent(s: &mut FTPSession, file: &Path);
            fn on_incomplete_file_received(s: &mut FTPSession, file: &Path);
            fn confirm_transfer(s: &mut FTPSession, transfer: &TransferLog<'_>);
            fn on_timer(s: &mut FTPSession, id: TimerId);
            fn on_message(s: &mut FTPSession, message: Box<dyn Any + Send>);
            fn handle(s: &mut FTPSession);
            fn handle_max_cons(s: &mut FTPSession);
            fn handle_max_cons_per_ip(s: &mut FTPSession);
            fn handle_max_cons_per_user(s: &mut FTPSession);
            fn handle_refused_address(s: &mut FTPSession);
            fn handle_timeout(s: &mut FTPSession);
            fn handle_login_timeout(s: &mut FTPSession);
            fn pre_process_command(s: &mut FTPSession, line: &CommandLine<'_>);
            fn process_command(s: &mut FTPSession, cmd: &Command<'_>);
            fn flush_account(s: &mut FTPSession);
            fn handle_auth_failed(s: &mut FTPSession, err: &AuthenticationFailed, password: &str);
            fn handle_auth_success(s: &mut FTPSession, home: &Path, password: &str, msg_login: &str);
            fn secure_connection(s: &mut FTPSession);
            fn handle_ssl_established(s: &mut FTPSession);
            fn handle_ssl_shutdown(s: &mut FTPSession);
            fn handle_failed_ssl_handshake(s: &mut FTPSession);
            fn on_command(s: &mut FTPSession, cmd: &Command<'_>, reply: &Reply);
            fn log_cmd(s: &mut FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, text: &str);
            fn log_transfer(s: &mut FTPSession, transfer: &TransferLog<'_>);
            fn abstracted_fs(s: &mut FTPSession) -> Arc<dyn AbstractedFS>;
            fn dtp_handler(s: &FTPSession) -> Box<dyn DTPHandler>;
            fn handle_accepted(s: &mut FTPSession, stream: Stream, peer: SocketAddr);
            fn handle_connect(s: &mut FTPSession);
            fn handle_passive_timeout(s: &mut FTPSession);
            fn handle_active_timeout(s: &mut FTPSession);
            fn ftp_user(s: &mut FTPSession, line: &str);
            fn ftp_pass(s: &mut FTPSession, line: &str);
            fn ftp_cwd(s: &mut FTPSession, path: &Path);
            fn ftp_cdup(s: &mut FTPSession, path: &Path);
            fn ftp_rein(s: &mut FTPSession);
            fn ftp_quit(s: &mut FTPSession);
            fn ftp_port(s: &mut FTPSession, line: &str);
            fn ftp_pasv(s: &mut FTPSession);
            fn ftp_type(s: &mut FTPSession, line: &str);
            fn ftp_stru(s: &mut FTPSession, line: &str);
            fn ftp_mode(s: &mut FTPSession, line: &str);
            fn ftp_retr(s: &mut FTPSession, file: &Path);
            fn ftp_stor(s: &mut FTPSession, file: &Path, mode: OpenMode);
            fn ftp_stou(s: &mut FTPSession, line: &OsStr);
            fn ftp_appe(s: &mut FTPSession, file: &Path);
            fn ftp_allo(s: &mut FTPSession, line: &str);
            fn ftp_rest(s: &mut FTPSession, line: &str);
            fn ftp_rnfr(s: &mut FTPSession, path: &Path);
            fn ftp_rnto(s: &mut FTPSession, path: &Path);
            fn ftp_abor(s: &mut FTPSession);
            fn ftp_dele(s: &mut FTPSession, path: &Path);
            fn ftp_rmd(s: &mut FTPSession, path: &Path);
            fn ftp_mkd(s: &mut FTPSession, path: &Path);
            fn ftp_pwd(s: &mut FTPSession);
            fn ftp_list(s: &mut FTPSession, path: &Path);
            fn ftp_nlst(s: &mut FTPSession, path: &Path);
            fn ftp_syst(s: &mut FTPSession);
            fn ftp_stat(s: &mut FTPSession, path: Option<&Path>);
            fn ftp_help(s: &mut FTPSession, line: &str);
            fn ftp_noop(s: &mut FTPSession);
            fn ftp_feat(s: &mut FTPSession);
            fn ftp_opts(s: &mut FTPSession, line: &str);
            fn ftp_eprt(s: &mut FTPSession, line: &str);
            fn ftp_epsv(s: &mut FTPSession, line: &str);
            fn ftp_size(s: &mut FTPSession, path: &Path);
            fn ftp_mdtm(s: &mut FTPSession, path: &Path);
            fn ftp_mfmt(s: &mut FTPSession, path: &Path, timeval: &str);
            fn ftp_mlst(s: &mut FTPSession, path: &Path);
            fn ftp_mlsd(s: &mut FTPSession, path: &Path);
            fn ftp_site_chmod(s: &mut FTPSession, path: &Path, mode: &str);
            fn ftp_site_help(s: &mut FTPSession, line: &str);
            fn ftp_xcup(s: &mut FTPSession, path: &Path);
            fn ftp_xcwd(s: &mut FTPSession, path: &Path);
            fn ftp_xmkd(s: &mut FTPSession, path: &Path);
            fn ftp_xpwd(s: &mut FTPSession);
            fn ftp_xrmd(s: &mut FTPSession, path: &Path);
            fn ftp_auth(s: &mut FTPSession, line: &str);
            fn ftp_pbsz(s: &mut FTPSession, line: &str);
            fn ftp_prot(s: &mut FTPSession, line: &str);
            fn ftp_custom(s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>);
        }
    };
}

macro_rules! declare {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        /// Every method of [`FTPHandler`](crate::FTPHandler), as the stock bodies call it.
        ///
        /// Each `FTPHandler` implements this trait. Do not implement it yourself. A stock body
        /// takes `&mut impl Hooks`: in an override, pass `self`.
        #[allow(missing_docs, reason = "FTPHandler documents the methods")]
        pub trait Hooks {
            $(fn $name(&mut self, $($arg: $type),*) $(-> $result)?;)*
        }

        impl<H: Hooks + ?Sized> Hooks for Borrowed<'_, H> {
            $(fn $name(&mut self, $($arg: $type),*) $(-> $result)? {
                self.0.$name($($arg),*)
            })*
        }
    };
}

/// A handler that is borrowed. It has a size, so that it can become a `dyn Hooks`, whatever
/// the handler is.
pub(super) struct Borrowed<'a, H: ?Sized>(pub(super) &'a mut H);

for_each_hook!(declare);

pub(super) use for_each_hook;
