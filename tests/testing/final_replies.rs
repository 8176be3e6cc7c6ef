//! The final reply of a transfer, where a hook decides about it.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::{StockHandler, TransferLog};
use ftpdlib::proto::reply::Reply;
use ftpdlib::testing::{Server, Session, Stream};
use ftpdlib::{FSError, FTPHandler, FTPSession};

use super::place::{Place, place, reply};
use super::server::{Client, at};

type Events = Rc<RefCell<Vec<String>>>;

/// Decides about transfers: by the name of the file, at once or later.
struct Judge(Events);

impl Judge {
    fn note(&self, event: &str, file: &Path) {
        let name = file.file_name().unwrap().to_string_lossy();
        self.0.borrow_mut().push(format!("{event} {name}"));
    }
}

impl FTPHandler for Judge {
    fn confirm_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        assert!(transfer.completed);
        let name = transfer.filename.file_name().unwrap().to_str().unwrap();
        match name {
            "known" => s.set_final_reply("250 It is known to JES as JOB00042"),
            "large" => s.set_final_reply("552 Too many lines."),
            "panics_here" => std::panic::resume_unwind(Box::new("as planned")),
            "twice" => {
                s.set_final_reply("552 No.");
                s.set_final_reply("250 Yes.");
            }
            "odd" => s.set_final_reply("125 Begin."),
            "panics" => {
                let panics = || std::panic::resume_unwind(Box::new("as planned"));
                s.offload(panics, |_, ()| {}).unwrap();
            }
            "later" => {
                let ask = || "250 Good.";
                s.offload(ask, |s, verdict| s.set_final_reply(verdict))
                    .unwrap();
            }
            "refused_later" => {
                // The second job begins when the first one has ended.
                s.offload(
                    || (),
                    |s, ()| {
                        let ask = || "550 Bad.";
                        let asked = s.offload(ask, |s, verdict| s.set_final_reply(verdict));
                        asked.unwrap();
                    },
                )
                .unwrap();
            }
            _ => {}
        }
    }

    fn on_file_sent(&mut self, _: &mut FTPSession, file: &Path) {
        self.note("sent", file);
    }

    fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        // It is too late.
        s.set_final_reply("552 Too late.");
        self.note("received", file);
    }

    fn on_incomplete_file_sent(&mut self, _: &mut FTPSession, file: &Path) {
        self.note("incomplete sent", file);
    }

    fn on_incomplete_file_received(&mut self, _: &mut FTPSession, file: &Path) {
        self.note("incomplete", file);
    }

    fn on_disconnect(&mut self, _: &mut FTPSession) {
        self.0.borrow_mut().push("disconnect".to_owned());
    }
}

fn judged(place: &Place) -> (Server, Events) {
    let events = Events::default();
    let noted = Rc::clone(&events);
    let make = move |_| Judge(Rc::clone(&noted));
    let server = Server::new(place.config.clone(), at("10.0.0.1:21"), 1, make).unwrap();
    (server, events)
}

fn take(events: &Events) -> Vec<String> {
    std::mem::take(&mut *events.borrow_mut())
}

/// Stores a file up to the end of its data connection. Returns what has come until then.
fn store(client: &Client<'_>, name: &str) -> String {
    let data = begin(client, name);
    drop(data);
    client.receive()
}

fn begin(client: &Client<'_>, name: &str) -> Stream {
    let data = client.passive();
    let reply = client.command(&format!("STOR {name}"));
    assert!(reply.starts_with("125 "), "{reply}");
    data.write(b"hello").unwrap();
    client.server.settle();
    data
}

const HERE: &str = "10.0.0.2";

