//! How an override learns the outcome of a stock body.

use std::ffi::OsStr;
use std::path::Path;

use ftpdlib::handlers::{Command, commands};
use ftpdlib::proto::reply::Reply;
use ftpdlib::testing::Session;
use ftpdlib::{FTPHandler, FTPSession};

use super::SECOND;
use super::place::{Place, place};

/// Notes what stock bodies have replied, at once and in the end.
#[derive(Default)]
struct Noting {
    at_once: Vec<String>,
    all: Vec<String>,
}

impl Noting {
    fn note(&mut self, s: &FTPSession) {
        let code = s.replied().map_or(0, |reply| reply.code);
        let file = s.transfer_file().and_then(Path::file_name);
        let file = file.unwrap_or_default().to_string_lossy();
        self.at_once
            .push(format!("{code} {file}").trim().to_owned());
    }
}

impl FTPHandler for Noting {
    fn on_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>, reply: &Reply) {
        assert!(s.replied().is_none(), "the command is over");
        let arg = cmd.arg.to_text();
        let arg = Path::new(&*arg).file_name().unwrap_or_default();
        let line = format!("{} {} {}", cmd.name, arg.display(), reply.code);
        self.all.push(line.replace("  ", " "));
    }

    fn ftp_mkd(&mut self, s: &mut FTPSession, path: &Path) {
        commands::mkd(s, path);
        self.note(s);
    }

    fn ftp_stor(&mut self, s: &mut FTPSession, file: &Path, mode: ftpdlib::filesystems::OpenMode) {
        commands::stor(s, file, mode);
        self.note(s);
    }

    fn ftp_stou(&mut self, s: &mut FTPSession, line: &OsStr) {
        commands::stou(s, line);
        self.note(s);
    }

    fn ftp_pass(&mut self, s: &mut FTPSession, line: &str) {
        commands::pass(self, s, line);
        self.note(s);
    }

    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let given = s.offload(|| (), |s, ()| s.respond("200 Done."));
        given.unwrap();
        self.note(s);
    }
}

fn noting(place: &Place) -> Session<Noting> {
    Session::new(place.config.clone(), Noting::default()).unwrap()
}

fn take(session: &mut Session<Noting>) -> (Vec<String>, Vec<String>) {
    session.with(|handler, _| {
        let Noting { at_once, all } = std::mem::take(handler);
        (at_once, all)
    })
}

#[test]
fn at_once_and_later() {
    let place = place();
    let mut session = noting(&place);
    session.login("user", "12345");
    session.command("MKD a");
    session.command("MKD a");
    session.command("NOOP");
    session.command("FOO");
    session.command("MKD");
    let (at_once, all) = take(&mut session);
    assert_eq!(at_once, ["230", "257", "550", "0"]);
    let expected = ["USER user 331", "PASS 12345 230", "MKD a 257", "MKD a 550"];
    assert_eq!(all[..4], expected);
    assert_eq!(all[4..], ["NOOP 200", "FOO 500", "MKD 501"]);
    session.with(|_, s| assert!(s.replied().is_none()));
}

#[test]
fn transfers() {
    let place = place();
    let mut session = noting(&place);
    session.login("user", "12345");
    take(&mut session);
    assert_eq!(session.stor("a", b"hello").code(), 226);
    session.command("PASV");
    assert_eq!(session.command("STOR b").code(), 150);
    assert_eq!(session.command("ABOR").code(), 426);
    assert_eq!(session.reply().unwrap().code(), 226);
    session.command("PASV");
    let unique = session.command("STOU");
    let name = unique.text().rsplit(' ').next().unwrap().to_owned();
    let (at_once, all) = take(&mut session);
    let expected = ["125 a", "150 b", &format!("150 {name}")];
    assert_eq!(at_once, expected);
    assert!(all.contains(&"STOR a 125".to_owned()), "{all:?}");
    assert!(all.contains(&"STOU 150".to_owned()), "{all:?}");
}

#[test]
fn logins_that_are_decided_later() {
    let mut place = place();
    place.decide(|password, later| {
        let verdict = later();
        let is_right = password == "12345";
        verdict.offload(move || match is_right {
            true => Ok(()),
            false => Err(ftpdlib::AuthenticationFailed::default()),
        })
    });
    let mut session = noting(&place);
    session.command("USER user");
    session.send(b"PASS wrong\r\n");
    session.wait();
    session.advance(3 * SECOND);
    assert_eq!(session.reply().unwrap().code(), 530);
    session.command("USER user");
    assert_eq!(session.command("PASS 12345").code(), 230);
    let (at_once, all) = take(&mut session);
    assert_eq!(at_once, ["0", "0"]);
    let expected = ["USER user 331", "PASS 530", "USER user 331", "PASS 230"];
    assert_eq!(all, expected);
}

#[test]
fn connections_to_the_client() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    let mut session = noting(&place);
    session.login("user", "12345");
    take(&mut session);
    session.send(b"PORT 192,0,2,1,200,1\r\n");
    assert!(take(&mut session).1.is_empty());
    session.advance(30 * SECOND);
    assert_eq!(session.reply().unwrap().code(), 421);
    assert_eq!(take(&mut session).1, ["PORT 192.0.2.1:51201 421"]);
}
