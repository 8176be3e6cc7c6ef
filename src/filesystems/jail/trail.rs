//! A walk from the handle of a directory, by names, which knows the names that it has come by.
//!
//! The kernel follows no link here: a link is followed by reading its text. So the path of a
//! trail holds no link, and its handle is what these names have led to, one after the other.
//! Where openat2(2) refuses links, several names are one call; elsewhere each name is one.

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use libc::c_int;

use crate::sys;

/// Whether links in the path are followed, or make the look-up fail with `ELOOP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Refuse,
}

/// What happens where a path, or a link in it, is absolute or goes above the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Above {
    /// `EXDEV`: the root is that of a jail.
    Fails,
    /// As the system does where the root is `/`.
    IsRoot,
}

/// A path whose links are resolved, as far as it exists.
pub(crate) struct Real {
    pub(crate) path: PathBuf,
    /// Whether links are left in it, because they form a loop or are too many.
    pub(crate) looped: bool,
}

/// A walk that has reached a directory.
pub(super) struct Trail<'a> {
    root: BorrowedFd<'a>,
    above: Above,
    links: Links,
    /// Whether several names may be looked up with one call.
    jumps: bool,
    /// The names to be looked up, from `at` on.
    rest: Vec<u8>,
    at: usize,
    /// One call could not look up the names from `at` to here.
    stuck: usize,
    /// The names from the root to the directory that is reached, each after a `/`.
    path: Vec<u8>,
    /// Handles of directories on the path, each with the length of its path: some of the last.
    handles: Vec<(usize, OwnedFd)>,
    followed: usize,
    /// How many names the links have added.
    added: usize,
    /// How many calls were made.
    #[cfg(test)]
    calls: usize,
}

impl<'a> Trail<'a> {
    /// A walk that has reached `root`, and goes on to `rel`.
    pub(super) fn new(root: BorrowedFd<'a>, rel: &[u8], above: Above, links: Links) -> Self {
        let mut trail = Self {
            root,
            above,
            links,
            jumps: false,
            rest: Vec::new(),
            at: 0,
            stuck: 0,
            path: Vec::new(),
            handles: Vec::new(),
            followed: 0,
            added: 0,
            #[cfg(test)]
            calls: 0,
        };
        trail.go_on_to(rel);
        trail
    }

    /// Lets one call look up several names, where the kernel can.
    pub(super) fn with_jumps(mut self, jumps: bool) -> Self {
        self.jumps = jumps;
        self
    }

    /// The names from the root to the directory that is reached, each after a `/`.
    #[cfg(test)]
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// How many calls were made.
    #[cfg(test)]
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Enters all directories of the path. Returns the last name, which is not looked up, or
    /// `None` if the path is that of the directory that is reached.
    pub(super) fn enter(&mut self) -> io::Result<Option<Vec<u8>>> {
        while let Some(part) = self.next_part() {
            if self.takes_dots(&part)? {
                continue;
            }
            if self.is_last(&part) {
                return Ok(Some(self.take(part)));
            }
            if self.jump()? {
                continue;
            }
            let name = self.take(part);
            match self.open(&name) {
                Ok(fd) => self.push(&name, fd),
                Err(err) => self.follow(&name, err)?,
            }
        }
        Ok(None)
    }

