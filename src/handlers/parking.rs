//! How the results of a session's jobs come back to it.

use std::any::Any;

use super::command::{Command, OwnedCommand};
use super::hooks::Hooks;
use super::log::log_answer;
use super::pending;
use super::session::{FTPSession, JobDone, Leaving};
use super::transfers;

/// A job has ended: its result is handed to the hook when those in front of it have ended.
pub(super) fn come_back<H: Hooks + 'static>(h: &mut H, s: &mut FTPSession, done: JobDone) {
    let Some(result) = done.result else {
        s.close();
        return;
    };
    if let Some(parked) = &mut s.parked {
        parked.set_result(done.number, result);
    }
    while !s.chat.is_closed()
        && let Some((then, result)) = s.parked.as_mut().and_then(|parked| parked.take_next())
    {
        s.begin_answer();
        let handler: &mut dyn Any = h;
        then(handler, s, result);
        log_late(h, s);
        pending::forget_replaced(h, s);
    }
    if s.parked.as_ref().is_none_or(|parked| parked.is_empty()) {
        unpark(h, s);
    }
}

fn unpark<H: Hooks>(h: &mut H, s: &mut FTPSession) {
    s.parked = None;
    transfers::settle_held(h, s);
    if s.is_parked() {
        // A callback of the transfer has begun another job.
        return;
    }
    if s.idle.is_some() {
        s.restart_idle();
    }
    if s.leaving == Leaving::Quit && !s.transfer_active() {
        s.quit_at_last();
    }
}

/// A command has returned without a reply. If it has started a job, it is logged with the reply
/// that will come.
pub(super) fn reply_later(s: &mut FTPSession, cmd: &Command<'_>) {
    if let Some(parked) = &mut s.parked
        && parked.command.is_none()
    {
        parked.command = Some(OwnedCommand::new(cmd));
    }
}

/// Logs the command that waited for its reply, if this has come.
fn log_late<H: Hooks>(h: &mut H, s: &mut FTPSession) {
    let command = s.parked.as_mut().and_then(|parked| parked.command.take());
    let Some(command) = command else { return };
    if !log_answer(h, s, &command.as_command())
        && let Some(parked) = &mut s.parked
    {
        parked.command = Some(command);
    }
}
