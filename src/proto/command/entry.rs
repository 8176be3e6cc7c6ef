//! What the table says about one command.

use std::borrow::Cow;

use crate::proto::perm::Perm;

/// Whether a command takes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// The command must have an argument, else the reply is 501.
    Required,
    /// The command must not have an argument, else the reply is 501.
    Forbidden,
    /// The command may have an argument.
    Optional,
}

/// What the server must know about a command before it runs: an entry of pyftpdlib's
/// `proto_cmds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoCmd {
    /// The permission that the command needs. A command with a permission takes a path; the
    /// reply is 550 if the user lacks the permission or the path leads outside the home.
    pub perm: Option<Perm>,
    /// Whether the user must be logged in, else the reply is 530.
    pub auth: bool,
    /// Whether the command takes an argument.
    pub arg: Arg,
    /// The text of the reply to `HELP <name>`, such as `Syntax: NOOP (just do nothing).`.
    pub help: Cow<'static, str>,
}

/// What the argument of a command is, and which value stands for a missing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArgKind {
    /// Text, which the command interprets.
    Text,
    /// The name of a file that the server makes unique (STOU).
    Name,
    /// The path of something that exists. A missing one is the current directory.
    Existing,
    /// As `Existing`; the stock command opens it by one look-up, which cannot leave the home
    /// (RETR, SIZE).
    File,
    /// The name of something that exists, which the command does not follow if it is a link (DELE).
    Entry,
    /// The path of something that the command makes.
    New,
    /// The new name of something (RNTO): a link that has the name is replaced, and not followed.
    Target,
    /// The path of a directory. A missing one is the user's root (CWD).
    Directory,
    /// Always the parent directory (CDUP).
    Parent,
    /// As `Existing`, with flags of `ls` before it, which are dropped (LIST, NLST).
    Listing,
    /// As `Listing`, but no patterns, and without an argument the command is about
    /// the session and needs neither a path nor a login (STAT).
    Status,
    /// A mode, a space, and the path of something that exists (SITE CHMOD).
    ModeAndPath,
    /// A time, a space, and the path of something that exists (MFMT).
    TimeAndPath,
}

impl ArgKind {
    /// The kind of a command that is not in the stock table.
    pub(super) fn of_custom(cmd: &ProtoCmd) -> Self {
        match cmd.perm {
            Some(_) => Self::Existing,
            None => Self::Text,
        }
    }

    /// Whether the path names something that exists, so that the name may be one that a
    /// listing has shown. (STOR makes a file of exactly the given name, also if it replaces
    /// one.)
    pub(crate) fn must_exist(self) -> bool {
        !matches!(
            self,
            Self::Text | Self::Name | Self::New | Self::Target | Self::Parent
        )
    }

    /// Whether the path names a link itself, and not what it leads to.
    pub(crate) fn is_of_the_name(self) -> bool {
        matches!(self, Self::Entry | Self::Target)
    }
}

/// The part that a command plays in the login or on the data connection. It decides whether
/// the command must wait, which TLS policy applies to it, and whether it may follow Telnet's
/// signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// None of those below.
    Other,
    /// Sends a credential: USER, PASS.
    LogsIn,
    /// Ends what is in progress, and so never waits for it: ABOR, QUIT.
    Interrupts,
    /// Asks about what is in progress: STAT.
    Inquires,
    /// Makes a data connection: PASV, EPSV, PORT, EPRT.
    Connects,
    /// Sends or receives on the data connection.
    Transfers,
    /// Decides whether data connections are under TLS: PROT.
    Protects,
    /// Puts the control connection under TLS: AUTH.
    Secures,
}

impl Role {
    /// Whether clients send the command during a transfer, after Telnet's IP and Synch.
    pub(super) fn is_urgent(self) -> bool {
        matches!(self, Self::Interrupts | Self::Inquires)
    }
}
