//! Objects of a storage service, with a connection for each login:
//! `cargo run --example storage_per_login [ADDRESS]`, then
//! `curl -T FILE ftp://user:12345@127.0.0.1:2121/`.
//!
//! The service decides about the login, because it knows the password. It is asked off the loop,
//! and the connection that it answers with becomes the file system of the login. Here the service
//! is a table in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ftpdlib::authorizers::{Authorizer, Client, LaterVerdict, Perm, Perms, Verdict};
use ftpdlib::filesystems::{
    AbstractedFS, BytesFile, FSDir, FSFile, FSState, NameList, NoFS, OpenMode, Stat,
};
use ftpdlib::{AuthenticationFailed, FSError, FTPConfig, FTPHandler, FTPServer, FTPSession};

/// The service: an account for each user, with its objects.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<HashMap<String, Objects>>>);

type Objects = Arc<Mutex<BTreeMap<String, Arc<[u8]>>>>;

impl Service {
    /// Opens a connection. With a real service this takes a while.
    fn connect(&self, username: &str, password: &str) -> Result<Bucket, AuthenticationFailed> {
        if password != "12345" {
            return Err(AuthenticationFailed::default());
        }
        let objects = lock(&self.0)
            .entry(username.to_owned())
            .or_default()
            .clone();
        let username = username.to_owned();
        Ok(Bucket { username, objects })
    }
}

/// A connection to the service, as the file system of one login.
struct Bucket {
    username: String,
    objects: Objects,
}

/// As the end of the login drops it: here a real connection would be closed.
impl Drop for Bucket {
    fn drop(&mut self) {
        log::info!(target: "ftpdlib", "the connection of {} is closed", self.username);
    }
}

impl Bucket {
    fn object(&self, fs: &FSState, path: &Path) -> Result<Arc<[u8]>, FSError> {
        let object = lock(&self.objects).get(&key(fs, path)).cloned();
        object.ok_or_else(FSError::not_found)
    }
}

impl AbstractedFS for Bucket {
    fn inner(&self) -> &dyn AbstractedFS {
        &NoFS
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        match path == fs.root() {
            true => Ok(Stat::dir(0)),
            false => Ok(Stat::file(self.object(fs, path)?.len() as u64, 0)),
        }
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.stat(fs, path)
    }

    fn listdir(&self, _: &FSState, _: &Path) -> Result<Box<dyn FSDir>, FSError> {
        let objects = lock(&self.objects);
        let entry =
            |(key, bytes): (&String, &Arc<[u8]>)| (key.clone(), Stat::file(bytes.len() as u64, 0));
        Ok(Box::new(NameList::new(objects.iter().map(entry))))
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        match mode {
            OpenMode::Read => Ok(Box::new(BytesFile::new(path, self.object(fs, path)?))),
            OpenMode::Write => Ok(Box::new(Upload {
                name: path.to_owned(),
                key: key(fs, path),
                objects: Arc::clone(&self.objects),
                bytes: Cursor::default(),
            })),
            OpenMode::Append | OpenMode::Update => NoFS.open(fs, path, mode),
        }
    }

    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        let removed = lock(&self.objects).remove(&key(fs, path));
        removed.map(|_| ()).ok_or_else(FSError::not_found)
    }
}

fn key(fs: &FSState, path: &Path) -> String {
    let key = path.strip_prefix(fs.root()).unwrap_or(path);
    key.to_string_lossy().into_owned()
}

/// An object that becomes visible when it is complete.
struct Upload {
    name: PathBuf,
    key: String,
    objects: Objects,
    bytes: Cursor<Vec<u8>>,
}

impl FSFile for Upload {
    fn name(&self) -> &Path {
        &self.name
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.bytes.get_ref().len() as u64)
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        if completed {
            let bytes = std::mem::take(self.bytes.get_mut());
            lock(&self.objects).insert(self.key.clone(), bytes.into());
        }
        Ok(())
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.bytes.get_ref().len() + bytes.len() > LIMIT {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.bytes.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Upload {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(position)
    }
}

/// What a login has opened, until its session takes it.
type Handover = Arc<Mutex<Option<Bucket>>>;

/// Those of all sessions, by the addresses of their clients.
type Handovers = Arc<Mutex<HashMap<SocketAddr, Weak<Mutex<Option<Bucket>>>>>>;

/// Asks the service about each login.
struct ByService {
    service: Service,
    handovers: Handovers,
}

impl Authorizer for ByService {
    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let peer = SocketAddr::new(client.remote_ip(), client.remote_port());
        let handover = lock(&self.handovers)
            .get(&peer)
            .cloned()
            .unwrap_or_default();
        let service = self.service.clone();
        let (username, password) = (username.to_owned(), password.to_owned());
        later().offload(move || {
            let bucket = service.connect(&username, &password)?;
            // If the client has gone meanwhile, the connection goes, too.
            if let Some(handover) = handover.upgrade() {
                *lock(&handover) = Some(bucket);
            }
            Ok(())
        })
    }

    fn get_home_dir(&self, _username: &str) -> Result<PathBuf, AuthenticationFailed> {
        Ok(PathBuf::from("/"))
    }

    fn has_perm(&self, _username: &str, _perm: Perm, _path: Option<&Path>) -> bool {
        true
    }

    fn has_overrides(&self, _username: &str) -> bool {
        false
    }

    fn get_perms(&self, _username: &str) -> Perms {
        Perms::ALL
    }
}

struct Handler {
    handover: Handover,
    handovers: Handovers,
}

impl FTPHandler for Handler {
    fn on_connect(&mut self, s: &mut FTPSession) {
        let peer = SocketAddr::new(s.remote_ip(), s.remote_port());
        lock(&self.handovers).insert(peer, Arc::downgrade(&self.handover));
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        let peer = SocketAddr::new(s.remote_ip(), s.remote_port());
        lock(&self.handovers).remove(&peer);
    }

    /// Makes the file system of the login, as pyftpdlib makes its `abstracted_fs`.
    fn abstracted_fs(&mut self, s: &mut FTPSession) -> Arc<dyn AbstractedFS> {
        match lock(&self.handover).take() {
            Some(bucket) => Arc::new(bucket),
            None => {
                s.respond("530 The storage does not answer.");
                s.close_when_done();
                Arc::new(NoFS)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:2121");
    let handovers = Handovers::default();
    let mut config = FTPConfig::default();
    config.set_authorizer(ByService {
        service: Service::default(),
        handovers: Arc::clone(&handovers),
    });
    let handler = move |_peer| Handler {
        handover: Handover::default(),
        handovers: Arc::clone(&handovers),
    };
    FTPServer::bind(address, config, handler)?.serve_forever()?;
    Ok(())
}

/// The largest object, in bytes.
const LIMIT: usize = 64 << 20;
