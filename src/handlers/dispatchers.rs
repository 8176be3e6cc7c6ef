//! Data connections that are not made yet: `PassiveDTP` waits for the client,
//! `ActiveDTP` connects to it. PORT, PASV, EPRT and EPSV (RFC 959, RFC 2428,
//! with the checks of RFC 2577). What goes over them later is not known here.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use log::Level;

use super::data::{self, DataChannel, DataConnection, Outcome, PendingTransfer};
use super::session::DataState;
use super::{CmdArg, FTPHandler, FTPSession};
use crate::error::strerror;
use crate::ioloop::{Listener, SideListener, Stream, connect_beside};
use crate::limits::Slot;
use crate::proto::address::{self, EprtProto};
use crate::time::after;

/// A listener that waits for the client's data connection.
pub(crate) struct PassiveDTP {
    pub(crate) listener: Listener<SideListener>,
    pub(crate) registered: bool,
    /// Whether somebody may be waiting to be accepted.
    pub(crate) ready: bool,
    /// Whether a transfer was promised for this very connection.
    pub(crate) claimed: bool,
    pub(crate) deadline: Option<Instant>,
    _slot: Slot,
}

/// A connection to the client that is being made.
pub(crate) struct ActiveDTP {
    pub(crate) stream: Stream,
    pub(crate) deadline: Option<Instant>,
    cmd: &'static str,
    target: SocketAddr,
    slot: Slot,
}

// --- commands

/// Stock [`FTPHandler::ftp_port`].
pub fn port<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    if s.epsv_all {
        s.respond("501 PORT not allowed after EPSV ALL.");
        return;
    }
    match address::parse_port(line.as_bytes()) {
        Ok(target) => make_eport(h, s, "PORT", SocketAddr::V4(target)),
        Err(_) => s.respond("501 Invalid PORT format."),
    }
}

/// Stock [`FTPHandler::ftp_eprt`].
pub fn eprt<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    if s.epsv_all {
        s.respond("501 EPRT not allowed after EPSV ALL.");
        return;
    }
    let Ok(eprt) = address::parse_eprt(line.as_bytes()) else {
        s.respond("501 Invalid EPRT format.");
        return;
    };
    let ipv4 = s.remote_ip().is_ipv4();
    match (&eprt.proto, ipv4) {
        (EprtProto::V4, false) => s.respond("522 Network protocol not supported (use 2)."),
        (EprtProto::V6, true) => s.respond("522 Network protocol not supported (use 1)."),
        (EprtProto::Other, _) => unknown_protocol(s, ipv4),
        _ => match eprt.ip() {
            Ok(ip) => make_eport(h, s, "EPRT", SocketAddr::new(ip, eprt.port)),
            Err(_) if ipv4 => s.respond("501 Invalid EPRT format."),
            // No address is that of the client.
            Err(_) => reject_foreign(s, &eprt.host, eprt.port),
        },
    }
}

/// Stock [`FTPHandler::ftp_pasv`].
pub fn pasv<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if s.epsv_all {
        s.respond("501 PASV not allowed after EPSV ALL.");
        return;
    }
    make_epasv(h, s, false);
}

/// Stock [`FTPHandler::ftp_epsv`].
pub fn epsv<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    let ipv4 = s.remote_ip().is_ipv4();
    match (line, ipv4) {
        ("", _) | ("1", true) | ("2", false) => make_epasv(h, s, true),
        ("1", false) => s.respond("522 Network protocol not supported (use 2)."),
        ("2", true) => s.respond("522 Network protocol not supported (use 1)."),
        _ if line.eq_ignore_ascii_case("all") => {
            s.epsv_all = true;
            s.respond("220 Other commands other than EPSV are now disabled.");
        }
        _ => unknown_protocol(s, ipv4),
    }
}

fn unknown_protocol(s: &mut FTPSession, ipv4: bool) {
    let wanted = if ipv4 { 1 } else { 2 };
    s.respond(&format!("501 Unknown network protocol (use {wanted})."));
}

fn reject_foreign(s: &mut FTPSession, host: &str, port: u16) {
    s.respond_w_warning(&format!(
        "501 Rejected data connection to foreign address {host}:{port}."
    ));
}

// --- active

/// Begins to connect to the client, unless RFC 2577 speaks against it. The
/// reply comes when it is connected.
fn make_eport<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &'static str,
    target: SocketAddr,
) {
    let ip = address::canonical(target.ip());
    if !s.config.permit_foreign_addresses && ip != s.remote_ip() {
        reject_foreign(s, &ip.to_string(), target.port());
        return;
    }
    if !s.config.permit_privileged_ports && target.port() < 1024 {
        let port = target.port();
        s.respond_w_warning(&format!(
            "501 PORT against the privileged port \"{port}\" refused."
        ));
        return;
    }
    close_data(h, s);
    if !accepts_new_cons(s) {
        return;
    }
    let target = SocketAddr::new(ip, target.port());
    let source = s.local_addr().ip();
    let source = (source.is_ipv4() == ip.is_ipv4()).then_some(source);
    match connect_beside(s.chat.stream(), target, source) {
        Ok(stream) => {
            let timeout = s.config.active_dtp.timeout;
            s.data = DataState::Connecting(Box::new(ActiveDTP {
                stream,
                deadline: timeout.map(|timeout| after(s.now, timeout)),
                cmd,
                target,
                slot: s.server.slot(),
            }));
        }
        Err(_) => refuse_active(h, s, cmd, target, "425 Can't connect to specified address."),
    }
}

