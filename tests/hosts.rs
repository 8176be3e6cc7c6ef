//! Servers inside another program: who handles signals, and who starts and ends a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::any::Any;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ftpdlib::handlers::StockHandler;
use ftpdlib::ioloop::{Channel, Io, Readiness, Source};
use ftpdlib::mio::{self, unix::SourceFd};
use ftpdlib::{
    FTPHandler, FTPServer, FTPSession, Listen, MultiprocessFTPServer, ServerBuilder, ServerHandle,
    Stop, ThreadedFTPServer,
};
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

/// Lets a client on another thread ask both servers in turns. Returns how many turns `turn` made
/// until it had its answers.
fn ask_in_turns(turn: impl Fn(&mut FTPServer, &mut FTPServer)) -> usize {
    let ((mut first, _home), (mut second, _other)) = (server(), server());
    let addresses = [first.address(), second.address()];
    let (ready, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut turns = 0;
    thread::scope(|scope| {
        let host = scope.spawn(|| {
            let mut clients = addresses.map(login);
            ready.store(true, SeqCst);
            for _ in 0..ROUNDS {
                for client in &mut clients {
                    client.expect(200, "NOOP");
                }
            }
            done.store(true, SeqCst);
            // This wakes the loop.
            drop(clients);
        });
        while !done.load(SeqCst) && !host.is_finished() {
            turn(&mut first, &mut second);
            turns += usize::from(ready.load(SeqCst));
        }
    });
    turns
}

const ROUNDS: usize = 100;

/// Nothing but an event of one of the two ends a wait, and no turn is made without one.
#[test]
fn two_servers_wait_together() {
    let turns = ask_in_turns(|first, second| {
        let servers = &mut [first, second];
        FTPServer::turn_all(servers, Some(DEADLINE)).unwrap();
    });
    // Each command may take a turn or two: the command, and a deadline that has moved.
    assert!(turns < ROUNDS * 2 * 3, "{turns} turns");
}

/// The host has its own poll, which reports changes only.
#[test]
fn a_host_waits_for_the_descriptors_of_servers() {
    let poll = Mutex::new(None);
    let turns = ask_in_turns(|first, second| {
        let mut poll = poll.lock().unwrap();
        let (poll, events, due) = poll.get_or_insert_with(|| {
            let poll = mio::Poll::new().unwrap();
            for (server, token) in [&first, &second].into_iter().zip(0..) {
                let descriptor = server.as_fd().as_raw_fd();
                let mut source = SourceFd(&descriptor);
                let interest = mio::Interest::READABLE;
                let registry = poll.registry();
                registry
                    .register(&mut source, mio::Token(token), interest)
                    .unwrap();
            }
            (poll, mio::Events::with_capacity(8), Some(Duration::ZERO))
        });
        let wait = due.map_or(DEADLINE, |due| due.min(DEADLINE));
        poll.poll(events, Some(wait)).unwrap();
        *due = [first, second]
            .into_iter()
            .filter_map(|server| server.turn(Some(Duration::ZERO)).unwrap())
            .min();
    });
    assert!(turns < ROUNDS * 2 * 3, "{turns} turns");
}

#[test]
fn servers_that_have_finished_are_left_out() {
    let ((mut first, _home), (mut second, _other)) = (server(), server());
    first.stop();
    second.stop();
    let mut turns = 0;
    while !(first.is_finished() && second.is_finished()) {
        FTPServer::turn_all(&mut [&mut first, &mut second], None).unwrap();
        turns += 1;
        assert!(turns < 100);
    }
    let next = FTPServer::turn_all(&mut [&mut first, &mut second], None);
    assert_eq!(next.unwrap(), None);
}

// --- on a thread of its own

fn builder(home: &Path) -> ServerBuilder<impl FnMut(SocketAddr) -> StockHandler + Send + use<>> {
    FTPServer::builder(config(Mode::Clear, home), |_peer| StockHandler)
}

#[test]
fn a_handle_stops_its_server_gently() {
    let home = tempfile::tempdir().unwrap();
    let server = builder(home.path())
        .bind("127.0.0.1:0")
        .unwrap()
        .set_up(|server| {
            server.set_drain_timeout(DEADLINE);
            Ok(())
        })
        .spawn()
        .unwrap();
    let address = server.address();
    assert_eq!(server.addresses(), [address]);
    let mut client = login(address);
    let mut data = client.pasv();
    client.begin("STOR upload");
    server.stop();
    await_refusal(address);
    assert!(!server.is_finished());
    data.write_all(b"bytes").unwrap();
    drop(data);
    client.expect_reply(226);
    client.expect_shutdown();
    let status = server.join().unwrap();
    assert!(status.success() && status.code() == 0);
    assert_eq!(std::fs::read(home.path().join("upload")).unwrap(), b"bytes");
}

#[test]
fn a_handle_stops_its_server_at_once() {
    let home = tempfile::tempdir().unwrap();
    sparse(&home.path().join("big"), BIG);
    let set_up = |server: &mut FTPServer| {
        server.set_drain_timeout(Duration::from_secs(600));
        Ok(())
    };
    let server = builder(home.path()).bind(("127.0.0.1", 0)).unwrap();
    let server = server.set_up(set_up).spawn().unwrap();
    let mut client = login(server.address());
    let _data = client.pasv();
    client.begin("RETR big");
    server.stop();
    server.stop_now();
    assert!(server.join().unwrap().success());
}

#[test]
fn a_server_ends_with_its_handle() {
    let home = tempfile::tempdir().unwrap();
    let server = builder(home.path()).bind("127.0.0.1:0").unwrap();
    let server = server.spawn().unwrap();
    let (address, mut client) = (server.address(), login(server.address()));
    drop(server);
    client.expect_shutdown();
    await_refusal(address);
}

#[test]
fn a_handle_waits_for_a_stop_from_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let server = builder(home.path()).bind("127.0.0.1:0").unwrap();
    let server = server.spawn().unwrap();
    let stop = server.stopper();
    let remote = server.remote().clone();
    thread::spawn(move || stop.stop());
    server.join().unwrap();
    // Too late, and without effect.
    remote.call(|io| io.stop());
}

