//! When the replies of a transfer leave, by the clock of the test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io;
use std::time::Duration;

use ftpdlib::handlers::commands::push_dtp_data;
use ftpdlib::handlers::data::Outgoing;
use ftpdlib::producers::{More, Producer};
use ftpdlib::testing::{DataPeer, Session};
use ftpdlib::{FTPHandler, FTPSession};

use super::place::{Place, place};

const MILLISECOND: Duration = Duration::from_millis(1);
/// How long a final reply waits for a client to close its side.
const LONG_PAUSE: Duration = Duration::from_millis(50);
/// As long, if the client waited for the reply the last time.
const SHORT_PAUSE: Duration = Duration::from_millis(2);

/// Begins a download of some bytes, and checks that only the preliminary reply has come.
fn begin<H: FTPHandler + 'static>(session: &mut Session<H>, command: &str) -> DataPeer {
    let data = session.passive();
    session.send(format!("{command}\r\n").as_bytes());
    let text = String::from_utf8(session.receive()).unwrap();
    assert!(text.starts_with("125 "), "{command}: {text}");
    assert_eq!(text.lines().count(), 1, "{command}: {text}");
    // The server has sent all bytes, and its end.
    assert!(data.is_closed(), "{command}");
    data
}

fn arrived<H: FTPHandler + 'static>(session: &mut Session<H>) -> String {
    String::from_utf8(session.receive()).unwrap()
}

fn with_file() -> Place {
    let place = place();
    place.write("a", b"abc");
    place
}

const COMMANDS: [&str; 5] = ["RETR a", "LIST", "NLST", "MLSD", "LIST a"];

#[test]
fn a_final_reply_waits_for_the_client() {
    let place = with_file();
    for command in COMMANDS {
        let mut session = place.login();
        let mut data = begin(&mut session, command);
        session.advance(MILLISECOND);
        assert_eq!(arrived(&mut session), "", "{command}");
        // The client reads to the end, and closes.
        assert_ne!(data.read_to_end(), b"", "{command}");
        assert_eq!(arrived(&mut session), "226 Transfer complete.\r\n");
        assert_eq!(session.elapsed(), MILLISECOND);
    }
}

/// Checks that the final reply leaves `pause` after the preliminary one.
fn expect_pause(session: &mut Session<ftpdlib::handlers::StockHandler>, pause: Duration) {
    session.advance(pause - Duration::from_micros(1));
    assert_eq!(arrived(session), "", "{pause:?}");
    session.advance(Duration::from_micros(1));
    assert_eq!(arrived(session), "226 Transfer complete.\r\n");
}

/// The first time the client may be busy with other connections; then it is known that it waits.
#[test]
fn a_final_reply_does_not_wait_for_long() {
    let place = with_file();
    for command in COMMANDS {
        let mut session = place.login();
        for pause in [LONG_PAUSE, SHORT_PAUSE, SHORT_PAUSE] {
            let _data = begin(&mut session, command);
            expect_pause(&mut session, pause);
        }
    }
}

/// Such a client does not wait for the reply, and may be busy with other connections.
#[test]
fn a_client_that_closed_its_side_last_time_gets_more_time() {
    let place = with_file();
    let mut session = place.login();
    let _data = begin(&mut session, "RETR a");
    expect_pause(&mut session, LONG_PAUSE);
    let mut data = begin(&mut session, "RETR a");
    session.advance(MILLISECOND);
    assert_eq!(data.read_to_end(), b"abc");
    assert_eq!(arrived(&mut session), "226 Transfer complete.\r\n");
    for pause in [LONG_PAUSE, SHORT_PAUSE] {
        let _data = begin(&mut session, "RETR a");
        expect_pause(&mut session, pause);
    }
}

#[test]
fn a_client_that_has_closed_its_side_before_is_not_waited_for() {
    let place = with_file();
    let mut session = place.login();
    let mut data = session.passive();
    data.shutdown();
    session.send(b"RETR a\r\n");
    assert!(arrived(&mut session).ends_with("\r\n226 Transfer complete.\r\n"));
    assert_eq!(data.read_to_end(), b"abc");
}

