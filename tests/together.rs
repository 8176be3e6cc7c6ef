//! Settings that change the same processes and the same sessions, all at once: with each
//! concurrency model every fence holds, and none stands in the way of another one.
//!
//! As root the server also switches to another user. The addresses 127.0.0.x are those of
//! different clients.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

use tempfile::TempDir;
use testkit::authority::Pair;
use testkit::{
    Client, Mode, PASSWORD, Program, USER, at_once, connect_data_from, parse_227, read_all,
    wait_for,
};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

/// A user and a group that no system has.
const UID: u32 = 3_999_999_997;

const MODELS: [&[&str]; 4] = [
    &["async"],
    &["pre-fork", "--workers", "3"],
    &["multi-thread"],
    &["multi-proc"],
];

/// The address of a user who means well.
const FRIEND: &str = "127.0.0.2";

fn config(home: &str) -> String {
    let switch = match is_root() {
        true => format!("user = {UID}\ngroup = {UID}"),
        false => String::new(),
    };
    format!(
        r#"
        [server]
        address = "127.0.0.1"
        port = 0
        max_cons = 40
        allow_from = ["127.0.0.0/28"]
        deny_from = ["127.0.0.6"]
        umask = "027"
        {switch}
        [handler]
        login_timeout = 2
        active_mode = false
        deny = ["*.php"]
        hide = [".git"]
        hide_ids = true
        max_upload_size = 1000
        min_free_space = 1
        auth_failed_timeout = 0.01
        [guard]
        allow = []
        ban_after = 4
        max_delay = 0.1
        [tls]
        certfile = "{home}/both.pem"
        [[users]]
        name = "{USER}"
        password = "{PASSWORD}"
        home = "{home}/share"
        perm = "elradfmwMT"
        [[users.override_perm]]
        path = "protected"
        perm = "elr"
        recursive = true
        "#
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn start(model: &[&str]) -> Program {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name);
    fs::create_dir_all(path("share/protected")).unwrap();
    fs::write(path("share/protected/secret"), b"secret").unwrap();
    fs::create_dir(path("share/.git")).unwrap();
    fs::write(path("both.pem"), Pair::new(&["localhost"]).both()).unwrap();
    fs::write(path("ftpd.toml"), config(home.path().to_str().unwrap())).unwrap();
    if is_root() {
        for name in ["", "both.pem", "share", "share/protected", "share/.git"] {
            chown(path(name), Some(UID), Some(UID)).unwrap();
        }
    }
    let mut command = Command::new(FTPDLIB);
    // It logs all commands, which nothing reads in the end.
    command.arg("-D").arg("--config").arg(path("ftpd.toml"));
    command.arg("--concurrency").args(model);
    Program::spawn(command, home)
}

fn connect(program: &Program, source: &str) -> Client {
    Client::connect_from(Mode::Clear, source, program.address)
}

fn login(program: &Program, source: &str) -> Client {
    let mut client = connect(program, source);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    client
}

/// Uploads; returns the code of the last reply.
fn upload(client: &mut Client, source: &str, command: &str, bytes: &[u8]) -> u16 {
    let port = parse_227(&client.expect(227, "PASV"));
    let mut data = connect_data_from(source, port);
    let (code, _) = client.command(command);
    if !matches!(code, 125 | 150) {
        return code;
    }
    data.write_all(bytes).unwrap();
    drop(data);
    client.reply().0
}

fn list(client: &mut Client, source: &str) -> String {
    let port = parse_227(&client.expect(227, "PASV"));
    let mut data = connect_data_from(source, port);
    client.begin("LIST -a");
    let listing = read_all(&mut data);
    client.expect_reply(226);
    String::from_utf8(listing).unwrap()
}

#[test]
fn all_fences_hold_at_once() {
    at_once(MODELS, |model| {
        let mut program = start(model);
        let mut client = login(&program, FRIEND);
        files(&program, &mut client);
        addresses(&program);
        guesses(&program);
        silence(&program);
        signals(&program, &mut client);
        crowd(&program, &mut client);
        unread_log(&program, &mut client);
        drop(client);
        program.signal("TERM");
        let status = program.wait();
        assert_eq!(status.code(), Some(0), "{model:?}: {}", program.log());
        let log = program.log();
        assert!(!log.contains("[E ") && !log.contains("panicked"), "{log}");
    });
}

fn files(program: &Program, client: &mut Client) {
    assert_eq!(upload(client, FRIEND, "STOR file", b"content"), 226);
    let data = fs::metadata(program.path("share/file")).unwrap();
    assert_eq!(data.mode() & 0o7777, 0o640, "umask");
    if is_root() {
        assert_eq!((data.uid(), data.gid()), (UID, UID));
    }
    assert_eq!(upload(client, FRIEND, "STOR large", &[b'x'; 1001]), 552);
    assert_eq!(upload(client, FRIEND, "APPE file", &[b'x'; 994]), 552);
    for (command, code) in [
        ("PORT 127,0,0,2,100,100", 502),
        ("EPRT |1|127.0.0.2|25700|", 502),
        ("STOR page.php", 550),
        ("MKD x.PHP", 550),
        ("RNFR .git", 550),
        ("CWD .git", 550),
        ("STOR protected/new", 550),
        ("DELE protected/secret", 550),
        ("RNFR protected/secret", 550),
        ("SITE CHMOD 4755 file", 501),
    ] {
        assert_eq!(upload(client, FRIEND, command, b"x"), code, "{command}");
    }
    // Neither a hidden name nor the user of the process.
    let listing = list(client, FRIEND);
    assert!(listing.contains("protected"), "{listing}");
    assert!(!listing.contains(".git"), "{listing}");
    assert!(!listing.contains(&UID.to_string()), "{listing}");
    assert_eq!(
        fs::read(program.path("share/protected/secret")).unwrap(),
        b"secret"
    );
}

fn addresses(program: &Program) {
    for source in ["127.0.0.6", "127.0.0.40"] {
        let mut client = connect(program, source);
        let text = client.expect_reply(421);
        assert!(text.contains("not available to your address"), "{text}");
        client.expect_eof();
    }
}

fn guesses(program: &Program) {
    let guesser = "127.0.0.3";
    for _ in 0..4 {
        let mut client = connect(program, guesser);
        client.expect_reply(220);
        client.expect(331, format!("USER {USER}"));
        client.expect(530, "PASS wrong");
    }
    program.expect_log("guard: 127.0.0.3 is banned for 600 s after 4 failed logins");
    connect(program, guesser).expect_eof();
    // Others are not.
    login(program, FRIEND).expect(221, "QUIT");
}

fn silence(program: &Program) {
    let mut client = connect(program, "127.0.0.4");
    client.expect_reply(220);
    client.expect(331, format!("USER {USER}"));
    let text = client.expect_reply(421);
    assert_eq!(text, "421 Login timed out.");
    client.expect_eof();
}

/// The certificate can be read again after the switch, and no process ends.
fn signals(program: &Program, client: &mut Client) {
    let read_again = || {
        program
            .log()
            .matches("TLS: certificates read again")
            .count()
    };
    let before = read_again();
    program.signal("HUP");
    wait_for("the certificates", || read_again() > before);
    for name in ["USR1", "USR2"] {
        program.signal_all(name);
    }
    client.expect(200, "NOOP");
    assert!(!program.log().contains("restarting"), "{}", program.log());
    login(program, FRIEND).expect(221, "QUIT");
}

/// One address takes all places: the friend still gets one, with a data connection.
fn crowd(program: &Program, client: &mut Client) {
    let crowd = "127.0.0.5";
    let mut clients = Vec::new();
    loop {
        let mut one = connect(program, crowd);
        match one.try_reply() {
            Some((220, _)) => clients.push(one),
            _ => break,
        }
        assert!(clients.len() < 40, "the server turns nobody away");
    }
    let mut other = login(program, FRIEND);
    assert_eq!(upload(&mut other, FRIEND, "STOR during", b"x"), 226);
    client.expect(200, "NOOP");
    other.expect(221, "QUIT");
}

/// More lines than the pipe and the buffer of the log take.
fn unread_log(program: &Program, client: &mut Client) {
    program.stop_reading();
    for _ in 0..40 {
        client.send("NOOP\r\n".repeat(100));
        (0..100).for_each(|_| drop(client.expect_reply(200)));
    }
    program.go_on_reading();
}
