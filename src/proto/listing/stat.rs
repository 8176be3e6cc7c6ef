//! The attributes of a file that listings show.

/// The attributes of a file, as `struct stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u64,
    /// User number of the owner.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last modification, in whole seconds since 1970.
    pub mtime: i64,
    /// Number of the device.
    pub dev: u64,
    /// Number of the file on its device.
    pub ino: u64,
}

impl Stat {
    const TYPE: u32 = 0o170_000;

    /// A file that everybody may read, for a file system that is not on the disk. `mtime` is in
    /// seconds since 1970.
    #[must_use]
    pub fn file(size: u64, mtime: i64) -> Self {
        Self {
            mode: 0o100_444,
            nlink: 1,
            size,
            mtime,
            ..Self::default()
        }
    }

    /// A directory that everybody may read, as [`file`](Self::file).
    #[must_use]
    pub fn dir(mtime: i64) -> Self {
        Self {
            mode: 0o040_555,
            ..Self::file(0, mtime)
        }
    }

    /// Whether this is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & Self::TYPE == 0o100_000
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & Self::TYPE == 0o040_000
    }

    /// Whether this is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode & Self::TYPE == 0o120_000
    }
}
