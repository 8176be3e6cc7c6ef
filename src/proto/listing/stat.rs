//! What a listing tells of a file, and a file system knows.

/// The attributes of a file, as `struct stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// Number of links.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, in whole seconds since 1970.
    pub mtime: i64,
    /// Device.
    pub dev: u64,
    /// Number of the file on its device.
    pub ino: u64,
}

impl Stat {
    const TYPE: u32 = 0o170_000;

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & Self::TYPE == 0o100_000
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & Self::TYPE == 0o040_000
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode & Self::TYPE == 0o120_000
    }
}
