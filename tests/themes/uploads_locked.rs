//! Two sessions that upload to one file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use testkit::{
    Client, MemoryFS, PASSWORD, Server, USER, Way, begin, next, pattern, read_all, reset,
    set_users, store, wait_for,
};

use crate::MODE;

const BUSY: &str = "450 Another upload to this file is in progress.";

#[test]
fn second_upload_to_a_file_is_refused() {
    let server = Server::start(MODE);
    let bytes = pattern(100_000);
    let mut first = server.login();
    let mut second = server.login();
    for (command, old) in [("STOR a", &b""[..]), ("APPE a", b"old"), ("STOR a", b"old")] {
        server.write("a", old);
        let appends = command.starts_with("APPE");
        // Also while it waits for its data connection.
        first.expect(150, command);
        assert_eq!(second.expect(450, "STOR a"), BUSY);
        assert_eq!(server.read("a"), old);
        first.abort();
        let (mut data, _) = begin(&mut first, Way::Early, command);
        data.write_all(&bytes[..50_000]).unwrap();
        wait_for("the bytes", || server.read("a").len() >= 50_000);
        let before = server.read("a");
        for refused in ["STOR a", "APPE a"] {
            let unused = second.pasv();
            assert_eq!(second.expect(450, refused), BUSY);
            drop(unused);
        }
        second.expect(350, "REST 2");
        second.expect(450, "STOR a");
        assert!(server.read("a") == before);
        // Reading is no upload.
        let mut download = second.pasv();
        second.begin("RETR a");
        assert!(read_all(&mut download) == before);
        second.expect_reply(226);
        data.write_all(&bytes[50_000..]).unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        first.expect_reply(226);
        let expected = match appends {
            true => [old, &bytes].concat(),
            false => bytes.clone(),
        };
        assert!(server.read("a") == expected, "{command}");
        store(&mut second, Way::Early, "STOR a", b"second");
        assert_eq!(server.read("a"), b"second");
    }
}

/// Other names of the same file.
#[test]
fn links_lead_to_the_same_file() {
    let server = Server::start(MODE);
    server.write("a", b"old");
    symlink("a", server.path("link")).unwrap();
    std::fs::hard_link(server.path("a"), server.path("hard")).unwrap();
    let mut first = server.login();
    let mut second = server.login();
    let (data, _) = begin(&mut first, Way::Early, "APPE a");
    for name in ["a", "link", "hard"] {
        assert_eq!(second.expect(450, format!("STOR {name}")), BUSY);
    }
    // Another file of the same name is another file.
    std::fs::remove_file(server.path("a")).unwrap();
    store(&mut second, Way::Early, "STOR a", b"new");
    drop(data);
    // The first one is complete under the other name of its file.
    first.expect_reply(226);
    assert_eq!(server.read("a"), b"new");
}

/// A name that leads elsewhere meanwhile changes nothing for the upload: it goes on to its file,
/// and not to the one that has the name now.
#[test]
fn names_that_change_during_an_upload() {
    let server = Server::start(MODE);
    let (mut first, mut second) = (server.login(), server.login());
    for way in [Way::Early, Way::Late] {
        let (mut data, _) = begin(&mut first, way, "STOR a");
        data.write_all(b"a").unwrap();
        wait_for("the first byte", || server.read("a") == b"a");
        second.expect(350, "RNFR a");
        second.expect(250, "RNTO b");
        store(&mut second, Way::Early, "STOR a", b"another");
        data.write_all(b"b").unwrap();
        drop(data);
        first.expect_reply(226);
        assert_eq!(server.read("b"), b"ab");
        assert_eq!(server.read("a"), b"another");
        let (mut data, _) = begin(&mut first, way, "STOR a");
        data.write_all(b"a").unwrap();
        wait_for("the first byte", || server.read("a") == b"a");
        second.expect(350, "RNFR b");
        second.expect(250, "RNTO a");
        data.write_all(b"lost").unwrap();
        drop(data);
        first.expect_reply(226);
        assert_eq!(server.read("a"), b"ab");
        second.expect(250, "DELE a");
    }
}

/// However the first upload ends, the second may begin.
#[test]
fn the_end_of_an_upload_frees_its_file() {
    let server = Server::start(MODE);
    let mut second = server.login();
    for end in 0..6 {
        let mut first = server.login();
        let (mut data, _) = begin(&mut first, Way::Early, "STOR a");
        data.write_all(b"first").unwrap();
        second.expect(450, "STOR a");
        match end {
            0 => drop(data),
            1 => reset(data),
            2 => drop(first.expect(426, "ABOR")),
            3 => {
                drop(data);
                drop(first);
            }
            4 => {
                reset(data);
                reset(first.socket);
            }
            _ => {
                // The name leads elsewhere: nothing is locked there.
                second.expect(350, "RNFR a");
                second.expect(250, "RNTO moved");
            }
        }
        wait_for("the file", || {
            let (code, reply) = second.command("STOR a");
            assert!(matches!(code, 150 | 450), "{reply}");
            code == 150
        });
        second.abort();
        if end < 5 {
            store(&mut second, Way::Early, "STOR a", b"x");
            assert_eq!(server.read("a"), b"x");
        }
    }
}

