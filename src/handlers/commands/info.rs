//! Settings and questions that touch no file: TYPE, STRU, MODE, ALLO, NOOP,
//! SYST, STAT without a path, FEAT, OPTS, HELP.

use super::super::session::DataState;
use super::super::{FTPSession, TransferType};

/// Stock [`FTPHandler::ftp_type`](super::super::FTPHandler::ftp_type).
pub fn type_(s: &mut FTPSession, line: &str) {
    let letters = line.to_uppercase().replace(' ', "");
    match letters.as_str() {
        // "A N" names the default form of RFC 959: non-print.
        "A" | "L7" | "AN" => {
            s.respond("200 Type set to: ASCII.");
            s.transfer_type = TransferType::Ascii;
        }
        "I" | "L8" => {
            s.respond("200 Type set to: Binary.");
            s.transfer_type = TransferType::Binary;
        }
        _ => s.respond(&format!("504 Unsupported type \"{line}\".")),
    }
}

/// Stock [`FTPHandler::ftp_stru`](super::super::FTPHandler::ftp_stru).
pub fn stru(s: &mut FTPSession, line: &str) {
    match line.to_uppercase().as_str() {
        "F" => s.respond("200 File transfer structure set to: F."),
        "P" | "R" => s.respond("504 Unimplemented STRU type."),
        _ => s.respond("501 Unrecognized STRU type."),
    }
}

/// Stock [`FTPHandler::ftp_mode`](super::super::FTPHandler::ftp_mode).
pub fn mode(s: &mut FTPSession, line: &str) {
    match line.to_uppercase().as_str() {
        "S" => s.respond("200 Transfer mode set to: S"),
        "B" | "C" => s.respond("504 Unimplemented MODE type."),
        _ => s.respond("501 Unrecognized MODE type."),
    }
}

/// Stock [`FTPHandler::ftp_allo`](super::super::FTPHandler::ftp_allo).
pub fn allo(s: &mut FTPSession) {
    s.respond("202 No storage allocation necessary.");
}

/// Stock [`FTPHandler::ftp_noop`](super::super::FTPHandler::ftp_noop).
pub fn noop(s: &mut FTPSession) {
    s.respond("200 I successfully did nothing'.");
}

/// Stock [`FTPHandler::ftp_syst`](super::super::FTPHandler::ftp_syst).
pub fn syst(s: &mut FTPSession) {
    s.respond("215 UNIX Type: L8");
}

/// STAT without a path.
pub(super) fn stat(s: &mut FTPSession) {
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
        DataState::Connecting(_) | DataState::None => s.push_line(" Data connection closed."),
    }
    s.respond("211 End of status.");
}

/// Stock [`FTPHandler::ftp_feat`](super::super::FTPHandler::ftp_feat).
pub fn feat(s: &mut FTPSession) {
    let cmds = &s.config.proto_cmds;
    let mut features = vec!["TVFS".to_owned()];
    if s.config.encoding.is_utf8() {
        features.push("UTF8".to_owned());
    }
    let named = ["EPRT", "EPSV", "MDTM", "MFMT", "SIZE"];
    let named = named.into_iter().filter(|name| cmds.contains(name));
    features.extend(named.map(str::to_owned));
    if cmds.contains("MLST") || cmds.contains("MLSD") {
        features.push(format!("MLST {}", s.facts.feat()));
    }
    if cmds.contains("REST") {
        features.push("REST STREAM".to_owned());
    }
    if s.server.tls.is_some() {
        let tls = ["AUTH SSL", "AUTH TLS", "PBSZ", "PROT"];
        features.extend(tls.map(str::to_owned));
    }
    features.sort_unstable();
    s.push_line("211-Features supported:");
    for feature in features {
        s.push_line(&format!(" {feature}"));
    }
    s.respond("211 End FEAT.");
}

/// Stock [`FTPHandler::ftp_opts`](super::super::FTPHandler::ftp_opts).
pub fn opts(s: &mut FTPSession, line: &str) {
    let (cmd, arg) = line.split_once(' ').unwrap_or((line, ""));
    // Clients ask for UTF-8 before they log in; the rest has to wait for that.
    if !s.authenticated() && !matches!(cmd.to_uppercase().as_str(), "UTF8" | "UTF-8") {
        s.respond("530 Log in with USER and PASS first.");
        return;
    }
    if arg.contains(' ') {
        s.respond("501 Invalid number of arguments.");
        return;
    }
    match cmd.to_uppercase().as_str() {
        "UTF8" | "UTF-8" => s.respond("200 Always in UTF8 mode."),
        "MLST" if s.config.proto_cmds.contains("MLST") => match s.facts.select(arg) {
            Ok(facts) => s.respond(&format!("200 MLST OPTS {facts}")),
            Err(err) => s.respond(&format!("501 {err}.")),
        },
        _ => s.respond(&format!("501 Unsupported command \"{cmd}\".")),
    }
}

/// Stock [`FTPHandler::ftp_help`](super::super::FTPHandler::ftp_help).
pub fn help(s: &mut FTPSession, line: &str) {
    if !line.is_empty() {
        match s.config.proto_cmds.get(&line.to_uppercase()) {
            Some(cmd) => s.respond(&format!("214 {}", cmd.help.clone())),
            None => s.respond("501 Unrecognized command."),
        }
        return;
    }
    s.push_line("214-The following commands are recognized:");
    for line in s.config.proto_cmds.help_lines() {
        s.push_line(&line);
    }
    s.respond("214 Help command successful.");
}
