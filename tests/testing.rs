//! Sessions in memory, with `ftpdlib::testing`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "testing/crowds.rs"]
mod crowds;
#[path = "testing/data.rs"]
mod data;
#[path = "testing/determinism.rs"]
mod determinism;
#[path = "testing/fences.rs"]
mod fences;
#[path = "testing/final_replies.rs"]
mod final_replies;
#[path = "testing/guard.rs"]
mod guard;
#[path = "testing/log.rs"]
mod log;
#[path = "testing/login_timeout.rs"]
mod login_timeout;
#[path = "testing/no_fs.rs"]
mod no_fs;
#[path = "testing/outcomes.rs"]
mod outcomes;
#[path = "testing/overrides.rs"]
mod overrides;
#[path = "testing/place.rs"]
mod place;
#[path = "testing/replies.rs"]
mod replies;
#[path = "testing/server.rs"]
mod server;
#[path = "testing/sessions.rs"]
mod sessions;
#[path = "testing/settings.rs"]
mod settings;
#[path = "testing/sizes.rs"]
mod sizes;
#[path = "testing/timers.rs"]
mod timers;
#[path = "testing/uploads.rs"]
mod uploads;
#[path = "testing/user_fs.rs"]
mod user_fs;
#[path = "testing/wakers.rs"]
mod wakers;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perm, Verdict};
use ftpdlib::filesystems::local;
use ftpdlib::testing::Session;
use place::{Reporter, place, reply};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

// --- commands

#[test]
fn lines_and_replies() {
    let mut session = place().connect();
    assert_eq!(session.greeting().code(), 220);
    assert_eq!(session.command("FOO").code(), 500);
    let features = session.command("FEAT");
    assert_eq!(features.text(), "End FEAT.");
    assert!(features.lines().contains(&" UTF8".to_owned()));
    // Lines may come in pieces, and several at once.
    session.send(b"NO");
    assert_eq!(session.reply(), None);
    session.send(b"OP\r\nSYST\r\n");
    assert_eq!(reply(&mut session), "200 I successfully did nothing'.");
    assert_eq!(session.reply().map(|reply| reply.code()), Some(215));
    assert_eq!(session.command("QUIT").code(), 221);
    assert!(session.is_closed());
}

#[test]
#[should_panic(expected = "SYST: a reply was not read before: 200")]
fn a_reply_is_not_taken_for_that_to_another_command() {
    let mut session = place().connect();
    session.send(b"NOOP\r\n");
    session.command("SYST");
}

#[test]
#[should_panic(expected = "PASS wrong: no reply yet")]
fn a_reply_that_does_not_come_is_not_waited_for() {
    let mut session = place().connect();
    session.command("USER user");
    session.command("PASS wrong");
}

#[test]
fn hooks_of_the_end() {
    type End = fn(&mut Session<Reporter>);
    let ends: [End; 4] = [
        |session| session.close(),
        |session| session.reset(),
        |session| session.shutdown(),
        |session| drop(session.command("QUIT")),
    ];
    for end in ends {
        let (mut session, events) = place().reporting();
        assert_eq!(events.recv().unwrap(), "connect 127.0.0.1");
        end(&mut session);
        assert_eq!(events.try_recv().as_deref(), Ok("disconnect"));
        assert!(session.is_closed());
    }
    let (session, events) = place().reporting();
    drop(session);
    assert_eq!(events.iter().last().unwrap(), "disconnect");
}

#[test]
fn a_panic_in_a_hook_ends_that_session() {
    let place = place();
    place.write("a", b"abc");
    let (mut session, events) = place.reporting();
    let mut other = place.login();
    session.send(b"DELE a\r\n");
    assert!(session.is_closed());
    assert_eq!(session.reply(), None);
    assert_eq!(events.iter().take(2).last().unwrap(), "disconnect");
    assert_eq!(other.command("NOOP").code(), 200);
}

#[test]
fn hooks_by_hand() {
    let (mut session, events) = place().reporting();
    let name = session.with(|handler, s| {
        handler.report("by hand");
        s.respond("200 By hand.");
        s.username().to_owned()
    });
    assert_eq!(name, "user");
    assert_eq!(reply(&mut session), "200 By hand.");
    assert_eq!(events.iter().nth(1).unwrap(), "by hand");
    session.with(|_, s| s.close());
    assert!(session.is_closed());
}

#[test]
#[should_panic(expected = "assertion in the test")]
fn a_panic_of_the_test_is_not_the_session_s() {
    let mut session = place().connect();
    session.with(|_, _| panic!("assertion in the test"));
}

#[test]
fn work_off_the_loop() {
    let (mut session, _events) = place().reporting();
    assert_eq!(session.command("NOOP"), "200 42.");
    session.send(b"NOOP\r\nSYST\r\n");
    session.wait();
    assert_eq!(reply(&mut session), "200 42.");
    assert_eq!(reply(&mut session), "215 UNIX Type: L8");
}

#[test]
fn an_authorizer_that_answers_later() {
    let mut place = place();
    place.decide(|_, later| {
        let verdict = later();
        thread::spawn(move || verdict.answer(Ok(())));
        Verdict::Later
    });
    assert_eq!(place.login().command("PWD").code(), 257);
}

// --- the clock

