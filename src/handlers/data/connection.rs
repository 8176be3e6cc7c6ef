//! A data connection with its handler: how a transfer begins, and what is waited for.

use std::borrow::Cow;
use std::time::Instant;

use mio::Interest;

use super::channel::{DataChannel, Transfer};
use super::config::DTPConfig;
use super::handler::DTPHandler;
use super::payload::{Outgoing, PendingTransfer, Upload};
use super::throttle::Throttle;
use super::tls::{DataTls, Stage};
use crate::ioloop::stream::readable;
use crate::proto::transfer_type::TransferType;
use crate::time::after;
use crate::tls::TlsSession;
use crate::uploads::Claim;

/// A data connection and its handler.
pub(crate) struct DataConnection {
    pub(crate) channel: DataChannel,
    pub(crate) dtp: Box<dyn DTPHandler>,
}

impl DataConnection {
    pub(crate) fn new(mut channel: DataChannel, mut dtp: Box<dyn DTPHandler>) -> Self {
        dtp.on_open(&mut channel);
        Self { channel, dtp }
    }

    /// Puts the connection under TLS: the transfer waits for the client's handshake. If AUTH
    /// came after the connection was opened, it has no TLS session yet: use `session` then.
    pub(crate) fn secure(&mut self, session: Option<TlsSession>) {
        let channel = &mut self.channel;
        let new = session.map(|session| Box::new(DataTls::new(session)));
        channel.tls = channel.tls.take().or(new);
        self.dtp.secure_connection(channel);
    }

    /// Another user has logged in, whose transfer the connection is for.
    pub(crate) fn hand_over(
        &mut self,
        dtp: Box<dyn DTPHandler>,
        config: DTPConfig,
        throttle: Throttle,
        username: String,
    ) {
        self.dtp.close(&mut self.channel);
        self.channel.set_user(config, throttle, username);
        self.dtp = dtp;
        self.dtp.on_open(&mut self.channel);
    }

    /// Begins a transfer.
    pub(crate) fn begin_transfer(&mut self, transfer: PendingTransfer, now: Instant) {
        match transfer {
            PendingTransfer::Send(outgoing, cmd, transfer_type, listed) => {
                self.channel.listed = listed;
                self.prepare(cmd, transfer_type, now);
                self.send(outgoing);
            }
            PendingTransfer::Receive(upload, cmd, claim) => {
                self.channel.claim = claim;
                self.prepare(cmd, upload.transfer_type, now);
                self.receive(upload);
            }
            // It has been replaced, so it never gets a connection.
            PendingTransfer::Closed(..) => {}
        }
    }

    fn send(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Bytes(bytes) => self.dtp.push(&mut self.channel, bytes),
            Outgoing::Producer(producer) => {
                self.dtp.push_with_producer(&mut self.channel, producer);
            }
            Outgoing::File(name, producer) => {
                self.channel.file_name = Some(name);
                self.dtp.push_with_producer(&mut self.channel, producer);
            }
        }
    }

    fn receive(&mut self, upload: Upload) {
        self.dtp.enable_receiving(&mut self.channel, upload);
    }

    fn prepare(&mut self, cmd: Cow<'static, str>, transfer_type: TransferType, now: Instant) {
        let d = &mut self.channel;
        d.cmd = cmd;
        d.transfer_type = transfer_type;
        d.now = now;
        d.start_progress();
        // The transfer waits for the handshake, whose time begins now.
        if let Some(tls) = d.tls.as_mut().filter(|tls| tls.is_pending()) {
            tls.deadline = Some(after(now, tls.session.handshake_timeout()));
        }
    }

    /// The events to watch the socket for.
    pub(crate) fn interest(&self, now: Instant) -> Option<Interest> {
        let d = &self.channel;
        if d.wake_at.is_some_and(|wake_at| wake_at > now) {
            return None;
        }
        match (&d.transfer, &d.tls) {
            (_, Some(tls)) if tls.has_failed() => None,
            (_, Some(tls)) if tls.is_pending() => Some(readable()),
            // It waits for a command. If it has been reset, the transfer will find out.
            (Transfer::None, _) => None,
            (Transfer::Receiving(_), _) => Some(readable()),
            // An event of its end is all that the socket can bring.
            (Transfer::Sending(sending), _) if sending.waits => Some(readable()),
            (Transfer::Sending(_), _) => Some(Interest::WRITABLE),
        }
    }

    /// The next deadline.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        // A paused connection does not stall, however short its timeout is.
        let next = self.channel.wake_at.or_else(|| self.stalls_at());
        let tls = self.channel.tls.as_ref();
        let pending = tls.filter(|tls| tls.is_pending());
        let waiting = tls.filter(|tls| matches!(tls.stage, Stage::Waiting));
        let handshake = [
            pending.and_then(|tls| tls.deadline),
            waiting.and_then(|tls| tls.put_off),
            pending.and_then(|tls| tls.verify_at),
        ];
        let claim = self.channel.claim.as_ref().and_then(Claim::look_at);
        let others = handshake.into_iter().flatten().chain(claim);
        next.into_iter().chain(others).min()
    }

    /// When the connection will have made no progress for too long.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        let timeout = self.channel.timeout?;
        Some(after(self.channel.last_progress(), timeout))
    }
}