fn refuse_active<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &str,
    target: SocketAddr,
    reply: &str,
) {
    let level = if reply.starts_with("421") {
        Level::Info
    } else {
        Level::Debug
    };
    s.respond_at(level, reply);
    let (code, text) = reply.split_at(4);
    let code = code.trim_end().parse().unwrap_or(425);
    log_active(h, s, cmd, target, code, text);
}

/// Logs a command that makes a connection with its outcome. Whatever command is
/// in progress has not been replied to with that.
fn log_active<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &str,
    target: SocketAddr,
    code: u16,
    text: &str,
) {
    s.last_response.clear();
    h.log_cmd(s, cmd, &CmdArg::Text(&target.to_string()), code, text);
}

/// An event has come for the connection that is being made.
pub(crate) fn drive_active<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let DataState::Connecting(active) = &s.data else {
        return;
    };
    match active.stream.take_error() {
        Ok(None) if active.stream.peer_addr().is_ok() => h.handle_connect(s),
        // The event was not about that yet.
        Ok(None) => {}
        Ok(Some(_)) | Err(_) => fail_active(h, s),
    }
}

/// The connection that is being made has failed, or is given up: 425.
pub(crate) fn fail_active<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let DataState::Connecting(active) = std::mem::take(&mut s.data) {
        let ActiveDTP { cmd, target, .. } = *active;
        refuse_active(h, s, cmd, target, "425 Can't connect to specified address.");
    }
}

/// Stock [`FTPHandler::handle_connect`].
pub fn handle_connect<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let DataState::Connecting(active) = std::mem::take(&mut s.data) else {
        return;
    };
    let ActiveDTP {
        stream,
        cmd,
        target,
        slot,
        ..
    } = *active;
    s.respond("200 Active data connection established.");
    let text = "Active data connection established.";
    log_active(h, s, cmd, target, 200, text);
    open(h, s, stream, slot);
}

/// Stock [`FTPHandler::handle_active_timeout`].
pub fn handle_active_timeout<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let DataState::Connecting(active) = std::mem::take(&mut s.data) {
        let ActiveDTP { cmd, target, .. } = *active;
        refuse_active(h, s, cmd, target, "421 Active data channel timed out.");
    }
}

// --- passive

/// Begins to listen for the client.
fn make_epasv<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, extended: bool) {
    close_data(h, s);
    if !accepts_new_cons(s) {
        return;
    }
    let (listener, port) = match listen(s) {
        Ok(listening) => listening,
        Err(err) => {
            s.respond_w_warning(&format!("425 {}. Can't open data channel.", strerror(&err)));
            return;
        }
    };
    let timeout = s.config.passive_dtp.timeout;
    s.data = DataState::Listening(Box::new(PassiveDTP {
        listener: Listener::new(listener),
        registered: false,
        ready: false,
        claimed: false,
        deadline: timeout.map(|timeout| after(s.now, timeout)),
        _slot: s.server.slot(),
    }));
    if extended {
        s.respond(&address::format_229(port));
        return;
    }
    let local = s.local_addr().ip();
    let masquerade = s.config.masquerade_address_map.get(&local);
    let masquerade = masquerade.or(s.config.masquerade_address.as_ref());
    let host = masquerade.cloned().unwrap_or_else(|| local.to_string());
    s.respond(&address::format_227(&host, port));
}

/// Listens on the address that the client has connected to, on one of the
/// configured ports or on one of the kernel's choice.
fn listen(s: &FTPSession) -> io::Result<(SideListener, u16)> {
    let (control, mut local) = (s.chat.stream(), s.local_addr());
    let backlog = s.config.passive_dtp.backlog.unwrap_or(s.server.backlog());
    if let Some(ports) = &s.config.passive_ports {
        let mut ports = ports.clone();
        while !ports.is_empty() {
            let port = ports.swap_remove(random_below(ports.len()));
            local.set_port(port);
            match SideListener::bind(control, local, backlog, true) {
                Ok(listener) => return Ok((listener, port)),
                Err(err) if err.kind() == io::ErrorKind::AddrInUse => {}
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                    s.log_at(
                        Level::Debug,
                        format_args!("ignoring EPERM when bind()ing port {port}"),
                    );
                }
                Err(err) => return Err(err),
            }
        }
        s.log_at(
            Level::Warn,
            "Can't find a valid passive port in the configured range. A random kernel-assigned port will be used.",
        );
    }
    local.set_port(0);
    let listener = SideListener::bind(control, local, backlog, false)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// A number that a stranger cannot guess.
