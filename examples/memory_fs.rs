//! Files in memory, which are gone when the server ends:
//! `cargo run --example memory_fs [ADDRESS]`, then
//! `curl -T FILE ftp://user:12345@127.0.0.1:2121/`.
//!
//! It is made of `NoFS`, which refuses what it does not have: links, modes, times.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::{AbstractedFS, FSDir, FSFile, FSState, NoFS, OpenMode, Stat};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{AuthorizerError, FSError, FTPConfig, FTPServer, FilesystemError};
use rustix::io::Errno;

/// The limits: bytes of all files, and the number of files and directories.
const BYTES_MAX: u64 = 64 << 20;
const ENTRIES_MAX: usize = 10_000;

/// A handle of the file system; all users see the same files.
#[derive(Clone, Default)]
struct MemoryFS {
    tree: Arc<Mutex<Tree>>,
    used: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Entry {
    Dir,
    File(Arc<Mutex<Content>>),
}

/// A file that is removed while it is read lives until that is over.
struct Content {
    bytes: Vec<u8>,
    mtime: i64,
    used: Arc<AtomicU64>,
}

/// All files and directories by path, without the root.
#[derive(Default)]
struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    fn entry(&self, path: &Path) -> Result<Entry, FSError> {
        if path.parent().is_none() {
            return Ok(Entry::Dir);
        }
        let entry = self.0.get(path).cloned();
        entry.ok_or_else(|| error(Errno::NOENT))
    }

    /// Adds an entry, or replaces a file.
    fn insert(&mut self, path: &Path, entry: Entry) -> Result<(), FSError> {
        if self.entry(path).is_err() {
            self.check_place(path)?;
        }
        self.0.insert(path.to_owned(), entry);
        Ok(())
    }

    fn check_place(&self, path: &Path) -> Result<(), FSError> {
        match self.entry(path.parent().unwrap_or(path))? {
            Entry::File(_) => Err(error(Errno::NOTDIR)),
            Entry::Dir if self.0.len() >= ENTRIES_MAX => Err(error(Errno::NOSPC)),
            Entry::Dir => Ok(()),
        }
    }

    fn names(&self, dir: &Path) -> Vec<OsString> {
        let inside = self.0.keys().filter(|path| path.parent() == Some(dir));
        inside
            .filter_map(|path| Some(path.file_name()?.to_owned()))
            .collect()
    }
}

impl MemoryFS {
    fn entry(&self, path: &Path) -> Result<Entry, FSError> {
        lock(&self.tree).entry(path)
    }

    fn file(&self) -> Arc<Mutex<Content>> {
        Arc::new(Mutex::new(Content {
            bytes: Vec::new(),
            mtime: now(),
            used: Arc::clone(&self.used),
        }))
    }
}

impl AbstractedFS for MemoryFS {
    /// What it does not have is refused: links, modes, times.
    fn inner(&self) -> &dyn AbstractedFS {
        &NoFS
    }

