//! Producers and files that wait for something else, and wake the connection.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;

use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::{Outgoing, commands};
use ftpdlib::producers::{More, Producer};
use ftpdlib::testing::Session;
use ftpdlib::{FSError, FTPHandler, FTPSession};
use testkit::pattern;

use super::place::{Place, place, reply};
use super::{MINUTE, SECOND};

/// So many deadlines of a session pass at most in these tests.
const FEW: usize = 4;

/// Bytes that come from another thread, or go to it.
#[derive(Clone, Default)]
struct Pipe(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// How often the connection has asked.
    asked: AtomicUsize,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
    waker: Option<Waker>,
}

impl Pipe {
    fn asked(&self) -> usize {
        self.0.asked.load(Relaxed)
    }

    fn waker(&self) -> Waker {
        self.0.state.lock().unwrap().waker.clone().unwrap()
    }

    /// Changes the state in another thread, and wakes the connection.
    fn change_elsewhere<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> T {
        let pipe = self.clone();
        let changing = thread::spawn(move || {
            let result = change(&mut pipe.0.state.lock().unwrap());
            pipe.waker().wake();
            result
        });
        changing.join().unwrap()
    }
}

impl Producer for Pipe {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        self.0.asked.fetch_add(1, Relaxed);
        let mut state = self.0.state.lock().unwrap();
        out.append(&mut state.bytes);
        Ok(match state.ended {
            true => More::End,
            false => More::Later,
        })
    }

    fn set_waker(&mut self, waker: Waker) {
        let before = self.0.state.lock().unwrap().waker.replace(waker);
        assert!(before.is_none(), "once, and before it is asked");
        assert_eq!(self.asked(), 0);
    }
}

/// Relays each download.
struct Relay(Pipe);

impl FTPHandler for Relay {
    fn ftp_retr(&mut self, s: &mut FTPSession, _: &Path) {
        let producer = Outgoing::Producer(Box::new(self.0.clone()));
        commands::push_dtp_data(s, producer, "RETR");
    }
}

fn relay(place: &Place) -> (Session<Relay>, Pipe) {
    let pipe = Pipe::default();
    let relay = Relay(pipe.clone());
    let mut session = Session::new(place.config.clone(), relay).unwrap();
    session.login("user", "12345");
    session.command("TYPE I");
    (session, pipe)
}

#[test]
fn a_producer_that_waits_is_not_asked() {
    let place = place();
    place.write("a", b"");
    let (mut session, pipe) = relay(&place);
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    assert_eq!(data.read(), b"");
    let asked = pipe.asked();
    assert!(asked > 0);
    session.advance(4 * MINUTE);
    // A deadline of the session may have asked, but no turn does by itself.
    assert!(pipe.asked() <= asked + FEW);
    for round in 0..3 {
        let piece = pattern(1000 + round);
        let sent = piece.clone();
        pipe.change_elsewhere(move |state| state.bytes = sent);
        assert!(data.read() == piece, "{round}");
        assert_eq!(session.command("NOOP").code(), 200);
    }
    // More than the connection takes at once.
    let piece = pattern(1 << 20);
    let sent = piece.clone();
    pipe.change_elsewhere(move |state| state.bytes = sent);
    assert!(data.read() == piece);
    assert_eq!(session.reply(), None);
    pipe.change_elsewhere(|state| {
        state.bytes = b"end".to_vec();
        state.ended = true;
    });
    assert_eq!(data.read_to_end(), b"end");
    assert_eq!(reply(&mut session), "226 Transfer complete.");
}

#[test]
fn a_waker_may_be_called_at_any_time() {
    let place = place();
    place.write("a", b"");
    let (mut session, pipe) = relay(&place);
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    let before = pipe.asked();
    let waker = pipe.waker();
    let waking = thread::spawn(move || {
        for _ in 0..100_000 {
            waker.wake_by_ref();
        }
    });
    waking.join().unwrap();
    assert_eq!(data.read(), b"");
    assert!(pipe.asked() <= before + 2, "{before} {}", pipe.asked());
    pipe.change_elsewhere(|state| state.ended = true);
    assert_eq!(data.read_to_end(), b"");
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    // The transfer is over, and then the session is.
    pipe.waker().wake();
    assert_eq!(session.command("NOOP").code(), 200);
    drop((session, data));
    pipe.waker().wake();
}