fn random_below(bound: usize) -> usize {
    let random = getrandom::u64().unwrap_or_default();
    usize::try_from(random % bound.max(1) as u64).unwrap_or_default()
}

/// Somebody may have connected to the listener. Returns whether more may wait
/// there, of which no new event will tell.
pub(crate) fn drive_passive<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    // Strangers are turned away, some in a turn.
    for _ in 0..ACCEPTS {
        let now = s.now;
        match &mut s.data {
            DataState::Listening(passive) if passive.ready => match passive.listener.accept(now) {
                Some((stream, peer)) => h.handle_accepted(s, stream, peer),
                None => passive.ready = false,
            },
            _ => return false,
        }
    }
    matches!(&s.data, DataState::Listening(passive) if passive.ready)
}

/// Stock [`FTPHandler::handle_accepted`]: turns away whoever is not the client,
/// unless foreign addresses are permitted, and goes on listening.
pub fn handle_accepted<H: FTPHandler + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    stream: Stream,
    peer: SocketAddr,
) {
    if address::canonical(peer.ip()) != s.remote_ip() {
        if !s.config.permit_foreign_addresses {
            s.log_at(
                Level::Warn,
                format_args!("Rejected data connection from foreign address {peer}."),
            );
            return;
        }
        s.log_at(
            Level::Warn,
            format_args!("Established data connection with foreign address {peer}."),
        );
    }
    // One connection is all that is accepted: the listener goes with its state.
    s.data = DataState::None;
    let slot = s.server.slot();
    open(h, s, stream, slot);
}

/// Stock [`FTPHandler::handle_passive_timeout`].
pub fn handle_passive_timeout<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    s.data = DataState::None;
    s.respond_at(Level::Info, "421 Passive data channel timed out.");
    // The transfer that waited for it will not come; that was its reply too.
    data::forget_pending(h, s, None);
}

// --- both

/// The data connection is made: begins the transfer that waits for it.
fn open<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, stream: Stream, slot: Slot) {
    let mut dtp = h.dtp_handler(s);
    let mut channel = DataChannel::new(stream, s, slot);
    if s.prot {
        dtp.secure_connection(&mut channel);
    }
    s.data = DataState::Open(Box::new(DataConnection::new(channel, dtp)));
    s.idle = None;
    start_pending(s);
}

/// Begins a transfer if its data connection is there, or else when it comes.
pub(crate) fn promise(s: &mut FTPSession, transfer: PendingTransfer) {
    // PROT P may have come after the connection.
    let tls = data::DataTls::of(s);
    if let DataState::Open(open) = &mut s.data
        && s.prot
        && !open.channel.transfer_in_progress()
        && !open.channel.is_secure()
    {
        // And AUTH before it.
        open.channel.tls = open.channel.tls.take().or(tls);
        open.dtp.secure_connection(&mut open.channel);
    }
    s.replaced = s.pending.replace(Box::new(transfer));
    start_pending(s);
}

/// Begins the transfer that waits, if the data connection is there.
fn start_pending(s: &mut FTPSession) {
    let open = match &mut s.data {
        // It is not for another transfer: that waits for the next one.
        DataState::Open(open) if open.channel.transfer_in_progress() => return,
        DataState::Open(open) => open,
        DataState::Listening(passive) => {
            passive.claimed = true;
            return;
        }
        DataState::Connecting(_) | DataState::None => return,
    };
    match s.pending.take().map(|pending| *pending) {
        Some(PendingTransfer::Send(outgoing, cmd, transfer_type)) => {
            open.send(outgoing, cmd, transfer_type, s.now);
        }
        Some(PendingTransfer::Receive(upload, cmd)) => open.receive(upload, cmd, s.now),
        None => {}
    }
}

/// Closes what there is of a data connection, for another one.
fn close_data<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) {
    match &s.data {
        DataState::Open(open) => {
            let outcome = match open.channel.transfer_in_progress() {
                true => Outcome::Cut,
                false => Outcome::Silent,
            };
            data::finish(h, s, outcome);
        }
        DataState::Connecting(_) => fail_active(h, s),
        DataState::Listening(passive) => {
            let claimed = passive.claimed;
            s.data = DataState::None;
            if claimed {
                data::forget_pending(h, s, Some("426 Transfer aborted; 0 bytes transmitted."));
            }
        }
        DataState::None => {}
    }
    // What that was told is no reply to the command that asks for another one.
    s.last_response.clear();
}

fn accepts_new_cons(s: &mut FTPSession) -> bool {
    let accepts = s.server.accepts_new_cons();
    if !accepts {
        s.respond_w_warning("425 Too many connections. Can't open data channel.");
    }
    accepts
}

/// Whether a transfer is going on, as far as the data handler says.
pub(crate) fn transfer_active(s: &FTPSession) -> bool {
    match &s.data {
        DataState::Open(open) => open.dtp.transfer_in_progress(&open.channel),
        _ => false,
    }
}

/// Connections looked at in one turn of a session.
const ACCEPTS: usize = 8;
