//! Servers inside another program: who handles signals, and who starts and ends a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPServer, Stop};
use testkit::{BIG, Client, DEADLINE, Mode, PASSWORD, USER, await_refusal, config, sparse};

fn server() -> (FTPServer, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let config = config(Mode::Clear, home.path());
    let server = FTPServer::bind("127.0.0.1:0", config, |_| StockHandler).unwrap();
    (server, home)
}

fn login(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    client.expect(200, "TYPE I");
    client
}

/// Serves on this thread while `host` runs on another, which ends the server.
fn serve(server: &mut FTPServer, host: impl FnOnce(SocketAddr, Stop) + Send) {
    let (address, stop) = (server.address(), Stop::new());
    let remote = stop.clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            let last = remote.clone();
            let _ended = scopeguard(move || last.stop_now());
            host(address, remote);
        });
        server.serve_until(&stop).unwrap();
    });
    assert!(server.is_finished());
    await_refusal(address);
}

/// Calls a function when it is dropped, also by a panic.
fn scopeguard<F: FnMut()>(function: F) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(function)
}

// --- the end

#[test]
fn another_thread_ends_a_server_gently() {
    let (mut server, home) = server();
    sparse(&home.path().join("big"), BIG);
    server.set_drain_timeout(DEADLINE);
    serve(&mut server, |address, stop| {
        let mut idle = login(address);
        let mut busy = login(address);
        let mut data = busy.pasv();
        busy.begin("STOR upload");
        data.write_all(b"begun, ").unwrap();
        stop.stop();
        assert!(stop.is_triggered());
        idle.expect_shutdown();
        data.write_all(b"and finished").unwrap();
        drop(data);
        busy.expect_reply(226);
        busy.expect_shutdown();
    });
    let upload = std::fs::read(home.path().join("upload")).unwrap();
    assert_eq!(upload, b"begun, and finished");
    assert_eq!(server.exit_status(), 0);
}

#[test]
fn another_thread_ends_a_server_at_once() {
    let (mut server, home) = server();
    sparse(&home.path().join("big"), BIG);
    server.set_drain_timeout(Duration::from_secs(600));
    serve(&mut server, |address, stop| {
        let mut client = login(address);
        let _data = client.pasv();
        client.begin("RETR big");
        stop.stop();
        await_refusal(address);
        stop.stop_now();
    });
    assert_eq!(server.exit_status(), 0);
}

#[test]
fn a_stop_before_the_start_is_not_lost() {
    let (mut server, _home) = server();
    let stop = Stop::new();
    stop.stop();
    server.serve_until(&stop).unwrap();
    assert!(server.is_finished());
}

#[test]
fn a_stop_ends_several_servers() {
    let stop = Stop::new();
    let (ready, started) = mpsc::channel();
    let servers = [(); 2].map(|()| {
        let (stop, ready) = (stop.clone(), ready.clone());
        thread::spawn(move || {
            let (mut server, _home) = server();
            server.handle_signals(false);
            ready.send(server.address()).unwrap();
            server.serve_until(&stop).unwrap();
        })
    });
    let addresses = [(); 2].map(|()| started.recv_timeout(DEADLINE).unwrap());
    let mut clients = addresses.map(login);
    stop.stop();
    clients.iter_mut().for_each(Client::expect_shutdown);
    for server in servers {
        server.join().unwrap();
    }
}

#[test]
fn a_server_serves_once() {
    let (mut server, _home) = server();
    let stop = Stop::new();
    stop.stop_now();
    server.serve_until(&stop).unwrap();
    for _ in 0..2 {
        let err = server.serve_forever().unwrap_err().to_string();
        assert!(err.contains("serves only once"), "{err}");
    }
    // Turns do nothing, and do not wait for ever.
    assert_eq!(server.turn(None).unwrap(), None);
    let (mut server, _home) = self::server();
    server.close_all();
    assert!(server.serve_forever().is_err());
}

// --- turns

#[test]
fn turns_end_a_server_gently() {
    let (mut server, home) = server();
    server.set_drain_timeout(DEADLINE);
    let address = server.address();
    let (sent, words) = mpsc::channel();
    let host = thread::spawn(move || {
        let mut idle = login(address);
        let mut busy = login(address);
        let mut data = busy.pasv();
        busy.begin("STOR upload");
        data.write_all(b"begun, ").unwrap();
        sent.send(()).unwrap();
        idle.expect_shutdown();
        await_refusal(address);
        data.write_all(b"and finished").unwrap();
        drop(data);
        busy.expect_reply(226);
        busy.expect_shutdown();
    });
    let end = Instant::now() + DEADLINE * 2;
    while !server.is_finished() {
        server.turn(Some(Duration::from_millis(5))).unwrap();
        if words.try_recv().is_ok() {
            server.stop();
            server.stop();
        }
        assert!(Instant::now() < end, "not in time");
    }
    host.join().unwrap();
    let upload = std::fs::read(home.path().join("upload")).unwrap();
    assert_eq!(upload, b"begun, and finished");
}

