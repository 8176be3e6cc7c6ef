//! STAT (RFC 959): the status of the session, or a listing on the control connection.

use std::path::Path;

use super::listing;
use crate::handlers::session::{DataState, FTPSession};
use crate::proto::reply::Reply;
use crate::proto::transfer_type::TransferType;

/// Stock [`FTPHandler::ftp_stat`](crate::FTPHandler::ftp_stat): the status of a path, or of the
/// session.
///
/// Only the first names of a large directory are sorted, because a session without a transfer
/// must hold little memory.
pub fn stat(s: &mut FTPSession, path: Option<&Path>) {
    match path {
        Some(path) => listing::stat(s, path),
        None => session(s),
    }
}

/// Replies to STAT without a path.
fn session(s: &mut FTPSession) {
    let local = s.local_addr();
    let (ip, port) = (local.ip(), local.port());
    s.push_line("211-FTP server status:");
    s.push_line(&format!(" Connected to: {ip}:{port}"));
    let login = match (s.authenticated(), s.username()) {
        (true, username) => format!(" Logged in as: {username}"),
        (false, "") => " Waiting for username.".to_owned(),
        (false, _) => " Waiting for password.".to_owned(),
    };
    s.push_line(&login);
    let transfer_type = match s.transfer_type {
        TransferType::Ascii => "ASCII",
        TransferType::Binary => "Binary",
    };
    s.push_line(&format!(
        " TYPE: {transfer_type}; STRUcture: File; MODE: Stream"
    ));
    match &s.data {
        DataState::Listening(_) => s.push_line(" Passive data channel waiting for connection."),
        DataState::Open(open) => {
            let channel = &open.channel;
            let lines = [
                " Data connection open:".to_owned(),
                format!(" Total bytes sent: {}", channel.tot_bytes_sent()),
                format!(" Total bytes received: {}", channel.tot_bytes_received()),
                format!(
                    " Transfer elapsed time: {:?} secs",
                    channel.get_elapsed_time().as_secs_f64()
                ),
            ];
            lines.iter().for_each(|line| s.push_line(line));
        }
        DataState::Connecting(_) | DataState::Ending(_) | DataState::None => {
            s.push_line(" Data connection closed.")
        }
    }
    s.respond(Reply::new(211, "End of status."));
}
