//! The table of commands, and a line taken apart into verb and argument.
//!
//! The table says what each command needs: a permission, a login, an argument. What
//! a command does is elsewhere, in `FTPHandler`.

use std::borrow::Cow;
use std::fmt;

use super::perm::Perm;
use super::reply::sanitize;

/// Whether a command takes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// It must have one, or 501 is the reply.
    Required,
    /// It must have none, or 501 is the reply.
    Forbidden,
    /// It may have one.
    Optional,
}

/// What the server must know of a command before it runs: an entry of pyftpdlib's
/// `proto_cmds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoCmd {
    /// The permission it needs; if any, its argument is a path, or 550 is the reply.
    pub perm: Option<Perm>,
    /// Whether one must have logged in, or 530 is the reply.
    pub auth: bool,
    /// Whether it takes an argument.
    pub arg: Arg,
    /// The answer to HELP with its name, such as `Syntax: NOOP (just do nothing).`.
    pub help: Cow<'static, str>,
}

/// The commands that a server knows, by name; those of pyftpdlib 2.2 to begin with.
///
/// Names are in upper case; a SITE command has both words, as in `SITE CHMOD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoCmds {
    /// Sorted by name: a look-up for each line of each client wants no allocation,
    /// and HELP wants them in this order.
    table: Vec<(Cow<'static, str>, ProtoCmd)>,
}

impl ProtoCmds {
    /// A command, by its name in upper case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ProtoCmd> {
        self.entry(name).map(|(_, cmd)| cmd)
    }

    /// A command with its name as the table holds it.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<(&str, &ProtoCmd)> {
        let at = self.position(name).ok()?;
        self.table.get(at).map(|(name, cmd)| (&**name, cmd))
    }

    /// Whether there is such a command, by its name in upper case.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Adds or replaces a command, and returns the one replaced. The name is put in
    /// upper case, as the client's verb will be.
    pub fn insert(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        cmd: ProtoCmd,
    ) -> Option<ProtoCmd> {
        let mut name = name.into();
        if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            name.to_mut().make_ascii_uppercase();
        }
        match self.position(&name) {
            Ok(at) => self
                .table
                .get_mut(at)
                .map(|(_, old)| std::mem::replace(old, cmd)),
            Err(at) => {
                self.table.insert(at, (name, cmd));
                None
            }
        }
    }

    /// Removes a command, which then gets 500 as any other unknown one.
    pub fn remove(&mut self, name: &str) -> Option<ProtoCmd> {
        let at = self.position(name).ok()?;
        Some(self.table.remove(at).1)
    }

    /// Adds AUTH, PBSZ and PROT (RFC 4217), unless they are there.
    pub fn insert_tls(&mut self) {
        for row in TLS {
            if !self.contains(row.0) {
                let (name, cmd) = entry(row);
                self.insert(name, cmd);
            }
        }
    }

    /// The commands, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ProtoCmd)> {
        self.table.iter().map(|(name, cmd)| (&**name, cmd))
    }

    /// The lines between the first and the last of the reply to HELP: eight names to
    /// a line, each after a blank and padded to six; without CRLF. SITE commands are
    /// left to SITE HELP.
    #[must_use]
    pub fn help_lines(&self) -> Vec<String> {
        let names: Vec<&str> = self
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with(SITE))
            .collect();
        names
            .chunks(8)
            .map(|row| row.iter().map(|name| format!(" {name:<6}")).collect())
            .collect()
    }

    /// The second words of the SITE commands, sorted, for SITE HELP.
    pub fn site_names(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|(name, _)| name.strip_prefix(SITE))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.table
            .binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Default for ProtoCmds {
    fn default() -> Self {
        let mut table: Vec<_> = STOCK.into_iter().map(entry).collect();
        table.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self { table }
    }
}

/// A command as the client sent it: `<verb> [SP <argument>]`, RFC 959 §4.1.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// The command in upper case; `SITE CHMOD` is one verb.
    pub verb: Cow<'a, str>,
    /// What follows the verb and exactly one space, to the last byte.
    pub arg: &'a [u8],
    /// The whole line, without its end.
    pub line: &'a [u8],
}

