//! AUTH, PBSZ and PROT (RFC 4217), what TLS asks of other commands, and the
//! handshake of the control connection.

use std::io;
use std::sync::Arc;

use log::Level;

use super::super::session::ControlTls;
use super::super::{FTPHandler, FTPSession};
use crate::ioloop::stream::is_disconnect;
use crate::proto::command::{connects, transfers};
use crate::time::after;
use crate::tls::TlsSession;

/// Stock [`FTPHandler::ftp_auth`].
pub fn auth<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    // TLS and SSL find out their versions themselves (RFC 4217 §4).
    let arg = line.to_uppercase();
    if s.is_secure() {
        s.respond("503 Already using TLS.");
    } else if matches!(arg.as_str(), "TLS" | "TLS-C" | "SSL" | "TLS-P") {
        s.respond(&format!("234 AUTH {arg} successful."));
        h.secure_connection(s);
    } else {
        s.respond("502 Unrecognized encryption type (use TLS or SSL).");
    }
}

/// Stock [`FTPHandler::ftp_pbsz`]: any size is taken for 0.
pub fn pbsz(s: &mut FTPSession) {
    if s.is_secure() {
        s.respond("200 PBSZ=0 successful.");
        s.pbsz = true;
    } else {
        s.respond("503 PBSZ not allowed on insecure control connection.");
    }
}

/// Stock [`FTPHandler::ftp_prot`].
pub fn prot(s: &mut FTPSession, line: &str) {
    if !s.is_secure() {
        s.respond("503 PROT not allowed on insecure control connection.");
        return;
    }
    if !s.pbsz {
        s.respond("503 You must issue the PBSZ command prior to PROT.");
        return;
    }
    match line.to_uppercase().as_str() {
        "C" => {
            s.respond("200 Protection set to Clear");
            s.prot = false;
        }
        "P" => {
            s.respond("200 Protection set to Private");
            s.prot = true;
        }
        arg @ ("S" | "E") => s.respond(&format!("521 PROT {arg} unsupported (use C or P).")),
        _ => s.respond("502 Unrecognized PROT type (use C or P)."),
    }
}

/// Stock [`FTPHandler::secure_connection`]: what was replied goes out in clear,
/// then the client's handshake is waited for.
pub fn secure_connection(s: &mut FTPSession) {
    let Some(acceptor) = &s.server.tls else {
        return;
    };
    let session = TlsSession::new(Arc::clone(acceptor));
    let (handshake, config) = session.control_handshake();
    match s.chat.secure(config) {
        Ok(()) => {
            let deadline = after(s.now, session.handshake_timeout());
            let handshake = Some((handshake, deadline));
            s.tls = Some(Box::new(ControlTls { session, handshake }));
        }
        Err(err) => {
            s.log(format_args!("cannot secure the connection: {err}"));
            s.close();
        }
    }
}

/// Stock [`FTPHandler::handle_failed_ssl_handshake`]: closes, without a reply,
/// which the client could not read.
pub fn handle_failed_ssl_handshake(s: &mut FTPSession) {
    s.close();
}

/// Goes on with the handshake of the control connection. Returns whether it is
/// finished.
pub(crate) fn shake<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    match s.chat.stream.handshake() {
        Ok(false) => false,
        Ok(true) => {
            let handshake = s.tls.as_mut().and_then(|tls| tls.handshake.take());
            if let Some((handshake, _)) = handshake {
                handshake.finish();
            }
            if let Some(version) = s.tls_state().and_then(|state| state.protocol_version()) {
                s.log_at(Level::Debug, format_args!("TLS established: {version:?}"));
            }
            h.handle_ssl_established(s);
            true
        }
        Err(err) => {
            fail(h, s, &err);
            false
        }
    }
}

fn fail<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, err: &io::Error) {
    if err.kind() == io::ErrorKind::UnexpectedEof || is_disconnect(err) {
        s.log("Unexpected SSL EOF.");
    } else {
        s.log(format_args!("SSL handshake failed: {err}."));
        h.handle_failed_ssl_handshake(s);
    }
    // There is no way to talk to the client.
    s.close();
}

/// Whether TLS is demanded for a command and is not there; then it was replied to.
pub(crate) fn refuses(s: &mut FTPSession, name: &str) -> bool {
    let Some(acceptor) = &s.server.tls else {
        return false;
    };
    let control = acceptor.config.tls_control_required && !s.is_secure();
    let data = lacks_data_tls(s);
    let reply = match name {
        "USER" | "PASS" if control => "550 SSL/TLS required on the control channel.",
        _ if data && connects(name) => "550 SSL/TLS required on the data channel.",
        _ if data && transfers(name) => DATA_REQUIRED,
        _ => return false,
    };
    s.respond(reply);
    true
}

/// Whether TLS is demanded for data connections, and PROT P was not given.
pub(crate) fn lacks_data_tls(s: &FTPSession) -> bool {
    let tls = s.server.tls.as_ref();
    tls.is_some_and(|tls| tls.config.tls_data_required && !s.prot)
}

/// The reply to a transfer (RFC 4217 §9 has the code).
pub(crate) const DATA_REQUIRED: &str = "521 SSL/TLS required on the data channel.";
