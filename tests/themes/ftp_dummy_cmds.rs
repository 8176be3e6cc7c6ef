//! Commands that touch no file: as pyftpdlib's `TestFtpDummyCmds`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use testkit::{PASSWORD, Server, USER};

use super::skipped_over_tls;

use crate::MODE;

#[test]
fn type_() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for ascii in ["a", "A", "L7", "l7", "A N"] {
        let reply = client.expect(200, format!("TYPE {ascii}"));
        assert_eq!(reply, "200 Type set to: ASCII.");
    }
    for binary in ["i", "I", "L8", "l8"] {
        let reply = client.expect(200, format!("TYPE {binary}"));
        assert_eq!(reply, "200 Type set to: Binary.");
    }
    let reply = client.expect(504, "TYPE ?!?");
    assert_eq!(reply, "504 Unsupported type \"?!?\".");
    client.expect(501, "TYPE");
}

#[test]
fn stru() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(200, "STRU f");
    client.expect(200, "STRU F");
    for other in ["p", "P", "r", "R"] {
        client.expect(504, format!("STRU {other}"));
    }
    client.expect(501, "STRU ?!?");
    client.expect(501, "STRU");
}

#[test]
fn mode() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(200, "MODE s");
    client.expect(200, "MODE S");
    for other in ["b", "B", "c", "C"] {
        client.expect(504, format!("MODE {other}"));
    }
    client.expect(501, "MODE ?!?");
    client.expect(501, "MODE");
}

#[test]
fn noop() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(200, "NOOP");
    assert_eq!(reply, "200 I successfully did nothing'.");
    client.expect(501, "NOOP x");
}

#[test]
fn syst() {
    let server = Server::start(MODE);
    let reply = server.connect().expect(215, "SYST");
    assert_eq!(reply, "215 UNIX Type: L8");
}

#[test]
fn allo() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let reply = client.expect(202, "ALLO 100");
    assert_eq!(reply, "202 No storage allocation necessary.");
}

#[test]
fn quit() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    assert_eq!(client.expect(221, "QUIT"), "221 Goodbye.");
    client.expect_eof();
    let mut client = server.login();
    // The rest of the argument is ignored.
    client.send("QUIT\r\nMKD dir\r\n");
    assert_eq!(client.expect_reply(221), "221 Goodbye.");
    client.expect_eof();
    assert!(!server.path("dir").exists());
}

#[test]
fn help() {
    if skipped_over_tls("tls_commands has the list under TLS") {
        return;
    }
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(214, "HELP");
    for cmd in ["ABOR", "RETR", "XRMD"] {
        assert!(reply.contains(cmd), "{reply}");
    }
    assert!(!reply.contains("CHMOD"), "{reply}");
    let reply = client.expect(214, "HELP retr");
    assert_eq!(reply, "214 Syntax: RETR <SP> file-name (retrieve a file).");
    let reply = client.expect(501, "HELP ?!?");
    assert_eq!(reply, "501 Unrecognized command.");
    // There is help for each command in the list.
    let reply = client.expect(214, "HELP");
    let cmds: Vec<_> = reply
        .lines()
        .filter_map(|line| line.strip_prefix(' '))
        .flat_map(str::split_whitespace)
        .collect();
    assert_eq!(cmds.len(), 45);
    for cmd in cmds {
        let reply = client.expect(214, format!("HELP {cmd}"));
        assert!(reply.starts_with(&format!("214 Syntax: {cmd}")), "{reply}");
    }
}

#[test]
fn site() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(501, "SITE");
    let reply = client.expect(500, "SITE ?!?");
    assert_eq!(reply, "500 Command \"SITE ?!?\" not understood.");
    client.expect(500, "SITE foo bar");
    client.expect(500, "SITECHMOD 755 x");
}

#[test]
fn site_help() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(214, "SITE HELP");
    assert!(reply.contains("\r\n CHMOD\r\n HELP\r\n"), "{reply}");
    client.expect(214, "SITE HELP HELP");
    client.expect(501, "SITE HELP ?!?");
}

#[test]
fn site_help_of_a_command() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for name in ["HELP SITE CHMOD", "SITE HELP SITE CHMOD"] {
        let reply = client.expect(214, name);
        assert!(reply.starts_with("214 Syntax: SITE CHMOD"), "{reply}");
    }
}

#[test]
fn rest() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(501, "REST");
    for bad in ["str", "-1", "10.1", "", " ", "+", "1x", "0x10"] {
        client.expect(501, format!("REST {bad}"));
    }
    let huge = format!("REST {}", "9".repeat(1000));
    let (code, _) = client.command(huge);
    assert!(matches!(code, 350 | 501));
    client.expect(350, "REST 0");
    let reply = client.expect(350, "REST 10");
    assert_eq!(reply, "350 Restarting at position 10.");
    client.expect(200, "TYPE a");
    let reply = client.expect(501, "REST 10");
    assert_eq!(reply, "501 Resuming transfers not allowed in ASCII mode.");
}

