//! More for the tests of transfers and of attacks: ways to transfer, a handler
//! that tells what it is called for, files that are not of the system.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "cli")]
#[path = "program.rs"]
mod program;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::TransferLog;
use ftpdlib::{FSError, FTPHandler, FTPSession};
use socket2::SockRef;

use crate::common::socket::Socket;
use crate::common::{Client, DEADLINE, connect_data, parse_227, read_whole, wait_for};

#[cfg(feature = "cli")]
#[allow(unused_imports, reason = "each test file uses its own part of this")]
pub use self::program::{Program, mode_certfile, signal, tls_args};

/// Closes a connection with RST.
pub fn reset(socket: Socket) {
    let socket = socket.into_tcp();
    SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(socket);
}

/// A listener for PORT, and the command.
pub fn port_listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let command = format!("PORT 127,0,0,1,{},{}", port / 256, port % 256);
    (listener, command)
}

/// A large file without work: it holds zeros.
pub fn sparse(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

/// How the data connection of a transfer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By PASV, before the command: 125.
    Early,
    /// By PASV, after the reply to the command: 150.
    Late,
    /// By PORT: 125.
    Active,
}

pub const WAYS: [Way; 3] = [Way::Early, Way::Late, Way::Active];

/// Gives a command and makes its data connection; returns its first reply too.
#[track_caller]
pub fn begin(client: &mut Client, way: Way, command: &str) -> (Socket, String) {
    match way {
        Way::Early => {
            let data = client.pasv();
            await_data(client);
            (data, client.expect(125, command))
        }
        Way::Active => {
            let data = client.port();
            (data, client.expect(125, command))
        }
        Way::Late => {
            let reply = client.expect(227, "PASV");
            let first = client.expect(150, command);
            (connect_data(parse_227(&reply)), first)
        }
    }
}

/// Until the server knows of its data connection.
#[track_caller]
pub fn await_data(client: &mut Client) {
    wait_for("the data connection", || {
        client.expect(211, "STAT").contains("Data connection open:")
    });
}

#[track_caller]
pub fn fetch(client: &mut Client, way: Way, command: &str) -> Vec<u8> {
    let (mut data, _) = begin(client, way, command);
    let bytes = read_whole(&mut data);
    let reply = client.expect_reply(226);
    assert_eq!(reply, "226 Transfer complete.");
    bytes
}

/// Returns the first reply.
#[track_caller]
pub fn store(client: &mut Client, way: Way, command: &str, bytes: &[u8]) -> String {
    let (mut data, first) = begin(client, way, command);
    data.write_all(bytes).unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let reply = client.expect_reply(226);
    assert_eq!(reply, "226 Transfer complete.");
    first
}

// --- hooks

/// A handler that tells what it is called for.
pub struct Hooks(pub Sender<String>);

impl Hooks {
    pub fn channel() -> (Sender<String>, Receiver<String>) {
        channel()
    }

    fn tell(&self, what: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = self.0.send(format!("{what} {name}"));
    }
}

impl FTPHandler for Hooks {
    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        let _ = self.0.send("disconnect".to_owned());
    }

    fn on_file_sent(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell("sent", file);
    }

    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell("received", file);
    }

    fn on_incomplete_file_sent(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell("incomplete sent", file);
    }

    fn on_incomplete_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell("incomplete received", file);
    }

    fn log_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        self.tell("log", transfer.filename);
        ftpdlib::handlers::dispatch::log_transfer(s, transfer);
    }
}

pub fn next(events: &Receiver<String>) -> String {
    events.recv_timeout(DEADLINE).unwrap()
}

// --- files

/// Files in memory: neither `sendfile` nor `splice` can be used.
#[derive(Clone, Default)]
pub struct MemoryFS {
    files: Arc<Mutex<HashMap<PathBuf, Vec<u8>>>>,
}

struct MemoryFile {
    fs: MemoryFS,
    name: PathBuf,
    at: usize,
    append: bool,
}

impl MemoryFile {
    fn with<T>(&mut self, work: impl FnOnce(&mut Vec<u8>, &mut usize) -> T) -> T {
        let mut files = self.fs.files.lock().unwrap();
        work(files.get_mut(&self.name).unwrap(), &mut self.at)
    }
}

