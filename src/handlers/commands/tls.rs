//! AUTH, PBSZ and PROT (RFC 4217), and the handshake of the control connection.

use std::io;
use std::sync::Arc;

use log::Level;

use crate::error::strerror;
use crate::handlers::dispatchers;
use crate::handlers::hooks::Hooks;
use crate::handlers::session::{ControlTls, FTPSession};
use crate::ioloop::stream::is_disconnect;
use crate::ioloop::tls::Tls;
use crate::proto::reply::Reply;
use crate::time::after;
use crate::tls::TlsSession;

/// Stock [`FTPHandler::ftp_auth`](crate::FTPHandler::ftp_auth): the user is logged out, and all
/// parameters are reset. `SSL` and `TLS-P` imply PROT P (RFC 4217 §17).
pub fn auth<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, line: &str) {
    // The handshake negotiates the version, whatever the argument says (RFC 4217 §4).
    let arg = line.to_uppercase();
    if s.is_secure() {
        s.respond(Reply::new(503, "Already using TLS."));
    } else if matches!(arg.as_str(), "TLS" | "TLS-C" | "SSL" | "TLS-P") {
        // Nothing that came in clear text is carried over (RFC 2228 §3).
        dispatchers::reset_data(h, s);
        h.flush_account(s);
        s.auth_protects = matches!(arg.as_str(), "SSL" | "TLS-P");
        s.reset_parameters();
        s.respond(Reply::with(234, format!("AUTH {arg} successful.")));
        h.secure_connection(s);
    } else {
        s.respond(Reply::new(
            502,
            "Unrecognized encryption type (use TLS or SSL).",
        ));
    }
}

/// Stock [`FTPHandler::ftp_pbsz`](crate::FTPHandler::ftp_pbsz): replies as if the size
/// were 0. The size is a decimal number of 32 bits (RFC 2228 §3).
pub fn pbsz(s: &mut FTPSession, line: &str) {
    let is_size = line.bytes().all(|digit| digit.is_ascii_digit()) && line.parse::<u32>().is_ok();
    if s.is_secure() && !is_size {
        s.respond(Reply::new(501, "Invalid PBSZ size (use 0)."));
    } else if s.is_secure() {
        s.respond(Reply::new(200, "PBSZ=0 successful."));
        s.pbsz = true;
    } else {
        s.respond(Reply::new(
            503,
            "PBSZ not allowed on insecure control connection.",
        ));
    }
}

/// Stock [`FTPHandler::ftp_prot`](crate::FTPHandler::ftp_prot).
pub fn prot(s: &mut FTPSession, line: &str) {
    if !s.is_secure() {
        s.respond(Reply::new(
            503,
            "PROT not allowed on insecure control connection.",
        ));
        return;
    }
    if !s.pbsz {
        s.respond(Reply::new(
            503,
            "You must issue the PBSZ command prior to PROT.",
        ));
        return;
    }
    match line.to_uppercase().as_str() {
        "C" => {
            s.respond(Reply::new(200, "Protection set to Clear"));
            s.prot = false;
        }
        "P" => {
            s.respond(Reply::new(200, "Protection set to Private"));
            s.prot = true;
        }
        arg @ ("S" | "E") => s.respond(Reply::with(
            521,
            format!("PROT {arg} unsupported (use C or P)."),
        )),
        _ => s.respond(Reply::new(502, "Unrecognized PROT type (use C or P).")),
    }
}

/// Stock [`FTPHandler::secure_connection`](crate::FTPHandler::secure_connection): replies so far
/// are sent in clear text. Then the session waits for the client's handshake.
pub fn secure_connection(s: &mut FTPSession) {
    let Some(acceptor) = s.tls_acceptor() else {
        return;
    };
    let session = TlsSession::new(Arc::clone(acceptor), s.remote_ip());
    let (handshake, new) = session.control_handshake();
    match s.chat.secure(new) {
        Ok(()) => {
            let deadline = after(s.now, session.handshake_timeout());
            let handshake = Some((handshake, deadline));
            s.tls = Some(Box::new(ControlTls { session, handshake }));
        }
        Err(err) => {
            s.log(format_args!(
                "cannot secure the connection: {}",
                strerror(&err)
            ));
            s.close();
        }
    }
}

/// Stock [`FTPHandler::handle_failed_ssl_handshake`](crate::FTPHandler::handle_failed_ssl_handshake):
/// closes the session without a reply, which the client could not read.
pub fn handle_failed_ssl_handshake(s: &mut FTPSession) {
    s.close();
}

/// Continues the handshake of the control connection. Returns whether it is finished.
pub(crate) fn shake<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession) -> bool {
    match s.chat.stream.handshake() {
        Ok(false) => false,
        Ok(true) => {
            let handshake = s.tls.as_mut().and_then(|tls| tls.handshake.take());
            if let Some((handshake, _)) = handshake {
                handshake.finish();
            }
            s.tell_tls_user();
            if let Some(version) = s.chat.stream().tls().and_then(Tls::version) {
                s.log_at(Level::Debug, format_args!("TLS established: {version}"));
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

fn fail<H: Hooks + ?Sized>(h: &mut H, s: &mut FTPSession, err: &io::Error) {
    if err.kind() == io::ErrorKind::UnexpectedEof || is_disconnect(err) {
        s.log("Unexpected SSL EOF: the client has closed the connection during the handshake.");
    } else {
        s.log(format_args!("SSL handshake failed: {}.", strerror(err)));
        h.handle_failed_ssl_handshake(s);
    }
    // The client cannot read a reply without TLS.
    s.close();
}
