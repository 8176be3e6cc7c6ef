//! Handlers through which replies and lines of the log go.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

use ftpdlib::handlers::dispatch;
use ftpdlib::log::Level;
use ftpdlib::proto::encoding::UnicodeErrors;
use ftpdlib::proto::reply::Reply;
use ftpdlib::testing::Session;
use ftpdlib::{FTPHandler, FTPSession};

use super::SECOND;
use super::place::{Place, place};

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn see(line: String) {
    SEEN.with_borrow_mut(|seen| seen.push(line));
}

fn take_seen() -> Vec<String> {
    SEEN.take()
}

struct Through;

impl FTPHandler for Through {
    fn respond(s: &mut FTPSession, level: Level, mut reply: Reply) {
        see(format!("{level} {reply}"));
        match reply.code {
            214 => panic_silently(),
            200 => reply.text = "Fine.".into(),
            // Each of these replies once; what they call does not come back here.
            215 => return s.respond("215 My system."),
            257 => return s.respond_w_warning(reply),
            _ => {}
        }
        dispatch::respond(s, level, reply); // super
    }

    fn log(s: &FTPSession, level: Level, message: &dyn Display) {
        // Another test may have turned it on.
        if level < Level::Debug {
            see(format!("log {level} {message}"));
        }
        if message.to_string().starts_with("REIN") {
            panic_silently();
        }
        s.log("does not come back");
        dispatch::log(s, level, message); // super
    }
}

fn panic_silently() {
    std::panic::resume_unwind(Box::new("as planned"));
}

fn through(place: &Place) -> Session<Through> {
    let session = Session::new(place.config.clone(), Through).unwrap();
    take_seen();
    session
}

#[test]
fn replies() {
    let place = place();
    let mut session = through(&place);
    session.login("user", "12345");
    let replies = [
        "DEBUG 331 ",
        "DEBUG 230 ",
        "log INFO USER 'user' logged in.",
    ];
    for (seen, expected) in take_seen().iter().zip(replies) {
        assert!(seen.starts_with(expected), "{seen}");
    }
    assert_eq!(session.command("NOOP"), "200 Fine.");
    assert_eq!(session.command("SYST"), "215 My system.");
    let made = "257 \"/\" is the current directory.";
    assert_eq!(session.command("PWD"), made);
    // The last one of several lines.
    let features = session.command("FEAT");
    assert!(features.lines().len() > 3);
    // Those of transfers.
    assert_eq!(session.stor("a", b"x"), "226 Transfer complete.");
    let seen = take_seen().into_iter();
    let seen: Vec<_> = seen.filter(|line| !line.starts_with("log")).collect();
    let code = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
    let codes: Vec<_> = seen.iter().map(code).collect();
    assert_eq!(
        codes,
        ["200", "215", "257", "211", "200", "227", "125", "226"]
    );
}

#[test]
fn a_reply_keeps_the_bytes_of_a_name() {
    let mut place = place();
    place.config.unicode_errors = UnicodeErrors::SurrogateEscape;
    std::fs::create_dir(place.home.path().join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    let mut session = through(&place);
    session.login("user", "12345");
    session.send(b"CWD caf\xe9\r\n");
    let expected = b"250 \"/caf\xe9\" is the current directory.\r\n";
    assert_eq!(session.receive(), expected);
    let seen = take_seen();
    let shown = "DEBUG 250 \"/caf\u{fffd}\" is the current directory.";
    assert!(seen.contains(&shown.to_owned()), "{seen:?}");
    assert_eq!(session.command("NOOP"), "200 Fine.");
}

#[test]
fn lines_of_the_log() {
    let place = place();
    let mut session = through(&place);
    session.with(|_, s| {
        s.log("one\r\ntwo");
        s.log("three");
        for _ in 0..100 {
            s.log_at(Level::Warn, "again");
        }
    });
    let seen = take_seen();
    assert_eq!(seen[..2], ["log INFO one\\r\\ntwo", "log INFO three"]);
    assert_eq!(seen.len(), 12, "{seen:?}");
    assert!(seen[2..].iter().all(|line| line == "log WARN again"));
    session.advance(60 * SECOND);
    let seen = take_seen();
    let repeated = "log WARN again (repeated 90 times)".to_owned();
    assert!(seen.contains(&repeated), "{seen:?}");
}

#[test]
fn a_panic_ends_that_session_only() {
    let place = place();
    // HELP panics in `respond`, and REIN in `log`.
    for command in ["HELP", "REIN"] {
        let mut session = through(&place);
        let mut other = through(&place);
        session.login("user", "12345");
        session.send(format!("{command}\r\n").as_bytes());
        assert!(session.is_closed(), "{command}");
        assert_eq!(other.command("NOOP"), "200 Fine.");
    }
}