impl<'a> CommandLine<'a> {
    /// Takes a line apart, as pyftpdlib's `pre_process_command`. Every line has a
    /// verb, if an empty or unknown one.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Self {
        let mut end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let rest = line.get(end + 1..).unwrap_or_default();
        if !rest.is_empty()
            && line
                .get(..end)
                .is_some_and(|verb| verb.eq_ignore_ascii_case(b"SITE"))
        {
            end += 1 + memchr::memchr(b' ', rest).unwrap_or(rest.len());
        }
        Self {
            verb: upper(line.get(..end).unwrap_or_default()),
            arg: line.get(end + 1..).unwrap_or_default(),
            line,
        }
    }

    /// The entry of the table that the verb stands for, with its name.
    ///
    /// Clients should send ABOR, STAT and QUIT after Telnet's IP and Synch (RFC 959
    /// §4.1.3, RFC 854), and many send these in line, so that an unknown verb may end
    /// in one of the three: then it is that one, as in pyftpdlib.
    #[must_use]
    pub fn resolve<'t>(&self, cmds: &'t ProtoCmds) -> Option<(&'t str, &'t ProtoCmd)> {
        cmds.entry(&self.verb).or_else(|| {
            let urgent = ["ABOR", "STAT", "QUIT"];
            let name = urgent.into_iter().find(|name| self.verb.ends_with(name))?;
            cmds.entry(name)
        })
    }

    /// The line for the log: one line, and never a password, which becomes `******`.
    ///
    /// A PASS that is not quite one, after blanks or Telnet bytes or before a tab, is
    /// refused by the server but may well hold a password; so it is masked too.
    #[must_use]
    pub fn for_log(&self) -> Cow<'a, str> {
        let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
        let start = self.line.iter().position(is_letter).unwrap_or_default();
        let word = self.line.get(start..).unwrap_or_default();
        let end = word.iter().position(|byte| !is_letter(byte));
        let word = word.get(..end.unwrap_or(word.len())).unwrap_or_default();
        if word.eq_ignore_ascii_case(b"PASS") {
            return Cow::Owned(format!("{} {MASK}", String::from_utf8_lossy(word)));
        }
        match String::from_utf8_lossy(self.line) {
            Cow::Borrowed(line) => sanitize(line),
            Cow::Owned(line) => Cow::Owned(sanitize(&line).into_owned()),
        }
    }

    /// Whether the line may hold a password, whatever its verb is taken for.
    #[must_use]
    pub fn hides_password(&self) -> bool {
        self.for_log().ends_with(MASK)
    }
}

impl fmt::Debug for CommandLine<'_> {
    /// As the log has it: a derived one would show passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandLine({:?})", self.for_log())
    }
}

/// The argument of LIST, NLST or STAT without the flags of `ls` before it.
///
/// Clients send `LIST -la` as if there were a shell. A flag is `-` and then letters
/// or digits, up to a space or the end; the one space after it goes too. What
/// follows is a path, byte for byte: `-la  x` names a file ` x`.
#[must_use]
pub fn leading_flags(arg: &[u8]) -> &[u8] {
    let mut rest = arg;
    while let Some(after) = rest.strip_prefix(b"-") {
        let word = after.iter().take_while(|byte| byte.is_ascii_alphanumeric());
        let end = word.count();
        match after.get(end) {
            _ if end == 0 => return rest,
            None => return &[],
            Some(b' ') => rest = after.get(end + 1..).unwrap_or_default(),
            Some(_) => return rest,
        }
    }
    rest
}

/// The prefix of the names of SITE commands.
const SITE: &str = "SITE ";

fn upper(verb: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(verb);
    if verb.iter().any(u8::is_ascii_lowercase) {
        text.to_mut().make_ascii_uppercase();
    }
    text
}

/// Name, permission, login, argument, help.
type Row = (&'static str, Option<Perm>, bool, Arg, &'static str);

fn entry((name, perm, auth, arg, help): Row) -> (Cow<'static, str>, ProtoCmd) {
    let cmd = ProtoCmd {
        perm,
        auth,
        arg,
        help: Cow::Borrowed(help),
    };
    (Cow::Borrowed(name), cmd)
}

