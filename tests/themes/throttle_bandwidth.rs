//! Bandwidth limits: as pyftpdlib's `TestThrottleBandwidth`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use ftpdlib::{FTPHandler, FTPSession, ThrottledDTPHandler};
use testkit::{Server, Way, fetch, pattern, store};

use crate::MODE;

/// The data of the first second is free; a pause of up to two seconds follows that of the second.
const SIZE: usize = 30_000;
const LIMIT: u64 = 10_000;

fn server(auto_sized: bool) -> Server {
    Server::with(MODE, move |config| {
        config.set_dtp_handler(move || {
            ThrottledDTPHandler::new()
                .read_limit(LIMIT)
                .write_limit(LIMIT)
                .auto_sized_buffers(auto_sized)
        });
    })
}

#[test]
fn throttle_send_while_others_go_on() {
    let server = server(true);
    let bytes = pattern(SIZE);
    server.write("a", &bytes);
    let mut throttled = server.login();
    let start = Instant::now();
    let reader = std::thread::spawn(move || fetch(&mut throttled, Way::Early, "RETR a"));
    let mut client = server.login();
    let mut served = 0;
    while !reader.is_finished() {
        client.expect(200, "NOOP");
        served += 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(reader.join().unwrap() == bytes);
    assert!(start.elapsed() > Duration::from_millis(900));
    assert!(served > 10, "{served}");
}

/// A pause that is longer than the stall time-out is not a stall.
#[test]
fn throttle_recv_with_a_short_data_timeout() {
    let server = Server::with(MODE, |config| {
        config.dtp.timeout = Some(Duration::from_millis(200));
        config.set_dtp_handler(|| ThrottledDTPHandler::new().read_limit(LIMIT));
    });
    let bytes = pattern(SIZE);
    let mut client = server.login();
    let start = Instant::now();
    store(&mut client, Way::Early, "STOR a", &bytes);
    assert!(start.elapsed() > Duration::from_millis(900));
    assert!(server.read("a") == bytes);
    client.expect(200, "NOOP");
}

#[test]
fn below_the_limit_nothing_is_held_back() {
    for auto_sized in [true, false] {
        let server = server(auto_sized);
        let bytes = pattern(5000);
        let mut client = server.login();
        store(&mut client, Way::Early, "STOR a", &bytes);
        assert!(fetch(&mut client, Way::Late, "RETR a") == bytes);
    }
}

/// In ASCII mode the bytes that are sent and those that are read differ in number.
#[test]
fn throttled_ascii() {
    let server = server(true);
    server.write("a", "line\n".repeat(900));
    let mut client = server.login();
    client.expect(200, "TYPE A");
    let back = fetch(&mut client, Way::Active, "RETR a");
    assert!(back == b"line\r\n".repeat(900));
    store(&mut client, Way::Active, "STOR b", &back);
    assert!(server.read("b") == b"line\n".repeat(900));
}

/// Limits the speed of each login.
struct Limited;

impl FTPHandler for Limited {
    fn on_login(&mut self, s: &mut FTPSession, _username: &str) {
        s.set_throttle(2 * LIMIT, 2 * LIMIT);
    }
}

/// In clear the kernel moves the bytes.
#[test]
fn limits_of_a_session() {
    let server = Server::with_handler(MODE, |_| {}, |_| Limited);
    let bytes = pattern(SIZE);
    let mut client = server.login();
    let start = Instant::now();
    store(&mut client, Way::Early, "STOR a", &bytes);
    assert!(start.elapsed() > Duration::from_millis(900));
    assert!(server.read("a") == bytes);
    let start = Instant::now();
    assert!(fetch(&mut client, Way::Late, "RETR a") == bytes);
    assert!(start.elapsed() > Duration::from_millis(900));
}