#[test]
fn feat() {
    if skipped_over_tls("tls_commands has the list under TLS") {
        return;
    }
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(211, "FEAT");
    let features: Vec<_> = reply
        .lines()
        .filter_map(|line| line.strip_prefix(' '))
        .collect();
    assert_eq!(
        features,
        [
            "EPRT",
            "EPSV",
            "MDTM",
            "MFMT",
            "MLST type*;perm*;size*;modify*;unique*;unix.mode;unix.uid;unix.gid;",
            "REST STREAM",
            "SIZE",
            "TVFS",
            "UTF8",
        ]
    );
    assert!(reply.starts_with("211-Features supported:\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n211 End FEAT."), "{reply}");
}

#[test]
fn feat_names_what_there_is() {
    let server = Server::with(MODE, |config| {
        config.encoding = ftpdlib::proto::encoding::Encoding::LATIN_1;
        config.proto_cmds.remove("MLST");
        config.proto_cmds.remove("SIZE");
        config.proto_cmds.remove("REST");
    });
    let mut client = server.login();
    let reply = client.expect(211, "FEAT");
    for gone in ["UTF8", "SIZE", "REST"] {
        assert!(!reply.contains(gone), "{reply}");
    }
    assert!(reply.contains("MLST type*;"), "MLSD is there: {reply}");
    client.expect(500, "SIZE x");
    client.expect(501, "HELP SIZE");
}

#[test]
fn opts_feat() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(501, "OPTS");
    client.expect(501, "OPTS mlst bad fact");
    client.expect(501, "OPTS mlst type ;");
    client.expect(501, "OPTS not_mlst");
    let facts = |client: &mut testkit::Client| {
        let reply = client.expect(211, "FEAT");
        let line = reply.lines().find_map(|line| line.strip_prefix(" MLST "));
        line.unwrap().to_owned()
    };
    let all = "type*;perm*;size*;modify*;unique*;unix.mode;unix.uid;unix.gid;";
    assert_eq!(facts(&mut client), all);
    let reply = client.expect(200, "OPTS MLST type;");
    assert_eq!(reply, "200 MLST OPTS type;");
    assert!(facts(&mut client).starts_with("type*;perm;size;modify;"));
    let reply = client.expect(200, "opts mLSt TypE;MODIFY;");
    assert_eq!(reply, "200 MLST OPTS type;modify;");
    assert!(facts(&mut client).starts_with("type*;perm;size;modify*;unique;"));
    // Values that do not exist are left out.
    let reply = client.expect(200, "OPTS mlst unknown;size;");
    assert_eq!(reply, "200 MLST OPTS size;");
    let reply = client.expect(200, "OPTS mlst");
    assert_eq!(reply, "200 MLST OPTS ");
    assert!(facts(&mut client).starts_with("type;perm;size;modify;"));
}

#[test]
fn stat() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(211, "STAT");
    assert!(reply.contains("\r\n Waiting for username.\r\n"), "{reply}");
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(211, "STAT");
    assert!(reply.contains("\r\n Waiting for password.\r\n"), "{reply}");
    client.expect(230, format!("PASS {PASSWORD}"));
    let reply = client.expect(211, "STAT");
    let address = server.address;
    for line in [
        format!(" Connected to: 127.0.0.1:{}", address.port()),
        format!(" Logged in as: {USER}"),
        " TYPE: ASCII; STRUcture: File; MODE: Stream".to_owned(),
        " Data connection closed.".to_owned(),
    ] {
        assert!(reply.contains(&format!("\r\n{line}\r\n")), "{reply}");
    }
    assert!(reply.ends_with("\r\n211 End of status."), "{reply}");
    client.expect(227, "PASV");
    let reply = client.expect(211, "STAT");
    assert!(
        reply.contains(" Passive data channel waiting for connection."),
        "{reply}"
    );
    let _data = client.port();
    let reply = client.expect(211, "STAT");
    assert!(reply.contains(" Data connection open:"), "{reply}");
    assert!(reply.contains(" Total bytes sent: 0"), "{reply}");
}

#[test]
fn lines_that_are_no_commands() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for line in ["foo", "foo bar", "", " ", " noop", "\t", "NOOP\0"] {
        let reply = client.expect(500, line);
        assert!(reply.ends_with("not understood."), "{reply}");
    }
    client.expect(200, "noop");
    // The longest line, and one that is too long.
    client.expect(500, "x".repeat(2048));
    let reply = client.expect(500, "x".repeat(2049));
    assert_eq!(reply, "500 Command too long.");
    let reply = client.expect(500, "x".repeat(100_000));
    assert_eq!(reply, "500 Command too long.");
    client.expect(200, "NOOP");
    // Characters that could control a terminal do not come back.
    let reply = client.expect(500, "a\x1b[2Jb\rc");
    assert_eq!(reply, "500 Command \"A?[2JB?C\" not understood.");
}

#[test]
fn a_browser_is_turned_away() {
    if skipped_over_tls("a client that has sent AUTH is not a browser") {
        return;
    }
    let server = Server::start(MODE);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER anonymous\r\n");
    let reply = client.expect_reply(500);
    assert_eq!(reply, "500 This is an FTP server.");
    client.expect_eof();
}