impl AbstractedFS for MemoryFS {
    fn open(&self, _: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        let mut files = self.files.lock().unwrap();
        match mode {
            OpenMode::Read | OpenMode::Update if !files.contains_key(path) => {
                return Err(FSError::from(io::Error::from_raw_os_error(2)));
            }
            OpenMode::Write => drop(files.insert(path.to_owned(), Vec::new())),
            _ => drop(files.entry(path.to_owned()).or_default()),
        }
        Ok(Box::new(MemoryFile {
            fs: self.clone(),
            name: path.to_owned(),
            at: 0,
            append: mode == OpenMode::Append,
        }))
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        let count = self.files.lock().unwrap().len();
        let mut name = prefix.to_owned();
        name.push(format!("{count:08}"));
        self.open(fs, &dir.join(name), OpenMode::Write)
    }
}

impl Read for MemoryFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|bytes, at| {
            let read = (&bytes[(*at).min(bytes.len())..]).read(buffer)?;
            *at += read;
            Ok(read)
        })
    }
}

impl Write for MemoryFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let append = self.append;
        self.with(|bytes, at| {
            if append {
                *at = bytes.len();
            }
            let end = *at + buffer.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*at..end].copy_from_slice(buffer);
            *at = end;
            Ok(buffer.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for MemoryFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.at = usize::try_from(at).unwrap();
        Ok(at)
    }
}

impl FSFile for MemoryFile {
    fn name(&self) -> &Path {
        &self.name
    }

    fn size(&mut self) -> io::Result<u64> {
        self.with(|bytes, _| Ok(bytes.len() as u64))
    }
}

/// What a [`Wrapper`] does with the file that is opened.
pub type Wrap = dyn Fn(&Path, OpenMode) -> io::Result<Box<dyn FSFile>> + Send + Sync;

/// The local file system, with files of one's own.
pub struct Wrapper(pub Box<Wrap>);

impl AbstractedFS for Wrapper {
    fn open(&self, _: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        (self.0)(path, mode).map_err(FSError::from)
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        local::mkstemp(fs, dir, prefix)
    }
}

/// A file of the system that can be told to fail.
pub struct OwnFile {
    pub name: PathBuf,
    pub file: File,
    /// Whether the kernel may move its bytes.
    pub exposed: bool,
    /// After so many bytes reading and writing fail with this number.
    pub fails: Option<(usize, i32)>,
    /// Closing it fails with this number.
    pub finish_fails: Option<i32>,
    pub dropped: Option<Box<dyn FnMut() + Send>>,
    /// Called when a transfer ends: whether the file is whole.
    pub finished: Option<Box<dyn FnMut(bool) + Send>>,
}

impl OwnFile {
    pub fn new(name: &Path, file: File) -> Self {
        Self {
            name: name.to_owned(),
            file,
            exposed: false,
            fails: None,
            finish_fails: None,
            dropped: None,
            finished: None,
        }
    }

    /// As the mode says.
    pub fn open(name: &Path, mode: OpenMode) -> io::Result<Self> {
        let mut options = File::options();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::Write => options.write(true).create(true).truncate(true),
            OpenMode::Append => options.append(true).create(true),
            OpenMode::Update => options.read(true).write(true),
        };
        Ok(Self::new(name, options.open(name)?))
    }

    fn spend(&mut self, size: usize) -> io::Result<usize> {
        match &mut self.fails {
            None => Ok(size),
            Some((0, errno)) => Err(io::Error::from_raw_os_error(*errno)),
            Some((left, _)) => {
                let size = size.min(*left);
                *left -= size;
                Ok(size)
            }
        }
    }
}

impl Read for OwnFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.spend(buffer.len())?;
        self.file.read(&mut buffer[..size])
    }
}

impl Write for OwnFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let size = self.spend(buffer.len())?;
        self.file.write(&buffer[..size])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for OwnFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl FSFile for OwnFile {
    fn name(&self) -> &Path {
        &self.name
    }

    fn as_file(&self) -> Option<&File> {
        self.exposed.then_some(&self.file)
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        if let Some(finished) = &mut self.finished {
            finished(completed);
        }
        match self.finish_fails {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if let Some(dropped) = &mut self.dropped {
            dropped();
        }
    }
}