/// A row to a line: `name [permission] login argument help`.
macro_rules! rows {
    ($($name:literal [$($perm:ident)?] $auth:ident $arg:ident $help:literal)*) => {
        [$(($name, rows!(@ $($perm)?), rows!(@@ $auth), Arg::$arg, $help)),*]
    };
    (@) => { None };
    (@ $perm:ident) => { Some(Perm::$perm) };
    (@@ user) => { true };
    (@@ anyone) => { false };
}

/// The commands of pyftpdlib 2.2, with its help texts.
const STOCK: [Row; 47] = rows! {
    "ABOR"       []          user   Forbidden "Syntax: ABOR (abort transfer)."
    "ALLO"       []          user   Required  "Syntax: ALLO <SP> bytes (noop; allocate storage)."
    "APPE"       [Append]    user   Required  "Syntax: APPE <SP> file-name (append data to file)."
    "CDUP"       [ChangeDir] user   Forbidden "Syntax: CDUP (go to parent directory)."
    "CWD"        [ChangeDir] user   Optional  "Syntax: CWD [<SP> dir-name] (change working directory)."
    "DELE"       [Delete]    user   Required  "Syntax: DELE <SP> file-name (delete file)."
    "EPRT"       []          user   Required  "Syntax: EPRT <SP> |proto|ip|port| (extended active mode)."
    "EPSV"       []          user   Optional  "Syntax: EPSV [<SP> proto/\"ALL\"] (extended passive mode)."
    "FEAT"       []          anyone Forbidden "Syntax: FEAT (list all new features supported)."
    "HELP"       []          anyone Optional  "Syntax: HELP [<SP> cmd] (show help)."
    "LIST"       [List]      user   Optional  "Syntax: LIST [<SP> path] (list files)."
    "MDTM"       [List]      user   Required  "Syntax: MDTM [<SP> path] (file last modification time)."
    "MFMT"       [Mtime]     user   Required  "Syntax: MFMT <SP> timeval <SP> path (file update last modification time)."
    "MLSD"       [List]      user   Optional  "Syntax: MLSD [<SP> path] (list directory)."
    "MLST"       [List]      user   Optional  "Syntax: MLST [<SP> path] (show information about path)."
    "MODE"       []          user   Required  "Syntax: MODE <SP> mode (noop; set data transfer mode)."
    "MKD"        [Mkdir]     user   Required  "Syntax: MKD <SP> path (create directory)."
    "NLST"       [List]      user   Optional  "Syntax: NLST [<SP> path] (list path in a compact form)."
    "NOOP"       []          anyone Forbidden "Syntax: NOOP (just do nothing)."
    "OPTS"       []          anyone Required  "Syntax: OPTS <SP> cmd [<SP> option] (set option for command)."
    "PASS"       []          anyone Optional  "Syntax: PASS [<SP> password] (set user password)."
    "PASV"       []          user   Forbidden "Syntax: PASV (open passive data connection)."
    "PORT"       []          user   Required  "Syntax: PORT <sp> h,h,h,h,p,p (open active data connection)."
    "PWD"        []          user   Forbidden "Syntax: PWD (get current working directory)."
    "QUIT"       []          anyone Forbidden "Syntax: QUIT (quit current session)."
    "REIN"       []          user   Forbidden "Syntax: REIN (flush account)."
    "REST"       []          user   Required  "Syntax: REST <SP> offset (set file offset)."
    "RETR"       [Read]      user   Required  "Syntax: RETR <SP> file-name (retrieve a file)."
    "RMD"        [Delete]    user   Required  "Syntax: RMD <SP> dir-name (remove directory)."
    "RNFR"       [Rename]    user   Required  "Syntax: RNFR <SP> file-name (rename (source name))."
    "RNTO"       [Rename]    user   Required  "Syntax: RNTO <SP> file-name (rename (destination name))."
    "SITE"       []          anyone Required  "Syntax: SITE <SP> site-command (execute SITE command)."
    "SITE HELP"  []          anyone Optional  "Syntax: SITE HELP [<SP> cmd] (show SITE command help)."
    "SITE CHMOD" [Chmod]     user   Required  "Syntax: SITE CHMOD <SP> mode path (change file mode)."
    "SIZE"       [List]      user   Required  "Syntax: SIZE <SP> file-name (get file size)."
    "STAT"       [List]      anyone Optional  "Syntax: STAT [<SP> path name] (server stats [list files])."
    "STOR"       [Write]     user   Required  "Syntax: STOR <SP> file-name (store a file)."
    "STOU"       [Write]     user   Optional  "Syntax: STOU [<SP> name] (store a file with a unique name)."
    "STRU"       []          user   Required  "Syntax: STRU <SP> type (noop; set file structure)."
    "SYST"       []          anyone Forbidden "Syntax: SYST (get operating system type)."
    "TYPE"       []          user   Required  "Syntax: TYPE <SP> [A | I] (set transfer type)."
    "USER"       []          anyone Required  "Syntax: USER <SP> user-name (set username)."
    "XCUP"       [ChangeDir] user   Forbidden "Syntax: XCUP (obsolete; go to parent directory)."
    "XCWD"       [ChangeDir] user   Optional  "Syntax: XCWD [<SP> dir-name] (obsolete; change directory)."
    "XMKD"       [Mkdir]     user   Required  "Syntax: XMKD <SP> dir-name (obsolete; create directory)."
    "XPWD"       []          user   Forbidden "Syntax: XPWD (obsolete; get current dir)."
    "XRMD"       [Delete]    user   Required  "Syntax: XRMD <SP> dir-name (obsolete; remove directory)."
};

