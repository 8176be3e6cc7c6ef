//! The session from the greeting to its end: USER, PASS, REIN, QUIT.

use std::ffi::OsString;
use std::mem;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Instant;

use log::Level;

use crate::authorizers::{Answers, LaterVerdict, MSG_QUIT, Verdict, Work};
use crate::error::AuthenticationFailed;
use crate::filesystems::{FSState, LoginFS};
use crate::guard::{Answer, Attempt};
use crate::handlers::dispatchers;
use crate::handlers::files;
use crate::handlers::hooks::Hooks;
use crate::handlers::session::{Asked, DataState, FTPSession, Held, Leaving, Login, Refused};
use crate::handlers::transfers;
use crate::ioloop::{ChannelId, Remote};
use crate::limits::SlotHolder;
use crate::log::escape_name;
use crate::proto::reply::Reply;
use crate::server_state::ServerState;
use crate::time::after;

/// Stock [`FTPHandler::handle`](crate::FTPHandler::handle).
pub fn handle<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    h.on_connect(s);
    if !s.is_closing() {
        let banner = s.banner().to_owned();
        s.respond_message(220, &banner);
    }
}

/// Stock [`FTPHandler::handle_max_cons`](crate::FTPHandler::handle_max_cons).
pub fn handle_max_cons(s: &mut FTPSession) {
    s.respond_w_warning(Reply::new(
        421,
        "Too many connections. Service temporarily unavailable.",
    ));
    // Closed at once: there is no room for a connection that waits.
    s.close();
}

/// Stock [`FTPHandler::handle_max_cons_per_ip`](crate::FTPHandler::handle_max_cons_per_ip). If TLS
/// is implicit, the connection is closed without a reply, because a handshake would hold a slot that
/// others need.
pub fn handle_max_cons_per_ip(s: &mut FTPSession) {
    s.respond_w_warning(Reply::new(
        421,
        "Too many connections from the same IP address.",
    ));
    s.close_when_done();
}

/// Stock [`FTPHandler::handle_max_cons_per_user`](crate::FTPHandler::handle_max_cons_per_user). The
/// connection is closed, as in proftpd and pure-ftpd, because a client that cannot log in would only
/// hold a slot, and could continue to guess.
pub fn handle_max_cons_per_user(s: &mut FTPSession) {
    s.respond_w_warning(Reply::new(530, "Too many connections of this user."));
    s.close_when_done();
}

/// Stock [`FTPHandler::handle_refused_address`](crate::FTPHandler::handle_refused_address).
pub fn handle_refused_address(s: &mut FTPSession) {
    s.respond_w_warning(Reply::new(421, "Service not available to your address."));
    s.close();
}

/// Stock [`FTPHandler::handle_timeout`](crate::FTPHandler::handle_timeout).
pub fn handle_timeout(s: &mut FTPSession) {
    if s.chat.stream.is_handshaking() {
        s.log("SSL handshake timeout: the client has not finished it in time.");
        s.close();
        return;
    }
    s.respond_at(
        Level::Info,
        Reply::new(421, "Control connection timed out."),
    );
    s.close_when_done();
}

/// Stock [`FTPHandler::handle_login_timeout`](crate::FTPHandler::handle_login_timeout).
pub fn handle_login_timeout(s: &mut FTPSession) {
    if s.chat.stream.is_handshaking() {
        s.log("Login timed out during the TLS handshake.");
        s.close();
        return;
    }
    s.respond_at(Level::Info, Reply::new(421, "Login timed out."));
    s.close_when_done();
}

/// The client has not logged in in time.
pub(crate) fn time_out<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Login::Refused(refused) = &s.login {
        hold_slot(s, refused.until);
    }
    drop_refusal(h, s);
    // An answer that the authorizer still gives finds no question.
    s.login = Login::No;
    h.handle_login_timeout(s);
    if !s.is_closing() {
        // An override has left it open.
        s.close();
    }
}

/// Holds the slot of the session until the delay of a refused login is over: a client must not be
/// able to guess faster because its session ends before.
fn hold_slot(s: &FTPSession, until: Instant) {
    let slot = s.slot.hold();
    let delay = until.saturating_duration_since(s.now);
    s.remote.call(move |io| {
        io.call_later(delay, move |_| drop(slot));
    });
}

/// Stock [`FTPHandler::ftp_user`](crate::FTPHandler::ftp_user).
pub fn user<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    // The reply does not tell whether there is such a user (RFC 2577 §6).
    if s.authenticated() {
        h.flush_account(s);
        s.respond_at(
            Level::Info,
            Reply::new(
                331,
                "Previous account information was flushed, send password.",
            ),
        );
    } else {
        s.respond(Reply::new(331, "Username ok, send password."));
    }
    line.clone_into(&mut s.username);
}

