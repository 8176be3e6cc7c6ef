//! The session from greeting to good-bye: USER, PASS, REIN, QUIT.

use std::mem;
use std::path::Path;

use log::Level;

use super::super::data::{self, Outcome};
use super::super::dispatchers;
use super::super::session::{Asked, DataState, Leaving, Login, Refused};
use super::super::{FTPHandler, FTPSession, TransferType};
use crate::authorizers::{LaterVerdict, MSG_QUIT, Verdict};
use crate::error::AuthenticationFailed;
use crate::filesystems::FSState;
use crate::time::after;

/// Stock [`FTPHandler::handle`].
pub fn handle<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    h.on_connect(s);
    if !s.is_closing() {
        let banner = s.config.banner.clone();
        s.respond_message(220, &banner);
    }
}

/// Stock [`FTPHandler::handle_max_cons`].
pub fn handle_max_cons(s: &mut FTPSession) {
    s.respond_w_warning("421 Too many connections. Service temporarily unavailable.");
    // At once: there is no room for it to wait.
    s.close();
}

/// Stock [`FTPHandler::handle_max_cons_per_ip`].
pub fn handle_max_cons_per_ip(s: &mut FTPSession) {
    s.respond_w_warning("421 Too many connections from the same IP address.");
    s.close_when_done();
}

/// Stock [`FTPHandler::handle_max_cons_per_user`].
pub fn handle_max_cons_per_user(s: &mut FTPSession) {
    s.respond_w_warning("530 Too many connections of this user.");
    s.close_when_done();
}

/// Stock [`FTPHandler::handle_timeout`].
pub fn handle_timeout(s: &mut FTPSession) {
    if s.chat.stream.is_handshaking() {
        s.log("SSL handshake timeout");
        s.close();
        return;
    }
    s.respond_at(Level::Info, "421 Control connection timed out.");
    s.close_when_done();
}

/// Stock [`FTPHandler::ftp_user`].
pub fn user<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    // Whether there is such a user is told to nobody (RFC 2577 §6).
    if s.authenticated() {
        h.flush_account(s);
        s.respond_at(
            Level::Info,
            "331 Previous account information was flushed, send password.",
        );
    } else {
        s.respond("331 Username ok, send password.");
    }
    line.clone_into(&mut s.username);
}

/// Stock [`FTPHandler::ftp_pass`].
pub fn pass<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    if s.authenticated() {
        s.respond("503 User already authenticated.");
        return;
    }
    if s.username.is_empty() {
        s.respond("503 Login with USER first.");
        return;
    }
    let number = s.server.next_number();
    let later = || LaterVerdict::new(s, number);
    let authorizer = std::sync::Arc::clone(&s.config.authorizer);
    match authorizer.authenticate(&s.username, line, s, &later) {
        Verdict::Now(result) => answer(h, s, line, result),
        Verdict::Later => {
            s.login = Login::Asked(Box::new(Asked {
                number,
                password: line.to_owned(),
            }));
        }
    }
}

/// The authorizer has answered a question that it was asked before.
pub(crate) fn answer_later<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    number: u64,
    result: Result<(), AuthenticationFailed>,
) {
    match mem::take(&mut s.login) {
        Login::Asked(asked) if asked.number == number => answer(h, s, &asked.password, result),
        other => s.login = other,
    }
}

fn answer<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    password: &str,
    result: Result<(), AuthenticationFailed>,
) {
    let home = result.and_then(|()| s.config.authorizer.get_home_dir(&s.username));
    match home {
        Ok(_) if !s.slot.assign_user(&s.username) => h.handle_max_cons_per_user(s),
        Ok(home) => {
            let msg_login = s.config.authorizer.get_msg_login(&s.username);
            h.handle_auth_success(s, &home, password, &msg_login);
            // A method of one's own may have thought better of it.
            if !s.authenticated() {
                s.slot.clear_user();
            }
        }
        Err(err) => h.handle_auth_failed(s, &err, password),
    }
}

