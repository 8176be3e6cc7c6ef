//! Files to transfer, and file systems that are not the system's.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ftpdlib::FSError;
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};

use crate::Server;

/// Returns bytes that repeat after 2048.
pub fn pattern(size: usize) -> Vec<u8> {
    let once: [u8; 2048] = std::array::from_fn(|index| ((index * 7919) >> 3).to_le_bytes()[0]);
    let mut bytes = once.repeat(size.div_ceil(once.len()));
    bytes.truncate(size);
    bytes
}

/// Makes a file of [`BIG`] bytes that takes no room.
pub fn write_big(server: &Server, name: &str) -> u64 {
    sparse(&server.path(name), BIG);
    BIG
}

/// More bytes than the buffers of a connection hold: sending them lasts until the client
/// reads.
pub const BIG: u64 = 64 << 20;

/// Makes a large file that holds zeros and takes no room.
pub fn sparse(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

/// A file system in memory. Neither `sendfile` nor `splice` can be used with its files.
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

/// What a [`Wrapper`] does to open a file.
type Wrap = dyn Fn(&Path, OpenMode) -> io::Result<Box<dyn FSFile>> + Send + Sync;

/// The local file system, with a function that opens the files.
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

/// A file of the system that can be made to fail.
pub struct OwnFile {
    /// Its path.
    pub name: PathBuf,
    /// The file of the system.
    pub file: File,
    /// Whether the kernel may move its bytes.
    pub exposed: bool,
    /// After this many bytes, reading and writing fail with this error number.
    pub fails: Option<(usize, i32)>,
    /// Finishing fails with this error number.
    pub finish_fails: Option<i32>,
    /// Called when the file is dropped.
    pub dropped: Option<Box<dyn FnMut() + Send>>,
    /// Called when a transfer ends, with whether the file is whole.
    pub finished: Option<Box<dyn FnMut(bool) + Send>>,
}

impl OwnFile {
    /// A file that does not fail, and that the kernel may not move.
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

    /// Opens a file as the mode says.
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
