//! The user-space memory of sessions, measured by a counting allocator: idle sessions need next
//! to none, and no client can make a session hold much.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ftpdlib::handlers::StockHandler;
use testkit::{Client, Mode, Server, at_once, wait_for};

/// Counts the allocations of threads that have asked for it: servers, not clients.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    /// The size of the block that glibc's malloc uses for such a request.
    fn taken(layout: Layout) -> usize {
        (layout.size() + 8).next_multiple_of(16).max(32)
    }

    fn is_on() -> bool {
        COUNTED.try_with(Cell::get).unwrap_or(false)
    }
}

// SAFETY: every call goes to the system's allocator with the same arguments, so its guarantees
// hold here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::is_on() {
            let taken = Self::taken(layout);
            let live = LIVE.fetch_add(taken, Relaxed) + taken;
            PEAK.fetch_max(live, Relaxed);
        }
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if Self::is_on() {
            LIVE.fetch_sub(Self::taken(layout), Relaxed);
        }
        // SAFETY: the caller keeps the contract of `dealloc`, and `System` has allocated the
        // block.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Starts a server that is counted; no other server is counted meanwhile. The lock comes first,
/// so that it is dropped after the server: what the server frees at its end counts, too.
fn counted() -> (MutexGuard<'static, ()>, Server) {
    counted_in(Mode::Clear)
}

fn counted_in(mode: Mode) -> (MutexGuard<'static, ()>, Server) {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::build(
        mode,
        "127.0.0.1",
        |config| config.timeout = Some(std::time::Duration::from_secs(300)),
        |server| {
            server.set_max_cons(0);
            COUNTED.set(true);
            // Room for memory that was not counted when it was taken and is given back now.
            LIVE.store(1 << 20, Relaxed);
        },
        |_peer| StockHandler,
    );
    (one, server)
}

/// Returns the memory in use when all earlier commands are done.
fn live(client: &mut Client) -> usize {
    // The second reply comes in a later turn than the first.
    client.expect(200, "NOOP");
    client.expect(200, "NOOP");
    LIVE.load(Relaxed)
}

/// Sessions that are logged in.
fn sessions(server: &Server) -> Vec<Client> {
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| None).collect();
    at_once(sessions.chunks_mut(CHUNK), |chunk| {
        chunk.fill_with(|| Some(server.login()));
    });
    sessions.into_iter().flatten().collect()
}

/// Does this in all sessions, from a few threads with numbers.
fn in_each(sessions: &mut [Client], work: impl Fn(usize, &mut Client) + Sync) {
    at_once(sessions.chunks_mut(CHUNK).enumerate(), |(thread, chunk)| {
        for session in chunk {
            work(thread, session);
        }
    });
}

#[test]
fn an_idle_session_takes_less_than_a_kibibyte() {
    let (_one, server) = counted();
    let mut first = server.login();
    let before = live(&mut first);
    let sessions = sessions(&server);
    let each = (live(&mut first) - before) / SESSIONS;
    assert!(each <= 1024, "{each} bytes");
    drop(sessions);
}

/// At most 5 KiB with the keys of AWS-LC, which takes 1.2 KiB and is not counted here.
#[test]
fn an_idle_session_under_tls_holds_no_tickets() {
    for mode in [Mode::Tls12, Mode::Tls13] {
        let (_one, server) = counted_in(mode);
        server.write("file", [b'x'; 100]);
        let mut first = server.login();
        // Once before, for allocations that happen only once.
        first.download("RETR file");
        let before = live(&mut first);
        let mut sessions = sessions(&server);
        let each = (live(&mut first) - before) / SESSIONS;
        assert!(each <= 3880, "{mode:?}: {each} bytes");
        // Nor does it after downloads, each of which issues a ticket. (rustls keeps the queues
        // that it has made longer.)
        let before = live(&mut first);
        in_each(&mut sessions, |_thread, session| {
            for _ in 0..5 {
                session.download("RETR file");
            }
            session.expect(200, "NOOP");
        });
        let more = live(&mut first).saturating_sub(before) / SESSIONS;
        assert!(more <= 384, "{mode:?}: {more} bytes");
    }
}

