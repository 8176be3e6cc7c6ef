//! Active data connections: PORT and EPRT.

use std::net::{IpAddr, SocketAddr};

use log::Level;

use super::replace::{CANNOT_CONNECT, accepts_new_cons, close_data, fail_active, reply_active};
use crate::handlers::hooks::Hooks;
use crate::handlers::session::{ActiveDTP, DataState, FTPSession};
use crate::handlers::transfers;
use crate::ioloop::Stream;
use crate::proto::address::{self, EprtProto};
use crate::proto::reply::Reply;
use crate::server_state::own_ports;
use crate::time::after;

/// Stock [`FTPHandler::ftp_port`](crate::FTPHandler::ftp_port).
pub fn port<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    if !s.has_active_mode() {
        s.respond(NO_ACTIVE_MODE);
        return;
    }
    if s.epsv_all {
        s.respond(Reply::new(501, "PORT not allowed after EPSV ALL."));
        return;
    }
    match address::parse_port(line.as_bytes()) {
        Ok(_) if s.remote_ip().is_ipv6() && !s.permits_foreign_addresses() => {
            let text = "PORT is not possible over IPv6, use EPRT instead.";
            s.respond(Reply::new(425, text));
        }
        Ok(target) => make_eport(h, s, "PORT", SocketAddr::V4(target)),
        Err(_) => s.respond(Reply::new(501, "Invalid PORT format.")),
    }
}

/// Stock [`FTPHandler::ftp_eprt`](crate::FTPHandler::ftp_eprt).
pub fn eprt<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    if !s.has_active_mode() {
        s.respond(NO_ACTIVE_MODE);
        return;
    }
    if s.epsv_all {
        s.respond(Reply::new(501, "EPRT not allowed after EPSV ALL."));
        return;
    }
    let Ok(eprt) = address::parse_eprt(line.as_bytes()) else {
        s.respond(Reply::new(501, "Invalid EPRT format."));
        return;
    };
    let ipv4 = s.remote_ip().is_ipv4();
    match (&eprt.proto, ipv4) {
        (EprtProto::V4, false) => s.respond(USE_IPV6),
        (EprtProto::V6, true) => s.respond(USE_IPV4),
        (EprtProto::Other, _) => s.respond(unknown_protocol(ipv4)),
        _ => match eprt.ip() {
            Ok(ip) => make_eport(h, s, "EPRT", SocketAddr::new(ip, eprt.port)),
            Err(_) if ipv4 => s.respond(Reply::new(501, "Invalid EPRT format.")),
            // Something that is no address cannot be the client's address.
            Err(_) => reject_foreign(s, &eprt.host, eprt.port),
        },
    }
}

/// The reply to PORT and EPRT on a server without active mode.
const NO_ACTIVE_MODE: Reply = Reply::new(502, "Active mode is not available, use PASV or EPSV.");

/// The reply to a protocol number that is neither 1 nor 2.
pub(super) fn unknown_protocol(ipv4: bool) -> Reply {
    let wanted = if ipv4 { 1 } else { 2 };
    Reply::with(501, format!("Unknown network protocol (use {wanted})."))
}

/// The reply to IPv6 on an IPv4 connection.
pub(super) const USE_IPV4: Reply = Reply::new(522, "Network protocol not supported (use 1).");

/// The reply to IPv4 on an IPv6 connection.
pub(super) const USE_IPV6: Reply = Reply::new(522, "Network protocol not supported (use 2).");

fn reject_foreign(s: &mut FTPSession, host: &str, port: u16) {
    let text = format!("Rejected data connection to foreign address {host}:{port}.");
    s.respond_w_warning(Reply::with(501, text));
}

/// Begins to connect to the client, unless RFC 2577 forbids it. The reply is sent when the
/// connection is established or has failed.
fn make_eport<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    cmd: &'static str,
    target: SocketAddr,
) {
    let ip = address::canonical(target.ip());
    if !s.permits_foreign_addresses() && ip != s.remote_ip() {
        reject_foreign(s, &ip.to_string(), target.port());
        return;
    }
    if !s.permits_privileged_ports() && target.port() < 1024 {
        let port = target.port();
        let text = format!("PORT against the privileged port \"{port}\" refused.");
        s.respond_w_warning(Reply::with(501, text));
        return;
    }
    let target = SocketAddr::new(ip, target.port());
    if is_own(s, target) {
        let port = target.port();
        let text = format!("PORT against the server's own port \"{port}\" refused.");
        s.respond_w_warning(Reply::with(501, text));
        return;
    }
    close_data(h, s);
    if !accepts_new_cons(s) {
        return;
    }
    let source = s.local_addr().ip();
    let source = (source.is_ipv4() == ip.is_ipv4()).then_some(source);
    match Stream::connect(s.chat.stream(), target, source) {
        Ok(stream) => {
            let timeout = s.active_timeout();
            s.data = DataState::Connecting(Box::new(ActiveDTP {
                stream,
                deadline: timeout.map(|timeout| after(s.now, timeout)),
                cmd,
                target,
                slot: s.server.slot(s.remote_ip()),
            }));
        }
        Err(_) => reply_active(h, s, cmd, target, Level::Debug, CANNOT_CONNECT),
    }
}

/// Whether a connection to `target` would come to the server itself: to the address of the session,
/// to one at which a server of this process listens, or by the gateway whose address clients see.
fn is_own(s: &FTPSession, target: SocketAddr) -> bool {
    let local = s.local_addr();
    if target.port() == local.port() {
        let ip = target.ip();
        let is_seen = |seen: String| seen.parse::<IpAddr>().is_ok_and(|seen| seen == ip);
        if ip == local.ip()
            || ip.is_unspecified()
            || is_seen(s.passive_address(local.ip()))
            || is_seen(s.announced_address(local.ip()))
        {
            return true;
        }
    }
    // A network in memory has addresses of its own.
    s.chat.stream.network().is_none() && own_ports::is_own(target, Some(&s.server))
}

/// An event has come for the connection that is being established.
pub(crate) fn drive_active<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let DataState::Connecting(active) = &s.data else {
        return;
    };
    match active.stream.take_error() {
        Ok(None) if active.stream.peer_addr().is_ok() => h.handle_connect(s),
        // The event was about something else.
        Ok(None) => {}
        Ok(Some(_)) | Err(_) => fail_active(h, s),
    }
}

/// Stock [`FTPHandler::handle_connect`](crate::FTPHandler::handle_connect).
pub fn handle_connect<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    let DataState::Connecting(active) = std::mem::take(&mut s.data) else {
        return;
    };
    let active = *active;
    let reply = Reply::new(200, "Active data connection established.");
    reply_active(h, s, active.cmd, active.target, Level::Debug, reply);
    transfers::open(h, s, active.stream, active.slot);
}

/// Stock [`FTPHandler::handle_active_timeout`](crate::FTPHandler::handle_active_timeout).
pub fn handle_active_timeout<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if let DataState::Connecting(active) = std::mem::take(&mut s.data) {
        let ActiveDTP { cmd, target, .. } = *active;
        let reply = Reply::new(421, "Active data channel timed out.");
        reply_active(h, s, cmd, target, Level::Info, reply);
    }
}