#[test]
fn a_producer_that_is_never_woken_is_ended() {
    let place = place();
    place.write("a", b"");
    let (mut session, pipe) = relay(&place);
    let data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    session.advance(299 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Data connection timed out.");
    assert!(session.is_closed());
    pipe.waker().wake();
    drop(data);
    // Its client goes meanwhile.
    let (mut session, pipe) = relay(&place);
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    data.reset();
    let cut = "426 Transfer aborted; 0 bytes transmitted.";
    assert_eq!(reply(&mut session), cut);
    pipe.waker().wake();
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn commands_end_a_producer_that_waits() {
    let place = place();
    place.write("a", b"");
    let (mut session, _pipe) = relay(&place);
    let data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    assert_eq!(session.command("ABOR").code(), 426);
    assert_eq!(session.reply().unwrap().code(), 226);
    drop(data);
}

// --- uploads

/// A file that takes some bytes, until another thread has taken them.
struct Sink(Pipe, PathBuf);

/// So many bytes make a sink wait.
const FULL: usize = 100_000;

impl FSFile for Sink {
    fn name(&self) -> &Path {
        &self.1
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    fn set_waker(&mut self, waker: Waker) {
        self.0.0.state.lock().unwrap().waker = Some(waker);
    }

    fn is_ready(&mut self) -> bool {
        self.0.0.asked.fetch_add(1, Relaxed);
        self.0.0.state.lock().unwrap().bytes.len() < FULL
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        self.0.0.state.lock().unwrap().ended = completed;
        Ok(())
    }
}

impl Read for Sink {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.state.lock().unwrap().bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sink {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

struct Sinks(Pipe);

impl AbstractedFS for Sinks {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        match mode {
            OpenMode::Read => local::open(fs, path, mode),
            _ => Ok(Box::new(Sink(self.0.clone(), path.to_owned()))),
        }
    }
}

#[test]
fn an_upload_waits_for_its_file() {
    let mut place = place();
    let pipe = Pipe::default();
    place.config.set_abstracted_fs(Sinks(pipe.clone()));
    let mut session = place.login();
    session.command("TYPE I");
    let bytes = pattern(1_000_000);
    let mut data = session.passive();
    assert_eq!(session.command("STOR a").code(), 125);
    let (mut sent, mut taken) = (0, Vec::new());
    while sent < bytes.len() {
        sent += data.write(&bytes[sent..]);
        let held = pipe.0.state.lock().unwrap().bytes.len();
        assert!(held < FULL + 512 * 1024, "{held}");
        assert!(sent - taken.len() < FULL + 700 * 1024, "{sent}");
        let asked = pipe.asked();
        session.advance(SECOND);
        assert!(pipe.asked() <= asked + FEW, "it waits");
        taken.extend(pipe.change_elsewhere(|state| std::mem::take(&mut state.bytes)));
    }
    data.close();
    // The end of the connection is read when the file is ready.
    while session.reply().is_none() {
        taken.extend(pipe.change_elsewhere(|state| std::mem::take(&mut state.bytes)));
    }
    taken.extend(pipe.change_elsewhere(|state| std::mem::take(&mut state.bytes)));
    assert!(taken == bytes);
    assert!(pipe.0.state.lock().unwrap().ended);
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn a_file_that_is_never_ready_ends_the_upload() {
    let mut place = place();
    let pipe = Pipe::default();
    place.config.set_abstracted_fs(Sinks(pipe.clone()));
    let mut session = place.login();
    let mut data = session.passive();
    assert_eq!(session.command("STOR a").code(), 125);
    let sent = data.write(&pattern(1_000_000));
    assert!(sent < 1_000_000);
    session.advance(300 * SECOND);
    assert_eq!(reply(&mut session), "421 Data connection timed out.");
    assert!(!pipe.0.state.lock().unwrap().ended);
}
