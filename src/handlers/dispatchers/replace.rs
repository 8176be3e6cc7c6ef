//! How a data connection, or an attempt to open one, makes room for another.

use std::net::SocketAddr;

use log::Level;

use crate::handlers::command::{CmdArg, Command};
use crate::handlers::data::Outcome;
use crate::handlers::hooks::Hooks;
use crate::handlers::log::answered;
use crate::handlers::pending;
use crate::handlers::session::{ActiveDTP, DataState, FTPSession};
use crate::handlers::transfers;
use crate::proto::reply::Reply;

/// Closes the data connection, or the attempt to open one, because the client asks for another.
pub(super) fn close_data<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    match &s.data {
        DataState::Open(open) => {
            let outcome = match open.channel.transfer_in_progress() {
                true => Outcome::Cut,
                false => Outcome::Silent,
            };
            transfers::finish(h, s, outcome);
        }
        DataState::Connecting(_) => fail_active(h, s),
        DataState::Listening(passive) => {
            let claimed = passive.claimed;
            s.data = DataState::None;
            if claimed {
                pending::forget(h, s, Some(Reply::cut(0)));
            }
        }
        DataState::Ending(_) => transfers::reply_now(h, s),
        DataState::None => {}
    }
}

/// All parameters of transfers are reset: closes the data connection, or the attempt to open one,
/// and ends the pending transfer. A transfer in progress goes on.
pub(crate) fn reset_data<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if !s.transfer_active() {
        close_data(h, s);
    }
    pending::forget(h, s, Some(Reply::cut(0)));
}

/// Whether the limits allow another socket. If not, the command is replied to.
pub(super) fn accepts_new_cons(s: &mut FTPSession) -> bool {
    let accepts = s.server.accepts_new_cons(s.remote_ip());
    if !accepts {
        let text = "Too many connections. Can't open data channel.";
        s.respond_w_warning(Reply::new(425, text));
    }
    accepts
}

/// The connection to the client has failed or is given up: 425.
pub(crate) fn fail_active<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let DataState::Connecting(active) = std::mem::take(&mut s.data) {
        let ActiveDTP { cmd, target, .. } = *active;
        reply_active(h, s, cmd, target, Level::Debug, CANNOT_CONNECT);
    }
}

/// Replies to the command that has begun a connection, and logs it with its outcome. Another
/// command may be in progress by now: it is not replied to by that.
pub(super) fn reply_active<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    name: &str,
    target: SocketAddr,
    level: Level,
    reply: Reply,
) {
    s.aside(|s| {
        s.respond_at(level, reply.clone());
        let arg = target.to_string();
        let arg = CmdArg::Text(&arg);
        answered(h, s, &Command { name, arg }, &reply);
    });
}

/// The reply to PORT and EPRT when the connection fails.
pub(super) const CANNOT_CONNECT: Reply = Reply::new(425, "Can't connect to specified address.");
