//! Transfers: the only file that begins one or ends one.
//!
//! A transfer begins when its file is open and its data connection is; either may come first.
//! Its first byte follows the preliminary reply, which is sent by a call of its own.
//! It ends in one order: the socket is shut down, the file is closed, the reply is sent, the log
//! line is written, a callback is called. The final reply of a short download waits for the
//! client to close its side, so that the client does not get both replies with one read.

mod report;

use std::borrow::Cow;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Instant;

use log::Level;

use self::report::settle;
pub(super) use self::report::{give_up, report, settle_held};
use super::check;
use super::data::{
    DataChannel, DataConnection, Ended, EndingDTP, Opening, Outcome, Outgoing, PendingTransfer,
    Transfer, Upload, final_reply_due, linger,
};
use super::files;
use super::hooks::{Borrowed, Hooks};
use super::log::respond_to_transfer;
use super::session::{DataState, FTPSession, Leaving, Pending};
use crate::filesystems::FSFile;
use crate::ioloop::{ChannelWaker, Stream};
use crate::limits::Slot;
use crate::proto::reply::Reply;
use crate::uploads::Claim;

// --- the beginning

/// Sends something on the data connection: at once, with the reply 125, if the data connection
/// is open; otherwise when it is, with the reply 150. Works as in pyftpdlib. Commands that you add
/// may call it too.
pub fn push_dtp_data(s: &mut FTPSession, outgoing: Outgoing, cmd: impl Into<Cow<'static, str>>) {
    push(s, outgoing, cmd.into(), None);
}

/// As [`push_dtp_data`], for the listing of a path.
pub(super) fn push_listing(s: &mut FTPSession, outgoing: Outgoing, cmd: &'static str, of: PathBuf) {
    push(s, outgoing, Cow::Borrowed(cmd), Some(of));
}

fn push(s: &mut FTPSession, outgoing: Outgoing, cmd: Cow<'static, str>, listed: Option<PathBuf>) {
    if check::lacks_data_tls(s) {
        s.respond(check::DATA_TLS_REQUIRED);
        return;
    }
    replace_pending(s);
    let reply = opening_reply(s);
    announce(s, reply);
    let transfer = PendingTransfer::Send(outgoing, cmd, s.transfer_type, listed);
    begin(s, transfer);
}

/// Receives a file on the data connection, in the way [`push_dtp_data`] sends. With `unique`
/// the reply contains that name (RFC 1123 §4.1.2.9).
pub fn receive_dtp_data(
    s: &mut FTPSession,
    file: Box<dyn FSFile>,
    position: Option<u64>,
    cmd: impl Into<Cow<'static, str>>,
    unique: Option<&str>,
) {
    receive(s, file, None, position, cmd.into(), unique);
}

/// As [`receive_dtp_data`], for a file with a claim.
pub(super) fn receive(
    s: &mut FTPSession,
    file: Box<dyn FSFile>,
    claim: Option<Claim>,
    position: Option<u64>,
    cmd: Cow<'static, str>,
    unique: Option<&str>,
) {
    if check::lacks_data_tls(s) {
        s.respond(check::DATA_TLS_REQUIRED);
        return;
    }
    let mut reply = opening_reply(s);
    if let Some(name) = unique {
        reply.text = format!("FILE: {name}").into();
    }
    replace_pending(s);
    announce(s, reply);
    let upload = Upload {
        file,
        position,
        transfer_type: s.transfer_type,
    };
    begin(s, PendingTransfer::Receive(upload, cmd, claim));
}

/// The preliminary reply of a transfer.
fn opening_reply(s: &FTPSession) -> Reply {
    match s.data_channel() {
        // A connection that is in use is not for another transfer.
        Some(channel) if !channel.transfer_in_progress() => {
            Reply::new(125, "Data connection already open. Transfer starting.")
        }
        _ => Reply::new(150, "File status okay. About to open data connection."),
    }
}

/// Sends the preliminary reply of a transfer, by a call of its own: many clients take what one
/// read brings as one reply.
fn announce(s: &mut FTPSession, reply: Reply) {
    send_replies(s);
    s.respond(reply);
    s.announced = None;
    is_announced(s);
}

/// Whether the preliminary reply of the transfer has left. Until then no data is sent.
pub(super) fn is_announced(s: &mut FTPSession) -> bool {
    if s.announced.is_none() {
        send_replies(s);
        // A client that has gone reads no reply, but what it has sent is kept.
        let is_gone = matches!(s.leaving, Leaving::Gone { .. }) && s.has_upload();
        s.announced = (is_gone || s.chat.is_sent()).then(|| clock(s));
    }
    s.announced.is_some()
}

