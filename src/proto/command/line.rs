//! A command line split into verb and argument.

use std::borrow::Cow;
use std::fmt;

use super::entry::ProtoCmd;
use super::table::{Entry, ProtoCmds};
use crate::proto::reply::sanitize;

/// A command as the client sent it: `<verb> [SP <argument>]` (RFC 959 §4.1).
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// The command in upper case; `SITE CHMOD` is one verb.
    pub verb: Cow<'a, str>,
    /// All bytes after the verb and exactly one space.
    pub arg: &'a [u8],
    /// The whole line, without its end.
    pub line: &'a [u8],
}

impl<'a> CommandLine<'a> {
    /// Splits a line, as pyftpdlib's `pre_process_command`. Every line has a verb, which
    /// may be empty or unknown.
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

    /// The command of the table that the verb names, with its name.
    ///
    /// Clients should send ABOR, STAT and QUIT after Telnet's IP and Synch (RFC 959
    /// §4.1.3, RFC 854), and many send these bytes in line. So an unknown verb that ends with
    /// one of the three names stands for that command, as in pyftpdlib.
    #[must_use]
    pub fn resolve<'t>(&self, cmds: &'t ProtoCmds) -> Option<(&'t str, &'t ProtoCmd)> {
        let entry = self.entry(cmds)?;
        Some((&*entry.name, &entry.cmd))
    }

    /// As [`resolve`](Self::resolve), with all that the table knows about the command.
    pub(crate) fn entry<'t>(&self, cmds: &'t ProtoCmds) -> Option<&'t Entry> {
        cmds.find(&self.verb).or_else(|| {
            let mut urgent = cmds.entries().filter(|entry| entry.role.is_urgent());
            urgent.find(|entry| self.verb.ends_with(&*entry.name))
        })
    }

    /// The line for the log: without control characters, and with `******` in place of a
    /// password.
    ///
    /// A line that is almost PASS (after spaces or Telnet bytes, or before a tab) is refused
    /// by the server, but may hold a password. It is masked too.
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

    /// Whether the line may hold a password, even if its verb is not PASS.
    #[must_use]
    pub fn hides_password(&self) -> bool {
        self.for_log().ends_with(MASK)
    }
}

impl fmt::Debug for CommandLine<'_> {
    /// Shows the line as the log does. A derived implementation would show passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandLine({:?})", self.for_log())
    }
}

/// The argument of LIST, NLST or STAT without the flags of `ls` before it.
///
/// Clients send `LIST -la` as if there were a shell. A flag is `-` followed by letters or
/// digits, up to a space or the end; the one space after it is dropped too. The rest is a
/// path, byte for byte: `-la  x` names the file ` x`.
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

fn upper(verb: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(verb);
    if verb.iter().any(u8::is_ascii_lowercase) {
        text.to_mut().make_ascii_uppercase();
    }
    text
}

/// What stands for a password in the log.
const MASK: &str = "******";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