#[test]
fn idle_timeout() {
    let mut session = place().login();
    session.advance(4 * MINUTE);
    assert_eq!(session.command("NOOP").code(), 200);
    session.advance(5 * MINUTE - SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Control connection timed out.");
    assert!(session.is_closed());
    assert_eq!(session.elapsed(), 9 * MINUTE);
}

/// The 421 is the last reply, even if the delay of another one ends at the same time.
#[test]
fn nothing_follows_the_idle_timeout() {
    let mut place = place();
    place.config.login_timeout = None;
    place.config.auth_failed_timeout = 5 * MINUTE;
    let mut session = place.connect();
    session.send(b"USER user\r\nPASS wrong\r\n");
    assert_eq!(reply(&mut session), "331 Username ok, send password.");
    session.advance(5 * MINUTE);
    assert_eq!(reply(&mut session), "421 Control connection timed out.");
    assert_eq!(session.reply(), None);
    assert!(session.is_closed());
}

#[test]
fn commands_keep_a_session() {
    let mut session = place().login();
    for _ in 0..10 {
        session.advance(5 * MINUTE - SECOND);
        assert_eq!(session.command("NOOP").code(), 200);
    }
}

/// Bytes that make no complete line do not keep it.
#[test]
fn half_a_line_does_not_keep_a_session() {
    let mut session = place().login();
    for _ in 0..5 {
        assert_eq!(session.reply(), None);
        session.send(b"x");
        session.advance(MINUTE);
    }
    assert_eq!(session.reply().unwrap().code(), 421);
    assert!(session.is_closed());
}

#[test]
fn wrong_passwords() {
    let (mut session, events) = place().reporting();
    session.command("REIN");
    for guess in 1..=3 {
        assert_eq!(session.command("USER user").code(), 331);
        session.send(b"PASS guess\r\n");
        session.advance(2 * SECOND);
        assert_eq!(session.reply(), None, "it is held back");
        session.advance(SECOND);
        let end = if guess == 3 { " Disconnecting." } else { "" };
        let refused = format!("530 Authentication failed.{end}");
        assert_eq!(reply(&mut session), refused);
    }
    assert!(session.is_closed());
    assert_eq!(events.iter().filter(|x| x == "user failed").count(), 3);
}

/// Each timer fires at its time, however far the clock is moved at once.
#[test]
fn timers() {
    let (mut session, events) = place().reporting();
    session.with(|_, s| s.call_every(10 * SECOND));
    session.advance(9 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(26 * SECOND);
    assert_eq!(events.try_iter().filter(|x| x == "timer").count(), 3);
    // Timers do not keep the session.
    session.advance(10 * MINUTE);
    assert!(session.is_closed());
    assert_eq!(events.iter().filter(|x| x == "timer").count(), 27);
}

/// The timers of the loop use the same clock, and so do their handles.
#[test]
fn timers_of_the_loop() {
    let mut session = place().login();
    let (ticks, events) = channel();
    session.with(|_, s| {
        s.remote().call(move |io| {
            let put_off = io.call_later(30 * SECOND, {
                let ticks = ticks.clone();
                move |_| ticks.send("once").unwrap()
            });
            let mut left = 3;
            io.call_every(20 * SECOND, move |_| {
                left -= 1;
                ticks.send("tick").unwrap();
                put_off.reset();
                if left == 0 {
                    put_off.cancel();
                }
            });
        });
    });
    session.advance(50 * SECOND);
    assert_eq!(events.try_iter().collect::<Vec<_>>(), ["tick", "tick"]);
    session.advance(MINUTE);
    assert_eq!(
        events.try_iter().count(),
        3,
        "without the one that is put off"
    );
}

/// Each timer has an id, and a 65th is refused.
#[test]
fn too_many_timers() {
    let mut session = place().login();
    session.with(|_, s| {
        let timers: Vec<_> = (0..64).map(|_| s.call_later(SECOND).unwrap()).collect();
        assert_eq!(s.call_later(SECOND), None);
        s.cancel_timer(timers[0]);
        let again = s.call_every(SECOND).unwrap();
        assert!(!timers.contains(&again));
    });
}

// --- permissions

/// Lets clients write in one directory only.
struct Incoming(DummyAuthorizer, PathBuf);

impl Authorizer for Incoming {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        let is_there = |path| local::resolved(path).starts_with(&self.1);
        (!perm.can_write() || path.is_none_or(is_there))
            && self.inner().has_perm(username, perm, path)
    }
}

#[test]
fn a_link_is_no_way_around_the_permissions_of_a_directory() {
    let mut place = place();
    let home = place.home.path().canonicalize().unwrap();
    let incoming = home.join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    symlink("..", incoming.join("up")).unwrap();
    symlink("../new", incoming.join("nowhere")).unwrap();
    symlink("incoming", home.join("in")).unwrap();
    place.write("file", b"as it was");
    let users = DummyAuthorizer::new();
    users.add_user("user", "12345", &home, "elrdw").unwrap();
    place.config.set_authorizer(Incoming(users, incoming));
    let mut session = place.login();
    let refused = "550 Not enough privileges.";
    for name in ["file", "incoming/up/file", "incoming/nowhere", "in/up/e"] {
        assert_eq!(session.stor(name, b"x"), refused, "{name}");
        assert_eq!(session.command(&format!("DELE {name}")), refused, "{name}");
    }
    for name in ["incoming/a", "in/b", "incoming/up/in/c"] {
        assert_eq!(session.stor(name, b"x").code(), 226, "{name}");
    }
    assert_eq!(place.read("file"), b"as it was");
}