#[test]
fn idle_sessions_hold_no_buffers() {
    let (_one, server) = counted();
    server.write("file", [b'x'; 100_000]);
    let mut first = server.login();
    let mut sessions = sessions(&server);
    let before = live(&mut first);
    in_each(&mut sessions, |thread, session| {
        session.send("NO");
        session.send("OP\r\n".repeat(2));
        session.expect_reply(200);
        session.expect_reply(500);
        session.expect(213, "STAT /");
        assert_eq!(session.download("RETR file").len(), 100_000);
        session.upload(format!("STOR other{thread}"), [b'y'; 100_000]);
        session.lines("LIST");
        session.expect(211, "STAT");
        session.expect(200, "NOOP");
    });
    let each = (live(&mut first).saturating_sub(before)) / SESSIONS;
    // The loop keeps some deadlines that no longer count, of some tens of bytes each.
    assert!(each <= 128, "{each} bytes");
}

#[test]
fn replies_that_nobody_reads_do_not_pile_up() {
    for command in ["STAT\r\n", "STAT /\r\n", "HELP\r\n", "NOOP\r\n", "x\r\n"] {
        let (_one, server) = counted();
        for number in 0..20 {
            server.write(&format!("file{number}"), "");
        }
        let mut first = server.login();
        // Once before, for allocations that happen only once.
        first.expect(213, "STAT /");
        let before = live(&mut first);
        PEAK.store(before, Relaxed);
        let mut greedy = server.login();
        greedy.socket.set_nonblocking(true).unwrap();
        let commands = command.repeat(1000);
        let mut refused = 0;
        for _ in 0..2000 {
            match greedy.socket.write(commands.as_bytes()) {
                Ok(_) => refused = 0,
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    refused += 1;
                    // This takes at least one turn of the server.
                    first.expect(200, "NOOP");
                }
                Err(err) => panic!("{err}"),
            }
            if refused > 20 {
                break;
            }
        }
        let peak = PEAK.load(Relaxed) - before;
        assert!(peak <= 64 * 1024, "{command:?}: {peak} bytes");
    }
}

/// The replies that were held back come when the client reads: there is one for each command.
#[test]
fn replies_that_are_read_late_all_come() {
    let (_one, server) = counted();
    for number in 0..200 {
        server.write(&format!("file{number}"), "");
    }
    let mut first = server.login();
    for commands in [1, 7, 600] {
        let mut late = server.login();
        late.send("STAT /\r\n".repeat(commands));
        late.send("NOOP\r\n");
        live(&mut first);
        for _ in 0..commands {
            late.expect_reply(213);
        }
        late.expect_reply(200);
    }
}

/// A listing that waits for a data connection, which may never come, holds little.
#[test]
fn promised_listings_hold_little() {
    let (_one, server) = counted();
    std::fs::create_dir(server.path("dir")).unwrap();
    for number in 0..2000 {
        server.write(&format!("dir/{number:0>200}"), "");
    }
    let mut first = server.login();
    let mut once = server.login();
    for command in [
        "NLST dir/*0*",
        "NLST dir/*",
        "LIST dir/*1*",
        "NLST dir",
        "MLSD dir",
    ] {
        // Once before, for allocations that happen only once.
        once.expect(150, command);
        let before = live(&mut first);
        let mut client = server.login();
        client.expect(150, command);
        let taken = live(&mut first).saturating_sub(before);
        assert!(taken <= 64 * 1024, "{command:?}: {taken} bytes");
        client.expect(221, "QUIT");
        once.expect(426, "ABOR");
        once.expect_reply(226);
    }
}

/// Long lines do not make the part of a listing that is made at once longer.
#[test]
fn listings_of_long_lines_hold_little() {
    let (_one, server) = counted();
    std::fs::create_dir(server.path("dir")).unwrap();
    let target = "x".repeat(3000);
    for number in 0..1000 {
        let name = server.path(&format!("dir/link{number}"));
        std::os::unix::fs::symlink(&target, name).unwrap();
    }
    let mut first = server.login();
    first.expect(213, "STAT dir");
    let before = live(&mut first);
    let mut client = server.login();
    client.send("STAT dir\r\n".repeat(10));
    // Until the connection is full: nothing more is read while others are served.
    let mut arrived = vec![0; 16 << 20];
    let mut seen = 0;
    wait_for("a full connection", || {
        for _ in 0..20 {
            first.expect(200, "NOOP");
        }
        let size = client.socket.peek(&mut arrived).unwrap();
        std::mem::replace(&mut seen, size) == size
    });
    let taken = live(&mut first).saturating_sub(before);
    assert!(taken <= 64 * 1024, "{taken} bytes");
    for _ in 0..10 {
        let text = client.expect_reply(213);
        assert_eq!(text.lines().count(), 1002);
    }
}

const SESSIONS: usize = 200;

/// How many of them one thread has.
const CHUNK: usize = SESSIONS / 4;