    /// The handle of the directory that is reached.
    pub(super) fn here(&mut self) -> io::Result<BorrowedFd<'_>> {
        // A link may have led upwards, beyond the handles that are kept. The names on the path are
        // those of directories: if one of them is a link by now, this fails.
        while let Some(names) = self.path.get(self.handle_end() + 1..) {
            let size = match self.jumps {
                true if names.len() <= LONGEST => names.len(),
                true => memchr::memrchr(b'/', &names[..LONGEST]).unwrap_or(names.len()),
                false => memchr::memchr(b'/', names).unwrap_or(names.len()),
            };
            let end = self.handle_end() + 1 + size;
            let names = names[..size].to_vec();
            let fd = match self.jumps {
                true => self.open_all(&names)?,
                false => self.open_one(&names)?,
            };
            self.keep(end, fd);
        }
        Ok(self.handle())
    }

    /// The handle of the directory that is reached, `None` for the root, and its path.
    pub(super) fn end(mut self) -> io::Result<(Option<OwnedFd>, Vec<u8>)> {
        self.here()?;
        let handle = match self.path.is_empty() {
            true => None,
            false => self.handles.pop().map(|(_, fd)| fd),
        };
        Ok((handle, self.path))
    }

    /// Resolves all of the path. Names that do not exist, and links beyond the number that is
    /// followed, are kept as they are.
    ///
    /// # Errors
    /// A name may exist, and cannot be looked up: no descriptor is left, or the tree was changed
    /// meanwhile.
    pub(super) fn resolve(mut self) -> io::Result<Real> {
        // The length of the path of the last directory that exists, if the walk is below it.
        let mut lost: Option<usize> = None;
        while let Some(part) = self.next_part() {
            if self.takes_dots(&part)? {
                lost = lost.filter(|end| *end < self.path.len());
                continue;
            }
            let (is_last, is_lost) = (self.is_last(&part), lost.is_some());
            if is_lost || self.followed > MAX_LINKS {
                let name = self.take(part);
                self.push_name(&name);
                continue;
            }
            if !is_last && self.jump()? {
                continue;
            }
            let name = self.take(part);
            let mut found = Err(errno(libc::ELOOP));
            if !is_last {
                found = self.open(&name);
            }
            let target = match found {
                Ok(fd) => {
                    self.push(&name, fd);
                    continue;
                }
                Err(err) if may_be_link(&err) => self.read_link(&name),
                Err(err) => Err(err),
            };
            match target {
                Err(err) if hides(&err) => return Err(err),
                Ok(target) if self.followed < MAX_LINKS && self.has_room_for(&target) => {
                    self.followed += 1;
                    self.follow_to(&target)?;
                }
                other => {
                    if other.is_ok() {
                        self.followed = MAX_LINKS + 1;
                    }
                    lost = Some(self.path.len());
                    self.push_name(&name);
                }
            }
        }
        let looped = self.followed > MAX_LINKS;
        if self.path.is_empty() {
            self.path.push(b'/');
        }
        Ok(Real {
            path: PathBuf::from(OsString::from_vec(self.path)),
            looped,
        })
    }

    /// Follows the link `name`, whose open has failed with `err`.
    ///
    /// # Errors
    /// `err` if it is none. `ELOOP` if links are refused or are too many, `EXDEV` if it is
    /// absolute.
    pub(super) fn follow(&mut self, name: &[u8], err: io::Error) -> io::Result<()> {
        if !may_be_link(&err) {
            return Err(err);
        }
        self.followed += 1;
        let refuses = self.links == Links::Refuse;
        if self.followed > MAX_LINKS || (refuses && is_loop(&err)) {
            return Err(errno(libc::ELOOP));
        }
        match self.read_link(name) {
            Ok(_) if refuses => Err(errno(libc::ELOOP)),
            Ok(target) if !self.has_room_for(&target) => Err(errno(libc::ELOOP)),
            Ok(target) => self.follow_to(&target),
            // The open has found a link, and it is not there any more: try this name again.
            Err(_) if is_loop(&err) => {
                self.go_on_to(name);
                Ok(())
            }
            Err(_) => Err(err),
        }
    }

    /// Whether the names of a link may be added to those of the other links.
    fn has_room_for(&mut self, target: &[u8]) -> bool {
        self.added += memchr::memchr_iter(b'/', target).count() + 1;
        self.added <= MAX_ADDED
    }

    /// Goes on to the target of a link, from the directory that is reached.
    fn follow_to(&mut self, target: &[u8]) -> io::Result<()> {
        if target.starts_with(b"/") {
            if self.above == Above::Fails {
                return Err(errno(libc::EXDEV));
            }
            self.path.clear();
            self.handles.clear();
        }
        self.go_on_to(target);
        Ok(())
    }

    /// Puts names before the others. A final `/` demands a directory, so it is taken as `/.`.
    fn go_on_to(&mut self, names: &[u8]) {
        let mut rest = names.to_vec();
        if rest.ends_with(b"/") {
            rest.push(b'.');
        }
        if self.at < self.rest.len() {
            rest.push(b'/');
            rest.extend_from_slice(&self.rest[self.at..]);
        }
        self.rest = rest;
        self.stuck = 0;
        self.go_to(0);
    }

    /// The next name begins at `at`, or after the slashes there.
    fn go_to(&mut self, at: usize) {
        let slashes = self.rest[at..].iter().take_while(|byte| **byte == b'/');
        self.at = at + slashes.count();
    }

    /// The next name.
    fn next_part(&self) -> Option<Range<usize>> {
        let rest = &self.rest[self.at..];
        let size = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        (size > 0).then_some(self.at..self.at + size)
    }

    fn is_last(&self, part: &Range<usize>) -> bool {
        part.end == self.rest.len()
    }

    fn take(&mut self, part: Range<usize>) -> Vec<u8> {
        self.go_to(part.end);
        self.rest[part].to_vec()
    }

    /// Takes a `.` or a `..`. Returns whether the next name is one.
    fn takes_dots(&mut self, part: &Range<usize>) -> io::Result<bool> {
        let is_above = match &self.rest[part.clone()] {
            b"." => false,
            b".." => true,
            _ => return Ok(false),
        };
        self.go_to(part.end);
        if !is_above {
            return Ok(true);
        }
        match memchr::memrchr(b'/', &self.path) {
            Some(parent) => {
                self.path.truncate(parent);
                self.handles.retain(|(end, _)| *end <= parent);
            }
            None if self.above == Above::Fails => return Err(errno(libc::EXDEV)),
            None => {}
        }
        Ok(true)
    }

    /// Enters as many directories as one call can. Returns false if the next one must be entered
    /// alone. Where a link or a missing name is in the way, half of the names are tried, and so
    /// on.
    fn jump(&mut self) -> io::Result<bool> {
        while let Some(end) = self.jump_end() {
            let names = self.rest[self.at..end].to_vec();
            self.here()?;
            match self.open_all(&names) {
                Ok(fd) => {
                    self.push(&names, fd);
                    self.go_to(end);
                    return Ok(true);
                }
                Err(err) if matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.jumps = false;
                }
                Err(_) => self.stuck = end,
            }
        }
        Ok(false)
    }

    /// The end of the names that one call may look up: at least two of them, and not the last.
    fn jump_end(&self) -> Option<usize> {
        if !self.jumps {
            return None;
        }
        let longest = match self.stuck > self.at {
            true => (self.stuck - self.at) / 2,
            false => LONGEST,
        };
        let rest = &self.rest[self.at..];
        let (mut end, mut next, mut count) = (0, 0, 0);
        while let Some(size) = memchr::memchr(b'/', &rest[next..]) {
            let is_plain = !matches!(&rest[next..next + size], b"" | b"." | b"..");
            if !is_plain || next + size > longest {
                break;
            }
            end = next + size;
            next = end + 1;
            count += 1;
        }
        (count > 1).then_some(self.at + end)
    }

    /// Opens a directory in the one that is reached. A link fails.
    fn open(&mut self, name: &[u8]) -> io::Result<OwnedFd> {
        self.here()?;
        self.open_one(name)
    }

    /// Opens a directory from the last handle. A link fails.
    fn open_one(&mut self, name: &[u8]) -> io::Result<OwnedFd> {
        self.count_call();
        sys::openat(self.handle(), name, DIRECTORY | libc::O_NOFOLLOW, 0)
    }

    /// Opens a directory by several names, from the last handle. A link fails.
    fn open_all(&mut self, names: &[u8]) -> io::Result<OwnedFd> {
        self.count_call();
        sys::openat_beneath(self.handle(), names, DIRECTORY, 0, false)
    }

    fn read_link(&mut self, name: &[u8]) -> io::Result<Vec<u8>> {
        self.count_call();
        sys::readlinkat(self.here()?, name)
    }

    fn push(&mut self, name: &[u8], fd: OwnedFd) {
        self.push_name(name);
        self.keep(self.path.len(), fd);
    }

    fn push_name(&mut self, name: &[u8]) {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
    }

    fn keep(&mut self, end: usize, fd: OwnedFd) {
        if self.handles.len() == HANDLES {
            self.handles.remove(0);
        }
        self.handles.push((end, fd));
    }

    /// The length of the path that the last handle has.
    fn handle_end(&self) -> usize {
        self.handles.last().map_or(0, |(end, _)| *end)
    }

    fn handle(&self) -> BorrowedFd<'_> {
        self.handles.last().map_or(self.root, |(_, fd)| fd.as_fd())
    }

    fn count_call(&mut self) {
        #[cfg(test)]
        {
            self.calls += 1;
        }
    }
}