#[test]
fn at_once() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    for (name, reply, event) in [
        ("any", "226 Transfer complete.", "received any"),
        (
            "known",
            "250 It is known to JES as JOB00042",
            "received known",
        ),
        ("large", "552 Too many lines.", "incomplete large"),
        ("twice", "250 Yes.", "received twice"),
        (
            "odd",
            "451 Requested action aborted: local error in processing.",
            "incomplete odd",
        ),
    ] {
        assert_eq!(store(&client, name), reply);
        assert_eq!(take(&events), [event]);
        assert_eq!(place.read(name), b"hello");
    }
    // What is too late has no effect on the next transfer.
    assert_eq!(store(&client, "any"), "226 Transfer complete.");
    take(&events);
    let data = client.passive();
    client.command("RETR known");
    drop(data);
    assert_eq!(client.receive(), "250 It is known to JES as JOB00042");
    assert_eq!(take(&events), ["sent known"]);
    // A transfer that has failed is not decided about.
    let data = begin(&client, "known");
    data.reset();
    assert!(client.receive().starts_with("426 "));
    assert_eq!(take(&events), ["incomplete known"]);
}

#[test]
fn later() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    let other = Client::login(&server, HERE);
    let data = begin(&client, "later");
    client.send("NOOP");
    let noop = "200 I successfully did nothing'.";
    assert_eq!(client.receive(), noop, "during the transfer");
    drop(data);
    client.send("NOOP");
    assert_eq!(client.receive(), "", "the reply waits, and so do commands");
    assert!(take(&events).is_empty());
    // Others go on, but may not store this file.
    let _data = other.passive();
    let busy = "450 Another upload to this file is in progress.";
    assert_eq!(other.command("STOR later"), busy);
    assert_eq!(server.jobs(), 1);
    server.run_job(0);
    assert_eq!(client.receive(), format!("250 Good.\r\n{noop}"));
    assert_eq!(take(&events), ["received later"]);
    assert!(other.command("STOR later").starts_with("125 "));
}

#[test]
fn refused_after_two_jobs() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    assert_eq!(store(&client, "refused_later"), "");
    // No time-out counts meanwhile.
    server.set_now(server.now() + Duration::from_secs(3600));
    server.settle();
    server.run_job(0);
    assert_eq!(client.receive(), "");
    server.run_job(0);
    assert_eq!(client.receive(), "550 Bad.");
    assert_eq!(take(&events), ["incomplete refused_later"]);
    assert_eq!(store(&client, "any"), "226 Transfer complete.");
}

#[test]
fn the_session_ends_first() {
    let place = place();
    for by_panic in [false, true] {
        let (server, events) = judged(&place);
        let client = Client::login(&server, HERE);
        let name = if by_panic { "panics" } else { "later" };
        assert_eq!(store(&client, name), "");
        match by_panic {
            true => server.run_job(0),
            false => client.stream.reset(),
        }
        server.settle();
        assert_eq!(server.sessions(), 0);
        let incomplete = format!("incomplete {name}");
        assert_eq!(take(&events), [&*incomplete, "disconnect"]);
        if !by_panic {
            // Its result comes to nobody.
            server.run_job(0);
            server.settle();
        }
        // The file is free.
        let client = Client::login(&server, HERE);
        begin(&client, name);
    }
}

#[test]
fn the_hook_panics() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    assert_eq!(store(&client, "panics_here"), "");
    assert_eq!(server.sessions(), 0);
    assert_eq!(take(&events), ["incomplete panics_here", "disconnect"]);
}

#[test]
fn the_server_ends_first() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    assert_eq!(store(&client, "later"), "");
    server.drain();
    server.settle();
    assert_eq!(server.sessions(), 1, "it may end");
    server.run_job(0);
    let replies = client.receive();
    assert_eq!(replies, "250 Good.\r\n421 Service is shutting down.");
    assert_eq!(take(&events), ["received later", "disconnect"]);
}

#[test]
fn after_quit() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    let data = begin(&client, "later");
    assert!(client.command("QUIT").starts_with("221 "));
    drop(data);
    assert_eq!(client.receive(), "");
    assert_eq!(server.sessions(), 1);
    server.run_job(0);
    assert_eq!(client.receive(), "250 Good.");
    assert_eq!(server.sessions(), 0);
    assert_eq!(take(&events), ["received later", "disconnect"]);
}

