//! What a session writes to the log, whatever its client does.

use ftpdlib::handlers::StockHandler;
use ftpdlib::log::Level;
use ftpdlib::testing::Session;
use ftpdlib::{FTPHandler, FTPSession};
use testkit::log::Lines;

use super::MINUTE;
use super::place::place;

/// The lines at level warning that contain this.
fn warnings(lines: &Lines, text: &str) -> Vec<String> {
    let lines = lines.lock();
    let is_meant = |line: &&String| line.starts_with("WARN ") && line.contains(text);
    lines.iter().filter(is_meant).cloned().collect()
}

const FOREIGN: &str = "Rejected data connection to foreign address 10.0.0.1:1025.";

fn flood(session: &mut Session<StockHandler>, count: usize) {
    for _ in 0..count {
        assert_eq!(session.command("PORT 10,0,0,1,4,1").code(), 501);
    }
}

#[test]
fn repeated_warnings_are_counted() {
    let lines = testkit::log::keep();
    let mut session = place().login();
    flood(&mut session, 1000);
    assert_eq!(warnings(&lines, FOREIGN).len(), 10);
    // Other warnings are not concealed.
    assert_eq!(session.command("PORT 127,0,0,1,0,22").code(), 501);
    assert_eq!(warnings(&lines, "privileged port").len(), 1);
    // After a minute the log has their number, and others are written again.
    session.advance(MINUTE);
    let found = warnings(&lines, FOREIGN);
    assert_eq!(found.len(), 11);
    let last = format!("-[user] -> 501 {FOREIGN} (repeated 990 times)");
    assert!(found[10].ends_with(&last), "{}", found[10]);
    flood(&mut session, 12);
    assert_eq!(warnings(&lines, FOREIGN).len(), 21);
    assert_eq!(session.command("QUIT").code(), 221);
    let found = warnings(&lines, FOREIGN);
    assert!(found[21].ends_with(" (repeated 2 times)"));
    assert_eq!(found.len(), 22);
    assert!(lines.lock().last().unwrap().contains("FTP session closed"));
    // Another session has its own.
    let mut other = place().login();
    flood(&mut other, 10);
    drop(other);
    assert_eq!(warnings(&lines, FOREIGN).len(), 32);
    assert_eq!(warnings(&lines, "(repeated").len(), 2);
}

/// At level debug the log has each reply, also those that are no warnings any more.
#[test]
fn each_reply_is_in_a_log_at_level_debug() {
    let lines = testkit::log::keep();
    let mut session = place().login();
    flood(&mut session, 100);
    let lines = lines.lock();
    let replies = lines.iter().filter(|line| line.contains("-> 501 Rejected"));
    assert_eq!(replies.count(), 100);
}

/// A handler of a user.
struct Warner;

impl FTPHandler for Warner {
    fn ftp_noop(&mut self, s: &mut FTPSession) {
        s.log_at(
            Level::Warn,
            format_args!("a warning, port {}", s.remote_port()),
        );
        s.log("a message");
        s.respond("200 Done.");
    }
}

#[test]
fn warnings_of_handlers_are_counted() {
    let lines = testkit::log::keep();
    let place = place();
    let mut session = Session::new(place.config.clone(), Warner).unwrap();
    (0..50).for_each(|_| drop(session.command("NOOP")));
    drop(session);
    let found = warnings(&lines, "a warning");
    assert_eq!(found.len(), 11);
    assert!(found[10].ends_with(" (repeated 40 times)"));
    let messages = lines.lock();
    let messages = messages.iter().filter(|line| line.ends_with("a message"));
    assert_eq!(messages.count(), 50);
}

/// A session whose user has this name.
fn login_as(name: &str) -> Session<StockHandler> {
    let mut place = place();
    let authorizer = ftpdlib::authorizers::DummyAuthorizer::new();
    authorizer
        .add_user(name, "12345", place.home.path(), "elr")
        .unwrap();
    place.config.set_authorizer(authorizer);
    let mut session = Session::new(place.config.clone(), StockHandler).unwrap();
    assert_eq!(session.login(name, "12345").code(), 230);
    session
}

#[test]
fn no_name_forges_a_prefix() {
    let lines = testkit::log::keep();
    drop(login_as("a] USER 'root' logged in.\u{7}["));
    let text = "-[a\\x5d USER \\x27root\\x27 logged in.\\x07\\x5b] ";
    assert!(lines.contain(&format!("{text}FTP session closed (disconnect).")));
    let login = "USER 'a\\x5d USER \\x27root\\x27 logged in.\\x07\\x5b' logged in.";
    assert!(lines.contain(&format!("{text}{login}")));
    // What the client has sent is in lines of level debug.
    let is_forged = |line: &String| line.starts_with("INFO ") && line.contains("USER 'root'");
    assert!(!lines.lock().iter().any(is_forged));

    // 64 characters are shown, whatever they are.
    let name = format!("{}\u{e9}]xyz", "\u{e9}".repeat(62));
    drop(login_as(&name));
    let shown = format!("-[{}\u{e9}\\x5d] ", "\u{e9}".repeat(62));
    assert!(lines.contain(&shown));
}

#[test]
fn a_name_that_fails_to_log_in_forges_no_line() {
    let lines = testkit::log::keep();
    let mut session = place().connect();
    session.command("USER root' logged in. '");
    session.send(b"PASS wrong\r\n");
    session.advance(MINUTE);
    drop(session);
    assert!(lines.contain("-[] USER 'root\\x27 logged in. \\x27' failed login."));
}
