//! Passive data connections: PASV and EPSV.

use std::io;
use std::net::SocketAddr;

use log::Level;

use super::active::{USE_IPV4, USE_IPV6, unknown_protocol};
use super::replace::{accepts_new_cons, close_data};
use crate::error::strerror;
use crate::handlers::hooks::Hooks;
use crate::handlers::pending;
use crate::handlers::session::{DataState, FTPSession, PassiveDTP};
use crate::handlers::transfers;
use crate::ioloop::{Listener, Stream, StreamListener};
use crate::proto::address;
use crate::proto::reply::Reply;
use crate::server_state::own_ports::Listening;
use crate::time::after;

/// Stock [`FTPHandler::ftp_pasv`](crate::FTPHandler::ftp_pasv).
pub fn pasv<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    if s.epsv_all {
        s.respond(Reply::new(501, "PASV not allowed after EPSV ALL."));
        return;
    }
    if s.remote_ip().is_ipv6() {
        // The reply has no room for the address.
        let text = "PASV is not possible over IPv6, use EPSV instead.";
        s.respond(Reply::new(425, text));
        return;
    }
    make_epasv(h, s, false);
}

/// Stock [`FTPHandler::ftp_epsv`](crate::FTPHandler::ftp_epsv).
pub fn epsv<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    let ipv4 = s.remote_ip().is_ipv4();
    match (line, ipv4) {
        ("", _) | ("1", true) | ("2", false) => make_epasv(h, s, true),
        ("1", false) => s.respond(USE_IPV6),
        ("2", true) => s.respond(USE_IPV4),
        _ if line.eq_ignore_ascii_case("all") => {
            s.epsv_all = true;
            let text = "Other commands other than EPSV are now disabled.";
            s.respond(Reply::new(220, text));
        }
        _ => s.respond(unknown_protocol(ipv4)),
    }
}

/// Begins to listen for the client.
fn make_epasv<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, extended: bool) {
    close_data(h, s);
    if !accepts_new_cons(s) {
        return;
    }
    let (listener, port) = match listen(s) {
        Ok(listening) => listening,
        Err(err) => {
            let text = format!("{}. Can't open data channel.", strerror(&err));
            s.respond_w_warning(Reply::with(425, text));
            return;
        }
    };
    let timeout = s.passive_timeout();
    let is_real = s.chat.stream().network().is_none();
    let own = is_real.then(|| {
        let address = SocketAddr::new(s.local_addr().ip(), port);
        Listening::passive(address, &s.server)
    });
    s.data = DataState::Listening(Box::new(PassiveDTP {
        listener: Listener::new(listener),
        registered: false,
        ready: false,
        claimed: false,
        deadline: timeout.map(|timeout| after(s.now, timeout)),
        _listening: own,
        _slot: s.server.slot(s.remote_ip()),
    }));
    if extended {
        s.respond(address::format_229(port));
    } else {
        let host = s.announced_address(s.local_addr().ip());
        s.respond(address::format_227(&host, port));
    }
}

/// Listens on the address that the client has connected to, on one of the configured ports or
/// on one of the range of the system.
fn listen(s: &FTPSession) -> io::Result<(StreamListener, u16)> {
    let (control, mut local) = (s.chat.stream(), s.local_addr());
    let backlog = s.passive_backlog();
    if let Some(ports) = s.passive_ports() {
        let mut ports = ports.to_vec();
        while !ports.is_empty() {
            // A number that another client cannot guess.
            let number = s.server.random.below(ports.len());
            let port = ports.swap_remove(number);
            local.set_port(port);
            match StreamListener::bind(control, local, backlog) {
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
    StreamListener::bind_anywhere(control, local, backlog)
}

/// A connection may wait at the listener. Returns whether more may wait, for which no event
/// will come.
pub(crate) fn drive_passive<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    // Connections from other addresses are turned away, some in each turn.
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

/// Stock [`FTPHandler::handle_accepted`](crate::FTPHandler::handle_accepted): turns away a
/// connection that does not come from the client's address, unless foreign addresses are
/// permitted, and continues to listen.
pub fn handle_accepted<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    stream: Stream,
    peer: SocketAddr,
) {
    if address::canonical(peer.ip()) != s.remote_ip() {
        if !s.permits_foreign_addresses() {
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
    // The slot is taken before that of the listener is given back: in between, another process
    // could admit a connection over the limit.
    let slot = s.server.slot(s.remote_ip());
    // Only one connection is accepted: the listener is closed with its state.
    s.data = DataState::None;
    transfers::open(h, s, stream, slot);
}

/// Stock [`FTPHandler::handle_passive_timeout`](crate::FTPHandler::handle_passive_timeout).
pub fn handle_passive_timeout<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) {
    s.data = DataState::None;
    let reply = Reply::new(421, "Passive data channel timed out.");
    // The 421 is also the final reply of the transfer that waits for the connection.
    match s.pending {
        Some(_) => pending::forget(h, s, Some(reply)),
        None => s.respond_at(Level::Info, reply),
    }
}

/// The connections that are accepted in one turn of a session.
const ACCEPTS: usize = 8;
