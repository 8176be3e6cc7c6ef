//! The deadlines of a session, and its end.

use std::time::Instant;

use log::Level;

use super::commands::{login, transfer};
use super::data::{Outcome, TAKEN_OVER};
use super::hooks::Hooks;
use super::log::reply_to_pass;
use super::pending;
use super::session::{DataState, Due, FTPSession, Leaving, TIMERS_MAX};
use super::transfers;
use crate::proto::reply::Reply;

/// The next deadline of a session.
pub(super) fn next_timeout(s: &FTPSession) -> Option<Instant> {
    let data = match &s.data {
        DataState::None => None,
        DataState::Listening(passive) => {
            let deadlines = [passive.listener.retry_at, passive.deadline];
            deadlines.into_iter().flatten().min()
        }
        DataState::Connecting(active) => active.deadline,
        DataState::Open(open) => open.next_timeout(),
        DataState::Ending(ending) => Some(ending.due),
    };
    [
        s.idle_deadline(),
        s.handshake_deadline(),
        s.login_deadline(),
        s.gone_deadline(),
        s.silence_deadline(),
        s.upload_wait.as_ref().map(|wait| wait.next),
        s.pending
            .as_ref()
            .and_then(|pending| pending.transfer.claim()?.look_at()),
        s.login.next_timeout(),
        data,
        s.next_timer(),
        s.repeats_due(),
    ]
    .into_iter()
    .flatten()
    .min()
}

/// Acts on each deadline that has passed.
pub(super) fn run_deadlines<H: Hooks + 'static>(h: &mut H, s: &mut FTPSession) {
    let now = s.now;
    let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
    // A reply that waits comes before those of other deadlines.
    transfers::reply_if_due(h, s);
    if due(s.idle_deadline()) {
        s.idle = None;
        match s.is_closing() {
            true => s.close(),
            false => h.handle_timeout(s),
        }
    }
    if due(s.handshake_deadline()) {
        h.handle_timeout(s);
        // An override may have left it open.
        s.close();
    }
    if due(s.login_deadline()) {
        login::time_out(h, s);
    }
    if due(s.gone_deadline()) {
        match s.leaving {
            Leaving::Promised { .. } => {
                s.data = DataState::None;
                pending::forget(h, s, Some(Reply::cut(0)));
            }
            _ => s.close(),
        }
    }
    if due(s.login.next_timeout()) {
        reply_to_pass(h, s, login::end_delay);
    }
    if due(s.upload_wait.as_ref().map(|wait| wait.next)) {
        transfer::retry_upload(h, s);
    }
    if s.pending
        .as_mut()
        .is_some_and(|pending| pending.transfer.is_taken_over(now))
    {
        if matches!(s.data, DataState::Listening(_)) {
            s.data = DataState::None;
        }
        pending::forget(h, s, Some(TAKEN_OVER));
    }
    let ended = match &mut s.data {
        DataState::Open(open) => open.check_deadlines(now),
        _ => None,
    };
    match &mut s.data {
        DataState::Open(_) => {
            if let Some(outcome) = ended {
                transfers::finish(h, s, outcome);
            }
        }
        DataState::Listening(passive) if due(passive.deadline) => h.handle_passive_timeout(s),
        DataState::Listening(passive) if due(passive.listener.retry_at) => {
            passive.listener.retry_at = None;
            passive.ready = true;
        }
        DataState::Connecting(active) if due(active.deadline) => h.handle_active_timeout(s),
        _ => {}
    }
    if due(s.repeats_due()) {
        s.report_repeats(false);
    }
    // A hook may set a timer that is due at once. It can wait for the next turn.
    for _ in 0..TIMERS_MAX {
        match s.take_due_timer() {
            Some(due) => call_timer(h, s, due),
            None => break,
        }
    }
}

fn call_timer<H: Hooks + 'static>(h: &mut H, s: &mut FTPSession, mut due: Due<FTPSession>) {
    match &mut due.then {
        None => h.on_timer(s, due.id),
        Some(then) => {
            then(h, s);
            s.put_back_timer(due);
        }
    }
}

/// Says goodbye, if the server ends and the session is at rest. Closes the session after QUIT, if
/// the transfer that it has waited for has not begun.
pub(super) fn leave(s: &mut FTPSession) {
    if matches!(s.leaving, Leaving::Promised { .. }) && s.pending.is_none() {
        s.quit_at_last();
    }
    if s.leaving != Leaving::Drained || !s.is_at_rest() {
        return;
    }
    if s.chat.stream.is_handshaking() {
        // Nothing can be sent before the end of the handshake, which may never come.
        s.close();
    } else if !s.is_closing() {
        // The process of a session is asked to make room by the same signal.
        let (level, reply) = match s.slot.is_asked_to_leave() {
            true => (Level::Debug, MAKES_ROOM),
            false => (Level::Info, Reply::new(421, "Service is shutting down.")),
        };
        s.respond_at(level, reply);
        s.close_when_done();
    }
}

/// Others need the slots of this session: closes it, unless something happens in it now.
pub(super) fn make_room(s: &mut FTPSession) {
    if s.authenticated() && !s.may_make_room() {
        s.slot.stay();
        return;
    }
    s.makes_room = true;
    s.server.limits.count_loss(s.remote_ip(), s.now);
    if !s.is_closing() && !s.chat.stream.is_handshaking() {
        s.respond_at(Level::Debug, MAKES_ROOM);
    }
    // It does not wait for the client to read that.
    s.close();
}

/// The program closes this session.
pub(super) fn close_by_program(s: &mut FTPSession) {
    if !s.is_closing() && !s.chat.stream.is_handshaking() {
        s.respond_at(Level::Info, CLOSED);
    }
    // It does not wait for the client to read that.
    s.close();
}

/// Runs one of the [`REAP_STEPS`] steps of the end of a session.
pub(super) fn reap_step<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, step: u8) {
    match step {
        1 => {
            transfers::reply_now(h, s);
            s.chat.last_flush();
            let is_unread = s.chat.may_linger() && s.chat.stream.is_readable();
            if s.leaving == Leaving::Drained || s.makes_room || !s.greeted || is_unread {
                // Commands that were not read would cause a reset, and cost the client its reply.
                s.chat.stream.discard_input();
            }
            if s.tls.as_ref().is_some_and(|tls| tls.handshake.is_none()) {
                h.handle_ssl_shutdown(s);
            }
        }
        2 => {
            transfers::finish(h, s, Outcome::Silent);
            s.data = DataState::None;
            transfers::give_up(h, s);
        }
        3 => pending::forget(h, s, None),
        4 => login::drop_refusal(h, s),
        _ => {
            s.report_repeats(true);
            s.log("FTP session closed (disconnect).");
            if s.greeted {
                h.on_disconnect(s);
            }
        }
    }
}

/// The reply to a session that ends because others need its slots.
const MAKES_ROOM: Reply = Reply::new(
    421,
    "Too many connections. This one is closed to make room for others.",
);

/// The reply to a session that the program closes.
const CLOSED: Reply = Reply::new(421, "This session is closed by the server.");

/// The steps of the end of a session.
pub(super) const REAP_STEPS: u8 = 5;
