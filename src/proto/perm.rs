//! Permissions, as letters of pyftpdlib's `elradfmwMT` and as a set. The permissions of each user
//! are not known here.

use std::fmt;
use std::str::FromStr;

use crate::error::AuthorizerError;

/// One permission, a letter of pyftpdlib's `elradfmwMT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Perm {
    /// `e`: change directory (CWD, CDUP).
    ChangeDir = 1,
    /// `l`: list files (LIST, NLST, STAT, MLSD, MLST, SIZE, MDTM).
    List = 1 << 1,
    /// `r`: retrieve files (RETR).
    Read = 1 << 2,
    /// `a`: append to files (APPE).
    Append = 1 << 3,
    /// `d`: delete files and directories (DELE, RMD).
    Delete = 1 << 4,
    /// `f`: rename (RNFR, RNTO). To replace a file takes `d`, too.
    Rename = 1 << 5,
    /// `m`: make directories (MKD).
    Mkdir = 1 << 6,
    /// `w`: store files (STOR, STOU).
    Write = 1 << 7,
    /// `M`: change modes (SITE CHMOD).
    Chmod = 1 << 8,
    /// `T`: change times (MFMT).
    Mtime = 1 << 9,
}

impl Perm {
    /// All permissions, in the order of pyftpdlib's letters.
    pub const ALL: [Self; 10] = [
        Self::ChangeDir,
        Self::List,
        Self::Read,
        Self::Append,
        Self::Delete,
        Self::Rename,
        Self::Mkdir,
        Self::Write,
        Self::Chmod,
        Self::Mtime,
    ];

    /// The letter of this permission.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::ChangeDir => 'e',
            Self::List => 'l',
            Self::Read => 'r',
            Self::Append => 'a',
            Self::Delete => 'd',
            Self::Rename => 'f',
            Self::Mkdir => 'm',
            Self::Write => 'w',
            Self::Chmod => 'M',
            Self::Mtime => 'T',
        }
    }

    /// Whether this permission lets a user change something.
    #[must_use]
    pub fn can_write(self) -> bool {
        Perms::NONE.with(self).can_write()
    }

    /// Finds the permission of a letter.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|perm| perm.letter() == letter)
    }
}

/// A set of permissions.
///
/// ```
/// use ftpdlib::authorizers::{Perm, Perms};
///
/// let perms = Perms::from_iter([Perm::List, Perm::Read]);
/// assert_eq!("rl".parse(), Ok(perms));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Perms(u16);

impl Perms {
    /// No permission.
    pub const NONE: Self = Self(0);
    /// `elr`, the permissions to read.
    pub const READ: Self = Self(0b111);
    /// `elradfmwMT`, all permissions.
    pub const ALL: Self = Self(0b11_1111_1111);

    /// Whether `perm` is in the set.
    #[must_use]
    pub fn has(self, perm: Perm) -> bool {
        self.0 & perm as u16 != 0
    }

    /// Returns the set with `perm` added.
    #[must_use]
    pub fn with(self, perm: Perm) -> Self {
        Self(self.0 | perm as u16)
    }

    /// Whether the set has a permission that lets a user change something.
    #[must_use]
    pub fn can_write(self) -> bool {
        self.0 & !Self::READ.0 != 0
    }

    /// The permissions of the set, in the order of pyftpdlib's letters.
    pub fn iter(self) -> impl Iterator<Item = Perm> {
        Perm::ALL.into_iter().filter(move |perm| self.has(*perm))
    }
}

impl FromIterator<Perm> for Perms {
    fn from_iter<I: IntoIterator<Item = Perm>>(perms: I) -> Self {
        perms.into_iter().fold(Self::NONE, Self::with)
    }
}

impl FromStr for Perms {
    type Err = AuthorizerError;

    fn from_str(letters: &str) -> Result<Self, Self::Err> {
        letters.chars().try_fold(Self::NONE, |perms, letter| {
            Perm::from_letter(letter)
                .map(|perm| perms.with(perm))
                .ok_or_else(|| AuthorizerError::new(format!("no such permission '{letter}'")))
        })
    }
}

impl fmt::Display for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|perm| write!(f, "{}", perm.letter()))
    }
}

impl fmt::Debug for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Perms({self})")
    }
}
