//! The command lines of a client, and what is done with those of one that has gone.

use super::dispatch;
use super::dispatchers;
use super::hooks::Hooks;
use super::pending;
use super::session::{DataState, FTPSession, GONE_SILENCE};
use super::turn::{is_hello, is_http};
use crate::ioloop::line::Step;
use crate::proto::command::CommandLine;
use crate::proto::reply::Reply;
use crate::time::after;

/// Runs a command line.
pub(super) fn run_line<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, piece: &[u8]) {
    if s.idle.is_some() {
        s.restart_idle();
    }
    let is_first = !std::mem::replace(&mut s.spoken, true);
    if is_first && is_hello(piece) {
        s.log(if s.tls_acceptor().is_some() {
            "the client begins with TLS at once: set it to explicit FTPS (AUTH TLS)."
        } else {
            "the client begins with TLS, which this server does not have."
        });
    }
    if is_first && is_http(piece) {
        // A browser can be made to send FTP commands in the body of a request.
        s.respond_w_warning(Reply::new(500, "This is an FTP server."));
        s.close_when_done();
        return;
    }
    match s.encoding().decode(piece, s.unicode_errors()) {
        Ok(decoded) => h.pre_process_command(s, &CommandLine::parse(&decoded)),
        Err(_) => {
            dispatch::not_decoded(s, &CommandLine::parse(piece).verb);
            s.respond(Reply::new(501, "Can't decode command."));
        }
    }
    pending::forget_replaced(h, s);
}

/// The control connection is lost. Returns whether an upload goes on without it: one in progress, or
/// one whose data connection is there.
pub(super) fn go_on_alone<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    if s.awaits_connection() {
        if let DataState::Listening(passive) = &mut s.data {
            // The event may come later.
            passive.ready = true;
        }
        dispatchers::drive_passive(h, s);
    }
    dispatchers::drive_active(h, s);
    run_held_upload(h, s);
    s.leave_after_upload()
}

/// The client has sent its last byte, and a command waits for PORT. Returns whether it waits on: for
/// the connection, within a bound.
pub(super) fn await_port<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    let latest = after(s.now, GONE_SILENCE);
    let DataState::Connecting(active) = &mut s.data else {
        return false;
    };
    active.deadline = Some(
        active
            .deadline
            .map_or(latest, |deadline| deadline.min(latest)),
    );
    dispatchers::drive_active(h, s);
    true
}

/// Runs the upload that waited for the data connection, if this is there.
fn run_held_upload<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let Some(channel) = s.data_channel() else {
        return;
    };
    if channel.transfer_in_progress() || s.is_leaving() || s.is_waiting() {
        return;
    }
    let kept = s.chat.take_kept();
    if let Step::Piece { piece, .. } = s.chat.split(&kept)
        && matches!(&*CommandLine::parse(piece).verb, "STOR" | "APPE" | "STOU")
    {
        run_line(h, s, piece);
    }
}
