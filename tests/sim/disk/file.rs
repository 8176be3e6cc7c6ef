//! An open file of the disk.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ftpdlib::filesystems::FSFile;

use super::Disk;
use super::fs::io_error;
use super::nodes::Ino;
use super::state::State;

/// An open file.
pub struct OpenFile {
    pub disk: Disk,
    pub home: usize,
    /// The real path by which it was opened.
    pub name: PathBuf,
    pub ino: Ino,
    pub at: usize,
    pub appends: bool,
    pub size_when_opened: u64,
    pub upload: Option<Upload>,
    /// The turn in which bytes moved last, and how many.
    pub moved: (u64, usize),
}

/// What is known about an upload.
pub struct Upload {
    /// Whether the file loses its old bytes when the upload begins.
    pub empties: bool,
    /// Whether the open has made the file: its directory and its name.
    pub made: Option<(Ino, Vec<u8>)>,
    pub begun: bool,
}

impl OpenFile {
    fn path(&self) -> &[u8] {
        self.name.as_os_str().as_bytes()
    }

    fn leads_here(&self, state: &State) -> bool {
        state.nodes.walk(self.path(), true).found == Ok(Some(self.ino))
    }

    /// Begins the upload, unless it has begun.
    fn begin_upload(&mut self) -> io::Result<()> {
        if self.upload.as_ref().is_none_or(|upload| upload.begun) {
            return Ok(());
        }
        let disk = self.disk.clone();
        let mut state = disk.lock();
        if !self.leads_here(&state) {
            return Err(replaced());
        }
        if let Some(upload) = &mut self.upload {
            upload.begun = true;
            if upload.empties {
                state
                    .enter("truncate", self.home, self.name.as_os_str().as_bytes())
                    .map_err(io_error)?;
                let size = state.nodes.file(self.ino).len();
                state.used = state.used.saturating_sub(size);
                state.nodes.file_mut(self.ino).clear();
                let wall = state.wall;
                state.nodes.get_mut(self.ino).mtime = wall;
            }
        }
        Ok(())
    }

    /// Counts bytes that were moved in this turn.
    fn count(&mut self, state: &mut State, size: usize) {
        if self.moved.0 != state.turn {
            self.moved = (state.turn, 0);
        }
        self.moved.1 += size;
        state.work.bytes = state.work.bytes.max(self.moved.1);
    }
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.begin_upload()?;
        let disk = self.disk.clone();
        let mut state = disk.lock();
        let short = state
            .enter("read", self.home, self.path())
            .map_err(io_error)?;
        let rest = state.nodes.file(self.ino).get(self.at..);
        let rest = rest.unwrap_or_default();
        let mut size = rest.len().min(buffer.len()).min(state.reads);
        if short && size > 1 {
            size = 1 + size / 3;
        }
        buffer[..size].copy_from_slice(&rest[..size]);
        self.at += size;
        self.count(&mut state, size);
        Ok(size)
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin_upload()?;
        let disk = self.disk.clone();
        let mut state = disk.lock();
        let short = state
            .enter("write", self.home, self.path())
            .map_err(io_error)?;
        let old = state.nodes.file(self.ino).len();
        let at = if self.appends { old } else { self.at };
        let mut size = bytes.len();
        if short && size > 1 {
            size = 1 + size / 3;
        }
        let room = state.capacity.saturating_sub(state.used);
        let grows = (at + size).saturating_sub(old);
        if grows > room {
            size = size.saturating_sub(grows - room);
            if size == 0 && !bytes.is_empty() {
                let path = self.name.as_os_str().as_bytes();
                return Err(io_error(state.failed(
                    "write",
                    self.home,
                    path,
                    libc::ENOSPC,
                )));
            }
        }
        let end = at + size;
        let content = state.nodes.file_mut(self.ino);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(&bytes[..size]);
        state.used += end.saturating_sub(old);
        let wall = state.wall;
        state.nodes.get_mut(self.ino).mtime = wall;
        self.at = end;
        self.count(&mut state, size);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.begin_upload()?;
        let mut state = self.disk.lock();
        state
            .enter("seek", self.home, self.path())
            .map_err(io_error)?;
        let size = state.nodes.file(self.ino).len() as u64;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => size.checked_add_signed(by),
            SeekFrom::Current(by) => (self.at as u64).checked_add_signed(by),
        };
        let at = at.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        drop(state);
        self.at = usize::try_from(at).map_err(io::Error::other)?;
        Ok(at)
    }
}

impl FSFile for OpenFile {
    fn name(&self) -> &Path {
        &self.name
    }

    fn size(&mut self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        state
            .enter("size", self.home, self.path())
            .map_err(io_error)?;
        Ok(state.nodes.file(self.ino).len() as u64)
    }

    fn size_when_opened(&self) -> Option<u64> {
        Some(self.size_when_opened)
    }

    fn begin(&mut self) -> io::Result<()> {
        match &self.upload {
            // REST has moved to its position already.
            Some(upload) if upload.begun => match self.leads_here(&self.disk.lock()) {
                true => Ok(()),
                false => Err(replaced()),
            },
            _ => self.begin_upload(),
        }
    }

    fn is_replaced(&mut self) -> bool {
        self.upload.is_some() && !self.leads_here(&self.disk.lock())
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        if completed && self.upload.is_some() {
            let mut state = self.disk.lock();
            state
                .enter("close", self.home, self.path())
                .map_err(io_error)?;
        }
        Ok(())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let disk = self.disk.clone();
        let mut state = disk.lock();
        state.open -= 1;
        let named = (self.name.clone(), self.upload.is_some());
        if let Some(transfers) = state.transfers.get_mut(&named) {
            transfers.closed += 1;
        }
        let Some(upload) = &self.upload else { return };
        let users = state.uploads.entry(self.ino).or_default();
        *users -= 1;
        let is_used = *users > 0;
        if !is_used {
            state.uploads.remove(&self.ino);
        }
        if let Some((dir, name)) = &upload.made
            && !upload.begun
            && !is_used
            && state.nodes.entries(*dir).and_then(|dir| dir.get(name)) == Some(&self.ino)
            && state.nodes.file(self.ino).is_empty()
        {
            let wall = state.wall;
            state.nodes.unlink(*dir, name, wall);
        }
    }
}

fn replaced() -> io::Error {
    io::Error::other("The file was removed or replaced meanwhile")
}