/// The commands of a server with TLS, with pyftpdlib's help texts.
const TLS: [Row; 3] = rows! {
    "AUTH"       []          anyone Required  "Syntax: AUTH <SP> TLS|SSL (set up secure control channel)."
    "PBSZ"       []          anyone Required  "Syntax: PBSZ <SP> 0 (negotiate TLS buffer)."
    "PROT"       []          anyone Required  "Syntax: PROT <SP> [C|P] (set up un/secure data channel)."
};

/// What stands for a password in the log.
const MASK: &str = "******";

/// Whether a command of the stock table sends or receives on the data connection.
pub(crate) fn transfers(verb: &str) -> bool {
    matches!(
        verb,
        "RETR" | "STOR" | "STOU" | "APPE" | "LIST" | "NLST" | "MLSD"
    )
}

/// Whether a command of the stock table makes a data connection.
pub(crate) fn connects(verb: &str) -> bool {
    matches!(verb, "PASV" | "EPSV" | "PORT" | "EPRT")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_stock_table() {
        let cmds = ProtoCmds::default();
        assert!(cmds.iter().is_sorted_by_key(|(name, _)| name));
        for (name, cmd) in cmds.iter() {
            let verb = cmd.help.strip_prefix("Syntax: ").unwrap();
            assert!(verb.starts_with(name), "{name}");
            assert_eq!(cmds.get(name), Some(cmd));
        }
        let stat = cmds.get("STAT").unwrap();
        assert_eq!((stat.perm, stat.auth), (Some(Perm::List), false));
        assert_eq!(cmds.get("ABOR").unwrap().arg, Arg::Forbidden);
        assert_eq!(cmds.get("noop"), None);
        assert!(!cmds.contains("SITE EXEC"));
        assert_eq!(cmds.site_names().collect::<Vec<_>>(), ["CHMOD", "HELP"]);
    }

    #[test]
    fn help_is_eight_to_a_line() {
        let lines = ProtoCmds::default().help_lines();
        assert_eq!(lines.len(), 6);
        assert_eq!(
            lines[0],
            " ABOR   ALLO   APPE   CDUP   CWD    DELE   EPRT   EPSV  "
        );
        assert_eq!(lines[5], " XCUP   XCWD   XMKD   XPWD   XRMD  ");
    }

    #[test]
    fn commands_come_and_go() {
        let mut cmds = ProtoCmds::default();
        let crc = ProtoCmd {
            perm: Some(Perm::Read),
            auth: true,
            arg: Arg::Required,
            help: "Syntax: XCRC <SP> path.".into(),
        };
        assert_eq!(cmds.insert("xcrc", crc.clone()), None);
        assert_eq!(cmds.get("XCRC"), Some(&crc));
        assert_eq!(cmds.insert("XCRC", crc.clone()), Some(crc.clone()));
        assert!(cmds.iter().is_sorted_by_key(|(name, _)| name));
        assert_eq!(cmds.remove("XCRC"), Some(crc));
        assert_eq!(cmds.remove("XCRC"), None);
    }

    fn parts(line: &[u8]) -> (String, &[u8]) {
        let parsed = CommandLine::parse(line);
        assert_eq!(parsed.line, line);
        (parsed.verb.into_owned(), parsed.arg)
    }

    #[test]
    fn lines_are_taken_apart() {
        for (line, verb, arg) in [
            (&b"NOOP"[..], "NOOP", &b""[..]),
            (b"", "", b""),
            (b" x", "", b"x"),
            (b"noop ", "NOOP", b""),
            (b"Retr  a b ", "RETR", b" a b "),
            (b"RETR \xff", "RETR", b"\xff"),
            (b"SITE", "SITE", b""),
            (b"SITE ", "SITE", b""),
            (b"site chmod 755 x", "SITE CHMOD", b"755 x"),
            (b"SITE HELP", "SITE HELP", b""),
            (b"SITE  HELP", "SITE ", b"HELP"),
            (b"\xffa b", "\u{fffd}A", b"b"),
        ] {
            assert_eq!(parts(line), (verb.to_owned(), arg), "{line:?}");
        }
        assert!(matches!(
            CommandLine::parse(b"SITE HELP x").verb,
            Cow::Borrowed("SITE HELP")
        ));
    }

    #[test]
    fn urgent_commands_may_follow_telnet_bytes() {
        let mut cmds = ProtoCmds::default();
        let name = |cmds: &ProtoCmds, line: &[u8]| {
            let found = CommandLine::parse(line)
                .resolve(cmds)
                .map(|(name, _)| name.to_owned());
            found.unwrap_or_default()
        };
        assert_eq!(name(&cmds, b"\xff\xf4\xff\xf2ABOR"), "ABOR");
        assert_eq!(name(&cmds, b"\xff\xf4\xff\xf2stat x"), "STAT");
        assert_eq!(name(&cmds, b"\xf2quit"), "QUIT");
        assert_eq!(name(&cmds, b"\xf2NOOP"), "");
        assert_eq!(name(&cmds, b"noop"), "NOOP");
        assert_eq!(name(&cmds, "\u{e9}BOR".as_bytes()), "");
        cmds.remove("ABOR");
        assert_eq!(name(&cmds, b"\xf2ABOR"), "");
    }

    #[test]
    fn passwords_are_masked() {
        let log = |line: &[u8]| CommandLine::parse(line).for_log().into_owned();
        assert_eq!(log(b"PASS secret"), "PASS ******");
        assert_eq!(log(b"pass"), "pass ******");
        assert_eq!(log(b"  PASS secret"), "PASS ******");
        assert_eq!(log(b"\xff\xf4PASS\tsecret"), "PASS ******");
        assert_eq!(log(b"PASV"), "PASV");
        assert_eq!(log(b"RETR PASS x\n\x1b"), "RETR PASS x??");
        assert_eq!(log(b"RETR \xff\n"), "RETR \u{fffd}?");
        let shown = format!("{:?}", CommandLine::parse(b"PASS secret"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn flags_of_ls_are_dropped() {
        for (arg, path) in [
            (&b""[..], &b""[..]),
            (b"-la", b""),
            (b"-a dir", b"dir"),
            (b"-la  x", b" x"),
            (b"-CF", b""),
            (b"-l -a -1 x", b"x"),
            (b"-l ", b""),
            (b"-", b"-"),
            (b"--", b"--"),
            (b"-- x", b"-- x"),
            (b"-a.txt", b"-a.txt"),
            (b"-l -a.txt", b"-a.txt"),
            (b"dir -l", b"dir -l"),
            (b" -l", b" -l"),
        ] {
            assert_eq!(leading_flags(arg), path, "{arg:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_can_be_parsed(line in any::<Vec<u8>>()) {
            let cmds = ProtoCmds::default();
            let parsed = CommandLine::parse(&line);
            prop_assert!(line.ends_with(parsed.arg));
            prop_assert!(!parsed.for_log().chars().any(char::is_control));
            prop_assert!(parsed.resolve(&cmds).is_none_or(|(name, _)| cmds.contains(name)));
            prop_assert!(line.ends_with(leading_flags(&line)));
        }
    }
}