/// The lock is one that other programs see, and it sees theirs.
#[test]
fn locks_of_other_programs() {
    let server = Server::start(MODE);
    let mut client = server.login();
    server.write("a", b"old");
    let file = File::open(server.path("a")).unwrap();
    for operation in [FlockOperation::LockExclusive, FlockOperation::LockShared] {
        flock(&file, operation).unwrap();
        assert_eq!(client.expect(450, "STOR a"), BUSY);
        client.expect(450, "APPE a");
        assert_eq!(server.read("a"), b"old");
        flock(&file, FlockOperation::Unlock).unwrap();
    }
    let (data, _) = begin(&mut client, Way::Early, "STOR a");
    flock(&file, FlockOperation::NonBlockingLockShared).unwrap_err();
    drop(data);
    client.expect_reply(226);
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    // Two servers are two programs.
    let other = Server::start(MODE);
    std::fs::hard_link(server.path("a"), other.path("a")).unwrap();
    flock(&file, FlockOperation::Unlock).unwrap();
    let (data, _) = begin(&mut client, Way::Early, "STOR a");
    assert_eq!(other.login().expect(450, "STOR a"), BUSY);
    drop(data);
    client.expect_reply(226);
}

#[test]
fn new_file_that_two_sessions_upload() {
    let server = Server::start(MODE);
    let (mut first, mut second) = (server.login(), server.login());
    first.expect(150, "STOR new");
    assert_eq!(second.expect(450, "STOR new"), BUSY);
    first.abort();
    // The one that never began has removed the file.
    wait_for("the file to be removed", || !server.path("new").exists());
    store(&mut second, Way::Early, "STOR new", b"second");
    assert_eq!(server.read("new"), b"second");
    let reply = first.expect(150, "STOU");
    let name = reply.strip_prefix("150 FILE: ").unwrap();
    second.expect(450, format!("STOR {name}"));
    second.expect(450, format!("APPE {name}"));
}

/// Files that are none of the system are known by their paths.
#[test]
fn files_without_locks() {
    let server = Server::with(MODE, |config| config.set_abstracted_fs(MemoryFS::default()));
    let (mut first, mut second) = (server.login(), server.login());
    store(&mut first, Way::Early, "STOR a", b"old");
    let (mut data, _) = begin(&mut first, Way::Early, "APPE a");
    data.write_all(b" and new").unwrap();
    for command in ["STOR a", "APPE a"] {
        assert_eq!(second.expect(450, command), BUSY);
    }
    store(&mut second, Way::Early, "STOR b", b"other");
    drop(data);
    first.expect_reply(226);
    assert_eq!(second.download("RETR a"), b"old and new");
    store(&mut second, Way::Early, "STOR a", b"x");
}

#[test]
fn upload_lock_can_be_switched_off() {
    let server = Server::with(MODE, |config| config.upload_lock = false);
    let (mut first, mut second) = (server.login(), server.login());
    let (data, _) = begin(&mut first, Way::Early, "STOR a");
    store(&mut second, Way::Early, "STOR a", b"second");
    drop(data);
    first.expect_reply(226);
}

/// A client that has lost its connection comes again, and takes over after some silence.
/// `tests/testing/uploads.rs` has the exact times, by a clock of its own.
#[test]
fn silent_upload_is_taken_over() {
    let (server, events) = Server::with_hooks(MODE, |config| {
        set_users(config, [USER, "other"], |home, _| home);
        config.upload_silence = Duration::from_millis(1);
    });
    // The first two have been silent for longer than those that are taken over.
    let silent = ["other", "foreign", "stor", "pending", "appe"];
    let mut holders: Vec<_> = silent.iter().map(|_| server.login()).collect();
    let mut all = Vec::new();
    for (holder, name) in holders.iter_mut().zip(silent) {
        if name == "pending" {
            holder.expect(227, "PASV");
            holder.expect(150, "STOR pending");
            continue;
        }
        let command = if name == "appe" { "APPE" } else { "STOR" };
        let (mut data, _) = begin(holder, Way::Early, &format!("{command} {name}"));
        data.write_all(b"first").unwrap();
        all.push(data);
    }
    let mut client = server.login();
    for (holder, name) in holders.iter_mut().zip(silent).skip(2) {
        wait_for("the take-over", || {
            let (code, reply) = client.command(format!("STOR {name}"));
            assert!(matches!(code, 150 | 450), "{reply}");
            code == 150
        });
        let reply = holder.expect_reply(426);
        assert!(reply.starts_with("426 Transfer aborted;"), "{reply}");
        assert_eq!(next(&events), format!("log {name}"));
        assert_eq!(next(&events), format!("incomplete received {name}"));
        client.abort();
        assert_eq!(next(&events), format!("log {name}"));
        assert_eq!(next(&events), format!("incomplete received {name}"));
        holder.expect(200, "NOOP");
        store(&mut client, Way::Early, &format!("STOR {name}"), b"whole");
        assert_eq!(server.read(name), b"whole");
        assert_eq!(next(&events), format!("log {name}"));
        assert_eq!(next(&events), format!("received {name}"));
    }
    let mut stranger = server.connect();
    stranger.login("other", PASSWORD);
    stranger.expect(450, "STOR other");
    let mut foreign = Client::connect_from(MODE, "127.0.0.2", server.address);
    foreign.expect_reply(220);
    foreign.login(USER, PASSWORD);
    foreign.expect(450, "STOR foreign");
}