#[test]
fn threads_for_each_connection_on_a_thread() {
    let home = tempfile::tempdir().unwrap();
    let config = config(Mode::Clear, home.path());
    let server = ThreadedFTPServer::builder(config, |_peer| StockHandler);
    let server = server.bind("127.0.0.1:0").unwrap().spawn().unwrap();
    let mut client = login(server.address());
    client.upload("STOR file", b"bytes");
    server.stop();
    client.expect_shutdown();
    assert!(server.join().unwrap().success());
}

#[test]
fn a_server_on_a_thread_does_not_fork() {
    let home = tempfile::tempdir().unwrap();
    let bound = builder(home.path()).bind("127.0.0.1:0").unwrap();
    let address = bound.addresses()[0];
    let bound = bound.set_up(|server| {
        server.set_worker_processes(2);
        Ok(())
    });
    let err = bound.spawn().unwrap_err().to_string();
    assert!(err.contains("cannot fork workers"), "{err}");
    await_refusal(address);
    let config = config(Mode::Clear, home.path());
    let server = MultiprocessFTPServer::builder(config, |_peer| StockHandler);
    let err = server.bind("127.0.0.1:0").unwrap().spawn().unwrap_err();
    assert!(err.to_string().contains("cannot fork a process"), "{err}");
}

#[test]
fn a_server_that_cannot_start_is_an_error_of_spawn() {
    let home = tempfile::tempdir().unwrap();
    let err = builder(home.path()).spawn().unwrap_err().to_string();
    assert!(err.contains("must listen"), "{err}");
    let bound = builder(home.path()).bind("127.0.0.1:0").unwrap();
    let bound = bound.set_up(|_| Err(std::io::Error::other("set up")));
    assert_eq!(bound.spawn().unwrap_err().to_string(), "set up");
    let bound = builder(home.path()).bind("127.0.0.1:0").unwrap();
    let bound = bound.set_up(|_| panic!("in the set-up"));
    let err = bound.spawn().unwrap_err().to_string();
    assert!(err.ends_with("has panicked: in the set-up"), "{err}");
}

/// A channel that the loop cannot survive.
struct Bad {
    panics: bool,
}

