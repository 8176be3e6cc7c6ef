//! Whether a command may run now, or must wait.

use std::io;

use super::session::{DataState, FTPSession};
use crate::proto::command::{CommandLine, Role};

/// Whether the session takes another command: not while the client does not read its replies,
/// not while a final reply waits, and not while a login is decided or a job runs.
pub(super) fn takes_commands(s: &mut FTPSession) -> io::Result<bool> {
    s.waits_for_room = false;
    if s.is_closing() || s.is_leaving() || s.is_waiting() || s.owes_reply() {
        return Ok(false);
    }
    if s.chat.stream.is_handshaking() {
        return Ok(false);
    }
    if !has_room(s) {
        s.chat.flush()?;
    }
    s.waits_for_room = !has_room(s);
    Ok(!s.waits_for_room)
}

/// Whether the replies that are not sent yet leave room for more. A listing on the control
/// connection holds a directory and a buffer, so there is at most one.
pub(super) fn has_room(s: &FTPSession) -> bool {
    let chat = &s.chat;
    !chat.is_blocked() && !chat.has_producer() && chat.output_size() <= OUTPUT_MAX
}

/// Whether a command line must wait, so that replies come in the order of the commands: while
/// PORT has no reply, for all commands but ABOR and QUIT; and during a transfer, for commands
/// that need the data connection, and for AUTH, which resets what the transfer depends on.
pub(super) fn must_hold(s: &FTPSession, line: &[u8]) -> bool {
    let role = || {
        // It will be refused, as will a command that is not in the table: in its turn.
        let Ok(decoded) = s.encoding().decode(line, s.unicode_errors()) else {
            return Role::Other;
        };
        let line = CommandLine::parse(&decoded);
        match line.entry(s.proto_cmds()) {
            Some(entry) => entry.role,
            None => s.proto_cmds().role(&line.verb),
        }
    };
    match &s.data {
        DataState::Connecting(_) => role() != Role::Interrupts,
        DataState::Open(open) if open.channel.transfer_in_progress() => {
            matches!(role(), Role::Transfers | Role::Connects | Role::Secures)
        }
        // Another transfer would replace the one that got 150 for this connection; and the 150
        // was sent under the current protection.
        DataState::Listening(passive) if passive.claimed => {
            matches!(role(), Role::Transfers | Role::Protects | Role::Secures)
        }
        _ => false,
    }
}

/// Whether the first line of a client begins with the handshake of TLS.
pub(super) fn is_hello(line: &[u8]) -> bool {
    line.starts_with(&[0x16, 3])
}

/// Whether the first line of a client is a request of HTTP.
pub(super) fn is_http(line: &[u8]) -> bool {
    let mut words = line.rsplitn(2, |byte| *byte == b' ');
    words
        .next()
        .is_some_and(|last| last.starts_with(b"HTTP/1."))
        && words.next().is_some()
}

/// The bytes of replies that may wait to be sent. With more, no command is read.
const OUTPUT_MAX: usize = 8 * 1024;
