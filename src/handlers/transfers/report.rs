//! What is said about a transfer that is over: its reply, its line of the log, and its callback.

use log::Level;

use crate::handlers::data::{Ended, Outcome};
use crate::handlers::hooks::Hooks;
use crate::handlers::log::respond_to_transfer;
use crate::handlers::session::{FTPSession, Leaving};
use crate::handlers::transfer_log::TransferLog;
use crate::proto::reply::Reply;

/// Replies, logs, and calls one of the four callbacks of files, as the user of the transfer.
pub(super) fn settle<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, ended: Ended) {
    let outcome = &ended.outcome;
    let report_all = |s: &mut FTPSession| {
        reply(s, &ended);
        if let Some(filename) = &ended.file_name {
            let transfer = TransferLog {
                cmd: &ended.cmd,
                filename,
                receive: ended.receive,
                completed: matches!(outcome, Outcome::Complete),
                elapsed: ended.elapsed,
                bytes: ended.bytes,
            };
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
    if leaves || matches!(outcome, Outcome::TimedOut) {
        s.close_when_done();
    }
    s.restart_idle();
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