/// Sends the replies so far.
fn send_replies(s: &mut FTPSession) {
    if !s.chat.is_sent() {
        // An error of the connection comes up again when it is read.
        let _ = s.chat.flush();
    }
}

/// The time now, which is later than that of the call. A connection in memory has the clock of
/// its test.
fn clock(s: &FTPSession) -> Instant {
    s.chat.stream.clock().now()
}

/// Begins a transfer, now or when its data connection is open.
fn begin(s: &mut FTPSession, transfer: PendingTransfer) {
    let session = s.tls_session();
    if let DataState::Open(open) = &mut s.data
        && s.prot
        && !open.channel.transfer_in_progress()
        && !open.channel.is_secure()
    {
        // PROT P came after the connection, and perhaps AUTH did.
        open.secure(session);
    }
    let owner = None;
    s.pending = Some(Box::new(Pending { transfer, owner }));
    begin_pending(s);
}

/// The file at `path` is about to be opened for an upload that replaces the pending transfer. If
/// that one is an upload to the same file, closes it first: it may remove the file.
pub(super) fn close_pending_upload(s: &mut FTPSession, path: &Path) {
    let pending = s
        .pending
        .take_if(|pending| pending.transfer.is_upload_to(path));
    if let Some(pending) = pending {
        let Pending { transfer, owner } = *pending;
        let transfer = transfer.close();
        replace(s, Pending { transfer, owner });
    }
}

/// Another transfer begins: the pending one will get no data connection.
fn replace_pending(s: &mut FTPSession) {
    if let Some(pending) = s.pending.take() {
        replace(s, *pending);
    }
}

/// Sends the final reply of a transfer that another one replaces. The rest of its end follows when
/// the command returns.
fn replace(s: &mut FTPSession, pending: Pending) {
    let Pending { transfer, owner } = pending;
    let (cmd, path) = transfer.subject();
    let ((), owner) = s.as_owner(owner, |s| {
        s.aside(|s| respond_to_transfer(s, cmd, path, Reply::cut(0)));
    });
    s.replaced = Some(Box::new(Pending { transfer, owner }));
}

/// Begins the pending transfer, if the data connection is open.
fn begin_pending(s: &mut FTPSession) {
    let open = match &mut s.data {
        // The connection is in use: the pending transfer waits for the next one.
        DataState::Open(open) if open.channel.transfer_in_progress() => return,
        DataState::Open(open) => open,
        DataState::Listening(passive) => {
            passive.claimed = true;
            return;
        }
        DataState::Connecting(_) | DataState::Ending(_) | DataState::None => return,
    };
    if let Some(pending) = s.pending.take() {
        let Pending { transfer, owner } = *pending;
        open.begin_transfer(transfer, s.now);
        s.begin_as(owner);
        if matches!(s.leaving, Leaving::Promised { .. }) {
            s.leaving = Leaving::Quit;
        }
    }
}

/// The data connection is open: begins the transfer that waits for it.
pub(super) fn open<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, stream: Stream, slot: Slot) {
    let connection = s.as_pending_user(|s| connection(h, s, stream, slot));
    s.data = DataState::Open(Box::new(connection));
    s.idle = None;
    begin_pending(s);
}

fn connection<H: Hooks + ?Sized>(
    h: &mut H,
    s: &FTPSession,
    stream: Stream,
    slot: Slot,
) -> DataConnection {
    let mut dtp = h.dtp_handler(s);
    let mut channel = DataChannel::new(Opening {
        stream,
        slot,
        config: s.dtp_config(),
        sendfile_allowed: s.use_sendfile(),
        bounds: s.upload_bounds(),
        throttle: s.throttle(),
        waker: ChannelWaker::new(s.remote(), s.id()),
        username: s.username().to_owned(),
        tls: s.tls_session(),
        now: s.now(),
    });
    if s.prot {
        dtp.secure_connection(&mut channel);
    }
    DataConnection::new(channel, dtp)
}

/// A user has logged in: a data connection that an earlier one has left is for the transfer of
/// this one.
pub(super) fn hand_over<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if !matches!(s.data, DataState::Open(_)) || s.transfer_active() {
        return;
    }
    let (dtp, config) = (h.dtp_handler(s), s.dtp_config());
    let (throttle, username) = (s.throttle(), s.username.clone());
    if let DataState::Open(open) = &mut s.data {
        open.hand_over(dtp, config, throttle, username);
    }
}

// --- the end

/// The transfer has come to its end by itself. The final reply of a download waits for the client
/// to close its side, but not for long: see [`final_reply_due`].
pub(super) fn conclude<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, outcome: Outcome) {
    let due = match &s.data {
        DataState::Open(open) => reply_due(s, &open.channel, &outcome),
        _ => None,
    };
    end(h, s, outcome, due);
}