impl Channel for Bad {
    fn ready(&mut self, _io: &mut Io<'_>, _source: Source, _readiness: Readiness) {}

    fn message(&mut self, _io: &mut Io<'_>, _message: Box<dyn Any + Send>) {
        self.panics = true;
    }

    fn close(&mut self, _io: &mut Io<'_>) {}

    fn is_closed(&self) -> bool {
        assert!(!self.panics || thread::panicking(), "the channel is bad");
        self.panics
    }
}

#[test]
fn a_panic_of_the_thread_is_an_error_of_join() {
    let home = tempfile::tempdir().unwrap();
    let (sent, id) = mpsc::channel();
    let bound = builder(home.path()).bind("127.0.0.1:0").unwrap();
    let bound = bound.set_up(move |server| {
        let id = server.ioloop().add(Bad { panics: false });
        sent.send(id).unwrap();
        Ok(())
    });
    let server = bound.spawn().unwrap();
    let (address, id) = (server.address(), id.recv_timeout(DEADLINE).unwrap());
    server.remote().send(id, Box::new(()));
    let err = server.join().unwrap_err().to_string();
    assert!(err.ends_with("has panicked: the channel is bad"), "{err}");
    await_refusal(address);
}

/// The hook runs on the thread that the drop of the handle would wait for.
#[test]
fn a_hook_may_drop_the_handle() {
    type Slot = Arc<Mutex<Option<ServerHandle>>>;
    struct Ends(Slot);
    impl FTPHandler for Ends {
        fn on_login(&mut self, _s: &mut FTPSession, _username: &str) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let home = tempfile::tempdir().unwrap();
    let slot = Slot::default();
    let own = Arc::clone(&slot);
    let factory = move |_peer| Ends(Arc::clone(&own));
    let server = FTPServer::builder(config(Mode::Clear, home.path()), factory);
    let server = server.bind("127.0.0.1:0").unwrap().spawn().unwrap();
    let address = server.address();
    *slot.lock().unwrap() = Some(server);
    let mut client = Client::connect(address);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    client.expect_shutdown();
    await_refusal(address);
}

// --- what a server listens on

#[test]
fn a_server_listens_on_what_others_have_opened() {
    let home = tempfile::tempdir().unwrap();
    let open = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (listener, descriptor) = (open(), open());
    let mut expected = vec![
        listener.local_addr().unwrap(),
        descriptor.local_addr().unwrap(),
    ];
    let builder = builder(home.path()).listener(listener).unwrap();
    let builder = builder.descriptor(descriptor.into()).unwrap();
    let builder = builder.bind("[::1]:0").unwrap();
    expected.push(builder.addresses()[2]);
    assert!(expected.iter().all(|address| address.port() != 0));
    let server = builder.spawn().unwrap();
    assert_eq!(server.addresses(), expected);
    for address in expected {
        login(address).expect(221, "QUIT");
    }
}

#[test]
fn only_a_listening_tcp_socket_is_served() {
    let text = |descriptor: OwnedFd| Listen::from_descriptor(descriptor).unwrap_err().to_string();
    let file = tempfile::tempfile().unwrap();
    assert!(text(file.into()).starts_with("the descriptor is not a listening TCP socket: "));
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(text(datagrams.into()).ends_with("it is of another kind"));
    let path = tempfile::tempdir().unwrap();
    let local = UnixListener::bind(path.path().join("socket")).unwrap();
    assert!(text(local.into()).ends_with("it is of another kind"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(text(connected.into()).ends_with("it does not listen"));
}

#[test]
fn a_descriptor_of_the_process_was_not_inherited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = |number| Listen::inherited(number).unwrap_err().to_string();
    assert!(text(listener.as_raw_fd()).ends_with("it belongs to this process"));
    assert!(text(0).ends_with("it belongs to this process"));
    assert!(text(-1).starts_with("no descriptor -1 was inherited: "));
    // It was not closed.
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
}

/// Started with an open descriptor, as by a service manager.
#[test]
fn an_inherited_descriptor_is_served() {
    const NAME: &str = "an_inherited_descriptor_is_served";
    if std::env::var_os(INHERITS).is_some() {
        let home = tempfile::tempdir().unwrap();
        let listen = Listen::inherited(3).unwrap();
        assert!(Listen::inherited(3).is_err());
        let server = builder(home.path()).listen(listen).unwrap();
        let server = server.spawn().unwrap();
        login(server.address()).expect(221, "QUIT");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = std::env::current_exe().unwrap();
    // The shell gives the socket, which is its standard input, the number 3.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "exec '{}' --exact {NAME} 3<&0 </dev/null",
            program.display()
        ))
        .env(INHERITS, "1")
        .stdin(OwnedFd::from(listener))
        .status();
    assert!(status.unwrap().success());
}

const INHERITS: &str = "FTPDLIB_TEST_INHERITS";

#[test]
fn the_number_of_listeners_is_limited() {
    let home = tempfile::tempdir().unwrap();
    let mut builder = builder(home.path());
    for _ in 0..64 {
        builder = builder.bind("127.0.0.1:0").unwrap();
    }
    let err = builder.bind("127.0.0.1:0").unwrap_err().to_string();
    assert!(err.contains("at most 64"), "{err}");
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
