//! Commands that set parameters or return information, and touch no file: TYPE, STRU, MODE,
//! ALLO, NOOP, SYST, FEAT, OPTS, HELP; and the reply to commands without a method.

use crate::handlers::session::FTPSession;
use crate::proto::reply::Reply;
use crate::proto::transfer_type::TransferType;

/// Stock [`FTPHandler::ftp_type`](crate::FTPHandler::ftp_type).
pub fn type_(s: &mut FTPSession, line: &str) {
    let letters = line.to_uppercase().replace(' ', "");
    match letters.as_str() {
        // "A N" names the default form of RFC 959: non-print.
        "A" | "L7" | "AN" => {
            s.respond(Reply::new(200, "Type set to: ASCII."));
            s.transfer_type = TransferType::Ascii;
            // It counts bytes of the file, and TYPE A sends other bytes.
            s.rest = 0;
        }
        "I" | "L8" => {
            s.respond(Reply::new(200, "Type set to: Binary."));
            s.transfer_type = TransferType::Binary;
        }
        _ => s.respond(Reply::with(504, format!("Unsupported type \"{line}\"."))),
    }
}

/// Stock [`FTPHandler::ftp_stru`](crate::FTPHandler::ftp_stru).
pub fn stru(s: &mut FTPSession, line: &str) {
    match line.to_uppercase().as_str() {
        "F" => s.respond(Reply::new(200, "File transfer structure set to: F.")),
        "P" | "R" => s.respond(Reply::new(504, "Unimplemented STRU type.")),
        _ => s.respond(Reply::new(501, "Unrecognized STRU type.")),
    }
}

/// Stock [`FTPHandler::ftp_mode`](crate::FTPHandler::ftp_mode).
pub fn mode(s: &mut FTPSession, line: &str) {
    match line.to_uppercase().as_str() {
        "S" => s.respond(Reply::new(200, "Transfer mode set to: S")),
        "B" | "C" => s.respond(Reply::new(504, "Unimplemented MODE type.")),
        _ => s.respond(Reply::new(501, "Unrecognized MODE type.")),
    }
}

/// Stock [`FTPHandler::ftp_allo`](crate::FTPHandler::ftp_allo). In TYPE I the size counts for the
/// next upload, where [`max_upload_size`](crate::FTPConfig::max_upload_size) or
/// [`min_free_space`](crate::FTPConfig::min_free_space) is set.
pub fn allo(s: &mut FTPSession) {
    s.respond(Reply::new(202, "No storage allocation necessary."));
}

/// Stock [`FTPHandler::ftp_noop`](crate::FTPHandler::ftp_noop).
pub fn noop(s: &mut FTPSession) {
    s.respond(Reply::new(200, "I successfully did nothing'."));
}

/// Stock [`FTPHandler::ftp_syst`](crate::FTPHandler::ftp_syst).
pub fn syst(s: &mut FTPSession) {
    s.respond(Reply::new(215, "UNIX Type: L8"));
}

/// Stock [`FTPHandler::ftp_feat`](crate::FTPHandler::ftp_feat).
pub fn feat(s: &mut FTPSession) {
    s.push_line("211-Features supported:");
    for feature in s.features() {
        s.push_line(&format!(" {feature}"));
    }
    s.respond(Reply::new(211, "End FEAT."));
}

/// Stock [`FTPHandler::ftp_opts`](crate::FTPHandler::ftp_opts).
pub fn opts(s: &mut FTPSession, line: &str) {
    let (cmd, arg) = line.split_once(' ').unwrap_or((line, ""));
    // Clients ask for UTF-8 before the login. All other options need a login.
    if !s.authenticated() && !matches!(cmd.to_uppercase().as_str(), "UTF8" | "UTF-8") {
        s.respond(Reply::new(530, "Log in with USER and PASS first."));
        return;
    }
    if arg.contains(' ') {
        s.respond(Reply::new(501, "Invalid number of arguments."));
        return;
    }
    match cmd.to_uppercase().as_str() {
        "UTF8" | "UTF-8" => opts_utf8(s, arg),
        "MLST" if s.proto_cmds().contains("MLST") => match s.facts.select(arg) {
            Ok(facts) => s.respond(Reply::with(200, format!("MLST OPTS {facts}"))),
            Err(err) => s.respond(Reply::with(501, format!("{err}."))),
        },
        _ => s.respond(Reply::with(501, format!("Unsupported command \"{cmd}\"."))),
    }
}

/// OPTS UTF8: the settings decide, and the reply says whether names are in UTF-8.
fn opts_utf8(s: &mut FTPSession, arg: &str) {
    let reply = match arg.to_uppercase().as_str() {
        _ if s.encoding().is_utf8() => Reply::new(200, "Always in UTF8 mode."),
        "OFF" => Reply::new(200, "Never in UTF8 mode."),
        _ => Reply::new(501, "UTF8 not available: names are in another encoding."),
    };
    s.respond(reply);
}

/// Stock [`FTPHandler::ftp_help`](crate::FTPHandler::ftp_help).
pub fn help(s: &mut FTPSession, line: &str) {
    if !line.is_empty() {
        match s.proto_cmds().get(&line.to_uppercase()) {
            Some(cmd) => s.respond(Reply::with(214, cmd.help.clone().into_owned())),
            None => s.respond(Reply::new(501, "Unrecognized command.")),
        }
        return;
    }
    s.push_line("214-The following commands are recognized:");
    for line in s.proto_cmds().help_lines() {
        s.push_line(&line);
    }
    s.respond(Reply::new(214, "Help command successful."));
}

/// Stock [`FTPHandler::ftp_custom`](crate::FTPHandler::ftp_custom): no method implements the
/// command.
pub fn custom(s: &mut FTPSession, cmd: &str) {
    let text = format!("Command \"{cmd}\" not implemented.");
    s.respond(Reply::with(502, text));
}