/// Ends the data connection of a session, if one is open, and replies at once: closes the
/// socket, closes the file, replies, logs, and calls one of the four callbacks of files.
pub(super) fn finish<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, outcome: Outcome) {
    end(h, s, outcome, None);
    reply_now(h, s);
}

/// Sends the final reply that waits, if it is due. Returns whether it was sent.
pub(super) fn reply_if_due<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    let DataState::Ending(ending) = &s.data else {
        return false;
    };
    if !ending.is_due(s.now) {
        return false;
    }
    s.closes_data = ending.stream.is_read_closed();
    reply_now(h, s);
    true
}

/// Sends the final reply that waits, if there is one.
pub(super) fn reply_now<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let DataState::Ending(_) = &s.data
        && let DataState::Ending(ending) = mem::take(&mut s.data)
    {
        settle(h, s, ending.close());
    }
}

/// When the final reply is due; `None`: at once.
fn reply_due(s: &FTPSession, channel: &DataChannel, outcome: &Outcome) -> Option<Instant> {
    let waits = matches!(channel.transfer, Transfer::Sending(_))
        && matches!(
            outcome,
            Outcome::Complete | Outcome::Failed(_) | Outcome::Ended(_)
        );
    let announced = s.announced.filter(|_| waits)?;
    final_reply_due(announced, clock(s), s.closes_data)
}

fn end<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    outcome: Outcome,
    reply_due: Option<Instant>,
) {
    let DataState::Open(_) = &s.data else { return };
    let DataState::Open(open) = mem::take(&mut s.data) else {
        return;
    };
    let DataConnection {
        mut channel,
        mut dtp,
    } = *open;
    channel.now = s.now;
    if let Some(note) = channel.note.take() {
        s.as_transfer_user(|s| s.log_seldom(Level::Info, note));
    }
    if matches!(outcome, Outcome::Complete) && channel.stream.is_secure() {
        // A client that sees the end must know that nothing was cut off.
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
        mut stream,
        slot,
        transfer,
        claim,
        file_name,
        listed,
        cmd,
        ..
    } = channel;
    let receive = matches!(transfer, Transfer::Receiving(_));
    keep_file(s, claim.as_ref());
    let mut waiting = None;
    if let Some(due) = reply_due {
        // The client sees the end at once.
        let _ = stream.shutdown();
        waiting = Some((due, stream, slot));
    } else if matches!(outcome, Outcome::Failed(_) | Outcome::Ended(_)) {
        if receive {
            // The server had nothing to send, so this end is a proper one.
            let _ = stream.finish();
        }
        s.lingering = Some(linger(stream, slot, s.now));
    } else {
        // Before the file and the reply.
        drop((stream, slot));
    }
    close_file(h, s, transfer, outcome, move |h, s, outcome| {
        let ended = Ended {
            outcome,
            claim,
            cmd,
            file_name,
            listed,
            receive,
            bytes,
            elapsed,
        };
        match waiting {
            Some((due, stream, slot)) => {
                s.data = DataState::Ending(Box::new(EndingDTP {
                    stream,
                    slot,
                    due,
                    ended,
                }));
            }
            None => settle(h, s, ended),
        }
    });
}

/// The file of an upload is going to be closed. No other upload gets it before the final reply,
/// which the handler may let wait.
fn keep_file(s: &FTPSession, claim: Option<&Claim>) {
    if let Some(claim) = claim.filter(|_| !s.has_stock_commands()) {
        claim.keep();
    }
}

/// Closes the file of a transfer, and hands the outcome to `then`. An upload whose file cannot
/// be closed without an error is not complete.
fn close_file<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    transfer: Transfer,
    outcome: Outcome,
    then: impl FnOnce(&mut dyn Hooks, &mut FTPSession, Outcome) + 'static,
) {
    let completed = matches!(outcome, Outcome::Complete);
    match transfer {
        Transfer::Receiving(mut receiving) => {
            let outcome = match receiving.end_translation() {
                Err(err) if completed => Outcome::failed(&err),
                Ok(Some(refusal)) if completed => Outcome::Ended(refusal),
                _ => outcome,
            };
            let completed = matches!(outcome, Outcome::Complete);
            files::finish(h, s, receiving.file, completed, move |h, s, closed| {
                let outcome = match closed {
                    Err(err) if completed => Outcome::failed(&err),
                    _ => outcome,
                };
                then(h, s, outcome);
            });
        }
        Transfer::Sending(mut sending) => {
            if let Some(producer) = &mut sending.producer {
                producer.finish(completed);
            }
            // The file is closed before the reply.
            drop(sending);
            then(&mut Borrowed(h), s, outcome);
        }
        Transfer::None => then(&mut Borrowed(h), s, outcome),
    }
}