    fn open(&self, _: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        // One lock for looking up and making, so that no other session comes between.
        let mut tree = lock(&self.tree);
        let content = match (tree.entry(path), mode) {
            (Ok(Entry::Dir), _) => return Err(error(Errno::ISDIR)),
            (Ok(Entry::File(content)), OpenMode::Read | OpenMode::Append | OpenMode::Update) => {
                content
            }
            (Err(err), OpenMode::Read | OpenMode::Update) => return Err(err),
            // A session that reads the old file reads it to its end.
            (_, OpenMode::Write | OpenMode::Append) => {
                let content = self.file();
                tree.insert(path, Entry::File(Arc::clone(&content)))?;
                content
            }
        };
        Ok(Box::new(MemoryFile {
            content,
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
        let names = (0..=ENTRIES_MAX).map(|number| {
            let mut name = prefix.to_owned();
            name.push(number.to_string());
            dir.join(name)
        });
        let mut tree = lock(&self.tree);
        let free = names.into_iter().find(|path| tree.entry(path).is_err());
        let free = free.ok_or_else(|| error(Errno::EXIST))?;
        tree.insert(&free, Entry::File(self.file()))?;
        drop(tree);
        self.open(fs, &free, OpenMode::Update)
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        let Entry::Dir = self.entry(path)? else {
            return Err(error(Errno::NOTDIR));
        };
        fs.set_cwd(self.fs2ftp(fs, path));
        Ok(())
    }

    fn mkdir(&self, _: &FSState, path: &Path) -> Result<(), FSError> {
        let mut tree = lock(&self.tree);
        match tree.entry(path) {
            Ok(_) => Err(error(Errno::EXIST)),
            Err(_) => tree.insert(path, Entry::Dir),
        }
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        let Entry::Dir = self.entry(path)? else {
            return Err(error(Errno::NOTDIR));
        };
        Ok(Box::new(MemoryDir {
            names: lock(&self.tree).names(path).into_iter(),
            path: path.to_owned(),
            fs: self.clone(),
            state: fs.clone(),
        }))
    }

    fn rmdir(&self, _: &FSState, path: &Path) -> Result<(), FSError> {
        let mut tree = lock(&self.tree);
        match tree.entry(path)? {
            Entry::File(_) => return Err(error(Errno::NOTDIR)),
            Entry::Dir if !tree.names(path).is_empty() => return Err(error(Errno::NOTEMPTY)),
            Entry::Dir => tree.0.remove(path),
        };
        Ok(())
    }

    fn remove(&self, _: &FSState, path: &Path) -> Result<(), FSError> {
        let mut tree = lock(&self.tree);
        let Entry::File(_) = tree.entry(path)? else {
            return Err(error(Errno::ISDIR));
        };
        tree.0.remove(path);
        Ok(())
    }

    /// Moves everything below it, too. A file replaces another file.
    fn rename(&self, _: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        let mut tree = lock(&self.tree);
        match (tree.entry(src)?, tree.entry(dst)) {
            _ if dst.starts_with(src) => return Err(error(Errno::INVAL)),
            (Entry::File(_), Ok(Entry::File(_))) => {}
            (_, Ok(_)) => return Err(error(Errno::EXIST)),
            (_, Err(_)) => tree.check_place(dst)?,
        }
        let moved: Vec<_> = tree
            .0
            .keys()
            .filter(|path| path.starts_with(src))
            .cloned()
            .collect();
        for path in moved {
            let below = path.strip_prefix(src).unwrap_or(&path);
            // Joining with an empty path would add a slash.
            let moved = dst.components().chain(below.components()).collect();
            if let Some(entry) = tree.0.remove(&path) {
                tree.0.insert(moved, entry);
            }
        }
        Ok(())
    }

    fn stat(&self, _: &FSState, path: &Path) -> Result<Stat, FSError> {
        let (mode, size, mtime) = match self.entry(path)? {
            Entry::Dir => (0o040_755, 0, now()),
            Entry::File(content) => {
                let content = lock(&content);
                (0o100_644, content.bytes.len() as u64, content.mtime)
            }
        };
        Ok(Stat {
            mode,
            size,
            mtime,
            nlink: 1,
            // There are no links, so the path identifies the file.
            ino: BuildHasherDefault::<DefaultHasher>::default().hash_one(path),
            ..Stat::default()
        })
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.stat(fs, path)
    }
}

struct MemoryDir {
    names: std::vec::IntoIter<OsString>,
    path: PathBuf,
    fs: MemoryFS,
    state: FSState,
}

impl FSDir for MemoryDir {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        self.names.next().map(Ok)
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.fs.stat(&self.state, &self.path.join(name))
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.lstat(name)
    }

    fn readlink(&self, _name: &OsStr) -> Result<PathBuf, FSError> {
        Err(unsupported())
    }
}

struct MemoryFile {
    content: Arc<Mutex<Content>>,
    name: PathBuf,
    at: usize,
    append: bool,
}

impl FSFile for MemoryFile {
    fn name(&self) -> &Path {
        &self.name
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(lock(&self.content).bytes.len() as u64)
    }
}

impl Read for MemoryFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = lock(&self.content);
        let mut rest = content.bytes.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

impl Write for MemoryFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut content = lock(&self.content);
        let at = match self.append {
            true => content.bytes.len(),
            false => self.at,
        };
        let end = at + data.len();
        content.reserve(end)?;
        content.bytes[at..end].copy_from_slice(data);
        content.mtime = now();
        self.at = end;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for MemoryFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let content = lock(&self.content);
        let mut cursor = io::Cursor::new(&content.bytes);
        cursor.set_position(self.at as u64);
        let at = cursor.seek(to)?;
        self.at = usize::try_from(at).map_err(io::Error::other)?;
        Ok(at)
    }
}

impl Content {
    /// Sets the length, if there is room.
    fn reserve(&mut self, end: usize) -> io::Result<()> {
        let more = end.saturating_sub(self.bytes.len());
        let taken = self.used.fetch_add(more as u64, Relaxed);
        if taken + more as u64 > BYTES_MAX {
            self.used.fetch_sub(more as u64, Relaxed);
            return Err(Errno::NOSPC.into());
        }
        self.bytes.resize(self.bytes.len() + more, 0);
        Ok(())
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes.len() as u64, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error with the text that clients know.
fn error(errno: Errno) -> FSError {
    FSError::from_errno(errno.raw_os_error())
}

fn unsupported() -> FSError {
    FilesystemError::new("Not supported").into()
}

fn now() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(0, |time| time.as_secs().cast_signed())
}

fn config() -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    // This directory exists on the disk, too; the one in memory is meant.
    authorizer.add_user("user", "12345", "/", "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.set_abstracted_fs(MemoryFS::default());
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    FTPServer::bind(&address, config()?, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ftpdlib::testing::Session;

    use super::*;

    fn session() -> Session<StockHandler> {
        let mut session = Session::new(config().unwrap(), StockHandler).unwrap();
        session.login("user", "12345");
        session
    }

    #[test]
    fn keeps_files() {
        let mut session = session();
        session.command("MKD dir");
        assert_eq!(session.stor("dir/file", b"hello").code(), 226);
        assert_eq!(session.retr("dir/file").unwrap(), b"hello");
        assert_eq!(session.command("RMD dir"), "550 Directory not empty.");
        assert_eq!(
            session.command("DELE nope"),
            "550 No such file or directory."
        );
        assert_eq!(session.list("NLST /").unwrap(), "dir\r\n");
        session.stor("file", b"hello");
        let facts = session.list("MLSD /").unwrap();
        let unique = facts.split(';').filter(|fact| fact.starts_with("unique="));
        assert_eq!(unique.collect::<HashSet<_>>().len(), 2, "{facts}");
    }

    #[test]
    fn a_directory_is_renamed_with_all_that_is_in_it() {
        let mut session = session();
        session.command("MKD a");
        session.command("MKD a/b");
        session.stor("a/b/file", b"hello");
        session.stor("ab", b"not in it");
        session.command("RNFR a");
        assert_eq!(session.command("RNTO a/b/c").code(), 550);
        session.command("RNFR a");
        assert_eq!(session.command("RNTO c").code(), 250);
        assert_eq!(session.retr("c/b/file").unwrap(), b"hello");
        assert_eq!(session.list("NLST").unwrap(), "ab\r\nc\r\n");
    }
}
