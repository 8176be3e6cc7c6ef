//! The commands, and what a line says before its command looks at it.

/// What a command wants: pyftpdlib's `proto_cmds`.
#[derive(Debug)]
pub struct Verb {
    pub name: &'static str,
    pub perm: Option<char>,
    pub auth: bool,
    pub arg: Arg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    Must,
    May,
    None,
}

const fn verb(name: &'static str, perm: Option<char>, auth: bool, arg: Arg) -> Verb {
    Verb {
        name,
        perm,
        auth,
        arg,
    }
}

use Arg::{May, Must};

pub const VERBS: &[Verb] = &[
    verb("ABOR", None, true, Arg::None),
    verb("ALLO", None, true, Must),
    verb("APPE", Some('a'), true, Must),
    verb("CDUP", Some('e'), true, Arg::None),
    verb("CWD", Some('e'), true, May),
    verb("DELE", Some('d'), true, Must),
    verb("EPRT", None, true, Must),
    verb("EPSV", None, true, May),
    verb("FEAT", None, false, Arg::None),
    verb("HELP", None, false, May),
    verb("LIST", Some('l'), true, May),
    verb("MDTM", Some('l'), true, Must),
    verb("MFMT", Some('T'), true, Must),
    verb("MLSD", Some('l'), true, May),
    verb("MLST", Some('l'), true, May),
    verb("MODE", None, true, Must),
    verb("MKD", Some('m'), true, Must),
    verb("NLST", Some('l'), true, May),
    verb("NOOP", None, false, Arg::None),
    verb("OPTS", None, true, Must),
    verb("PASS", None, false, May),
    verb("PASV", None, true, Arg::None),
    verb("PORT", None, true, Must),
    verb("PWD", None, true, Arg::None),
    verb("QUIT", None, false, Arg::None),
    verb("REIN", None, true, Arg::None),
    verb("REST", None, true, Must),
    verb("RETR", Some('r'), true, Must),
    verb("RMD", Some('d'), true, Must),
    verb("RNFR", Some('f'), true, Must),
    verb("RNTO", Some('f'), true, Must),
    verb("SITE", None, false, Must),
    verb("SITE HELP", None, false, May),
    verb("SITE CHMOD", Some('M'), true, Must),
    verb("SIZE", Some('l'), true, Must),
    verb("STAT", Some('l'), false, May),
    verb("STOR", Some('w'), true, Must),
    verb("STOU", Some('w'), true, May),
    verb("STRU", None, true, Must),
    verb("SYST", None, false, Arg::None),
    verb("TYPE", None, true, Must),
    verb("USER", None, false, Must),
    verb("XCUP", Some('e'), true, Arg::None),
    verb("XCWD", Some('e'), true, May),
    verb("XMKD", Some('m'), true, Must),
    verb("XPWD", None, true, Arg::None),
    verb("XRMD", Some('d'), true, Must),
];

/// The commands of a server with TLS.
const TLS_VERBS: &[Verb] = &[
    verb("AUTH", None, false, Must),
    verb("PBSZ", None, false, Must),
    verb("PROT", None, false, Must),
];

/// The names of all commands of a server without TLS, without those of SITE.
pub fn names() -> impl Iterator<Item = &'static str> {
    let names = VERBS.iter().map(|verb| verb.name);
    names.filter(|name| !name.contains(' '))
}

/// A line, taken apart as pyftpdlib does it.
#[derive(Debug)]
pub struct Line<'a> {
    /// `None`: no such command.
    pub verb: Option<&'static Verb>,
    pub arg: &'a [u8],
}

pub fn find(name: &[u8], tls: bool) -> Option<&'static Verb> {
    let known = |verb: &&Verb| verb.name.as_bytes().eq_ignore_ascii_case(name);
    let with_tls = TLS_VERBS.iter().filter(|_| tls);
    VERBS.iter().chain(with_tls).find(known)
}

pub fn parse(line: &[u8], tls: bool) -> Line<'_> {
    let (first, arg) = cut(line);
    let mut found = find(first, tls);
    let mut rest = arg;
    if first.eq_ignore_ascii_case(b"SITE") && !arg.is_empty() {
        let (second, arg) = cut(arg);
        let name = [b"SITE ", second].concat();
        found = find(&name, tls);
        rest = arg;
    }
    // Telnet's bytes before a command that interrupts.
    let last = &first[first.len().saturating_sub(4)..];
    let urgent = ["ABOR", "STAT", "QUIT"];
    if found.is_none()
        && urgent
            .iter()
            .any(|name| last.eq_ignore_ascii_case(name.as_bytes()))
    {
        found = find(last, tls);
    }
    Line {
        verb: found,
        arg: rest,
    }
}

fn cut(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

/// The transfers, whose refusal forgets the position of REST.
pub fn is_transfer_of_file(name: &str) -> bool {
    matches!(name, "RETR" | "STOR" | "APPE" | "STOU")
}

/// Commands that use the data connection, and so wait for a transfer in progress.
pub fn needs_data(name: &str) -> bool {
    let ways = matches!(name, "PASV" | "EPSV" | "PORT" | "EPRT");
    ways || is_transfer_of_file(name) || matches!(name, "LIST" | "NLST" | "MLSD" | "AUTH")
}