/// Stock [`FTPHandler::ftp_pass`](crate::FTPHandler::ftp_pass).
pub fn pass<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    if s.authenticated() {
        s.respond(Reply::new(503, "User already authenticated."));
        return;
    }
    if s.username.is_empty() {
        s.respond(Reply::new(503, "Login with USER first."));
        return;
    }
    let answer = s.server.guard.ask(s.remote_ip(), &s.username, s.now);
    match answer {
        Answer::At(until, attempt) if until > s.now => {
            s.login = Login::Held(Box::new(Held {
                until,
                password: line.to_owned(),
                attempt,
            }));
        }
        Answer::At(_, attempt) => ask(h, s, line, attempt),
        Answer::Refused => refuse(s),
    }
}

/// No login from this address is decided now.
fn refuse(s: &mut FTPSession) {
    s.respond_w_warning(Reply::new(
        421,
        "Too many failed logins from your address. Try again later.",
    ));
    s.close_when_done();
}

/// Asks the authorizer.
fn ask<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str, attempt: Attempt) {
    let number = s.server.next_number();
    let later = || LaterVerdict::new(Box::new(LoginAnswers::new(s, number)));
    let local = || s.local_addr();
    let client = s.client(&local);
    let authorizer = s.authorizer();
    match authorizer.authenticate(&s.username, line, &client, &later) {
        Verdict::Now(result) => answer(h, s, line, result, attempt),
        Verdict::Later => {
            s.login = Login::Asked(Box::new(Asked {
                number,
                password: line.to_owned(),
                attempt,
            }));
        }
    }
}

/// The authorizer has answered a question of PASS.
pub(crate) fn answer_later<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    number: u64,
    result: Result<(), AuthenticationFailed>,
) {
    match mem::take(&mut s.login) {
        // The client has got its last reply.
        Login::Asked(asked) if asked.number == number && s.is_closing() => {}
        Login::Asked(asked) if asked.number == number => {
            answer(h, s, &asked.password, result, asked.attempt);
        }
        other => s.login = other,
    }
}

fn answer<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    password: &str,
    result: Result<(), AuthenticationFailed>,
    attempt: Attempt,
) {
    let home = match result {
        // What is wrong from here on is no fault of the client: a dropped attempt does not count.
        Ok(()) => s.authorizer().get_home_dir(&s.username),
        Err(err) => {
            // Some clients try it first. Without such an account it is no guess of a password.
            let is_probe = s.username == "anonymous" && !s.authorizer().has_user("anonymous");
            if !err.is_unavailable() && !is_probe {
                attempt.failed(s.now);
            }
            return h.handle_auth_failed(s, &err, password);
        }
    };
    match home {
        Ok(_) if !s.count_user() => h.handle_max_cons_per_user(s),
        Ok(home) => {
            let msg_login = s.authorizer().get_msg_login(&s.username);
            h.handle_auth_success(s, &home, password, &msg_login);
            // An override may have refused the login after all.
            match s.authenticated() {
                true => {
                    attempt.succeeded(s.now);
                    transfers::hand_over(h, s);
                }
                false => s.uncount_user(),
            }
            s.tell_tls_user();
        }
        Err(err) => h.handle_auth_failed(s, &err, password),
    }
}

/// Stock [`FTPHandler::handle_auth_success`](crate::FTPHandler::handle_auth_success).
pub fn handle_auth_success<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    home: &Path,
    password: &str,
    msg_login: &str,
) {
    s.login = Login::Done;
    password.clone_into(&mut s.password);
    let fs = h.abstracted_fs(s);
    if s.is_closing() {
        // The handler has no file system for the user.
        s.login = Login::No;
        s.password = String::new();
        return;
    }
    s.respond_message(230, msg_login);
    let name = escape_name(&s.username);
    s.log_harmless("PASS", format_args!("USER '{name}' logged in."));
    // A login without a password must not reset the failure counter.
    if s.username != "anonymous" {
        s.attempted_logins = 0;
    }
    let state = FSState::new(home, OsString::from("/"));
    let state = state.with_random(s.server.random.clone());
    let state = state.with_rules(s.name_rules().cloned());
    s.fs = Some(LoginFS::new(fs, state));
    files::run_with(
        h,
        s,
        |fs, state| {
            let cwd = fs.initial_cwd(state.root());
            state.set_cwd(cwd);
            Ok(())
        },
        |h, s, _| {
            let username = s.username.clone();
            h.on_login(s, &username);
            if !s.authorizer().keeps_password() {
                s.password = String::new();
            }
        },
    );
}

/// Stock [`FTPHandler::handle_auth_failed`](crate::FTPHandler::handle_auth_failed).
pub fn handle_auth_failed(s: &mut FTPSession, err: &AuthenticationFailed, password: &str) {
    let text = match err.to_string() {
        text if !text.is_empty() => capitalized(&text),
        _ if s.username == "anonymous" => "Anonymous access not allowed.".to_owned(),
        _ => "Authentication failed.".to_owned(),
    };
    let delay = s.server.guard.delay(s.remote_ip());
    s.login = Login::Refused(Box::new(Refused {
        until: after(s.now, s.auth_failed_timeout().max(delay)),
        username: mem::take(&mut s.username),
        password: password.to_owned(),
        text,
    }));
}