/// The client has lost its control connection, or has left as some devices do.
#[test]
fn after_the_client_has_gone() {
    let place = place();
    let (server, events) = judged(&place);
    let client = Client::login(&server, HERE);
    let data = begin(&client, "later");
    client.stream.reset();
    server.settle();
    drop(data);
    server.settle();
    server.set_now(server.now() + Duration::from_secs(120));
    server.settle();
    assert!(take(&events).is_empty());
    server.run_job(0);
    server.settle();
    assert_eq!(take(&events), ["received later", "disconnect"]);
    assert_eq!(server.sessions(), 0);
}

/// The user of the transfer has logged out meanwhile.
#[test]
fn the_user_of_the_transfer_counts() {
    struct Users(Events);
    impl FTPHandler for Users {
        fn confirm_transfer(&mut self, s: &mut FTPSession, _: &TransferLog<'_>) {
            self.0.borrow_mut().push(s.username().to_owned());
            s.offload(|| (), |_, ()| {}).unwrap();
        }

        fn on_file_received(&mut self, s: &mut FTPSession, _: &Path) {
            self.0.borrow_mut().push(s.username().to_owned());
        }
    }
    let place = place();
    let events = Events::default();
    let noted = Rc::clone(&events);
    let make = move |_| Users(Rc::clone(&noted));
    let server = Server::new(place.config.clone(), at("10.0.0.1:21"), 1, make).unwrap();
    let client = Client::login(&server, HERE);
    let data = begin(&client, "a");
    assert!(client.command("USER nobody").starts_with("331 "));
    drop(data);
    server.settle();
    server.run_job(0);
    assert_eq!(client.receive(), "226 Transfer complete.");
    assert_eq!(take(&events), ["user", "user"]);
}

// --- files that fail with a whole reply

/// Files that fail when they have these names.
struct Picky;

struct PickyFile(Box<dyn FSFile>);

impl PickyFile {
    fn is(&self, name: &str) -> bool {
        self.0.name().ends_with(name)
    }
}

impl AbstractedFS for Picky {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        Ok(Box::new(PickyFile(local::open(fs, path, mode)?)))
    }
}

impl Read for PickyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.is("unreadable") {
            true => Err(Reply::new(450, "Come back later.").into()),
            false => self.0.read(buffer),
        }
    }
}

impl Write for PickyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.is("full") {
            true => Err(Reply::new(452, "The tape is full.").into()),
            false => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for PickyFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl FSFile for PickyFile {
    fn name(&self) -> &Path {
        self.0.name()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.0.size()
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        self.0.finish(completed)?;
        match completed {
            true if self.is("virus") => Err(Reply::new(551, "It has a virus.").into()),
            // A file cannot fail with success.
            true if self.is("odd") => Err(Reply::new(250, "Fine").into()),
            _ => Ok(()),
        }
    }
}

#[test]
fn files_fail_with_a_whole_reply() {
    let mut place = place();
    place.config.set_abstracted_fs(Picky);
    let mut session = place.login();
    for (name, expected) in [
        ("good", "226 Transfer complete."),
        ("virus", "551 It has a virus."),
        ("full", "452 The tape is full."),
        ("odd", "426 250 Fine; transfer aborted."),
    ] {
        assert_eq!(session.stor(name, b"hello"), expected);
    }
    place.write("unreadable", b"x");
    let refused = session.retr("unreadable").unwrap_err();
    assert_eq!(refused, "450 Come back later.");
    let (mut session, events): (Session<_>, _) = place.reporting();
    assert_eq!(session.stor("virus", b"hello").code(), 551);
    let events: Vec<_> = events.try_iter().skip(1).collect();
    assert_eq!(events, ["incomplete virus"]);
    let mut session = Session::new(place.config.clone(), StockHandler).unwrap();
    session.login("user", "12345");
    let mut data = session.passive();
    assert_eq!(session.command("STOR virus").code(), 125);
    data.write(b"x");
    data.close();
    assert_eq!(reply(&mut session), "551 It has a virus.");
}
