//! The facts of MLSD and MLST: which ones are shown, and the value of `perm`.

use std::fmt;

use super::stat::Stat;
use crate::proto::perm::{Perm, Perms};

/// The facts that a client has chosen for MLSD and MLST, and the permissions for the fact `perm`.
///
/// The default facts are pyftpdlib's: type, perm, size, modify and unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MlsxFacts {
    shown: u8,
    perms: Perms,
}

impl MlsxFacts {
    /// Returns the same facts with the permissions of a user.
    #[must_use]
    pub fn with_perms(self, perms: Perms) -> Self {
        Self { perms, ..self }
    }

    /// Chooses facts by the argument of `OPTS MLST` (RFC 3659 §7.9), such as `Type;Size;`. Unknown
    /// facts are ignored. An empty argument hides all facts.
    ///
    /// Returns the text that follows `200 MLST OPTS `: the facts in the order of the argument,
    /// `type;size;`.
    ///
    /// # Errors
    ///
    /// [`InvalidFacts`] if the argument is not empty and has no `;`. Nothing changes then.
    pub fn select(&mut self, arg: &str) -> Result<String, InvalidFacts> {
        if !arg.is_empty() && !arg.contains(';') {
            return Err(InvalidFacts);
        }
        self.shown = 0;
        let mut accepted = String::new();
        for name in arg.split(';') {
            let found = Fact::FEAT
                .into_iter()
                .find(|fact| fact.name().eq_ignore_ascii_case(name));
            // A fact that is named twice is in the reply twice, as in pyftpdlib.
            if let Some(fact) = found {
                self.shown |= fact.bit();
                accepted.push_str(fact.name());
                accepted.push(';');
            }
        }
        Ok(accepted)
    }

    /// Returns the text that follows `MLST ` in the reply to FEAT (RFC 3659 §7.8): all facts, with
    /// a `*` after those that are shown: `type*;perm*;size*;modify*;unique*;unix.mode;`.
    #[must_use]
    pub fn feat(&self) -> String {
        let mut list = String::new();
        for fact in Fact::FEAT {
            list.push_str(fact.name());
            list.push_str(if self.shows(fact) { "*;" } else { ";" });
        }
        list
    }

    pub(super) fn shows(self, fact: Fact) -> bool {
        self.shown & fact.bit() != 0
    }

    /// Appends the value of `perm` (RFC 3659 §7.5.5), which follows from pyftpdlib's letters.
    pub(super) fn push_perm(self, stat: &Stat, out: &mut Vec<u8>) {
        let is_dir = stat.is_dir();
        let hidden = match is_dir {
            true => "arw",
            // A link that leads nowhere can only be deleted and renamed.
            false if stat.is_symlink() => "celmparwMT",
            false => "celmp",
        };
        for perm in self.perms.iter() {
            let letter = perm.letter();
            // A letter is one byte in any encoding of the wire.
            if let (false, Ok(byte)) = (hidden.contains(letter), u8::try_from(letter)) {
                out.push(byte);
            }
        }
        if !is_dir {
            return;
        }
        // c: files may be created in the directory; p: its entries may be deleted.
        if [Perm::Write, Perm::Append, Perm::Rename]
            .iter()
            .any(|perm| self.perms.has(*perm))
        {
            out.push(b'c');
        }
        if self.perms.has(Perm::Delete) {
            out.push(b'p');
        }
    }
}

impl Default for MlsxFacts {
    fn default() -> Self {
        let shown = [
            Fact::Type,
            Fact::Perm,
            Fact::Size,
            Fact::Modify,
            Fact::Unique,
        ];
        Self {
            shown: shown.into_iter().fold(0, |bits, fact| bits | fact.bit()),
            perms: Perms::NONE,
        }
    }
}

/// The error of an argument of `OPTS MLST` that is no list of facts. Its `Display` follows `501 `
/// in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidFacts;

impl fmt::Display for InvalidFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid argument")
    }
}

impl std::error::Error for InvalidFacts {}

/// A fact of RFC 3659 §7.5, or one of the UNIX facts that other servers show, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Modify,
    Perm,
    Size,
    Type,
    Unique,
    UnixGid,
    UnixMode,
    UnixUid,
}

impl Fact {
    /// The facts in the order of a line.
    pub(super) const SORTED: [Self; 8] = [
        Self::Modify,
        Self::Perm,
        Self::Size,
        Self::Type,
        Self::Unique,
        Self::UnixGid,
        Self::UnixMode,
        Self::UnixUid,
    ];

    /// The facts in the order of pyftpdlib's reply to FEAT.
    const FEAT: [Self; 8] = [
        Self::Type,
        Self::Perm,
        Self::Size,
        Self::Modify,
        Self::Unique,
        Self::UnixMode,
        Self::UnixUid,
        Self::UnixGid,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Modify => "modify",
            Self::Perm => "perm",
            Self::Size => "size",
            Self::Type => "type",
            Self::Unique => "unique",
            Self::UnixGid => "unix.gid",
            Self::UnixMode => "unix.mode",
            Self::UnixUid => "unix.uid",
        }
    }
}
