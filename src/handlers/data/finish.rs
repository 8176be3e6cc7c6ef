//! The end of a transfer, always in the same order: close the socket, close the
//! file, reply, log, callback.

use std::mem;
use std::time::Duration;

use log::Level;

use super::drive::{DataConnection, Outcome};
use super::{DataChannel, Outgoing, PendingTransfer, Transfer};
use crate::error::strerror;
use crate::handlers::session::{DataState, Leaving};
use crate::handlers::{FTPHandler, FTPSession, TransferLog};

/// Ends the data connection of a session: closes the socket, closes the file,
/// replies, logs, and calls one of the four callbacks of files.
pub(crate) fn finish<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, outcome: Outcome) {
    let DataState::Open(open) = mem::take(&mut s.data) else {
        return;
    };
    let DataConnection {
        mut channel,
        mut dtp,
    } = *open;
    channel.now = s.now;
    if let Some(note) = channel.note.take() {
        s.log(note);
    }
    if matches!(outcome, Outcome::Complete) && channel.stream.is_secure() {
        // Whoever sees the end shall know that nothing was cut off.
        let _ = channel.stream.finish();
        channel.stream.discard_input();
        dtp.handle_ssl_shutdown(&mut channel);
    }
    if !matches!(outcome, Outcome::Complete) {
        channel.tickets_may_be_unread();
    }
    dtp.close(&mut channel);
    let bytes = dtp.get_transmitted_bytes(&channel);
    let elapsed = dtp.get_elapsed_time(&channel);
    let DataChannel {
        stream,
        transfer,
        file_name,
        cmd,
        ..
    } = channel;
    drop(stream);
    let receive = matches!(transfer, Transfer::Receiving(_));
    let outcome = close_file(transfer, outcome);
    let completed = matches!(outcome, Outcome::Complete);
    reply(s, &outcome, bytes);
    if let Some(filename) = &file_name {
        let transfer = TransferLog {
            cmd: &cmd,
            filename,
            receive,
            completed,
            elapsed,
            bytes,
        };
        tell(h, s, &transfer);
    }
    if matches!(outcome, Outcome::TimedOut) || (s.leaving == Leaving::Quit && !s.is_parked()) {
        s.close_when_done();
    }
    s.restart_idle();
}

/// Forgets the transfer that was promised with 150, if there is one: its data
/// connection will not come. `reply` is its final one, unless another reply
/// stands for it.
pub(crate) fn forget_pending<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    reply: Option<&str>,
) {
    if let Some(pending) = s.pending.take() {
        forget(h, s, *pending, reply);
    }
}

/// Forgets the transfer whose place another has taken, if there is one.
pub(crate) fn forget_replaced<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Some(replaced) = s.replaced.take() {
        forget(h, s, *replaced, None);
    }
}

fn forget<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    pending: PendingTransfer,
    reply: Option<&str>,
) {
    let (file_name, cmd, receive) = match pending {
        PendingTransfer::Send(Outgoing::File(name, mut producer), cmd, _) => {
            producer.finish(false);
            (Some(name), cmd, false)
        }
        PendingTransfer::Send(_, cmd, _) => (None, cmd, false),
        PendingTransfer::Receive(mut upload, cmd) => {
            // The transfer has failed already.
            let _ = upload.file.finish(false);
            (Some(upload.file.name().to_owned()), cmd, true)
        }
    };
    if let Some(reply) = reply {
        s.respond(reply);
    }
    if let Some(filename) = &file_name {
        let transfer = TransferLog {
            cmd: &cmd,
            filename,
            receive,
            completed: false,
            elapsed: Duration::ZERO,
            bytes: 0,
        };
        tell(h, s, &transfer);
    }
}

/// Logs the transfer of a file, and calls one of the four callbacks of files.
fn tell<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, transfer: &TransferLog<'_>) {
    h.log_transfer(s, transfer);
    let filename = transfer.filename;
    match (transfer.receive, transfer.completed) {
        (true, true) => h.on_file_received(s, filename),
        (false, true) => h.on_file_sent(s, filename),
        (true, false) => h.on_incomplete_file_received(s, filename),
        (false, false) => h.on_incomplete_file_sent(s, filename),
    }
}

/// Closes the file; an upload that cannot be closed well is not complete.
fn close_file(transfer: Transfer, outcome: Outcome) -> Outcome {
    let completed = matches!(outcome, Outcome::Complete);
    match transfer {
        Transfer::Receiving(mut receiving) => match receiving.file.finish(completed) {
            Err(err) if completed => Outcome::Failed(strerror(&err)),
            _ => outcome,
        },
        Transfer::Sending(mut sending) => {
            if let Some(producer) = &mut sending.producer {
                producer.finish(completed);
            }
            outcome
        }
        Transfer::None => outcome,
    }
}

fn reply(s: &mut FTPSession, outcome: &Outcome, bytes: u64) {
    match outcome {
        Outcome::Complete => s.respond("226 Transfer complete."),
        Outcome::Cut => s.respond(&format!("426 Transfer aborted; {bytes} bytes transmitted.")),
        Outcome::Failed(text) => s.respond_w_warning(&format!("426 {text}; transfer aborted.")),
        Outcome::TimedOut => s.respond_at(Level::Info, "421 Data connection timed out."),
        Outcome::Ended(text) => s.respond_at(Level::Info, text),
        Outcome::Silent => {}
    }
}