/// Stock [`FTPHandler::handle_auth_success`].
pub fn handle_auth_success<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    home: &Path,
    password: &str,
    msg_login: &str,
) {
    s.respond_message(230, msg_login);
    s.log(format_args!("USER '{}' logged in.", s.username));
    s.login = Login::Done;
    password.clone_into(&mut s.password);
    // Who may enter without a password must not wash guesses clean.
    if s.username != "anonymous" {
        s.attempted_logins = 0;
    }
    let cwd = s.config.abstracted_fs.initial_cwd(home);
    s.fs = Some(FSState::new(home, cwd));
    let username = s.username.clone();
    h.on_login(s, &username);
}

/// Stock [`FTPHandler::handle_auth_failed`].
pub fn handle_auth_failed(s: &mut FTPSession, err: &AuthenticationFailed, password: &str) {
    let text = match err.to_string() {
        text if !text.is_empty() => capitalized(&text),
        _ if s.username == "anonymous" => "Anonymous access not allowed.".to_owned(),
        _ => "Authentication failed.".to_owned(),
    };
    s.login = Login::Refused(Box::new(Refused {
        until: after(s.now, s.config.auth_failed_timeout),
        username: mem::take(&mut s.username),
        password: password.to_owned(),
        text,
    }));
}

/// Replies to a refused login, when its time has come.
pub(crate) fn end_refusal<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let Some(refused) = take_refused(s) else {
        return;
    };
    let Refused {
        username,
        password,
        text,
        ..
    } = *refused;
    s.attempted_logins += 1;
    if s.attempted_logins >= s.config.max_login_attempts {
        s.respond(&format!("530 {text} Disconnecting."));
        s.close_when_done();
    } else {
        s.respond(&format!("530 {text}"));
    }
    s.log(format_args!("USER '{username}' failed login."));
    h.on_login_failed(s, &username, &password);
}

/// The session ends before the reply to a refused login: the hook is called still.
pub(crate) fn drop_refusal<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Some(refused) = take_refused(s) {
        s.log(format_args!("USER '{}' failed login.", refused.username));
        h.on_login_failed(s, &refused.username, &refused.password);
    }
}

fn take_refused(s: &mut FTPSession) -> Option<Box<Refused>> {
    match mem::take(&mut s.login) {
        Login::Refused(refused) => Some(refused),
        other => {
            s.login = other;
            None
        }
    }
}

/// Stock [`FTPHandler::ftp_rein`].
pub fn rein<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    h.flush_account(s);
    s.respond("230 Ready for new user.");
}

/// Stock [`FTPHandler::flush_account`]. A transfer in progress goes on.
pub fn flush_account<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    match &s.data {
        DataState::Open(_) if dispatchers::transfer_active(s) => {}
        DataState::Open(_) => data::finish(h, s, Outcome::Silent),
        DataState::Connecting(_) => dispatchers::fail_active(h, s),
        DataState::Listening(_) | DataState::None => s.data = DataState::None,
    }
    if s.authenticated() && !s.username.is_empty() {
        let username = s.username.clone();
        h.on_logout(s, &username);
    }
    s.slot.clear_user();
    s.login = Login::No;
    s.username = String::new();
    s.password = String::new();
    s.fs = None;
    s.transfer_type = TransferType::default();
    s.rest = 0;
    s.reset_prot();
    s.leaving = Leaving::No;
    data::forget_pending(h, s, None);
    s.rnfr = None;
}

/// Stock [`FTPHandler::ftp_quit`].
pub fn quit<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if matches!(s.data, DataState::Connecting(_)) {
        dispatchers::fail_active(h, s);
    }
    let msg_quit = match s.authenticated() {
        true => s.config.authorizer.get_msg_quit(&s.username),
        false => MSG_QUIT.to_owned(),
    };
    s.respond_message(221, &msg_quit);
    if dispatchers::transfer_active(s) {
        // RFC 959: the transfer ends with its reply before the connection does.
        s.leaving = Leaving::Quit;
    } else {
        s.close_when_done();
    }
    if s.authenticated() && !s.username.is_empty() {
        let username = s.username.clone();
        h.on_logout(s, &username);
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