/// The delay of a login is over: asks the authorizer, or replies to a refused login.
pub(crate) fn end_delay<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let is_closing = s.is_closing();
    match mem::take(&mut s.login) {
        // No reply follows a 421.
        Login::Held(_) if is_closing => return,
        Login::Held(_) if s.server.guard.is_banned(s.remote_ip(), s.now) => return refuse(s),
        Login::Held(held) => return ask(h, s, &held.password, held.attempt),
        other => s.login = other,
    }
    if is_closing {
        return drop_refusal(h, s);
    }
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
    if s.attempted_logins >= s.max_login_attempts() {
        s.respond(Reply::with(530, format!("{text} Disconnecting.")));
        s.close_when_done();
    } else {
        s.respond(Reply::with(530, text));
    }
    log_failed(s, &username);
    h.on_login_failed(s, &username, &password);
}

/// The session ends before the reply to a refused login. The hook is called all the same.
pub(crate) fn drop_refusal<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Some(refused) = take_refused(s) {
        log_failed(s, &refused.username);
        h.on_login_failed(s, &refused.username, &refused.password);
    }
}

fn log_failed(s: &FTPSession, username: &str) {
    s.log(format_args!(
        "USER '{}' failed login.",
        escape_name(username)
    ));
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

/// Stock [`FTPHandler::ftp_rein`](crate::FTPHandler::ftp_rein): all is as after the greeting, but
/// TLS stays on the control connection, and failed logins still count.
pub fn rein<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    dispatchers::reset_data(h, s);
    h.flush_account(s);
    s.reset_parameters();
    s.respond(Reply::new(230, "Ready for new user."));
}

/// Stock [`FTPHandler::flush_account`](crate::FTPHandler::flush_account). A transfer that is in
/// progress or pending stays one of its user. The parameters of transfers stay, and with them the
/// data port: a listener, and a data connection (RFC 959 §4.1.1).
pub fn flush_account<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if s.authenticated() && !s.username.is_empty() {
        let username = s.username.clone();
        h.on_logout(s, &username);
    }
    s.forget_user();
    s.tell_tls_user();
    (s.rest, s.allo) = (0, 0);
    s.rnfr = None;
    s.leaving = Leaving::No;
}

/// Stock [`FTPHandler::ftp_quit`](crate::FTPHandler::ftp_quit).
pub fn quit<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if matches!(s.data, DataState::Connecting(_)) {
        dispatchers::fail_active(h, s);
    }
    let msg_quit = match s.authenticated() {
        true => s.authorizer().get_msg_quit(&s.username),
        false => MSG_QUIT.to_owned(),
    };
    s.respond_message(221, &msg_quit);
    if s.transfer_active() {
        // RFC 959: the transfer ends, with its reply, before the connection does.
        s.leaving = Leaving::Quit;
    } else if s.awaits_connection() {
        // The client may have connected already.
        s.leaving = Leaving::Promised { since: s.now };
    } else {
        s.leaving = Leaving::Quit;
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

/// The message that brings a late answer of the authorizer to its session.
pub(crate) struct LoginAnswer {
    pub(crate) number: u64,
    pub(crate) result: Result<(), AuthenticationFailed>,
}

/// How a late answer reaches the session that waits for it.
struct LoginAnswers {
    remote: Remote,
    session: ChannelId,
    number: u64,
    ip: IpAddr,
    server: Arc<ServerState>,
    /// The session's slots. Nothing holds them while the answer is merely awaited.
    holder: Weak<SlotHolder>,
}

impl LoginAnswers {
    /// The way of the answer to the question `number`.
    fn new(s: &FTPSession, number: u64) -> Self {
        Self {
            remote: s.remote(),
            session: s.id(),
            number,
            ip: s.remote_ip(),
            server: Arc::clone(&s.server),
            holder: Arc::downgrade(&s.slot.hold()),
        }
    }
}

impl Answers for LoginAnswers {
    fn answer(&self, result: Result<(), AuthenticationFailed>) {
        let answer = LoginAnswer {
            number: self.number,
            result,
        };
        self.remote.send(self.session, Box::new(answer));
    }

    fn offload(self: Box<Self>, work: Work) -> Verdict {
        let (ip, holder) = (self.ip, self.holder.upgrade());
        let server = Arc::clone(&self.server);
        // If the job is dropped, the login is refused.
        let later = LaterVerdict::new(self);
        let job = move || {
            let _holder = holder;
            later.answer(work());
        };
        match server.pool.run(ip, job) {
            Ok(()) => Verdict::Later,
            // No fault of the client: it does not count.
            Err(full) => {
                let failed = AuthenticationFailed::unavailable(format!("{full}."));
                Verdict::Now(Err(failed))
            }
        }
    }
}
