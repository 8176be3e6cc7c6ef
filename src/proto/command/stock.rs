//! The stock commands, one to a row.

use std::borrow::Cow;

use super::entry::{Arg, ArgKind, ProtoCmd, Role};
use crate::proto::perm::Perm;

/// A stock command.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    perm: Option<Perm>,
    auth: bool,
    arg: Arg,
    pub(super) kind: ArgKind,
    pub(super) role: Role,
    help: &'static str,
}

impl Row {
    /// Whether the stock command takes a path.
    pub(super) fn takes_path(&self) -> bool {
        self.perm.is_some()
    }

    /// The public part of the row.
    pub(super) fn cmd(&self) -> ProtoCmd {
        ProtoCmd {
            perm: self.perm,
            auth: self.auth,
            arg: self.arg,
            help: Cow::Borrowed(self.help),
        }
    }
}

/// The row of a stock command, those of TLS included.
pub(super) fn row(name: &str) -> Option<&'static Row> {
    STOCK.iter().chain(&TLS).find(|row| row.name == name)
}

/// A row to a line: `name [permission] login argument kind role help`.
macro_rules! rows {
    ($($name:literal [$($perm:ident)?] $auth:ident $arg:ident $kind:ident $role:ident $help:literal)*) => {
        [$(Row {
            name: $name,
            perm: rows!(@ $($perm)?),
            auth: rows!(@@ $auth),
            arg: Arg::$arg,
            kind: ArgKind::$kind,
            role: Role::$role,
            help: $help,
        }),*]
    };
    (@) => { None };
    (@ $perm:ident) => { Some(Perm::$perm) };
    (@@ user) => { true };
    (@@ anyone) => { false };
}

