//! What commands require - an argument, a login: as pyftpdlib's `TestFtpCmdsSemantic`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use testkit::Server;

use crate::MODE;

/// The commands that need an argument.
const ARG: [&str; 24] = [
    "ALLO",
    "APPE",
    "DELE",
    "EPRT",
    "MDTM",
    "MFMT",
    "MKD",
    "MODE",
    "OPTS",
    "PORT",
    "REST",
    "RETR",
    "RMD",
    "RNFR",
    "RNTO",
    "SITE",
    "SIZE",
    "STOR",
    "STRU",
    "TYPE",
    "USER",
    "XMKD",
    "XRMD",
    "SITE CHMOD",
];

/// The commands that take none.
const NO_ARG: [&str; 12] = [
    "ABOR", "CDUP", "FEAT", "NOOP", "PASV", "PWD", "QUIT", "REIN", "SYST", "XCUP", "XPWD", "quit",
];

/// The commands that need a login, with their arguments.
const AUTH: [&str; 40] = [
    "ABOR",
    "ALLO 1",
    "APPE x",
    "CDUP",
    "CWD",
    "CWD x",
    "DELE x",
    "EPRT x",
    "EPSV",
    "LIST",
    "MDTM x",
    "MFMT 1 x",
    "MLSD",
    "MLST",
    "MODE S",
    "MKD x",
    "NLST",
    "PASV",
    "PORT x",
    "PWD",
    "REIN",
    "REST 0",
    "RETR x",
    "RMD x",
    "RNFR x",
    "RNTO x",
    "SITE CHMOD 755 x",
    "SIZE x",
    "STAT /",
    "STOR x",
    "STOU",
    "STRU F",
    "TYPE I",
    "XCUP",
    "XCWD",
    "XMKD x",
    "XPWD",
    "XRMD x",
    "OPTS MLST type;",
    "OPTS x",
];

/// The commands that need no login.
const NO_AUTH: [&str; 9] = [
    "FEAT",
    "HELP",
    "NOOP",
    "PASS x",
    "SITE HELP",
    "STAT",
    "SYST",
    "OPTS UTF8 ON",
    "USER x",
];

#[test]
fn arg_cmds() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for cmd in ARG {
        for line in [cmd.to_owned(), format!("{cmd} ")] {
            let reply = client.expect(501, line);
            assert_eq!(reply, "501 Syntax error: command needs an argument.");
        }
    }
    for cmd in ["SITE CHMOD 700", "MFMT 20201105120000"] {
        for line in [cmd.to_owned(), format!("{cmd} ")] {
            let before = fs::metadata(server.path("")).unwrap();
            let reply = client.expect(501, line);
            assert_eq!(reply, "501 Syntax error: command needs two arguments.");
            let after = fs::metadata(server.path("")).unwrap();
            assert_eq!(after.permissions(), before.permissions());
            assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        }
        client.expect(550, format!("{cmd}  "));
    }
}

#[test]
fn no_arg_cmds() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for cmd in NO_ARG {
        for arg in ["x", " ", "-la"] {
            let reply = client.expect(501, format!("{cmd} {arg}"));
            assert_eq!(
                reply,
                "501 Syntax error: command does not accept arguments."
            );
        }
    }
    client.expect(200, "NOOP");
}

#[test]
fn auth_cmds() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for cmd in AUTH {
        let reply = client.expect(530, cmd);
        assert_eq!(reply, "530 Log in with USER and PASS first.");
    }
    let left = fs::read_dir(server.home.path()).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn no_auth_cmds() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for cmd in NO_AUTH {
        let (code, reply) = client.command(cmd);
        assert!(code < 400 || cmd.starts_with("PASS"), "{cmd}: {reply}");
    }
    client.expect(221, "QUIT");
}

/// The lists above agree with the table of commands.
#[test]
fn every_command_is_looked_at() {
    use ftpdlib::proto::command::{Arg, ProtoCmds};
    let verb = |line: &'static str| match line.strip_prefix("SITE ") {
        Some(rest) => &line[..5 + rest.find(' ').unwrap_or(rest.len())],
        None => line.split(' ').next().unwrap(),
    };
    for (name, cmd) in ProtoCmds::default().iter() {
        assert_eq!(cmd.arg == Arg::Required, ARG.contains(&name), "{name}");
        assert_eq!(cmd.arg == Arg::Forbidden, NO_ARG.contains(&name), "{name}");
        let auth = AUTH.iter().any(|line| verb(line) == name);
        assert!(auth || !cmd.auth, "{name}");
        let no_auth = NO_AUTH.iter().any(|line| verb(line) == name);
        assert!(
            no_auth || cmd.auth || ["QUIT", "SITE"].contains(&name),
            "{name}"
        );
    }
}