#[test]
fn turns_end_a_server_when_the_time_is_over() {
    let (mut server, home) = server();
    sparse(&home.path().join("big"), BIG);
    server.set_drain_timeout(Duration::from_millis(1));
    let address = server.address();
    let (sent, words) = mpsc::channel();
    let host = thread::spawn(move || {
        let mut client = login(address);
        let _data = client.pasv();
        client.begin("RETR big");
        sent.send(()).unwrap();
        while client.try_reply().is_some() {}
    });
    while words.try_recv().is_err() {
        server.turn(Some(Duration::from_millis(5))).unwrap();
    }
    server.stop();
    // Without a time-out: the deadline of the end wakes the loop.
    while !server.is_finished() {
        server.turn(None).unwrap();
    }
    host.join().unwrap();
}

#[test]
fn a_server_that_has_not_listened_yet_ends_too() {
    let (mut server, _home) = server();
    server.stop();
    server.turn(None).unwrap();
    assert!(server.is_finished());
    await_refusal(server.address());
}

// --- signals

#[test]
fn workers_need_signals() {
    let (mut server, _home) = server();
    server.set_worker_processes(2);
    server.handle_signals(false);
    let err = server.serve_forever().unwrap_err().to_string();
    assert!(err.contains("handle_signals(false)"), "{err}");
}

#[cfg(target_os = "linux")]
mod signals {
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio, id};

    use testkit::{signal, wait_for};

    use super::*;

    const TERM: u32 = 15;
    const XFSZ: u32 = 25;

    /// The signals that this process handles, and those that it ignores.
    fn dispositions() -> [u64; 2] {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        ["SigCgt:", "SigIgn:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        })
    }

    fn has(signals: u64, number: u32) -> bool {
        signals >> (number - 1) & 1 == 1
    }

    /// Runs the body of the test with this full name in a process of its own. Returns how that
    /// has ended; `None` there.
    fn alone(name: &str) -> Option<std::process::ExitStatus> {
        if std::env::var_os(ALONE).is_some() {
            return None;
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(ALONE, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        Some(status.unwrap())
    }

    /// Serves in two threads; `during` runs when both serve, and again when one has ended.
    fn two_servers(handle: bool, during: fn()) {
        let (ready, started) = mpsc::channel();
        let servers = [(); 2].map(|()| {
            let (ready, stop) = (ready.clone(), Stop::new());
            let remote = stop.clone();
            let thread = thread::spawn(move || {
                let (mut server, _home) = server();
                server.handle_signals(handle);
                ready.send(server.address()).unwrap();
                server.serve_until(&stop).unwrap();
            });
            (
                login(started.recv_timeout(DEADLINE).unwrap()),
                remote,
                thread,
            )
        });
        for (_client, stop, thread) in servers {
            during();
            stop.stop();
            thread.join().unwrap();
        }
    }

    #[test]
    fn dispositions_are_as_before() {
        if let Some(status) = alone("signals::dispositions_are_as_before") {
            return assert!(status.success(), "{status}");
        }
        let before = dispositions();
        for _ in 0..2 {
            two_servers(true, || {
                let [handled, ignored] = dispositions();
                assert!(has(handled, TERM) && has(ignored, XFSZ));
            });
            assert_eq!(dispositions(), before);
        }
    }

    #[test]
    fn signals_of_the_host_are_left_alone() {
        if let Some(status) = alone("signals::signals_of_the_host_are_left_alone") {
            return assert!(status.success(), "{status}");
        }
        let before = dispositions();
        two_servers(false, || {
            let [handled, ignored] = dispositions();
            for signal in 1..=31 {
                // Rust's own handlers are those of SIGBUS and SIGSEGV.
                let of_std = [7, 11].contains(&signal);
                assert!(of_std || !has(handled, signal), "{signal}");
            }
            assert!(has(ignored, XFSZ));
        });
        assert_eq!(dispositions(), before);
    }

    #[test]
    fn sigterm_ends_the_host_again() {
        if let Some(status) = alone("signals::sigterm_ends_the_host_again") {
            return assert_eq!(status.signal(), Some(15), "{status}");
        }
        let (mut server, _home) = server();
        let address = server.address();
        let client = thread::spawn(move || {
            let mut client = login(address);
            assert!(signal("TERM", &id().to_string()));
            client.expect_shutdown();
        });
        server.serve_forever().unwrap();
        client.join().unwrap();
        assert!(signal("TERM", &id().to_string()));
        wait_for("the end of this process", || false);
    }

    const ALONE: &str = "FTPDLIB_TEST_ALONE";
}