#[test]
fn a_long_transfer_waits_for_nothing() {
    let place = place();
    place.write("a", &[b'x'; 200_000]);
    let mut session = place.login();
    assert_eq!(session.command("TYPE I").code(), 200);
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    assert!(!data.is_closed(), "the connection is full");
    session.advance(2 * MILLISECOND);
    assert_eq!(arrived(&mut session), "");
    let mut read = 0;
    while read < 200_000 {
        let before = read;
        read += data.read().len();
        assert_ne!(read, before);
    }
    assert_eq!(arrived(&mut session), "226 Transfer complete.\r\n");
    assert_eq!(session.elapsed(), 2 * MILLISECOND);
}

#[test]
fn commands_do_not_overtake_a_final_reply() {
    let place = with_file();
    for (command, reply) in [
        ("NOOP", "200 "),
        ("ABOR", "225 "),
        ("PWD", "257 "),
        ("QUIT", "221 "),
        ("PASV", "227 "),
        ("STAT", "211-"),
        ("REIN", "230 "),
        ("USER x", "331 "),
    ] {
        let mut session = place.login();
        let _data = begin(&mut session, "RETR a");
        session.send(format!("{command}\r\n").as_bytes());
        assert_eq!(arrived(&mut session), "", "{command}");
        session.advance(LONG_PAUSE);
        // NOOP of this handler is answered by a thread.
        session.wait();
        let text = arrived(&mut session);
        let expected = format!("226 Transfer complete.\r\n{reply}");
        assert!(text.starts_with(&expected), "{command}: {text}");
        assert_eq!(session.is_closed(), command == "QUIT");
    }
}

#[test]
fn the_end_of_a_session_loses_no_final_reply() {
    let place = with_file();
    type End = fn(&mut Session<ftpdlib::handlers::StockHandler>);
    let ends: [(End, &str); 3] = [
        (|session| session.shutdown(), ""),
        (
            |session| {
                session.with(|_, s| {
                    s.respond("421 Enough.");
                    s.close_when_done();
                });
            },
            "421 Enough.\r\n",
        ),
        (
            |session| session.with(|_, s: &mut FTPSession| s.close()),
            "",
        ),
    ];
    for (end, before) in ends {
        let mut session = place.login();
        let _data = begin(&mut session, "RETR a");
        end(&mut session);
        session.advance(LONG_PAUSE);
        let text = arrived(&mut session);
        assert_eq!(text, format!("{before}226 Transfer complete.\r\n"));
        assert!(session.is_closed());
    }
}

#[test]
fn callbacks_come_after_the_final_reply() {
    let place = with_file();
    let (mut session, events) = place.reporting();
    events.try_iter().for_each(drop);
    let mut data = begin(&mut session, "RETR a");
    assert_eq!(events.try_iter().count(), 0);
    data.read();
    assert_eq!(events.try_iter().collect::<Vec<_>>(), ["sent a"]);
    assert_eq!(session.reply().map(|reply| reply.code()), Some(226));
    let data = begin(&mut session, "RETR a");
    session.reset();
    drop(data);
    assert_eq!(
        events.try_iter().collect::<Vec<_>>(),
        ["sent a", "disconnect"]
    );
}

/// A producer of a listing that fails at once.
struct Failing;

impl Producer for Failing {
    fn more(&mut self, _out: &mut Vec<u8>) -> io::Result<More> {
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}

#[test]
fn the_reply_of_a_failed_download_waits_too() {
    let place = with_file();
    let mut session = place.login();
    let mut data = session.passive();
    session.with(|_, s| {
        push_dtp_data(s, Outgoing::Producer(Box::new(Failing)), "LIST");
    });
    assert!(arrived(&mut session).starts_with("125 "));
    assert_eq!(data.read(), b"");
    let text = arrived(&mut session);
    assert!(text.starts_with("426 "), "{text}");
}
