//! The end of a transfer that has got 150, and whose data connection will not come.

use std::path::PathBuf;
use std::time::Duration;

use super::data::{Outgoing, PendingTransfer};
use super::files;
use super::hooks::{Borrowed, Hooks};
use super::log::respond_to_transfer;
use super::session::{FTPSession, Pending};
use super::transfer_log::TransferLog;
use super::transfers;
use crate::filesystems::FSFile;
use crate::producers::Producer;
use crate::proto::reply::Reply;

/// Forgets the pending transfer, if there is one: its data connection will not come. `reply`
/// is its final reply, unless another one stands for it.
pub(super) fn forget<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, reply: Option<Reply>) {
    if let Some(pending) = s.pending.take() {
        end(h, s, *pending, reply);
    }
}

/// Forgets the pending transfer that another one has replaced, if there is one. It has its final
/// reply already.
pub(super) fn forget_replaced<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let Some(replaced) = s.replaced.take() {
        end(h, s, *replaced, None);
    }
}

fn end<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, pending: Pending, reply: Option<Reply>) {
    let Pending { transfer, owner } = pending;
    let mut claimed = None;
    let mut listed = None;
    let (transfer, file_name, cmd, receive) = match transfer {
        PendingTransfer::Send(Outgoing::File(name, producer), cmd, _, _) => {
            (Promised::Producer(producer), Some(name), cmd, false)
        }
        PendingTransfer::Send(_, cmd, _, path) => {
            listed = path;
            (Promised::Nothing, None, cmd, false)
        }
        PendingTransfer::Receive(upload, cmd, claim) => {
            claimed = claim;
            let name = upload.file.name().to_owned();
            (Promised::File(upload.file), Some(name), cmd, true)
        }
        PendingTransfer::Closed(name, cmd) => (Promised::Nothing, Some(name), cmd, true),
    };
    let then = move |h: &mut dyn Hooks, s: &mut FTPSession| {
        drop(claimed);
        let report_all = |s: &mut FTPSession| {
            if let Some(reply) = reply {
                let path = file_name.as_ref().or(listed.as_ref());
                respond_to_transfer(s, &cmd, path.map(PathBuf::as_path), reply);
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
                transfers::report(h, s, &transfer);
            }
        };
        s.as_owner(owner, |s| s.aside(report_all));
    };
    match transfer {
        // The transfer has failed already, so an error of the file changes nothing.
        Promised::File(file) => files::finish(h, s, file, false, |h, s, _| then(h, s)),
        Promised::Producer(mut producer) => {
            producer.finish(false);
            drop(producer);
            then(&mut Borrowed(h), s);
        }
        Promised::Nothing => then(&mut Borrowed(h), s),
    }
}

/// What a pending transfer has opened.
enum Promised {
    File(Box<dyn FSFile>),
    Producer(Box<dyn Producer>),
    Nothing,
}