/// Whether this may be the error of an open with `O_NOFOLLOW` that has found a link.
pub(super) fn may_be_link(err: &io::Error) -> bool {
    is_loop(err) || err.raw_os_error() == Some(libc::ENOTDIR)
}

/// Whether this is `ELOOP`, or `EMLINK`, which FreeBSD returns in its place.
fn is_loop(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ELOOP | libc::EMLINK))
}

/// Whether a name may exist although it was not found.
fn hides(err: &io::Error) -> bool {
    match err.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => true,
        // Without O_PATH, a directory that may be searched and not read cannot be opened.
        Some(libc::EACCES) => sys::O_PATH & libc::O_NONBLOCK != 0,
        _ => false,
    }
}

pub(super) fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// Opens a handle of a directory, to act on the names in it.
const DIRECTORY: c_int = sys::O_PATH | libc::O_DIRECTORY;
/// How many links one look-up follows: as many as the Linux kernel does.
pub(super) const MAX_LINKS: usize = 40;
/// How many names all links of one look-up add: each may take a call.
const MAX_ADDED: usize = 4096;
/// How many bytes of names one call looks up. The kernel takes less than 4,096.
const LONGEST: usize = 4000;
/// How many handles of directories above the one that is reached are kept.
const HANDLES: usize = 16;

#[cfg(test)]
mod tests;
