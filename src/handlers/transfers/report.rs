//! What is said about a transfer that is over: its reply, its line of the log, and its callback.

use log::Level;

use crate::handlers::data::{Ended, Outcome};
use crate::handlers::hooks::Hooks;
use crate::handlers::log::respond_to_transfer;
use crate::handlers::session::{FTPSession, Leaving};
use crate::handlers::transfer_log::TransferLog;
use crate::proto::reply::Reply;

/// A transfer is over, and its file is closed. If it is complete, the handler may decide about the
/// final reply, which waits for the jobs of the handler.
pub(super) fn settle<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, ended: Ended) {
    // It waits no longer, if a hook has begun another transfer meanwhile.
    settle_held(h, s);
    let is_complete = matches!(ended.outcome, Outcome::Complete);
    let name = ended.file_name.clone();
    let name = name.filter(|_| is_complete && !s.has_stock_commands());
    let Some(filename) = name else {
        return conclude(h, s, ended, None);
    };
    let (cmd, receive) = (ended.cmd.clone(), ended.receive);
    let (elapsed, bytes) = (ended.elapsed, ended.bytes);
    // If the handler panics, the end of the session reports the transfer.
    s.hold_reply(ended);
    let transfer = TransferLog {
        cmd: &cmd,
        filename: &filename,
        receive,
        completed: true,
        elapsed,
        bytes,
    };
    let ask = |s: &mut FTPSession| s.ask_about_reply(|s| h.confirm_transfer(s, &transfer));
    if !s.as_transfer_user(|s| s.aside(ask)) {
        settle_held(h, s);
    }
}

/// The jobs that the final reply of a transfer has waited for are done.
pub(in crate::handlers) fn settle_held<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Some(ended) = s.take_held_reply() {
        let verdict = s.take_verdict();
        conclude(h, s, ended, verdict);
    }
}

/// The session ends, and the final reply of a transfer still waits: nothing was decided, so the
/// transfer is not complete.
pub(in crate::handlers) fn give_up<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Some(mut ended) = s.take_held_reply() {
        s.take_verdict();
        ended.outcome = Outcome::Silent;
        conclude(h, s, ended, None);
    }
}

/// Replies, logs, and calls one of the four callbacks of files, as the user of the transfer. The
/// verdict of the handler takes the place of the stock reply.
fn conclude<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    mut ended: Ended,
    verdict: Option<Reply>,
) {
    // The client may store the file anew as soon as it has the reply.
    drop(ended.claim.take());
    let verdict = verdict.map(|reply| final_reply(s, reply));
    if let Some(reply) = verdict.as_ref().filter(|reply| reply.is_failure()) {
        ended.outcome = Outcome::Ended(reply.clone());
    }
    let report_all = |s: &mut FTPSession| {
        match (&ended.outcome, verdict) {
            (Outcome::Complete, Some(reply)) => s.respond(reply),
            _ => reply(s, &ended),
        }
        if let Some(transfer) = transfer_log(&ended) {
            report(h, s, &transfer);
        }
    };
    s.as_last_transfer_user(|s| s.aside(report_all));
    let leaves = match s.leaving {
        Leaving::No | Leaving::Drained | Leaving::Promised { .. } => false,
        Leaving::Quit => {
            if !s.is_parked() {
                s.quit_at_last();
            }
            false
        }
        Leaving::Gone { .. } => true,
    };
    if leaves || matches!(ended.outcome, Outcome::TimedOut) {
        s.close_when_done();
    }
    s.restart_idle();
}

/// The reply of the handler, if it is a final one.
fn final_reply(s: &FTPSession, reply: Reply) -> Reply {
    if (200..=299).contains(&reply.code) || reply.is_failure() {
        return reply;
    }
    s.log_at(
        Level::Error,
        format_args!("set_final_reply: not a final reply, 451 is sent: {reply}"),
    );
    Reply::new(451, "Requested action aborted: local error in processing.")
}

/// What is logged about the transfer, if it is one of a file.
fn transfer_log(ended: &Ended) -> Option<TransferLog<'_>> {
    let filename = ended.file_name.as_deref()?;
    Some(TransferLog {
        cmd: &ended.cmd,
        filename,
        receive: ended.receive,
        completed: matches!(ended.outcome, Outcome::Complete),
        elapsed: ended.elapsed,
        bytes: ended.bytes,
    })
}

/// Logs the transfer of a file, and calls one of the four callbacks of files.
pub(in crate::handlers) fn report<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    transfer: &TransferLog<'_>,
) {
    h.log_transfer(s, transfer);
    let filename = transfer.filename;
    match (transfer.receive, transfer.completed) {
        (true, true) => h.on_file_received(s, filename),
        (false, true) => h.on_file_sent(s, filename),
        (true, false) => h.on_incomplete_file_received(s, filename),
        (false, false) => h.on_incomplete_file_sent(s, filename),
    }
}

fn reply(s: &mut FTPSession, ended: &Ended) {
    let path = ended.file_name.as_deref().or(ended.listed.as_deref());
    let mut log_and_respond = |reply| respond_to_transfer(s, &ended.cmd, path, reply);
    match &ended.outcome {
        Outcome::Complete => s.respond(Reply::new(226, "Transfer complete.")),
        // A file has a log line of its own, with the number of bytes.
        Outcome::Cut if ended.listed.is_some() => log_and_respond(Reply::cut(ended.bytes)),
        Outcome::Cut => s.respond(Reply::cut(ended.bytes)),
        Outcome::Failed(text) => {
            let reply = Reply::with(426, format!("{text}; transfer aborted."));
            match path {
                // An administrator who reads that a disk is full must know which.
                Some(path) => {
                    s.log_at(Level::Warn, format_args!("{}: {reply}", path.display()));
                    s.respond(reply);
                }
                None => s.respond_w_warning(reply),
            }
        }
        Outcome::TimedOut => log_and_respond(Reply::new(421, "Data connection timed out.")),
        Outcome::Ended(reply) => log_and_respond(reply.clone()),
        Outcome::Silent => {}
    }
}