/// The commands of pyftpdlib 2.2, with its help texts.
pub(super) static STOCK: [Row; 47] = rows! {
    "ABOR"       []          user   Forbidden Text        Interrupts "Syntax: ABOR (abort transfer)."
    "ALLO"       []          user   Required  Text        Other      "Syntax: ALLO <SP> bytes (noop; allocate storage)."
    "APPE"       [Append]    user   Required  Existing    Transfers  "Syntax: APPE <SP> file-name (append data to file)."
    "CDUP"       [ChangeDir] user   Forbidden Parent      Other      "Syntax: CDUP (go to parent directory)."
    "CWD"        [ChangeDir] user   Optional  Directory   Other      "Syntax: CWD [<SP> dir-name] (change working directory)."
    "DELE"       [Delete]    user   Required  Entry       Other      "Syntax: DELE <SP> file-name (delete file)."
    "EPRT"       []          user   Required  Text        Connects   "Syntax: EPRT <SP> |proto|ip|port| (extended active mode)."
    "EPSV"       []          user   Optional  Text        Connects   "Syntax: EPSV [<SP> proto/\"ALL\"] (extended passive mode)."
    "FEAT"       []          anyone Forbidden Text        Other      "Syntax: FEAT (list all new features supported)."
    "HELP"       []          anyone Optional  Text        Other      "Syntax: HELP [<SP> cmd] (show help)."
    "LIST"       [List]      user   Optional  Listing     Transfers  "Syntax: LIST [<SP> path] (list files)."
    "MDTM"       [List]      user   Required  Existing    Other      "Syntax: MDTM [<SP> path] (file last modification time)."
    "MFMT"       [Mtime]     user   Required  TimeAndPath Other      "Syntax: MFMT <SP> timeval <SP> path (file update last modification time)."
    "MLSD"       [List]      user   Optional  Existing    Transfers  "Syntax: MLSD [<SP> path] (list directory)."
    "MLST"       [List]      user   Optional  Entry       Other      "Syntax: MLST [<SP> path] (show information about path)."
    "MODE"       []          user   Required  Text        Other      "Syntax: MODE <SP> mode (noop; set data transfer mode)."
    "MKD"        [Mkdir]     user   Required  New         Other      "Syntax: MKD <SP> path (create directory)."
    "NLST"       [List]      user   Optional  Listing     Transfers  "Syntax: NLST [<SP> path] (list path in a compact form)."
    "NOOP"       []          anyone Forbidden Text        Other      "Syntax: NOOP (just do nothing)."
    "OPTS"       []          anyone Required  Text        Other      "Syntax: OPTS <SP> cmd [<SP> option] (set option for command)."
    "PASS"       []          anyone Optional  Text        LogsIn     "Syntax: PASS [<SP> password] (set user password)."
    "PASV"       []          user   Forbidden Text        Connects   "Syntax: PASV (open passive data connection)."
    "PORT"       []          user   Required  Text        Connects   "Syntax: PORT <sp> h,h,h,h,p,p (open active data connection)."
    "PWD"        []          user   Forbidden Text        Other      "Syntax: PWD (get current working directory)."
    "QUIT"       []          anyone Forbidden Text        Interrupts "Syntax: QUIT (quit current session)."
    "REIN"       []          user   Forbidden Text        Other      "Syntax: REIN (flush account)."
    "REST"       []          user   Required  Text        Other      "Syntax: REST <SP> offset (set file offset)."
    "RETR"       [Read]      user   Required  File        Transfers  "Syntax: RETR <SP> file-name (retrieve a file)."
    "RMD"        [Delete]    user   Required  Existing    Other      "Syntax: RMD <SP> dir-name (remove directory)."
    "RNFR"       [Rename]    user   Required  Entry       Other      "Syntax: RNFR <SP> file-name (rename (source name))."
    "RNTO"       [Rename]    user   Required  Target      Other      "Syntax: RNTO <SP> file-name (rename (destination name))."
    "SITE"       []          anyone Required  Text        Other      "Syntax: SITE <SP> site-command (execute SITE command)."
    "SITE HELP"  []          anyone Optional  Text        Other      "Syntax: SITE HELP [<SP> cmd] (show SITE command help)."
    "SITE CHMOD" [Chmod]     user   Required  ModeAndPath Other      "Syntax: SITE CHMOD <SP> mode path (change file mode)."
    "SIZE"       [List]      user   Required  File        Other      "Syntax: SIZE <SP> file-name (get file size)."
    "STAT"       [List]      anyone Optional  Status      Inquires   "Syntax: STAT [<SP> path name] (server stats [list files])."
    "STOR"       [Write]     user   Required  New         Transfers  "Syntax: STOR <SP> file-name (store a file)."
    "STOU"       [Write]     user   Optional  Name        Transfers  "Syntax: STOU [<SP> name] (store a file with a unique name)."
    "STRU"       []          user   Required  Text        Other      "Syntax: STRU <SP> type (noop; set file structure)."
    "SYST"       []          anyone Forbidden Text        Other      "Syntax: SYST (get operating system type)."
    "TYPE"       []          user   Required  Text        Other      "Syntax: TYPE <SP> [A | I] (set transfer type)."
    "USER"       []          anyone Required  Text        LogsIn     "Syntax: USER <SP> user-name (set username)."
    "XCUP"       [ChangeDir] user   Forbidden Parent      Other      "Syntax: XCUP (obsolete; go to parent directory)."
    "XCWD"       [ChangeDir] user   Optional  Directory   Other      "Syntax: XCWD [<SP> dir-name] (obsolete; change directory)."
    "XMKD"       [Mkdir]     user   Required  New         Other      "Syntax: XMKD <SP> dir-name (obsolete; create directory)."
    "XPWD"       []          user   Forbidden Text        Other      "Syntax: XPWD (obsolete; get current dir)."
    "XRMD"       [Delete]    user   Required  Existing    Other      "Syntax: XRMD <SP> dir-name (obsolete; remove directory)."
};

/// The commands of a server with TLS, with pyftpdlib's help texts.
pub(super) static TLS: [Row; 3] = rows! {
    "AUTH"       []          anyone Required  Text        Secures    "Syntax: AUTH <SP> TLS|SSL (set up secure control channel)."
    "PBSZ"       []          anyone Required  Text        Other      "Syntax: PBSZ <SP> 0 (negotiate TLS buffer)."
    "PROT"       []          anyone Required  Text        Protects   "Syntax: PROT <SP> [C|P] (set up un/secure data channel)."
};
